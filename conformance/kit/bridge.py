"""WebSockets by other ways, for a client that knows plain HTTP/1.1 only:
python3 -m kit.bridge tls|h2|h2-tls PORT TARGET-PORT

tls      the same bytes through TLS
h2       extended CONNECT (RFC 8441) over HTTP/2 with prior knowledge
h2-tls   the same, through TLS"""

import asyncio
import base64
import hashlib
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes

from . import HERE, HOST
from .ports import free_port
from .process import Process

WAYS = ("tls", "h2", "h2-tls")
#: RFC 6455, 1.3.
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Fields that belong to the HTTP/1.1 handshake alone (RFC 8441, 5).
OF_HTTP1 = ("host", "connection", "upgrade", "sec-websocket-key")
PIECE_BYTES = 1 << 16


class Bridge(Process):
    def __init__(self, way: str, target_port: int):
        port = free_port()
        command = [sys.executable, "-m", "kit.bridge", way, str(port), str(target_port)]
        super().__init__(f"bridge-{way}", command, port, PYTHONPATH=str(HERE))


def context(protocol: str) -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols([protocol])
    return made


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()


async def first_ends(*jobs) -> None:
    tasks = [asyncio.ensure_future(job) for job in jobs]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def through_tls(reader, writer, target: int) -> None:
    inner_reader, inner_writer = await asyncio.open_connection(HOST, target, ssl=context("http/1.1"))
    await first_ends(pass_on(reader, inner_writer), pass_on(inner_reader, writer))
    inner_writer.close()


class Tunnel:
    """One extended CONNECT on a connection of its own."""

    def __init__(self, outer: asyncio.StreamWriter, inner_reader, inner_writer):
        self.h2 = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False))
        self.outer, self.reader, self.writer = outer, inner_reader, inner_writer
        self.news = asyncio.Event()
        self.status: dict | None = None
        self.settled = self.ended = self.reset = False
        self.stream = 0

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def until(self, condition) -> None:
        while not condition() and not self.ended:
            self.news.clear()
            await self.news.wait()

    async def read(self) -> None:
        """What comes from the proxy."""
        while piece := await self.reader.read(PIECE_BYTES):
            for event in self.h2.receive_data(piece):
                await self.take(event)
            await self.flush()
            self.news.set()
            if self.ended:
                break
        self.ended = True
        self.news.set()

    async def take(self, event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self.settled = True
        elif isinstance(event, ResponseReceived):
            self.status = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.outer.write(event.data)
            await self.outer.drain()
        elif isinstance(event, StreamReset):
            self.reset = self.ended = True
        elif isinstance(event, StreamEnded):
            self.ended = True

    async def open(self, scheme: str, path: str, fields: list[tuple[str, str]]) -> None:
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 20)
        await self.flush()
        await self.until(lambda: self.settled)
        if not self.h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL):
            raise ConnectionError("SETTINGS_ENABLE_CONNECT_PROTOCOL is not 1")
        self.stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", scheme),
                  (":path", path), (":authority", f"{HOST}:80")]  # fmt: skip
        self.h2.send_headers(self.stream, pseudo + fields)
        await self.flush()
        await self.until(lambda: self.status is not None)
        if not self.status or self.status[":status"] != "200":
            raise ConnectionError(f"CONNECT was answered with {self.status}")

    async def send(self, reader: asyncio.StreamReader) -> None:
        """What comes from the client."""
        while piece := await reader.read(PIECE_BYTES):
            while piece:
                await self.until(lambda: self.h2.local_flow_control_window(self.stream) > 0)
                if self.ended:
                    return
                size = min(self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size, len(piece))
                self.h2.send_data(self.stream, piece[:size])
                piece = piece[size:]
                await self.flush()
        self.h2.end_stream(self.stream)
        await self.flush()
        await self.until(lambda: False)


async def through_h2(reader, writer, target: int, secure: bool) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    path = head[0].split(" ")[1]
    pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])]
    key = dict(pairs)["sec-websocket-key"].encode()
    fields = [pair for pair in pairs if pair[0] not in OF_HTTP1]
    tunnel = Tunnel(writer, *await asyncio.open_connection(HOST, target, ssl=context("h2") if secure else None))
    reading = asyncio.ensure_future(tunnel.read())
    try:
        await tunnel.open("https" if secure else "http", path, fields)
        accept = base64.b64encode(hashlib.sha1(key + ACCEPT_GUID).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket",
                 f"Sec-WebSocket-Accept: {accept}"]  # fmt: skip
        passed = ("sec-websocket-protocol", "sec-websocket-extensions", "server")
        lines += [f"{name}: {value}" for name, value in tunnel.status.items() if name in passed]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        await first_ends(tunnel.send(reader), reading)
    finally:
        reading.cancel()
        tunnel.writer.close()


async def main() -> None:
    way, port, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    async def serve(reader, writer) -> None:
        try:
            if way == "tls":
                await through_tls(reader, writer, target)
            else:
                await through_h2(reader, writer, target, way == "h2-tls")
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError) as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, port, limit=1 << 20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
