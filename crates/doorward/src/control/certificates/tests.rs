//! What clients are shown, by handshakes in memory.

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, ServerConnection, SignatureScheme, version};

use super::*;
use crate::control::model;

/// A certificate called `origin` for `names`.
fn made(origin: &str, names: &[&str], algorithm: &'static SignatureAlgorithm) -> Arc<Certificate> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let params = CertificateParams::new(names).expect("names");
    let certificate = params.self_signed(&key).expect("a certificate");
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = aws_lc_rs::default_provider();
    let signing = provider.key_provider.load_private_key(der).expect("a key");
    let key = CertifiedKey::new(vec![certificate.der().clone()], signing);
    Arc::new(Certificate::new(key, origin).expect("a certificate"))
}

/// Who takes any certificate, and any signature by one of these schemes.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

/// The origin of what a client is shown; or why it is shown nothing.
fn shown(
    certificates: &Arc<Certificates>,
    name: &str,
    change: impl FnOnce(&mut ClientConfig),
    schemes: &[SignatureScheme],
) -> Result<String, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS12, &version::TLS13])
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(schemes.to_vec())))
        .with_no_client_auth();
    change(&mut config);
    let name = name.to_owned().try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let server = TlsServer::new(Arc::clone(certificates)).expect("randomness");
    let config = server.handshakes(&model::Tls::default(), None).expect("it fits");
    let mut server = ServerConnection::new(Arc::new(config)).expect("a server");
    while client.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory");
        server.read_tls(&mut &*bytes).expect("memory");
        server.process_new_packets()?;
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("memory");
        }
        let mut rest = &*bytes;
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets()?;
        }
    }
    let shown = client.peer_certificates().expect("it was shown one")[0].clone();
    let all = certificates.all();
    let certificate = all.iter().find(|one| one.key.cert[0] == shown);
    Ok(certificate.map_or("challenge".to_owned(), |one| one.origin.to_string()))
}

#[test]
fn a_client_gets_what_it_can_check() {
    let certificates = Arc::new(Certificates::default());
    let rsa = made("rsa", &["a.test"], &rcgen::PKCS_RSA_SHA256);
    let ecdsa = made("ecdsa", &["A.test", "b.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    certificates.set(Source::Files, vec![rsa, ecdsa]);
    for (name, schemes, expected) in [
        ("a.test", &[ECDSA, RSA][..], "ecdsa"),
        ("a.test", &[RSA], "rsa"),
        ("b.test", &[ECDSA, RSA], "ecdsa"),
        // Nobody's: as for the first one's first name.
        ("c.test", &[RSA], "rsa"),
        ("c.test", &[ECDSA], "ecdsa"),
    ] {
        let shown = shown(&certificates, name, |_| {}, schemes);
        assert_eq!(shown.as_deref(), Ok(expected), "{name} {schemes:?}");
    }
    let refused = shown(&certificates, "b.test", |_| {}, &[RSA]);
    assert!(matches!(refused, Err(rustls::Error::PeerIncompatible(_))), "{refused:?}");
}

#[test]
fn a_set_replaces_what_its_source_had() {
    let certificates = Arc::new(Certificates::default());
    let none = shown(&certificates, "a.test", |_| {}, &[ECDSA]);
    assert!(matches!(none, Err(rustls::Error::General(_))), "{none:?}");
    for origin in ["first", "second"] {
        let made = made(origin, &["a.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
        certificates.set(Source::Files, vec![made]);
        assert_eq!(shown(&certificates, "a.test", |_| {}, &[ECDSA]).as_deref(), Ok(origin));
    }
}

#[test]
fn challenges_are_shown_to_who_looks_for_them_and_nobody_else() {
    let certificates = Arc::new(Certificates::default());
    let own = made("own", &["a.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    certificates.set(Source::Files, vec![own]);
    let challenge = made("challenge", &["a.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    certificates.challenge("A.test", Some(Arc::clone(&challenge.key)));
    let acme = |config: &mut ClientConfig| config.alpn_protocols = vec![ACME_TLS.to_vec()];
    assert_eq!(shown(&certificates, "a.test", acme, &[ECDSA]).as_deref(), Ok("challenge"));
    assert_eq!(shown(&certificates, "a.test", |_| {}, &[ECDSA]).as_deref(), Ok("own"));
    assert!(shown(&certificates, "b.test", acme, &[ECDSA]).is_err());
    certificates.challenge("a.test", None);
    assert!(shown(&certificates, "a.test", acme, &[ECDSA]).is_err());
}
