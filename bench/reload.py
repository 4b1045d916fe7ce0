#!/usr/bin/env python3
"""Measures reloads of a configuration of many routes of which one changed, and what clients notice of them.

    cargo build --release && bench/reload.py

Prints the time that each reload took (from the command to the exchange), the CPU time of the thread that did it, the
latency of requests on a kept connection without and with reloads, and the memory of the process.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
WARM_UP = 4  # reloads that are not counted: the first ones grow the memory
START_SECONDS_MAX = 60


def configuration(routes, changed):
    """The text with `routes` routes, of which the one at `changed` is another than usual."""
    parts = [
        '[listen]\nhttp = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n[service.a]\nendpoints = ["127.0.0.1:1"]\n',
        '[[route]]\npath = "/fixed"\nrespond = { status = 200, body = "ok" }\n',
    ]
    for number in range(routes):
        path = f"/api/v1/resource{number}{'/changed' if number == changed else ''}/*"
        parts.append(f'[[route]]\nhost = "*.example.com"\npath = "{path}"\nservice = "a"\n')
    return "\n".join(parts)


class Client(threading.Thread):
    """Asks for something small, again and again, and notes how long each answer took."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.milliseconds = []
        self.stopped = False

    def run(self):
        while not self.stopped:
            began = time.perf_counter()
            self._socket.sendall(b"GET /fixed HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"\r\n\r\nok"):
                more = self._socket.recv(4096)
                if not more:
                    raise SystemExit("reload: the connection was closed")
                answer += more
            self.milliseconds.append((time.perf_counter() - began) * 1000)
            time.sleep(0.002)


@contextlib.contextmanager
def running(program, folder):
    """The process, its address for clients and that for operators."""
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen([program, "run", "doorward.toml"], cwd=folder, stderr=stderr)
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not (found := re.search(r"http on ([^ ,]+), admin on ([0-9.:]+)", log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"reload: it does not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield process, found[1], found[2]
    finally:
        process.terminate()
        process.wait()


def control_cpu_ms(pid):
    """CPU time of the main thread, which reloads."""
    schedstat = pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat")
    return int(schedstat.read_text().split()[0]) / 1e6


def resident_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def show(name, values):
    values = sorted(values)
    at = lambda share: values[min(len(values) - 1, int(len(values) * share))]
    print(f"{name:<28} p50 {at(0.5):7.2f}  p90 {at(0.9):7.2f}  p99 {at(0.99):7.2f}  max {values[-1]:7.2f}  n {len(values)}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--program", default=ROOT / "target/release/doorward")
    arguments.add_argument("--routes", type=int, default=50_000)
    arguments.add_argument("--reloads", type=int, default=40)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        file = folder / "doorward.toml"
        texts = [configuration(options.routes, 7 + turn * (options.routes // 4)) for turn in range(4)]
        file.write_text(texts[0])
        with running(options.program, folder) as (process, http, admin):
            print(f"{options.routes} routes, {resident_mib(process.pid):.0f} MiB at the start")
            token = (folder / ".doorward/admin-token").read_text().strip()
            host, port = http.rsplit(":", 1)
            client = Client((host, int(port)))
            client.start()
            time.sleep(4)
            quiet, client.milliseconds = client.milliseconds, []
            wall, cpu = [], []
            for turn in range(options.reloads + WARM_UP):
                new = folder / "new"
                new.write_text(texts[(turn + 1) % len(texts)])
                os.replace(new, file)
                before = control_cpu_ms(process.pid)
                request = urllib.request.Request(f"http://{admin}/api/reload", method="POST")
                request.add_header("Authorization", f"Bearer {token}")
                with urllib.request.urlopen(request) as answer:
                    reloaded = json.load(answer)
                assert reloaded["applied"], reloaded["report"]
                if turn >= WARM_UP:
                    wall.append(reloaded["milliseconds"])
                    cpu.append(control_cpu_ms(process.pid) - before)
            client.stopped = True
            client.join()
            show("reload, ms", wall)
            show("reload, ms of CPU", cpu)
            show("request without reloads, ms", quiet)
            show("request during reloads, ms", client.milliseconds)
            print(f"{resident_mib(process.pid):.0f} MiB at the end")


if __name__ == "__main__":
    main()
