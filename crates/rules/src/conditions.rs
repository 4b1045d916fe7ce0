//! Conditional requests (RFC 9110, 13): whether a representation is still what the client has in mind.

use wire::{Fields, Known, Method, RequestHead};

use crate::date;

/// What tells one state of a representation from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'v> {
    /// The entity tag as it stands in `ETag`.
    pub(crate) etag: Option<&'v [u8]>,
    /// The time of the last change in seconds since 1970, as dates in HTTP have it.
    pub(crate) modified: Option<u64>,
    /// Whether nothing else can have had that time (RFC 9110, 8.8.2.2: then it is a strong validator).
    pub(crate) modified_is_strong: bool,
}

/// What the conditions of a request make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answer it; with its range, if it has one.
    Whole {
        range: bool,
    },
    NotModified,
    Failed,
}

impl Validators<'_> {
    /// As the origin of the representation judges, in the order of RFC 9110, 13.2.2.
    pub(crate) fn judge(self, head: &RequestHead) -> Outcome {
        let fields = &head.fields;
        if fields.has(Known::IfMatch) {
            if !self.is_listed(fields, Known::IfMatch, Compare::Strong) {
                return Outcome::Failed;
            }
        } else if let Some(since) = seconds(fields.get(Known::IfUnmodifiedSince))
            && self.modified.is_some_and(|modified| modified > since)
        {
            return Outcome::Failed;
        }
        self.revalidate(head)
    }

    /// As a cache judges. RFC 9111, 4.3.2: the other conditions "are not applicable to a cache".
    pub(crate) fn revalidate(self, head: &RequestHead) -> Outcome {
        let fields = &head.fields;
        let is_read = matches!(head.method, Method::Get | Method::Head);
        if fields.has(Known::IfNoneMatch) {
            if self.is_listed(fields, Known::IfNoneMatch, Compare::Weak) {
                return if is_read { Outcome::NotModified } else { Outcome::Failed };
            }
        } else if is_read
            && let Some(since) = seconds(fields.get(Known::IfModifiedSince))
            && self.modified.is_some_and(|modified| modified <= since)
        {
            return Outcome::NotModified;
        }
        // RFC 9110, 14.2: ranges are defined for GET alone.
        let range = head.method == Method::Get && fields.has(Known::Range) && self.if_range(head);
        Outcome::Whole { range }
    }

    /// RFC 9110, 13.1.5: a tag or a date, which must be exactly ours; a weak tag never is.
    fn if_range(self, head: &RequestHead) -> bool {
        match head.fields.get(Known::IfRange) {
            None => true,
            Some(tag) if tag.starts_with(b"\"") => self.etag == Some(tag),
            Some(tag) if tag.starts_with(b"W/") => false,
            Some(value) => {
                let given = seconds(Some(value));
                self.modified_is_strong && given.is_some() && given == self.modified
            }
        }
    }

    /// Whether our tag is in the list of field `known`, or the list is `*`.
    fn is_listed(self, fields: &Fields, known: Known, compare: Compare) -> bool {
        fields.all(known).any(|list| {
            if list.trim_ascii() == b"*" {
                return true;
            }
            let Some((ours, we_are_weak, _)) = self.etag.and_then(next_tag) else { return false };
            let mut rest = list;
            while let Some((tag, weak, behind)) = next_tag(rest) {
                let strong = !(weak || we_are_weak);
                if tag == ours && (strong || compare == Compare::Weak) {
                    return true;
                }
                rest = behind;
            }
            false
        })
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
pub(crate) fn next_tag(list: &[u8]) -> Option<(&[u8], bool, &[u8])> {
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
pub(crate) fn seconds(value: Option<&[u8]>) -> Option<u64> {
    // Only the century of a year of two digits hangs on it, and what is compared is of the past.
    const IN_2026_MS: u64 = 1_780_000_000_000;
    date::read(value?, IN_2026_MS).map(|ms| ms / 1000)
}
