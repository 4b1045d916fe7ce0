#!/usr/bin/env python3
"""Runs examples/newsroom without its cache and with it, and compares the database queries for each page.

    bench/readers/compare.py target/release/doorward --seconds 20 --writes 0.2

Fails if the readers do: also if anybody sees an article as it was before an edit that had been answered.
"""

import argparse
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEWSROOM = ROOT / "examples" / "newsroom"
START_SECONDS_MAX = 60


def ready(process):
    """Waits until every service has an endpoint."""
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen("http://127.0.0.1:9900/readyz", timeout=2) as answer:
                if not json.load(answer)["services-without-endpoints"]:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("compare: the newsroom did not start; are its services built? see examples/newsroom/README.md")


def queries_a_page(program, config, options):
    process = subprocess.Popen([program, "run", config], cwd=NEWSROOM)
    try:
        ready(process)
        command = [sys.executable, Path(__file__).with_name("readers.py")]
        command += ["--seconds", str(options.seconds), "--writes", str(options.writes), "--readers", str(options.readers)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        print(done.stdout, flush=True)
        if done.returncode:
            sys.exit("compare: the readers found errors")
        return float(re.search(r"database queries: [0-9]+, ([0-9.]+) for each", done.stdout)[1])
    finally:
        process.terminate()
        process.wait()


def measured(program, left_out, options):
    """With the newsroom's configuration, but for some keys."""
    text = (NEWSROOM / "doorward.toml").read_text()
    kept = [line for line in text.splitlines(True) if line.split(" = ")[0].strip() not in left_out]
    config = NEWSROOM / ".compare.toml"
    config.write_text("".join(kept))
    try:
        return queries_a_page(program, config, options)
    finally:
        config.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--writes", type=float, default=0.2, help="edits and comments, in percent of what is done (0.2)")
    options = parser.parse_args()
    program = options.program.resolve()
    # `https` takes a certificate, which only `dev` makes.
    without = measured(program, ("https", "cache"), options)
    cached = measured(program, ("https",), options)
    print(f"{without:.2f} queries a page without the cache, {cached:.2f} with it: {without / max(cached, 0.001):.0f} times fewer")


if __name__ == "__main__":
    main()
