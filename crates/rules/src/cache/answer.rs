//! The answer that a stored response gives to one request: whole, not modified, or some bytes of it.

use std::ops::Range;

use wire::{Known, Method, RequestHead};

use super::freshness::Times;
use super::stored::Stored;
use crate::conditions::{self, Outcome, Validators};
use crate::range::{self, Asked};

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 304, 416, 206, or that of the stored response.
    pub status: u16,
    /// Which bytes of the stored body; all of them are sent if `content_range` is none.
    pub bytes: Range<u64>,
    /// The value of `Content-Range`.
    pub content_range: Option<String>,
}

impl Stored {
    /// The answer to `request`; `None` if other bytes are asked for than are stored.
    #[must_use]
    pub fn answer(&self, request: &RequestHead) -> Option<Answer> {
        let conditions = Known::IfNoneMatch.bit() | Known::IfModifiedSince.bit();
        let status = self.head.status;
        let plain = !request.fields.has_any(conditions | Known::Range.bit());
        if plain && self.part.is_none() {
            return Some(self.whole());
        }
        // RFC 9110, 13.2.1: conditions do not change what is no success anyway.
        if !(200..300).contains(&status) && self.part.is_none() {
            return Some(self.whole());
        }
        match self.validators().revalidate(request) {
            Outcome::NotModified if self.part.is_none() => {
                Some(Answer { status: 304, bytes: 0..0, content_range: None })
            }
            Outcome::Whole { range: true } if matches!(status, 200 | 206) => self.range(request),
            _ if self.part.is_some() => None,
            _ => Some(self.whole()),
        }
    }

    /// Whether the request asks for other bytes of it than are stored.
    #[must_use]
    pub fn is_of_other_bytes(&self, request: &RequestHead) -> bool {
        self.part.is_some() && self.answer(request).is_none()
    }

    fn whole(&self) -> Answer {
        Answer { status: self.head.status, bytes: 0..self.body_bytes, content_range: None }
    }

    fn range(&self, request: &RequestHead) -> Option<Answer> {
        let (first, whole_bytes) = match self.part {
            Some(part) => (part.first, part.whole_bytes),
            None => (0, self.body_bytes),
        };
        let value = request.fields.get(Known::Range).unwrap_or_default();
        let range = match range::read(value, whole_bytes) {
            Asked::Ranges(ranges) => match <[_; 1]>::try_from(ranges) {
                Ok([range]) => range,
                // Several ranges are asked of the service, or the whole is sent: RFC 9110, 14.2 lets
                // a server ignore `Range`.
                Err(_) if self.part.is_some() => return None,
                Err(_) => return Some(self.whole()),
            },
            Asked::Whole if self.part.is_some() => return None,
            Asked::Whole => return Some(self.whole()),
            Asked::Unsatisfiable => {
                let content_range = Some(format!("bytes */{whole_bytes}"));
                return Some(Answer { status: 416, bytes: 0..0, content_range });
            }
        };
        let have = first..first + self.body_bytes;
        if range.start < have.start || range.end > have.end {
            return None;
        }
        let content_range = format!("bytes {}-{}/{whole_bytes}", range.start, range.end - 1);
        Some(Answer {
            status: 206,
            bytes: range.start - first..range.end - first,
            content_range: Some(content_range),
        })
    }

