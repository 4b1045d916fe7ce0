//! The certificates that clients are shown, from wherever they come.
//!
//! Each [`Source`] says which it has, as often as it likes; all handshakes, of every worker and of
//! QUIC, ask the one [`Certificates`].

pub(crate) mod files;
mod server;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::authority::Authority;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureAlgorithm};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use files::InFiles;
pub(crate) use server::{Https, TlsServer};

/// Where certificates come from. The order is that in which the first one is looked for, which is
/// shown to clients that name nobody, or nobody known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Files that the configuration names.
    Files,
    /// An authority that speaks ACME.
    Acme,
}

/// How many sources there are.
const SOURCES: usize = Source::ALL.len();

impl Source {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 2] = [Self::Files, Self::Acme];

    /// The label of metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Acme => "acme",
        }
    }
}

/// A certificate with its chain and its key, and what people want to know of it.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// The names that it is for, in lower case: of hosts, `*.example.com` included, and addresses.
    pub(crate) names: Box<[Box<str>]>,
    pub(crate) issuer: Box<str>,
    /// Seconds since 1970.
    pub(crate) not_before_unix: i64,
    /// Seconds since 1970.
    pub(crate) not_after_unix: i64,
    /// Where it comes from, as its source would say it: the name of a file.
    pub(crate) origin: Box<str>,
}

impl Certificate {
    /// Reads what the first certificate of `key` says.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn new(key: CertifiedKey, origin: &str) -> Result<Self, String> {
        let leaf = key.cert.first().ok_or("there is no certificate")?;
        let (_, leaf) = X509Certificate::from_der(leaf)
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        Ok(Self {
            names: names.filter_map(name).collect(),
            issuer: issuer(&leaf).into(),
            not_before_unix: leaf.validity().not_before.timestamp(),
            not_after_unix: leaf.validity().not_after.timestamp(),
            origin: origin.into(),
            key: Arc::new(key),
        })
    }

    /// Why clients will refuse it at `unix` seconds, if they will.
    pub(crate) fn oddity(&self, unix: u64) -> Option<String> {
        let now = i64::try_from(unix).unwrap_or(i64::MAX);
        if self.names.is_empty() {
            return Some("the certificate is for no name (it has no subjectAltName)".to_owned());
        }
        if self.not_after_unix < now {
            return Some(format!("the certificate expired on {}", day(self.not_after_unix)));
        }
        let early = self.not_before_unix > now;
        early.then(|| format!("the certificate begins on {}", day(self.not_before_unix)))
    }

    /// Which of two certificates for one name is better, if a client takes both: signatures with
    /// elliptic curves cost a tenth; then the one that is valid for longer.
    fn rank(&self) -> (bool, std::cmp::Reverse<i64>) {
        let is_rsa = self.key.key.algorithm() == SignatureAlgorithm::RSA;
        (is_rsa, std::cmp::Reverse(self.not_after_unix))
    }

    /// Whether the client can check what this one's key signs.
    fn suits(&self, hello: &ClientHello<'_>) -> bool {
        let is_rsa = self.key.key.algorithm() == SignatureAlgorithm::RSA;
        let fits = |suite: &CipherSuite| match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => true,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => is_rsa,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => !is_rsa,
            _ => false,
        };
        hello.cipher_suites().iter().any(fits)
            && self.key.key.choose_scheme(hello.signature_schemes()).is_some()
    }
}

/// A time in seconds since 1970, as people read it.
pub(crate) fn day(unix: i64) -> String {
    let since = std::time::Duration::from_secs(unix.max(0).cast_unsigned());
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + since)
}

fn name(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(std::net::IpAddr::from),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(std::net::IpAddr::from),
            };
            address.map(|address| address.to_string().into())
        }
        _ => None,
    }
}

/// Who signed it: its common name where it has one.
fn issuer(certificate: &X509Certificate<'_>) -> String {
    let issuer = certificate.issuer();
    let common = issuer.iter_common_name().next().and_then(|name| name.as_str().ok());
    common.map_or_else(|| issuer.to_string(), ToOwned::to_owned)
}

/// All certificates there are at the moment.
#[derive(Debug, Default)]
pub(crate) struct Certificates(RwLock<Arc<Table>>);

