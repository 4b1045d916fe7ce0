//! Sessions that stay at one endpoint by a signed cookie.
//!
//! The cookie names the endpoint by a hash of its address, and says until when. Without a signature
//! a client could choose its endpoint, and find out how many there are. The engine makes and
//! compares the signature; what is signed and how it is written is decided here.

use config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::{Known, RequestHead, ResponseHead};

/// How long the signature is: half of an HMAC with SHA-256 (RFC 2104, 5), since cookies come with
/// every request.
pub const MAC_BYTES: usize = 16;

/// How sessions stick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// The name of the cookie.
    pub cookie: Box<str>,
    /// How long a session stays where it is when nothing comes from it.
    pub keep_s: u64,
    /// The `Path` of the cookie.
    pub path: Box<str>,
    /// Its `SameSite`.
    pub same_site: SameSite,
    /// Cookies are signed with the first, and believed if they are signed with any; a key of the process
    /// if there is none.
    pub keys: Box<[Secret]>,
}

/// With which requests a browser sends the cookie (RFC 6265bis, 5.6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SameSite {
    /// From the same site, and when a link of another one is followed.
    #[default]
    Lax,
    /// From the same site only.
    Strict,
    /// With all.
    None,
}

/// What a client's cookies say about where its session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// Nothing.
    None,
    /// This, and it is to be believed.
    To(Claim),
    /// Something that is not to be believed: why, as a clause.
    Vain(&'static str),
}

impl Bond {
    /// The endpoint that is to be preferred.
    #[must_use]
    pub fn endpoint(&self) -> Option<u64> {
        match self {
            Self::To(claim) => Some(claim.endpoint),
            Self::None | Self::Vain(_) => None,
        }
    }
}

/// What becomes of a session as an endpoint has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// For metrics.
    pub result: TieResult,
    /// A clause.
    pub why: &'static str,
    /// What the client is to be given.
    pub claim: Option<Claim>,
}

/// What became of a session, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieResult {
    /// It is where it was.
    Kept,
    /// It begins.
    Begun,
    /// It is elsewhere now.
    Moved,
    /// It has no place: the answer is not for this client alone.
    Loose,
}

impl TieResult {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Kept, Self::Begun, Self::Moved, Self::Loose];

    /// Its name in metrics and explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Begun => "begun",
            Self::Moved => "moved",
            Self::Loose => "loose",
        }
    }
}

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The [`hash`](super::Member::hash) of the endpoint.
    pub endpoint: u64,
    /// Until when, in seconds since 1970.
    pub until_s: u64,
}

/// What is written in hex: endpoint, end, signature.
const TEXT_BYTES: usize = 2 * (8 + 8 + MAC_BYTES);

impl Claim {
    /// What is to be signed, together with the name of the service: the cookie of one service means
    /// nothing to another.
    #[must_use]
    pub fn signed(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.endpoint.to_be_bytes());
        bytes[8..].copy_from_slice(&self.until_s.to_be_bytes());
        bytes
    }

    /// The claim and the signature in the value of a cookie. Whether the signature is right, and
    /// then whether it is still time ([`Self::holds`]), is to be asked next.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<(Self, [u8; MAC_BYTES])> {
        let mut bytes = [0; TEXT_BYTES / 2];
        if value.len() != TEXT_BYTES {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(value.as_chunks::<2>().0) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        let number = |at: usize| {
            u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
        };
        let mac = bytes[16..].try_into().expect("what is left is the signature");
        Some((Self { endpoint: number(0), until_s: number(8) }, mac))
    }

    /// Whether it is still time.
    #[must_use]
    pub fn holds(&self, now_s: u64) -> bool {
        now_s < self.until_s
    }

    /// Appends the value of the cookie.
    pub fn write(&self, mac: &[u8; MAC_BYTES], out: &mut Vec<u8>) {
        let parts = [&self.endpoint.to_be_bytes()[..], &self.until_s.to_be_bytes(), mac];
        for part in parts {
            let start = out.len();
            out.resize(start + 2 * part.len(), 0);
            crate::cx::write_hex(part, &mut out[start..]);
        }
    }
}

impl Sticky {
    /// What the cookies in `head` say. Of several, the first that is ours and still holds counts:
    /// `is_ours` tells whether a signature is right.
    pub fn read(
        &self,
        head: &RequestHead,
        now_s: u64,
        is_ours: impl Fn(&Claim, &[u8; MAC_BYTES]) -> bool,
    ) -> Bond {
        let mut bond = Bond::None;
        for value in head.fields.all(Known::Cookie).filter_map(|field| cookie(field, &self.cookie))
        {
            bond = match Claim::read(value) {
                None => Bond::Vain("its cookie is none of ours"),
                Some((claim, mac)) if !is_ours(&claim, &mac) => {
                    Bond::Vain("its cookie is not signed by us")
                }
                Some((claim, _)) if !claim.holds(now_s) => Bond::Vain("its cookie is too old"),
                Some((claim, _)) => return Bond::To(claim),
            };
        }
        bond
    }

    /// What becomes of a session with this bond, now that `endpoint` has answered with `response`.
    #[must_use]
    pub fn tie(&self, bond: &Bond, endpoint: u64, now_s: u64, response: &ResponseHead) -> Tie {
        let claim = Some(Claim { endpoint, until_s: now_s.saturating_add(self.keep_s) });
        let (result, why) = match bond {
            // A session that goes on keeps its place.
            Bond::To(old) if old.endpoint == endpoint => {
                let left_s = old.until_s.saturating_sub(now_s);
                if left_s > self.keep_s / 2 {
                    let why = "its cookie is good for a while";
                    return Tie { result: TieResult::Kept, why, claim: None };
                }
                (TieResult::Kept, "half of its cookie's time is over")
            }
            Bond::To(_) => (TieResult::Moved, "the endpoint of its cookie was not to be used"),
            Bond::Vain(why) => (TieResult::Begun, *why),
            Bond::None => (TieResult::Begun, "it had no cookie"),
        };
        if is_for_all(response) {
            let why = "caches may give the answer to others, and the cookie with it";
            return Tie { result: TieResult::Loose, why, claim: None };
        }
        Tie { result, why, claim }
    }

