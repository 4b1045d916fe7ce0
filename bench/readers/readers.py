#!/usr/bin/env python3
"""Plays readers of examples/newsroom against a base URL for some seconds and tells how it went.

Each reader has one kept connection and does one thing after the other: pages, sections, articles as popular as they
are, comments, now and then a comment of its own or the edit of an article. The exit code is 1 if an error occurred that
was not allowed.
"""

import argparse
import asyncio
import bisect
import collections
import itertools
import json
import random
import re
import sys
import time
import urllib.parse

SERVICES = ("articles", "comments", "accounts", "front")
SECTIONS = "world politics business technology science health climate culture sport cities".split()
SEARCHES = ("council", "river", "ferry harbour", "patience", "budget audit", "night", "the long view")
ANSWER_SECONDS_MAX = 5
RANKED_ARTICLES = 100  # as many as the API gives in one list; the curve beyond them is flat

# What a reader does: how often of 100 times, and the service that must answer.
ACTIONS = {
    "front page": (20, "front"),
    "section page": (20, "front"),
    "article page": (44, "front"),
    "author page": (4, "front"),
    "search page": (3, "front"),
    "comments": (5, "comments"),
    "add comment": (2, "comments"),
    "edit article": (2, "articles"),
}
PAGES = [action for action in ACTIONS if action.endswith("page")]


class Failure(Exception):
    """A request without a good answer; the text is the kind of error."""


