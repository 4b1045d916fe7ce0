//! The `articles` service: the archive as a JSON API over its own SQLite database.

mod fault;
mod generate;
mod grammar;
mod queries;
mod request;
mod store;

use std::io;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use time::OffsetDateTime;

use crate::answer::{Answer, BRIEFLY, NEVER, Tags};
use crate::contract::{Article, Card, Draft};
use crate::options::Options;
use crate::serve::serve;
use fault::Fault;
use request::{ListQuery, PopularQuery, checked};
use store::{Session, Store};

type Reply = Result<Response, Fault>;
type Archive = State<Arc<Store>>;

pub fn run(options: &Options) -> io::Result<()> {
    let store = Store::open(&options.data, options.articles)?;
    let router = Router::new()
        .route("/healthz", get(health))
        .route("/api/v1/articles", get(list).post(create))
        .route("/api/v1/articles/popular", get(popular))
        .route("/api/v1/articles/stats", get(stats))
        .route("/api/v1/articles/{id}", get(article).put(replace))
        .route("/api/v1/sections", get(sections))
        .route("/api/v1/authors", get(authors))
        .route("/api/v1/authors/{id}", get(author))
        .fallback(async || Fault::Absent)
        .with_state(store);
    serve(options.role.name(), options.port, router)
}

async fn health(State(store): Archive, headers: HeaderMap) -> Reply {
    store.ready().await?;
    Ok(Answer::json(&json!({ "status": "ready" })).for_request(&headers))
}

async fn stats(State(store): Archive, headers: HeaderMap) -> Response {
    Answer::json(&json!({ "service": "articles", "queries": store.queries() }))
        .for_request(&headers)
}

async fn list(
    State(store): Archive,
    headers: HeaderMap,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Reply {
    let asked = query?.0.build()?;
    let mut tags = Tags::default();
    match (asked.section, asked.author) {
        (Some(section), _) => tags.add(format!("section-{section}")),
        (None, Some(author)) => tags.add(format!("author-{author}")),
        (None, None) => tags.add("articles"),
    }
    let listing = store.read(move |session| queries::list(session, &asked)).await?;
    let modified = tag_cards(&mut tags, &listing.items);
    Ok(Answer { cache: BRIEFLY, modified, tags, ..Answer::json(&listing) }.for_request(&headers))
}

async fn popular(
    State(store): Archive,
    headers: HeaderMap,
    query: Result<Query<PopularQuery>, QueryRejection>,
) -> Reply {
    let asked = query?.0.build()?;
    let now = OffsetDateTime::now_utc();
    let cards = store.read(move |session| queries::popular(session, &asked, now)).await?;
    let mut tags = Tags::default();
    tags.add("articles");
    let modified = tag_cards(&mut tags, &cards);
    Ok(Answer { cache: BRIEFLY, modified, tags, ..Answer::json(&cards) }.for_request(&headers))
}

async fn article(
    State(store): Archive,
    headers: HeaderMap,
    id: Result<Path<u32>, PathRejection>,
) -> Reply {
    let Path(id) = id?;
    let article =
        store.read(move |session| queries::article(session, id)).await?.ok_or(Fault::Absent)?;
    Ok(article_answer(&article).for_request(&headers))
}

async fn create(State(store): Archive, draft: Result<Json<Draft>, JsonRejection>) -> Reply {
    let draft = checked(draft?.0)?;
    let work = move |session: &Session<'_>| {
        if !queries::author_exists(session, draft.author)? {
            return Ok(Err(no_such_author()));
        }
        let id = queries::create(session, &draft, OffsetDateTime::now_utc())?;
        Ok(queries::article(session, id)?.ok_or(Fault::Absent))
    };
    let article = store.write(work).await??;
    let location = format!("/api/v1/articles/{}", article.card.id);
    let answer = Answer { status: StatusCode::CREATED, cache: NEVER, ..article_answer(&article) };
    let mut changed = changed_tags(None, &article.card);
    changed.extend(["articles".to_owned(), "authors".to_owned()]);
    let mut response = answer.changed(&changed);
    response.headers_mut().extend(location.parse().ok().map(|value| (LOCATION, value)));
    Ok(response)
}

