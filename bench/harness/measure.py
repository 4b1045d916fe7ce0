"""One measurement of one contender."""

import http.client
import json
import re
import resource
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from . import CONF, HOST, WORK, Failure
from .contenders import LOADER, Contender, Ports, render
from .process import Counters, Process, cpu_seconds, require_free_port, run_pinned

#: Beyond its own bound, how long a tool may take to start and to end.
GRACE_SECONDS = 20
VERIFY_REQUESTS = 256
BROWSER_HEADERS = dict(
    line.split(": ", 1) for line in (CONF / "browser-request.txt").read_text().splitlines()
)


class Wrong(Exception):
    """A contender gave a wrong answer; it is named, and not timed."""


@dataclass(frozen=True)
class Setup:
    """What all measurements of a run share."""

    seconds: float
    connections: int
    headers: str
    base_port: int
    origin_port: int
    proxy_cpu: int
    load_cpu: int


@dataclass
class Runner:
    """A contender that is up, and where."""

    contender: Contender
    process: Process
    ports: Ports
    size: int

    @property
    def port(self) -> int:
        return self.ports.plain


@dataclass
class Sample:
    """Figures of one timed run. Times are per request unless they say otherwise."""

    requests: int
    cpu_us: float
    rps: float
    p50_us: float | None
    p99_us: float | None
    #: Share of the time that the contender was running.
    busy: float
    #: Times that it had nothing to do and left the CPU.
    sleeps: float
    origin_connections: int
    #: Share of the contender's CPU, or of client's and origin's, that went to anybody else.
    others: float

    as_dict = asdict


@contextmanager
def running(contenders: list[Contender], setup: Setup, size: int, prefix: tuple[str, ...] = ()):
    """Starts the contenders side by side, each on a port of its own."""
    require_free_port(setup.origin_port)
    with ExitStack() as stack:
        runners = []
        for offset, contender in enumerate(contenders):
            ports = Ports.of(setup.base_port + offset)
            for port in (ports.plain, ports.secure, ports.prior, ports.admin):
                require_free_port(port)
            process = Process(
                name=contender.name,
                command=[*prefix, *contender.command(ports, setup.origin_port)],
                cpu=setup.proxy_cpu,
                log=WORK / "run" / f"{contender.name}.log",
                environment=contender.environment,
            )
            stack.enter_context(process)
            process.wait_for_port(ports.plain, 60 if prefix else 10)
            runners.append(Runner(contender, process, ports, size))
        yield runners


def load(runner: Runner, setup: Setup, **options) -> dict:
    """Runs the loader. Options are the loader's own, without their dashes."""
    result = json.loads(run_pinned(loader_command(runner, setup, **options),
                                   setup.load_cpu,
                                   options.get("seconds", setup.seconds) + GRACE_SECONDS))
    if result["bad"] or result["fault"]:
        raise Wrong(f"{result['bad']} bad answers; the first: {result['fault']}")
    if not result["requests"]:
        raise Wrong("no request was answered")
    return result


def loader_command(runner: Runner, setup: Setup, **options) -> list[str]:
    options = {
        "port": runner.port,
        "origin_port": setup.origin_port,
        "size": runner.size,
        "connections": setup.connections,
        "headers": setup.headers,
        "seconds": setup.seconds,
    } | options
    command = [str(LOADER)]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        command += [flag] if value is True else [flag, str(value)]
    return command


def verify(runner: Runner, setup: Setup, seconds: float = 30) -> None:
    """Every byte and header of some hundred different answers, or `Wrong`."""
    load(runner, setup, verify=True, requests=VERIFY_REQUESTS, seconds=seconds)


@dataclass
class Usage:
    """How busy both CPUs were so far, and with whom."""

    at: float
    proxy: Counters
    load: float
    proxy_cpu: float
    load_cpu: float

    @classmethod
    def now(cls, runner: Runner, setup: Setup, origin: Process | None) -> "Usage":
        tools = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(
            at=time.monotonic(),
            proxy=runner.process.counters(),
            load=tools.ru_utime + tools.ru_stime + (origin.counters().cpu_ns / 1e9 if origin else 0),
            proxy_cpu=cpu_seconds(setup.proxy_cpu),
            load_cpu=cpu_seconds(setup.load_cpu),
        )


