//! Certificates from an authority (ACME).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use config::{At, Report, Secret};
use rules::acme::{Challenge, wrong_name};
use rules::route::OneOrMany;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Listen;

/// Certificates from an authority that speaks ACME (RFC 8555): ordered, and renewed when two thirds
/// of their life are over or when the authority says so.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Acme {
    /// The authority: `"letsencrypt"`, `"letsencrypt-staging"` for trying out, or the URL of its
    /// directory.
    pub(crate) directory: At<String>,
    /// Whether you accept the authority's terms of service. Without that nothing is asked of it.
    pub(crate) accept_terms: bool,
    /// Where the authority may write to: an e-mail address, or several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) contact: Option<At<OneOrMany>>,
    /// The names to be certified: for each a certificate of its own, and for several in an array one
    /// together: `["a.example", ["b.example", "www.b.example"]]`. Default: the hosts of all routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) names: Option<At<Vec<At<OneOrMany>>>>,
    /// How the authority is shown that a name leads here: `"http-01"` by an answer on port 80,
    /// `"tls-alpn-01"` in a handshake on port 443, `"dns-01"` by a record that `dns-hook` writes.
    /// Wildcards take `"dns-01"`.
    pub(crate) challenge: At<Challenge>,
    /// The command that writes and removes records of DNS. It is called with `add NAME VALUE`, and
    /// returns when the TXT record can be seen, and later with `remove NAME VALUE`. Words are split as
    /// in a shell, and no shell runs. A relative path is relative to the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns_hook: Option<At<String>>,
    /// An account that the authority has given you elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) external_account: Option<At<ExternalAccount>>,
    /// A file of the certificates, in PEM, by which the authority itself is verified, relative to the
    /// configuration file. Default: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<At<String>>,
    /// The kind of key that certificates are for.
    pub(crate) key: KeyKind,
    /// Where the account, keys and certificates are kept, relative to the configuration file: a folder
    /// that only this user can read.
    pub(crate) state: At<String>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: "letsencrypt".to_owned().into(),
            accept_terms: false,
            contact: None,
            names: None,
            challenge: Challenge::default().into(),
            dns_hook: None,
            external_account: None,
            roots: None,
            key: KeyKind::default(),
            state: ".doorward/acme".to_owned().into(),
        }
    }
}

/// An account that the authority has given you elsewhere (RFC 8555, 7.3.4).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExternalAccount {
    /// Its id.
    pub(crate) id: String,
    /// Its key, in base64url as the authority gave it, best from the environment:
    /// `"${ACME_EAB_KEY}"`.
    pub(crate) key: At<Secret>,
}

/// A kind of key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyKind {
    /// ECDSA on P-256: small and fast, and every client has it.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA of 2048 bits, for clients from before 2012.
    Rsa2048,
    /// RSA of 4096 bits.
    Rsa4096,
}

/// The directories that have a name.
const DIRECTORIES: [(&str, &str); 2] = [
    ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
];

/// Names in one certificate; public authorities take no more.
const NAMES_MAX: usize = 100;

impl Acme {
    /// The URL of the directory.
    pub(crate) fn directory_url(&self) -> &str {
        let named = DIRECTORIES.iter().find(|(name, _)| **name == **self.directory);
        named.map_or(&**self.directory, |(_, url)| url)
    }

    /// Reports what is wrong with the values themselves; the table stands at `at`.
    pub(super) fn check(at: &At<Self>, report: &mut Report) {
        if !at.accept_terms {
            report
                .error(at, "the terms of the authority are not accepted")
                .help("read them, then write `accept-terms = true`");
        }
        at.check_directory(report);
        for name in at.contact.iter().flat_map(|contact| &contact.0) {
            let plain = name.strip_prefix("mailto:").unwrap_or(name);
            if !plain.contains('@') || plain.contains(char::is_whitespace) {
                report
                    .error(name, format!("`{name}` is not an e-mail address"))
                    .help("write one such as \"ops@example.com\"");
            }
        }
        if let Some(names) = &at.names {
            at.check_names(names, report);
        }
        at.check_hook(report);
        if let Some(account) = &at.external_account
            && eab_key(&account.key).is_none()
        {
            report
                .error(&account.key, "this key is not in base64url")
                .help("write it as the authority gave it");
        }
        if at.state.is_empty() {
            report.error(&at.state, "`state` is empty").help("name a folder, or leave it out");
        }
    }

