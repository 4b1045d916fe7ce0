//! Why a stream or a connection ended (RFC 9114, 8.1; RFC 9204, 6).

/// An error code of HTTP/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// Nothing is wrong.
    None = 0x100,
    /// Something is, that no other code says.
    Protocol = 0x101,
    /// Something is wrong here.
    Internal = 0x102,
    /// A stream that may not be opened.
    StreamCreation = 0x103,
    /// A stream ended that a connection cannot do without.
    ClosedCritical = 0x104,
    /// A frame where it may not stand.
    FrameUnexpected = 0x105,
    /// A frame that is malformed.
    Frame = 0x106,
    /// The peer makes work that serves nothing.
    ExcessiveLoad = 0x107,
    /// A number of a stream or a push that cannot be.
    Id = 0x108,
    /// A malformed `SETTINGS`.
    Settings = 0x109,
    /// No `SETTINGS` at the beginning.
    MissingSettings = 0x10a,
    /// A request of which nothing was done.
    RequestRejected = 0x10b,
    /// A request or response that nobody wants any more.
    RequestCancelled = 0x10c,
    /// A request that is not whole.
    RequestIncomplete = 0x10d,
    /// A malformed message.
    Message = 0x10e,
    /// A tunnel that broke off.
    Connect = 0x10f,
    /// A field section that cannot be read.
    Decompression = 0x200,
    /// A wrong instruction of the peer's encoder.
    EncoderStream = 0x201,
    /// A wrong instruction of the peer's decoder.
    DecoderStream = 0x202,
}

impl Code {
    /// The number that stands for it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}
