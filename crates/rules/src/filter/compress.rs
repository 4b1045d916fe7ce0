//! Decides whether an answer is compressed, and in which coding.
//!
//! Heads are changed here; bodies on their way, by the engine, which finds in [`Cx::encode`] what was
//! decided.

use config::{At, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::{Known, Method, RequestHead, ResponseHead};

use super::{Filter, Phases};
use crate::Cx;
use crate::coding::{self, Coding, Effort, Encode};
use crate::decision::Decision;
use crate::template::Scope;

/// The compiled filter.
#[derive(Debug)]
pub(super) struct Compress {
    codings: Box<[Coding]>,
    effort: Effort,
    bytes_min: u64,
    types: Box<[Pattern]>,
}

/// Compresses answers for clients that can read it. Leaves alone what is compressed, small, a part of
/// something, or of a type that gains nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CompressConfig {
    /// The codings that are offered; among those that a client likes as much, the first.
    pub codings: At<Vec<Coding>>,
    /// How hard it is tried: `"low"`, `"normal"` or `"high"`.
    pub effort: Effort,
    /// The smallest body that is compressed, if its size is known beforehand: below a packet or two
    /// nothing is gained.
    pub min: Size,
    /// The media types that are compressed; `*` stands for anything.
    pub types: Vec<At<String>>,
}

/// What gains by compression: text, and the formats that are text or as loosely packed.
const TYPES: &[&str] = &[
    "text/*",
    "*+json",
    "*+xml",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/wasm",
    "application/x-ndjson",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
];

impl Default for CompressConfig {
    fn default() -> Self {
        Self {
            codings: Coding::ALL.to_vec().into(),
            effort: Effort::Normal,
            min: Size::from_bytes(1024),
            types: TYPES.iter().map(|text| (*text).to_owned().into()).collect(),
        }
    }
}

/// A media type with at most one `*`.
#[derive(Debug)]
struct Pattern {
    begin: Box<[u8]>,
    /// `None` if there is no `*`.
    end: Option<Box<[u8]>>,
}

impl Pattern {
    fn build(text: &At<String>, scope: &mut Scope<'_>) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let sound = lower.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"".contains(&byte));
        let (begin, end) = match lower.split_once('*') {
            None => (&*lower, None),
            Some((begin, end)) => (begin, Some(end)),
        };
        let stars = lower.matches('*').count();
        if !sound || stars > 1 || (stars == 0 && !lower.contains('/')) {
            scope
                .report
                .error(text, format!("`{}` is no media type", **text))
                .help("write one as `text/html`, `text/*` or `*+json`, without parameters");
            return None;
        }
        Some(Self { begin: begin.as_bytes().into(), end: end.map(|end| end.as_bytes().into()) })
    }

    fn matches(&self, media: &[u8]) -> bool {
        let Some(rest) = strip_prefix(media, &self.begin) else {
            return false;
        };
        match &self.end {
            None => rest.is_empty(),
            Some(end) => {
                rest.len() >= end.len() && rest[rest.len() - end.len()..].eq_ignore_ascii_case(end)
            }
        }
    }
}

fn strip_prefix<'t>(text: &'t [u8], prefix: &[u8]) -> Option<&'t [u8]> {
    let (begin, rest) = text.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

impl Filter for Compress {
    const NAME: &'static str = "compress";
    const ABOUT: &'static str = "compresses answers for clients that can read it";
    const PHASES: Phases = Phases(Phases::REQUEST.0 | Phases::RESPONSE.0);
    type Config = CompressConfig;

    fn build(config: &At<CompressConfig>, scope: &mut Scope<'_>) -> Option<Self> {
        if config.codings.is_empty() {
            scope
                .report
                .error(&config.codings, "no coding is offered")
                .help("name `\"zstd\"`, `\"br\"` or `\"gzip\"`, or remove `compress`");
            return None;
        }
        let types = config.types.iter().filter_map(|text| Pattern::build(text, scope)).collect();
        Some(Self {
            codings: config.codings.as_slice().into(),
            effort: config.effort,
            bytes_min: config.min.as_bytes(),
            types,
        })
    }

    fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Decision {
        if !head.fields.has(Known::AcceptEncoding) {
            return Decision::pass("the client takes no coding");
        }
        let chosen = coding::choose(&head.fields, &self.codings);
        cx.coding = chosen;
        let names_a_date = |value: &[u8]| !value.starts_with(b"\"") && !value.starts_with(b"W/");
        if chosen.is_some() && head.fields.get(Known::IfRange).is_some_and(names_a_date) {
            // What the client has a part of may be the compressed answer, which has the same date.
            head.fields.remove(Known::Range);
            head.fields.remove(Known::IfRange);
        }
        // One of four forms is left of all those that browsers write, so that answers that depend on it
        // have few variants; and what the service itself compresses is what the client gets.
        match chosen {
            Some(coding) => {
                head.fields.set("Accept-Encoding", coding.name().as_bytes());
                cx.note("coding", coding.name());
                Decision::pass("the client takes this coding")
            }
            None => {
                head.fields.remove(Known::AcceptEncoding);
                Decision::pass("the client takes no coding that is offered")
            }
        }
    }

    fn on_response(
        &self,
        head: &mut ResponseHead,
        request: &RequestHead,
        cx: &mut Cx,
    ) -> &'static str {
        if head.status == 304 {
            // It speaks of an answer that may have been compressed: it has that one's `Vary` (RFC 9110,
            // 15.4.5), and a weak tag, which is right for both.
            add_vary(head);
            if cx.coding.is_some() {
                weaken(head);
            }
            return "nothing was changed";
        }
        if let Err(why) = self.may_compress(head, request) {
            return why;
        }
        add_vary(head);
        if head.status == 206 {
            // Its bytes have places in the answer as it is.
            return "it is a part of something";
        }
        let Some(coding) = cx.coding else {
            return "the client takes no coding";
        };
        let known = head.fields.get(Known::ContentLength).is_some();
        head.fields.set("Content-Encoding", coding.name().as_bytes());
        head.fields.remove(Known::ContentLength);
        // Ranges are of the bytes as they are sent, and the service knows only those that it sent.
        head.fields.remove_named("Accept-Ranges");
        weaken(head);
        cx.encode = Some(Encode { coding, effort: self.effort, live: !known });
        cx.note("coding", coding.name());
        "it is compressed"
    }
}

impl Compress {
    /// Whether the answer is one that is compressed for those who can read it.
    fn may_compress(&self, head: &ResponseHead, request: &RequestHead) -> Result<(), &'static str> {
        let fields = &head.fields;
        if head.is_bodiless() || request.method == Method::Connect {
            return Err("there is no body");
        }
        if head.status != 206 && fields.has(Known::ContentRange) {
            return Err("it is a part of something");
        }
        if fields.has(Known::ContentEncoding) {
            return Err("the service has encoded it");
        }
        let says_no = |value: &[u8]| {
            let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            words.any(|word| word.eq_ignore_ascii_case(b"no-transform"))
        };
        if fields
            .all(Known::CacheControl)
            .chain(request.fields.all(Known::CacheControl))
            .any(says_no)
        {
            return Err("`no-transform` forbids it");
        }
        if DIGESTS.iter().any(|name| fields.get_named(name).is_some()) {
            return Err("a digest speaks of the bytes as they are");
        }
        let media = fields.get(Known::ContentType).unwrap_or_default();
        let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !self.types.iter().any(|pattern| pattern.matches(media)) {
            return Err("its type gains nothing");
        }
        let length = fields.get(Known::ContentLength).and_then(number);
        if length.is_some_and(|bytes| bytes < self.bytes_min) && head.status != 206 {
            return Err("it is small");
        }
        Ok(())
    }
}

/// Fields that speak of the bytes of the content (RFC 9530, and what came before it).
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// RFC 9110, 8.8.1: a strong validator tells that the bytes are the same, and they are not any more.
fn weaken(head: &mut ResponseHead) {
    let weak = match head.fields.get(Known::ETag) {
        Some(tag) if !tag.starts_with(b"W/") => [b"W/", tag].concat(),
        _ => return,
    };
    head.fields.set("ETag", &weak);
}

/// RFC 9110, 12.5.5: caches are told that other clients are answered otherwise.
fn add_vary(head: &mut ResponseHead) {
    let there = |name: &[u8]| {
        let name = name.trim_ascii();
        name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
    };
    let mut lines = head.fields.all(Known::Vary);
    let said = lines.any(|line| line.split(|byte| *byte == b',').any(there));
    drop(lines);
    if !said {
        head.fields.push("Vary", b"Accept-Encoding");
    }
}

#[cfg(test)]
mod tests;
