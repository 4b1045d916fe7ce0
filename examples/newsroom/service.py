"""What the Python services share: a small HTTP/1.1 server with JSON routes, over one SQLite database."""

import argparse
import email.utils
import fcntl
import hashlib
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import sys
import threading
import time
import urllib.parse

ARTICLES = 5_000  # as many as the articles service writes unless told otherwise
ACCOUNTS = 3_000
ARCHIVE_SECONDS = 730 * 86_400  # everything in the databases happened within two years
BODY_BYTES_MAX = 16 * 1024
IDLE_SECONDS = 75  # longer than proxies keep their connections, so that theirs is the side that closes
BRIEFLY = "public, max-age=10, stale-while-revalidate=60"
NEVER = "no-store"


class Fault(Exception):
    """A request gone wrong, and what the client is told about it (RFC 9457)."""

    def __init__(self, status, detail, headers=()):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers)


class Answer:
    """A successful answer: a value for JSON, and what caches should know about it."""

    def __init__(self, value, status=200, tags=(), modified=None, cache=NEVER, headers=()):
        self.status = status
        self.body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        self.headers = {
            "Content-Type": "application/json",
            "Cache-Control": cache,
            **dict(headers),
        }
        if tags:
            self.headers["Surrogate-Key"] = " ".join(sorted(tags))
            # Once more, for `front`, which gives them to its pages: the front door keeps the others for itself.
            self.headers["Newsroom-Tags"] = self.headers["Surrogate-Key"]
        if modified is not None:
            self.headers["Last-Modified"] = email.utils.formatdate(modified, usegmt=True)


def purging(tags):
    """The header of an answer to a change: the tags of all that is not true any more. The front door forgets what
    has them before the client hears of the change."""
    return {"Doorward-Purge": " ".join(tags)}


class Query:
    """The parameters of a request, read one by one and within bounds; what was not read is refused."""

    def __init__(self, text):
        try:
            pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=8)
        except ValueError:
            raise Fault(400, "the query cannot be read") from None
        self._values = dict(pairs)
        if len(self._values) != len(pairs):
            raise Fault(400, "a parameter is given twice")

    def number(self, name, default=None, most=2**31 - 1):
        text = self._values.pop(name, None)
        if text is None:
            if default is None:
                raise Fault(400, f"{name} is missing")
            return default
        return whole_number(name, text, most)

    def numbers(self, name, most):
        """At most `most` different numbers, as in "1,2,3"."""
        words = self._values.pop(name, "").split(",")
        if len(words) > most:
            raise Fault(400, f"{name} takes at most {most} numbers")
        return sorted({whole_number(name, word) for word in words})

    def close(self):
        if self._values:
            raise Fault(400, f"there is no parameter {next(iter(self._values))}")


def whole_number(name, text, most=2**31 - 1):
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= most:
        raise Fault(400, f"{name} must be a number from 1 to {most}")
    return int(text)


class Database:
    """A database file, written by `fill` on first start. Counts the queries put to it."""

    def __init__(self, path, fill):
        self._path = pathlib.Path(path)
        self._threads = threading.local()
        self._lock = threading.Lock()
        self.queries = 0
        self._write_if_missing(fill)

    def _write_if_missing(self, fill):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Of several instances that start at once, one writes and the others wait for it.
        with open(self._path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._path.exists():
                return
            started = time.monotonic()
            unfinished = self._path.with_suffix(".db.new")
            unfinished.unlink(missing_ok=True)  # left by a start that was killed half-way
            database = sqlite3.connect(unfinished)
            # Nothing to roll back to: a killed start begins anew.
            database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            with database:
                fill(database)
            # Kept in the file: readers do not wait for a writer.
            database.execute("PRAGMA journal_mode = WAL")
            database.close()
            with open(unfinished, "rb") as written:
                os.fsync(written.fileno())
            unfinished.rename(self._path)
            say(f"wrote {self._path.name} in {time.monotonic() - started:.1f} s")

    def _connection(self):
        """One for each thread, closed when the thread ends."""
        if not hasattr(self._threads, "connection"):
            # Not creating: a database removed under a running service is an error, not an empty one.
            uri = f"{self._path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(uri, uri=True, timeout=2)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = NORMAL")
            self._threads.connection = connection
        return self._threads.connection

    def rows(self, sql, *values):
        self._count()
        return [dict(row) for row in self._connection().execute(sql, values)]

    def row(self, sql, *values):
        """The first row, or None."""
        return next(iter(self.rows(sql, *values)), None)

    def insert(self, sql, *values):
        """The id of the new row."""
        self._count()
        with self._connection() as connection:
            return connection.execute(sql, values).lastrowid

    def check(self):
        """Fails unless the database can be read; uncounted, since health checks are not what a cache saves."""
        self._connection().execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()

    def _count(self):
        with self._lock:
            self.queries += 1


