"""A small service for tests: answers every request, and misbehaves as its arguments say."""

import os
import signal
import socket
import sys
import time

words = sys.argv[1:]


def given(name):
    return words[words.index(name) + 1] if name in words else None


if "--print-variables" in words:
    for name in ("PORT", "SERVICE", "INSTANCE", "DOORWARD_URL", "COLOUR"):
        print(f"{name}={os.environ.get(name)}")
    print("on stderr", file=sys.stderr, flush=True)
    sys.stdout.buffer.write(b"not text: \xff\nno line end")
    sys.stdout.flush()
if given("--flood"):
    line = b"x" * 99 + b"\n"
    for _ in range(int(given("--flood")) // 1000):
        os.write(1, line * 10)
    os.write(1, b"y" * 1000000)
if given("--after"):
    time.sleep(float(given("--after")))
if given("--exit"):
    print("first\nsecond\nlast words", file=sys.stderr, flush=True)
    sys.exit(int(given("--exit")))
if "--deaf" in words:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--parent" in words and os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(f"grandchild {os.getpid()}", flush=True)
    time.sleep(600)

hangs = []
signal.signal(signal.SIGUSR1, lambda *_: hangs.append(True))
status = given("--status") or "204 No Content"
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("127.0.0.1", int(given("--port") or os.environ["PORT"])))
door.listen(64)
kept = []
while True:
    client, _ = door.accept()
    if hangs:
        kept.append(client)
        continue
    client.recv(65536)
    client.sendall(f"HTTP/1.1 {status}\r\nConnection: close\r\nX-Name: {given('--name')}\r\n\r\n".encode())
    client.close()
