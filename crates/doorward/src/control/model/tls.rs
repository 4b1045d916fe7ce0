//! TLS with clients.

use config::{At, Period, Report};
use rules::secure::{self, Secure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use rules::identity::Told;

use super::{Acme, Listen, Purpose};

/// TLS with clients of `[listen] https`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// Certificates in files. A client gets the one for the name that it asks for; a client that asks
    /// for none, or for one that nobody has, gets the first. For one name there may be several, such as
    /// one with an RSA key for old clients: a client gets what it can check. Files that change are read
    /// again by themselves.
    pub(crate) certificates: Vec<Certificate>,
    /// Certificates from an authority, which renew themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acme: Option<At<Acme>>,
    /// The oldest version that clients may use.
    pub(crate) min_version: TlsVersion,
    /// Redirects requests that come without TLS to HTTPS, at this port of the same host: `443`, or
    /// whatever port clients reach HTTPS at. Certificate authorities, which ask below
    /// `/.well-known/acme-challenge/`, are let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redirect: Option<At<u16>>,
    /// Asks browsers to come by HTTPS only (`Strict-Transport-Security`): `{ max-age = "180d" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hsts: Option<At<Hsts>>,
}

/// Strict transport security (RFC 6797): browsers that heard of it do not come without TLS any more,
/// and take no certificate that is wrong.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Hsts {
    /// For how long, from the last response on. `"0s"` takes it back.
    pub(crate) max_age: At<Period>,
    /// Whether it holds for all hosts below this one, too.
    pub(crate) include_subdomains: bool,
    /// Whether the host may be put on the lists that browsers are shipped with; it takes
    /// `include-subdomains` and a year.
    pub(crate) preload: At<bool>,
}

impl Default for Hsts {
    fn default() -> Self {
        let max_age = Period::from_secs(180 * 86_400).into();
        Self { max_age, include_subdomains: false, preload: false.into() }
    }
}

impl Tls {
    pub(super) fn check(&self, report: &mut Report) {
        if let Some(port) = &self.redirect {
            report.within("redirect", port, 1..=65_535);
        }
        let Some(hsts) = &self.hsts else {
            return;
        };
        let year = Period::from_secs(365 * 86_400);
        report.within(
            "max-age",
            &hsts.max_age,
            Period::ZERO..=Period::from_secs(10 * 365 * 86_400),
        );
        if *hsts.preload && !(hsts.include_subdomains && *hsts.max_age >= year) {
            report
                .error(&hsts.preload, "browsers preload only hosts that mean it")
                .help("add `include-subdomains = true`, and `max-age = \"365d\"` or more");
        }
    }

    /// What is said to clients about TLS.
    pub(crate) fn secure(&self) -> Secure {
        Secure {
            redirect: self.redirect.as_deref().copied(),
            hsts: self.hsts.as_ref().map(|hsts| secure::Hsts {
                max_age: *hsts.max_age,
                include_subdomains: hsts.include_subdomains,
                preload: *hsts.preload,
            }),
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum TlsVersion {
    /// Of 2008. Only its cipher suites with forward secrecy and authenticated encryption are used.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// Of 2018.
    #[serde(rename = "1.3")]
    V1_3,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Certificate {
    /// The file of the certificate in PEM, relative to this one; the certificates of its chain stand
    /// below it.
    pub(crate) cert: At<String>,
    /// The file of its private key in PEM, not encrypted.
    pub(crate) key: At<String>,
}

/// What is asked of clients at a listener: a certificate. It is checked at the handshake, and a wrong
/// one is refused there, whatever routes say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ClientCertificate {
    /// The file of the authorities whose certificates are taken, in PEM, relative to this one.
    pub(crate) roots: At<String>,
    /// Files of revocation lists, in PEM or DER. With any, each authority up to the root needs one that
    /// has not expired, or its certificates are refused. Files that change are read again by
    /// themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) crls: Vec<At<String>>,
    /// Whether clients without a certificate are refused at the handshake. If not, routes decide, by
    /// `client-certificate`.
    #[serde(default = "required")]
    pub(crate) required: At<bool>,
    /// What services are told of a client: who it is (`X-Client-Identity`), besides its certificate
    /// (`Client-Cert` of RFC 9440), besides the certificates that lead to its authority
    /// (`Client-Cert-Chain`).
    #[serde(default)]
    pub(crate) forward: Told,
}

impl ClientCertificate {
    /// All files that it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.roots).chain(&self.crls).map(|file| file.as_str())
    }
}

fn required() -> At<bool> {
    At::from(true)
}

impl Tls {
    /// Whether certificates come from anywhere.
    fn has_source(&self) -> bool {
        !self.certificates.is_empty() || self.acme.is_some()
    }
}

/// Reports listeners for HTTPS that have no certificate to show, and what is at odds with them.
pub(super) fn check_together(
    tls: Option<&At<Tls>>,
    listen: &Listen,
    purpose: Purpose,
    report: &mut Report,
) {
    if let Some(acme) = tls.and_then(|tls| tls.acme.as_ref()) {
        Acme::check_together(acme, listen, report);
    }
    let Some(https) = listen.https.as_ref().filter(|https| !https.0.is_empty()) else {
        return;
    };
    if tls.is_some_and(|tls| tls.has_source()) {
        return;
    }
    let help = "write `[tls.acme]` with `accept-terms = true`, or `[tls]` with `certificates = [{ cert \
                = \"FILE\", key = \"FILE\" }]`";
    match purpose {
        Purpose::Develop => {}
        Purpose::Look => {
            report
                .warning(
                    https,
                    "`https` has no certificate to show: only `doorward dev` makes its own",
                )
                .help(help);
        }
        Purpose::Run => {
            report.error(https, "`https` has no certificate to show").help(help);
        }
    }
}
