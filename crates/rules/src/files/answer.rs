//! The answer with a file: status, fields, and which of its bytes.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wire::{Known, Method, RequestHead};

use super::{Candidate, Files, media};
use crate::Cx;
use crate::conditions::{Outcome, Validators};
use crate::range::{self, Asked};

/// What the engine found under a candidate's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A regular file.
    File {
        /// Its size.
        bytes: u64,
        /// When it was last written.
        modified: Option<SystemTime>,
    },
    /// A directory.
    Directory,
    /// Nothing, or something that is neither.
    Nothing,
}

/// What to answer, as data for the engine to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAnswer {
    /// The status.
    pub status: u16,
    /// The field lines, without those that frame the body.
    pub fields: Vec<(&'static str, Vec<u8>)>,
    /// The length of the body, sent or not (`HEAD`); `None` where it is not to be said (304).
    pub bytes: Option<u64>,
    /// What the body is made of, in order; nothing in answer to `HEAD`.
    pub parts: Vec<Part>,
}

/// A stretch of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes of the file.
    File(Range<u64>),
}

impl Part {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(range) => range.end - range.start,
        }
    }
}

impl Files {
    /// What to answer if `found` is under the path of `candidate`; `None`: try the next candidate.
    /// When all were tried, the fault is [`FileNotFound`](crate::Fault::FileNotFound).
    #[must_use]
    pub fn answer(
        &self,
        candidate: &Candidate,
        found: Found,
        request: &RequestHead,
        cx: &mut Cx,
    ) -> Option<FileAnswer> {
        let answer = match found {
            Found::Nothing => None,
            Found::Directory if !candidate.may_be_directory => None,
            Found::Directory => {
                cx.note("path", &candidate.path);
                cx.record("files", "reply", "a directory, and the path ends without a slash");
                Some(to_directory(request))
            }
            Found::File { bytes, modified } => {
                let answer = self.file(candidate, bytes, modified, request, cx);
                cx.note("path", &candidate.path);
                cx.note("status", answer.status);
                cx.record("files", "reply", "the file is there");
                Some(answer)
            }
        }?;
        Some(answer.without_body(request.method == Method::Head))
    }

    fn file(
        &self,
        candidate: &Candidate,
        bytes: u64,
        modified: Option<SystemTime>,
        request: &RequestHead,
        cx: &Cx,
    ) -> FileAnswer {
        let coding = candidate.coding.map_or("", super::Coding::name);
        let state = State::new(bytes, modified, coding);
        let asked = match state.validators().judge(request) {
            Outcome::Failed => return FileAnswer::new(412),
            Outcome::NotModified => {
                // RFC 9110, 15.4.5: what a 200 would say to caches.
                let mut answer = FileAnswer::new(304);
                answer.bytes = None;
                self.describe(&state, &mut answer);
                return answer;
            }
            Outcome::Whole { range: true } => {
                let value = request.fields.get(Known::Range).unwrap_or_default();
                range::read(value, bytes)
            }
            Outcome::Whole { range: false } => Asked::Whole,
        };
        let media_type = media::of(candidate.plain_path());
        let mut answer = match asked {
            Asked::Unsatisfiable => {
                let answer = FileAnswer::new(416);
                return answer.field("content-range", format!("bytes */{bytes}"));
            }
            Asked::Whole => {
                FileAnswer::new(200).field("content-type", media_type).part(Part::File(0..bytes))
            }
            Asked::Ranges(ranges) => match <[_; 1]>::try_from(ranges) {
                Ok([range]) => FileAnswer::new(206)
                    .field("content-type", media_type)
                    .field("content-range", content_range(&range, bytes))
                    .part(Part::File(range)),
                Err(ranges) => multipart(&ranges, bytes, media_type, cx.random),
            },
        };
        if let Some(coding) = candidate.coding {
            answer = answer.field("content-encoding", coding.name());
        }
        answer = answer.field("accept-ranges", "bytes");
        self.describe(&state, &mut answer);
        answer
    }

