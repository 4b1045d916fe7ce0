//! The first message of a TLS connection, as far as it says which server is meant (RFC 8446, 4.1.2;
//! RFC 6066, 3).
//!
//! Nothing is decrypted and nothing changed: who takes the connection gets the same bytes. What two
//! readers could read differently is refused, so that the service that was chosen is the one that
//! the client named.

pub mod exercise;
pub mod postgres;
#[cfg(test)]
mod tests;

/// What a client says before anything is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The name of the server that it wants, in lower case.
    pub server_name: Option<Box<str>>,
}

/// Why bytes are no `ClientHello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHello {
    /// This is not TLS at all.
    NotTls,
    /// A record is empty, too long, or of another kind.
    Record,
    /// TLS begins with another message.
    OtherMessage,
    /// The message is larger than any real one.
    TooLarge,
    /// The message is not built as it has to be.
    Malformed,
    /// The name of the server is no name, or there are several.
    ServerName,
}

impl NotHello {
    /// Why, as a clause for log and trail.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotTls => "the connection does not begin with TLS",
            Self::Record => "a TLS record is empty, too long, or of another kind",
            Self::OtherMessage => "TLS does not begin with a ClientHello",
            Self::TooLarge => "the ClientHello is too large",
            Self::Malformed => "the ClientHello is not built as it has to be",
            Self::ServerName => "the server name in the ClientHello is no single host name",
        }
    }

    /// The alert that says so (RFC 8446, 6.2); nothing to who does not speak TLS.
    #[must_use]
    pub const fn alert(self) -> Option<Alert> {
        match self {
            Self::NotTls => None,
            Self::Record | Self::OtherMessage => Some(Alert::UnexpectedMessage),
            Self::TooLarge | Self::Malformed => Some(Alert::DecodeError),
            Self::ServerName => Some(Alert::IllegalParameter),
        }
    }
}

/// What a TLS client can be told before anything is agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 8446, 6")]
pub enum Alert {
    UnexpectedMessage = 10,
    IllegalParameter = 47,
    DecodeError = 50,
    InternalError = 80,
    UnrecognizedName = 112,
}

impl Alert {
    /// The whole record: fatal, as all of these are.
    #[must_use]
    pub const fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, self as u8]
    }
}

/// The most bytes up to the end of the message, with the headers of all records. Clients with
/// post-quantum keys and a resumption ticket send 2 to 4 KiB.
pub const HELLO_BYTES_MAX: usize = 32 * 1024;

/// RFC 8446, 5.1.
const RECORD_BYTES_MAX: usize = 1 << 14;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;

/// How far a reading has come: bytes that trickle in are not looked at again and again.
#[derive(Clone, Debug, Default)]
pub struct HelloScan {
    /// Where the next record begins.
    record_at: usize,
    /// The message so far, of all records before.
    message: Vec<u8>,
}

impl ClientHello {
    /// Reads the message at the start of `bytes`, which grow from call to call with the same `scan`;
    /// `None` if it is not whole yet.
    ///
    /// # Errors
    /// What makes it none.
    pub fn read(bytes: &[u8], scan: &mut HelloScan) -> Result<Option<Self>, NotHello> {
        loop {
            let left = bytes.get(scan.record_at..).unwrap_or_default();
            let Some(fragment) = fragment(left, scan.record_at == 0)? else {
                return match scan.record_at + left.len() > HELLO_BYTES_MAX {
                    true => Err(NotHello::TooLarge),
                    false => Ok(None),
                };
            };
            scan.record_at += RECORD_HEADER + fragment.len();
            if scan.record_at > HELLO_BYTES_MAX {
                return Err(NotHello::TooLarge);
            }
            scan.message.extend_from_slice(fragment);
            if let Some(body) = message(&scan.message)? {
                return read_body(body).map(Some);
            }
        }
    }
}

