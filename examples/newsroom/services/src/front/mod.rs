//! The `front` service: renders the newspaper from what the other services answer, and goes on when some do not.

mod door;
mod illustration;
mod layout;
mod pages;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::extract::rejection::{FormRejection, PathRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::Markup;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use crate::answer::{Answer, BRIEFLY, DAILY, NEVER, Tags};
use crate::contract::{
    Article, AuthorProfile, Card, Listing, SECTIONS, SectionOverview, find_section,
};
use crate::options::Options;
use crate::serve::serve;
use door::{Door, Gone, Part};
use pages::{Block, Comment, Counts, Names, Reader};

const HTML: &str = "text/html; charset=utf-8";
const SVG: &str = "image/svg+xml";
/// Everything that a page loads comes from this service; a script in a comment would not run even if it got through.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'",
);

/// How many sections the front page shows with articles of their own, and how many articles each.
const BLOCKS: usize = 6;
const BLOCK_CARDS: usize = 4;
/// How many of the latest articles the front page opens with, with pictures.
const TOP_CARDS: usize = 4;
const COMMENTS_SHOWN: usize = 30;

struct Front {
    door: Door,
    pages: AtomicU64,
}

type Paper = State<Arc<Front>>;
type Reply = Result<Response, Apology>;

pub fn run(options: &Options) -> io::Result<()> {
    let door = Door::from_environment().map_err(io::Error::other)?;
    let router = Router::new()
        .route("/", get(front))
        .route("/section/{slug}", get(section))
        .route("/article/{id}", get(article))
        .route("/article/{id}/comments", post(comment))
        .route("/author/{id}", get(author))
        .route("/search", get(search))
        .route("/illustration/{section}/{id}", get(illustration))
        .route("/static/style.css", get(style))
        .route("/static/mark.svg", get(mark))
        .route("/healthz", get(health))
        .route("/api/v1/front/stats", get(stats))
        .fallback(async || Apology(Gone::Absent))
        .with_state(Arc::new(Front { door, pages: AtomicU64::new(0) }));
    serve(options.role.name(), options.port, router)
}

/// What the reader gets instead of a page.
struct Apology(Gone);

