//! Certificates from files, in PEM.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::Certificate;
use crate::control::run::unix_now;
use crate::control::watch::Watch;
use crate::observe::log;

/// The largest file that is read; a chain of ten certificates has 20 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is wrong with a certificate, and with which of its two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) file: Which,
    pub(crate) what: String,
    pub(crate) advice: &'static str,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Cert,
    Key,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// A certificate in files, as it was read last.
#[derive(Clone, Debug)]
pub(crate) struct InFiles {
    folder: PathBuf,
    cert: String,
    key: String,
    watch: Watch,
    pub(crate) current: Arc<Certificate>,
    /// Why what is in the files now is not used.
    pub(crate) problem: Option<String>,
}

impl InFiles {
    /// As [`read`].
    pub(crate) fn read(folder: &Path, cert: &str, key: &str) -> Result<Self, Wrong> {
        let watch = Watch::new([folder.join(cert), folder.join(key)]);
        let current = Arc::new(read(folder, cert, key)?);
        let (folder, cert, key) = (folder.to_owned(), cert.to_owned(), key.to_owned());
        Ok(Self { folder, cert, key, watch, current, problem: None })
    }

    /// Looks whether the files have changed, and reads them again. What is wrong is not used: the
    /// certificate that was read before stays. Whether anything is different now.
    pub(crate) fn look(&mut self) -> bool {
        if !self.watch.look() {
            return false;
        }
        match read(&self.folder, &self.cert, &self.key) {
            Ok(certificate) => {
                match certificate.oddity(unix_now()) {
                    Some(odd) => log::warn("tls", format!("{}: {odd}", self.cert)),
                    None => log::info("tls", format!("{} has been read again", self.cert)),
                }
                self.current = Arc::new(certificate);
                self.problem = None;
            }
            Err(wrong) => {
                let stays = "the certificate that was read before stays in use";
                log::error("tls", format!("{wrong} ({}); {stays}", wrong.advice));
                self.problem = Some(wrong.what);
            }
        }
        true
    }
}

/// Reads a certificate, with its chain, and its key: files whose names are relative to `folder`.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn read(folder: &Path, cert: &str, key: &str) -> Result<Certificate, Wrong> {
    let of = |file| move |(what, advice)| Wrong { file, what, advice };
    let chain = chain(folder, cert).map_err(of(Which::Cert))?;
    if let Err(error) = X509Certificate::from_der(&chain[0]) {
        let advice = "look at it with `openssl x509 -noout -text -in FILE`";
        return Err(of(Which::Cert)((format!("{cert}: no X.509 certificate: {error}"), advice)));
    }
    let signing = private_key(folder, key).map_err(of(Which::Key))?;
    let signing = aws_lc_rs::default_provider().key_provider.load_private_key(signing);
    let signing = signing.map_err(|_| Wrong {
        file: Which::Key,
        what: format!("{key}: no key that can sign in TLS"),
        advice: "RSA keys need 2048 bits or more; elliptic curves may be P-256, P-384, P-521, Ed25519",
    })?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match().map_err(|_| Wrong {
        file: Which::Key,
        what: format!("{key} is not the key of {cert}"),
        advice: "the file may be of another certificate, or of an older one of the same name",
    })?;
    Certificate::new(certified, cert).map_err(|what| Wrong {
        file: Which::Cert,
        what: format!("{cert}: {what}"),
        advice: "look at it with `openssl x509 -noout -text -in FILE`",
    })
}

/// What is wrong with a file, and what to do.
pub(crate) type Flaw = (String, &'static str);

/// The certificates of a file: its own first, then those that lead to a root.
pub(crate) fn chain(folder: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let bytes = bytes(folder, name)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let advice = "it begins with `-----BEGIN CERTIFICATE-----`, and has the certificates of the chain \
                  below";
    match chain {
        Ok(chain) if chain.is_empty() => Err((format!("{name}: no certificate in PEM"), advice)),
        Ok(chain) => Ok(chain),
        Err(_) => Err((format!("{name}: the PEM is broken"), advice)),
    }
}

/// The key of a file.
pub(crate) fn private_key(folder: &Path, name: &str) -> Result<PrivateKeyDer<'static>, Flaw> {
    let bytes = bytes(folder, name)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(&bytes) => (
            format!("{name}: the key is encrypted"),
            "decrypt it with `openssl pkey -in FILE`, and let only Doorward read the file",
        ),
        pem::Error::NoItemsFound => (
            format!("{name}: no private key in PEM"),
            "it begins with `-----BEGIN PRIVATE KEY-----`",
        ),
        _ => (format!("{name}: the PEM is broken"), "it begins with `-----BEGIN PRIVATE KEY-----`"),
    })
}

fn is_encrypted(bytes: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    marks.iter().any(|mark| bytes.windows(mark.len()).any(|window| window == *mark))
}

/// A file, if it is no larger than such files are.
pub(crate) fn bytes(folder: &Path, name: &str) -> Result<Vec<u8>, Flaw> {
    let why = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            (format!("{name}: no such file"), "names are relative to the configuration")
        }
        io::ErrorKind::PermissionDenied => (
            format!("{name}: this user may not read it"),
            "let the user that Doorward runs as read it, and nobody else",
        ),
        io::ErrorKind::IsADirectory => {
            (format!("{name}: it is a folder"), "write the name of the file in it")
        }
        _ => (format!("{name}: {error}"), "it is to be a file that can be read"),
    };
    let mut bytes = Vec::new();
    let file = File::open(folder.join(name)).map_err(why)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(why)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!("{name}: more than {} MiB", FILE_BYTES_MAX >> 20);
        return Err((what, "it is to hold one chain of certificates, or one key"));
    }
    Ok(bytes)
}
