#!/usr/bin/env python3
"""The comments service: what readers say under articles, with its own SQLite database."""

import json
import math
import pathlib
import random
import time

import service
from service import Answer, Fault

COMMENTS_PER_ARTICLE = 8  # on average: 40,000 for 5,000 articles
TEXT_LETTERS_MAX = 2_000
PAGE_MAX = 500
PER_PAGE_MAX = 100
COUNTS_MAX = 100

SCHEMA = """
CREATE TABLE comments (
    id INTEGER PRIMARY KEY,
    article INTEGER NOT NULL,
    account INTEGER NOT NULL,
    text TEXT NOT NULL,
    posted INTEGER NOT NULL,
    likes INTEGER NOT NULL DEFAULT 0
)
"""

OPENINGS = """
I read this twice.|Good piece.|I am not so sure.|Finally somebody says it.|This is not the whole story.|Well observed.
As somebody who works in this field:|I was there last month.|My grandmother would have laughed.|Fair enough, but
With respect, no.|I came for the headline and stayed for the numbers.|Please more of this.|Thank you for the figures.
A small correction:|I disagree with the second half.|Having lived there for eleven years:|Interesting, and a little sad.
""".replace("\n", "|").strip("|").split("|")

MIDDLES = """
the cost was always going to be higher than they said|nobody asked the people who have to run it
we tried the same thing in our town and it worked, slowly|the comparison does not hold up if you look at the dates
it is easy to be for it when you do not live next door|the interesting part is what the report leaves out
I would like to see the same numbers in five years|somebody will have to maintain it, and that is never in the budget
the quote in the middle says more than the rest together|the deadline is fiction, and everybody involved knows it
it is the first sensible proposal I have seen on this|half of the problem is that both sides stopped listening
the young will pay for it either way|you can see the difference already if you take the early train
the method matters more than the result here|a delay of a few months is not a scandal
the critics have a point about the audit|I changed my mind on this about halfway through
it would help to publish the minutes|what looks like a detail is in fact the whole question
""".strip().replace("\n", "|").split("|")

ENDINGS = """
.|.|.|. Just my view.|. Am I missing something?|. I would be glad to be wrong.|. Time will tell.|!|. And that is that.
. Does anybody have the original document?|. We should talk about that instead.|, and I say that as a supporter.
, sadly.|. The rest is noise.|. More reporting like this, please.|. See also the letters page from last week.
""".strip().replace("\n", "|").split("|")


def fill(database, articles, accounts, now):
    """The same comments every time, for article ids 1 to `articles` and account ids 1 to `accounts`."""
    chance = random.Random(40_000)
    database.execute(SCHEMA)
    ids = range(1, articles + 1)
    # Zipf's law, flattened: what is read ten times as much is discussed six times as much.
    weights = [rank(id, articles) ** -0.8 for id in ids]
    rows = []
    for article in chance.choices(ids, weights, k=COMMENTS_PER_ARTICLE * articles):
        open_seconds = max(now - published(article, articles, now), 1)
        # Most are written on the first day, the last ones weeks later.
        delay = chance.expovariate(1 / 50_000)
        if delay > open_seconds:
            delay = open_seconds * chance.random()
        account = math.ceil(accounts * chance.random() ** 2) or 1  # some write far more than others
        likes = int(chance.paretovariate(1.2)) - 1
        rows.append((int(now - open_seconds + delay), article, account, write_text(chance), min(likes, 900)))
    rows.sort()
    database.executemany("INSERT INTO comments (posted, article, account, text, likes) VALUES (?, ?, ?, ?, ?)", rows)
    database.execute("CREATE INDEX comments_by_article ON comments (article, posted)")


def published(article, articles, now):
    """When the articles service says that it was published: generate.rs knows this line too."""
    slot = service.ARCHIVE_SECONDS // articles
    return now - slot * (articles - article) - article * 7919 % slot


def rank(article, articles):
    """The place of an article by readers: generate.rs knows this line too."""
    return article * 7919 % articles + 1


def write_text(chance):
    sentences = []
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        opening, middle, ending = chance.choice(OPENINGS), chance.choice(MIDDLES), chance.choice(ENDINGS)
        if opening[-1] in ".?!":
            middle = middle[0].upper() + middle[1:]
        sentences.append(f"{opening} {middle}{ending}")
    return " ".join(sentences)


class Comments:
    def __init__(self, database):
        self._database = database

    def routes(self):
        return [
            ("GET", "/api/v1/comments", self.list),
            ("GET", "/api/v1/comments/counts", self.counts),
            ("POST", "/api/v1/comments", self.add),
        ]

    def list(self, query):
        """The comments under one article, newest first."""
        article = query.number("article")
        page = query.number("page", default=1, most=PAGE_MAX)
        per_page = query.number("per_page", default=20, most=PER_PAGE_MAX)
        query.close()
        summary = self._database.row(
            "SELECT count(*) AS total, max(posted) AS latest FROM comments WHERE article = ?", article
        )
        comments = self._database.rows(
            "SELECT id, article, account, text, posted, likes FROM comments WHERE article = ?"
            " ORDER BY posted DESC, id DESC LIMIT ? OFFSET ?",
            article, per_page, (page - 1) * per_page,
        )
        listing = {
            "items": [with_date(comment) for comment in comments],
            "total": summary["total"],
            "page": page,
            "per_page": per_page,
        }
        return Answer(listing, tags=[tag(article)], modified=summary["latest"], cache=service.BRIEFLY)

    def counts(self, query):
        """How many comments each of several articles has, as an object from article id to number."""
        articles = query.numbers("articles", COUNTS_MAX)
        query.close()
        rows = self._database.rows(
            "SELECT article, count(*) AS comments FROM comments"
            " WHERE article IN (SELECT value FROM json_each(?)) GROUP BY article",
            json.dumps(articles),
        )
        counted = dict.fromkeys(articles, 0) | {row["article"]: row["comments"] for row in rows}
        return Answer(counted, tags=[tag(article) for article in articles], cache=service.BRIEFLY)

    def add(self, body):
        article, account = (positive(body, name) for name in ("article", "account"))
        text = body.get("text")
        if not isinstance(text, str) or not 1 <= len(text.strip()) <= TEXT_LETTERS_MAX:
            raise Fault(400, f"text must have from 1 to {TEXT_LETTERS_MAX} letters")
        if any(not letter.isprintable() and letter != "\n" for letter in text):
            raise Fault(400, "text has a letter that cannot be printed")
        comment = {"article": article, "account": account, "text": text.strip(), "posted": int(time.time())}
        comment["id"] = self._database.insert(
            "INSERT INTO comments (article, account, text, posted) VALUES (?, ?, ?, ?)", *comment.values()
        )
        comment["likes"] = 0
        return Answer(with_date(comment), 201, tags=[tag(article)], headers=service.purging([tag(article)]))


def tag(article):
    return f"comments-article-{article}"


def with_date(comment):
    return {**comment, "posted": service.moment(comment["posted"])}


def positive(body, name):
    value = body.get(name)
    if type(value) is not int or not 1 <= value < 2**31:  # `True` is an int to isinstance
        raise Fault(400, f"{name} must be a number from 1")
    return value


def main():
    options = service.read_options()
    database = service.Database(
        pathlib.Path(options.data) / "comments.db",
        lambda database: fill(database, options.articles, options.accounts, int(time.time())),
    )
    service.serve(options.port, service.own_routes("comments", database) + Comments(database).routes())


if __name__ == "__main__":
    main()