@contextmanager
def counted(runner: Runner, setup: Setup, origin: Process | None = None):
    """Yields a function that turns the tool's figures into a sample of this stretch of time."""
    before = Usage.now(runner, setup, origin)

    def sample(requests: int, rps: float, p50_us, p99_us, origin_connections: int) -> Sample:
        after = Usage.now(runner, setup, origin)
        if not runner.process.is_running():
            raise Wrong(f"it ended while it was loaded: {runner.process.last_words()}")
        cpu_seconds_used = (after.proxy.cpu_ns - before.proxy.cpu_ns) / 1e9
        others_there = after.proxy_cpu - before.proxy_cpu - cpu_seconds_used
        others_here = after.load_cpu - before.load_cpu - (after.load - before.load)
        return Sample(
            requests=requests,
            cpu_us=cpu_seconds_used * 1e6 / requests,
            rps=rps,
            p50_us=p50_us,
            p99_us=p99_us,
            busy=min(1.0, cpu_seconds_used * rps / requests),
            sleeps=(after.proxy.sleeps - before.proxy.sleeps) / requests,
            origin_connections=origin_connections,
            others=max(0.0, others_there, others_here) / (after.at - before.at),
        )

    yield sample


def timed(runner: Runner, setup: Setup, **options) -> Sample:
    """One run of the loader, closed loop or, with `rate`, paced."""
    with counted(runner, setup) as sample:
        result = load(runner, setup, **options)
        latency = result["latency_us"]
        return sample(
            result["requests"],
            result["rps"],
            latency["p50"],
            latency["p99"],
            result["origin_connections"],
        )


# wrk, with nginx as the origin


@contextmanager
def file_origin(setup: Setup, sizes: list[int]):
    """nginx that serves a file of each size from the page cache."""
    files = WORK / "run" / "www"
    files.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        (files / str(size)).write_bytes(b"x" * size)
    config = WORK / "run" / "nginx-origin.conf"
    render("nginx-origin.conf", config, Ports.of(0), setup.origin_port, {})
    require_free_port(setup.origin_port)
    origin = Contender("origin", "nginx", ("-c", str(config)))
    command = origin.command(Ports.of(0), setup.origin_port)
    with Process("origin", command, setup.load_cpu, WORK / "run" / "origin.log") as process:
        process.wait_for_port(setup.origin_port, 10)
        yield files, process


def fetch(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request("GET", path, headers=BROWSER_HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise Wrong(f"status {answer.status} for {path}")
    return body


def origin_accepts(setup: Setup) -> int:
    """How many connections the nginx origin has accepted so far."""
    numbers = fetch(setup.origin_port, "/connections").decode().splitlines()[2].split()
    return int(numbers[0])


def timed_wrk(runner: Runner, setup: Setup, files: Path, origin: Process) -> Sample:
    """One run of wrk; wrk and origin share a CPU, which they fill before the proxy fills its own."""
    path = f"/{runner.size}"
    if fetch(runner.port, path) != (files / str(runner.size)).read_bytes():
        raise Wrong("the body is not the file's")
    command = ["wrk", "-t1", f"-c{setup.connections}", f"-d{setup.seconds:g}s", "--latency"]
    if setup.headers == "rich":
        for name, value in BROWSER_HEADERS.items():
            command += ["-H", f"{name}: {value}"]
    accepts = origin_accepts(setup)
    with counted(runner, setup, origin) as sample:
        output = run_pinned(
            [*command, f"http://{HOST}:{runner.port}{path}"],
            setup.load_cpu,
            setup.seconds + GRACE_SECONDS,
        )
        for trouble in ("Non-2xx", "Socket errors"):
            if trouble in output:
                raise Wrong(next(line.strip() for line in output.splitlines() if trouble in line))
        answered = re.search(r"(\d+) requests in", output)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
        if not answered or not rate or not int(answered[1]):
            raise Failure(f"wrk said what is not understood: {output}")
        return sample(
            int(answered[1]),
            float(rate[1]),
            quantile(output, "50%"),
            quantile(output, "99%"),
            # Less the two looks at the counter itself.
            origin_accepts(setup) - accepts - 1,
        )


def quantile(output: str, share: str) -> float | None:
    """wrk's latency at a share, in microseconds."""
    found = re.search(rf"^\s+{re.escape(share)}\s+([\d.]+)(us|ms|s)$", output, re.M)
    return float(found[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[found[2]] if found else None
