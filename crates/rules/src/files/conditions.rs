//! Conditional requests (RFC 9110, 13): whether a file is still what the client has in mind.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wire::{Known, Method, RequestHead};

/// What tells one state of a file from another.
pub(super) struct Validators {
    pub(super) etag: String,
    pub(super) modified: Option<SystemTime>,
}

/// What the conditions of a request make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answer it; with its range, if it has one.
    Whole {
        range: bool,
    },
    NotModified,
    Failed,
}

impl Validators {
    /// Size and time of the last write, to the nanosecond: whoever changes a file within one tick
    /// without changing its size is not noticed, as with every server that does not read the file.
    pub(super) fn new(bytes: u64, modified: Option<SystemTime>, coding: &str) -> Self {
        let age = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let dash = if coding.is_empty() { "" } else { "-" };
        Self { etag: format!("\"{bytes:x}-{:x}{dash}{coding}\"", age.as_nanos()), modified }
    }

    /// In the order of RFC 9110, 13.2.2.
    pub(super) fn judge(&self, head: &RequestHead) -> Outcome {
        let fields = &head.fields;
        let is_read = matches!(head.method, Method::Get | Method::Head);
        if fields.has(Known::IfMatch) {
            if !fields.all(Known::IfMatch).any(|list| self.is_listed(list, Compare::Strong)) {
                return Outcome::Failed;
            }
        } else if let Some(since) = date(fields.get(Known::IfUnmodifiedSince))
            && self.seconds().is_some_and(|modified| modified > since)
        {
            return Outcome::Failed;
        }
        if fields.has(Known::IfNoneMatch) {
            if fields.all(Known::IfNoneMatch).any(|list| self.is_listed(list, Compare::Weak)) {
                return if is_read { Outcome::NotModified } else { Outcome::Failed };
            }
        } else if is_read
            && let Some(since) = date(fields.get(Known::IfModifiedSince))
            && self.seconds().is_some_and(|modified| modified <= since)
        {
            return Outcome::NotModified;
        }
        // RFC 9110, 14.2: ranges are defined for GET alone.
        let range = head.method == Method::Get && fields.has(Known::Range) && self.if_range(head);
        Outcome::Whole { range }
    }

    /// RFC 9110, 13.1.5: a tag or a date, which must be exactly ours.
    fn if_range(&self, head: &RequestHead) -> bool {
        match head.fields.get(Known::IfRange) {
            None => true,
            Some(tag) if tag.starts_with(b"\"") || tag.starts_with(b"W/") => {
                tag == self.etag.as_bytes()
            }
            Some(value) => {
                let given = date(Some(value));
                given.is_some() && given == self.seconds()
            }
        }
    }

    /// The time of the last write in whole seconds, as dates in HTTP have it.
    fn seconds(&self) -> Option<u64> {
        let since = self.modified?.duration_since(UNIX_EPOCH).ok()?;
        Some(since.as_secs())
    }

    /// The value of `Last-Modified`.
    pub(super) fn last_modified(&self) -> Option<String> {
        let whole = UNIX_EPOCH + Duration::from_secs(self.seconds()?);
        Some(httpdate::fmt_http_date(whole))
    }

    /// Whether our tag is in `list`, or the list is `*`.
    fn is_listed(&self, list: &[u8], compare: Compare) -> bool {
        if list.trim_ascii() == b"*" {
            return true;
        }
        let mut rest = list;
        while let Some((tag, weak, behind)) = next_tag(rest) {
            if tag == self.etag.as_bytes() && !(weak && compare == Compare::Strong) {
                return true;
            }
            rest = behind;
        }
        false
    }
}

/// RFC 9110, 8.8.3.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    Strong,
    Weak,
}

/// Splits the first tag off a list: the tag with its quotes, whether it is weak, and the rest. Tags
/// may have commas in them.
fn next_tag(list: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let start = list.iter().position(|byte| !b", \t".contains(byte))?;
    let (weak, list) = match list[start..].strip_prefix(b"W/") {
        Some(rest) => (true, rest),
        None => (false, &list[start..]),
    };
    let inner = list.strip_prefix(b"\"")?;
    let end = inner.iter().position(|&byte| byte == b'"')? + 2;
    Some((&list[..end], weak, &list[end..]))
}

/// The seconds since 1970 of a date; what is no date is as if it were not there (RFC 9110, 13.1.3).
fn date(value: Option<&[u8]>) -> Option<u64> {
    let text = std::str::from_utf8(value?).ok()?;
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs())
}
