//! Writes the archive on first start: authors, articles, tags, and how often each article was read.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};
use time::OffsetDateTime;

use super::grammar::{Grammar, Writer};
use super::queries::minutes;
use crate::contract::SECTIONS;
use crate::dice::Dice;

const AUTHORS: u32 = 120;
const DAY_SECONDS: i64 = 86_400;
/// The archive goes back two years.
const ARCHIVE_SECONDS: i64 = 730 * DAY_SECONDS;
/// Readers of the most read article; the one of rank r has about this divided by r (Zipf's law).
const VIEWS_MAX: f64 = 480_000.0;
/// Separates the authors' chance from the articles'.
const AUTHOR_SEED: u64 = 1 << 32;

const SCHEMA: &str = "
    CREATE TABLE sections (slug TEXT PRIMARY KEY, name TEXT NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, bio TEXT NOT NULL);
    CREATE TABLE articles (
        id INTEGER PRIMARY KEY,
        section TEXT NOT NULL REFERENCES sections (slug),
        author INTEGER NOT NULL REFERENCES authors (id),
        headline TEXT NOT NULL,
        summary TEXT NOT NULL,
        body TEXT NOT NULL,
        published INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        minutes INTEGER NOT NULL,
        views INTEGER NOT NULL
    );
    CREATE TABLE tags (
        article INTEGER NOT NULL REFERENCES articles (id),
        tag TEXT NOT NULL,
        PRIMARY KEY (article, tag)
    ) WITHOUT ROWID;
    CREATE VIRTUAL TABLE search USING fts5 (headline, summary, body, content = 'articles', content_rowid = 'id');
";

/// Made once the rows are there: a third of the time of keeping them up to date row by row.
const INDEXES: &str = "
    CREATE INDEX articles_by_time ON articles (published);
    CREATE INDEX articles_by_section ON articles (section, published);
    CREATE INDEX articles_by_author ON articles (author, published);
    CREATE INDEX tags_by_tag ON tags (tag, article);
    INSERT INTO search (search) VALUES ('rebuild');
    CREATE TRIGGER search_after_insert AFTER INSERT ON articles BEGIN
        INSERT INTO search (rowid, headline, summary, body) VALUES (new.id, new.headline, new.summary, new.body);
    END;
    CREATE TRIGGER search_after_update AFTER UPDATE ON articles BEGIN
        INSERT INTO search (search, rowid, headline, summary, body)
            VALUES ('delete', old.id, old.headline, old.summary, old.body);
        INSERT INTO search (rowid, headline, summary, body) VALUES (new.id, new.headline, new.summary, new.body);
    END;
";

/// Fills an empty database with `articles` articles, the newest of them published shortly before `now`.
pub fn fill(database: &mut Connection, articles: u32, now: OffsetDateTime) -> rusqlite::Result<()> {
    let grammar = Grammar::build();
    let work = database.transaction()?;
    work.execute_batch(SCHEMA)?;
    for (position, (slug, name)) in SECTIONS.iter().enumerate() {
        work.execute("INSERT INTO sections VALUES (?, ?, ?)", params![slug, name, position])?;
    }
    fill_authors(&work, &grammar)?;
    fill_articles(&work, &grammar, articles, now.unix_timestamp())?;
    work.execute_batch(INDEXES)?;
    work.commit()
}

fn fill_authors(work: &Connection, grammar: &Grammar) -> rusqlite::Result<()> {
    let mut insert = work.prepare("INSERT INTO authors VALUES (?, ?, ?, ?)")?;
    let mut names = BTreeSet::new();
    for id in 1..=AUTHORS {
        let mut writer = Writer::new(grammar, "", AUTHOR_SEED + u64::from(id));
        let name = loop {
            let name = format!("{} {}", writer.phrase("given"), writer.phrase("family"));
            if names.insert(name.clone()) {
                break name;
            }
        };
        insert.execute(params![id, name, writer.phrase("place"), writer.sentence("bio")])?;
    }
    Ok(())
}

