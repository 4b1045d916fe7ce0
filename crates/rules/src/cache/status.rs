//! `Cache-Status` (RFC 9211): what this cache did with a request, for whoever reads the response.

use wire::h1::write_decimal;

use super::why::Why;

/// What was done, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// How the answer came about.
    pub way: Way,
    /// How long it is still fresh, in milliseconds; negative once it is not.
    pub left_ms: Option<i64>,
    /// Why.
    pub why: Option<Why>,
}

/// How an answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From what was stored.
    Hit,
    /// The request went forward.
    Forward {
        /// Why it did.
        because: Because,
        /// What the service answered, if that is not what the client sees.
        status: Option<u16>,
        /// Whether the answer is stored.
        stored: bool,
        /// Whether another request went forward for it.
        collapsed: bool,
    },
    /// Neither: the client wanted a stored answer and there is none.
    Neither,
}

/// Why a request went forward (RFC 9211, 2.2: `fwd`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The cache was to be passed by.
    Bypass,
    /// The method's meaning.
    Method,
    /// Nothing is stored at this URL.
    UriMiss,
    /// What is stored at this URL is for other request headers.
    VaryMiss,
    /// The request asked for it.
    Request,
    /// What is stored is stale.
    Stale,
    /// Not all of the bytes that are wanted are stored.
    Partial,
}

impl Because {
    /// As it stands in the field.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl Told {
    /// Appends the field line with its CR LF.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Cache-Status: Doorward");
        match self.way {
            Way::Hit => out.extend_from_slice(b"; hit"),
            Way::Neither => {}
            Way::Forward { because, status, stored, collapsed } => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(because.token().as_bytes());
                if let Some(status) = status {
                    out.extend_from_slice(b"; fwd-status=");
                    write_decimal(u64::from(status), out);
                }
                if stored {
                    out.extend_from_slice(b"; stored");
                }
                if collapsed {
                    out.extend_from_slice(b"; collapsed");
                }
            }
        }
        if let Some(left_ms) = self.left_ms {
            // What is fresh for a part of a second is fresh for the second.
            let seconds = left_ms.div_euclid(1000) + i64::from(left_ms.rem_euclid(1000) > 0);
            out.extend_from_slice(if seconds < 0 { b"; ttl=-" } else { b"; ttl=" });
            write_decimal(seconds.unsigned_abs(), out);
        }
        if let Some(why) = self.why {
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(why.token.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The value of the field.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        let mut line = Vec::new();
        self.write(&mut line);
        line.truncate(line.len() - 2);
        line.split_off("Cache-Status: ".len())
    }
}
