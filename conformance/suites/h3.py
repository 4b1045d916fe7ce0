"""HTTP/3 as foreign implementations speak it: aioquic, ngtcp2 with GnuTLS and with BoringSSL (curl), Chromium.

Each asks for something small and something large, sends something, sends a lot (--upload), and has a
thousand requests under way at a time. aioquic and ngtcp2 move to other ports meanwhile."""

import argparse
import asyncio
import hashlib
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kit import HOST, RUN, Failure, tools
from kit.front import Front, chosen, front
from kit.origin import Origin
from kit.outcome import Outcome, Table, say

PACKAGES = ("aioquic", "curl_cffi")
LARGE_BYTES = 10_000_000
POST_BYTES = 100_000
#: A larger Blob takes longer to make than the virtual time of a Chromium without a screen lets it.
BLOB_BYTES_MAX = 256 << 20
HOLD_MS = 1000
SECONDS = 900
PATTERN = b"0123456789abcdef"
FACTORS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Bad(Exception):
    """It did not go as it should."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--upload", default="1GiB", type=size, metavar="SIZE", help="of the large body (1GiB)")
    parser.add_argument("--parallel", default=1000, type=int, help="requests at a time (1000)")
    parser.add_argument("--client", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--only", nargs="+", metavar="WHAT", help="get, post, upload, parallel, moves, key-update")


def size(text: str) -> int:
    found = re.fullmatch(r"(\d+)(KiB|MiB|GiB)", text)
    if not found:
        raise argparse.ArgumentTypeError("a number and KiB, MiB or GiB")
    return int(found[1]) * FACTORS[found[2]]


def run(given: argparse.Namespace) -> Outcome:
    outcome, rows = Outcome(), []
    with Origin() as origin:
        for name in chosen(given):
            with front(name, origin.port, given) as proxy:
                for client in given.client:
                    for what, action in CLIENTS[client].items():
                        if given.only and what not in given.only:
                            continue
                        say(f"h3, {name}, {client}, {what}")
                        before, begin = proxy.resident_bytes(), time.monotonic()
                        try:
                            shown, good = action(proxy, given), True
                        except (Bad, OSError, TimeoutError, subprocess.TimeoutExpired) as error:
                            shown, good = f"**{error or type(error).__name__}**", False
                        seconds = time.monotonic() - begin
                        grown = max(0, proxy.resident_bytes() - before) / 2**20
                        rows.append([name, client, what, shown, f"{seconds:.1f} s", f"{grown:.0f} MiB"])
                        outcome.failed |= not good and name == "doorward"
                        if not proxy.is_running():
                            raise Failure(f"{name} ended: {proxy.last_words()}")
    outcome.tables.append(Table("HTTP/3", ["who", "client", "what", "came", "took", "memory grew"], rows))
    return outcome


def digest(length: int) -> str:
    """SHA-256 of what is sent: the pattern, again and again."""
    made, piece = hashlib.sha256(), PATTERN * (1 << 16)
    for _ in range(length // len(piece)):
        made.update(piece)
    made.update((PATTERN * (length % len(piece) // len(PATTERN) + 1))[: length % len(piece)])
    return made.hexdigest()


def echoed(body: bytes, length: int) -> str:
    """What the service says of the body that reached it."""
    try:
        told = json.loads(body)
    except ValueError:
        raise Bad(f"not what was asked for: {body[:100]!r}") from None
    if told["length"] != length or told["sha256"] != digest(length):
        raise Bad(f"{told['length']} of {length} bytes arrived, or others")
    return f"{length} B arrived"


def held(most: int, parallel: int) -> str:
    return f"{parallel} answers, at most {most} at a time"


# aioquic


def with_aioquic(action) -> Callable:
    def run_it(proxy: Front, given) -> str:
        async def all_of_it():
            from kit.quic import connected

            async with connected(proxy.secure_port) as client:
                return await action(client, given)

        return asyncio.run(asyncio.wait_for(all_of_it(), SECONDS))

    return run_it


async def aioquic_get(client, given) -> str:
    for path, length in (("/bytes/1000", 1000), (f"/bytes/{LARGE_BYTES}", LARGE_BYTES)):
        status, body = await client.ask(path)
        if status != "200" or body != (PATTERN * (length // 16 + 1))[:length]:
            raise Bad(f"status {status}, {len(body)} of {length} bytes")
    return f"1000 B, {LARGE_BYTES} B"


async def aioquic_post(client, given) -> str:
    _, body = await client.upload("/echo", POST_BYTES, PATTERN * 4096)
    return echoed(body, POST_BYTES)


async def aioquic_upload(client, given) -> str:
    _, body = await client.upload("/echo", given.upload, PATTERN * (1 << 14))
    return echoed(body, given.upload)


async def aioquic_parallel(client, given) -> str:
    await client.ask("/hold/0")
    answers = await asyncio.gather(*(client.ask(f"/hold/{HOLD_MS}") for _ in range(given.parallel)))
    bad = [status for status, _ in answers if status != "200"]
    if bad:
        raise Bad(f"{len(bad)} bad answers, as {bad[0]}")
    return held(max(int(body) for _, body in answers), given.parallel)


async def aioquic_moves(client, given) -> str:
    for _ in range(5):
        status, body = await client.ask("/bytes/100000")
        if status != "200" or len(body) != 100_000:
            raise Bad(f"status {status}, {len(body)} bytes")
        await client.move()
    status, _ = await asyncio.wait_for(client.ask("/bytes/1000"), 10)
    return f"5 times, then {status}"


# gtlsclient, of Debian's ngtcp2


def gtlsclient(proxy: Front, *words: str, path: str = "/bytes/1000", folder: str | None = None) -> str:
    tools.debian("ngtcp2-client")
    command = [tools.find("gtlsclient", "ngtcp2-client"), "--exit-on-all-streams-close", "--no-quic-dump",
               "--timeout=30s", *words, HOST, str(proxy.secure_port),
               f"https://localhost:{proxy.secure_port}{path}"]  # fmt: skip
    if folder:
        command[1:1] = [f"--download={folder}"]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS)
    text = (done.stdout + done.stderr).decode(errors="replace")
    if done.returncode:
        raise Bad(f"gtlsclient ended with {done.returncode}: {text.strip().splitlines()[-1][-200:]}")
    return text


def ngtcp2_get(proxy: Front, given) -> str:
    with tempfile.TemporaryDirectory() as folder:
        for length in (1000, LARGE_BYTES):
            gtlsclient(proxy, "--quiet", path=f"/bytes/{length}", folder=folder)
            body = (Path(folder) / str(length)).read_bytes()
            if body != (PATTERN * (length // 16 + 1))[:length]:
                raise Bad(f"{len(body)} of {length} bytes")
    return f"1000 B, {LARGE_BYTES} B"


def sent_by_ngtcp2(proxy: Front, length: int) -> str:
    source = RUN / "upload"
    with source.open("wb") as out:
        piece = PATTERN * (1 << 16)
        for begin in range(0, length, len(piece)):
            out.write(piece[: length - begin])
    try:
        with tempfile.TemporaryDirectory() as folder:
            gtlsclient(proxy, "--quiet", f"--data={source}", "--http-method=POST", path="/echo", folder=folder)
            return echoed((Path(folder) / "echo").read_bytes(), length)
    finally:
        source.unlink()


def ngtcp2_post(proxy: Front, given) -> str:
    return sent_by_ngtcp2(proxy, POST_BYTES)


def ngtcp2_upload(proxy: Front, given) -> str:
    return sent_by_ngtcp2(proxy, given.upload)


def ngtcp2_parallel(proxy: Front, given) -> str:
    text = gtlsclient(proxy, f"--nstreams={given.parallel}", path="/hold/300")
    answered = text.count("[:status: 200]")
    if answered != given.parallel:
        raise Bad(f"{answered} of {given.parallel} answers")
    return f"{answered} answers"


def ngtcp2_moves(proxy: Front, given) -> str:
    for word in ((), ("--nat-rebinding",)):
        text = gtlsclient(proxy, "--change-local-addr=100ms", "--delay-stream=300ms", *word)
        if "[:status: 200]" not in text:
            raise Bad("no answer after the move")
    return "by itself, and by a translator"


def ngtcp2_key_update(proxy: Front, given) -> str:
    if "[:status: 200]" not in gtlsclient(proxy, "--key-update=50ms", "--delay-stream=200ms"):
        raise Bad("no answer after it")
    return "answered"


# curl with HTTP/3, as curl_cffi brings it


def curl(proxy: Front, path: str, **more):
    from curl_cffi import CurlHttpVersion, requests

    address = f"https://{HOST}:{proxy.secure_port}{path}"
    answer = requests.request(url=address, verify=False, http_version=CurlHttpVersion.V3ONLY, timeout=SECONDS,
                              **({"method": "GET"} | more))  # fmt: skip
    if answer.status_code != 200 or answer.http_version != CurlHttpVersion.V3:
        raise Bad(f"status {answer.status_code} over {answer.http_version}")
    return answer.content


def curl_get(proxy: Front, given) -> str:
    for length in (1000, LARGE_BYTES):
        if curl(proxy, f"/bytes/{length}") != (PATTERN * (length // 16 + 1))[:length]:
            raise Bad("other bytes")
    return f"1000 B, {LARGE_BYTES} B"


def curl_post(proxy: Front, given) -> str:
    body = (PATTERN * (POST_BYTES // 16 + 1))[:POST_BYTES]
    return echoed(curl(proxy, "/echo", method="POST", data=body), POST_BYTES)


# Chromium


def chromium_page(proxy: Front, given) -> str:
    found = page(proxy, "")
    return f"page {found['page']}, fetches {found['fetches']}"


def chromium_parallel(proxy: Front, given) -> str:
    found = page(proxy, f"?parallel={given.parallel}")
    if found["parallel"] != given.parallel:
        raise Bad(f"{found['parallel']} of {given.parallel} answers")
    return f"{given.parallel} answers"


def chromium_upload(proxy: Front, given) -> str:
    length = min(given.upload, BLOB_BYTES_MAX)
    found = page(proxy, f"?upload={length}", seconds=SECONDS)
    if found["upload"] != length:
        raise Bad(f"{found['upload']} of {length} bytes arrived")
    return f"{length} B arrived"


def page(proxy: Front, query: str, **more) -> dict:
    from kit.browser import load

    found = load(proxy, True, query, **more)
    if found.get("fault"):
        raise Bad(found["fault"])
    if not (found["get"] and found["post"] and found["page"] == found["fetches"] == "h3"):
        raise Bad(str(found))
    return found


CLIENTS = {
    "aioquic": {
        "get": with_aioquic(aioquic_get),
        "post": with_aioquic(aioquic_post),
        "parallel": with_aioquic(aioquic_parallel),
        "moves": with_aioquic(aioquic_moves),
        "upload": with_aioquic(aioquic_upload),
    },
    "ngtcp2": {
        "get": ngtcp2_get,
        "post": ngtcp2_post,
        "parallel": ngtcp2_parallel,
        "moves": ngtcp2_moves,
        "key-update": ngtcp2_key_update,
        "upload": ngtcp2_upload,
    },
    "curl": {"get": curl_get, "post": curl_post},
    "chromium": {"get": chromium_page, "parallel": chromium_parallel, "upload": chromium_upload},
}