    fn check_directory(&self, report: &mut Report) {
        let url = self.directory_url();
        let host = url.strip_prefix("https://").map(|rest| rest.split('/').next());
        if host.flatten().is_none_or(|host| host.parse::<http::uri::Authority>().is_err()) {
            report
                .error(&self.directory, format!("`{url}` is not the directory of an authority"))
                .help("write \"letsencrypt\", \"letsencrypt-staging\", or a URL with `https://`");
        }
    }

    fn check_names(&self, names: &At<Vec<At<OneOrMany>>>, report: &mut Report) {
        if names.is_empty() {
            report
                .error(names, "`names = []` certifies nothing")
                .help("list the names, or leave it out for the hosts of all routes");
        }
        let mut seen: Vec<&At<String>> = Vec::new();
        for together in names.iter() {
            if together.0.len() > NAMES_MAX {
                report
                    .error(together, format!("a certificate has at most {NAMES_MAX} names"))
                    .help("make several of it");
            }
            for name in &together.0 {
                let place = if name.place().is_none() { together.place() } else { name.place() };
                if let Some(help) = wrong_name(name, *self.challenge) {
                    let message =
                        format!("`{name}` cannot be certified by `{}`", self.challenge.name());
                    report.error(place, message).help(help);
                }
                if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                    report.error(place, format!("`{name}` is to be certified twice"));
                }
                seen.push(name);
            }
        }
    }

    fn check_hook(&self, report: &mut Report) {
        match (&self.dns_hook, *self.challenge) {
            (None, Challenge::Dns01) => {
                report
                    .error(&self.challenge, "`dns-01` takes a command that writes to DNS")
                    .help("add `dns-hook = \"...\"`");
            }
            (Some(hook), Challenge::Dns01) if self.hook().is_none() => {
                report
                    .error(hook, "this is not a command")
                    .help("words are split as in a shell: look at the quotes");
            }
            (Some(hook), Challenge::Http01 | Challenge::TlsAlpn01) => {
                report
                    .error(hook, "`dns-hook` is used by `dns-01` only")
                    .help("add `challenge = \"dns-01\"`, or remove it");
            }
            _ => {}
        }
    }

    /// The words of the hook.
    pub(crate) fn hook(&self) -> Option<Vec<String>> {
        let words = shlex::split(self.dns_hook.as_deref()?)?;
        (!words.is_empty()).then_some(words)
    }

    /// Reports a challenge that nobody here can answer.
    pub(super) fn check_together(at: &At<Self>, listen: &Listen, report: &mut Report) {
        // A default stands nowhere.
        let place = |challenge: &At<Challenge>| match challenge.place().is_none() {
            true => at.place(),
            false => challenge.place(),
        };
        if *at.challenge == Challenge::Http01 && listen.http.0.is_empty() {
            report
                .error(place(&at.challenge), "`http-01` is answered on an `http` listener, and there is none")
                .help("add `http = \"0.0.0.0:80\"` to `[listen]`, or take `challenge = \"tls-alpn-01\"`");
        }
        if listen.https.is_none() {
            report
                .error(at, "there is no `https` listener to use the certificates")
                .help("add `https = \"0.0.0.0:443\"` to `[listen]`");
        }
    }
}

/// The bytes of an external account's key.
pub(crate) fn eab_key(key: &Secret) -> Option<Vec<u8>> {
    let text = key.reveal().trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| !bytes.is_empty())
}
