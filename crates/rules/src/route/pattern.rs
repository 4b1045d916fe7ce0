//! What a route says about host and path, read into patterns.

use std::fmt;

use config::{At, Report};

use crate::percent;

/// The longest literal segment, in decoded bytes: what fits a buffer on the stack.
pub(super) const LITERAL_BYTES_MAX: usize = u8::MAX as usize;
/// The most segments of a pattern; bounds the recursion of the search.
const SEGMENTS_MAX: usize = 64;
/// The most parameters of a pattern; bounds the captures that a search keeps on the stack.
pub(super) const PARAMS_MAX: usize = 16;
/// The longest host name (RFC 1035, 2.3.4, without the final dot).
pub(super) const HOST_BYTES_MAX: usize = 253;

/// A path to match. Few and small allocations: at 50,000 routes, fetching them is what building the
/// table costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathPattern {
    /// The kinds of the segments, and how long each literal is.
    kinds: Box<[Kind]>,
    /// The literals, decoded, one behind the other.
    literals: Box<[u8]>,
    pub(super) end: End,
    /// The names of the parameters; the last one is `*` for a nameless rest.
    pub(super) params: Box<[Box<str>]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Literal { bytes: u8 },
    Parameter,
}

/// One segment of a path to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment<'p> {
    /// These bytes, decoded.
    Literal(&'p [u8]),
    /// Any one segment.
    Parameter,
}

/// What may stand behind the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing.
    Exact,
    /// One slash.
    Slash,
    /// Nothing, a slash, or a slash and more segments.
    Prefix,
}

impl PathPattern {
    /// Reads a pattern, or reports what is wrong with it.
    pub(super) fn read(text: &At<String>, report: &mut Report) -> Option<Self> {
        let mut wrong = |message: String, help: String| {
            report.error(text, message).help(help);
            None
        };
        let Some(rest) = text.strip_prefix('/') else {
            return wrong(
                format!("the path `{text}` does not begin with `/`"),
                format!("write \"/{}\"", text.trim_start_matches('*')),
            );
        };
        if let Some(at) = text.find(['?', '#']) {
            return wrong(
                format!("the path `{text}` has more than a path in it"),
                format!("write \"{}\"; `query` is a key of its own", &text[..at]),
            );
        }
        if text.chars().any(char::is_control) {
            return wrong(
                "the path has a control character in it".to_owned(),
                "no request can have one there".to_owned(),
            );
        }
        let mut pattern = Reading::default();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            if let Err((message, help)) = pattern.part(part, parts.peek().is_none()) {
                return wrong(format!("in the path `{text}` {message}"), help);
            }
        }
        Some(Self {
            kinds: pattern.kinds.into(),
            literals: pattern.literals.into(),
            end: pattern.end,
            params: pattern.params.into(),
        })
    }
}

impl PathPattern {
    pub(super) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let mut rest = &*self.literals;
        self.kinds.iter().map(move |kind| match kind {
            Kind::Parameter => Segment::Parameter,
            Kind::Literal { bytes } => {
                let (literal, behind) = rest.split_at(usize::from(*bytes));
                rest = behind;
                Segment::Literal(literal)
            }
        })
    }

    /// Whether two patterns match the same paths.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.kinds, &self.literals, self.end) == (&other.kinds, &other.literals, other.end)
    }

    /// Whether this pattern alone matches `path`. The table is quicker; this is for explanations.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let mut given = path.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty());
        let fits = self.segments().all(|segment| match (segment, given.next()) {
            (_, None) => false,
            (Segment::Parameter, Some(_)) => true,
            (Segment::Literal(literal), Some(given)) => {
                percent::decoded(given).eq(literal.iter().copied())
            }
        });
        let slash = path.ends_with(b"/");
        fits && match self.end {
            End::Exact => given.next().is_none() && !slash,
            End::Slash => given.next().is_none() && slash,
            End::Prefix => true,
        }
    }
}

struct Reading {
    kinds: Vec<Kind>,
    literals: Vec<u8>,
    end: End,
    params: Vec<Box<str>>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { kinds: Vec::new(), literals: Vec::new(), end: End::Exact, params: Vec::new() }
    }
}

impl Reading {
    /// Reads one part between slashes; the error is what is wrong, and advice.
    fn part(&mut self, part: &str, last: bool) -> Result<(), (String, String)> {
        if self.kinds.len() == SEGMENTS_MAX {
            return Err((
                format!("there are more than {SEGMENTS_MAX} segments"),
                "end it with `/*` earlier".to_owned(),
            ));
        }
        match part {
            "" if last => {
                self.end = End::Slash;
                Ok(())
            }
            "" => Err((
                "a segment is empty".to_owned(),
                "write one slash: `//` in a request counts as one here".to_owned(),
            )),
            "*" if last => {
                self.end = End::Prefix;
                self.param("*")
            }
            "." | ".." => Err((
                format!("`{part}` can never match"),
                "requests come here with dot segments resolved".to_owned(),
            )),
            _ if part.starts_with('{') && part.ends_with('}') => self.braces(part, last),
            _ if part.contains('*') => Err((
                "`*` stands beside something else".to_owned(),
                "it stands for all that follows a slash: \"/a/*\"".to_owned(),
            )),
            _ if part.contains(['{', '}']) => Err((
                "a parameter stands beside something else".to_owned(),
                "it stands for one whole segment: \"/a/{id}\"".to_owned(),
            )),
            _ => self.literal(part),
        }
    }

