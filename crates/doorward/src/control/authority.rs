//! Doorward's own authority on the machine of a developer: one root for each user, and certificates
//! made from it as clients ask for names.
//!
//! The root can certify nothing that is on the internet (decision 016): whoever trusts it gives
//! nobody power over real names, even if its key is stolen.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SerialNumber,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::acme::make_private;
use super::certificates::{Certificate, Certificates};
use super::compile;
use super::load::Compiled;
use super::model::Config;
use super::run::unix_now;
use crate::observe::log;

/// The file of the root and its key, in the user's folder for data.
const FILE: &str = "authority.pem";

/// How long the root is good for. Trusting a new one is work for people.
const ROOT_DAYS: u64 = 3650;

/// How long a certificate is good for, and when it is made anew at the latest. They cost nothing; one
/// that gets out is worth little.
const LEAF_LIFE: Duration = Duration::from_secs(7 * 86_400);
const LEAF_USED: Duration = Duration::from_secs(3 * 86_400);

/// Clocks of virtual machines and phones are late now and then.
const EARLY: Duration = Duration::from_secs(3600);

/// Certificates that are kept; the names are those of routes, of which a developer has few.
const KEPT_MAX: usize = 1024;

/// What the root can certify: names that lead nowhere but here (RFC 2606, 6761, 6762, 8375, ICANN's
/// `internal`), and addresses of private networks.
const NAMES: [&str; 10] = [
    "localhost",
    "test",
    "example",
    "invalid",
    "internal",
    "local",
    "home.arpa",
    "example.com",
    "example.net",
    "example.org",
];
const NETWORKS_V4: [([u8; 4], u8); 5] = [
    ([127, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
    ([169, 254, 0, 0], 16),
];
const LOOPBACK_V6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LOCAL_V6: [u8; 16] = [0xfc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const LINK_V6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The root as it is kept, for those who want to trust it.
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) der: CertificateDer<'static>,
    pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// Makes certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    /// All certificates are for this key, which is never written down.
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
    /// The names of routes, in lower case, wildcards included.
    hosts: Vec<String>,
    /// The addresses that are listened on.
    addresses: Vec<IpAddr>,
    made: Mutex<HashMap<String, Made>>,
}

struct Made {
    certified: Arc<CertifiedKey>,
    at: u64,
}

/// The user's folder for data.
///
/// # Errors
/// If the environment does not say where it is.
fn data_folder() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match (set("XDG_DATA_HOME"), set("HOME")) {
        (Some(data), _) => PathBuf::from(data),
        (None, Some(home)) => PathBuf::from(home).join(".local/share"),
        (None, None) => {
            return Err("the local authority has no place: set HOME, or XDG_DATA_HOME".to_owned());
        }
    };
    Ok(folder.join("doorward"))
}

impl Root {
    /// Where the root of this user is kept.
    ///
    /// # Errors
    /// As for the folder.
    pub(crate) fn place() -> Result<PathBuf, String> {
        data_folder().map(|folder| folder.join(FILE))
    }

