"""Chromium without a screen, which loads kit/page.html and tells what the page found."""

import json
import re
import shutil
import subprocess
import tempfile
from html import unescape

from . import HOST, Failure, tools
from .front import Front

SECONDS = 120


def load(proxy: Front, quic: bool, query: str = "", seconds: int = SECONDS) -> dict:
    """What the page found, asked for over QUIC from the first packet on or not at all."""
    tools.debian("chromium")
    authority = f"localhost:{proxy.secure_port}"
    profile = tempfile.mkdtemp(prefix="conformance-")
    how = [f"--origin-to-force-quic-on={authority}", "--enable-quic"] if quic else ["--disable-quic"]
    command = [
        tools.find("chromium", "chromium"), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
        f"--ignore-certificate-errors-spki-list={proxy.certificate.fingerprint()}", *how,
        "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync",
        f"--host-resolver-rules=MAP localhost {HOST}", f"--virtual-time-budget={seconds * 1000}", "--dump-dom", f"https://{authority}/page{query}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"chromium did not end within {expired.timeout:.0f} s") from expired
    finally:
        shutil.rmtree(profile, ignore_errors=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    if not title or not title[1].startswith("{"):
        return {"fault": (title[1] if title else "; ".join(re.findall(r"net::\w+", done.stderr))) or "no page"}
    return json.loads(unescape(title[1]))
