//! The heads of requests and responses, the same concrete types for every HTTP version.

use std::ops::Range;

use crate::fields::Fields;
use crate::h1::Connection;
use crate::known::Known;
use crate::target::Target;

/// The methods that rules name; all others are [`Method::Other`] and go through unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Connect,
    /// Any other token; [`RequestHead::method_text`] has it.
    Other,
}

impl Method {
    /// Classifies a token. Methods are case-sensitive (RFC 9110, 9.1).
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// RFC 9110, 9.2.2: sending it twice means the same as sending it once.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch | Self::Connect | Self::Other)
    }

    /// RFC 9110, 9.2.1: asks for nothing to change.
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }
}

/// The version of HTTP that a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
    Http3,
}

impl Version {
    /// Whether messages are made of frames on streams, so that no field says where one ends.
    #[must_use]
    pub const fn is_framed(self) -> bool {
        matches!(self, Self::Http2 | Self::Http3)
    }

    /// As it stands in `Via` and in logs (RFC 9110, 7.6.3).
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
            Self::Http3 => "3",
        }
    }
}

/// A request head.
///
/// Its text (request line and field lines) is its own copy, so the read buffer is free again as
/// soon as the head is parsed.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The field lines, without what `Connection` and the framing made of them.
    pub fields: Fields,
    /// The method, as far as rules care.
    pub method: Method,
    /// The version that the client speaks.
    pub version: Version,
    /// What `Connection` said.
    pub connection: Connection,
    pub(crate) method_bytes: u16,
    pub(crate) target: Target,
}

impl RequestHead {
    /// A head made from its parts, for other HTTP versions and for tests.
    ///
    /// # Errors
    /// Says what is wrong with a method, authority or target, as the parser would.
    pub fn new(method: &str, authority: &str, target: &str) -> Result<Self, crate::h1::Malformed> {
        let host =
            if authority.is_empty() { String::new() } else { format!("Host: {authority}\r\n") };
        let version = if authority.is_empty() { "1.0" } else { "1.1" };
        let text = format!("{method} {target} HTTP/{version}\r\n{host}\r\n");
        let blank = |text: &str| text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        if blank(method) || blank(target) {
            return Err(crate::h1::Malformed::RequestLine);
        }
        if blank(authority) {
            return Err(crate::h1::Malformed::Host);
        }
        let mut head = Self::default();
        head.parse(text.as_bytes(), &crate::h1::HeadLimits::default())?;
        Ok(head)
    }

    /// Forgets the request and keeps the memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.method = Method::Get;
        self.version = Version::Http11;
        self.connection = Connection::default();
        self.method_bytes = 0;
        self.target = Target::default();
    }

    /// The method as sent.
    #[must_use]
    pub fn method_text(&self) -> &str {
        std::str::from_utf8(&self.fields.text[..usize::from(self.method_bytes)])
            .expect("a method is a token, so ASCII")
    }

    /// The path to match and to forward, with dot segments resolved (RFC 3986, 6.2.2.3); `*` for
    /// the asterisk form.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.slice(&self.target.path)
    }

    /// What stands behind the `?`, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        self.target.query.as_ref().map(|range| self.slice(range))
    }

    /// The host without its port, as sent; empty if there is none (HTTP/1.0, `OPTIONS *`).
    #[must_use]
    pub fn host(&self) -> &[u8] {
        self.slice(&self.target.host)
    }

    /// The authority (`host` or `host:port`) as sent; empty if there is none.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        self.slice(&self.target.authority)
    }

    /// Whether the target is `*` (RFC 9112, 3.2.4).
    #[must_use]
    pub fn is_asterisk(&self) -> bool {
        self.target.asterisk
    }

    /// Whether path segments of no bytes stand in the path (`//`), which services read differently.
    #[must_use]
    pub fn has_empty_segment(&self) -> bool {
        self.target.empty_segment
    }

    /// Whether the target was in absolute form (RFC 9112, 3.2.2), and then whether its scheme was
    /// `https`.
    #[must_use]
    pub fn absolute_https(&self) -> Option<bool> {
        self.target.absolute.then_some(self.target.https)
    }

    /// The values of query parameter `name`, still percent-encoded, in order.
    pub fn query_values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        let query = self.query().unwrap_or_default();
        query.split(|&byte| byte == b'&').filter_map(move |pair| {
            let split = pair.iter().position(|&byte| byte == b'=');
            let (key, value) = match split {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            (key == name.as_bytes()).then_some(value)
        })
    }

    /// Replaces the path that goes to the service. `path` must start with `/` and hold only bytes
    /// that may stand in a path; others are percent-encoded.
    pub fn set_path(&mut self, path: &[u8]) {
        debug_assert!(path.starts_with(b"/"), "a path starts with `/`");
        self.keep_asked();
        self.target.asterisk = false;
        self.target.empty_segment = path.windows(2).any(|pair| pair == b"//");
        self.target.path = self.append_encoded(path, crate::target::is_path_byte);
    }

    /// Replaces or removes the query.
    pub fn set_query(&mut self, query: Option<&[u8]>) {
        self.keep_asked();
        self.target.query =
            query.map(|query| self.append_encoded(query, crate::target::is_query_byte));
    }

    /// Replaces the authority that the service sees in `Host`.
    pub fn set_authority(&mut self, authority: &str) {
        let start = self.fields.text.len();
        self.fields.text.extend(authority.bytes().filter(u8::is_ascii_graphic));
        self.target.authority = start..self.fields.text.len();
        self.target.host = crate::target::host_of(&self.fields.text, &self.target.authority);
    }

    fn keep_asked(&mut self) {
        let Target { path, query, asked, .. } = &mut self.target;
        asked.get_or_insert_with(|| (path.clone(), query.clone()));
    }

    /// The path that the client asked for, whatever it was replaced with since.
    #[must_use]
    pub fn asked_path(&self) -> &[u8] {
        match &self.target.asked {
            Some((path, _)) => self.slice(path),
            None => self.path(),
        }
    }

    /// The query that the client asked for, whatever it was replaced with since.
    #[must_use]
    pub fn asked_query(&self) -> Option<&[u8]> {
        match &self.target.asked {
            Some((_, query)) => query.as_ref().map(|range| self.slice(range)),
            None => self.query(),
        }
    }

    /// Makes a `HEAD` a `GET` of the same.
    pub fn set_get(&mut self) {
        if self.method == Method::Head {
            self.fields.text[..3].copy_from_slice(b"GET");
            self.method = Method::Get;
            self.method_bytes = 3;
        }
    }

    /// The path and query as they stand in the request line.
    pub fn write_target(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.path());
        if let Some(query) = self.query() {
            out.push(b'?');
            out.extend_from_slice(query);
        }
    }

    /// The request line but for its version.
    pub(crate) fn write_method_and_target(&self, out: &mut Vec<u8>) {
        let method = usize::from(self.method_bytes);
        let (path, query) = (&self.target.path, &self.target.query);
        let target_end = match query {
            None => path.end,
            Some(query) if query.start == path.end + 1 => query.end,
            Some(_) => 0,
        };
        if path.start == method + 1 && target_end != 0 {
            // Nothing was edited or resolved: it stands in the text as it goes out.
            out.extend_from_slice(&self.fields.text[..target_end]);
            return;
        }
        out.extend_from_slice(&self.fields.text[..method]);
        out.push(b' ');
        self.write_target(out);
    }

    fn append_encoded(&mut self, bytes: &[u8], keep: fn(u8) -> bool) -> Range<usize> {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let text = &mut self.fields.text;
        let start = text.len();
        for &byte in bytes {
            if keep(byte) {
                text.push(byte);
            } else {
                text.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        start..text.len()
    }

    pub(crate) fn slice(&self, range: &Range<usize>) -> &[u8] {
        &self.fields.text[range.clone()]
    }
}

/// A response head.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The field lines.
    pub fields: Fields,
    /// 100 to 599.
    pub status: u16,
    /// The version that the service speaks.
    pub version: Version,
    /// What `Connection` said.
    pub connection: Connection,
    pub(crate) reason: Range<usize>,
}

