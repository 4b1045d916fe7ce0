"""The modes of bench/run. Each measures, and returns what is to be shown."""

import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from . import WORK, Failure, secure
from .contenders import MIDDLE, SMALL, Contender, is_goal_peer
from .measure import (
    GRACE_SECONDS,
    Runner,
    Sample,
    Setup,
    Wrong,
    file_origin,
    load,
    loader_command,
    running,
    timed,
    timed_wrk,
    verify,
)
from .process import cpu_seconds, on_cpu, run_pinned
from .report import Table, bytes_text, ratio_line, spread

GOALS = {128: 0.80, 16 * 1024: 0.80, 1024 * 1024: 0.75}
GOAL_PART_LOAD = 1.00
GOAL_TLS = 0.75
#: Against HAProxy's small-object cache, the cheapest there is.
GOAL_CACHED = 0.80
#: Against HAProxy: nginx's HTTP/2 does not pass h2spec.
GOALS_H2 = {128: 1.00, 16 * 1024: 0.75}
#: Against our own HTTP/2.
GOAL_H3 = 2.00
#: With this share of its CPU in use, the contender counts as busy all the time.
SATURATED = 0.95
#: Others' use of one of the CPUs from which on figures are not to be trusted.
DISTURBED = 0.03
#: With this share of a given rate, the rate counts as held.
RATE_HELD = 0.97
PAUSE_SECONDS = 0.3
IDLE_PROBES = 30
IDLE_PROBE_SECONDS = 0.5


@dataclass
class Choice:
    """What the command line asks for."""

    contenders: list[Contender]
    subject: str
    sizes: list[int]
    rounds: int
    #: How often a disturbed run is repeated.
    patience: int
    setup: Setup