    /// The root of this user, which is made if there is none, or if it has expired.
    ///
    /// # Errors
    /// What keeps it from being read or made, with what to do.
    pub(crate) fn open() -> Result<Self, String> {
        let path = Self::place()?;
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let folder = path.parent().unwrap_or(Path::new("."));
        make_private(folder).map_err(|error| {
            format!(
                "{} cannot be made: {error}; set XDG_DATA_HOME to another folder",
                folder.display()
            )
        })?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = make_root().map_err(|error| wrong(&error))?;
                keep(&path, &made).map_err(|error| wrong(&error))?;
                // Another process may have been first.
                fs::read_to_string(&path).map_err(|error| wrong(&error))?
            }
            Err(error) => return Err(wrong(&error)),
        };
        let root = Self::read(&path, text);
        match root {
            Ok(root) if !root.has_expired() => Ok(root),
            Ok(_) => {
                fs::remove_file(&path).map_err(|error| wrong(&error))?;
                Self::open()
            }
            Err(error) => Err(format!(
                "{}: {error}; remove it, and `doorward trust` the new one",
                path.display()
            )),
        }
    }

    fn read(path: &Path, pem: String) -> Result<Self, String> {
        KeyPair::from_pem(&pem).map_err(|error| format!("no key: {error}"))?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|error| format!("no certificate: {error}"))?;
        Ok(Self { path: path.to_owned(), der, pem })
    }

    fn has_expired(&self) -> bool {
        let signing = PrivateKeyDer::from_pem_slice(self.pem.as_bytes());
        let signing = signing.ok().and_then(|key| any_supported_type(&key).ok());
        let Some(signing) = signing else { return true };
        let certified = CertifiedKey::new(vec![self.der.clone()], signing);
        let now = i64::try_from(unix_now()).unwrap_or(i64::MAX);
        Certificate::new(certified, "").map_or(true, |root| root.not_after_unix <= now)
    }

    /// The certificate alone, in PEM.
    pub(crate) fn certificate_pem(&self) -> &str {
        let begin = self.pem.find("-----BEGIN CERTIFICATE-----");
        begin.map_or("", |begin| &self.pem[begin..])
    }
}

fn make_root() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(Vec::new())?;
    let user = std::env::var("USER").unwrap_or_else(|_| "this user".to_owned());
    let name = format!("Doorward local authority of {user}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted(), excluded_subtrees: Vec::new() });
    let now = SystemTime::now();
    params.not_before = (now - EARLY).into();
    params.not_after = (now + Duration::from_secs(ROOT_DAYS * 86_400)).into();
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

fn permitted() -> Vec<GeneralSubtree> {
    let names = NAMES.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned()));
    let v4 = NETWORKS_V4.iter().map(|(address, bits)| CidrSubnet::from_v4_prefix(*address, *bits));
    let v6 = [(LOOPBACK_V6, 128), (LOCAL_V6, 7), (LINK_V6, 10)];
    let v6 = v6.into_iter().map(|(address, bits)| CidrSubnet::from_v6_prefix(address, bits));
    names.chain(v4.chain(v6).map(GeneralSubtree::IpAddress)).collect()
}

/// Keeps `text` at `path`, unless there is something already.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Whether `config`, run by a developer, takes certificates of the local authority.
pub(crate) fn is_wanted(config: &Config) -> bool {
    config.listen.https.is_some()
        && config.tls.as_ref().is_none_or(|tls| tls.certificates.is_empty())
}

/// Has the local authority certify what `compiled` is for, if that takes its certificates; the root
/// then.
///
/// # Errors
/// What keeps the root from being read or made.
pub(crate) fn provide(
    compiled: &Compiled,
    certificates: &Certificates,
) -> Result<Option<Root>, String> {
    if !is_wanted(&compiled.config) {
        certificates.set_local(None);
        return Ok(None);
    }
    let before = certificates.local();
    let hosts = compile::local_names(compiled);
    let known = |host: &String| before.as_ref().is_some_and(|before| before.hosts.contains(host));
    for host in hosts.iter().filter(|host| !can_certify(host) && !known(host)) {
        log::warn(
            "authority",
            format!(
                "clients will not believe its certificate for {host}: it may certify only names that are \
                 reserved, such as those below `.test` or `.localhost`"
            ),
        );
    }
    let root = Root::open()?;
    let local = Authority::new(&root, hosts, compile::local_addresses(compiled))?;
    certificates.set_local(Some(Arc::new(local)));
    Ok(Some(root))
}

