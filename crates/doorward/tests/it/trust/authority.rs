//! Authorities, and the certificates that they sign, in files.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::door::Folder;

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate that an authority has signed.
pub(crate) struct Signed {
    /// The certificate, and those that lead from it to the authority.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pem: String,
    key_pem: String,
    /// Of its key, as in RFC 7469.
    pub(crate) pin: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(Self::params(name), key).expect("an authority"))
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// Its own certificate, in the file `name`.
    pub(crate) fn write(&self, folder: &Folder, name: &str) {
        folder.write(name, self.0.pem());
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// Signs a certificate for hosts and addresses.
    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_with(names, |_| {})
    }

    pub(crate) fn sign_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Signed {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let hash = digest(&SHA256, &key.subject_public_key_info());
        Signed {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            pin: base64::prelude::BASE64_STANDARD.encode(hash),
        }
    }
}

impl Authority {
    /// A list of those that are revoked, by their serial numbers, which was good until `year`.
    pub(crate) fn revoke(&self, serials: &[u64], year: i32) -> rcgen::CertificateRevocationList {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).expect("a list")
    }

    /// Signs a certificate of a client: its serial number, its common name and its names.
    pub(crate) fn client(&self, serial: u64, common_name: &str, names: &[SanType]) -> Signed {
        self.sign_with(&[], |params| {
            params.serial_number = Some(SerialNumber::from(serial));
            params.distinguished_name.push(DnType::CommonName, common_name);
            params.subject_alt_names = names.to_vec();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// An authority below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let below = CertifiedIssuer::signed_by(Self::params(name), key, &self.0);
        Self(below.expect("an authority"))
    }
}

impl Signed {
    /// As a client shows it.
    pub(crate) fn shown(&self) -> Arc<dyn ResolvesClientCert> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let pair = CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &provider);
        Arc::new(SingleCertAndKey::from(pair.expect("its key")))
    }

    /// With the certificate of the authority that signed it.
    pub(crate) fn through(mut self, between: &Authority) -> Self {
        self.chain.push(between.der());
        self.pem += &between.0.pem();
        self
    }

    /// In files, as the configuration names them.
    pub(crate) fn write(&self, folder: &Folder, name: &str) -> String {
        folder.write(&format!("{name}.pem"), &self.pem);
        folder.write(&format!("{name}.key"), &self.key_pem);
        format!("{{ cert = \"{name}.pem\", key = \"{name}.key\" }}")
    }
}
