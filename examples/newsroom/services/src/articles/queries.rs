//! Every question that is put to the articles' database. Values are bound, never written into the text.

use rusqlite::{Row, params, types::Type};
use time::OffsetDateTime;

use super::request::{List, Popular};
use super::store::Session;
use crate::contract::{
    Article, Author, AuthorProfile, Byline, Card, Draft, Listing, SectionOverview, SectionShare,
};

type Result<T> = rusqlite::Result<T>;

const RELATED: u32 = 4;
const WORDS_PER_MINUTE: usize = 220;

/// The columns that `card` reads, from the tables that hold them.
macro_rules! select_cards {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.section, a.author, w.name, a.headline, a.summary, a.published, a.updated, a.minutes,
                a.views, (SELECT json_group_array(tag) FROM tags WHERE article = a.id)
            FROM articles a JOIN authors w ON w.id = a.author ",
            $rest
        )
    };
}

/// The columns that `author` reads.
macro_rules! select_authors {
    ($rest:literal) => {
        concat!(
            "SELECT w.id, w.name, w.city, w.bio, count(a.id), coalesce(sum(a.views), 0)
            FROM authors w LEFT JOIN articles a ON a.author = w.id ",
            $rest
        )
    };
}

pub fn list(session: &Session<'_>, list: &List) -> Result<Listing<Card>> {
    let total = session.row(
        "SELECT count(*) FROM articles
        WHERE (?1 IS NULL OR section = ?1) AND (?2 IS NULL OR author = ?2)
            AND (?3 IS NULL OR id IN (SELECT rowid FROM search WHERE search MATCH ?3))",
        params![list.section, list.author, list.search],
        |row| row.get(0),
    )?;
    let items = session.rows(
        select_cards!(
            "WHERE (?1 IS NULL OR a.section = ?1) AND (?2 IS NULL OR a.author = ?2)
                AND (?3 IS NULL OR a.id IN (SELECT rowid FROM search WHERE search MATCH ?3))
            ORDER BY a.published DESC, a.id DESC LIMIT ?4 OFFSET ?5"
        ),
        params![
            list.section,
            list.author,
            list.search,
            list.per_page,
            (list.page - 1) * list.per_page
        ],
        card,
    )?;
    Ok(Listing { items, total: total.unwrap_or(0), page: list.page, per_page: list.per_page })
}

pub fn popular(session: &Session<'_>, popular: &Popular, now: OffsetDateTime) -> Result<Vec<Card>> {
    let since = now.unix_timestamp() - i64::from(popular.days) * 86_400;
    session.rows(
        select_cards!(
            "WHERE a.published >= ?1 AND (?2 IS NULL OR a.section = ?2) ORDER BY a.views DESC, a.id LIMIT ?3"
        ),
        params![since, popular.section, popular.limit],
        card,
    )
}

pub fn card_of(session: &Session<'_>, id: u32) -> Result<Option<Card>> {
    session.row(select_cards!("WHERE a.id = ?1"), [id], card)
}

pub fn article(session: &Session<'_>, id: u32) -> Result<Option<Article>> {
    let Some(card) = card_of(session, id)? else { return Ok(None) };
    let body = session
        .row("SELECT body FROM articles WHERE id = ?1", [id], |row| row.get(0))?
        .unwrap_or_default();
    let related = session.rows(
        select_cards!(
            "JOIN (
                SELECT theirs.article, count(*) AS shared
                FROM tags ours JOIN tags theirs ON theirs.tag = ours.tag AND theirs.article <> ours.article
                WHERE ours.article = ?1 GROUP BY theirs.article
            ) r ON r.article = a.id
            ORDER BY r.shared DESC, a.published DESC LIMIT ?2"
        ),
        [id, RELATED],
        self::card,
    )?;
    Ok(Some(Article { card, body, related }))
}

pub fn sections(session: &Session<'_>) -> Result<Vec<SectionOverview>> {
    session.rows(
        "SELECT s.slug, s.name, count(a.id), count(DISTINCT a.author), sum(a.views), max(a.published)
        FROM sections s JOIN articles a ON a.section = s.slug GROUP BY s.slug ORDER BY s.position",
        [],
        |row| {
            Ok(SectionOverview {
                slug: row.get(0)?,
                name: row.get(1)?,
                articles: row.get(2)?,
                authors: row.get(3)?,
                views: row.get(4)?,
                latest: moment(row, 5)?,
            })
        },
    )
}

pub fn authors(session: &Session<'_>) -> Result<Vec<Author>> {
    session.rows(select_authors!("GROUP BY w.id ORDER BY w.name"), [], author)
}

pub fn author_profile(session: &Session<'_>, id: u32) -> Result<Option<AuthorProfile>> {
    let Some(author) =
        session.row(select_authors!("WHERE w.id = ?1 GROUP BY w.id"), [id], author)?
    else {
        return Ok(None);
    };
    let sections = session.rows(
        "SELECT section, count(*) FROM articles WHERE author = ?1 GROUP BY section ORDER BY count(*) DESC",
        [id],
        |row| Ok(SectionShare { slug: row.get(0)?, articles: row.get(1)? }),
    )?;
    Ok(Some(AuthorProfile { author, sections }))
}

pub fn author_exists(session: &Session<'_>, id: u32) -> Result<bool> {
    Ok(session.row("SELECT 1 FROM authors WHERE id = ?1", [id], |_| Ok(()))?.is_some())
}

/// The id of the new article.
pub fn create(session: &Session<'_>, draft: &Draft, now: OffsetDateTime) -> Result<u32> {
    let now = now.unix_timestamp();
    session.change(
        "INSERT INTO articles (section, author, headline, summary, body, published, updated, minutes, views)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, 0)",
        params![draft.section, draft.author, draft.headline, draft.summary, draft.body, now, minutes(&draft.body)],
    )?;
    let id = u32::try_from(session.last_id()).map_err(|error| conversion(0, error))?;
    set_tags(session, id, &draft.tags)?;
    Ok(id)
}

