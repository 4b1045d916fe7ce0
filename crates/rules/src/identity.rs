//! Who a client is, as its certificate says.
//!
//! Every name of it is written in one way, which is also that of the configuration, of the log and of
//! the header field: `spiffe://example.org/web`, `dns:web.example.com`, `email:a@example.com`,
//! `uri:https://example.com/a`, `ip:192.0.2.1`, `cn:web`, `sha256:` and the fingerprint in hex.

use std::net::IpAddr;

use config::{At, Report};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::hello::is_host_name;

use crate::cx::write_hex;
use crate::grpc::encode_base64;

/// What a client has shown when its connection was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The host that it named (SNI), in lower case.
    pub server_name: Option<Box<str>>,
    /// Who it is, if it has shown a certificate. It was checked: authority, time, revocation.
    pub identity: Option<Identity>,
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The best one first; never empty.
    names: Box<[Box<str>]>,
    /// Whole field lines that tell services of it.
    lines: Box<[u8]>,
}

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Its names of URIs.
    pub uris: Vec<String>,
    /// Its names of hosts.
    pub hosts: Vec<String>,
    /// Its names of mailboxes.
    pub emails: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// The SHA-256 of the whole.
    pub fingerprint: [u8; 32],
}

/// What services are told of a client that has shown a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Its name, in `X-Client-Identity`.
    Identity,
    /// Besides, its certificate, in `Client-Cert` (RFC 9440).
    #[default]
    Certificate,
    /// Besides, what leads from there to the authority, in `Client-Cert-Chain` (RFC 9440).
    Chain,
}

/// The fields that tell services who a client is. What clients themselves write there is dropped,
/// whoever they are.
pub const FIELDS: [&str; 3] = ["client-cert", "client-cert-chain", "x-client-identity"];

impl Identity {
    /// Of the client whose certificate says so. `chain` has the certificate and those that lead from it
    /// to the authority, as they were sent.
    #[must_use]
    pub fn new(certificate: &Certificate, chain: &[&[u8]], told: Told) -> Self {
        let names: Box<[Box<str>]> = names(certificate).into();
        let mut lines = format!("X-Client-Identity: {}\r\n", names[0]).into_bytes();
        if let (Some(own), Told::Certificate | Told::Chain) = (chain.first(), told) {
            lines.extend_from_slice(b"Client-Cert: ");
            append_binary(own, &mut lines);
            lines.extend_from_slice(b"\r\n");
        }
        if let (Some(others @ [_, ..]), Told::Chain) = (chain.get(1..), told) {
            lines.extend_from_slice(b"Client-Cert-Chain: ");
            for (at, other) in others.iter().enumerate() {
                lines.extend_from_slice(if at > 0 { b", " } else { b"" });
                append_binary(other, &mut lines);
            }
            lines.extend_from_slice(b"\r\n");
        }
        Self { names, lines: lines.into() }
    }

    /// Of a client that is called `name`, for explanations.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { names: [name.into()].into(), lines: Box::default() }
    }

    /// Its best name: a SPIFFE id, or else the first that the certificate has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.names[0]
    }

    /// Whole field lines that tell services of it.
    #[must_use]
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// RFC 8941, 3.3.5.
fn append_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b':');
    encode_base64(bytes, out);
    out.push(b':');
}

/// All names that can be written down. What cannot be is as good as not there: nothing may look like
/// something else in a log or a field.
fn names(certificate: &Certificate) -> Vec<Box<str>> {
    let is_visible =
        |text: &&String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let mut names: Vec<Box<str>> = Vec::new();
    // Which of several would be meant is not known: then it is no SPIFFE id (X509-SVID, 2).
    let spiffe = match &*certificate.uris {
        [one] if is_spiffe(one) && is_visible(&one) => Some(one),
        _ => None,
    };
    names.extend(spiffe.map(|id| id.as_str().into()));
    let others = certificate.uris.iter().filter(|_| spiffe.is_none()).filter(is_visible);
    names.extend(others.map(|uri| format!("uri:{uri}").into()));
    let hosts = certificate.hosts.iter().map(|host| host.to_ascii_lowercase());
    let hosts = hosts.filter(|host| is_host_name(host.strip_prefix("*.").unwrap_or(host)));
    names.extend(hosts.map(|host| format!("dns:{host}").into()));
    let emails = certificate.emails.iter().filter(is_visible);
    names.extend(emails.filter_map(|email| Some(format!("email:{}", mailbox(email)?).into())));
    names.extend(certificate.addresses.iter().map(|address| format!("ip:{address}").into()));
    let is_printable = |text: &&String| {
        !text.is_empty()
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            && text.trim() == **text
    };
    let common = certificate.common_name.iter().filter(is_printable);
    names.extend(common.map(|name| format!("cn:{name}").into()));
    let mut hex = [0; 64];
    write_hex(&certificate.fingerprint, &mut hex);
    names.push(format!("sha256:{}", String::from_utf8_lossy(&hex)).into());
    names
}

