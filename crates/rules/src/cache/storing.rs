//! Whether a response may be stored (RFC 9111, 3), and as what.

use wire::{Fields, Known, Method, RequestHead, ResponseHead};

use super::config::{Cache, Cookies};
use super::directives::{Scope, TARGETS};
use super::freshness::{Source, Times, Told, is_heuristically_cacheable};
use super::key::KeyParts;
use super::stored::{Stored, StoredPart, tag};
use super::why::Why;
use super::{groups, tags, vary};
use crate::{Cx, date};

/// The request that a response answers, as far as storing asks.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// The request as it was sent to the service.
    pub head: &'r RequestHead,
    /// Its facts.
    pub cx: &'r Cx,
    /// Its primary key.
    pub key: &'r [u8],
    /// What is behind one another in it.
    pub parts: KeyParts,
    /// The store's generation when the request left.
    pub generation: u64,
}

impl Cache {
    /// What is to be stored of `response`, and why.
    ///
    /// # Errors
    /// Why nothing is.
    pub fn store(
        &self,
        asked: &Asked<'_>,
        response: &ResponseHead,
        times: Times,
    ) -> Result<(Stored, Why), Why> {
        let told = Told::by(response);
        self.may_store(asked, response, &told)?;
        let (part, body_bytes) = match response.status {
            206 => part(response).ok_or(Why::PARTIAL)?,
            _ => (None, 0),
        };
        let names = vary::names(response, &self.vary_by).ok_or(Why::VARY_ALL)?;
        let (freshness, source) = self.freshness(response, &told, times);
        if source == Source::Rule && self.has_foreign_cookies(asked.head) {
            return Err(Why::WITH_COOKIE);
        }
        let stays_fresh = freshness.lifetime_ms > freshness.initial_age_ms && !freshness.no_cache;
        let has_validator = response.fields.has_any(Known::ETag.bit() | Known::LastModified.bit());
        let delay_ms = times.received_ms.saturating_sub(times.requested_ms);
        let came_late = freshness.lifetime_ms.saturating_add(delay_ms) > freshness.initial_age_ms
            && freshness.lifetime_ms > 0
            && !freshness.no_cache;
        let may_be_stale = !freshness.must_revalidate
            && !freshness.no_cache
            && (freshness.stale_while_revalidate_ms > 0 || freshness.stale_if_error_ms > 0);
        let why = match source {
            Source::Explicit if stays_fresh => Why::STORED,
            Source::Rule if stays_fresh => Why::STORED_AS_CONFIGURED,
            Source::Heuristic if stays_fresh => Why::STORED_HEURISTICALLY,
            _ if may_be_stale => Why::STORED_FOR_ERRORS,
            _ if has_validator => Why::STORED_TO_VALIDATE,
            Source::Nothing => return Err(Why::NO_LIFETIME),
            // It was fresh when the service made it, and took as long to come as it lives: those who wait
            // for it must not ask one by one.
            _ if came_late => Why::STORED_TOO_LATE,
            _ => return Err(Why::EXPIRED),
        };
        let tags = self.all_tags(asked, response);
        let head = self.head_to_store(response, &told, &names, times);
        let vary = vary::of_request(names, asked.head);
        let public = told.directives.public;
        // What is for all is not each client's own.
        let key = if public { &asked.key[..asked.parts.shared_bytes] } else { asked.key };
        Ok((
            Stored {
                key: key.into(),
                url_bytes: u32::try_from(asked.parts.url_bytes).unwrap_or(u32::MAX),
                head,
                vary,
                requested_ms: times.requested_ms,
                received_ms: times.received_ms,
                freshness,
                tags,
                generation: asked.generation,
                body_bytes,
                part,
                public,
                made_tag: false,
            },
            why,
        ))
    }

