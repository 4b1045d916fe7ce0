//! How a message ends (RFC 9112, 6), and what `Connection` says about it (RFC 9110, 7.6.1).

use super::Malformed;
use crate::fields::Fields;
use crate::head::{Method, RequestHead, ResponseHead, Version};
use crate::known::Known;

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Framing {
    /// No body and no field that says so.
    #[default]
    None,
    /// `Content-Length`, zero included.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends with the connection; only for responses.
    UntilClose,
}

impl Framing {
    /// Whether body bytes follow the head.
    #[must_use]
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// The connection options that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
}

/// The most options that `Connection` may list. Real messages have one or two; each option is
/// looked for among all fields, so the product must stay small.
const CONNECTION_OPTIONS_MAX: usize = 16;

impl Connection {
    /// Reads `Connection` and drops the fields that it nominates.
    ///
    /// # Errors
    /// More than 16 options.
    #[inline]
    pub(crate) fn take(fields: &mut Fields) -> Result<Self, Malformed> {
        let mut connection = Self::default();
        let Some(value) = fields.get(Known::Connection) else { return Ok(connection) };
        // Nearly always there is one option, and it is one of these.
        if !fields.is_repeated(Known::Connection) && connection.note(value) {
            return Ok(connection);
        }
        Self::take_list(fields)
    }

    /// The same for more than one option, and others.
    #[inline(never)]
    fn take_list(fields: &mut Fields) -> Result<Self, Malformed> {
        let mut connection = Self::default();
        let mut nominated: Vec<Vec<u8>> = Vec::new();
        let mut options = 0;
        for value in fields.all(Known::Connection) {
            if connection.note(value) {
                options += 1;
                continue;
            }
            for option in list(value) {
                options += 1;
                if !connection.note(option) && !option.eq_ignore_ascii_case(b"te") {
                    nominated.push(option.to_vec());
                }
                if options > CONNECTION_OPTIONS_MAX {
                    return Err(Malformed::TooManyConnectionOptions);
                }
            }
        }
        // Fields that decide how the message is read are written anew anyway; a client that could
        // drop them by naming them here would decide for the next reader.
        const KEPT: u64 = Known::Host.bit()
            | Known::ContentLength.bit()
            | Known::TransferEncoding.bit()
            | Known::Connection.bit();
        if !nominated.is_empty() {
            fields.remove_if(|name, _, known| {
                known.bit() & KEPT == 0 && nominated.iter().any(|n| n.eq_ignore_ascii_case(name))
            });
        }
        Ok(connection)
    }

    /// Notes `option` if it means something here.
    #[inline]
    fn note(&mut self, option: &[u8]) -> bool {
        let noted = match option.len() {
            5 if option.eq_ignore_ascii_case(b"close") => &mut self.close,
            7 if option.eq_ignore_ascii_case(b"upgrade") => &mut self.upgrade,
            // Nearly all write it so; a comparison of all bytes at once is much shorter.
            10 if option == b"keep-alive" || option.eq_ignore_ascii_case(b"keep-alive") => {
                &mut self.keep_alive
            }
            _ => return false,
        };
        *noted = true;
        true
    }

    /// Whether the sender is willing to go on after this message (RFC 9112, 9.3).
    #[must_use]
    pub const fn persists(self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            _ => !self.close,
        }
    }
}

/// The members of a comma-separated list, empty ones left out (RFC 9110, 5.6.1).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// How the body of a request ends.
///
/// # Errors
/// Anything that two parsers could read differently. RFC 9112, 6.3 lets a proxy repair some of it;
/// every repair has been a smuggling vector somewhere, so none is made.
pub fn request_framing(head: &RequestHead) -> Result<Framing, Malformed> {
    let framing = declared(&head.fields, head.version)?.unwrap_or(Framing::None);
    if head.method == Method::Trace && framing != Framing::None {
        // RFC 9110, 9.3.8: "A client MUST NOT send content in a TRACE request."
        return Err(Malformed::UnexpectedBody);
    }
    Ok(framing)
}

/// How a response ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFraming {
    /// What its fields say, which is what a client is to be told.
    pub announced: Framing,
    /// What follows its head; nothing for `HEAD`, 304 and the other statuses without a body.
    pub body: Framing,
}

