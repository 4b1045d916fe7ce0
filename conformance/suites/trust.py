"""Chromium opens https://localhost behind `doorward dev`: never before `doorward trust`, always after it.

Nothing of this machine is changed: home and data are in a folder of the suite's own."""

import argparse
import os
import re
import shutil
import subprocess

from kit import HOST, RUN, Failure, tools
from kit.front import program
from kit.outcome import Outcome, Table, say
from kit.ports import free_port
from kit.process import Process

PACKAGES = ()
SECONDS = 60
#: A name that somebody owns: the root may not certify it, whatever Doorward does.
REAL = "www.bank.com"


def options(_: argparse.ArgumentParser) -> None:
    pass


def run(given: argparse.Namespace) -> Outcome:
    tools.debian("chromium", "libnss3-tools")
    home = RUN / "home"
    shutil.rmtree(home, ignore_errors=True)
    (home / ".pki" / "nssdb").mkdir(parents=True)
    plain, port, admin = free_port(), free_port(), free_port()
    config = RUN / "dev.toml"
    config.write_text(
        f'[listen]\nhttp = "{HOST}:{plain}"\nhttps = "{HOST}:{port}"\n[admin]\nlisten = "{HOST}:{admin}"\n'
        '[[route]]\npath = "/*"\nrespond = { status = 200, type = "text/html", body = "<title>the door is open</title>" }\n'
        f'[[route]]\nhost = "{REAL}"\npath = "/*"\nrespond = {{ status = 204 }}\n'
    )
    own = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
    doorward = str(program(given.doorward))

    def trust(*arguments: str) -> None:
        done = subprocess.run(
            [doorward, "trust", "--only", "browsers", *arguments], capture_output=True, text=True, env=os.environ | own
        )
        if done.returncode:
            raise Failure(f"doorward trust: {done.stdout}{done.stderr}")

    outcome, rows = Outcome(), []
    with Process("doorward-dev", [doorward, "dev", str(config)], port, **own):
        for what, before, wanted in (
            ("before `doorward trust`", lambda: None, "net::ERR_CERT_AUTHORITY_INVALID"),
            ("after it", trust, "the door is open"),
            ("after `doorward trust --remove`", lambda: trust("--remove"), "net::ERR_CERT_AUTHORITY_INVALID"),
        ):
            before()
            for host in ("localhost", "shop.localhost", HOST, REAL):
                say(f"chromium, {what}, {host}")
                found = opened(f"https://{host}:{port}/", home)
                good = found == wanted if host != REAL else found.startswith("net::ERR_CERT_")
                rows.append([what, host, found, "good" if good else "**bad**"])
                outcome.failed |= not good
    outcome.tables.append(Table("Chromium", ["when", "host", "Chromium", "verdict"], rows))
    return outcome


def opened(url: str, home) -> str:
    """The title of the page at `url`, or why there is none; a picture of it is in conformance/work."""
    command = [
        tools.find("chromium", "chromium"), "--headless", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={home / 'profile'}", "--disable-background-networking", "--disable-component-update",
        "--no-first-run", "--disable-sync", "--enable-logging=stderr", "--v=0",
        f"--host-resolver-rules=MAP {REAL} {HOST}",
    ]  # fmt: skip
    environment = os.environ | {"HOME": str(home)}

    def chromium(*more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*command, *more, url], capture_output=True, text=True, timeout=SECONDS, env=environment, cwd=RUN
        )

    dumped = chromium("--dump-dom")
    chromium(f"--screenshot={RUN / 'trust.png'}", "--window-size=800,400")
    title = re.search(r"<title>(.*?)</title>", dumped.stdout, re.S)
    codes = re.findall(r"ERR_CERT_\w+", dumped.stdout + dumped.stderr)
    if codes:
        return f"net::{codes[0]}"
    return title[1] if title else "no page"
