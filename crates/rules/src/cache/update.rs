//! What a 304, or the answer to a `HEAD`, makes of a stored response (RFC 9111, 3.2, 4.3.4, 4.3.5).

use wire::{Known, ResponseHead};

use super::config::Cache;
use super::freshness::{Times, Told};
use super::stored::Stored;
use super::storing::is_for_us;

impl Cache {
    /// `stored` as `response`, which says that it is still so, makes it.
    #[must_use]
    pub fn update(
        &self,
        stored: &Stored,
        response: &ResponseHead,
        times: Times,
        generation: u64,
    ) -> Stored {
        let head = merge(&stored.head, response);
        let told = Told::by(&merge_all(&stored.head, response));
        let (freshness, _) = self.freshness(&with_own_age(&head, response), &told, times);
        Stored {
            head,
            freshness,
            requested_ms: times.requested_ms,
            received_ms: times.received_ms,
            generation,
            public: told.directives.public,
            made_tag: stored.made_tag && !response.fields.has(Known::ETag),
            ..stored.clone()
        }
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
        matches.then(|| self.update(stored, response, times, generation))
    }
}

/// The stored head with what the new one says.
///
/// RFC 9111, 3.2: the cache "MUST add each header field in the provided response to the stored
/// response, replacing field values that are already present, with the following exceptions: Header
/// fields excluded from storage in Section 3.1, Header fields that the cache's stored response depends
/// upon, ... Header fields that are automatically processed and removed by the recipient, ... and The
/// Content-Length header field."
fn merge(stored: &ResponseHead, new: &ResponseHead) -> ResponseHead {
    let replaces = |name: &[u8]| {
        let known = Known::of(name);
        wire::head::HOP_BY_HOP & known.bit() == 0
            && !is_for_us(name)
            && !matches!(
                known,
                Known::Age
                    | Known::ContentLength
                    | Known::ContentEncoding
                    | Known::ContentRange
                    | Known::Vary
                    | Known::SetCookie
            )
    };
    let mut head = ResponseHead::new(stored.status);
    for (name, value) in stored.fields.iter() {
        let replaced = replaces(name) && has(new, name);
        if !replaced {
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
