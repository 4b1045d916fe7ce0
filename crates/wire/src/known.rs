//! The field names that Doorward itself reads or writes, each with a small number.
//!
//! A name is classified once, when its line is parsed. After that `head.has(Known::Upgrade)` is
//! one AND, and finding a known field compares bytes instead of strings.

use crate::h1::block::BLOCK;

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

impl Known {
    /// Classifies `name`, whatever its case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let known = Self::of_key(key(name));
        let tail = known.name().as_bytes().get(BLOCK..).unwrap_or_default();
        let rest = name.get(BLOCK..).unwrap_or_default();
        if rest.len() == tail.len() && rest.eq_ignore_ascii_case(tail) {
            known
        } else {
            Self::Other
        }
    }

    /// Classifies the first `bytes` of `block`, fewer than all of them.
    #[inline(always)]
    pub(crate) fn of_start(block: &[u8; BLOCK], bytes: usize) -> Self {
        let [low, high] = words(block);
        let [first_low, first_high] = FIRST[bytes % BLOCK];
        Self::of_key(short_key([low & first_low, high & first_high], bytes))
    }

    #[inline(always)]
    fn of_key(key: Key) -> Self {
        let candidate = SLOTS[slot(key, MULTIPLIER)];
        let [low, high] = KEYS[candidate as usize];
        if (low ^ key[0]) | (high ^ key[1]) == 0 { candidate } else { Self::Other }
    }

    /// The bit of this name in a set; zero for [`Known::Other`].
    #[must_use]
    #[inline]
    pub const fn bit(self) -> u64 {
        1 << self as u8 & !1
    }
}

// One bit a name: a 64th name needs a wider set.
const _: () = assert!(Known::ALL.len() < 64);

/// The first sixteen bytes of a name in lower case. In a shorter name the last byte is its length,
/// which is no byte of a listed name.
type Key = [u64; 2];

const fn words(block: &[u8; BLOCK]) -> [u64; 2] {
    let (eights, _) = block.as_chunks::<8>();
    [u64::from_le_bytes(eights[0]), u64::from_le_bytes(eights[1])]
}

/// Makes letters small; makes no other byte into one that a listed name has.
const fn small(word: u64) -> u64 {
    word | (word & 0x4040_4040_4040_4040) >> 1
}

const fn short_key([low, high]: [u64; 2], bytes: usize) -> Key {
    [small(low), small(high) | (bytes as u64) << 56]
}

/// Masks for as many bytes as the index says.
const FIRST: [[u64; 2]; BLOCK] = {
    let (mut masks, mut bytes) = ([[0; 2]; BLOCK], 0);
    while bytes < BLOCK {
        let mask = (1_u128 << (8 * bytes)) - 1;
        masks[bytes] = [mask as u64, (mask >> 64) as u64];
        bytes += 1;
    }
    masks
};

const fn key(name: &[u8]) -> Key {
    if let Some(start) = name.first_chunk::<BLOCK>() {
        let [low, high] = words(start);
        return [small(low), small(high)];
    }
    let (mut block, mut at) = ([0; BLOCK], 0);
    while at < name.len() {
        block[at] = name[at];
        at += 1;
    }
    short_key(words(&block), name.len())
}

/// The keys by their names' numbers. [`Known::Other`] has that of the empty name.
const KEYS: [Key; Known::ALL.len() + 1] = {
    let (mut keys, mut at) = ([[0; 2]; Known::ALL.len() + 1], 0);
    while at < Known::ALL.len() {
        keys[Known::ALL[at] as usize] = key(Known::ALL[at].name().as_bytes());
        at += 1;
    }
    keys
};

/// Where a key stands in [`SLOTS`].
#[inline(always)]
const fn slot([low, high]: Key, multiplier: u64) -> usize {
    ((low ^ high).wrapping_mul(multiplier) >> 55) as usize
}

/// At most one listed name a slot, so that one comparison settles what a name is.
const SLOTS: [Known; 512] = match slots(MULTIPLIER) {
    Some(slots) => slots,
    None => unreachable!(),
};

/// The first odd multiplier behind a fixed start that gives each listed name a slot of its own.
const MULTIPLIER: u64 = {
    let mut multiplier = 0x9e37_79b9_7f4a_7c15_u64;
    while slots(multiplier).is_none() {
        multiplier = multiplier.wrapping_mul(6_364_136_223_846_793_005) | 1;
    }
    multiplier
};

const fn slots(multiplier: u64) -> Option<[Known; 512]> {
    let (mut slots, mut at) = ([Known::Other; 512], 0);
    while at < Known::ALL.len() {
        let known = Known::ALL[at];
        let slot = slot(KEYS[known as usize], multiplier);
        if !matches!(slots[slot], Known::Other) {
            return None;
        }
        slots[slot] = known;
        at += 1;
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &known in Known::ALL {
            assert_eq!(Known::of(known.name().as_bytes()), known);
            assert_eq!(Known::of(known.name().to_ascii_uppercase().as_bytes()), known);
            for at in 0..known.name().len() {
                let mut other = known.name().as_bytes().to_vec();
                for byte in 0..=u8::MAX {
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(known.name().as_bytes());
                    assert_eq!(Known::of(&other) == known, same, "{other:?}");
                }
            }
            let longer = format!("{}x", known.name());
            assert_ne!(Known::of(longer.as_bytes()), known);
        }
        for name in ["content_length", "content\rlength", "te\0", "te\u{2}", "tE ", "\u{14}e"] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name:?}");
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(b"x-nothing-of-ours"), Known::Other);
    }
}
