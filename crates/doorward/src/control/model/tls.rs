//! TLS with clients.

use config::{At, Report};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Listen;

/// TLS with clients of `[listen] https`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// Certificates in files. A client gets the one for the name that it asks for; a client that asks
    /// for none, or for one that nobody has, gets the first. For one name there may be several, such as
    /// one with an RSA key for old clients: a client gets what it can check. Files that change are read
    /// again by themselves.
    pub(crate) certificates: Vec<Certificate>,
    /// The oldest version that clients may use.
    pub(crate) min_version: TlsVersion,
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

/// Reports listeners for HTTPS that have no certificate to show.
pub(super) fn check_together(tls: Option<&At<Tls>>, listen: &Listen, report: &mut Report) {
    let has_source = tls.is_some_and(|tls| !tls.certificates.is_empty());
    if let Some(https) = listen.https.as_ref().filter(|https| !https.0.is_empty())
        && !has_source
    {
        report
            .error(https, "`https` has no certificate to show")
            .help("write `[tls]` with `certificates = [{ cert = \"FILE\", key = \"FILE\" }]`");
    }
}