fn fill_articles(
    work: &Connection,
    grammar: &Grammar,
    articles: u32,
    now: i64,
) -> rusqlite::Result<()> {
    let mut insert = work.prepare("INSERT INTO articles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    let mut tag = work.prepare("INSERT OR IGNORE INTO tags VALUES (?, ?)")?;
    let mut writers = HashMap::new();
    let mut headlines = BTreeSet::new();
    for id in 1..=articles {
        let dice = &mut Dice::new(u64::from(id));
        let member = dice.below(AUTHORS as usize / SECTIONS.len());
        let (section, _) = *dice.pick(&SECTIONS);
        let author = staff_of(section, member);
        let writer = writers.entry(section).or_insert_with(|| Writer::new(grammar, section, 0));
        writer.begin(u64::from(id));
        let headline = loop {
            let headline = writer.sentence("headline");
            if headlines.insert(headline.clone()) {
                break headline;
            }
        };
        let summary = writer.sentence("summary");
        let body = write_body(writer);
        let published = published(id, articles, now);
        // One article in eight was corrected within a day.
        let corrected = if dice.below(8) == 0 { dice.between(600, DAY_SECONDS) } else { 0 };
        let views = VIEWS_MAX / f64::from(rank(id, articles)) * dice.span(0.8, 1.2);
        insert.execute(params![
            id,
            section,
            author,
            headline,
            summary,
            body,
            published,
            (published + corrected).min(now),
            minutes(&body),
            views as i64,
        ])?;
        tag.execute(params![id, writer.phrase("subject")])?;
        for _ in 0..dice.between(1, 3) {
            tag.execute(params![id, writer.phrase("tag").to_lowercase()])?;
        }
    }
    Ok(())
}

/// Every section has its own dozen of authors: ids 1, 11, 21... write for the first one.
fn staff_of(section: &str, member: usize) -> usize {
    let position = SECTIONS.iter().position(|(slug, _)| *slug == section).unwrap_or_default();
    1 + position + member * SECTIONS.len()
}

fn write_body(writer: &mut Writer<'_>) -> String {
    let mut paragraphs = vec![writer.sentence("lead")];
    for _ in 0..writer.dice().between(1, 3) {
        for kind in ["background", "quote", "figures", "detail", "reaction", "context"] {
            if writer.dice().below(3) > 0 {
                paragraphs.push(writer.sentence(kind));
            }
        }
    }
    paragraphs.push(writer.sentence("closing"));
    paragraphs.join("\n\n")
}

/// Evenly over two years, oldest first, shifted a little within its slot. comments.py knows this line too: a comment
/// is younger than its article.
fn published(id: u32, articles: u32, now: i64) -> i64 {
    let slot = ARCHIVE_SECONDS / i64::from(articles);
    now - slot * i64::from(articles - id) - (i64::from(id) * 7919) % slot
}

/// The place of an article by readers, 1 being the first: a fixed shuffle. comments.py knows this line too: what is
/// read more is also discussed more.
fn rank(id: u32, articles: u32) -> u32 {
    (u64::from(id) * 7919 % u64::from(articles)) as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

    fn filled(articles: u32) -> Connection {
        let mut database = Connection::open_in_memory().expect("memory");
        fill(&mut database, articles, NOW).expect("filled");
        database
    }

    fn number(database: &Connection, sql: &str) -> i64 {
        database.query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    #[test]
    fn the_same_archive_is_written_twice() {
        let text = |database: Connection| -> String {
            let sql = "SELECT group_concat(headline || summary || body || views || published) FROM articles";
            database.query_row(sql, [], |row| row.get(0)).expect("text")
        };
        assert_eq!(text(filled(60)), text(filled(60)));
    }

    #[test]
    fn an_archive_is_whole_and_varied() {
        let database = filled(1_000);
        assert_eq!(number(&database, "SELECT max(id) FROM articles"), 1_000);
        assert_eq!(number(&database, "SELECT count(DISTINCT section) FROM articles"), 10);
        assert_eq!(number(&database, "SELECT count(DISTINCT headline) FROM articles"), 1_000);
        assert_eq!(number(&database, "SELECT count(DISTINCT body) FROM articles"), 1_000);
        assert_eq!(number(&database, "SELECT count(*) FROM authors"), 120);
        assert!(number(&database, "SELECT count(*) FROM tags") > 2_000);
        assert!(number(&database, "SELECT count(*) FROM search WHERE search MATCH 'council'") > 10);
        let bounds = format!(
            "SELECT count(*) FROM articles WHERE published > {} OR updated > {0}",
            NOW.unix_timestamp()
        );
        assert_eq!(number(&database, &bounds), 0);
    }

    #[test]
    fn few_articles_have_most_readers() {
        let database = filled(1_000);
        let all = number(&database, "SELECT sum(views) FROM articles");
        let top = number(
            &database,
            "SELECT sum(views) FROM (SELECT views FROM articles ORDER BY views DESC LIMIT 100)",
        );
        assert!(top * 100 / all > 60, "the first tenth has {}% of the readers", top * 100 / all);
    }
}
