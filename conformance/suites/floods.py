"""Attacks that a protocol invites to, each for a minute; another client is served at the same time.

Each has to leave memory bounded and other clients served, and its author has to be thrown out with the
right code. The attacks: kit/attack.py and kit/attack_handshakes.py. They go to the loopback interface
only, and end by themselves."""

import argparse
import json
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kit import HERE, HOST, Failure
from kit.front import Front, chosen, front
from kit.origin import Origin
from kit.outcome import Outcome, Table, say

PACKAGES = ("aioquic",)
CALM = "GOAWAY ENHANCE_YOUR_CALM"
#: H3_EXCESSIVE_LOAD (RFC 9114, 8.1).
LOAD = "CLOSE 0x107"
#: Memory that an attack may cost, beside what a connection costs anyway.
GROWTH_MAX_BYTES = 64 << 20
#: The most for the 99th of a hundred answers to the other client. Attacker, service and both clients share the CPUs.
P99_MAX_MS = 1000
SAMPLE_SECONDS = 0.5
#: A reset can overtake the GOAWAY: while the attacker's bytes are still on their way to a socket that is closed, or
#: its own buffer is full of what it did not read, nothing reaches it. For each time that it was told, so many.
UNSAID_MAX = 0.2


@dataclass(frozen=True)
class Expected:
    """How an attack is to end. Empty: it may also go on, costing nobody anything."""

    ends: tuple[str, ...] = ()
    listener: str = "plain"


EXPECTED = {
    "rapid-reset": Expected((CALM,)),
    "made-you-reset": Expected((CALM,)),
    "continuation": Expected((CALM, "GOAWAY COMPRESSION_ERROR", "GOAWAY PROTOCOL_ERROR")),
    "continuation-empty": Expected((CALM, "GOAWAY PROTOCOL_ERROR")),
    "settings": Expected((CALM,)),
    "settings-unread": Expected(),
    "ping": Expected((CALM,)),
    "ping-unread": Expected(),
    "window-update": Expected((CALM,)),
    "empty-data": Expected((CALM,)),
    "empty-headers": Expected((CALM, "GOAWAY PROTOCOL_ERROR", "GOAWAY COMPRESSION_ERROR")),
    "priority": Expected((CALM,)),
    "priority-update": Expected((CALM,)),
    "field-bomb": Expected((CALM, "GOAWAY COMPRESSION_ERROR", "GOAWAY PROTOCOL_ERROR")),
    "zero-window": Expected(),
    "tiny-window": Expected(),
    "tls-hellos": Expected(listener="tls"),
    "tls-silence": Expected(("closed", "closed after an alert"), listener="tls"),
    "quic-initials": Expected(listener="h3"),
    "h3-rapid-reset": Expected((LOAD,), listener="h3"),
    "h3-ping": Expected((LOAD,), listener="h3"),
    "h3-empty-data": Expected((LOAD,), listener="h3"),
    "h3-priority-update": Expected((LOAD,), listener="h3"),
    "h3-unknown-streams": Expected((LOAD,), listener="h3"),
}
AMPLIFICATION_MAX = 3
#: How others ask meanwhile, each way half of the times on a new connection. A worker has TCP and UDP.
WITNESSES = {"plain": ("plain",), "tls": ("tls",), "h3": ("h3", "tls")}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60, help="of each attack (60)")
    parser.add_argument("--only", help=f"of {', '.join(EXPECTED)}; comma separated")
    parser.add_argument("--listener", default="plain,tls,h3", help="attacks on these only (plain,tls,h3)")


def run(given: argparse.Namespace) -> Outcome:
    listeners = given.listener.split(",")
    names = given.only.split(",") if given.only else [name for name in EXPECTED if EXPECTED[name].listener in listeners]
    for name in names:
        if name not in EXPECTED:
            raise Failure(f"--only {name}: there are {', '.join(EXPECTED)}")
    outcome, rows = Outcome(), []
    plain_only = all(EXPECTED[name].listener == "plain" for name in names)
    with Origin() as origin:
        for who in chosen(given):
            for name in names:
                say(f"floods, {who}, {name}, {given.seconds:g} s")
                # A new one for each: memory is compared with what it was at first.
                with front(who, origin.port, given, plain_only=plain_only) as proxy:
                    row, fine = one(proxy, who, name, given.seconds)
                rows.append(row)
                outcome.failed |= not fine and who == "doorward"
    header = ["who", "attack", "connections", "sent", "ended with", "longest", "memory", "others: asked, failed",
              "p50, p99 ms", "counted as", "verdict"]  # fmt: skip
    notes = [f"Memory: at first, and how much more at most. Of two others, one by HTTP/3 and one by TLS where HTTP/3 "
             f"is attacked, the times of the slower one. The verdict asks for less than {GROWTH_MAX_BYTES >> 20} MiB "
             f"more, nobody else refused, 99 of 100 answers within {P99_MAX_MS} ms, and the attacker thrown out "
             "where that is to be."]  # fmt: skip
    outcome.tables.append(Table(f"Floods, {given.seconds:g} s each", header, rows, notes))
    return outcome


