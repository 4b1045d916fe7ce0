//! Authorities and revocation lists in files.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::control::certificates::files::{self, Flaw};

/// The authorities of a file.
pub(super) fn authorities(folder: &Path, file: &str) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let found = files::chain(folder, file)?;
    let mut store = RootCertStore::empty();
    for (at, one) in found.iter().enumerate() {
        store.add(one.clone()).map_err(|_| {
            let what = format!("{file}: certificate {} cannot be an authority", at + 1);
            (what, "look at it with `openssl x509 -noout -text -in FILE`")
        })?;
    }
    Ok(found)
}

/// A revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevocationList {
    pub(super) der: CertificateRevocationListDer<'static>,
    /// By when there is to be a newer one, in seconds since 1970.
    pub(super) next_unix: Option<i64>,
}

/// The revocation lists of a file, which may be in PEM or be one as it is.
pub(super) fn revocation_lists(folder: &Path, file: &str) -> Result<Vec<RevocationList>, Flaw> {
    let bytes = files::bytes(folder, file)?;
    let broken = || {
        let what = format!("{file}: no revocation list");
        (what, "look at it with `openssl crl -noout -text -in FILE`")
    };
    let lists: Vec<CertificateRevocationListDer<'static>> = match bytes.first() {
        // ASN.1, and not text.
        Some(0x30) => vec![bytes.into()],
        _ => CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|_| broken())?,
    };
    if lists.is_empty() {
        return Err(broken());
    }
    let read = |der: CertificateRevocationListDer<'static>| {
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|_| broken())?;
        let next_unix = list.next_update().map(|time| time.timestamp());
        Ok(RevocationList { der, next_unix })
    };
    lists.into_iter().map(read).collect()
}