/// Whether the root may certify `name`: a host, or `*.` and a host.
pub(crate) fn can_certify(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    NAMES.iter().any(|below| {
        name.strip_suffix(below).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

impl Authority {
    /// An authority that certifies this machine, and `hosts`.
    ///
    /// # Errors
    /// As [`Root::open`].
    pub(crate) fn new(
        root: &Root,
        hosts: Vec<String>,
        addresses: Vec<IpAddr>,
    ) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("the local authority: {error}");
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        let key = key.map_err(|error| wrong(&error))?;
        let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signing = any_supported_type(&der).map_err(|error| wrong(&error))?;
        let root_key = KeyPair::from_pem(&root.pem).map_err(|error| wrong(&error))?;
        let der = root.der.clone();
        let issuer = Issuer::from_ca_cert_der(&der, root_key).map_err(|error| wrong(&error))?;
        let made = Mutex::default();
        Ok(Self { issuer, root: der, key, signing, hosts, addresses, made })
    }

    /// The certificate for `name`: one that is known here, or else for this machine.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name.filter(|name| self.knows(name)).unwrap_or("localhost");
        let now = unix_now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(name)
            && (known.at..known.at + LEAF_USED.as_secs()).contains(&now)
        {
            return Some(Arc::clone(&known.certified));
        }
        let certified = Arc::new(self.make(name).ok()?);
        if made.len() >= KEPT_MAX {
            made.clear();
        }
        made.insert(name.to_owned(), Made { certified: Arc::clone(&certified), at: now });
        Some(certified)
    }

    fn knows(&self, name: &str) -> bool {
        let covers = |host: &String| match host.strip_prefix("*.") {
            Some(rest) => name.strip_suffix(rest).is_some_and(|label| label.ends_with('.')),
            None => host == name,
        };
        name.ends_with(".localhost") || self.hosts.iter().any(covers)
    }

    fn make(&self, name: &str) -> Result<CertifiedKey, rcgen::Error> {
        let mut names = vec![name.to_owned()];
        if name == "localhost" {
            // Whoever names nobody has connected to an address.
            names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
            names.extend(self.addresses.iter().map(ToString::to_string));
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // They are for one key; browsers want each to have a number of its own.
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let now = SystemTime::now();
        params.not_before = (now - EARLY).into();
        params.not_after = (now + LEAF_LIFE).into();
        let leaf = params.signed_by(&self.key, &self.issuer)?;
        let chain = vec![leaf.der().clone(), self.root.clone()];
        Ok(CertifiedKey::new(chain, Arc::clone(&self.signing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_lead_nowhere_are_certified() {
        for name in ["localhost", "a.localhost", "shop.test", "*.example.com", "nas.home.arpa"] {
            assert!(can_certify(name), "{name}");
        }
        for name in ["example.de", "mytest", "localhost.com", "arpa", "notexample.com", "a.com"] {
            assert!(!can_certify(name), "{name}");
        }
    }

    #[test]
    fn certificates_are_made_for_what_is_known_here() {
        let pem = make_root().expect("a root");
        let root = Root::read(Path::new("here"), pem).expect("it reads back");
        assert!(!root.has_expired());
        assert!(root.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!root.certificate_pem().contains("PRIVATE"));
        let hosts = vec!["shop.test".to_owned(), "*.example.com".to_owned()];
        let authority = Authority::new(&root, hosts, vec!["10.0.0.1".parse().expect("one")]);
        let authority = authority.expect("an authority");
        let names = |asked: Option<&str>| {
            let found = authority.find(asked).expect("always one");
            let found = CertifiedKey::new(found.cert.clone(), Arc::clone(&found.key));
            Certificate::new(found, "").expect("a certificate").names.join(" ")
        };
        assert_eq!(names(None), "localhost 127.0.0.1 ::1 10.0.0.1");
        assert_eq!(names(Some("a.localhost")), "a.localhost");
        assert_eq!(names(Some("shop.test")), "shop.test");
        assert_eq!(names(Some("a.b.example.com")), "a.b.example.com");
        assert_eq!(names(Some("other.test")), "localhost 127.0.0.1 ::1 10.0.0.1");
        let again = [authority.find(None), authority.find(None)].map(|one| one.expect("one"));
        assert!(Arc::ptr_eq(&again[0], &again[1]), "it is kept");
    }
}
