"""h2spec's 146 cases of RFC 9113 and RFC 7541, on the plain listener (prior knowledge) and on the TLS one.

The tool is https://github.com/summerwind/h2spec, built as its own documentation says; it is taken from
--tool, from PATH, or from conformance/work/h2spec. What may fail is in conformance/h2spec.failures; that
list may only shrink, and a case in it that passes is an error too."""

import argparse
import shutil
import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

from kit import HERE, HOST, RUN, WORK, Failure
from kit.front import chosen, front
from kit.origin import Origin
from kit.outcome import Outcome, Table, say

PACKAGES = ()
CASES = 146
LIST = HERE / "h2spec.failures"
#: How long one case may wait for an answer. A slow machine needs more than the tool's own 2 s.
CASE_SECONDS = 5


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tool", type=Path, metavar="PATH", help="h2spec itself")
    parser.add_argument("--listener", choices=("plain", "tls", "both"), default="both")
    parser.add_argument("--case", nargs="+", default=[], metavar="CASE", help="as h2spec names them: http2/6.9")


def tool(given: Path | None) -> str:
    for found in (given, WORK / "h2spec", shutil.which("h2spec")):
        if found and Path(found).exists():
            return str(found)
    raise Failure("there is no h2spec: build it as its documentation says, then --tool PATH, or put it into PATH")


def run(given: argparse.Namespace) -> Outcome:
    program = tool(given.tool)
    listeners = ("plain", "tls") if given.listener == "both" else (given.listener,)
    outcome = Outcome()
    rows, notes = [], []
    for name in chosen(given):
        plain_only = given.listener == "plain"
        with Origin() as origin, front(name, origin.port, given, plain_only=plain_only) as proxy:
            for listener in listeners:
                port = proxy.secure_port if listener == "tls" else proxy.prior_port
                say(f"h2spec, {name}, {listener}")
                count, failed = measure(program, port, listener == "tls", given.case)
                if not proxy.is_running():
                    raise Failure(f"{name} ended: {proxy.last_words()}")
                may_fail = expected(listener) if name == "doorward" and not given.case else set()
                rows.append([name, listener, f"{count - len(failed)} of {count}"])
                if name == "doorward":
                    notes += [f"{listener} fails: {case}" for case in sorted(failed)]
                complete = count == CASES or given.case
                outcome.failed |= not complete or (failed != may_fail and name == "doorward")
                for case in sorted(may_fail - failed):
                    say(f"  passes, but {LIST.name} says that it fails: {case}")
    outcome.tables.append(Table("h2spec", ["who", "listener", "pass"], rows, notes))
    return outcome


def measure(program: str, port: int, secure: bool, only: list[str]) -> tuple[int, set[str]]:
    """How many cases there were, and which failed."""
    report = RUN / "h2spec.xml"
    report.unlink(missing_ok=True)
    command = [program, "-h", HOST, "-p", str(port), "-o", str(CASE_SECONDS), "-j", str(report)]
    command += ["--tls", "--insecure"] if secure else []
    done = subprocess.run([*command, *only], capture_output=True, text=True, timeout=CASES * CASE_SECONDS)
    if only:
        print(done.stdout)
    if not report.exists():
        raise Failure(f"h2spec gave up: {(done.stderr or done.stdout).strip()[-500:]}")
    count, failed = 0, set()
    for suite in xml.parse(report).iter("testsuite"):
        for number, case in enumerate(suite.iter("testcase"), 1):
            count += 1
            if any(case.find(tag) is not None for tag in ("failure", "error", "skipped")):
                failed.add(f"{suite.get('package')} {number}: {case.get('classname')}")
    return count, failed


def expected(listener: str) -> set[str]:
    """Lines of the list: which listener (or both), then the case."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    pairs = [line.partition(" ") for line in lines]
    return {case for which, _, case in pairs if which in (listener, "both")}