@contextmanager
def speaking(module: str, *words: str):
    """A process that says it is ready, and reports at its end."""
    child = subprocess.Popen([sys.executable, "-m", module, *words], cwd=HERE, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def one(proxy: Front, who: str, name: str, seconds: float) -> tuple[list[str], bool]:
    expected = EXPECTED[name]
    port = proxy.prior_port if expected.listener == "plain" else proxy.secure_port
    others_port = proxy.plain_port if expected.listener == "plain" else proxy.secure_port
    with ExitStack() as processes:
        attacker = processes.enter_context(speaking("kit.attack", name, str(port), str(seconds)))
        witnesses = [processes.enter_context(speaking("kit.witness", way, str(others_port))) for way in WITNESSES[expected.listener]]
        if attacker.stdout.readline().strip() != "ready":
            raise Failure(f"the attacker {name} did not begin")
        # What the first requests cost is no growth.
        time.sleep(1.5)
        before, counted = proxy.resident_bytes(), metrics(proxy)
        attacker.stdin.write("\n")
        attacker.stdin.flush()
        most = before
        until = time.monotonic() + seconds + 30
        while attacker.poll() is None and time.monotonic() < until:
            time.sleep(SAMPLE_SECONDS)
            if not proxy.is_running():
                raise Failure(f"{who} ended under {name}: {proxy.last_words()}")
            most = max(most, proxy.resident_bytes())
        found = json.loads(attacker.stdout.readline() or "{}")
        served = [json.loads(witness.communicate(timeout=30)[0]) for witness in witnesses]
        served = {
            "asked": sum(one["asked"] for one in served), "failed": sum(one["failed"] for one in served),
            "faults": sorted({fault for one in served for fault in one["faults"]}),
            "p50_ms": max(one["p50_ms"] for one in served), "p99_ms": max(one["p99_ms"] for one in served),
        }  # fmt: skip
        new = sorted(set(changed(counted, metrics(proxy))))
    if not found:
        raise Failure(f"the attacker {name} did not end")
    faults = judge(expected, found, served, most - before)
    ends = ", ".join(f"{how} {count}" for how, count in found["ends"].items()) or "-"
    if found["kept"] and expected.listener != "h3":
        ends += f", still open {found['kept']}"
    if found["refused"]:
        ends += f", not let in {found['refused']}"
    return [
        who, name, str(found["connections"]), f"{found['bytes'] / 2**20:.0f} MiB", ends, f"{found['longest_s']:.1f} s",
        f"{before / 2**20:.0f} + {(most - before) / 2**20:.1f} MiB", f"{served['asked']}, {served['failed']}",
        f"{served['p50_ms']:.0f}, {served['p99_ms']:.0f}", " ".join(new) or "-", "; ".join(faults) or "good",
    ], not faults  # fmt: skip


def judge(expected: Expected, found: dict, served: dict, grown: int) -> list[str]:
    faults = []
    right = sum(count for how, count in found["ends"].items() if how in expected.ends)
    wrong = {how: count for how, count in found["ends"].items() if how not in expected.ends}
    if expected.ends and not right:
        faults.append("**not thrown out with its code**")
    elif expected.ends and sum(wrong.values()) > right * UNSAID_MAX:
        faults.append(f"**often ended with {', '.join(wrong)}**")
    if grown > GROWTH_MAX_BYTES:
        faults.append("**memory**")
    if served["failed"]:
        faults.append(f"**others failed**: {'; '.join(served['faults'])}")
    if served["p99_ms"] > P99_MAX_MS:
        faults.append("**others waited**")
    if (found["amplification"] or 0) > AMPLIFICATION_MAX:
        faults.append(f"**amplifies {found['amplification']:.1f} times**")
    return faults


def metrics(proxy: Front) -> dict[str, float]:
    if not proxy.admin_port:
        return {}
    with urllib.request.urlopen(f"http://{HOST}:{proxy.admin_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def changed(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """Counters that tell of attacks, and by how much they grew."""
    telling = re.compile(r"flood|handshake.*(fail|refus|timeout|limit)|quic_(retries|first)|refused")
    return [f"`{name}` +{value - before.get(name, 0):.0f}" for name, value in after.items()
            if telling.search(name) and value > before.get(name, 0)]  # fmt: skip
