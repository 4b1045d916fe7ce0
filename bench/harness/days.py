"""`bench/run faults`: bad days with real sockets. The days themselves are in bench/faults."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import BENCH, HOST, WORK, Failure
from .contenders import Contender, Ports, build, build_doorward, render, WHEELS
from .process import Process, require_free_port
from .report import Table

PLAYER = BENCH / "faults" / "target" / "release" / "bench-faults"

#: Workers of each contender.
WORKERS = 2

#: Longer than the longest day.
LONGEST_DAY_SECONDS = 60

#: What happens, in words. Goodput counts where more comes than can be done.
DAYS = {
    "healthy": "nothing goes wrong",
    "slow": "one endpoint of ten is ten times slower",
    "failing": "one endpoint of ten answers 503 at once",
    "flapping": "one endpoint of ten dies and comes back every two seconds",
    "black-hole": "one endpoint of ten takes requests and never answers",
    "error-burst": "a third of all requests fail everywhere for a second",
    "thundering-herd": "all endpoints die for three seconds and come back cold; clients send again twice",
    "retry-storm": "all are three times slower for two seconds; clients wait for half a second and send again twice",
    "overload": "three times as many requests as can be answered",
    "kill-9": "two of three processes are killed every two seconds",
}

#: Days on which more comes than can be done, at least for a while.
TOO_MUCH = ("retry-storm", "overload")

#: Requests that an endpoint works on at once, by day; ten else.
SLOTS = {"thundering-herd": 1, "retry-storm": 1, "overload": 1, "kill-9": 16}

#: Envoy sheds by a limit that finds itself, if it is asked to. It costs requests now and then on good days, so
#: that its users leave it out where it is not needed.
ADAPTIVE = """- name: envoy.filters.http.adaptive_concurrency
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
              gradient_controller_config:
                sample_aggregate_percentile: { value: 90 }
                concurrency_limit_params: { concurrency_update_interval: 0.1s }
                min_rtt_calc_params: { interval: 30s, request_count: 50, jitter: { value: 10 }, min_concurrency: 10 }"""


@dataclass
class Day:
    """What came of one scenario with one contender, over all rounds."""

    scenario: str
    contender: str
    rounds: list[dict] = field(default_factory=list)

    def share(self, key: str) -> float:
        """Of all requests of all rounds: a burst of errors hits few, and one round says little."""
        return sum(one[key] for one in self.rounds) / sum(one["requests"] for one in self.rounds)

    def errors(self) -> float:
        """The share of requests that their clients saw fail, refused ones included."""
        return self.share("failed") + self.share("refused")

    def p99_ms(self) -> float:
        return median(one["p99_ms"] for one in self.rounds)

    def p99_of_all_ms(self) -> float | None:
        """None if so many failed that the 99th of a hundred never had an answer."""
        all_ms = [one["p99_of_all_ms"] for one in self.rounds]
        return None if None in all_ms else median(all_ms)

    def goodput(self) -> float:
        """Good answers, as a share of what the endpoints can give at most."""
        return median(one["good_per_s"] / one["capacity"] for one in self.rounds)

    def served(self, priority: str) -> float:
        return median(one[priority] for one in self.rounds)


def contenders(path: Path | None) -> list[Contender]:
    return [
        Contender(
            name="doorward",
            program=str(path or build_doorward()),
            arguments=("run", "{config}"),
            version=("--version",),
            template="faults.toml",
        ),
        Contender(
            name="nginx",
            program="nginx",
            arguments=("-c", "{config}", *(() if os.geteuid() else ("-g", "user root;"))),
            version=("-v",),
            template="faults-nginx.conf",
        ),
        Contender(
            name="haproxy",
            program="haproxy",
            arguments=("-db", "-q", "-f", "{config}"),
            version=("-v",),
            template="faults-haproxy.cfg",
        ),
        Contender(
            name="envoy",
            program=str(WHEELS / "envoy" / "_bin" / "envoy"),
            arguments=("-c", "{config}", "--concurrency", "{workers}", "-l", "error", "--disable-hot-restart"),
            version=("--version",),
            template="faults-envoy.yaml",
        ),
    ]


def options(name: str, scenario: str, ports: list[int]) -> dict[str, str]:
    """What the templates want to know of the endpoints."""
    places = [f"{HOST}:{port}" for port in ports]
    slots = SLOTS.get(scenario, 4)
    match name:
        case "doorward":
            return {
                "ENDPOINTS": json.dumps(places),
                "OPTIONS": f'overload   = {{ first = {2 * slots * len(ports)}, interval = "300ms", tolerance = 2.0 }}',
                "ROUTE_OPTIONS": 'priority = { header = "X-Priority", header-at-most = "critical" }',
            }
        case "nginx":
            servers = (f"server {place} max_fails=3 fail_timeout=1s;" for place in places)
            return {"SERVERS": "\n        ".join(servers)}
        case "haproxy":
            # As many as an endpoint works on, and as many again on their way: `first` of Doorward in sum.
            servers = (f"server s{at} {place}" for at, place in enumerate(places))
            return {"SERVERS": "\n    ".join(servers), "CONNECTIONS": str(2 * slots)}
        case _:
            address = "{{ endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }}"
            endpoints = (address.format(HOST, port) for port in ports)
            return {
                "ENDPOINTS": ", ".join(endpoints),
                "FILTERS": ADAPTIVE if scenario in TOO_MUCH else "",
            }


def build_player() -> None:
    build(BENCH / "faults", CARGO_TARGET_DIR=str(BENCH / "faults" / "target"))


def play(contender: Contender, scenario: str, port: int, origin_port: int, seed: int) -> dict:
    """One day with one contender."""
    folder = WORK / "run"
    folder.mkdir(parents=True, exist_ok=True)
    count = int(subprocess.run([PLAYER, "endpoints", scenario], capture_output=True, text=True, check=True).stdout)
    ports = list(range(origin_port, origin_port + count))
    for one in [port, *ports]:
        require_free_port(one)
    places = Ports.of(port)
    suffix = Path(contender.template).suffix
    config = folder / f"faults-{contender.name}{suffix}"
    made = {"WORKERS": WORKERS} | options(contender.name, scenario, ports)
    render(contender.template, config, places, origin_port, made)
    command = [contender.path(), *(
        word.format(config=config, workers=WORKERS, folder=folder) for word in contender.arguments
    )]
    player = subprocess.Popen(
        [PLAYER, scenario, f"{HOST}:{port}", str(origin_port), str(seed)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        if player.stdout.readline() != "ready\n":
            raise Failure(f"{scenario}: the endpoints do not open")
        with Process(contender.name, command, os.sched_getaffinity(0), folder / f"{contender.name}.log") as proxy:
            proxy.wait_for_port(port, 20)
            output, _ = player.communicate("go\n", timeout=LONGEST_DAY_SECONDS)
        return json.loads(output)
    finally:
        player.kill()
        player.wait()


def percent(share: float) -> str:
    if share == 0:
        return "0"
    return f"{share:.2%}" if share < 0.1 else f"{share:.1%}"


def measure(chosen: list[Contender], scenarios: list[str], rounds: int, port: int, origin_port: int) -> list[Day]:
    days = [Day(scenario, one.name) for scenario in scenarios for one in chosen]
    for seed in range(1, rounds + 1):
        for day in days:
            contender = next(one for one in chosen if one.name == day.contender)
            result = play(contender, day.scenario, port, origin_port, seed)
            day.rounds.append(result)
            words = f"{day.scenario}: {day.contender}: {percent(day.errors())} errors, p99 {day.p99_ms():.0f} ms"
            print(words, file=sys.stderr, flush=True)
    return days


def table(days: list[Day], rounds: int) -> Table:
    names = list(dict.fromkeys(day.contender for day in days))
    rows = []
    for scenario in dict.fromkeys(day.scenario for day in days):
        of_scenario = {day.contender: day for day in days if day.scenario == scenario}
        rows.append([DAYS[scenario], *(cell(of_scenario[name]) for name in names)])
    notes = [
        "Errors that clients saw, and the p99 of all requests, where one that failed was never answered: with more than "
        "1 % of errors there is none. Where more comes than can be done: good answers as a share of what the endpoints "
        "can give, p99 of them, and how many of the critical requests were answered. "
        + ("One run each." if rounds == 1 else f"Errors of {rounds} runs, the median of the rest."),
    ]
    return Table("Bad days", ["day", *names], rows, notes)


def cell(day: Day) -> str:
    if day.scenario == "overload":
        critical = day.served("critical")
        return f"{percent(day.goodput())}, {day.p99_ms():.0f} ms; critical {percent(critical)}"
    p99_ms = day.p99_of_all_ms()
    return f"{percent(day.errors())}, " + ("never" if p99_ms is None else f"{p99_ms:.0f} ms")


def as_data(days: list[Day]) -> dict:
    return {f"{day.scenario}: {day.contender}": day.rounds for day in days}
