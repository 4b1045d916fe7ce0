"""Frames of HTTP/2 (RFC 9113) by hand: an attacker sends what no library would."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 0x10
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INITIAL_WINDOW_SIZE = 0x4
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
         "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED")  # fmt: skip
#: The largest frame that everybody has to take.
FRAME_BYTES_MAX = 16384


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def literal(name: bytes, value: bytes, index: bool = False) -> bytes:
    """A field that is spelt out (RFC 7541, 6.2); with `index`, one to be kept in the table."""
    return bytes([0x40 if index else 0]) + string(name) + string(value)


def string(text: bytes) -> bytes:
    return integer(len(text), 7) + text


def integer(number: int, bits: int, first: int = 0) -> bytes:
    most = (1 << bits) - 1
    if number < most:
        return bytes([first | number])
    out, number = [first | most], number - most
    while number >= 128:
        out.append(number % 128 + 128)
        number //= 128
    return bytes([*out, number])


def request(path: bytes = b"/", method: bytes = b"GET") -> bytes:
    """The field block of a request."""
    pairs = ((b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost"))
    return b"".join(literal(*pair) for pair in pairs)


def heads(count: int, block: bytes, flags: int, then: bytes = b"", kind_then: int | None = None, start: int = 1) -> bytes:
    """HEADERS on `count` streams of their own, each followed by a frame on the same stream, if wanted."""
    length = struct.pack(">I", len(block))[1:]
    length_then = struct.pack(">I", len(then))[1:]
    pieces = []
    for stream in range(start, start + 2 * count, 2):
        number = struct.pack(">I", stream)
        pieces.append(length + bytes([HEADERS, flags]) + number + block)
        if kind_then is not None:
            pieces.append(length_then + bytes([kind_then, 0]) + number + then)
    return b"".join(pieces)


class Parser:
    """What comes back, as frames."""

    def __init__(self):
        self.buffer = bytearray()

    def take(self, piece: bytes):
        self.buffer += piece
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                return
            kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
            payload = bytes(self.buffer[9 : 9 + length])
            del self.buffer[: 9 + length]
            yield kind, flags, stream & 0x7FFFFFFF, payload


def code_of(goaway: bytes) -> str:
    """What a GOAWAY says, with the text that some add."""
    number = int.from_bytes(goaway[4:8], "big")
    return CODES[number] if number < len(CODES) else hex(number)