@dataclass
class Outcome:
    tables: list[Table]
    #: For --json.
    data: dict
    #: Something was wrong with a contender.
    failed: bool = False

    def add(self, name: str, table: Table, results: "Results") -> None:
        self.tables.append(table)
        self.data[name] = results.as_dict()
        self.failed |= bool(results.wrong)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Results:
    """Samples by contender, and the contenders that were wrong."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def attempt(self, runner: Runner, action) -> Sample | None:
        """Runs `action` unless the contender was wrong before."""
        name = runner.contender.name
        if name in self.wrong:
            return None
        try:
            sample = action(runner)
        except Wrong as wrong:
            self.wrong[name] = str(wrong)
            self.samples.pop(name, None)
            say(f"  {name}: WRONG: {wrong}")
            return None
        if sample:
            say(
                f"  {name}: {sample.cpu_us:.2f} µs, {sample.rps:.0f}/s, "
                f"busy {sample.busy:.0%}, others {sample.others:.0%}"
            )
        return sample

    def keep(self, runner: Runner, sample: Sample) -> None:
        self.samples.setdefault(runner.contender.name, []).append(sample)

    def medians(self) -> dict[str, float]:
        return {
            name: median(sample.cpu_us for sample in samples)
            for name, samples in self.samples.items()
        }

    def as_dict(self) -> dict:
        return {
            "samples": {
                name: [sample.as_dict() for sample in samples]
                for name, samples in self.samples.items()
            },
            "wrong": self.wrong,
        }


def taking_part(choice: Choice, size: int) -> list[Contender]:
    return [contender for contender in choice.contenders if size in contender.sizes]


def alternate(choice: Choice, runners: list[Runner], results: Results, action) -> None:
    """A B C A B C ...: what disturbs the machine for a while disturbs all alike."""
    for number in range(choice.rounds):
        say(f" round {number + 1} of {choice.rounds}")
        for runner in runners:
            if sample := undisturbed(choice, runner, results, action):
                results.keep(runner, sample)


def undisturbed(choice: Choice, runner: Runner, results: Results, action) -> Sample | None:
    """Repeats a run that others disturbed. What is judged is their use of the CPUs, never the
    figures of the contender; if patience ends, the least disturbed run counts."""
    tries = []
    for _ in range(choice.patience + 1):
        if choice.patience:
            wait_until_idle(choice.setup)
        sample = results.attempt(runner, action)
        time.sleep(PAUSE_SECONDS)
        if sample is None or sample.others <= DISTURBED:
            return sample
        tries.append(sample)
    return min(tries, key=lambda sample: sample.others)


def wait_until_idle(setup: Setup) -> None:
    """Until nobody uses the CPUs, but not for ever."""
    cpus = (setup.proxy_cpu, setup.load_cpu)
    for _ in range(IDLE_PROBES):
        before = [cpu_seconds(cpu) for cpu in cpus]
        time.sleep(IDLE_PROBE_SECONDS)
        used = max(cpu_seconds(cpu) - was for cpu, was in zip(cpus, before))
        if used / IDLE_PROBE_SECONDS <= 2 * DISTURBED:
            return


def verify_all(choice: Choice, runners: list[Runner], results: Results) -> None:
    for runner in runners:
        results.attempt(runner, lambda runner: verify(runner, choice.setup))


def cost_table(
    choice: Choice,
    title: str,
    results: Results,
    goal: float,
    saturated: bool = False,
    rate: float | None = None,
    connections_max: int | None = None,
    is_peer=is_goal_peer,
) -> Table:
    rows = []
    medians = results.medians()
    connections_max = connections_max or choice.setup.connections * 1.25
    for name in sorted(medians, key=medians.get):
        samples = results.samples[name]

        def middle(key, samples=samples):
            values = [getattr(sample, key) for sample in samples]
            return median(values) if None not in values else None

        connections = max(sample.origin_connections for sample in samples)
        others = max(sample.others for sample in samples)
        remarks = []
        if connections > connections_max:
            remarks.append("does not reuse connections")
        if saturated and any(sample.busy + sample.others < SATURATED for sample in samples):
            remarks.append("not saturated")
        if rate and middle("rps") < rate * RATE_HELD:
            remarks.append("rate not held")
        if others > DISTURBED:
            remarks.append("disturbed")
        rows.append(
            [
                f"**{name}**" if name == choice.subject else name,
                spread([sample.cpu_us for sample in samples]),
                f"{middle('rps'):.0f}",
                f"{middle('busy'):.0%}",
                milliseconds(middle("p50_us")),
                milliseconds(middle("p99_us")),
                f"{middle('sleeps'):.3f}",
                f"{connections}",
                f"{others:.0%}",
                ", ".join(remarks),
            ]
        )
    for name, reason in results.wrong.items():
        rows.append([name, "**wrong**", *[""] * 7, reason.splitlines()[0]])
    peers = {name: cost for name, cost in medians.items() if is_peer(name)}
    return Table(
        title=title,
        header=[
            "contender",
            "CPU µs/request",
            "requests/s",
            "busy",
            "p50 ms",
            "p99 ms",
            "sleeps/request",
            "origin connections",
            "others",
            "remarks",
        ],
        rows=rows,
        notes=[ratio_line(choice.subject, medians.get(choice.subject), peers, goal)],
    )


def milliseconds(microseconds: float | None) -> str:
    return "-" if microseconds is None else f"{microseconds / 1000:.2f}"


def saturated(choice: Choice) -> Outcome:
    """Closed loop, the contender busy all the time."""
    tables, data, failed = [], {}, False
    for size in choice.sizes:
        say(f"saturated, {bytes_text(size)}")
        results = Results()
        with running(taking_part(choice, size), choice.setup, size) as runners:
            verify_all(choice, runners, results)
            alternate(choice, runners, results, lambda runner: timed(runner, choice.setup))
        title = f"Saturated, {bytes_text(size)}"
        tables.append(cost_table(choice, title, results, GOALS.get(size, 1.0), saturated=True))
        data[str(size)] = results.as_dict()
        failed |= bool(results.wrong)
    return Outcome(tables, data, failed)


def cached(choice: Choice) -> Outcome:
    """As `saturated`, with answers that are in the contender's cache."""
    tables, data, failed = [], {}, False
    # The browser's request is that of a reload, which asks every cache to ask the origin.
    choice = replace(choice, setup=replace(choice.setup, headers="plain"))
    for size in choice.sizes:
        say(f"cached, {bytes_text(size)}")
        for left in Path("/dev/shm").glob("doorward-bench-*"):
            # nginx finds again what an earlier run cached, of another size.
            shutil.rmtree(left)
        results = Results()
        with running(taking_part(choice, size), choice.setup, size) as runners:
            verify_all(choice, runners, results)
            for runner in runners:
                # Into the cache, before anything is timed.
                results.attempt(runner, lambda runner: warm(runner, choice.setup))
            alternate(choice, runners, results, lambda runner: timed_hits(runner, choice.setup))
        title = f"Cached, {bytes_text(size)}"
        table = cost_table(
            choice, title, results, GOAL_CACHED, saturated=True, is_peer=lambda name: name == "haproxy"
        )
        tables.append(table)
        data[str(size)] = results.as_dict()
        failed |= bool(results.wrong)
    return Outcome(tables, data, failed)


def warm(runner: Runner, setup: Setup) -> None:
    load(runner, setup, requests=256)


