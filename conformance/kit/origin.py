"""A service to stand behind Doorward, in HTTP/1.1: python3 -m kit.origin PORT

/bytes/N     N bytes
/slow        a byte each tenth of a second, for ever
/hold/MS     an answer after MS milliseconds: the most of these that waited at a time since /hold/0
/page        a page that asks for some more, and writes how it came into its title
anything     what was asked: method, path, length and SHA-256 of the body, as JSON
"""

import asyncio
import hashlib
import json
import sys

from . import HERE, HOST
from .ports import free_port
from .process import Process

PIECE = b"0123456789abcdef" * 4096
PAGE = HERE / "kit" / "page.html"


class Origin(Process):
    def __init__(self, name: str = "origin"):
        port = free_port()
        super().__init__(name, [sys.executable, "-m", "kit.origin", str(port)], port, PYTHONPATH=str(HERE))


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await read_head(reader):
            method, path, fields = head
            if fields.get("expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length, digest = await read_body(reader, fields)
            await answer(writer, method, path, length, digest)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def read_head(reader: asyncio.StreamReader):
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = text.split("\r\n")
    method, path, _ = first.split(" ")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return method, path, fields


async def read_body(reader: asyncio.StreamReader, fields: dict) -> tuple[int, str]:
    digest, total = hashlib.sha256(), 0

    async def take(length: int) -> None:
        nonlocal total
        while length:
            piece = await reader.read(min(length, 1 << 20))
            if not piece:
                raise ConnectionError
            digest.update(piece)
            length -= len(piece)
            total += len(piece)

    if fields.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
            await take(size)
            await reader.readexactly(2)
        while (await reader.readline()).strip():
            pass
    else:
        await take(int(fields.get("content-length", 0)))
    return total, digest.hexdigest()


async def answer(writer: asyncio.StreamWriter, method: str, path: str, length: int, digest: str) -> None:
    kind = path.split("?")[0].strip("/").split("/")
    if kind[0] == "slow":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n.\r\n")
            await writer.drain()
            await asyncio.sleep(0.1)
    content_type = "application/json"
    if kind[0] == "bytes":
        size, text, content_type = int(kind[1]), None, "application/octet-stream"
    elif kind[0] == "hold":
        text = str(await hold(int(kind[1]) / 1000)).encode()
        size = len(text)
    elif kind[0] == "page":
        text, content_type = PAGE.read_bytes(), "text/html"
        size = len(text)
    else:
        asked = {"method": method, "path": path, "length": length, "sha256": digest}
        text = json.dumps(asked).encode()
        size = len(text)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n"
    writer.write(f"{head}Content-Length: {size}\r\n\r\n".encode())
    if method == "HEAD":
        return
    if text is not None:
        writer.write(text)
    while text is None and size:
        piece = PIECE[: min(size, len(PIECE))]
        writer.write(piece)
        await writer.drain()
        size -= len(piece)
    await writer.drain()


class Held:
    now = most = 0


async def hold(seconds: float) -> int:
    if not seconds:
        most, Held.most = Held.most, 0
        return most
    Held.now += 1
    Held.most = max(Held.most, Held.now)
    try:
        await asyncio.sleep(seconds)
    finally:
        Held.now -= 1
    return Held.most


async def main() -> None:
    server = await asyncio.start_server(serve, HOST, int(sys.argv[1]), limit=1 << 20, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