async fn replace(
    State(store): Archive,
    id: Result<Path<u32>, PathRejection>,
    draft: Result<Json<Draft>, JsonRejection>,
) -> Reply {
    let Path(id) = id?;
    let draft = checked(draft?.0)?;
    let work = move |session: &Session<'_>| {
        let Some(before) = queries::card_of(session, id)? else { return Ok(Err(Fault::Absent)) };
        if draft.author != before.author.id && !queries::author_exists(session, draft.author)? {
            return Ok(Err(no_such_author()));
        }
        queries::replace(session, id, &draft, OffsetDateTime::now_utc())?;
        let article = queries::article(session, id)?;
        Ok(article.map(|article| (before, article)).ok_or(Fault::Absent))
    };
    let (before, article) = store.write(work).await??;
    let answer = Answer { cache: NEVER, ..article_answer(&article) };
    Ok(answer.changed(&changed_tags(Some(&before), &article.card)))
}

async fn sections(State(store): Archive, headers: HeaderMap) -> Reply {
    let sections = store.read(queries::sections).await?;
    let mut tags = Tags::default();
    for section in &sections {
        tags.add(format!("section-{}", section.slug));
    }
    let modified = sections.iter().map(|section| section.latest).max();
    Ok(Answer { cache: BRIEFLY, modified, tags, ..Answer::json(&sections) }.for_request(&headers))
}

async fn authors(State(store): Archive, headers: HeaderMap) -> Reply {
    let authors = store.read(queries::authors).await?;
    let mut tags = Tags::default();
    tags.add("authors");
    Ok(Answer { cache: BRIEFLY, tags, ..Answer::json(&authors) }.for_request(&headers))
}

async fn author(
    State(store): Archive,
    headers: HeaderMap,
    id: Result<Path<u32>, PathRejection>,
) -> Reply {
    let Path(id) = id?;
    let profile = store
        .read(move |session| queries::author_profile(session, id))
        .await?
        .ok_or(Fault::Absent)?;
    let mut tags = Tags::default();
    tags.add(format!("author-{id}"));
    Ok(Answer { cache: BRIEFLY, tags, ..Answer::json(&profile) }.for_request(&headers))
}

fn article_answer(article: &Article) -> Answer {
    let mut tags = Tags::default();
    // What is related is found by topics: another article of one of them may become it.
    for topic in &article.card.tags {
        tags.add(topic_tag(topic));
    }
    tag_cards(&mut tags, &article.related);
    tag_cards(&mut tags, std::slice::from_ref(&article.card));
    Answer { cache: BRIEFLY, modified: Some(article.card.updated), tags, ..Answer::json(article) }
}

/// The tags of all that a change made untrue, and of nothing else: each one too many is asked of the database
/// again by every page that has it. What shows the article has its own tag; lists, counts and what is related
/// change only with what they are made by.
fn changed_tags(before: Option<&Card>, after: &Card) -> Vec<String> {
    let mut tags = Tags::default();
    tags.add(format!("article-{}", after.id));
    let both = || before.into_iter().chain([after]);
    if before.is_none_or(|before| before.section != after.section) {
        both().for_each(|card| tags.add(format!("section-{}", card.section)));
    }
    if before.is_none_or(|before| before.author.id != after.author.id) {
        both().for_each(|card| tags.add(format!("author-{}", card.author.id)));
        // Sections tell how many authors they have.
        tags.add(format!("section-{}", after.section));
        tags.add("authors");
    }
    let old = before.map_or(&[][..], |before| &before.tags);
    let gone = old.iter().filter(|topic| !after.tags.contains(topic));
    let new = after.tags.iter().filter(|topic| !old.contains(topic));
    gone.chain(new).for_each(|topic| tags.add(topic_tag(topic)));
    tags.into_vec()
}

/// A topic as a tag, which has no blanks and no commas.
fn topic_tag(topic: &str) -> String {
    let letters = topic.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' });
    // Header fields have letters of ASCII.
    let plain = letters.flat_map(char::escape_default).filter(|letter| !"\\{}".contains(*letter));
    format!("topic-{}", plain.collect::<String>())
}

/// Tags an answer with every article that it shows, and tells when the youngest of them was changed.
fn tag_cards(tags: &mut Tags, cards: &[Card]) -> Option<OffsetDateTime> {
    for card in cards {
        tags.add(format!("article-{}", card.id));
    }
    cards.iter().map(|card| card.updated).max()
}

fn no_such_author() -> Fault {
    Fault::Invalid("there is no such author".to_owned())
}
