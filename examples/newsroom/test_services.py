"""Tests of the Python services, over real sockets and without a proxy: python3 -m unittest"""

import http.client
import json
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import unittest

import accounts
import comments
import service

FOLDER = pathlib.Path(__file__).parent
NOW = 1_770_000_000
ARTICLES, ACCOUNTS = 50, 40


class Running:
    """A service with a small database, in a thread of the test."""

    def __init__(self, name, fill, kind):
        self._folder = tempfile.TemporaryDirectory()
        self.database = service.Database(pathlib.Path(self._folder.name) / f"{name}.db", fill)
        self.server = service.Server(0, service.own_routes(name, self.database) + kind(self.database).routes())
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.port = self.server.server_port
        self._client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)

    def ask(self, method, path, body=None, headers=()):
        """Status, headers and JSON of the answer, over one kept connection."""
        self._client.request(method, path, body, dict(headers))
        answer = self._client.getresponse()
        text = answer.read()
        return answer.status, answer.headers, json.loads(text) if text else None

    def stop(self):
        self._client.close()
        self.server.stop()
        self.server.server_close()
        self._thread.join()
        self._folder.cleanup()


def fill_comments(database):
    comments.fill(database, ARTICLES, ACCOUNTS, NOW)


def fill_accounts(database):
    accounts.fill(database, ACCOUNTS, ARTICLES, NOW)


def silently(test):
    """Services say when they write a database; tests need not."""
    say, service.say = service.say, lambda line: None
    test.addClassCleanup(setattr, service, "say", say)


class CommentsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        silently(cls)
        cls.running = Running("comments", fill_comments, comments.Comments)
        cls.addClassCleanup(cls.running.stop)

    def refuse(self, path, detail, method="GET", body=None, status=400):
        answered, headers, problem = self.running.ask(method, path, body)
        self.assertEqual((answered, problem["detail"]), (status, detail))
        self.assertEqual(headers["Content-Type"], "application/problem+json")

    def test_comments_of_an_article_come_newest_first(self):
        status, headers, listing = self.running.ask("GET", "/api/v1/comments?article=50&per_page=5")
        posted = [comment["posted"] for comment in listing["items"]]
        self.assertEqual((status, len(posted), posted), (200, 5, sorted(posted, reverse=True)))
        self.assertGreater(listing["total"], 5)
        self.assertEqual(headers["Surrogate-Key"], "comments-article-50")
        self.assertIn("GMT", headers["Last-Modified"])

    def test_what_is_posted_can_be_read(self):
        text = "'); DROP TABLE comments; -- <b>ü</b>"
        body = json.dumps({"article": 49, "account": 3, "text": f" {text}\n"})
        before = self.running.ask("GET", "/api/v1/comments/counts?articles=49")[2]["49"]
        status, _, comment = self.running.ask("POST", "/api/v1/comments", body)
        self.assertEqual((status, comment["text"]), (201, text))
        newest = self.running.ask("GET", "/api/v1/comments?article=49&per_page=1")[2]["items"][0]
        self.assertEqual(newest, comment)
        self.assertEqual(self.running.ask("GET", "/api/v1/comments/counts?articles=49")[2]["49"], before + 1)

    def test_counts_name_every_article_asked_for(self):
        counts = self.running.ask("GET", "/api/v1/comments/counts?articles=50,999999,50")[2]
        self.assertEqual(counts["999999"], 0)
        self.assertGreater(counts["50"], 0)

    def test_an_unchanged_answer_is_not_sent_again(self):
        path = "/api/v1/comments?article=7"
        etag = self.running.ask("GET", path)[1]["ETag"]
        for condition in (etag, f'"x", W/{etag}', "*"):
            status, headers, body = self.running.ask("GET", path, headers={"If-None-Match": condition})
            self.assertEqual((status, headers["ETag"], body), (304, etag, None), condition)
        self.assertEqual(self.running.ask("GET", path, headers={"If-None-Match": '"x"'})[0], 200)

    def test_a_head_has_no_body(self):
        status, headers, body = self.running.ask("HEAD", "/api/v1/comments?article=7")
        self.assertEqual((status, body), (200, None))
        self.assertGreater(int(headers["Content-Length"]), 0)

    def test_parameters_are_bounded(self):
        for path, detail in {
            "?page=1": "article is missing",
            "?article=x": "article must be a number from 1 to 2147483647",
            "?article=0": "article must be a number from 1 to 2147483647",
            "?article=99999999999": "article must be a number from 1 to 2147483647",
            "?article=1&page=501": "page must be a number from 1 to 500",
            "?article=1&per_page=101": "per_page must be a number from 1 to 100",
            "?article=1&article=2": "a parameter is given twice",
            "?article=1&drop=1": "there is no parameter drop",
            "?article": "the query cannot be read",
            "/counts?articles=1,,2": "articles must be a number from 1 to 2147483647",
            "/counts?articles=" + ",".join(["1"] * 101): "articles takes at most 100 numbers",
        }.items():
            with self.subTest(path):
                self.refuse(f"/api/v1/comments{path}", detail)

    def test_a_bad_comment_is_refused(self):
        good = {"article": 1, "account": 1, "text": "Good."}
        length, number = "text must have from 1 to 2000 letters", "must be a number from 1"
        for change, detail in (
            ({"text": "  "}, length),
            ({"text": "x" * 2001}, length),
            ({"text": 7}, length),
            ({"text": "a\x00b"}, "text has a letter that cannot be printed"),
            ({"article": "1"}, f"article {number}"),
            ({"article": True}, f"article {number}"),
            ({"account": 0}, f"account {number}"),
            ({"account": 2**31}, f"account {number}"),
        ):
            with self.subTest(change):
                self.refuse("/api/v1/comments", detail, "POST", json.dumps(good | change))
        self.refuse("/api/v1/comments", "the body is not JSON", "POST", b"\xff{")
        self.refuse("/api/v1/comments", "the body is not an object", "POST", "[]")

    def test_a_long_body_is_not_read(self):
        self.refuse("/api/v1/comments", "a body has at most 16384 bytes", "POST", "x" * 16_385, status=413)

    def test_other_addresses_and_methods_are_refused(self):
        self.refuse("/api/v1/elsewhere", "There is nothing under this address.", status=404)
        status, headers, _ = self.running.ask("PUT", "/api/v1/comments")
        self.assertEqual((status, headers["Allow"]), (405, "GET, POST"))

    def test_queries_are_counted_and_health_is_not(self):
        before = self.running.ask("GET", "/api/v1/comments/stats")[2]["queries"]
        self.assertEqual(self.running.ask("GET", "/healthz")[::2], (200, {"status": "ready"}))
        self.running.ask("GET", "/api/v1/comments?article=7")
        self.assertEqual(self.running.ask("GET", "/api/v1/comments/stats")[2]["queries"], before + 2)


class AccountsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        silently(cls)
        cls.running = Running("accounts", fill_accounts, accounts.Accounts)
        cls.addClassCleanup(cls.running.stop)

    def test_a_reader_has_reputation_rank_and_bookmarks(self):
        top = self.running.ask("GET", "/api/v1/accounts/top?limit=40")[2]
        reputations = [reader["reputation"] for reader in top]
        self.assertEqual(reputations, sorted(reputations, reverse=True))
        status, headers, reader = self.running.ask("GET", f"/api/v1/accounts/{top[0]['id']}")
        self.assertEqual((status, reader["reputation"], reader["rank"]), (200, reputations[0], 1))
        self.assertEqual(reader["reputation"], sum(deed["points"] for deed in reader["deeds"]))
        self.assertTrue(all(1 <= bookmark["article"] <= ARTICLES for bookmark in reader["bookmarks"]))
        self.assertEqual(headers["Surrogate-Key"], f"account-{reader['id']}")

    def test_several_readers_are_those_that_exist(self):
        readers = self.running.ask("GET", "/api/v1/accounts?ids=3,1,9999")[2]
        self.assertEqual([reader["id"] for reader in readers], [1, 3])

    def test_what_does_not_exist_is_not_found(self):
        for path in ("/api/v1/accounts/9999", "/api/v1/accounts/x", "/api/v1/accounts/1%20OR%201"):
            self.assertEqual(self.running.ask("GET", path)[0], 404, path)


class GeneratorTest(unittest.TestCase):
    def rows(self, fill, sql):
        database = sqlite3.connect(":memory:")
        fill(database)
        return database.execute(sql).fetchall()

    def test_the_same_data_is_written_twice(self):
        for fill, sql in (
            (fill_comments, "SELECT * FROM comments"),
            (fill_accounts, "SELECT * FROM accounts JOIN deeds ON account = accounts.id"),
            (fill_accounts, "SELECT * FROM bookmarks"),
        ):
            self.assertEqual(self.rows(fill, sql), self.rows(fill, sql), sql)

    def test_ids_agree_with_the_other_services(self):
        sql = "SELECT count(*), min(article), max(article), min(account), max(account), max(posted) FROM comments"
        count, *bounds, latest = self.rows(fill_comments, sql)[0]
        self.assertEqual(count, comments.COMMENTS_PER_ARTICLE * ARTICLES)
        self.assertTrue(1 <= bounds[0] and bounds[1] <= ARTICLES and 1 <= bounds[2] and bounds[3] <= ACCOUNTS)
        self.assertLessEqual(latest, NOW)

    def test_a_comment_is_younger_than_its_article(self):
        for article, posted in self.rows(fill_comments, "SELECT article, posted FROM comments"):
            self.assertGreaterEqual(posted, comments.published(article, ARTICLES, NOW))


class ProcessTest(unittest.TestCase):
    """What only a whole process shows: its start, its kill, its end."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.data = pathlib.Path(folder.name)

    def start(self):
        command = [sys.executable, FOLDER / "comments.py", "--port", "0", "--data", self.data, "--articles", "50"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for line in process.stdout:
            if "serving" in line:
                return process, int(line.rsplit(":", 1)[1])
        self.fail("it ended before it served")

    def test_it_stops_on_request_with_idle_connections_open(self):
        process, port = self.start()
        with socket.create_connection(("127.0.0.1", port)):
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=5), 0)
        self.assertEqual(process.stdout.read(), "comments: stopped\n")

    def test_a_request_under_way_is_answered_before_the_end(self):
        process, port = self.start()
        body = b'{"article": 1, "account": 1, "text": "Late."}'
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            head = "POST /api/v1/comments HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n"
            client.sendall(head.format(len(body)).encode())
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 100 "))
            process.send_signal(signal.SIGTERM)
            with self.assertRaises(subprocess.TimeoutExpired):  # it waits for the body
                process.wait(timeout=0.3)
            client.sendall(body)
            self.assertTrue(client.makefile("rb").read().startswith(b"HTTP/1.1 201 "))
        self.assertEqual(process.wait(timeout=5), 0)

    def test_what_a_killed_start_left_is_replaced(self):
        (self.data / "comments.db.new").write_text("half a database")
        process, port = self.start()
        self.assertEqual(sorted(path.suffix for path in self.data.iterdir() if "-" not in path.name), [".db", ".lock"])
        process.terminate()


if __name__ == "__main__":
    unittest.main()
