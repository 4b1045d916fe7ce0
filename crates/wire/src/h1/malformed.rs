//! What can be wrong with a message, each with its clause and its status.

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum Malformed {
    /// A line of the head ended in LF alone, or a CR stood without its LF.
    BareLineEnd,
    /// No method, a target or version missing, or white space where none belongs.
    RequestLine,
    /// Three words where the request line should be, and nothing of HTTP in them.
    NotHttp,
    StatusLine,
    /// What should be frames of HTTP/2 or HTTP/3 is none, or breaks their rules.
    Frame,
    /// A field line is not `name: value`: bad name, space before the colon, folding, a control.
    FieldLine,
    /// A name that a reader who takes `_` for `-` would find to be one that means something.
    LookalikeName,
    HeadTooLarge,
    RequestLineTooLong,
    TooManyFields,
    /// The target has bytes that may not stand there, or not the form that its method asks for.
    Target,
    PercentEncoding,
    /// The path has dot segments that two readers resolve differently, or a NUL that ends it for
    /// some.
    AmbiguousPath,
    Host,
    HostMissing,
    HostRepeated,
    /// `Host` and the target's authority differ.
    HostDisagrees,
    /// The absolute form names a scheme that is not the connection's.
    Scheme,
    Version,
    ContentLength,
    ContentLengthRepeated,
    /// `Content-Length` beside `Transfer-Encoding`.
    TwoLengths,
    TransferEncoding,
    /// A transfer coding that is not known here, before a final `chunked`.
    UnknownTransferCoding,
    /// `Transfer-Encoding` in a message of HTTP/1.0.
    TransferEncodingIn10,
    /// Framing fields where none may stand (a `TRACE` request).
    UnexpectedBody,
    ChunkSize,
    ChunkExtension,
    ChunkEnd,
    TrailerTooLarge,
    Trailer,
    /// The other side closed before the message was whole.
    Truncated,
    /// `Connection` names more options than can be kept.
    TooManyConnectionOptions,
    /// `Expect` asks for something unknown (RFC 9110, 10.1.1).
    Expectation,
    Status,
    /// A body of gRPC-Web that says that it is base64.
    Base64,
}

impl Malformed {
    /// What is wrong, as a clause.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BareLineEnd => "a line does not end in CR LF",
            Self::RequestLine => "the request line is not `method target HTTP/1.1`",
            Self::NotHttp => "what came is no request of HTTP",
            Self::StatusLine => "the status line is not `HTTP/1.1 status reason`",
            Self::Frame => "what came are no frames of the agreed version of HTTP",
            Self::FieldLine => "a field line is not `name: value`",
            Self::LookalikeName => "a field name differs from a well-known one only in `_` for `-`",
            Self::HeadTooLarge => "the head is larger than `limits.header-bytes`",
            Self::RequestLineTooLong => "the request line is longer than `limits.request-line`",
            Self::TooManyFields => "there are more field lines than `limits.headers`",
            Self::Target => "the request target has bytes that may not stand there",
            Self::PercentEncoding => "a `%` in the path is not followed by two hex digits",
            Self::AmbiguousPath => "the path can be read in two ways",
            Self::Host => "`Host` is not a host with at most a port",
            Self::HostMissing => "`Host` is missing",
            Self::HostRepeated => "`Host` is repeated",
            Self::HostDisagrees => "`Host` disagrees with the request target",
            Self::Scheme => "the scheme of the request target is not this connection's",
            Self::Version => "the HTTP version is not 1.0 or 1.1",
            Self::ContentLength => "`Content-Length` is not a number",
            Self::ContentLengthRepeated => "`Content-Length` is repeated",
            Self::TwoLengths => "`Content-Length` stands beside `Transfer-Encoding`",
            Self::TransferEncoding => "`Transfer-Encoding` is not a final `chunked`",
            Self::UnknownTransferCoding => "a transfer coding is unknown",
            Self::TransferEncodingIn10 => "`Transfer-Encoding` stands in an HTTP/1.0 message",
            Self::UnexpectedBody => "the method allows no body",
            Self::ChunkSize => "a chunk size is not a number in hex",
            Self::ChunkExtension => "chunk extensions are malformed or too large",
            Self::ChunkEnd => "a chunk does not end where its size says",
            Self::TrailerTooLarge => "the trailers are larger than `limits.trailer-bytes`",
            Self::Trailer => "a trailer line is not `name: value`",
            Self::Truncated => "the message broke off",
            Self::TooManyConnectionOptions => "`Connection` has too many options",
            Self::Expectation => "`Expect` asks for something unknown",
            Self::Status => "the status is not in 100 to 599",
            Self::Base64 => "the body of gRPC-Web is no base64",
        }
    }

    /// The status that tells a client so.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailerTooLarge => 431,
            Self::RequestLineTooLong => 414,
            Self::Scheme => 421,
            Self::Expectation => 417,
            Self::UnknownTransferCoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}
