"""Autobahn's WebSocket cases (run by kosoku) to a server directly, and through a proxy in every way.

No result may be worse than without the proxy. The ways: HTTP/1.1, TLS, and extended CONNECT over HTTP/2
with and without TLS, for which kit/bridge.py stands between the tool and the proxy; and HTTP/1.1 to
Doorward, which calls the server by TLS. Cases 12 and 13
(compression; minutes) only with --all."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from kit import HOST, RUN, Failure
from kit.front import chosen, front
from kit.outcome import Outcome, Table, say

PACKAGES = ("kosoku", "h2", "websockets")
WAYS = ("h1", "tls", "h2", "h2-tls", "h1-to-tls")
COMPRESSION = ("12.*", "13.*")
#: Peers that have no extended CONNECT; Envoy has it, but asks the service without a Sec-WebSocket-Key.
NO_EXTENDED_CONNECT = ("nginx", "caddy", "envoy")
PARALLEL = 4
SECONDS = {False: 600, True: 3000}
#: From better to worse.
ORDER = ("OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "UNCLEAN", "WRONG CODE", "FAILED", "FAILED BY CLIENT")
#: A worse result has to show itself so often: some cases are about time, on a machine that others use too.
TRIES = 3
SHOWN_MAX = 20


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="compression too")
    parser.add_argument("--case", nargs="+", default=[], metavar="CASE", help="these only: 9.* or 1.1.1")
    parser.add_argument("--way", nargs="+", choices=WAYS, default=WAYS)


def run(given: argparse.Namespace) -> Outcome:
    from kit.bridge import Bridge
    from kit.echo import Echo

    outcome, rows, notes = Outcome(), [], []
    with Echo() as echo:
        say("autobahn, without a proxy")
        alone = cases(echo.port, given, given.case)
        rows.append(row("nobody", "-", alone, {}))
        for name in chosen(given):
            plain_only = all(way in ("h1", "h2", "h1-to-tls") for way in given.way)
            for way in given.way:
                if (way.startswith("h2") and name in NO_EXTENDED_CONNECT) or (way == "h1-to-tls" and name != "doorward"):
                    continue
                say(f"autobahn, {name}, {way}")
                port, lines = (echo.secure_port, echo.tls_lines) if way == "h1-to-tls" else (echo.port, "")
                with front(name, port, given, lines, plain_only=plain_only) as proxy:
                    if way.startswith("h1"):
                        worse, found = compared(proxy.plain_port, echo.port, given, alone)
                    else:
                        target = proxy.prior_port if way == "h2" else proxy.secure_port
                        with Bridge(way, target) as bridge:
                            worse, found = compared(bridge.port, echo.port, given, alone)
                rows.append(row(name, way, found, worse))
                if worse:
                    shown = [": ".join(item) for item in worse.items()][:SHOWN_MAX]
                    notes.append(f"{name}, {way}, worse: " + "; ".join(shown))
                outcome.failed |= bool(worse) and name == "doorward"
    header = ["through", "way", "cases", "ok", "informational", "not strict", "failed", "worse than without"]
    outcome.tables.append(Table("Autobahn's WebSocket cases", header, rows, notes))
    return outcome


def compared(port: int, echo_port: int, given, alone: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What is worse than without a proxy, and all results."""
    found = cases(port, given, given.case)
    missing = alone.keys() - found.keys()
    if missing:
        raise Failure(f"kosoku left out {sorted(missing)}")
    suspects = [case for case in alone if rank(found[case]) > rank(alone[case])]
    for _ in range(TRIES - 1):
        if not suspects:
            break
        again, alone_again = cases(port, given, suspects), cases(echo_port, given, suspects)
        for case in list(suspects):
            if rank(again[case]) <= rank(alone_again[case]) or rank(again[case]) <= rank(alone[case]):
                suspects.remove(case)
                found[case] = again[case]
    return {case: f"{found[case]}, without {alone[case]}" for case in suspects}, found


def rank(result: str) -> int:
    return max(ORDER.index(word) if word in ORDER else len(ORDER) for word in result.split(" / "))


def cases(port: int, given, only: list[str]) -> dict[str, str]:
    """Each case with its two verdicts: on what was echoed, and on how it was closed."""
    folder = RUN / "autobahn"
    shutil.rmtree(folder, ignore_errors=True)
    command = [str(Path(sys.executable).parent / "kosoku"), "-p", str(PARALLEL), "-o", str(folder)]
    for case in only:
        command += ["-i", case]
    if not given.all and not only:
        for case in COMPRESSION:
            command += ["-x", case]
    try:
        done = subprocess.run([*command, f"{HOST}:{port}"], capture_output=True, text=True, timeout=SECONDS[given.all])
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"kosoku did not end within {expired.timeout:.0f} s") from expired
    if not (folder / "index.json").exists():
        raise Failure(f"kosoku: {(done.stderr or done.stdout)[-1000:]}")
    found = {}
    for results in json.loads((folder / "index.json").read_text()).values():
        for case, result in results.items():
            found[case] = f"{result['behavior']} / {result['behaviorClose']}"
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in re.findall(r"\d+", item[0])]))


def row(name: str, way: str, found: dict[str, str], worse: dict) -> list[str]:
    first = [result.split(" / ")[0] for result in found.values()]
    counts = [first.count(word) for word in ("OK", "INFORMATIONAL", "NON-STRICT")]
    return [name, way, str(len(found)), *map(str, counts), str(len(first) - sum(counts)), str(len(worse))]
