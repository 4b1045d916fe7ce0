//! What an authority's refusal means, and what to do about it, in words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How it is shown to an authority that a name leads here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// By an answer over plain HTTP, on port 80.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// By a certificate in a handshake, on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a record in DNS.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl Challenge {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

/// What to do about an error of the `kind` that RFC 8555 (6.7) names.
pub fn advice(kind: &str, challenge: Challenge) -> &'static str {
    match (kind, challenge) {
        ("connection", Challenge::TlsAlpn01) => {
            "port 443 of this name must lead to an `https` listener here, from all of the internet"
        }
        ("connection", _) => {
            "port 80 of this name must lead to an `http` listener here, from all of the internet"
        }
        ("dns", Challenge::Dns01) => {
            "look whether `dns-hook` returns before the record can be seen everywhere"
        }
        ("dns", _) => "look at the name's A and AAAA records",
        ("unauthorized" | "incorrectResponse", Challenge::Dns01) => {
            "the record was not there: look at what `dns-hook` does, and whether it waits long enough"
        }
        ("unauthorized" | "incorrectResponse", _) => {
            "something else answers under this name: look at its A and AAAA records"
        }
        ("tls", _) => "port 443 of this name must lead here without another TLS between",
        ("caa", _) => "a CAA record of the name lets only other authorities certify it",
        ("rejectedIdentifier" | "unsupportedIdentifier", _) => {
            "this authority does not certify such names"
        }
        ("rateLimited", _) => {
            "it is tried again when the authority allows it; see its rate limits, and use its staging \
             directory for trying out"
        }
        ("externalAccountRequired", _) => {
            "this authority wants `external-account`, with the id and key that it gave you"
        }
        ("userActionRequired", _) => "its terms have changed: read them, then restart",
        ("invalidContact" | "unsupportedContact", _) => "look at `contact`",
        ("badCSR" | "badPublicKey", _) => "try another kind of `key`",
        ("accountDoesNotExist", _) => "a new account is made at the next attempt",
        ("serverInternal", _) => "the authority has a problem of its own; it is tried again",
        _ => "it is tried again",
    }
}
