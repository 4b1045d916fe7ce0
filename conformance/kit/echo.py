"""A WebSocket server that sends back what it gets: python3 -m kit.echo PORT SECURE_PORT CERT KEY"""

import asyncio
import ssl
import sys

import websockets
from harness.certificate import certificate
from websockets.asyncio.server import serve

from . import HERE, HOST, RUN
from .ports import free_port
from .process import Process

#: Autobahn's largest messages have 16 MiB.
MESSAGE_MAX_BYTES = 32 << 20


class Echo(Process):
    def __init__(self):
        port, self.secure_port, made = free_port(), free_port(), certificate(RUN / "service")
        words = [str(port), str(self.secure_port), str(made.cert), str(made.key)]
        super().__init__("echo", [sys.executable, "-m", "kit.echo", *words], port, PYTHONPATH=str(HERE))
        self.tls_lines = f'tls = {{ roots = "{made.cert}" }}'


async def echo(connection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except websockets.ConnectionClosed:
        pass


async def main() -> None:
    port, secure_port, cert, key = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    more = {"max_size": MESSAGE_MAX_BYTES, "ping_interval": None}
    async with serve(echo, HOST, int(port), **more), serve(echo, HOST, int(secure_port), ssl=context, **more) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