def timed_hits(runner: Runner, setup: Setup) -> Sample:
    """A contender that asks the origin while it is timed is wrong: what is measured are hits."""
    sample = timed(runner, setup)
    if sample.origin_connections > 1:
        raise Wrong(f"not from the cache: {sample.origin_connections} connections to the origin")
    return sample


# TLS, HTTP/2, HTTP/3


def one_way(
    choice: Choice, way: secure.Way, size: int, goal: float, is_peer=is_goal_peer, plain_only: bool = False
) -> tuple[Table, Results]:
    """All contenders asked in one way, busy all the time."""
    say(f"{way.name}, {bytes_text(size)}")
    results = Results()
    contenders = [one for one in taking_part(choice, size) if not plain_only or "-" not in one.name]
    if way is secure.H3:
        contenders = [one for one in contenders if one.quic]
    with running(contenders, choice.setup, size) as runners, secure.origin(choice.setup, size) as origin:
        for runner in runners:
            results.attempt(runner, lambda runner: secure.check(runner, choice.setup, way))
        alternate(
            choice, runners, results, lambda runner: secure.measured(runner, choice.setup, origin, way)
        )
    # One for each request that is under way at a time.
    most = 1.25 * max(choice.setup.connections, secure.CONNECTIONS * secure.STREAMS)
    table = cost_table(
        choice, f"{way.name}, {bytes_text(size)}", results, goal, saturated=True, connections_max=most, is_peer=is_peer
    )
    return table, results


def tls(choice: Choice) -> Outcome:
    """Connections that come and go, and connections that are kept."""
    outcome = Outcome([], {})
    for way, size, goal in (
        (secure.HANDSHAKES, SMALL, 1.0),
        (secure.RESUMED, SMALL, 1.0),
        (secure.TLS, MIDDLE, GOAL_TLS),
    ):
        if size in choice.sizes:
            outcome.add(way.name, *one_way(choice, way, size, goal, plain_only=way is not secure.TLS))
    return outcome


def h2(choice: Choice) -> Outcome:
    """Many streams on few connections, with TLS and without."""
    outcome = Outcome([], {})
    for way in (secure.H2, secure.PRIOR):
        for size in choice.sizes:
            goal = GOALS_H2.get(size, 1.0)
            found = one_way(choice, way, size, goal, is_peer=lambda name: name.startswith("haproxy"))
            outcome.add(f"{way.name} {size}", *found)
    return outcome


def h3(choice: Choice) -> Outcome:
    """The same over QUIC, and once more over TLS to compare with."""
    outcome = Outcome([], {})
    for size in choice.sizes:
        table, results = one_way(choice, secure.H3, size, 1.0, is_peer=lambda _: False)
        ours = Choice([one for one in choice.contenders if one.name == choice.subject], choice.subject, [size],
                      choice.rounds, choice.patience, choice.setup)  # fmt: skip
        table_h2, results_h2 = one_way(ours, secure.H2, size, 1.0, is_peer=lambda _: False)
        cost, cost_h2 = results.medians().get(choice.subject), results_h2.medians().get(choice.subject)
        if cost_h2:
            table.notes.append(ratio_line(choice.subject, cost, {"its own HTTP/2": cost_h2}, GOAL_H3))
        outcome.add(f"HTTP/3 {size}", table, results)
        outcome.add(f"HTTP/2 {size}", table_h2, results_h2)
    return outcome


def part(choice: Choice, rate: float | None, ways: list[str]) -> Outcome:
    """The contender about two thirds busy: paced at the same rate for all, and under wrk."""
    tables, data, failed = [], {}, False
    for size in choice.sizes:
        contenders = taking_part(choice, size)
        if "paced" in ways:
            say(f"part load, paced, {bytes_text(size)}")
            results = Results()
            with running(contenders, choice.setup, size) as runners:
                verify_all(choice, runners, results)
                offered = rate or two_thirds(choice, runners, results)
                say(f" {offered:.0f} requests/s for all")
                alternate(
                    choice,
                    runners,
                    results,
                    lambda runner: timed(runner, choice.setup, rate=offered),
                )
            title = f"Part load, {bytes_text(size)}, paced at {offered:.0f} requests/s"
            table = cost_table(choice, title, results, GOAL_PART_LOAD, rate=offered)
            tables.append(table)
            data[f"paced {size}"] = results.as_dict() | {"rate": offered}
            failed |= bool(results.wrong)
        if "wrk" in ways:
            say(f"part load, wrk, {bytes_text(size)}")
            results = Results()
            with running(contenders, choice.setup, size) as runners:
                verify_all(choice, runners, results)
                with file_origin(choice.setup, choice.sizes) as (files, origin):
                    alternate(
                        choice,
                        runners,
                        results,
                        lambda runner: timed_wrk(runner, choice.setup, files, origin),
                    )
            title = f"Part load, {bytes_text(size)}, wrk with nginx as origin"
            table = cost_table(choice, title, results, GOAL_PART_LOAD)
            tables.append(table)
            data[f"wrk {size}"] = results.as_dict()
            failed |= bool(results.wrong)
    return Outcome(tables, data, failed)


