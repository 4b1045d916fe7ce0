//! Content codings: which one a client is answered in (RFC 9110, 8.4 and 12.5.3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::{Fields, Known};

/// A way to make a body smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Coding {
    /// Zstandard (RFC 8878): the fastest for its size.
    Zstd,
    /// Brotli (RFC 7932): the smallest for text.
    Br,
    /// What every client knows (RFC 1952).
    Gzip,
}

impl Coding {
    /// All, in the order in which they are taken if the client has no preference.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// As it stands in `Content-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What is behind the name of a file in this coding.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Br => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// How hard is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// The least CPU.
    Low,
    /// A third of the CPU of `high` for nine tenths of what it saves.
    #[default]
    Normal,
    /// The smallest that is fit for answers made on the fly.
    High,
}

/// How a body is to be encoded on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encode {
    /// In what.
    pub coding: Coding,
    /// How hard.
    pub effort: Effort,
    /// It is made while it is sent: what is there goes out before more is waited for.
    pub live: bool,
}

/// The coding among `offered` that the client likes best, the first of those that it likes as much;
/// `None` if it is to have the body as it is.
#[must_use]
pub fn choose(fields: &Fields, offered: &[Coding]) -> Option<Coding> {
    let mut best: Option<(u16, Coding)> = None;
    for &coding in offered {
        let weight = weight(fields, coding.name()).unwrap_or_default();
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, coding));
        }
    }
    // RFC 9110, 12.5.3: the body as it is is acceptable unless it is excluded. A client that says how
    // much it likes that is asked.
    let (weight_of_best, coding) = best?;
    let plain = named(fields, b"identity").unwrap_or_default();
    (weight_of_best >= plain).then_some(coding)
}

/// How much the client wants a coding, in thousandths (RFC 9110, 12.4.2 and 12.5.3); `None` if it does not
/// speak of it.
pub(crate) fn weight(fields: &Fields, coding: &str) -> Option<u16> {
    named(fields, coding.as_bytes()).or_else(|| named(fields, b"*"))
}

fn named(fields: &Fields, coding: &[u8]) -> Option<u16> {
    let mut items = fields.all(Known::AcceptEncoding).flat_map(|value| value.split(|&b| b == b','));
    items.find_map(|item| {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let is_it = name.eq_ignore_ascii_case(coding);
        is_it.then(|| parts.next().map_or(1000, crate::fault::quality))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_has_the_coding_that_it_likes_best() {
        for (accept, chosen) in [
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Br)),
            ("gzip, deflate", Some(Coding::Gzip)),
            ("GZip", Some(Coding::Gzip)),
            ("br;q=0.8, gzip;q=0.9", Some(Coding::Gzip)),
            ("br ; Q=0.5 ,gzip;q=0.5", Some(Coding::Br)),
            ("gzip;q=0, *", Some(Coding::Zstd)),
            ("zstd;q=0, *;q=0.1", Some(Coding::Br)),
            ("*;q=0", None),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip", Some(Coding::Gzip)),
            ("gzip;q=0.001", Some(Coding::Gzip)),
            ("gzip;q=0.000", None),
            ("gzip;q=2", Some(Coding::Gzip)),
            ("gzip;q=0.1234", Some(Coding::Gzip)),
            ("gzip;q=", Some(Coding::Gzip)),
            ("deflate", None),
            ("", None),
        ] {
            let mut fields = Fields::default();
            fields.push("Accept-Encoding", accept.as_bytes());
            assert_eq!(choose(&fields, &Coding::ALL), chosen, "{accept}");
        }
        let mut fields = Fields::default();
        fields.push("Accept-Encoding", b"br;q=0.1, zstd");
        fields.push("Accept-Encoding", b"gzip;q=0.5");
        assert_eq!(choose(&fields, &[Coding::Br, Coding::Gzip]), Some(Coding::Gzip));
    }
}
