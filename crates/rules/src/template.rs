//! Texts with facts of the request in them: `"https://{host}{path}"`.
//!
//! Read once, when the configuration is: a misspelt name is found there, and a request costs no
//! parsing. What clients send cannot break out of where it is put: see [`Into`].

use std::io::Write;

use config::{At, Report};
use wire::RequestHead;

use crate::percent::{self, QueryPart, is_unreserved};
use crate::{Cx, Identity};

/// A text with facts in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Box<str>),
    Fact(Fact),
}

/// What can be put into a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    ClientIp,
    ClientIdentity,
    Host,
    Method,
    Path,
    Query,
    /// The query with its `?`; nothing if there is none.
    MarkedQuery,
    Param(usize),
    QueryValue(Box<str>),
    Header(Box<str>),
    RequestId,
    Scheme,
}

/// Where a text goes, and so what must be encoded in the facts that are put into it. What stood in
/// a URL already goes back into the same part of one unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Into {
    /// A field value. Nothing is encoded: [`wire::Fields::push`] leaves out what ends a line.
    Field,
    /// A URL. Only what clients can send freely is encoded.
    Url,
    /// A path. Only the path itself and its segments may bring slashes.
    Path,
    /// A query. Only the query itself and its values may bring `&` and `=`.
    Query,
}

/// What the reading of a route's parts needs to know and to tell.
pub(crate) struct Scope<'a> {
    pub(crate) report: &'a mut Report,
    /// The names of the path parameters.
    pub(crate) params: &'a [Box<str>],
    /// Whether any template uses one.
    pub(crate) params_used: bool,
}

/// What may stand in braces, but for path parameters.
const NAMES: [&str; 10] = [
    "client.ip",
    "client.identity",
    "host",
    "method",
    "path",
    "query",
    "query.NAME",
    "header.NAME",
    "request-id",
    "scheme",
];

impl Template {
    /// Reads `text`, or reports what is wrong with it.
    pub(crate) fn read(text: &At<String>, scope: &mut Scope<'_>) -> Option<Self> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        let mut whole = true;
        while let Some(at) = rest.find(['{', '}']) {
            plain += &rest[..at];
            let (brace, tail) = (&rest[at..=at], &rest[at + 1..]);
            if let Some(tail) = tail.strip_prefix(brace) {
                plain += brace;
                rest = tail;
                continue;
            }
            let Some((name, behind)) = tail.split_once('}').filter(|_| brace == "{") else {
                scope
                    .report
                    .error(text, format!("`{brace}` stands alone in `{text}`"))
                    .help(format!("write `{brace}{brace}` for a brace that is meant as such"));
                return None;
            };
            rest = behind;
            let Some(mut fact) = scope.fact(text, name) else {
                whole = false;
                continue;
            };
            if fact == Fact::Query && plain.ends_with('?') {
                plain.pop();
                fact = Fact::MarkedQuery;
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(Part::Fact(fact));
        }
        plain += rest;
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        whole.then(|| Self { parts: parts.into() })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn has_marked_query(&self) -> bool {
        self.parts.contains(&Part::Fact(Fact::MarkedQuery))
    }

    /// Appends the text to `out`, with the facts of this request.
    pub(crate) fn render(&self, head: &RequestHead, cx: &Cx, into: Into, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Fact(fact) => fact.render(head, cx, into, out),
            }
        }
    }
}

impl Scope<'_> {
    fn fact(&mut self, text: &At<String>, name: &str) -> Option<Fact> {
        let fact = match name {
            "client.ip" => Fact::ClientIp,
            "client.identity" => Fact::ClientIdentity,
            "host" => Fact::Host,
            "method" => Fact::Method,
            "path" => Fact::Path,
            "query" => Fact::Query,
            "request-id" => Fact::RequestId,
            "scheme" => Fact::Scheme,
            _ => match name.split_once('.') {
                Some(("query", name)) if !name.is_empty() => Fact::QueryValue(name.into()),
                Some(("header", name)) if is_token(name) => {
                    Fact::Header(name.to_ascii_lowercase().into())
                }
                Some(("path", param)) => {
                    let index = self.params.iter().position(|known| **known == *param);
                    self.params_used |= index.is_some();
                    index.map_or_else(|| self.unknown(text, name), |at| Some(Fact::Param(at)))?
                }
                _ => self.unknown(text, name)?,
            },
        };
        Some(fact)
    }

    fn unknown(&mut self, text: &At<String>, name: &str) -> Option<Fact> {
        let params = self.params.iter().map(|param| format!("{{path.{param}}}"));
        let names = NAMES.iter().map(|name| format!("{{{name}}}"));
        let known: Vec<String> = params.chain(names).collect();
        let problem = self.report.unknown(text, "value", &format!("{{{name}}}"), &known);
        if self.params.iter().any(|param| **param == *name) {
            problem.help(format!("did you mean `{{path.{name}}}`?"));
        }
        None
    }
}

impl Fact {
    fn render(&self, head: &RequestHead, cx: &Cx, into: Into, out: &mut Vec<u8>) {
        match self {
            // Writing to a vector cannot fail.
            Self::ClientIp => drop(write!(out, "{}", cx.client)),
            Self::ClientIdentity => {
                let name = cx.identity().map_or("", Identity::name).as_bytes();
                match into {
                    Into::Field => out.extend_from_slice(name),
                    Into::Url | Into::Path | Into::Query => encode(name.iter().copied(), out),
                }
            }
            Self::Host => out.extend_from_slice(head.host()),
            Self::Method => out.extend_from_slice(head.method_text().as_bytes()),
            Self::Path => from_path(head.path(), into, out),
            Self::Query => from_query(head.query().unwrap_or_default(), into, out),
            Self::MarkedQuery => {
                if let Some(query) = head.query() {
                    out.push(b'?');
                    from_query(query, into, out);
                }
            }
            Self::Param(index) => from_path(cx.params.at(*index), into, out),
            Self::QueryValue(name) => {
                from_query(query_value(head, name).unwrap_or_default(), into, out);
            }
            Self::Header(name) => {
                let value = head.fields.get_named(name).unwrap_or_default();
                match into {
                    Into::Field => out.extend_from_slice(value),
                    Into::Url | Into::Path | Into::Query => encode(value.iter().copied(), out),
                }
            }
            Self::RequestId => match into {
                Into::Field => out.extend_from_slice(cx.request_id.as_bytes()),
                _ => encode(cx.request_id.as_bytes().iter().copied(), out),
            },
            Self::Scheme => out.extend_from_slice(if cx.https { b"https" } else { b"http" }),
        }
    }
}

/// The first value of query parameter `name`, as sent.
fn query_value<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    head.query()?.split(|&byte| byte == b'&').find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        percent::query_part_is(&pair[..at], name.as_bytes())
            .then(|| pair.get(at + 1..).unwrap_or_default())
    })
}

fn from_path(text: &[u8], into: Into, out: &mut Vec<u8>) {
    match into {
        Into::Field | Into::Url | Into::Path => out.extend_from_slice(text),
        Into::Query => encode(percent::decoded(text), out),
    }
}

fn from_query(text: &[u8], into: Into, out: &mut Vec<u8>) {
    match into {
        Into::Field | Into::Url | Into::Query => out.extend_from_slice(text),
        Into::Path => encode(QueryPart(text), out),
    }
}

fn encode(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    for byte in bytes {
        percent::encode(byte, is_unreserved, out);
    }
}

pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(wire::fields::is_token_byte)
}