def two_thirds(choice: Choice, runners: list[Runner], results: Results) -> float:
    """Two thirds of what the slowest contender can do with a CPU of its own."""
    say(" looking for the slowest")
    at_full_load = Results(wrong=results.wrong)
    for runner in runners:
        if sample := at_full_load.attempt(runner, lambda runner: timed(runner, choice.setup)):
            at_full_load.keep(runner, sample)
    costs = at_full_load.medians().values()
    if not costs:
        raise Failure("no contender gave right answers")
    # From its cost, not from its requests/s, which fall when somebody else uses its CPU.
    return round(1e6 / max(costs) * 2 / 3, -2)


# Figures that hardly move, whatever else the machine does


def syscalls(choice: Choice, requests: int) -> Outcome:
    """System calls per request, counted by strace in a saturated run."""
    rows, data = [], {}
    for size in choice.sizes:
        for contender in taking_part(choice, size):
            say(f"syscalls, {bytes_text(size)}, {contender.name}")
            with running([contender], choice.setup, size) as [runner]:
                try:
                    verify(runner, choice.setup)
                    counts = traced(runner, choice.setup, requests)
                except Wrong as wrong:
                    rows.append([contender.name, bytes_text(size), "**wrong**", str(wrong)])
                    continue
            by_count = sorted(counts.items(), key=lambda item: -item[1])
            each = {name: count / requests for name, count in by_count}
            often = [f"{name} {value:.2f}" for name, value in each.items() if value >= 0.01]
            total = sum(each.values())
            rows.append([contender.name, bytes_text(size), f"{total:.2f}", ", ".join(often)])
            data[f"{contender.name} {size}"] = each
    header = ["contender", "body", "syscalls/request", "of these"]
    table = Table("System calls per request, saturated (strace -c -f)", header, rows)
    return Outcome([table], data, any("wrong" in row[2] for row in rows))


def traced(runner: Runner, setup: Setup, requests: int) -> dict[str, int]:
    summary = WORK / "run" / "strace.txt"
    summary.unlink(missing_ok=True)
    pids = runner.process.pids()
    command = ["strace", "-q", "-c", "-f", "-U", "calls,name", "-o", str(summary)]
    for pid in pids:
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=on_cpu(setup.load_cpu),
    )
    try:
        wait_for_tracer(tracer, pids)
        load(runner, setup, requests=requests, seconds=120)
    finally:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.communicate()
    counts = {}
    for line in summary.read_text().splitlines():
        words = line.split()
        if len(words) == 2 and words[0].isdigit() and words[1] != "total":
            counts[words[1]] = int(words[0])
    if not counts:
        raise Failure("strace counted nothing")
    return counts


def wait_for_tracer(tracer: subprocess.Popen, pids: list[int]) -> None:
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    for _ in range(200):
        if tracer.poll() is not None:
            raise Failure(f"strace: {tracer.stderr.read().strip()}")
        if all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks):
            return
        time.sleep(0.05)
    raise Failure("strace did not attach to all threads")


def instructions(choice: Choice, requests: int) -> Outcome:
    """User instructions per request: from the CPU's counter, or else from callgrind."""
    tool, count = (
        ("perf stat -e instructions:u", by_perf)
        if perf_counts_instructions()
        else ("valgrind --tool=callgrind", by_callgrind)
    )
    say(f"instructions by {tool}")
    rows, data = [], {}
    for size in choice.sizes:
        for contender in taking_part(choice, size):
            say(f"instructions, {bytes_text(size)}, {contender.name}")
            try:
                each = count(choice, contender, size, requests)
            except (Wrong, Failure) as wrong:
                rows.append([contender.name, bytes_text(size), "**wrong**", str(wrong)])
                continue
            rows.append([contender.name, bytes_text(size), f"{each:.0f}", ""])
            data[f"{contender.name} {size}"] = each
    header = ["contender", "body", "instructions/request", "remarks"]
    table = Table(f"User instructions per request, saturated ({tool})", header, rows)
    return Outcome([table], data, any("wrong" in row[2] for row in rows))


