"""Chromium opens a page over HTTP/2 and over HTTP/3; the page then asks for more."""

import argparse

from kit.front import chosen, front
from kit.origin import Origin
from kit.outcome import Outcome, Table, say

PACKAGES = ()
#: As Chromium names them (ALPN).
NAMES = {False: "h2", True: "h3"}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", choices=("h2", "h3", "both"), default="both")


def run(given: argparse.Namespace) -> Outcome:
    from kit.browser import load

    outcome, rows = Outcome(), []
    with Origin() as origin:
        for name in chosen(given):
            with front(name, origin.port, given) as proxy:
                for quic in (False, True):
                    if given.version not in ("both", NAMES[quic]):
                        continue
                    say(f"chromium, {name}, {NAMES[quic]}")
                    found = load(proxy, quic)
                    versions = {found.get("page"), *found.get("fetches", "").split()}
                    good = found.get("get") and found.get("post") and versions == {NAMES[quic]}
                    shown = found.get("fault") or f"page {found['page']}, fetches {found['fetches']}"
                    rows.append([name, NAMES[quic], shown, "good" if good else "**bad**"])
                    outcome.failed |= not good and name == "doorward"
    outcome.tables.append(Table("Chromium", ["who", "asked for over", "came over", "verdict"], rows))
    return outcome
