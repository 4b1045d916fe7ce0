#!/usr/bin/env python3
"""The accounts service: readers, their reputation and their bookmarks, with its own SQLite database."""

import json
import pathlib
import random
import time

import service
from service import Answer, Fault

NAMES_MAX = 100
TOP_MAX = 50
BOOKMARKS_SHOWN = 20

SCHEMA = """
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    joined INTEGER NOT NULL
);
CREATE TABLE deeds (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL REFERENCES kinds (kind),
    at INTEGER NOT NULL
);
CREATE TABLE kinds (kind TEXT PRIMARY KEY, points INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE bookmarks (
    account INTEGER NOT NULL REFERENCES accounts (id),
    article INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    PRIMARY KEY (account, article)
) WITHOUT ROWID;
"""

INDEXES = "CREATE INDEX deeds_by_account ON deeds (account)"

# What earns, or costs, how much reputation.
KINDS = {"comment liked": 2, "correction accepted": 15, "letter printed": 25, "question answered": 5, "reported": -8}
KIND_WEIGHTS = (60, 6, 3, 25, 6)

GIVEN = """
Ada Agnes Albin Amir Anouk Astrid Basil Bela Carmen Cosima Cyril Dana Demir Elias Elodie Esther Fabian Freya Gideon
Hedda Henrik Ilse Imre Isolde Jarek Joan Juno Karim Klara Lasse Lior Lucia Magnus Malou Mateo Mira Nils Nora Olga
Otis Paloma Pia Ravi Renske Rhea Samir Sol Stella Talia Tomas Uma Valentin Wim Xenia Yannis Zora
""".split()
FAMILY_BEGINNINGS = "Ash Bar Bel Cal Dor Eld Fen Gar Hal Ing Kel Lar Mor Nor Or Pel Quen Ras Sel Tor Ul Val Wes Yar Zel"
FAMILY_ENDINGS = "ach bourne den dottir ek er ford gren holm ic inger kin land man mont ow quist ska son stad ström wen"
CITIES = """
Aldermere|Ashport|Bellhaven|Calder Bay|Corvane|Dunmere|Fairholt|Greyford|Halden|Ingleby|Kestermouth|Kingsferry
Marrowdale|Midwater|Oldbridge|Orrin|Port Avelin|Ravensholt|Saltmarsh|Selwick|Stonehythe|Vesper|Westering|Yarrow
""".strip().replace("\n", "|").split("|")


def fill(database, accounts, articles, now):
    """The same readers every time, with ids 1 to `accounts`."""
    chance = random.Random(3_000)
    database.executescript(SCHEMA)
    database.executemany("INSERT INTO kinds VALUES (?, ?)", KINDS.items())
    people, deeds, bookmarks = [], [], set()
    families = [begin + end for begin in FAMILY_BEGINNINGS.split() for end in FAMILY_ENDINGS.split()]
    for id in range(1, accounts + 1):
        joined = now - chance.randrange(service.ARCHIVE_SECONDS)
        name = f"{chance.choice(GIVEN)} {chance.choice(families)}"
        people.append((id, name, chance.choice(CITIES), joined))
        # Most do little, some do a lot.
        for kind in chance.choices(list(KINDS), KIND_WEIGHTS, k=int(chance.paretovariate(1.3) * 3)):
            deeds.append((id, kind, chance.randrange(joined, now + 1)))
        for _ in range(min(int(chance.paretovariate(1.1) * 3), 60)):
            bookmarks.add((id, chance.randint(1, articles)))
    database.executemany("INSERT INTO accounts VALUES (?, ?, ?, ?)", people)
    database.executemany("INSERT INTO deeds (account, kind, at) VALUES (?, ?, ?)", deeds)
    database.executemany(
        "INSERT INTO bookmarks VALUES (?, ?, ?)",
        ((account, article, now - chance.randrange(service.ARCHIVE_SECONDS)) for account, article in sorted(bookmarks)),
    )
    database.execute(INDEXES)


class Accounts:
    def __init__(self, database):
        self._database = database

    def routes(self):
        return [
            ("GET", "/api/v1/accounts", self.several),
            ("GET", "/api/v1/accounts/top", self.top),
            ("GET", "/api/v1/accounts/([0-9]{1,10})", self.one),
        ]

    def several(self, query):
        """Name and reputation of several readers, those that exist."""
        ids = query.numbers("ids", NAMES_MAX)
        query.close()
        accounts = self._database.rows(
            "SELECT a.id, a.name, coalesce(sum(k.points), 0) AS reputation"
            " FROM accounts a LEFT JOIN deeds d ON d.account = a.id LEFT JOIN kinds k ON k.kind = d.kind"
            " WHERE a.id IN (SELECT value FROM json_each(?)) GROUP BY a.id",
            json.dumps(ids),
        )
        return Answer(accounts, tags=[tag(id) for id in ids], cache=service.BRIEFLY)

    def top(self, query):
        """Those with the highest reputation."""
        limit = query.number("limit", default=10, most=TOP_MAX)
        query.close()
        accounts = self._database.rows(
            "SELECT a.id, a.name, a.city, sum(k.points) AS reputation, count(*) AS deeds,"
            " (SELECT count(*) FROM bookmarks WHERE account = a.id) AS bookmarks"
            " FROM accounts a JOIN deeds d ON d.account = a.id JOIN kinds k ON k.kind = d.kind"
            " GROUP BY a.id ORDER BY reputation DESC, a.id LIMIT ?",
            limit,
        )
        tags = ["accounts", *(tag(account["id"]) for account in accounts)]
        return Answer(accounts, tags=tags, cache=service.BRIEFLY)

    def one(self, query, id_text):
        """One reader: what the reputation is made of, its rank, and the latest bookmarks."""
        query.close()
        id = int(id_text)
        account = self._database.row("SELECT id, name, city, joined FROM accounts WHERE id = ?", id)
        if account is None:
            raise Fault(404, "There is no such reader.")
        deeds = self._database.rows(
            "SELECT kind, count(*) AS times, sum(points) AS points FROM deeds JOIN kinds USING (kind)"
            " WHERE account = ? GROUP BY kind ORDER BY points DESC",
            id,
        )
        account["reputation"] = sum(deed["points"] for deed in deeds)
        account["rank"] = self._database.row(
            "SELECT 1 + count(*) AS rank FROM (SELECT 1 FROM deeds JOIN kinds USING (kind)"
            " GROUP BY account HAVING sum(points) > ?)",
            account["reputation"],
        )["rank"]
        bookmarks = self._database.rows(
            "SELECT article, saved FROM bookmarks WHERE account = ? ORDER BY saved DESC LIMIT ?", id, BOOKMARKS_SHOWN
        )
        account["joined"] = service.moment(account["joined"])
        account["deeds"] = deeds
        account["bookmarks"] = [{**bookmark, "saved": service.moment(bookmark["saved"])} for bookmark in bookmarks]
        return Answer(account, tags=[tag(id)], cache=service.BRIEFLY)


def tag(account):
    return f"account-{account}"


def main():
    options = service.read_options()
    database = service.Database(
        pathlib.Path(options.data) / "accounts.db",
        lambda database: fill(database, options.accounts, options.articles, int(time.time())),
    )
    service.serve(options.port, service.own_routes("accounts", database) + Accounts(database).routes())


if __name__ == "__main__":
    main()
