//! The seventeen statuses, and which one says what HTTP or a fault says.

use crate::Fault;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of gRPC's `statuscodes.md`")]
pub enum Status {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Status {
    /// All of them, by their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The one that the value of `grpc-status` says; `UNKNOWN` if it says none.
    #[must_use]
    pub fn read(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
        number.and_then(|number| Self::ALL.get(number)).copied().unwrap_or(Self::Unknown)
    }

    /// Its name in logs and metrics, as gRPC spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// What a client is to make of an answer that is not gRPC (`http-grpc-status-mapping.md`).
    #[must_use]
    pub const fn of_http(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// What a client of gRPC makes of a stream that is reset with this code (`PROTOCOL-HTTP2.md`,
    /// "Errors").
    #[must_use]
    pub const fn of_reset(code: u32) -> Self {
        match code {
            // CANCEL, REFUSED_STREAM, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY
            0x8 => Self::Cancelled,
            0x7 => Self::Unavailable,
            0xb => Self::ResourceExhausted,
            0xc => Self::PermissionDenied,
            _ => Self::Internal,
        }
    }

    /// What a client of gRPC is told of `fault`. Clients repeat what is `UNAVAILABLE`, so only that is
    /// where trying again may help.
    #[must_use]
    pub const fn of_fault(fault: Fault) -> Self {
        match fault {
            Fault::ClientGone | Fault::ClientStalled => Self::Cancelled,
            // The time limits of both sides: whether the call was carried out is not known.
            Fault::DeadlineExceeded
            | Fault::HeadTimeout
            | Fault::BodyIdle
            | Fault::BodyTooSlow
            | Fault::SendTimeout
            | Fault::FirstByteTimeout
            | Fault::BetweenBytesTimeout
            | Fault::TotalTimeout => Self::DeadlineExceeded,
            Fault::BodyTooLarge => Self::ResourceExhausted,
            Fault::MethodNotAllowed | Fault::Connect => Self::Unimplemented,
            Fault::Malformed(_)
            | Fault::BodyMalformed(_)
            | Fault::DeadlineMalformed
            | Fault::UpstreamMalformed(_)
            | Fault::UpgradeFailed
            | Fault::FileUnreadable
            | Fault::Loop
            | Fault::Bug => Self::Internal,
            // The client is to try again.
            Fault::TooEarly => Self::Unavailable,
            // What they mean is what their status means.
            other => Self::of_http(other.status()),
        }
    }
}

/// `message` as it stands in `grpc-message`: percent-encoded UTF-8, but for visible ASCII and spaces.
#[must_use]
pub fn encode_message(message: &str) -> String {
    let mut out = Vec::with_capacity(message.len());
    for byte in message.bytes() {
        crate::percent::encode(byte, |byte| matches!(byte, b' '..=b'~') && byte != b'%', &mut out);
    }
    String::from_utf8(out).expect("what is not visible ASCII was encoded")
}
