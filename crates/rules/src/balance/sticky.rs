//! Sessions that stay at one endpoint by a signed cookie.
//!
//! The cookie names the endpoint by a hash of its address, and says until when. Without a signature
//! a client could choose its endpoint, and find out how many there are. The engine makes and
//! compares the signature; what is signed and how it is written is decided here.

/// How long the signature is: half of an HMAC with SHA-256 (RFC 2104, 5), since cookies come with
/// every request.
pub const MAC_BYTES: usize = 16;

/// How sessions stick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// The name of the cookie.
    pub cookie: Box<str>,
    /// How long a session stays where it is, from its first request on.
    pub keep_s: u64,
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
    /// Appends the field value of `Set-Cookie` for `claim`.
    pub fn write(&self, claim: &Claim, mac: &[u8; MAC_BYTES], https: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(self.cookie.as_bytes());
        out.push(b'=');
        claim.write(mac, out);
        let end = format!("; Max-Age={}; Path=/; HttpOnly; SameSite=Lax", self.keep_s);
        out.extend_from_slice(end.as_bytes());
        if https {
            out.extend_from_slice(b"; Secure");
        }
    }

    /// The value of the cookie in a `Cookie` field (RFC 6265, 4.2.1).
    #[must_use]
    pub fn find<'a>(&self, field: &'a [u8]) -> Option<&'a [u8]> {
        cookie(field, &self.cookie)
    }
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