def perf_counts_instructions() -> bool:
    try:
        done = subprocess.run(
            ["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0 and "<not " not in done.stderr


def by_perf(choice: Choice, contender: Contender, size: int, requests: int) -> float:
    setup = choice.setup
    summary = WORK / "run" / "perf.txt"
    with running([contender], setup, size) as [runner]:
        verify(runner, setup)
        pids = ",".join(map(str, runner.process.pids()))
        loading = loader_command(runner, setup, requests=requests, seconds=120)
        counting = ["perf", "stat", "-x,", "-e", "instructions:u", "-o", str(summary), "-p", pids]
        run_pinned([*counting, "--", *loading], setup.load_cpu, 120 + GRACE_SECONDS)
    counts = re.findall(r"^(\d+),,instructions", summary.read_text(), re.M)
    if not counts:
        raise Failure(f"perf counted nothing: {summary.read_text()}")
    return sum(map(int, counts)) / requests


def by_callgrind(choice: Choice, contender: Contender, size: int, requests: int) -> float:
    """The difference of a short and a long run: start and end drop out."""
    short = max(requests // 10, choice.setup.connections * 4)
    low, high = (
        instructions_of_run(choice, contender, size, count) for count in (short, short + requests)
    )
    return (high - low) / requests


def instructions_of_run(choice: Choice, contender: Contender, size: int, requests: int) -> int:
    logs = WORK / "run"
    for old in logs.glob("callgrind.*.log"):
        old.unlink()
    prefix = (
        "valgrind",
        "--tool=callgrind",
        "--trace-children=yes",
        "--callgrind-out-file=/dev/null",
        f"--log-file={logs}/callgrind.%p.log",
    )
    with running([contender], choice.setup, size, prefix) as [runner]:
        verify(runner, choice.setup, seconds=120)
        load(runner, choice.setup, requests=requests, seconds=240)
    text = "".join(log.read_text() for log in logs.glob("callgrind.*.log"))
    counts = re.findall(r"Collected : (\d+)", text)
    if not counts:
        raise Failure(f"callgrind counted nothing: {text[-500:]}")
    return sum(map(int, counts))


# Memory

#: Less growth than this is the allocator settling, not a leak.
GROWTH_ALLOWED = 1024 * 1024


def heap(choice: Choice, requests: int) -> Outcome:
    """Resident memory through many requests."""
    setup = choice.setup
    rows, data = [], {}
    size = choice.sizes[0]
    for contender in taking_part(choice, size):
        say(f"heap, {bytes_text(size)}, {contender.name}, {requests} requests")
        with running([contender], setup, size) as [runner]:
            try:
                verify(runner, setup)
                # A first stretch fills pools and caches; what grows after it, grows.
                load(runner, setup, requests=max(requests // 100, 1), seconds=600)
                samples = resident_through(runner, setup, requests)
            except Wrong as wrong:
                rows.append([contender.name, "**wrong**", "", "", "", str(wrong)])
                continue
        first, last = samples[0], samples[-1]
        grew = last - first > GROWTH_ALLOWED
        rows.append(
            [
                contender.name,
                f"{first / 2**20:.2f} MiB",
                f"{max(samples) / 2**20:.2f} MiB",
                f"{last / 2**20:.2f} MiB",
                f"{(last - first) / requests:+.3f}",
                "**grows**" if grew else "flat",
            ]
        )
        data[contender.name] = {"requests": requests, "rss_bytes": samples, "grows": grew}
    header = ["contender", "first", "highest", "last", "bytes/request", "verdict"]
    title = f"Resident memory through {requests} requests of {bytes_text(size)}"
    table = Table(
        title,
        header,
        rows,
        [f"Flat: not more than {GROWTH_ALLOWED // 2**20} MiB between first and last."],
    )
    return Outcome([table], data, any("**" in row[-1] or "**" in row[1] for row in rows))


def resident_through(runner: Runner, setup: Setup, requests: int) -> list[int]:
    """Memory before, every second of, and after a run."""
    command = loader_command(runner, setup, requests=requests, seconds=3600)
    samples = [runner.process.counters().rss_bytes]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=on_cpu(setup.load_cpu),
    ) as loader:
        try:
            while loader.poll() is None:
                time.sleep(1)
                samples.append(runner.process.counters().rss_bytes)
        finally:
            loader.kill()
        output, errors = loader.communicate()
    if f'"requests":{requests},' not in output or '"bad":0,' not in output:
        raise Wrong(f"the load did not end well: {errors or output}")
    return samples
