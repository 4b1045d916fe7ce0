"""PostgreSQL behind [[tcp]]: by an address of its own, and two servers on one address, told apart by their names.

The servers end TLS themselves, and psql checks that the certificate is the right one. Servers and clients are
those of Debian's package; each server runs in a folder of its own, for the time of the run."""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from kit import HOST, RUN, Failure, tools
from kit.front import chosen, program
from kit.outcome import Outcome, Table, say
from kit.ports import free_port
from kit.process import Process

PACKAGES = ()
NAMES = ("one.db.test", "two.db.test")
#: What goes through in one COPY.
ROWS = 300_000
BENCH_CLIENTS, BENCH_SECONDS = 20, 3
SECONDS = 120
CONFIG = """\
[listen]
http = "{host}:{http}"

[admin]
listen = "{host}:{admin}"

[[tcp]]
listen = "{host}:{plain}"
service = "one"

[[tcp]]
listen = "{host}:{named}"
sni = "one.db.test"
service = "one"

[[tcp]]
listen = "{host}:{named}"
sni = "two.db.test"
service = "two"

[service.one]
endpoints = ["{host}:{one}"]

[service.two]
endpoints = ["{host}:{two}"]
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", nargs="+", default=[], metavar="WORDS", help="cases with these words in their names")


class Server(Process):
    """A server that tells its name, with a certificate for it."""

    def __init__(self, name: str, folder: Path):
        self.data, self.cert = folder / name, folder / f"{name}.pem"
        self.host_name, key = name, folder / f"{name}.key"
        output(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
             "-keyout", str(key), "-out", str(self.cert)])  # fmt: skip
        # The server takes no key that others can read, and does not run as root.
        key.chmod(0o600)
        if as_user():
            shutil.chown(folder, "postgres")
            shutil.chown(key, "postgres")
            shutil.chown(self.cert, "postgres")
        output([*as_user(), binary("initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8"])
        port = free_port()
        settings = {
            "listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off",
            "cluster_name": name, "ssl": "on", "ssl_cert_file": self.cert, "ssl_key_file": key,
        }  # fmt: skip
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        super().__init__(name, [*as_user(), binary("postgres"), "-D", str(self.data), *options], port)


def as_user() -> list[str]:
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []


def binary(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else tools.find(name, "postgresql")


def output(command: list[str], **more) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **more)
    if done.returncode != 0:
        raise Failure(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout.strip()


class Ask:
    """How a client connects."""

    def __init__(self, port: int, ssl: str = "disable", name: str | None = None, cert: Path | None = None):
        self.words = f"host={name or HOST} hostaddr={HOST} port={port} user=postgres dbname=postgres sslmode={ssl}"
        self.words += f" sslrootcert={cert}" if cert else ""

    def sql(self, *commands: str, **more) -> str:
        wanted = [word for command in commands for word in ("-c", command)]
        return output([binary("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *wanted, self.words], **more)


WHO = "select current_setting('cluster_name'), ssl from pg_stat_ssl where pid = pg_backend_pid()"


def cases(plain: int, named: int, servers: list[Server]):
    """Names, what is asked, and what has to be the answer."""
    by_name = [Ask(named, "verify-full", server.host_name, server.cert) for server in servers]
    yield "in the clear", lambda: Ask(plain).sql(WHO), f"{NAMES[0]}|f"
    yield "encrypted", lambda: Ask(plain, "require").sql(WHO), f"{NAMES[0]}|t"
    for name, ask in zip(NAMES, by_name):
        yield f"by the name {name}", lambda ask=ask: ask.sql(WHO), f"{name}|t"
    yield "a name that nobody has", lambda: refused(Ask(named, "require", "none.db.test")), "refused"
    yield "in the clear where names decide", lambda: refused(Ask(named, "disable", NAMES[0])), "refused"
    for what, ask in (("in the clear", Ask(plain)), ("by name", by_name[1])):
        yield f"much of it, {what}", lambda ask=ask: much(ask), f"{ROWS}"
        yield f"pgbench, {what}", lambda ask=ask: bench(ask), "no failure"


def refused(ask: Ask) -> str:
    try:
        return ask.sql("select 1")
    except Failure:
        return "refused"


def much(ask: Ask) -> str:
    """Rows that go out and come in again; how many are the same."""
    rows = f"select n, repeat(md5(n::text), 4) as text from generate_series(1, {ROWS}) n"
    with tempfile.NamedTemporaryFile() as file:
        ask.sql(f"\\copy ({rows}) to '{file.name}'")
        ask.sql("drop table if exists much", "create table much (n int, text text)", f"\\copy much from '{file.name}'")
    return ask.sql(f"select count(*) from much join ({rows}) made using (n, text)")


def bench(ask: Ask) -> str:
    output([binary("pgbench"), "-i", "-q", ask.words])
    said = output([binary("pgbench"), "-c", str(BENCH_CLIENTS), "-T", str(BENCH_SECONDS), "-C", ask.words])
    failed = [line for line in said.splitlines() if "failed" in line]
    return "no failure" if all(": 0 " in line for line in failed) else failed[0]


def run_cases(plain: int, named: int, servers: list[Server], given: argparse.Namespace) -> dict[str, str | None]:
    """What is wrong with each case, if anything is."""
    found = {}
    for name, ask, wanted in cases(plain, named, servers):
        if given.case and not any(words in name for words in given.case):
            continue
        try:
            answer = ask()
            found[name] = None if answer == wanted else f"{answer!r} is not {wanted!r}"
        except (Failure, subprocess.TimeoutExpired) as failure:
            found[name] = " ".join(str(failure).split())
        if found[name]:
            say(f"  failed: {name}: {found[name]}")
    return found


def run(given: argparse.Namespace) -> Outcome:
    if chosen(given) != ["doorward"]:
        raise Failure("the peers of bench/ pass no TCP on")
    tools.debian("postgresql")
    outcome = Outcome()
    folder = Path(tempfile.mkdtemp(prefix="doorward-postgres-"))
    folder.chmod(0o755)
    try:
        with Server(NAMES[0], folder) as one, Server(NAMES[1], folder) as two:
            ports = {name: free_port() for name in ("http", "admin", "plain", "named")}
            config = RUN / "postgres.toml"
            config.write_text(CONFIG.format(host=HOST, one=one.port, two=two.port, **ports))
            with Process("doorward", [str(program(given.doorward)), "run", str(config)], ports["named"]) as door:
                say("postgres, doorward")
                found = run_cases(ports["plain"], ports["named"], [one, two], given)
                if not door.is_running():
                    raise Failure(f"doorward ended: {door.last_words()}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    wrong = {name: why for name, why in found.items() if why}
    outcome.failed = bool(wrong)
    notes = [f"fails: {name}: {why}" for name, why in wrong.items()]
    rows = [["doorward", str(len(found)), str(len(found) - len(wrong))]]
    outcome.tables.append(Table("PostgreSQL", ["through", "cases", "pass"], rows, notes))
    return outcome
