"""A well-behaved client during an attack, as a process of its own:
python3 -m kit.witness plain|tls|h3 PORT

Asks until its standard input ends, half of the times on a new connection. Says then, as JSON, how it was
served."""

import asyncio
import http.client
import json
import ssl
import sys
import threading
import time

from . import HOST

PAUSE_SECONDS = 0.04
#: Later than this is no service.
PATIENCE_SECONDS = 10
BODY_BYTES = 1000
PATH = f"/bytes/{BODY_BYTES}"


class Record:
    def __init__(self):
        self.times: list[float] = []
        self.faults: list[str] = []

    def report(self) -> str:
        times = sorted(self.times) or [0.0]
        return json.dumps({"asked": len(self.times) + len(self.faults), "failed": len(self.faults),
                           "faults": sorted(set(self.faults))[:5], "p50_ms": times[len(times) // 2] * 1000,
                           "p99_ms": times[int(len(times) * 0.99)] * 1000, "worst_ms": times[-1] * 1000})  # fmt: skip


def over_tcp(port: int, secure: bool, over: threading.Event, record: Record) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def connect():
        if secure:
            return http.client.HTTPSConnection(HOST, port, timeout=PATIENCE_SECONDS, context=context)
        return http.client.HTTPConnection(HOST, port, timeout=PATIENCE_SECONDS)

    kept = connect()
    number = 0
    while not over.is_set():
        number += 1
        connection = kept if number % 2 else connect()
        begin = time.monotonic()
        try:
            connection.request("GET", PATH)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or len(body) != BODY_BYTES:
                raise ConnectionError(f"status {answer.status}, {len(body)} bytes")
            record.times.append(time.monotonic() - begin)
        except (OSError, http.client.HTTPException) as error:
            record.faults.append(repr(error))
            connection.close()
        if connection is not kept:
            connection.close()
        over.wait(PAUSE_SECONDS)


async def over_quic(port: int, over: threading.Event, record: Record) -> None:
    from .quic import connected

    async def ask(client) -> None:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if client is None:
                    async with connected(port) as fresh:
                        status, body = await fresh.ask(PATH)
                        took = time.monotonic() - begin
                else:
                    status, body = await client.ask(PATH)
                    took = time.monotonic() - begin
            if status != "200" or len(body) != BODY_BYTES:
                raise ConnectionError(f"status {status}, {len(body)} bytes")
            record.times.append(took)
        except (OSError, TimeoutError) as error:
            record.faults.append(repr(error))

    async with connected(port) as kept:
        while not over.is_set():
            await ask(kept)
            await asyncio.sleep(PAUSE_SECONDS)
            await ask(None)
            await asyncio.sleep(PAUSE_SECONDS)


def main() -> None:
    way, port = sys.argv[1], int(sys.argv[2])
    over, record = threading.Event(), Record()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    if way == "h3":
        asyncio.run(over_quic(port, over, record))
    else:
        over_tcp(port, way == "tls", over, record)
    print(record.report())


if __name__ == "__main__":
    main()
