//! Answers as a cache likes them: with validators, a stated freshness, and tags by which they can be purged.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LAST_MODIFIED};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

pub const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// The tags once more, for `front`, which gives them to its pages: the front door keeps the others for itself.
pub const TAGS: HeaderName = HeaderName::from_static("newsroom-tags");

/// In the answer to a request that changed something: the tags of all that is not true any more. The
/// front door forgets what has them before the client hears of the change.
pub const PURGE: HeaderName = HeaderName::from_static("doorward-purge");

pub const JSON: &str = "application/json";

/// How long a cache may answer for us: briefly, since edits should show, and a while longer as it asks again.
pub const BRIEFLY: &str = "public, max-age=10, stale-while-revalidate=60";
/// For what changes only with the program.
pub const DAILY: &str = "public, max-age=86400";
/// For what must be asked every time: metrics, health, errors, pages with a part missing.
pub const NEVER: &str = "no-store";

const HTTP_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// The names by which a cached answer can be purged. Sorted, so that equal answers have equal headers.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Tags(BTreeSet<String>);

impl Tags {
    pub fn add(&mut self, tag: impl Into<String>) {
        self.0.insert(tag.into());
    }

    pub fn into_vec(self) -> Vec<String> {
        self.0.into_iter().collect()
    }

    /// Adds the tags of an answer that this one is made from.
    pub fn inherit(&mut self, headers: &HeaderMap) {
        let inherited = headers.get(TAGS).and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.0.extend(inherited.split_ascii_whitespace().map(str::to_owned));
    }

    fn header(&self) -> Option<HeaderValue> {
        let joined = self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        if joined.is_empty() { None } else { HeaderValue::from_str(&joined).ok() }
    }
}

/// A successful answer before it meets the request's conditions.
pub struct Answer {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: String,
    pub cache: &'static str,
    pub modified: Option<OffsetDateTime>,
    pub tags: Tags,
}

impl Answer {
    pub fn json(value: &impl Serialize) -> Answer {
        let body = serde_json::to_string(value)
            .expect("contract types have string keys and no failing parts");
        Answer {
            status: StatusCode::OK,
            content_type: JSON,
            body,
            cache: NEVER,
            modified: None,
            tags: Tags::default(),
        }
    }

    /// The answer to a GET: the whole of it, or 304 if the client says that it already has this one.
    pub fn for_request(self, request: &HeaderMap) -> Response {
        let etag = etag(&self.body);
        let known = self.status == StatusCode::OK && matches(request, &etag);
        let modified = self.modified;
        let mut response = self.plain();
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::empty();
            response.headers_mut().remove(CONTENT_TYPE);
        }
        let headers = response.headers_mut();
        headers.extend(HeaderValue::from_str(&etag).ok().map(|value| (ETAG, value)));
        headers.extend(modified.and_then(http_date).map(|value| (LAST_MODIFIED, value)));
        response
    }

    /// The answer to a change that made everything with one of `tags` untrue.
    pub fn changed(self, tags: &[String]) -> Response {
        let mut response = self.plain();
        response.headers_mut().extend(tags.join(" ").parse().ok().map(|value| (PURGE, value)));
        response
    }

    /// The answer without validators, as it suits what is not a GET.
    pub fn plain(self) -> Response {
        let mut response =
            (self.status, [(CONTENT_TYPE, self.content_type)], self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache));
        let tags = self.tags.header();
        headers.extend(tags.clone().map(|value| (SURROGATE_KEY, value)));
        headers.extend(tags.map(|value| (TAGS, value)));
        response
    }
}

/// A new compiler may hash otherwise; that costs each cache one full answer and is no reason for a dependency.
fn etag(body: &str) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// RFC 9110, 13.1.2: a list of entity tags, compared weakly, or `*`.
fn matches(request: &HeaderMap, etag: &str) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|candidate| candidate.trim().trim_start_matches("W/"))
        .any(|candidate| candidate == etag || candidate == "*")
}

fn http_date(moment: OffsetDateTime) -> Option<HeaderValue> {
    let text = moment.to_offset(time::UtcOffset::UTC).format(HTTP_DATE).ok()?;
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn answer() -> Answer {
        let mut answer = Answer::json(&["news"]);
        answer.modified = Some(datetime!(2026-03-01 09:05:07 UTC));
        answer.tags.add("section-world");
        answer.tags.add("article-7");
        answer
    }

    fn asked_with(condition: &str) -> Response {
        let mut request = HeaderMap::new();
        request.insert(IF_NONE_MATCH, HeaderValue::from_str(condition).expect("a plain header"));
        answer().for_request(&request)
    }

    #[test]
    fn an_answer_carries_validators_and_tags() {
        let response = answer().for_request(&HeaderMap::new());
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[LAST_MODIFIED], "Sun, 01 Mar 2026 09:05:07 GMT");
        assert_eq!(response.headers()[SURROGATE_KEY], "article-7 section-world");
        assert_eq!(response.headers()[ETAG], etag("[\"news\"]"));
    }

    #[test]
    fn a_known_answer_is_not_sent_again() {
        let known = etag("[\"news\"]");
        for condition in [known.clone(), format!("\"x\", W/{known}"), "*".to_owned()] {
            let response = asked_with(&condition);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{condition}");
            assert_eq!(response.headers()[SURROGATE_KEY], "article-7 section-world");
        }
        assert_eq!(asked_with("\"other\"").status(), StatusCode::OK);
    }

    #[test]
    fn tags_are_inherited_once() {
        let mut tags = Tags::default();
        tags.add("article-7");
        let mut headers = HeaderMap::new();
        headers.insert(TAGS, HeaderValue::from_static("article-7  author-3"));
        tags.inherit(&headers);
        assert_eq!(tags.header(), Some(HeaderValue::from_static("article-7 author-3")));
    }
}
