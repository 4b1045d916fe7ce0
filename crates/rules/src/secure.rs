//! What a front door with HTTPS says to those who come without TLS, and to those who came with it.

use config::Period;
use wire::h1::Malformed;
use wire::{Method, RequestHead, ResponseHead};

use crate::{Cx, Fault, Reply};

/// Whether clients are led to HTTPS, and told to stay there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secure {
    /// The port of HTTPS as clients see it, to which requests without TLS are redirected.
    pub redirect: Option<u16>,
    /// How long browsers are to use HTTPS only (RFC 6797).
    pub hsts: Option<Hsts>,
}

/// Strict transport security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// For how long, from each response on.
    pub max_age: Period,
    /// Whether this holds for hosts below this one, too.
    pub include_subdomains: bool,
    /// Whether the host may be put on the lists that browsers are shipped with.
    pub preload: bool,
}

/// Where certificate authorities look for proofs; they ask without TLS (RFC 8555, 8.3).
const ACME: &[u8] = b"/.well-known/acme-challenge/";

/// The field that asks browsers to use HTTPS only.
const HSTS: &str = "strict-transport-security";

impl Secure {
    /// The way to HTTPS, for a request that came without.
    #[inline]
    pub(crate) fn redirect(&self, head: &RequestHead, cx: &mut Cx) -> Option<Result<Reply, Fault>> {
        let port = self.redirect.filter(|_| !cx.https)?;
        if head.asked_path().starts_with(ACME) {
            cx.record("redirect", "pass", "certificate authorities ask without TLS");
            return None;
        }
        let host = without_port(head.authority());
        if host.is_empty() {
            return Some(Err(Fault::Malformed(Malformed::HostMissing)));
        }
        let mut location = b"https://".to_vec();
        location.extend_from_slice(host);
        if port != 443 {
            location.extend_from_slice(format!(":{port}").as_bytes());
        }
        head.write_target(&mut location);
        cx.note("status", 308);
        cx.record("redirect", "reply", "the request came without TLS");
        Some(Ok(Reply::status(308).header("location", location)))
    }

    /// Appends the line that keeps browsers with HTTPS, to an answer to a request that came by it; one
    /// that the service wrote stays instead.
    #[inline]
    pub fn append(&self, response: &ResponseHead, cx: &Cx, out: &mut Vec<u8>) {
        if let Some(hsts) = &self.hsts
            && cx.https
            && response.fields.get_named(HSTS).is_none()
        {
            let Hsts { max_age, include_subdomains, preload } = hsts;
            out.extend_from_slice(b"Strict-Transport-Security: max-age=");
            out.extend_from_slice(max_age.as_secs().to_string().as_bytes());
            for (said, text) in
                [(include_subdomains, "; includeSubDomains"), (preload, "; preload")]
            {
                if *said {
                    out.extend_from_slice(text.as_bytes());
                }
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether a proxy that is believed says of the request that it came in early data, and doing it twice
/// could matter (RFC 8470, 5.1).
///
/// # Errors
/// Then, that it came too early.
pub fn check_early(head: &RequestHead) -> Result<(), Fault> {
    let safe = matches!(head.method, Method::Get | Method::Head | Method::Options);
    match !safe && head.fields.get_named("early-data") == Some(b"1") {
        true => Err(Fault::TooEarly),
        false => Ok(()),
    }
}

fn without_port(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|&byte| byte == b':');
    match colon {
        // The colons of an IPv6 address stand in brackets.
        Some(at) if !authority[at..].contains(&b']') => &authority[..at],
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::expect;

    use super::*;
    use crate::harness::{cx, head};

    #[test]
    fn who_comes_without_tls_is_led_to_it() {
        let mut out = String::new();
        for (port, line) in [
            (443, "GET a.test /p?q=1"),
            (8443, "POST a.test:8080 /p%20q"),
            (443, "GET [::1]:8080 /"),
            (443, "GET [::1] /"),
            (443, "GET a.test /.well-known/acme-challenge/token"),
            (443, "GET a.test /.well-known/acme-challenge"),
            (443, "GET - /"),
        ] {
            let secure = Secure { redirect: Some(port), hsts: None };
            let (head, mut cx) = (head(line), cx());
            let outcome = match secure.redirect(&head, &mut cx) {
                None => "goes on".to_owned(),
                Some(Err(fault)) => fault.slug().to_owned(),
                Some(Ok(reply)) => {
                    let (_, location) = &reply.fields[0];
                    format!("{} {}", reply.status, String::from_utf8_lossy(location))
                }
            };
            let _ = writeln!(out, "{line} => {outcome}");
            cx.https = true;
            assert!(secure.redirect(&head, &mut cx).is_none(), "{line}");
        }
        expect![[r#"
            GET a.test /p?q=1 => 308 https://a.test/p?q=1
            POST a.test:8080 /p%20q => 308 https://a.test:8443/p%20q
            GET [::1]:8080 / => 308 https://[::1]/
            GET [::1] / => 308 https://[::1]/
            GET a.test /.well-known/acme-challenge/token => goes on
            GET a.test /.well-known/acme-challenge => 308 https://a.test/.well-known/acme-challenge
            GET - / => malformed
        "#]]
        .assert_eq(&out);
    }

    #[test]
    fn only_answers_by_https_say_that_it_is_to_stay() {
        let hsts =
            Hsts { max_age: Period::from_secs(86_400), include_subdomains: true, preload: false };
        let secure = Secure { redirect: None, hsts: Some(hsts) };
        let (mut response, mut cx, mut out) = (ResponseHead::new(200), cx(), Vec::new());
        secure.append(&response, &cx, &mut out);
        assert_eq!(out, b"");
        cx.https = true;
        secure.append(&response, &cx, &mut out);
        assert_eq!(out, b"Strict-Transport-Security: max-age=86400; includeSubDomains\r\n");
        out.clear();
        response.fields.push("Strict-Transport-Security", b"max-age=1");
        secure.append(&response, &cx, &mut out);
        assert_eq!(out, b"");
    }

    #[test]
    fn what_must_not_be_done_twice_may_not_come_early() {
        for (line, early) in [
            ("POST a.test / Early-Data: 1", true),
            ("DELETE a.test / early-data: 1", true),
            ("GET a.test / Early-Data: 1", false),
            ("POST a.test / Early-Data: 0", false),
            ("POST a.test /", false),
        ] {
            assert_eq!(check_early(&head(line)).is_err(), early, "{line}");
        }
    }
}