    /// Adds what caches need to know.
    fn describe(&self, state: &State, answer: &mut FileAnswer) {
        answer.fields.push(("etag", state.etag.clone().into_bytes()));
        if let Some(date) = state.last_modified() {
            answer.fields.push(("last-modified", date.into_bytes()));
        }
        if let Some(value) = &self.cache_control {
            answer.fields.push(("cache-control", value.as_bytes().to_vec()));
        }
        if !self.precompressed.is_empty() {
            answer.fields.push(("vary", b"Accept-Encoding".to_vec()));
        }
    }
}

/// What tells one state of a file from another.
struct State {
    etag: String,
    modified: Option<SystemTime>,
}

impl State {
    /// Size and time of the last write, to the nanosecond: whoever changes a file within one tick
    /// without changing its size is not noticed, as with every server that does not read the file.
    fn new(bytes: u64, modified: Option<SystemTime>, coding: &str) -> Self {
        let age = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let dash = if coding.is_empty() { "" } else { "-" };
        Self { etag: format!("\"{bytes:x}-{:x}{dash}{coding}\"", age.as_nanos()), modified }
    }

    fn validators(&self) -> Validators<'_> {
        Validators {
            etag: Some(self.etag.as_bytes()),
            modified: self.seconds(),
            modified_is_strong: true,
        }
    }

    /// The time of the last write in whole seconds, as dates in HTTP have it.
    fn seconds(&self) -> Option<u64> {
        let since = self.modified?.duration_since(UNIX_EPOCH).ok()?;
        Some(since.as_secs())
    }

    /// The value of `Last-Modified`.
    fn last_modified(&self) -> Option<String> {
        let whole = UNIX_EPOCH + Duration::from_secs(self.seconds()?);
        Some(httpdate::fmt_http_date(whole))
    }
}

impl Candidate {
    /// The path without the extension of the coding.
    fn plain_path(&self) -> &str {
        let extension = self.coding.map_or("", super::Coding::extension);
        self.path.strip_suffix(extension).unwrap_or(&self.path)
    }
}

impl FileAnswer {
    fn new(status: u16) -> Self {
        Self { status, fields: Vec::new(), bytes: Some(0), parts: Vec::new() }
    }

    fn field(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn part(mut self, part: Part) -> Self {
        self.bytes = self.bytes.map(|bytes| bytes + part.bytes());
        self.parts.push(part);
        self
    }

    fn without_body(mut self, without: bool) -> Self {
        if without {
            self.parts.clear();
        }
        self.parts.retain(|part| part.bytes() > 0);
        self
    }
}

/// Sends the client to the same path with a slash, so that relative links in the index work.
///
/// The reference is relative: it is right whatever prefix was stripped on the way, and can name no
/// other host. The `./` keeps a colon in the name from ending a scheme.
fn to_directory(request: &RequestHead) -> FileAnswer {
    let name = request.path().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let mut location = [b"./", name, b"/"].concat();
    if let Some(query) = request.query() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    FileAnswer::new(308).field("location", location)
}

fn content_range(range: &Range<u64>, bytes: u64) -> String {
    format!("bytes {}-{}/{bytes}", range.start, range.end - 1)
}

/// RFC 9110, 14.6. The boundary is random: nobody can have put it into the file.
fn multipart(ranges: &[Range<u64>], bytes: u64, media_type: &str, random: u128) -> FileAnswer {
    let boundary = format!("{random:032x}");
    let mut answer = FileAnswer::new(206)
        .field("content-type", format!("multipart/byteranges; boundary={boundary}"));
    for range in ranges {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {}\r\n\r\n",
            content_range(range, bytes)
        );
        answer = answer.part(Part::Bytes(head.into())).part(Part::File(range.clone()));
    }
    answer.part(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()))
}