/// How the body of a response to `request_method` ends.
///
/// # Errors
/// The same discipline as for requests: a doubtful response would let one client's answer run into
/// another's.
pub fn response_framing(
    head: &ResponseHead,
    request_method: Method,
) -> Result<ResponseFraming, Malformed> {
    let declared = match declared(&head.fields, head.version) {
        Err(Malformed::TransferEncoding)
            if !head.is_bodiless()
                && request_method != Method::Head
                && is_no_coding(&head.fields) =>
        {
            None
        }
        declared => declared?,
    };
    let (announced, body) = match declared {
        // RFC 9112, 6.3: such a response "is always terminated by the first empty line after the
        // header fields, regardless of the header fields present in the message".
        _ if head.is_bodiless() && head.status != 304 => (Framing::None, Framing::None),
        // RFC 9110, 8.6: `Content-Length` then tells what a GET would have got. RFC 9112, 6.1:
        // `Transfer-Encoding` MAY; it is left out, for nothing is lost and no reader can wait.
        Some(Framing::Length(length)) if head.status == 304 || request_method == Method::Head => {
            (Framing::Length(length), Framing::None)
        }
        _ if head.status == 304 || request_method == Method::Head => (Framing::None, Framing::None),
        declared => {
            let framing = declared.unwrap_or(Framing::UntilClose);
            (framing, framing)
        }
    };
    Ok(ResponseFraming { announced, body })
}

fn declared(fields: &Fields, version: Version) -> Result<Option<Framing>, Malformed> {
    const EITHER: u64 = Known::ContentLength.bit() | Known::TransferEncoding.bit();
    if !fields.has_any(EITHER) {
        return Ok(None);
    }
    if fields.has(Known::TransferEncoding) {
        if fields.has(Known::ContentLength) {
            return Err(Malformed::TwoLengths);
        }
        if version == Version::Http10 {
            return Err(Malformed::TransferEncodingIn10);
        }
        return transfer_encoding(fields).map(Some);
    }
    let length = content_length(fields.get(Known::ContentLength).unwrap_or_default())?;
    if fields.is_repeated(Known::ContentLength) {
        return Err(Malformed::ContentLengthRepeated);
    }
    Ok(Some(Framing::Length(length)))
}

fn transfer_encoding(fields: &Fields) -> Result<Framing, Malformed> {
    let mut values = fields.all(Known::TransferEncoding);
    let value = values.next().unwrap_or_default();
    if values.next().is_some() {
        return Err(Malformed::TransferEncoding);
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let codings: Vec<&[u8]> = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
    let chunked = codings.iter().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
    let known_shape = codings.iter().all(|coding| !coding.is_empty()) && chunked == 1;
    match codings.last() {
        Some(last) if known_shape && last.eq_ignore_ascii_case(b"chunked") => {
            Err(Malformed::UnknownTransferCoding)
        }
        _ => Err(Malformed::TransferEncoding),
    }
}

/// Whether `Transfer-Encoding` names one thing that is not a coding at all, as `identity` or `binary`.
///
/// RFC 9112, 6.3: "If a Transfer-Encoding header field is present in a response and the chunked transfer
/// coding is not the final encoding, the message body length is determined by reading the connection
/// until it is closed by the server." So such an answer has one length for all readers, and its connection
/// carries no other. Not so one in which somebody could read `chunked`, and not so one that says to be
/// compressed: its bytes are not those that were meant.
fn is_no_coding(fields: &Fields) -> bool {
    let mut values = fields.all(Known::TransferEncoding);
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let may_be_chunked = value.windows(5).any(|part| part.eq_ignore_ascii_case(b"chunk"));
    let is_coding = CODINGS.iter().any(|coding| value.eq_ignore_ascii_case(coding));
    !value.is_empty() && value.iter().all(is_word) && !may_be_chunked && !is_coding
}

/// The codings that change bytes: the registered ones of RFC 9112, and those of contents that some might
/// write here.
const CODINGS: [&[u8]; 8] =
    [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"br", b"zstd", b"trailers"];

/// The most digits of a length: below 2^63, so that sums cannot overflow.
const LENGTH_DIGITS_MAX: usize = 18;

fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX {
        return Err(Malformed::ContentLength);
    }
    let mut length = 0;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return Err(Malformed::ContentLength);
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    Ok(length)
}