    /// RFC 9111, 3: what "MUST NOT" be stored.
    fn may_store(
        &self,
        asked: &Asked<'_>,
        response: &ResponseHead,
        told: &Told,
    ) -> Result<(), Why> {
        let directives = &told.directives;
        // "the response status code is final"; a 304 updates, and is nothing by itself.
        if asked.head.method != Method::Get || response.status == 304 || response.status < 200 {
            return Err(Why::STATUS);
        }
        // RFC 9111, 5.2.2.3: "the cache SHOULD ignore the no-store directive if it understands and
        // implements the status code's caching requirements".
        let understood = directives.must_understand && is_understood(response.status);
        if directives.must_understand && !understood {
            return Err(Why::STATUS);
        }
        if directives.no_store && !understood {
            return Err(Why::RESPONSE_NO_STORE);
        }
        // "the private response directive is not present"
        if directives.private == Scope::All {
            return Err(Why::PRIVATE);
        }
        // RFC 9111, 3.5: responses to authorized requests are for all only if they say so: "must-
        // revalidate, public, and s-maxage". The key may tell clients apart instead.
        let for_all =
            directives.must_revalidate || directives.public || directives.s_maxage.is_some();
        if asked.head.fields.has(Known::Authorization)
            && !for_all
            && !self.headers.iter().any(|name| **name == *"authorization")
        {
            return Err(Why::AUTHORIZED);
        }
        let sets_cookie = response.fields.has(Known::SetCookie);
        if sets_cookie && self.cookies == Cookies::Private && !directives.public {
            return Err(Why::SETS_COOKIE);
        }
        // "it contains at least one of: a public response directive; ... an Expires header field; a
        // max-age response directive; ... an s-maxage response directive; ... a status code that is
        // defined as heuristically cacheable".
        let said = directives.public
            || directives.max_age.is_some()
            || directives.s_maxage.is_some()
            || (response.fields.has(Known::Expires) && !told.targeted);
        if said || is_heuristically_cacheable(response.status) { Ok(()) } else { Err(Why::STATUS) }
    }

    /// Whether the request has cookies that may have changed the answer and are not in the key.
    pub(super) fn has_foreign_cookies(&self, head: &RequestHead) -> bool {
        self.cookies == Cookies::Private
            && self.cookie_names.is_empty()
            && head.fields.has(Known::Cookie)
            && !self.headers.iter().any(|name| **name == *"cookie")
    }

    fn all_tags(&self, asked: &Asked<'_>, response: &ResponseHead) -> Box<[u64]> {
        let url = tag(&asked.key[..asked.parts.url_bytes]);
        let mut all = vec![url];
        let mut add = |name: &[u8]| {
            let tag = tag(name);
            if !name.is_empty() && !all.contains(&tag) && all.len() < TAGS_MAX {
                all.push(tag);
            }
        };
        for name in self.tags(asked.head, asked.cx) {
            add(&name);
        }
        each_tag(&response.fields, &asked.key[..asked.parts.url_bytes], &mut add);
        all.into()
    }

    /// The head as clients get it. RFC 9111, 3.1 says what is left out: what concerns one hop, and
    /// what `private` and `no-cache` name.
    fn head_to_store(
        &self,
        response: &ResponseHead,
        told: &Told,
        vary: &[Box<str>],
        times: Times,
    ) -> ResponseHead {
        let mut head = ResponseHead::new(response.status);
        for (name, value) in response.fields.iter() {
            let known = Known::of(name);
            let text = std::str::from_utf8(name).unwrap_or_default();
            // `Vary` is written below.
            let left_out = is_left_out(name, told)
                || (known == Known::SetCookie && self.cookies == Cookies::Ignore);
            if !left_out && !text.is_empty() {
                head.fields.push(text, value);
            }
        }
        if !response.fields.has(Known::Date) {
            // RFC 9110, 6.6.1: "A recipient with a clock that receives a response message without a
            // Date header field MUST record the time it was received and append a corresponding Date
            // header field ... if it is cached".
            head.fields.push("Date", date::text(times.received_ms).as_bytes());
        }
        write_vary(response, vary, &mut head);
        head
    }
}

impl Cache {
    /// Whether `stored` is to get an `ETag` once all of its bytes are known: the route wants one, and
    /// the service gives none.
    #[must_use]
    pub fn wants_tag(&self, stored: &Stored) -> bool {
        self.etag
            && stored.part.is_none()
            && stored.head.status == 200
            && !stored.head.fields.has(Known::ETag)
    }
}