    /// Appends the field value of `Set-Cookie` for `claim`.
    pub fn write(&self, claim: &Claim, mac: &[u8; MAC_BYTES], https: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(self.cookie.as_bytes());
        out.push(b'=');
        claim.write(mac, out);
        let same_site = match self.same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
            SameSite::None => "None",
        };
        let Self { keep_s, path, .. } = self;
        let end = format!("; Max-Age={keep_s}; Path={path}; HttpOnly; SameSite={same_site}");
        out.extend_from_slice(end.as_bytes());
        // Browsers take `None` from nobody else.
        if https || self.same_site == SameSite::None {
            out.extend_from_slice(b"; Secure");
        }
    }
}

/// Whether the answer says that it is for everybody. RFC 9111, 7.3: `Set-Cookie` keeps no cache from
/// storing it.
fn is_for_all(response: &ResponseHead) -> bool {
    let fields = response.fields.all(Known::CacheControl);
    let mut directives = fields.flat_map(|field| field.split(|byte| *byte == b','));
    directives.any(|directive| {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage")
    })
}

/// The value of the cookie `name` in a `Cookie` field.
pub(super) fn cookie<'a>(field: &'a [u8], name: &str) -> Option<&'a [u8]> {
    field
        .split(|byte| *byte == b';')
        .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).filter(|_| !byte.is_ascii_uppercase()).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn sticky() -> Sticky {
        let (cookie, path) = ("at".into(), "/a".into());
        Sticky { cookie, keep_s: 3600, path, same_site: SameSite::Lax, keys: Box::default() }
    }

    #[test]
    fn a_cookie_is_read_as_it_was_written() {
        let claim = Claim { endpoint: crate::balance::hash(b"b"), until_s: 1_000 };
        let mac = [0xab; MAC_BYTES];
        let mut out = Vec::new();
        sticky().write(&claim, &mac, true, &mut out);
        expect!["at=3e35b21bfb9b640500000000000003e8abababababababababababababababab; Max-Age=3600; Path=/a; HttpOnly; SameSite=Lax; Secure"]
            .assert_eq(&String::from_utf8_lossy(&out));
        out.clear();
        let other = Sticky { same_site: SameSite::None, ..sticky() };
        other.write(&claim, &mac, false, &mut out);
        assert!(out.ends_with(b"SameSite=None; Secure"));
        let value = &out[3..67];
        assert_eq!(Claim::read(value), Some((claim, mac)));
        for wrong in [&value[1..], &value.to_ascii_uppercase()[..], b"", &[b'g'; 64]] {
            assert_eq!(Claim::read(wrong), None);
        }
        let read = |fields: &[&[u8]], now_s| {
            let mut head = RequestHead::new("GET", "a", "/").expect("a valid head");
            for field in fields {
                head.fields.push("Cookie", field);
            }
            sticky().read(&head, now_s, |_, other| *other == mac)
        };
        let ours = [b"a=b; at=", value, b"; c=d"].concat();
        let forged = [&ours[..71], b"0", &ours[72..]].concat();
        assert_eq!(read(&[&ours], 999), Bond::To(claim));
        assert_eq!(read(&[b"attic=1; ata=2"], 999), Bond::None);
        assert_eq!(read(&[&forged, &ours], 999), Bond::To(claim));
        assert_eq!(read(&[&ours], 1_000), Bond::Vain("its cookie is too old"));
        assert_eq!(read(&[&forged], 999), Bond::Vain("its cookie is not signed by us"));
        assert_eq!(read(&[b"at=1"], 999), Bond::Vain("its cookie is none of ours"));
    }

    #[test]
    fn a_session_is_tied_when_it_has_to_be() {
        let bond = |until_s| Bond::To(Claim { endpoint: 7, until_s });
        let mut text = String::new();
        let mut tie = |name: &str, bond: Bond, endpoint, cache_control: &str| {
            let mut response = ResponseHead::default();
            response.fields.push("Cache-Control", cache_control.as_bytes());
            let Tie { result, why, claim } = sticky().tie(&bond, endpoint, 10_000, &response);
            let claim = claim.map(|claim| (claim.endpoint, claim.until_s));
            text += &format!("{name}: {} {claim:?} {why}\n", result.name());
        };
        tie("new", Bond::None, 7, "no-cache");
        tie("forged", Bond::Vain("its cookie is not signed by us"), 7, "private");
        tie("young", bond(13_000), 7, "");
        tie("old", bond(11_000), 7, "");
        tie("elsewhere", bond(13_000), 8, "");
        tie("for all", Bond::None, 7, "max-age=1, Public");
        tie("for caches", bond(13_000), 8, "s-maxage=1");
        expect![[r#"
            new: begun Some((7, 13600)) it had no cookie
            forged: begun Some((7, 13600)) its cookie is not signed by us
            young: kept None its cookie is good for a while
            old: kept Some((7, 13600)) half of its cookie's time is over
            elsewhere: moved Some((8, 13600)) the endpoint of its cookie was not to be used
            for all: loose None caches may give the answer to others, and the cookie with it
            for caches: loose None caches may give the answer to others, and the cookie with it
        "#]]
        .assert_eq(&text);
    }
}