class Connection:
    """One kept HTTP/1.1 connection, opened again when the other side closed it."""

    def __init__(self, base):
        url = urllib.parse.urlsplit(base)
        if url.scheme != "http" or not url.hostname:
            raise SystemExit(f"readers: {base} is not like http://127.0.0.1:8080")
        self._host, self._port = url.hostname, url.port or 80
        self._reader = self._writer = None

    async def request(self, method, path, body=None):
        """Status and body of the answer."""
        try:
            return await asyncio.wait_for(self._request(method, path, body), ANSWER_SECONDS_MAX)
        except asyncio.TimeoutError:
            self.close()
            raise Failure("no answer in time") from None
        except ConnectionRefusedError:
            raise Failure("refused") from None
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise Failure("broken off") from None
        except (ValueError, asyncio.LimitOverrunError):
            self.close()
            raise Failure("not HTTP") from None

    async def _request(self, method, path, body):
        kept = self._writer is not None
        try:
            head = await self._send(method, path, body)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            # A kept connection may close just as we write; a browser asks again where that is harmless.
            unanswered = not getattr(error, "partial", b"")
            if not (kept and unanswered and method == "GET"):
                raise
            self.close()
            head = await self._send(method, path, body)
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        answer = await self._read_body(headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, answer

    async def _send(self, method, path, body):
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + payload)
        return await self._reader.readuntil(b"\r\n\r\n")

    async def _read_body(self, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            chunks = []
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                chunks.append(await self._reader.readexactly(size))
                await self._reader.readexactly(2)
            while await self._reader.readuntil(b"\r\n") != b"\r\n":
                pass  # trailers
            return b"".join(chunks)
        return await self._reader.readexactly(int(headers["content-length"]))

    def close(self):
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def read_json(connection, path):
    status, body = await connection.request("GET", path)
    if status != 200:
        raise Failure(f"status {status}")
    return json.loads(body)


class Record:
    """What happened: how long each good answer took, and every error by action and kind."""

    def __init__(self):
        self.milliseconds = collections.defaultdict(list)
        self.errors = collections.Counter()  # (action, service, kind)
        self.told = {}  # by article: the number of the newest edit that was answered
        self.editing = collections.defaultdict(asyncio.Lock)

    def fail(self, action, service, kind):
        self.errors[action, service, kind] += 1


class Reader:
    def __init__(self, base, ranked, seed, record, writes):
        self._connection = Connection(base)
        self._chance = random.Random(seed)
        self._ranked = ranked
        self._record = record
        self._writes = writes
        # Zipf's law: the article of rank r is read 1/r as often as the first.
        self._curve = list(itertools.accumulate(1 / rank for rank in range(1, len(ranked) + 1)))

    async def read_until(self, end):
        actions, weights = list(ACTIONS), [weight for weight, _ in ACTIONS.values()]
        weights[-2:] = [self._writes / 2, self._writes / 2]
        while time.monotonic() < end:
            action = self._chance.choices(actions, weights)[0]
            started = time.perf_counter()
            try:
                await self._act(action)
            except Failure as failure:
                self._record.fail(action, ACTIONS[action][1], str(failure))
                await asyncio.sleep(0.02)  # nobody reloads faster than that
            else:
                self._record.milliseconds[action].append((time.perf_counter() - started) * 1000)
        self._connection.close()

    async def _act(self, action):
        if action == "comments":
            await read_json(self._connection, f"/api/v1/comments?article={self._article()}")
        elif action == "add comment":
            await self._add_comment()
        elif action == "edit article":
            await self._edit_article()
        else:
            await self._open_page(action)

    def _article(self):
        point = self._chance.random() * self._curve[-1]
        return self._ranked[bisect.bisect(self._curve, point)]

    async def _open_page(self, action):
        chance = self._chance
        article = self._article()
        path = page_path(action, article, chance)
        told = self._record.told.get(article, 0)
        status, body = await self._connection.request("GET", path)
        if status != 200:
            raise Failure(f"status {status}")
        if not body.endswith(b"</html>"):
            raise Failure("half a page")
        if action == "article page" and edit_number(article, body.decode()) < told:
            raise Failure("an article as it was before an edit that had been answered")
        for service in SERVICES:
            if f'data-away="{service}"'.encode() in body:
                self._record.fail(action, service, f"page without {service}")

    async def _add_comment(self):
        comment = {
            "article": self._article(),
            "account": self._chance.randint(1, 3000),
            "text": f"Reader {self._chance.randint(1, 10**6)} was here.",
        }
        status, _ = await self._connection.request("POST", "/api/v1/comments", comment)
        if status != 201:
            raise Failure(f"status {status}")

    async def _edit_article(self):
        id = self._article()
        # One editor of an article at a time, so that the order of edits is known.
        async with self._record.editing[id]:
            await self._edit(id)

    async def _edit(self, id):
        path = f"/api/v1/articles/{id}"
        article = await read_json(self._connection, path)
        number = edit_number(id, article["summary"])
        if number < self._record.told.get(id, 0):
            raise Failure("an article as it was before an edit that had been answered")
        draft = {name: article[name] for name in ("section", "headline", "summary", "body", "tags")}
        draft["author"] = article["author"]["id"]
        draft["summary"] = re.sub(r" \(Edit [0-9.]+\)$", "", draft["summary"]) + f" (Edit {id}.{number + 1})"
        status, _ = await self._connection.request("PUT", path, draft)
        if status != 200:
            raise Failure(f"status {status}")
        # From now on nobody may see it as it was.
        self._record.told[id] = number + 1


def edit_number(article, text):
    """The number of the newest edit of the article that `text` shows; 0 without any."""
    return max(map(int, re.findall(rf"\(Edit {article}\.([0-9]+)\)", text)), default=0)


def page_path(action, article, chance):
    match action:
        case "front page":
            return "/"
        case "section page":
            return f"/section/{chance.choice(SECTIONS)}"
        case "article page":
            return f"/article/{article}"
        case "author page":
            return f"/author/{chance.randint(1, 120)}"
        case "search page":
            return f"/search?{urllib.parse.urlencode({'q': chance.choice(SEARCHES)})}"


async def count_queries(connection):
    """Database queries so far, by service; a service that is away has no number."""
    counts = {}
    for service in ("articles", "comments", "accounts"):
        try:
            counts[service] = (await read_json(connection, f"/api/v1/{service}/stats"))["queries"]
        except Failure:
            pass
    return counts


def spent(before, after):
    """Queries between two counts, or None if a service went away or began anew in between."""
    if before.keys() != after.keys() or any(after[name] < before[name] for name in before):
        return None
    return sum(after.values()) - sum(before.values())


async def price_pages(connection, article):
    """Database queries for each kind of page, asked for once while nobody else reads."""
    prices = {}
    for action in PAGES:
        before = await count_queries(connection)
        await connection.request("GET", page_path(action, article, random.Random(1)))
        prices[action] = spent(before, await count_queries(connection))
    return prices


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def report(record, seconds, prices, queries):
    print(f"{'':14}{'requests':>10}{'errors':>8}{'p50 ms':>9}{'p99 ms':>9}{'queries':>9}")
    for action in ACTIONS:
        times = record.milliseconds[action]
        errors = sum(count for (name, _, _), count in record.errors.items() if name == action)
        p50, p99 = (f"{percentile(times, share):.1f}" if times else "-" for share in (0.5, 0.99))
        price = prices.get(action)
        print(f"{action:14}{len(times):>10}{errors:>8}{p50:>9}{p99:>9}{'-' if price is None else price:>9}")
    total = sum(map(len, record.milliseconds.values()))
    pages = sum(len(record.milliseconds[action]) for action in PAGES)
    print(f"\n{total} requests in {seconds:.1f} s: {total / seconds:.0f} a second")
    if queries is None:
        print("database queries: unknown, a service was away or began anew")
    else:
        print(f"database queries: {queries}, {queries / max(pages, 1):.2f} for each of {pages} pages")
    for (action, service, kind), count in sorted(record.errors.items()):
        print(f"error: {action}: {kind} ({service}): {count}")


async def play(options):
    connection = Connection(options.url)
    try:
        ranked = await read_json(connection, f"/api/v1/articles/popular?days=730&limit={RANKED_ARTICLES}")
        ids = [article["id"] for article in ranked]
        prices = await price_pages(connection, ids[0])
    except Failure as failure:
        raise SystemExit(f"readers: no newsroom at {options.url}: {failure}") from None
    record = Record()
    before = await count_queries(connection)
    started = time.monotonic()
    readers = [Reader(options.url, ids, options.seed + number, record, options.writes) for number in range(options.readers)]
    await asyncio.gather(*(reader.read_until(started + options.seconds) for reader in readers))
    seconds = time.monotonic() - started
    queries = spent(before, await count_queries(connection))
    connection.close()
    report(record, seconds, prices, queries)
    return sum(count for (_, service, _), count in record.errors.items() if service not in options.allow)


def bounded(low, high):
    def parse(text):
        if not low <= (value := int(text)) <= high:
            raise ValueError
        return value

    parse.__name__ = f"number from {low} to {high}"  # argparse shows it
    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8080")
    parser.add_argument("--readers", type=bounded(1, 500), default=8)
    parser.add_argument("--seconds", type=bounded(1, 600), default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writes", type=float, default=4, help="edits and comments, in percent of what is done (4)")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        choices=SERVICES,
        metavar="SERVICE",
        help="tolerate errors of this service and pages without its part, as when it is killed on purpose",
    )
    failures = asyncio.run(play(parser.parse_args()))
    if failures:
        sys.exit(f"readers: {failures} errors")


if __name__ == "__main__":
    main()
