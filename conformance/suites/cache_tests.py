"""http-tests/cache-tests: what a cache must do by RFC 9111 and its family, and what a good one does besides.

The suite is https://github.com/http-tests/cache-tests; it is taken from --tests, or from
conformance/work/cache-tests, and copied before it runs, so that its server listens on the loopback alone. What may
fail is in conformance/cache-tests.failures with its reason; that list may only shrink, and a case in it that passes
is an error too."""

import argparse
import json
import os
import shutil
import subprocess
from pathlib import Path

from kit import HERE, HOST, RUN, WORK, Failure
from kit.front import chosen, front
from kit.outcome import Outcome, Table, say
from kit.ports import free_port
from kit.process import Process

PACKAGES = ()
LIST = HERE / "cache-tests.failures"
#: What the route of Doorward says: the suite wants cookies to be shared, and something stale when the service fails.
ROUTE = 'cache = { cookies = "share", stale-if-error = "1m" }'
#: The suite counts what reaches its server, also where it answers 503.
SERVICE = "retry = { attempts = 1 }"
#: Its 265 cases wait for one another for a minute or so.
SECONDS = 600
#: The suite's own judgement of its results, for caches that are shared.
JUDGE = """
import fs from 'fs'
import tests from './tests/index.mjs'
import { determineTestResult, resultTypes } from './test-engine/lib/results.mjs'
const results = JSON.parse(fs.readFileSync(process.argv[2]))
const name = type => Object.entries(resultTypes).find(([, value]) => value === type)[0]
const all = tests.flatMap(suite => suite.tests).filter(test => !test.browser_only)
console.log(JSON.stringify(all.map(test => ({
  id: test.id, kind: test.kind || 'required', result: name(determineTestResult(tests, test.id, results)),
  why: Array.isArray(results[test.id]) ? results[test.id][1] : ''
}))))
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tests", type=Path, metavar="PATH", help="a copy of the suite's repository")


def run(given: argparse.Namespace) -> Outcome:
    folder = prepared(given.tests or WORK / "cache-tests")
    outcome = Outcome()
    rows, notes = [], []
    for name in chosen(given):
        port = free_port()
        pid_file = RUN / "cache-tests.pid"
        server = Process(
            "cache-tests-server",
            ["node", str(folder / "test-engine/server/server.mjs")],
            port,
            npm_config_protocol="http",
            npm_config_port=str(port),
            npm_config_pidfile=str(pid_file),
        )
        with server, front(name, port, given, SERVICE, plain_only=True, route=ROUTE) as proxy:
            say(f"cache-tests, {name}")
            cases = measure(folder, proxy.plain_port)
            if not proxy.is_running():
                raise Failure(f"{name} ended: {proxy.last_words()}")
        asked = [case for case in cases if case["kind"] in ("required", "optimal")]
        failed = {case["id"] for case in asked if case["result"] != "pass"}
        row = [name]
        for kind in ("required", "optimal"):
            of_kind = [case["id"] for case in asked if case["kind"] == kind]
            row.append(f"{len(set(of_kind) - failed)} of {len(of_kind)}")
        rows.append(row)
        if name != "doorward":
            continue
        may_fail = expected()
        outcome.failed |= failed != set(may_fail)
        notes += [f"{case} fails: {may_fail.get(case, 'nobody knows why')}" for case in sorted(failed)]
        for case in asked:
            if case["id"] in failed - set(may_fail):
                say(f"  fails: {case['id']}: {case['why'] or case['result']}")
        for case in sorted(set(may_fail) - failed):
            say(f"  passes, but {LIST.name} says that it fails: {case}")
    outcome.tables.append(Table("cache-tests", ["who", "required", "optimal"], rows, notes))
    return outcome


def prepared(source: Path) -> Path:
    """A copy of the suite that runs and listens on the loopback."""
    if not (source / "tests").is_dir():
        raise Failure(f"there is no suite in {source}: clone http-tests/cache-tests there, or say --tests PATH")
    folder = RUN / "cache-tests"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules", ".git"), dirs_exist_ok=True)
    server = folder / "test-engine/server/server.mjs"
    text = server.read_text()
    if "server.listen(port)" not in text:
        raise Failure(f"{server} listens in another way than it did: look where")
    server.write_text(text.replace("server.listen(port)", f"server.listen(port, '{HOST}')"))
    modules = WORK / "cache-tests-modules"
    if not (modules / "node_modules" / "undici").is_dir():
        modules.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(modules), "undici@7", "liquidjs@10", "marked"]
        subprocess.run(install, check=True, capture_output=True)
    (folder / "node_modules").symlink_to(modules / "node_modules")
    (folder / "judge.mjs").write_text(JUDGE)
    return folder


def measure(folder: Path, port: int) -> list[dict]:
    environment = {"npm_config_base": f"http://{HOST}:{port}", "npm_config_id": "", "npm_package_config_id": ""}
    client = subprocess.run(
        ["node", "--no-warnings", "test-engine/cli.mjs"],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    report = RUN / "cache-tests.json"
    report.write_text(client.stdout)
    judged = subprocess.run(
        ["node", "judge.mjs", str(report)], cwd=folder, capture_output=True, text=True, timeout=SECONDS
    )
    if judged.returncode:
        raise Failure(f"cache-tests gave up: {(client.stderr or judged.stderr).strip()[-500:]}")
    return json.loads(judged.stdout)


def expected() -> dict[str, str]:
    """Lines of the list: the case, then why."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return {case: why for case, _, why in (line.partition(" ") for line in lines)}
