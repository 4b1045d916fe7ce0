//! What a 304, or the answer to a `HEAD`, makes of a stored response (RFC 9111, 3.2, 4.3.4, 4.3.5).

use wire::{Known, ResponseHead};

use super::config::Cache;
use super::directives::Scope;
use super::freshness::{Times, Told};
use super::stored::{Stored, tag};
use super::storing::{TAGS_MAX, each_tag, is_left_out};
use crate::date;

impl Cache {
    /// `stored` as `response`, which says that it is still so, makes it; `None` if it is about something
    /// else, or does not let it be used for others any more.
    #[must_use]
    pub(super) fn update(
        &self,
        stored: &Stored,
        response: &ResponseHead,
        times: Times,
        generation: u64,
    ) -> Option<Stored> {
        let told = Told::by(&merge_all(&stored.head, response));
        if !is_about(stored, response) || is_withdrawn(&told) {
            return None;
        }
        let mut head = merge(&stored.head, response, &told);
        if !response.fields.has(Known::Date) {
            // As for one that is stored: it was made when it came.
            head.fields.set("Date", date::text(times.received_ms).as_bytes());
        }
        let (freshness, _) = self.freshness(&with_own_age(&head, response), &told, times);
        Some(Stored {
            freshness,
            requested_ms: times.requested_ms,
            received_ms: times.received_ms,
            generation,
            public: told.directives.public,
            made_tag: stored.made_tag && !response.fields.has(Known::ETag),
            tags: all_tags(stored, response),
            head,
            ..stored.clone()
        })
    }

    /// What the answer to a `HEAD` says of `stored`: the updated response, or `None` if it is not that
    /// any more.
    ///
    /// RFC 9111, 4.3.5: if the status is 200 and validators and `Content-Length`, as far as they are
    /// there, match, the cache updates what it has; if not, it "SHOULD consider the stored response to
    /// be stale".
    #[must_use]
    pub fn update_by_head(
        &self,
        stored: &Stored,
        response: &ResponseHead,
        times: Times,
        generation: u64,
    ) -> Option<Stored> {
        let same = |known: Known| {
            let (new, old) = (response.fields.get(known), stored.head.fields.get(known));
            new.is_none() || new == old
        };
        let length = response.fields.get(Known::ContentLength);
        let bytes = stored.body_bytes.to_string();
        let same_length = length.is_none_or(|length| length == bytes.as_bytes());
        let matches = response.status == stored.head.status
            && stored.part.is_none()
            && same(Known::ETag)
            && same(Known::LastModified)
            && same_length;
        if matches { self.update(stored, response, times, generation) } else { None }
    }
}

/// Whether a 304 is about what is stored.
///
/// RFC 9111, 4.3.4: it is about those with "one of those same strong validators"; with none of them, "the
/// cache MUST NOT use the new response to update any stored responses". What has no validator is about
/// what was asked for.
fn is_about(stored: &Stored, new: &ResponseHead) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let (old, new) = (&stored.head.fields, &new.fields);
    match (stored.own_tag(), new.get(Known::ETag)) {
        (Some(old), Some(new)) => opaque(old) == opaque(new),
        (Some(_), None) => true,
        (None, _) => {
            let modified = new.get(Known::LastModified);
            modified.is_none() || modified == old.get(Known::LastModified)
        }
    }
}

/// Whether what is said now forbids to give it to others. RFC 9111, 3: such a response may not be
/// stored; what is stored is that response from now on.
fn is_withdrawn(told: &Told) -> bool {
    told.directives.no_store || told.directives.private == Scope::All
}

/// The tags of both: by whichever it is purged, it is gone.
fn all_tags(stored: &Stored, new: &ResponseHead) -> Box<[u64]> {
    let mut tags = stored.tags.to_vec();
    each_tag(&new.fields, stored.url(), &mut |name| {
        let tag = tag(name);
        if !name.is_empty() && !tags.contains(&tag) && tags.len() < TAGS_MAX {
            tags.push(tag);
        }
    });
    tags.into()
}

/// The stored head with what the new one says.
///
/// RFC 9111, 3.2: the cache "MUST add each header field in the provided response to the stored
/// response, replacing field values that are already present, with the following exceptions: Header
/// fields excluded from storage in Section 3.1, Header fields that the cache's stored response depends
/// upon, ... Header fields that are automatically processed and removed by the recipient, ... and The
/// Content-Length header field."
fn merge(stored: &ResponseHead, new: &ResponseHead, told: &Told) -> ResponseHead {
    let replaces = |name: &[u8]| {
        !is_left_out(name, told)
            && !matches!(
                Known::of(name),
                Known::ContentEncoding | Known::ContentRange | Known::SetCookie
            )
    };
    let mut head = ResponseHead::new(stored.status);
    for (name, value) in stored.fields.iter() {
        let replaced = replaces(name) && has(new, name);
        if !replaced && !told.names(name) {
            push(&mut head, name, value);
        }
    }
    for (name, value) in new.fields.iter() {
        if replaces(name) {
            push(&mut head, name, value);
        }
    }
    head
}

/// What both say to caches: the new one's word, or the stored one's where the new one has none.
fn merge_all(stored: &ResponseHead, new: &ResponseHead) -> ResponseHead {
    let mut head = ResponseHead::new(stored.status);
    for (name, value) in new.fields.iter() {
        push(&mut head, name, value);
    }
    for (name, value) in stored.fields.iter() {
        if !has(new, name) {
            push(&mut head, name, value);
        }
    }
    head
}

/// The age is that of the answer that validated it.
fn with_own_age(head: &ResponseHead, new: &ResponseHead) -> ResponseHead {
    let mut aged = head.clone();
    if let Some(age) = new.fields.get(Known::Age) {
        aged.fields.push("Age", age);
    }
    if !new.fields.has(Known::Date) {
        // When it came is known better than in seconds.
        aged.fields.remove(Known::Date);
    }
    aged
}

fn has(head: &ResponseHead, name: &[u8]) -> bool {
    head.fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

fn push(head: &mut ResponseHead, name: &[u8], value: &[u8]) {
    if let Ok(name) = std::str::from_utf8(name)
        && !name.is_empty()
    {
        head.fields.push(name, value);
    }
}