/// A mailbox, of which the host is read whatever its case.
fn mailbox(text: &str) -> Option<String> {
    let (user, host) = text.rsplit_once('@')?;
    Some(format!("{user}@{}", host.to_ascii_lowercase()))
}

/// SPIFFE-ID, 2: a trust domain in small letters, and perhaps a path.
fn is_spiffe(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("spiffe://") else { return false };
    let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let in_domain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let in_segment = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(in_segment);
    !domain.is_empty()
        && domain.bytes().all(in_domain)
        && (path.is_empty() || path[1..].split('/').all(is_segment))
}

/// Which clients are meant: one name, or all that begin and end in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    start: Box<str>,
    /// `None`: there is no `*`.
    end: Option<Box<str>>,
}

/// The kinds of names, with an example of each.
const KINDS: [(&str, &str); 7] = [
    ("spiffe://", "spiffe://example.org/ns/prod/*"),
    ("dns:", "dns:*.example.com"),
    ("email:", "email:*@example.com"),
    ("uri:", "uri:https://example.com/*"),
    ("ip:", "ip:192.0.2.1"),
    ("cn:", "cn:web"),
    ("sha256:", "sha256:d4e5..."),
];

impl Pattern {
    /// Reads `text`, or reports what is wrong with it.
    pub(crate) fn read(text: &At<String>, report: &mut Report) -> Option<Self> {
        Self::parse(text)
            .map_err(|help| {
                report.error(text, format!("`{}` is not an identity", **text)).help(help);
            })
            .ok()
    }