    /// RFC 9111, 4.3.2: without `Last-Modified`, "a cache SHOULD use the response's Date field value
    /// (or, if no Date field is present, the time that the stored response was received)".
    fn validators(&self) -> Validators<'_> {
        let fields = &self.head.fields;
        let modified = conditions::seconds(fields.get(Known::LastModified));
        let times = Times { requested_ms: self.requested_ms, received_ms: self.received_ms };
        let date = super::freshness::date_ms(&self.head, times) / 1000;
        Validators {
            etag: fields.get(Known::ETag),
            modified: modified.or(Some(date)),
            // RFC 9110, 8.8.2.2: "the cache entry includes a Date value which is at least one second
            // after the Last-Modified value".
            modified_is_strong: modified.is_some_and(|modified| modified < date),
        }
    }

    /// Makes `request` one that asks whether this is still so (RFC 9111, 4.3.1).
    pub fn ask_whether_valid(&self, request: &mut RequestHead) {
        forget_conditions(request);
        let fields = &self.head.fields;
        if let Some(etag) = self.own_tag() {
            request.fields.push("If-None-Match", etag);
        }
        if let Some(modified) = fields.get(Known::LastModified) {
            request.fields.push("If-Modified-Since", modified);
        }
    }

    /// The tag by which the service knows it.
    pub(super) fn own_tag(&self) -> Option<&[u8]> {
        self.head.fields.get(Known::ETag).filter(|etag| !self.made_tag && is_tag(etag))
    }

    /// Whether it can be asked whether this is still so.
    #[must_use]
    pub fn can_be_validated(&self) -> bool {
        // A part can only be validated as the part that it is.
        self.part.is_none()
            && (self.own_tag().is_some() || self.head.fields.has(Known::LastModified))
    }

    /// Which bytes of the representation are missing behind this part, if the rest can be joined with
    /// it: the value of `Range`.
    ///
    /// RFC 9111, 3.4: "A cache MUST NOT" combine parts but by a strong validator.
    #[must_use]
    pub fn rest(&self) -> Option<(String, &[u8])> {
        let part = self.part.filter(|part| part.first == 0)?;
        let etag = self.strong_tag().filter(|_| self.body_bytes < part.whole_bytes)?;
        Some((format!("bytes={}-", self.body_bytes), etag))
    }

    /// Its entity tag, if it is a strong one.
    pub(super) fn strong_tag(&self) -> Option<&[u8]> {
        self.head.fields.get(Known::ETag).filter(|tag| tag.starts_with(b"\"") && is_tag(tag))
    }

    /// What of this part and `other` comes out as one (RFC 9111, 3.4): in which order they are joined,
    /// and where the second one is cut. The one that is fetched last gives the head.
    #[must_use]
    pub fn joins(&self, other: &Self) -> Option<Join> {
        let (ours, theirs) = (self.part?, other.part?);
        let same = self.strong_tag().is_some_and(|tag| other.strong_tag() == Some(tag));
        if !same || ours.whole_bytes != theirs.whole_bytes || !self.same_variant(other) {
            return None;
        }
        let (our_end, their_end) = (ours.first + self.body_bytes, theirs.first + other.body_bytes);
        if ours.first <= theirs.first && theirs.first <= our_end && our_end < their_end {
            return Some(Join { other_first: false, skip: our_end - theirs.first });
        }
        if theirs.first <= ours.first && ours.first <= their_end && their_end < our_end {
            return Some(Join { other_first: true, skip: their_end - ours.first });
        }
        None
    }

    /// This part joined with `other`, which [`joins`](Self::joins) it.
    #[must_use]
    pub fn joined(mut self, other: &Self, join: Join) -> Self {
        let (Some(ours), Some(theirs)) = (self.part, other.part) else { return self };
        self.body_bytes = self.body_bytes + other.body_bytes - join.skip;
        let first = ours.first.min(theirs.first);
        if first == 0 && self.body_bytes == ours.whole_bytes {
            // RFC 9111, 3.4: what is whole is a 200.
            self.part = None;
            let mut head = wire::ResponseHead::new(200);
            for (name, value) in self.head.fields.iter() {
                if Known::of(name) != Known::ContentRange {
                    head.fields.push(std::str::from_utf8(name).unwrap_or_default(), value);
                }
            }
            self.head = head;
        } else {
            self.part = Some(super::StoredPart { first, ..ours });
        }
        self
    }
}

/// How two parts become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// Whether the other part comes first.
    pub other_first: bool,
    /// How many bytes of the second one the first one has too.
    pub skip: u64,
}

/// Takes the conditions of a client out of a request whose answer is for others too.
pub fn forget_conditions(request: &mut RequestHead) {
    let fields = &mut request.fields;
    for known in [Known::IfNoneMatch, Known::IfModifiedSince, Known::IfRange, Known::Range] {
        fields.remove(known);
    }
}

/// Whether a client's request asks for a part of the whole.
#[must_use]
pub fn wants_range(request: &RequestHead) -> bool {
    request.method == Method::Get && request.fields.has(Known::Range)
}

fn is_tag(value: &[u8]) -> bool {
    conditions::next_tag(value).is_some_and(|(_, _, rest)| rest.is_empty())
}
