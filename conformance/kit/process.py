"""Processes that are waited for, looked at, and never left behind."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import HOST, RUN, Failure

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Process:
    """A running program. As a context, it ends with the context."""

    def __init__(self, name: str, command: list[str], port: int | None = None, **environment: str):
        self.name = name
        self.command = command
        self.port = port
        self.environment = environment
        self.log = RUN / f"{name}.log"

    def __enter__(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        if self.port:
            self.wait_for_port(self.port)
        return self

    def __exit__(self, *_) -> None:
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def is_running(self) -> bool:
        return self.child.poll() is None

    def wait_for_port(self, port: int, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.is_running():
                raise Failure(f"{self.name} ended at once: {self.last_words()}")
            try:
                socket.create_connection((HOST, port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failure(f"{self.name} does not listen on port {port}: {self.last_words()}")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace").strip()[-2000:] or "(it said nothing)"

    def pids(self) -> list[int]:
        """The program's and its children's: nginx works in some."""
        found = [self.child.pid]
        for pid in found:
            try:
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except FileNotFoundError:
                continue
        return found

    def resident_bytes(self) -> int:
        total = 0
        for pid in self.pids():
            try:
                text = Path(f"/proc/{pid}/status").read_text()
            except FileNotFoundError:
                continue
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:"))
        if not total:
            raise Failure(f"{self.name} ended: {self.last_words()}")
        return total * 1024