def moment(seconds):
    """Seconds since 1970 as JSON has them (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def say(line):
    print(f"{pathlib.Path(sys.argv[0]).stem}: {line}", flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. The server it belongs to knows the routes."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1  # head and body leave in one packet, at the flush that ends each request
    disable_nagle_algorithm = True

    def do_GET(self):
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format, *args):
        """Nothing for each request; errors are said where they happen."""

    def parse_request(self):
        self.server.idle.discard(self.connection)
        return super().parse_request()

    def handle_expect_100(self):
        proceed = super().handle_expect_100()
        self.wfile.flush()  # the client waits for this line before it sends more
        return proceed

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass  # the client went away; there is nobody to tell

    def _serve(self):
        try:
            answer = self._answer()
        except Fault as fault:
            answer = problem(fault.status, str(fault), fault.headers)
        except sqlite3.Error as error:
            say(f"{self.path}: {error!r}")
            answer = problem(503, "The database cannot be read right now.")
        self._send(answer)
        self.server.idle.add(self.connection)
        if self.server.stopping:  # looked at after the line above: either this sees the stop, or the stop sees that
            self.close_connection = True

    def _answer(self):
        body = self._read_body()
        address = urllib.parse.urlsplit(self.path)
        method = "GET" if self.command == "HEAD" else self.command
        allowed = []
        for route_method, pattern, respond in self.server.routes:
            if match := re.fullmatch(pattern, address.path):
                if route_method != method:
                    allowed.append(route_method)
                elif method == "GET":
                    query = Query(address.query)
                    return respond(query, *match.groups())
                else:
                    return respond(read_object(body), *match.groups())
        if allowed:
            raise Fault(405, f"this address answers {', '.join(allowed)}", {"Allow": ", ".join(allowed)})
        raise Fault(404, "There is nothing under this address.")

    def _read_body(self):
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Fault(411, "send the length of the body")
        length = self.headers.get("Content-Length", "0")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > BODY_BYTES_MAX:
            self.close_connection = True  # what follows is not read, so it cannot be a next request
            raise Fault(413, f"a body has at most {BODY_BYTES_MAX} bytes")
        return self.rfile.read(int(length))

    def _send(self, answer):
        unchanged = False
        if answer.status == 200:
            etag = f'"{hashlib.blake2b(answer.body, digest_size=8).hexdigest()}"'
            answer.headers["ETag"] = etag
            known = [tag.strip().removeprefix("W/") for tag in self.headers.get("If-None-Match", "").split(",")]
            unchanged = etag in known or "*" in known
        self.send_response_only(304 if unchanged else answer.status)
        self.send_header("Date", self.date_time_string())
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not unchanged:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.server.stopping or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not unchanged and self.command != "HEAD":
            self.wfile.write(answer.body)


def read_object(body):
    try:
        value = json.loads(body)
    except ValueError:  # covers text that is not UTF-8
        raise Fault(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise Fault(400, "the body is not an object")
    return value


def problem(status, detail, headers=()):
    title = http.HTTPStatus(status).phrase
    value = {"title": title, "status": status, "detail": detail}
    return Answer(value, status, headers={"Content-Type": "application/problem+json", **dict(headers)})


class Server(http.server.ThreadingHTTPServer):
    """Serves routes, each a method, a pattern for the path, and what responds to it."""

    daemon_threads = False  # the end waits for requests that are being answered
    request_queue_size = 128

    def __init__(self, port, routes):
        super().__init__(("127.0.0.1", port), Handler)
        self.routes = routes
        self.idle = set()  # connections between two requests
        self.stopping = False

    def process_request(self, request, client_address):
        self.idle.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.idle.discard(request)
        super().shutdown_request(request)

    def stop(self):
        """Takes no new requests; those under way are answered."""
        self.stopping = True
        self.shutdown()
        for connection in list(self.idle):
            try:
                connection.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # it has ended by itself


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", default="data", help="folder of the databases")
    parser.add_argument("--articles", type=int, default=ARTICLES, help="as many as the articles service has")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    return parser.parse_args()


def own_routes(name, database):
    """The routes that every service has: is it ready, and what did it cost so far?"""

    def health(query):
        database.check()
        return Answer({"status": "ready"})

    def stats(query):
        return Answer({"service": name, "queries": database.queries})

    return [("GET", "/healthz", health), ("GET", f"/api/v1/{name}/stats", stats)]


def serve(port, routes):
    """Serves until SIGTERM or SIGINT."""
    server = Server(port, routes)
    for kind in (signal.SIGTERM, signal.SIGINT):
        # From a thread: shutdown waits for serve_forever, which this handler interrupts.
        signal.signal(kind, lambda *_: threading.Thread(target=server.stop).start())
    say(f"serving http://127.0.0.1:{server.server_port}")
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    say("stopped")
