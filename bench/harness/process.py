"""Processes that are pinned, counted, and never left behind."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import HOST, Failure

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def on_cpu(cpu: int | set[int]):
    """What a child does before it runs its program: pin itself, and die with its parent."""
    cpus = cpu if isinstance(cpu, set) else {cpu}

    def prepare() -> None:
        os.sched_setaffinity(0, cpus)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


@dataclass
class Counters:
    """What a process with all its children and threads has used so far."""

    cpu_ns: int = 0
    sleeps: int = 0
    preemptions: int = 0
    rss_bytes: int = 0


@dataclass
class Process:
    """A running program and its children. As a context, it ends with the context."""

    name: str
    command: list[str]
    #: The one that it runs on, or those.
    cpu: int | set[int]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Process":
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
                start_new_session=True,
                preexec_fn=on_cpu(self.cpu),
            )
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        self._signal(signal.SIGTERM)
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            pass
        # What outlived its parent, or did not obey.
        self._signal(signal.SIGKILL)
        self.child.wait()

    def _signal(self, number: int) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def pids(self) -> list[int]:
        """All processes of the session that was started with this program."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            state, session = after_name[0], int(after_name[3])
            if session == self.child.pid and state != "Z":
                found.append(int(entry.name))
        return found

    def is_running(self) -> bool:
        return self.child.poll() is None

    def wait_for_port(self, port: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.is_running():
                raise Failure(f"{self.name} ended at once: {self.last_words()}")
            try:
                socket.create_connection((HOST, port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failure(
            f"{self.name} does not listen on port {port} after {seconds:.0f} s: {self.last_words()}"
        )

    def last_words(self) -> str:
        text = self.log.read_text(errors="replace").strip()
        return text[-1000:] or "(it said nothing)"

    def counters(self) -> Counters:
        total = Counters()
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                try:
                    schedstat = (task / "schedstat").read_text()
                    status = (task / "status").read_text()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                total.cpu_ns += int(schedstat.split()[0])
                total.sleeps += status_number(status, "voluntary_ctxt_switches")
                total.preemptions += status_number(status, "nonvoluntary_ctxt_switches")
                if task.name == str(pid):
                    total.rss_bytes += status_number(status, "VmRSS") * 1024
        return total


def status_number(status: str, key: str) -> int:
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0])
    return 0


def run_pinned(command: list[str], cpu: int, seconds: float) -> str:
    """Runs a program to its end on one CPU and returns what it printed."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=on_cpu(cpu),
    ) as child:
        try:
            output, errors = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as expired:
            raise Failure(f"{Path(command[0]).name} did not end within {seconds:.0f} s") from expired
        finally:
            child.kill()
    if child.returncode != 0:
        raise Failure(f"{Path(command[0]).name}: {errors.strip() or output.strip()}")
    return output


def cpu_seconds(cpu: int) -> float:
    """Time that one CPU was busy so far, whoever used it; stolen time counts as busy."""
    for line in Path("/proc/stat").read_text().splitlines():
        words = line.split()
        if words[0] == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words[1:9])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND
    raise Failure(f"there is no CPU {cpu}")


def require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise Failure(
                f"port {port} is taken by something else ({error.strerror}); end it, "
                "or choose others with --base-port and --origin-port"
            ) from error
