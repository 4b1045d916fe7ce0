"""Who is tested: Doorward as users start it, or one of its peers in the same place."""

import argparse
import os
from pathlib import Path

from harness import contenders
from harness.certificate import Certificate, certificate

from . import HOST, ROOT, RUN, Failure
from .ports import free_port
from .process import Process

CONFIG = """\
[listen]
http = "{host}:{plain}"
https = "{host}:{secure}"

[admin]
listen = "{host}:{admin}"

[tls]
certificates = [{certificates}]

[log]
access = "off"

[service.origin]
endpoints = ["{host}:{origin}"]
{service}
[[route]]
path = "/*"
service = "origin"
{route}
"""
PLAIN_ONLY = """\
[listen]
http = "{host}:{plain}"

[admin]
listen = "{host}:{admin}"

[log]
access = "off"

[service.origin]
endpoints = ["{host}:{origin}"]
{service}
[[route]]
path = "/*"
service = "origin"
{route}
"""


class Front(Process):
    """A proxy that runs, with its ports."""

    def __init__(self, name: str, command: list[str], ports: contenders.Ports, **more):
        super().__init__(name, command, ports.plain, **more.pop("environment", {}))
        self.plain_port = ports.plain
        self.secure_port = ports.secure
        #: Where HTTP/2 without TLS is understood.
        self.prior_port = more.get("prior_port", ports.plain)
        #: Doorward's alone: metrics and explanations.
        self.admin_port: int | None = more.get("admin_port")
        self.certificate: Certificate = more["certificate"]


def options(parser: argparse.ArgumentParser) -> None:
    who = parser.add_argument_group("who is tested")
    who.add_argument("--doorward", type=Path, metavar="PATH", help="this program (what cargo built last)")
    who.add_argument("--against", default="doorward", metavar="NAMES", help="doorward, or peers: "
                     + ", ".join(names()) + ", comma separated (doorward)")  # fmt: skip


def names() -> list[str]:
    """Peers, each in its plain form."""
    return [peer.name for peer in contenders.PEERS if "-" not in peer.name]


def chosen(given: argparse.Namespace) -> list[str]:
    picked = given.against.split(",")
    for name in picked:
        if name not in ("doorward", *names()):
            raise Failure(f"--against {name}: there are doorward, {', '.join(names())}")
    return picked


def front(
    name: str,
    origin_port: int,
    given: argparse.Namespace,
    service: str = "",
    plain_only: bool = False,
    route: str = "",
) -> Front:
    """To be used as a context. `service`, `route`: further lines of Doorward's `[service.origin]` and of its
    route."""
    ports = contenders.Ports(*(free_port() for _ in range(4)))
    made = certificate(RUN)
    if name != "doorward":
        peer = next(one for one in contenders.PEERS if one.name == name)
        command = peer.command(ports, origin_port, RUN, workers=2, certificates=made)
        return Front(name, command, ports, prior_port=peer.prior_port(ports), certificate=made,
                     environment=peer.environment)  # fmt: skip
    config = RUN / "doorward.toml"
    config.write_text((PLAIN_ONLY if plain_only else CONFIG).format(
        host=HOST, plain=ports.plain, secure=ports.secure, admin=ports.admin, origin=origin_port, service=service, route=route,
        certificates=f'{{ cert = "{made.cert}", key = "{made.key}" }}',
    ))  # fmt: skip
    command = [str(program(given.doorward)), "run", str(config)]
    return Front(name, command, ports, admin_port=ports.admin, certificate=made)


def program(given: Path | None) -> Path:
    """The one that was named, or the one that was built last."""
    if given:
        return given.resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / profile / "doorward" for profile in ("release", "debug")]
    built = [path for path in built if path.exists()]
    if not built:
        raise Failure("there is no doorward: cargo build, or --doorward PATH")
    return max(built, key=lambda path: path.stat().st_mtime)