impl ResponseHead {
    /// A head of Doorward's own.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Forgets the response and keeps the memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.status = 0;
        self.version = Version::Http11;
        self.connection = Connection::default();
        self.reason = 0..0;
    }

    /// Becomes a copy of `other`, in the memory that it has: `clone_from` would make new memory.
    pub fn copy_from(&mut self, other: &Self) {
        let Self { fields, status, version, connection, reason } = other;
        self.fields.copy_from(fields);
        (self.status, self.version, self.connection) = (*status, *version, *connection);
        self.reason = reason.clone();
    }

    /// The reason phrase: the service's, or the registered one.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        if self.reason.is_empty() {
            return reason_of(self.status).as_bytes();
        }
        &self.fields.text[self.reason.clone()]
    }

    /// Whether the status allows no body, whatever the fields say (RFC 9112, 6.3, rule 1).
    #[must_use]
    pub const fn is_bodiless(&self) -> bool {
        self.status < 200 || self.status == 204 || self.status == 304
    }
}

/// The registered reason phrase of a status; empty if there is none.
#[must_use]
pub const fn reason_of(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        _ => "",
    }
}

/// The names that concern one hop and never go through as they came (RFC 9110, 7.6.1), the two
/// `Proxy-*` ones of RFC 2616, `HTTP2-Settings` (an h2c upgrade would carry requests past every
/// rule), and `Proxy`, which CGI services take for a variable of theirs (httpoxy,
/// CVE-2016-5385).
pub const HOP_BY_HOP: u64 = Known::Connection.bit()
    | Known::KeepAlive.bit()
    | Known::ProxyConnection.bit()
    | Known::ProxyAuthenticate.bit()
    | Known::ProxyAuthorization.bit()
    | Known::Te.bit()
    | Known::TransferEncoding.bit()
    | Known::Upgrade.bit()
    | Known::Http2Settings.bit()
    | Known::Proxy.bit();

/// The names that never count when they come in a trailer (RFC 9110, 6.5.1): framing, routing,
/// authentication and whatever else had to be known before the body.
pub const NEVER_IN_TRAILERS: u64 = HOP_BY_HOP
    | Known::Age.bit()
    | Known::Authorization.bit()
    | Known::CacheControl.bit()
    | Known::ContentEncoding.bit()
    | Known::ContentLength.bit()
    | Known::ContentRange.bit()
    | Known::ContentType.bit()
    | Known::Cookie.bit()
    | Known::Date.bit()
    | Known::Expect.bit()
    | Known::Expires.bit()
    | Known::Forwarded.bit()
    | Known::Host.bit()
    | Known::IfMatch.bit()
    | Known::IfNoneMatch.bit()
    | Known::IfModifiedSince.bit()
    | Known::IfUnmodifiedSince.bit()
    | Known::IfRange.bit()
    | Known::Location.bit()
    | Known::MaxForwards.bit()
    | Known::Pragma.bit()
    | Known::Range.bit()
    | Known::RetryAfter.bit()
    | Known::SetCookie.bit()
    | Known::Traceparent.bit()
    | Known::Trailer.bit()
    | Known::Vary.bit()
    | Known::Via.bit()
    | Known::XForwardedFor.bit()
    | Known::XForwardedHost.bit()
    | Known::XForwardedPort.bit()
    | Known::XForwardedProto.bit()
    | Known::XRequestId.bit()
    | Known::DoorwardExplain.bit();
