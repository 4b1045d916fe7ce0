"""Measures what a request costs in Doorward and in its peers. Entry point: bench/run."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
WORK = BENCH / "work"
CONF = BENCH / "conf"
HOST = "127.0.0.1"


class Failure(Exception):
    """Something the user has to know, in words; ends the run."""
