"""Ports that nobody else has."""

import socket

from . import HOST, Failure

_given: set[int] = set()


def free_port() -> int:
    """A port that is free for TCP and UDP alike, now, and is not given twice."""
    for _ in range(100):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((HOST, 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind((HOST, port))
            except OSError:
                continue
            if port not in _given:
                _given.add(port)
                return port
    raise Failure("no port is free for both TCP and UDP")
