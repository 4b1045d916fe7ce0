"""HTTP/3 by aioquic, as the suites ask for it."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

from . import HOST

#: What is handed to the stack at a time; it takes everything, and would hold all of it.
PIECE_BYTES = 1 << 18
#: So much may wait in the stack before more is handed to it.
AHEAD_BYTES = 4 << 20


class Answer:
    def __init__(self):
        self.done = asyncio.get_running_loop().create_future()
        self.status = ""
        self.body = bytearray()

    def end(self, error: Exception | None = None) -> None:
        if self.done.done():
            return
        if error:
            self.done.set_exception(error)
        else:
            self.done.set_result((self.status, bytes(self.body)))


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.h3 = H3Connection(self._quic)
        self.answers: dict[int, Answer] = {}
        self.ended: ConnectionTerminated | None = None

    def quic_event_received(self, event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.ended = event
            for answer in self.answers.values():
                answer.end(ConnectionError(f"connection ended: {event.error_code} {event.reason_phrase}"))
        elif isinstance(event, StreamReset) and event.stream_id in self.answers:
            self.answers.pop(event.stream_id).end(ConnectionError(f"stream reset: {event.error_code:#x}"))
        for one in self.h3.handle_event(event):
            answer = self.answers.get(getattr(one, "stream_id", None))
            if answer is None:
                continue
            if isinstance(one, HeadersReceived):
                answer.status = dict(one.headers).get(b":status", b"").decode() or answer.status
            elif isinstance(one, DataReceived):
                answer.body += one.data
            if getattr(one, "stream_ended", False):
                self.answers.pop(one.stream_id).end()

    def start(self, path: str, method: str = "GET", ends: bool = True) -> tuple[int, Answer]:
        stream = self._quic.get_next_available_stream_id()
        answer = self.answers[stream] = Answer()
        fields = ((":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path))
        self.h3.send_headers(stream, [(name.encode(), value.encode()) for name, value in fields], end_stream=ends)
        self.transmit()
        return stream, answer

    async def ask(self, path: str) -> tuple[str, bytes]:
        return await self.start(path)[1].done

    async def upload(self, path: str, length: int, piece: bytes) -> tuple[str, bytes]:
        """`length` bytes that repeat `piece`."""
        stream, answer = self.start(path, "POST", ends=False)
        sender = self._quic._streams[stream].sender
        sent = 0
        while sent < length and not answer.done.done():
            part = piece[: min(len(piece), length - sent)]
            sent += len(part)
            self.h3.send_data(stream, part, end_stream=sent == length)
            self.transmit()
            while sender._buffer_stop - sender._buffer_start > AHEAD_BYTES and not answer.done.done():
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
        return await answer.done

    async def move(self) -> None:
        """Goes on from another port, as behind an address translator that forgot the old one."""
        old = self._transport
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0, 0, 0))
        await loop.create_datagram_endpoint(lambda: self, sock=sock)
        old.close()


@asynccontextmanager
async def connected(port: int, **settings):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost", **settings)
    configuration.verify_mode = ssl.CERT_NONE
    async with connect(HOST, port, configuration=configuration, create_protocol=Client) as client:
        yield client


async def ask(port: int, path: str) -> tuple[str, bytes]:
    """One request on a connection of its own."""
    async with connected(port) as client:
        return await client.ask(path)