/// By which certificates are found. Replaced as a whole.
#[derive(Clone, Debug, Default)]
struct Table {
    sources: [Vec<Arc<Certificate>>; SOURCES],
    /// What is wrong with certificates that are not used therefore.
    problems: [Vec<String>; SOURCES],
    /// Each name's certificates, the best first.
    by_name: HashMap<Box<str>, Vec<Arc<Certificate>>>,
    /// Of the first certificate's first name.
    default: Vec<Arc<Certificate>>,
    /// Makes one for whoever asks for a name that has none.
    local: Option<Arc<Authority>>,
    /// What certificate authorities want to see (RFC 8737), by name.
    challenges: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl Certificates {
    /// From now on `source` has these, and no others.
    pub(crate) fn set(&self, source: Source, certificates: Vec<Arc<Certificate>>) {
        self.change(|table| {
            table.sources[source as usize] = certificates;
            table.index();
        });
    }

    /// From now on a certificate authority that looks for a challenge for `name` (TLS-ALPN-01, RFC 8737)
    /// is shown `key`; with `None` no longer.
    pub(crate) fn challenge(&self, name: &str, key: Option<Arc<CertifiedKey>>) {
        let name = name.to_ascii_lowercase().into_boxed_str();
        self.change(|table| match key {
            Some(key) => drop(table.challenges.insert(name, key)),
            None => drop(table.challenges.remove(&name)),
        });
    }

    /// From now on these are the problems that `source` has with its certificates.
    pub(crate) fn set_problems(&self, source: Source, problems: Vec<String>) {
        self.change(|table| table.problems[source as usize] = problems);
    }

    /// What is wrong, by source.
    pub(crate) fn problems(&self) -> Vec<(Source, String)> {
        let table = self.table();
        let of = |source: Source| {
            let problems = table.problems[source as usize].iter();
            problems.map(|problem| (source, problem.clone())).collect::<Vec<_>>()
        };
        Source::ALL.into_iter().flat_map(of).collect()
    }

    /// From now on the certificates of files are these.
    pub(crate) fn set_files(&self, files: &[InFiles]) {
        self.set(Source::Files, files.iter().map(|file| Arc::clone(&file.current)).collect());
        let problems = files.iter().filter_map(|file| file.problem.clone());
        self.set_problems(Source::Files, problems.collect());
    }

    /// Takes away what authorities are shown.
    pub(crate) fn clear_challenges(&self) {
        self.change(|table| table.challenges.clear());
    }

    /// From now on, names that have none get one of this authority.
    pub(crate) fn set_local(&self, local: Option<Arc<Authority>>) {
        self.change(|table| table.local = local);
    }

    /// The authority of [`Self::set_local`].
    pub(crate) fn local(&self) -> Option<Arc<Authority>> {
        self.table().local.clone()
    }

    /// The best certificate for `name`, in lower case, and whether it is for that name; clients may have
    /// to take another one.
    pub(crate) fn find(&self, name: &str) -> Option<(Arc<Certificate>, bool)> {
        let table = self.table();
        let named = table.find(name);
        let first = named.unwrap_or(&table.default).first()?;
        Some((Arc::clone(first), named.is_some()))
    }

    /// All of them, by source.
    pub(crate) fn all(&self) -> Vec<Arc<Certificate>> {
        self.table().sources.iter().flatten().cloned().collect()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the table: handshakes wait for the exchange of a pointer only. Sources are few, and
    /// of one thread.
    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = Table::clone(&self.table());
        change(&mut table);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }
}

impl Table {
    fn index(&mut self) {
        self.by_name.clear();
        for certificate in self.sources.iter().flatten() {
            for name in &certificate.names {
                let of_name = self.by_name.entry(name.clone()).or_default();
                of_name.push(Arc::clone(certificate));
                of_name.sort_by_key(|certificate| certificate.rank());
            }
        }
        let first = self.sources.iter().flatten().next();
        self.default = match first {
            None => Vec::new(),
            Some(first) => match first.names.first().and_then(|name| self.by_name.get(name)) {
                Some(same) => same.clone(),
                None => vec![Arc::clone(first)],
            },
        };
    }

    /// The certificates for `name`: its own, or those of all names beside it.
    fn find(&self, name: &str) -> Option<&[Arc<Certificate>]> {
        if let Some(found) = self.by_name.get(name) {
            return Some(found);
        }
        let (_, parent) = name.split_once('.')?;
        self.by_name.get(&*format!("*.{parent}")).map(Vec::as_slice)
    }
}

/// The protocol in which a certificate authority looks for a challenge.
const ACME_TLS: &[u8] = b"acme-tls/1";

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table();
        if hello.alpn().is_some_and(|mut protocols| protocols.any(|one| one == ACME_TLS)) {
            return table.challenges.get(hello.server_name()?).cloned();
        }
        let named = hello.server_name().and_then(|name| table.find(name));
        if named.is_none()
            && let Some(local) = &table.local
        {
            return local.find(hello.server_name());
        }
        let candidates = named.unwrap_or(&table.default);
        let suitable = candidates.iter().find(|certificate| certificate.suits(&hello));
        suitable.or(candidates.first()).map(|certificate| Arc::clone(&certificate.key))
    }
}

#[cfg(test)]
mod tests;
