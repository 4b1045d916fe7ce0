//! The field names that Doorward itself reads or writes, each with a small number.
//!
//! A name is classified once, when its line is parsed. After that `head.has(Known::Upgrade)` is
//! one AND, and finding a known field compares bytes instead of strings.

macro_rules! known {
    ($($Name:ident = $text:literal),* $(,)?) => {
        /// A field name of interest, or [`Known::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Known {
            /// Any name not listed here.
            Other,
            $(#[doc = concat!("`", $text, "`")] $Name),*
        }

        impl Known {
            /// Every listed name, in the order of the enum.
            pub const ALL: &[Known] = &[$(Known::$Name),*];

            /// The name in lower case; empty for [`Known::Other`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Known::Other => "",
                    $(Known::$Name => $text),*
                }
            }
        }
    };
}

known! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    Age = "age",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentRange = "content-range",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    ETag = "etag",
    Expect = "expect",
    Expires = "expires",
    Forwarded = "forwarded",
    Host = "host",
    Http2Settings = "http2-settings",
    IfMatch = "if-match",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    IfUnmodifiedSince = "if-unmodified-since",
    KeepAlive = "keep-alive",
    LastModified = "last-modified",
    Location = "location",
    MaxForwards = "max-forwards",
    Pragma = "pragma",
    Proxy = "proxy",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    ProxyStatus = "proxy-status",
    Range = "range",
    RetryAfter = "retry-after",
    Server = "server",
    SetCookie = "set-cookie",
    Te = "te",
    Traceparent = "traceparent",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    Vary = "vary",
    Via = "via",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedProto = "x-forwarded-proto",
    XRequestId = "x-request-id",
    DoorwardExplain = "doorward-explain",
}

/// The longest listed name, in bytes.
const NAME_BYTES_MAX: usize = 19;

impl Known {
    /// Classifies `name`, whatever its case.
    #[must_use]
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        let Some(candidates) = BY_LENGTH.get(name.len()) else {
            return Self::Other;
        };
        for &known in *candidates {
            if name.eq_ignore_ascii_case(known.name().as_bytes()) {
                return known;
            }
        }
        Self::Other
    }

    /// The bit of this name in a set; zero for [`Known::Other`].
    #[must_use]
    #[inline]
    pub const fn bit(self) -> u64 {
        match self {
            Self::Other => 0,
            known => 1 << (known as u8),
        }
    }
}

// One bit a name: a 64th name needs a wider set.
const _: () = assert!(Known::ALL.len() < 64);

/// The listed names by their length, so that most names are ruled out by one look.
const BY_LENGTH: [&[Known]; NAME_BYTES_MAX + 1] = {
    use Known::*;
    [
        &[],
        &[],
        &[Te],
        &[Age, Via],
        &[Date, ETag, Host, Vary],
        &[Proxy, Range],
        &[Accept, Cookie, Expect, Pragma, Server],
        &[Expires, Trailer, Upgrade],
        &[IfMatch, IfRange, Location],
        &[Forwarded],
        &[Connection, KeepAlive, SetCookie],
        &[RetryAfter, Traceparent],
        &[ContentType, MaxForwards, ProxyStatus, XRequestId],
        &[
            Authorization,
            CacheControl,
            ContentRange,
            IfNoneMatch,
            LastModified,
        ],
        &[ContentLength, Http2Settings],
        &[AcceptEncoding, XForwardedFor],
        &[
            ContentEncoding,
            ProxyConnection,
            XForwardedHost,
            XForwardedPort,
            DoorwardExplain,
        ],
        &[IfModifiedSince, TransferEncoding, XForwardedProto],
        &[ProxyAuthenticate],
        &[IfUnmodifiedSince, ProxyAuthorization],
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &known in Known::ALL {
            assert_eq!(Known::of(known.name().as_bytes()), known);
            assert_eq!(
                Known::of(known.name().to_ascii_uppercase().as_bytes()),
                known
            );
            let longer = format!("{}x", known.name());
            assert_ne!(Known::of(longer.as_bytes()), known);
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(b"x-nothing-of-ours"), Known::Other);
    }
}