    /// The error is advice.
    fn parse(text: &str) -> Result<Self, String> {
        let Some((kind, example)) = KINDS.iter().find(|(kind, _)| text.starts_with(kind)) else {
            let examples: Vec<_> =
                KINDS.iter().map(|(_, example)| format!("\"{example}\"")).collect();
            return Err(format!("write one such as {}", examples.join(", ")));
        };
        let rest = &text[kind.len()..];
        let like = || format!("write one such as \"{example}\"");
        if rest.is_empty() || !rest.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(like());
        }
        let lower = rest.to_ascii_lowercase();
        let rest: String = match *kind {
            "dns:" => match is_host_name(lower.strip_prefix("*.").unwrap_or(&lower)) {
                true => lower,
                false => return Err(like()),
            },
            "email:" => mailbox(rest).ok_or_else(like)?,
            "ip:" => rest.parse::<IpAddr>().map_err(|_| like())?.to_string(),
            "sha256:" => {
                let hex: String = lower.chars().filter(|&letter| letter != ':').collect();
                let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !is_hex {
                    return Err("write the SHA-256 of the certificate: 64 digits in hex".to_owned());
                }
                hex
            }
            "spiffe://" => {
                let id = text.strip_suffix("/*").unwrap_or(text);
                if !is_spiffe(id) {
                    return Err("write a trust domain in small letters and a path, which may end \
                                in `/*`"
                        .to_owned());
                }
                rest.to_owned()
            }
            _ => rest.to_owned(),
        };
        Self::split(kind, &rest).ok_or_else(|| {
            "`*` may stand for what is before the first `.` or `@`, or behind the last `/`"
                .to_owned()
        })
    }

    fn split(kind: &str, rest: &str) -> Option<Self> {
        let Some((before, behind)) = rest.split_once('*') else {
            return Some(Self { start: format!("{kind}{rest}").into(), end: None });
        };
        let fits = match kind {
            "dns:" => before.is_empty() && behind.starts_with('.'),
            "email:" => before.is_empty() && behind.starts_with('@'),
            "spiffe://" | "uri:" => before.ends_with('/') && behind.is_empty(),
            _ => false,
        };
        let once = !behind.contains('*');
        let start = format!("{kind}{before}").into();
        (fits && once).then(|| Self { start, end: Some(behind.into()) })
    }

    fn matches(&self, name: &str) -> bool {
        match &self.end {
            None => *name == *self.start,
            Some(end) => {
                name.len() > self.start.len() + end.len()
                    && name.starts_with(&*self.start)
                    && name.ends_with(&**end)
            }
        }
    }

    /// The name of `identity` that is meant, if any is.
    pub(crate) fn find<'i>(&self, identity: &'i Identity) -> Option<&'i str> {
        identity.names.iter().map(|name| &**name).find(|name| self.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn names_are_written_in_one_way_and_odd_ones_not_at_all() {
        let web = Certificate {
            uris: owned(&["spiffe://example.org/ns/prod/web"]),
            hosts: owned(&["Web.Example.com", "*.example.com", "a b", "a\0.example.com"]),
            emails: owned(&["Ann@Example.COM", "nobody", "a\r\nX: y@example.com"]),
            addresses: vec![[192, 0, 2, 1].into()],
            common_name: Some("web".to_owned()),
            fingerprint: [7; 32],
        };
        let ambiguous = Certificate {
            uris: owned(&["spiffe://example.org/a", "spiffe://example.org/b", "x y"]),
            common_name: Some(" padded".to_owned()),
            ..Certificate::default()
        };
        let odd = Certificate {
            uris: owned(&["spiffe://Example.org/a"]),
            common_name: Some("spiffe://example.org/a".to_owned()),
            ..Certificate::default()
        };
        let mut text = String::new();
        for certificate in [&web, &ambiguous, &odd, &Certificate::default()] {
            text += &format!("{:?}\n", names(certificate));
        }
        expect![[r#"
            ["spiffe://example.org/ns/prod/web", "dns:web.example.com", "dns:*.example.com", "email:Ann@example.com", "ip:192.0.2.1", "cn:web", "sha256:0707070707070707070707070707070707070707070707070707070707070707"]
            ["uri:spiffe://example.org/a", "uri:spiffe://example.org/b", "sha256:0000000000000000000000000000000000000000000000000000000000000000"]
            ["uri:spiffe://Example.org/a", "cn:spiffe://example.org/a", "sha256:0000000000000000000000000000000000000000000000000000000000000000"]
            ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
        "#]].assert_eq(&text);
    }

    #[test]
    fn services_are_told_as_much_as_is_asked_for() {
        let certificate =
            Certificate { common_name: Some("web".to_owned()), ..Certificate::default() };
        let mut text = String::new();
        for told in [Told::Identity, Told::Certificate, Told::Chain] {
            let identity = Identity::new(&certificate, &[b"own", b"between", b"root"], told);
            text += &format!("{told:?}\n{}", String::from_utf8_lossy(identity.lines()));
        }
        let identity = Identity::new(&certificate, &[b"own"], Told::Chain);
        text += &String::from_utf8_lossy(identity.lines());
        let text = text.replace('\r', "");
        expect![[r#"
            Identity
            X-Client-Identity: cn:web
            Certificate
            X-Client-Identity: cn:web
            Client-Cert: :b3du:
            Chain
            X-Client-Identity: cn:web
            Client-Cert: :b3du:
            Client-Cert-Chain: :YmV0d2Vlbg==:, :cm9vdA==:
            X-Client-Identity: cn:web
            Client-Cert: :b3du:
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn patterns_match_what_they_say() {
        let names = [
            "spiffe://example.org",
            "spiffe://example.org/ns/prod",
            "spiffe://example.org/ns/prod/web",
            "spiffe://example.org/ns/prod/web/1",
            "spiffe://example.org/ns/production",
            "spiffe://example.org.evil.com/ns/prod/web",
            "dns:example.com",
            "dns:a.example.com",
            "dns:b.a.example.com",
            "dns:evilexample.com",
            "email:ann@example.com",
            "email:ann@example.com.evil.com",
            "cn:a.example.com",
            "ip:192.0.2.1",
            "sha256:0707070707070707070707070707070707070707070707070707070707070707",
        ];
        let mut text = String::new();
        for pattern in [
            "spiffe://example.org",
            "spiffe://example.org/*",
            "spiffe://example.org/ns/prod/*",
            "dns:*.Example.com",
            "dns:a.example.com",
            "email:*@Example.com",
            "ip:192.0.2.1",
            "cn:a.example.com",
            "sha256:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07",
        ] {
            let read = Pattern::parse(pattern).expect("a good pattern");
            let found = names.iter().filter(|name| read.matches(name));
            text +=
                &format!("{pattern}\n    {}\n", found.copied().collect::<Vec<_>>().join("\n    "));
        }
        expect![[r#"
            spiffe://example.org
                spiffe://example.org
            spiffe://example.org/*
                spiffe://example.org/ns/prod
                spiffe://example.org/ns/prod/web
                spiffe://example.org/ns/prod/web/1
                spiffe://example.org/ns/production
            spiffe://example.org/ns/prod/*
                spiffe://example.org/ns/prod/web
                spiffe://example.org/ns/prod/web/1
            dns:*.Example.com
                dns:a.example.com
                dns:b.a.example.com
            dns:a.example.com
                dns:a.example.com
            email:*@Example.com
                email:ann@example.com
            ip:192.0.2.1
                ip:192.0.2.1
            cn:a.example.com
                cn:a.example.com
            sha256:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07
                sha256:0707070707070707070707070707070707070707070707070707070707070707
        "#]].assert_eq(&text);
    }

    #[test]
    fn patterns_that_say_nothing_are_refused_with_advice() {
        let mut text = String::new();
        for pattern in [
            "",
            "*",
            "web.example.com",
            "spiffe://",
            "spiffe://Example.org/a",
            "spiffe://example.org/a*",
            "spiffe://*/a",
            "spiffe://example.org/../a",
            "dns:",
            "dns:*",
            "dns:a.*.com",
            "dns:*.*.com",
            "email:*",
            "email:a@*",
            "ip:1.2.3",
            "cn:*",
            "cn:a\n",
            "sha256:00",
            "uri:*",
        ] {
            let advice = Pattern::parse(pattern).expect_err("a bad pattern");
            text += &format!("{pattern:?}: {advice}\n");
        }
        expect![[r#"
            "": write one such as "spiffe://example.org/ns/prod/*", "dns:*.example.com", "email:*@example.com", "uri:https://example.com/*", "ip:192.0.2.1", "cn:web", "sha256:d4e5..."
            "*": write one such as "spiffe://example.org/ns/prod/*", "dns:*.example.com", "email:*@example.com", "uri:https://example.com/*", "ip:192.0.2.1", "cn:web", "sha256:d4e5..."
            "web.example.com": write one such as "spiffe://example.org/ns/prod/*", "dns:*.example.com", "email:*@example.com", "uri:https://example.com/*", "ip:192.0.2.1", "cn:web", "sha256:d4e5..."
            "spiffe://": write one such as "spiffe://example.org/ns/prod/*"
            "spiffe://Example.org/a": write a trust domain in small letters and a path, which may end in `/*`
            "spiffe://example.org/a*": write a trust domain in small letters and a path, which may end in `/*`
            "spiffe://*/a": write a trust domain in small letters and a path, which may end in `/*`
            "spiffe://example.org/../a": write a trust domain in small letters and a path, which may end in `/*`
            "dns:": write one such as "dns:*.example.com"
            "dns:*": write one such as "dns:*.example.com"
            "dns:a.*.com": write one such as "dns:*.example.com"
            "dns:*.*.com": write one such as "dns:*.example.com"
            "email:*": write one such as "email:*@example.com"
            "email:a@*": `*` may stand for what is before the first `.` or `@`, or behind the last `/`
            "ip:1.2.3": write one such as "ip:192.0.2.1"
            "cn:*": `*` may stand for what is before the first `.` or `@`, or behind the last `/`
            "cn:a\n": write one such as "cn:web"
            "sha256:00": write the SHA-256 of the certificate: 64 digits in hex
            "uri:*": `*` may stand for what is before the first `.` or `@`, or behind the last `/`
        "#]].assert_eq(&text);
    }
}