/// Whether there was such an article.
pub fn replace(session: &Session<'_>, id: u32, draft: &Draft, now: OffsetDateTime) -> Result<bool> {
    let changed = session.change(
        "UPDATE articles SET section = ?2, author = ?3, headline = ?4, summary = ?5, body = ?6, updated = ?7,
            minutes = ?8 WHERE id = ?1",
        params![
            id,
            draft.section,
            draft.author,
            draft.headline,
            draft.summary,
            draft.body,
            now.unix_timestamp(),
            minutes(&draft.body)
        ],
    )?;
    if changed > 0 {
        session.change("DELETE FROM tags WHERE article = ?1", [id])?;
        set_tags(session, id, &draft.tags)?;
    }
    Ok(changed > 0)
}

fn set_tags(session: &Session<'_>, id: u32, tags: &[String]) -> Result<()> {
    for tag in tags {
        session.change(
            "INSERT OR IGNORE INTO tags (article, tag) VALUES (?1, ?2)",
            params![id, tag],
        )?;
    }
    Ok(())
}

fn card(row: &Row<'_>) -> Result<Card> {
    let tags: String = row.get(10)?;
    Ok(Card {
        id: row.get(0)?,
        section: row.get(1)?,
        author: Byline { id: row.get(2)?, name: row.get(3)? },
        headline: row.get(4)?,
        summary: row.get(5)?,
        published: moment(row, 6)?,
        updated: moment(row, 7)?,
        minutes: row.get(8)?,
        views: row.get(9)?,
        tags: serde_json::from_str(&tags).map_err(|error| conversion(10, error))?,
    })
}

fn author(row: &Row<'_>) -> Result<Author> {
    Ok(Author {
        id: row.get(0)?,
        name: row.get(1)?,
        city: row.get(2)?,
        bio: row.get(3)?,
        articles: row.get(4)?,
        views: row.get(5)?,
    })
}

fn moment(row: &Row<'_>, column: usize) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(row.get(column)?).map_err(|error| conversion(column, error))
}

fn conversion(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error))
}

/// Minutes to read a text.
pub fn minutes(body: &str) -> usize {
    body.split_whitespace().count().div_ceil(WORDS_PER_MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::articles::store::sample::{NOW, with_session};

    fn draft() -> Draft {
        Draft {
            section: "cities".to_owned(),
            author: 7,
            headline: "Zeppelin'); DROP TABLE articles; --".to_owned(),
            summary: "A summary".to_owned(),
            body: "One.\n\nTwo.".to_owned(),
            tags: vec!["live".to_owned(), "a, b".to_owned()],
        }
    }

    fn everything() -> List {
        List { section: None, author: None, search: None, page: 1, per_page: 20 }
    }

    #[test]
    fn lists_are_filtered_and_paged() {
        with_session(200, |session| {
            let all = list(session, &List { page: 2, ..everything() }).expect("listed");
            assert_eq!((all.total, all.items.len()), (200, 20));
            assert!(all.items.is_sorted_by(|one, next| one.published >= next.published));
            let world =
                list(session, &List { section: Some("world"), ..everything() }).expect("listed");
            assert!(world.total > 0 && world.items.iter().all(|card| card.section == "world"));
            let nobody =
                list(session, &List { author: Some(9_999), ..everything() }).expect("listed");
            assert_eq!(nobody.total, 0);
        });
    }

    #[test]
    fn popular_articles_come_first() {
        with_session(200, |session| {
            let asked = Popular { section: None, days: 730, limit: 10 };
            let cards = popular(session, &asked, NOW).expect("listed");
            assert_eq!(cards.len(), 10);
            assert!(cards.is_sorted_by(|one, next| one.views >= next.views));
        });
    }

    #[test]
    fn what_is_written_can_be_read_and_found() {
        with_session(20, |session| {
            let id = create(session, &draft(), NOW).expect("created");
            assert_eq!(id, 21);
            let found = article(session, id).expect("read").expect("there");
            assert_eq!(found.card.headline, draft().headline);
            assert_eq!(found.card.tags, ["a, b", "live"]);
            assert_eq!(found.card.author.id, 7);
            let search = List { search: Some("\"zeppelin\"*".to_owned()), ..everything() };
            assert_eq!(list(session, &search).expect("searched").total, 1);
        });
    }

    #[test]
    fn an_edit_replaces_text_tags_and_search() {
        with_session(20, |session| {
            assert!(replace(session, 3, &draft(), NOW).expect("replaced"));
            let found = article(session, 3).expect("read").expect("there");
            assert_eq!((found.card.updated, found.card.tags.len()), (NOW, 2));
            let search = List { search: Some("\"zeppelin\"*".to_owned()), ..everything() };
            assert_eq!(list(session, &search).expect("searched").items[0].id, 3);
            assert!(!replace(session, 999, &draft(), NOW).expect("nothing there"));
        });
    }

    #[test]
    fn aggregates_add_up() {
        with_session(300, |session| {
            let by_section: u32 =
                sections(session).expect("read").iter().map(|section| section.articles).sum();
            let by_author: u32 =
                authors(session).expect("read").iter().map(|author| author.articles).sum();
            assert_eq!((by_section, by_author), (300, 300));
            let profile = author_profile(session, 1).expect("read").expect("there");
            let shares: u32 = profile.sections.iter().map(|share| share.articles).sum();
            assert_eq!(shares, profile.author.articles);
            assert!(author_profile(session, 121).expect("read").is_none());
        });
    }
}