    fn braces(&mut self, part: &str, last: bool) -> Result<(), (String, String)> {
        let inner = &part[1..part.len() - 1];
        let (name, rest) = match inner.strip_suffix("...") {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(valid) {
            return Err((
                format!("`{part}` is not a parameter"),
                "name it with letters, digits, `-` and `_`: \"{id}\", \"{rest...}\"".to_owned(),
            ));
        }
        if rest && !last {
            return Err((
                format!("something stands behind `{part}`"),
                "it stands for all that follows, so it must be the last segment".to_owned(),
            ));
        }
        if rest {
            self.end = End::Prefix;
        } else {
            self.kinds.push(Kind::Parameter);
        }
        self.param(name)
    }

    fn param(&mut self, name: &str) -> Result<(), (String, String)> {
        if self.params.iter().any(|known| **known == *name) {
            return Err((
                format!("two parameters are called `{name}`"),
                "give each a name of its own".to_owned(),
            ));
        }
        if self.params.len() == PARAMS_MAX {
            return Err((
                format!("there are more than {PARAMS_MAX} parameters"),
                "end it with `{rest...}` earlier".to_owned(),
            ));
        }
        self.params.push(name.into());
        Ok(())
    }

    fn literal(&mut self, part: &str) -> Result<(), (String, String)> {
        let decoded: Vec<u8> = percent::decoded(part.as_bytes()).collect();
        if matches!(*decoded, [b'.'] | [b'.', b'.']) {
            return Err((
                format!("`{part}` can never match"),
                "requests come here with dot segments resolved".to_owned(),
            ));
        }
        let Ok(bytes) = u8::try_from(decoded.len()) else {
            return Err((
                format!("a segment has more than {LITERAL_BYTES_MAX} bytes"),
                "match it with a parameter".to_owned(),
            ));
        };
        self.kinds.push(Kind::Literal { bytes });
        self.literals.extend_from_slice(&decoded);
        Ok(())
    }
}

/// A host to match, in lower case, without a final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// This host.
    Exact(Box<str>),
    /// Any host that has one or more labels before this: of `*.example.com` it is `example.com`.
    Wildcard(Box<str>),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(rest) => write!(f, "*.{rest}"),
        }
    }
}

impl HostPattern {
    /// Reads a pattern, or reports what is wrong with it.
    pub(super) fn read(text: &At<String>, report: &mut Report) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        if let Some(help) = wrong_host(name) {
            report.error(text, format!("`{text}` is not a host to match")).help(help);
            return None;
        }
        Some(match name.strip_prefix("*.") {
            Some(rest) => Self::Wildcard(rest.into()),
            None => Self::Exact(name.into()),
        })
    }

    /// How specific this is, if `host` matches it: longer wildcards are more, a host itself most.
    pub(super) fn rank(&self, host: &[u8]) -> Option<usize> {
        let host = host.strip_suffix(b".").unwrap_or(host);
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()).then_some(usize::MAX),
            Self::Wildcard(rest) => {
                let at = host.len().checked_sub(rest.len() + 1)?;
                let matches =
                    host[at] == b'.' && host[at + 1..].eq_ignore_ascii_case(rest.as_bytes());
                matches.then_some(rest.len())
            }
        }
    }
}

/// Advice, if `name` is not a host pattern.
fn wrong_host(name: &str) -> Option<String> {
    if name == "*" {
        return Some("leave `host` out to match every host".to_owned());
    }
    if let Some((_, host)) = name.split_once("://") {
        let host = host.split('/').next().unwrap_or_default();
        return Some(format!("write only the host: \"{host}\""));
    }
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let valid = inner.parse::<std::net::Ipv6Addr>().is_ok();
        return (!valid).then(|| "write an IPv6 address as \"[::1]\"".to_owned());
    }
    if let Some((host, port)) = name.split_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(format!("write \"{host}\": ports do not count"));
    }
    if !name.is_ascii() {
        return Some("write an international name as requests have it: \"xn--...\"".to_owned());
    }
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if rest.contains('*') {
        return Some("`*` stands for the first labels only: \"*.example.com\"".to_owned());
    }
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if rest.is_empty() || !rest.bytes().all(valid) || rest.split('.').any(str::is_empty) {
        return Some("write a name such as \"example.com\" or \"*.example.com\"".to_owned());
    }
    (rest.len() > HOST_BYTES_MAX).then(|| format!("a host has at most {HOST_BYTES_MAX} characters"))
}