impl IntoResponse for Apology {
    fn into_response(self) -> Response {
        let status = match self.0 {
            Gone::Away => StatusCode::SERVICE_UNAVAILABLE,
            Gone::Absent => StatusCode::NOT_FOUND,
            Gone::Refused => StatusCode::BAD_REQUEST,
        };
        let answer = Answer { status, ..html_answer(pages::apology(self.0)) };
        let mut response = answer.plain();
        if self.0 == Gone::Away {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<QueryRejection> for Apology {
    fn from(_: QueryRejection) -> Apology {
        Apology(Gone::Refused)
    }
}

impl From<FormRejection> for Apology {
    fn from(_: FormRejection) -> Apology {
        Apology(Gone::Refused)
    }
}

/// An id that is no number is an address of nothing.
impl From<PathRejection> for Apology {
    fn from(_: PathRejection) -> Apology {
        Apology(Gone::Absent)
    }
}

/// The parts of one page as they come in: what it depends on, and whether one is missing.
struct Gathering {
    tags: Tags,
    whole: bool,
}

impl Gathering {
    fn new() -> Gathering {
        Gathering { tags: Tags::default(), whole: true }
    }

    /// A part without which there is no page.
    fn need<T>(&mut self, part: Result<Part<T>, Gone>) -> Result<T, Apology> {
        let part = part.map_err(Apology)?;
        self.tags.inherit(&part.headers);
        Ok(part.value)
    }

    /// A part that the page can do without.
    fn take<T>(&mut self, part: Result<Part<T>, Gone>) -> Option<T> {
        let part = self.need(part).ok();
        self.whole &= part.is_some();
        part
    }

    fn reply(self, paper: &Front, request: &HeaderMap, page: Markup) -> Response {
        paper.pages.fetch_add(1, Relaxed);
        // A page with a part missing must not outlive the reason.
        let cache = if self.whole { BRIEFLY } else { NEVER };
        let mut response =
            Answer { cache, tags: self.tags, ..html_answer(page) }.for_request(request);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
        response
    }
}

fn html_answer(page: Markup) -> Answer {
    let body = page.into_string();
    Answer {
        status: StatusCode::OK,
        content_type: HTML,
        body,
        cache: NEVER,
        modified: None,
        tags: Tags::default(),
    }
}

impl Front {
    /// How many comments each of the articles has.
    async fn counts(&self, cards: impl Iterator<Item = &Card>) -> Result<Part<Counts>, Gone> {
        let ids: BTreeSet<u32> = cards.map(|card| card.id).collect();
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        self.door.read(&format!("/api/v1/comments/counts?articles={}", ids.join(","))).await
    }

    /// The readers who wrote the comments.
    async fn names(&self, comments: &[Comment]) -> Result<Part<Names>, Gone> {
        let ids: BTreeSet<u32> = comments.iter().map(|comment| comment.account).collect();
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        let Part { value, headers } = self
            .door
            .read::<Vec<Reader>>(&format!("/api/v1/accounts?ids={}", ids.join(",")))
            .await?;
        Ok(Part { value: value.into_iter().map(|reader| (reader.id, reader)).collect(), headers })
    }
}

async fn front(State(paper): Paper, request: HeaderMap) -> Reply {
    let mut gathering = Gathering::new();
    // Started before anything is waited for.
    let started: Vec<_> = SECTIONS[..BLOCKS]
        .iter()
        .map(|(slug, name)| {
            // As many more as may stand at the top already.
            let path =
                format!("/api/v1/articles?section={slug}&per_page={}", BLOCK_CARDS + TOP_CARDS);
            let paper = Arc::clone(&paper);
            (slug, name, tokio::spawn(async move { paper.door.read::<Listing<Card>>(&path).await }))
        })
        .collect();
    let (latest, popular, sections, readers) = tokio::join!(
        paper.door.read::<Listing<Card>>("/api/v1/articles?per_page=12"),
        paper.door.read::<Vec<Card>>("/api/v1/articles/popular?days=7&limit=8"),
        paper.door.read::<Vec<SectionOverview>>("/api/v1/sections"),
        paper.door.read::<Vec<Reader>>("/api/v1/accounts/top?limit=8"),
    );
    let mut top = gathering.need(latest)?.items;
    // What is read most among the new comes first, the others stay in the order of time.
    top.sort_by_key(|card| Reverse(card.views));
    let mut latest = top.split_off(top.len().min(TOP_CARDS));
    latest.sort_by_key(|card| Reverse(card.published));
    let popular = gathering.take(popular);
    let sections = gathering.take(sections);
    let readers = gathering.take(readers);
    let mut blocks = Vec::new();
    for (slug, name, call) in started {
        let listing = gathering.take(call.await.unwrap_or(Err(Gone::Away)));
        let cards = listing.map(|listing| {
            let others = listing
                .items
                .into_iter()
                .filter(|card| top.iter().all(|shown| shown.id != card.id));
            others.take(BLOCK_CARDS).collect()
        });
        blocks.push(Block { slug, name, cards });
    }
    let in_blocks = blocks.iter().flat_map(|block| block.cards.iter().flatten());
    let shown = top.iter().chain(&latest).chain(popular.iter().flatten()).chain(in_blocks);
    let counts = gathering.take(paper.counts(shown).await);
    let page = pages::front(&pages::FrontPage {
        today: OffsetDateTime::now_utc().date(),
        top,
        latest,
        popular,
        blocks,
        sections,
        readers,
        counts,
    });
    Ok(gathering.reply(&paper, &request, page))
}

#[derive(Deserialize)]
struct PageQuery {
    page: Option<u32>,
}

async fn section(
    State(paper): Paper,
    request: HeaderMap,
    Path(slug): Path<String>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Reply {
    let (slug, name) = find_section(&slug).ok_or(Apology(Gone::Absent))?;
    let page = query?.page.unwrap_or(1);
    let mut gathering = Gathering::new();
    let (listing, popular) = (
        format!("/api/v1/articles?section={slug}&page={page}"),
        format!("/api/v1/articles/popular?section={slug}&days=30&limit=5"),
    );
    let (listing, popular) =
        tokio::join!(paper.door.read::<Listing<Card>>(&listing), paper.door.read(&popular));
    let listing = gathering.need(listing)?;
    let popular: Option<Vec<Card>> = gathering.take(popular);
    let counts =
        gathering.take(paper.counts(listing.items.iter().chain(popular.iter().flatten())).await);
    Ok(gathering.reply(
        &paper,
        &request,
        pages::section(slug, name, &listing, popular.as_deref(), counts.as_ref()),
    ))
}

async fn article(
    State(paper): Paper,
    request: HeaderMap,
    id: Result<Path<u32>, PathRejection>,
) -> Reply {
    let Path(id) = id?;
    let mut gathering = Gathering::new();
    let (article, comments) = (
        format!("/api/v1/articles/{id}"),
        format!("/api/v1/comments?article={id}&per_page={COMMENTS_SHOWN}"),
    );
    let (article, comments, popular) = tokio::join!(
        paper.door.read::<Article>(&article),
        paper.door.read::<Listing<Comment>>(&comments),
        paper.door.read::<Vec<Card>>("/api/v1/articles/popular?days=7&limit=5"),
    );
    let article = gathering.need(article)?;
    let comments = gathering.take(comments);
    let popular = gathering.take(popular);
    let names = match &comments {
        Some(listing) if !listing.items.is_empty() => {
            gathering.take(paper.names(&listing.items).await)
        }
        _ => Some(Names::new()),
    };
    let page = pages::article(&article, comments.as_ref(), names.as_ref(), popular.as_deref());
    Ok(gathering.reply(&paper, &request, page))
}

#[derive(Deserialize)]
struct CommentForm {
    account: u32,
    text: String,
}

async fn comment(
    State(paper): Paper,
    id: Result<Path<u32>, PathRejection>,
    form: Result<Form<CommentForm>, FormRejection>,
) -> Result<Redirect, Apology> {
    let Path(id) = id?;
    let Form(CommentForm { account, text }) = form?;
    // Browsers send line ends as CR LF.
    let body = json!({ "article": id, "account": account, "text": text.replace('\r', "") });
    paper.door.send::<Comment>("/api/v1/comments", &body).await.map_err(Apology)?;
    Ok(Redirect::to(&format!("/article/{id}#comments")))
}

async fn author(
    State(paper): Paper,
    request: HeaderMap,
    id: Result<Path<u32>, PathRejection>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Reply {
    let Path(id) = id?;
    let page = query?.page.unwrap_or(1);
    let mut gathering = Gathering::new();
    let (profile, listing) =
        (format!("/api/v1/authors/{id}"), format!("/api/v1/articles?author={id}&page={page}"));
    let (profile, listing) =
        tokio::join!(paper.door.read::<AuthorProfile>(&profile), paper.door.read(&listing));
    let profile = gathering.need(profile)?;
    let listing: Listing<Card> = gathering.need(listing)?;
    let counts = gathering.take(paper.counts(listing.items.iter()).await);
    Ok(gathering.reply(&paper, &request, pages::author(&profile, &listing, counts.as_ref())))
}

#[derive(Deserialize)]
struct SearchQuery {
    #[serde(default)]
    q: String,
    page: Option<u32>,
}

async fn search(
    State(paper): Paper,
    request: HeaderMap,
    query: Result<Query<SearchQuery>, QueryRejection>,
) -> Reply {
    let Query(SearchQuery { q, page }) = query?;
    let mut gathering = Gathering::new();
    let q = q.trim();
    if q.is_empty() {
        return Ok(gathering.reply(&paper, &request, pages::search(q, None, None)));
    }
    let path = format!("/api/v1/articles?{}&page={}", layout::parameter("q", q), page.unwrap_or(1));
    let listing: Listing<Card> = gathering.need(paper.door.read(&path).await)?;
    let counts = gathering.take(paper.counts(listing.items.iter()).await);
    Ok(gathering.reply(&paper, &request, pages::search(q, Some(&listing), counts.as_ref())))
}

async fn illustration(request: HeaderMap, Path((section, id)): Path<(String, String)>) -> Reply {
    let (section, _) = find_section(&section).ok_or(Apology(Gone::Absent))?;
    let id = id.parse().map_err(|_| Apology(Gone::Absent))?;
    Ok(file(SVG, DAILY, illustration::draw(section, id)).for_request(&request))
}

async fn style(request: HeaderMap) -> Response {
    file("text/css; charset=utf-8", BRIEFLY, include_str!("style.css").to_owned())
        .for_request(&request)
}

async fn mark(request: HeaderMap) -> Response {
    file(SVG, DAILY, include_str!("mark.svg").to_owned()).for_request(&request)
}

fn file(content_type: &'static str, cache: &'static str, body: String) -> Answer {
    Answer {
        status: StatusCode::OK,
        content_type,
        body,
        cache,
        modified: None,
        tags: Tags::default(),
    }
}

/// Ready at once: this service has no database, and renders what it can when others are away.
async fn health(request: HeaderMap) -> Response {
    Answer::json(&json!({ "status": "ready" })).for_request(&request)
}

async fn stats(State(paper): Paper, request: HeaderMap) -> Response {
    let (calls, failures) = paper.door.counts();
    let pages = paper.pages.load(Relaxed);
    Answer::json(&json!({ "service": "front", "queries": 0, "pages": pages, "calls": calls, "calls_failed": failures }))
        .for_request(&request)
}