impl Stored {
    /// Gives it an `ETag` made from all of its bytes, which are `pieces`: as strong as the hash, for two
    /// states of one page with one tag come once in so many states as 64 bits can name.
    pub fn make_tag<'p>(&mut self, pieces: impl IntoIterator<Item = &'p [u8]>) {
        let mut hash = crate::siphash::SipHash::default();
        pieces.into_iter().for_each(|piece| hash.write(piece));
        let tag = format!("\"{:x}-{:016x}\"", self.body_bytes, hash.finish());
        self.head.fields.push("ETag", tag.as_bytes());
        self.made_tag = true;
    }
}

/// `Vary` as it came, and behind it what the route adds.
fn write_vary(response: &ResponseHead, names: &[Box<str>], head: &mut ResponseHead) {
    let mut said = Vec::new();
    for line in response.fields.all(Known::Vary) {
        head.fields.push("Vary", line);
        said.push(line.to_ascii_lowercase());
    }
    let is_said = |name: &str| {
        said.iter()
            .flat_map(|line| line.split(|&byte| byte == b','))
            .any(|said| said.trim_ascii() == name.as_bytes())
    };
    let missing: Vec<&str> =
        names.iter().map(|name| &**name).filter(|name| !is_said(name)).collect();
    if !missing.is_empty() {
        head.fields.push("Vary", missing.join(", ").as_bytes());
    }
}

/// The most tags that one response is stored under. Fastly takes some hundreds, Cloudflare a thousand
/// of them; each costs eight bytes and a look at each hit behind a purge.
pub(super) const TAGS_MAX: usize = 256;

/// Calls `add` with each name that a response at `url` gives itself to be purged by.
pub(super) fn each_tag(fields: &Fields, url: &[u8], add: &mut dyn FnMut(&[u8])) {
    tags::each(fields, add);
    for group in groups::of(fields, groups::GROUPS) {
        add(&groups::tag_name(groups::origin(url), &group));
    }
}

/// Whether a field is not stored as it came: what concerns one hop, changes with each answer, or is named
/// by `private` or `no-cache`.
pub(super) fn is_left_out(name: &[u8], told: &Told) -> bool {
    let known = Known::of(name);
    // What this cache is told of how long is told once, and holds until it is told otherwise.
    let is_for_us = is_for_us(name) && !name.eq_ignore_ascii_case(TARGETS[0].as_bytes());
    wire::head::HOP_BY_HOP & known.bit() != 0
        || matches!(known, Known::Age | Known::ContentLength | Known::Vary)
        || name.eq_ignore_ascii_case(NEVER_STORED)
        || is_for_us
        || told.names(name)
}

/// RFC 9111, 3.1: "Proxy-Authenticate ..., Proxy-Authentication-Info ..., and Proxy-Authorization";
/// the other two concern one hop wherever they stand.
const NEVER_STORED: &[u8] = b"proxy-authentication-info";

/// Whether a field says something to this cache that is nobody else's business.
#[must_use]
pub fn is_for_us(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(TARGETS[0].as_bytes())
        || name.eq_ignore_ascii_case(tags::PURGE.as_bytes())
        || tags::FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

/// The statuses whose meaning for caches RFC 9110 says.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=304 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
        && status != 304
}

/// Which bytes a 206 has and how many, if it says so in the one way that can be joined with others.
fn part(response: &ResponseHead) -> Option<(Option<StoredPart>, u64)> {
    let mut lines = response.fields.all(Known::ContentRange);
    let (value, None) = (lines.next()?, lines.next()) else { return None };
    let value = value.strip_prefix(b"bytes ")?;
    let slash = value.iter().position(|&byte| byte == b'/')?;
    let (range, whole) = (&value[..slash], &value[slash + 1..]);
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u64>().ok();
    let (first, last, whole_bytes) =
        (number(&range[..dash])?, number(&range[dash + 1..])?, number(whole)?);
    let part = StoredPart { first, whole_bytes };
    let bytes = (first <= last && last < whole_bytes).then(|| last - first + 1)?;
    // If its length is said, it is known before the body comes.
    let length = response.fields.get(Known::ContentLength).and_then(number);
    length.is_none_or(|length| length == bytes).then_some((Some(part), bytes))
}
