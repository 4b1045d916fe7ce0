"""A WebSocket server that sends back what it gets: python3 -m kit.echo PORT"""

import asyncio
import sys

import websockets
from websockets.asyncio.server import serve

from . import HERE, HOST
from .ports import free_port
from .process import Process

#: Autobahn's largest messages have 16 MiB.
MESSAGE_MAX_BYTES = 32 << 20


class Echo(Process):
    def __init__(self):
        port = free_port()
        super().__init__("echo", [sys.executable, "-m", "kit.echo", str(port)], port, PYTHONPATH=str(HERE))


async def echo(connection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except websockets.ConnectionClosed:
        pass


async def main() -> None:
    async with serve(echo, HOST, int(sys.argv[1]), max_size=MESSAGE_MAX_BYTES, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
