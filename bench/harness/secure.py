"""TLS, HTTP/2 and HTTP/3: h2load or the dialer as client, the loader's origin behind the contender."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import HOST, WORK, Failure
from .contenders import DIALER, LOADER
from .measure import BROWSER_HEADERS, GRACE_SECONDS, Runner, Sample, Setup, Wrong, counted
from .process import Process, require_free_port, run_pinned

#: The same for all: what two machines with AES in hardware choose.
CIPHER = "TLS_AES_128_GCM_SHA256"
GROUP = "X25519"
HANDSHAKES_AT_A_TIME = 16
#: Of HTTP/2 and HTTP/3: few connections with many streams, as a CDN or a browser's service worker has them.
CONNECTIONS = 8
STREAMS = 100
#: The least share of connections that have to go on with an earlier session for `resumed` to say anything.
RESUMED_MIN = 0.9


@dataclass(frozen=True)
class Way:
    """How a contender is asked."""

    name: str
    #: The tool's command for a contender.
    command: Callable[[Runner, Setup], list[str]]
    #: (requests, requests a second, p50, p99 in microseconds) from what it printed.
    read: Callable[[str], tuple]
    #: What curl is to say for the same, for the check before; None: the tool checks.
    curl: tuple[str, ...] | None
    #: The port for this way.
    port: Callable[[Runner], int]


@contextmanager
def origin(setup: Setup, size: int):
    """The loader's origin, by itself."""
    require_free_port(setup.origin_port)
    command = [str(LOADER), "--origin-only", "--origin-port", str(setup.origin_port), "--size", str(size),
               "--seconds", "3600"]  # fmt: skip
    with Process("loader-origin", command, setup.load_cpu, WORK / "run" / "loader-origin.log") as process:
        process.wait_for_port(setup.origin_port, 10)
        yield process


def measured(runner: Runner, setup: Setup, origin_process: Process, way: Way) -> Sample:
    command = way.command(runner, setup)
    with counted(runner, setup, origin_process) as sample:
        output = run_pinned(command, setup.load_cpu, setup.seconds + GRACE_SECONDS)
        requests, rps, p50_us, p99_us = way.read(output)
        if not requests:
            raise Wrong("no request was answered")
        return sample(requests, rps, p50_us, p99_us, connections_of(runner, setup.origin_port))


def connections_of(runner: Runner, port: int) -> int:
    """Connections that a contender has open to the origin."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    words = [line.split() for line in lines]
    to_origin = {f"socket:[{word[9]}]" for word in words if word[2].endswith(f":{port:04X}") and word[3] == "01"}
    its_own = set()
    for pid in runner.process.pids():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                its_own.add(os.readlink(link))
            except FileNotFoundError:
                continue
    return len(to_origin & its_own)


def check(runner: Runner, setup: Setup, way: Way) -> None:
    """The body, byte for byte, in the version that is to be measured."""
    if way.curl is None:
        return
    right = curl("http", setup.origin_port, ("--http1.1",))
    scheme = "http" if way.port(runner) in (runner.ports.plain, runner.ports.prior) else "https"
    if curl(scheme, way.port(runner), way.curl) != right:
        raise Wrong("the body is not the origin's")


def curl(scheme: str, port: int, words: tuple[str, ...]) -> bytes:
    command = ["curl", "--silent", "--show-error", "--fail", "--insecure", "--max-time", "10", "--write-out",
               "\n%{http_version}", *words, f"{scheme}://{HOST}:{port}/"]  # fmt: skip
    done = subprocess.run(command, capture_output=True)
    body, _, version = done.stdout.rpartition(b"\n")
    wanted = b"2" if any("http2" in word for word in words) else b"1.1"
    if done.returncode or version != wanted:
        raise Wrong(f"curl {' '.join(words)}: {done.stderr.decode().strip() or 'HTTP/' + version.decode()}")
    return body


# The tools


def h2load(*words: str, secure: bool = True) -> Callable[[Runner, Setup], list[str]]:
    def command(runner: Runner, setup: Setup) -> list[str]:
        port = runner.ports.secure if secure else runner.contender.prior_port(runner.ports)
        found = ["h2load", "-t1", f"-D{setup.seconds * 1000:.0f}ms", f"--tls13-ciphers={CIPHER}", f"--groups={GROUP}", *words]
        if "--h1" in words:
            found += [f"-c{setup.connections}"]
        else:
            found += [f"-c{CONNECTIONS}", f"-m{STREAMS}"]
        if setup.headers == "rich":
            for name, value in BROWSER_HEADERS.items():
                if name != "Host":
                    found += ["-H", f"{name}: {value}"]
        return [*found, f"{'https' if secure else 'http'}://{HOST}:{port}/"]

    return command


def read_h2load(output: str) -> tuple:
    done = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
    rate = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", output)
    if not done or not rate:
        raise Failure(f"h2load said what is not understood: {output[-500:]}")
    if int(done[3]) or int(done[4]):
        raise Wrong(f"{done[3]} requests failed")
    protocol = re.search(r"Cipher: (\S+)", output)
    if protocol and protocol[1] != CIPHER:
        raise Wrong(f"cipher {protocol[1]}")
    # It tells mean and deviation, but no share.
    return int(done[2]), float(rate[1]), None, None


def dialer(what: str, *words: str) -> Callable[[Runner, Setup], list[str]]:
    def command(runner: Runner, setup: Setup) -> list[str]:
        return [str(DIALER), what, "--port", str(runner.ports.secure), "--seconds", f"{setup.seconds:g}",
                "--size", str(runner.size), *words]  # fmt: skip

    return command


def read_dialer(output: str) -> tuple:
    found = json.loads(output)
    if found["bad"]:
        raise Wrong(f"{found['bad']} bad answers; the first: {found['fault']}")
    return found["requests"], found["rps"], found["latency_us"]["p50"], found["latency_us"]["p99"]


def read_resumed(output: str) -> tuple:
    figures = read_dialer(output)
    share = json.loads(output)["resumed"] / max(figures[0], 1)
    if share < RESUMED_MIN:
        raise Wrong(f"only {share:.0%} of the connections went on with an earlier session")
    return figures


def secure_port(runner: Runner) -> int:
    return runner.ports.secure


def prior_port(runner: Runner) -> int:
    return runner.contender.prior_port(runner.ports)


HANDSHAKES = Way("TLS handshakes, each with one request",
                 dialer("handshakes", "--connections", str(HANDSHAKES_AT_A_TIME)), read_dialer, ("--http1.1",), secure_port)  # fmt: skip
RESUMED = Way("TLS handshakes with a ticket, each with one request",
              dialer("resumed", "--connections", str(HANDSHAKES_AT_A_TIME)), read_resumed, ("--http1.1",), secure_port)  # fmt: skip
TLS = Way("TLS, HTTP/1.1, connections kept", h2load("--h1"), read_h2load, ("--http1.1",), secure_port)
H2 = Way("HTTP/2 over TLS", h2load(), read_h2load, ("--http2",), secure_port)
PRIOR = Way("HTTP/2 without TLS", h2load(secure=False), read_h2load, ("--http2-prior-knowledge",), prior_port)
H3 = Way("HTTP/3", dialer("h3", "--connections", str(CONNECTIONS), "--streams", str(STREAMS)), read_dialer, None,
         secure_port)  # fmt: skip