/// The content of the record at the start of `bytes`, if it is whole.
fn fragment(bytes: &[u8], first: bool) -> Result<Option<&[u8]>, NotHello> {
    let wrong = if first { NotHello::NotTls } else { NotHello::Record };
    // A record of a handshake. Its version means nothing (RFC 8446, 5.1) but that it begins with 3
    // since SSL 3.0, which tells TLS from other protocols.
    let start = bytes.len().min(2);
    if bytes[..start] != [22, 3][..start] {
        return Err(wrong);
    }
    let Some(header) = bytes.first_chunk::<RECORD_HEADER>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    // RFC 8446, 5.1: no empty fragments of handshake messages.
    if length == 0 || length > RECORD_BYTES_MAX {
        return Err(wrong);
    }
    Ok(bytes.get(RECORD_HEADER..RECORD_HEADER + length))
}

/// The content of the `ClientHello` in `message`, if it is whole.
fn message(message: &[u8]) -> Result<Option<&[u8]>, NotHello> {
    if message.first().is_some_and(|&kind| kind != 1) {
        return Err(NotHello::OtherMessage);
    }
    let Some(&[_, high, middle, low]) = message.first_chunk::<MESSAGE_HEADER>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > HELLO_BYTES_MAX {
        return Err(NotHello::TooLarge);
    }
    let body = &message[MESSAGE_HEADER..];
    match body.len() {
        short if short < length => Ok(None),
        whole if whole == length => Ok(Some(body)),
        // Nothing may follow in the same record: the client has to wait for the server.
        _ => Err(NotHello::OtherMessage),
    }
}

fn read_body(body: &[u8]) -> Result<ClientHello, NotHello> {
    let mut rest = Parts(body);
    let version = rest.take(2)?;
    rest.take(32)?;
    let session = rest.block(1)?;
    let suites = rest.block(2)?;
    let compressions = rest.block(1)?;
    if version[0] != 3
        || session.len() > 32
        || suites.is_empty()
        || suites.len() % 2 != 0
        || compressions.is_empty()
    {
        return Err(NotHello::Malformed);
    }
    let mut hello = ClientHello::default();
    // RFC 5246, 7.4.1.2: before TLS 1.3 a message may end here.
    if rest.is_empty() {
        return Ok(hello);
    }
    let mut extensions = Parts(rest.block(2)?);
    if !rest.is_empty() {
        return Err(NotHello::Malformed);
    }
    while !extensions.is_empty() {
        let kind = extensions.take(2)?;
        let content = extensions.block(2)?;
        if kind == [0, 0] {
            // RFC 8446, 4.2: no more than one extension of a type.
            if hello.server_name.is_some() {
                return Err(NotHello::ServerName);
            }
            hello.server_name = Some(server_name(content)?);
        }
    }
    Ok(hello)
}

/// The one name in a `ServerNameList`. Only host names were ever defined, and no list may have two of
/// a kind (RFC 6066, 3).
fn server_name(content: &[u8]) -> Result<Box<str>, NotHello> {
    let mut rest = Parts(content);
    let mut list = Parts(rest.block(2)?);
    let kind = list.take(1)?;
    let name = list.block(2)?;
    if !rest.is_empty() {
        return Err(NotHello::Malformed);
    }
    if kind != [0] || !list.is_empty() {
        return Err(NotHello::ServerName);
    }
    let name = std::str::from_utf8(name).ok().filter(|name| is_host_name(name));
    name.map(|name| name.to_ascii_lowercase().into()).ok_or(NotHello::ServerName)
}

/// The longest host name: 255 bytes on the wire of the DNS, without length bytes and the final dot.
const NAME_BYTES_MAX: usize = 253;

/// Whether `name` is a host name "without a trailing dot" (RFC 6066, 3).
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(valid)
    };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label)
}

/// What is left of a structure.
struct Parts<'b>(&'b [u8]);

impl<'b> Parts<'b> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], NotHello> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NotHello::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A block behind its length, which is a number of `width` bytes.
    fn block(&mut self, width: usize) -> Result<&'b [u8], NotHello> {
        let length = self.take(width)?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        self.take(length)
    }
}
