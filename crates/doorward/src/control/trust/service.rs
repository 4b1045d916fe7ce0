//! TLS towards services: what is believed of them, and what is shown to them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use config::{At, Report};
use rules::service::{Protocol, Service, ServiceConfig, Tls, TlsConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pem;
use crate::control::certificates::files::{self, Flaw, Which};

/// How one service is called by TLS.
#[derive(Debug)]
pub(crate) struct ServiceTls {
    /// No other has it: connections that were made in one way are not used in another.
    id: u64,
    config: Arc<ClientConfig>,
    /// The name that is asked for instead of the endpoint's.
    name: Option<ServerName<'static>>,
}

/// How one endpoint is called by TLS.
#[derive(Clone, Debug)]
pub(crate) struct EndpointTls {
    pub(crate) config: Arc<ClientConfig>,
    /// The name that is asked for and that the certificate must be for.
    pub(crate) name: ServerName<'static>,
    id: u64,
}

impl PartialEq for EndpointTls {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name
    }
}

impl Eq for EndpointTls {}

impl std::hash::Hash for EndpointTls {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.name.hash(state);
    }
}

impl ServiceTls {
    /// For the endpoint that is called `host` in the configuration; an address if it has no name.
    pub(crate) fn endpoint(&self, host: &str) -> EndpointTls {
        let written = || ServerName::try_from(host.to_owned()).ok();
        // A name that no certificate can be for is no name in DNS either.
        let local = || ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into());
        let name = self.name.clone().or_else(written).unwrap_or_else(local);
        EndpointTls { config: Arc::clone(&self.config), name, id: self.id }
    }
}

/// How all services are called that are called by TLS. What did not change is kept, with the sessions
/// that can be resumed.
#[derive(Default)]
pub(crate) struct ServicesTls {
    made: HashMap<Box<str>, (Parts, Arc<ServiceTls>)>,
    next_id: u64,
    /// The authorities that this system trusts. It takes some milliseconds to read them.
    system_roots: Option<Arc<RootCertStore>>,
}

/// What a [`ServiceTls`] is made of.
#[derive(Debug)]
struct Parts {
    tls: Tls,
    protocol: Protocol,
    roots: Roots,
    certificate: Option<Arc<CertifiedKey>>,
}

/// Whom we believe.
#[derive(Debug)]
enum Roots {
    Written(Vec<CertificateDer<'static>>),
    System(Arc<RootCertStore>),
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Written(one), Self::Written(other)) => one == other,
            (Self::System(one), Self::System(other)) => {
                Arc::ptr_eq(one, other) || one.roots == other.roots
            }
            _ => false,
        }
    }
}

impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        // The key belongs to the certificate.
        let shown = |parts: &Self| parts.certificate.as_ref().map(|pair| pair.cert.clone());
        self.tls == other.tls
            && self.protocol == other.protocol
            && self.roots == other.roots
            && shown(self) == shown(other)
    }
}

/// What is wrong with one of the files that a service names.
#[derive(Debug)]
struct Wrong {
    file: File,
    flaw: Flaw,
}

#[derive(Clone, Copy, Debug)]
enum File {
    Roots,
    Cert,
    Key,
}

/// By the name of the service.
pub(crate) type ByService = HashMap<Box<str>, Arc<ServiceTls>>;

impl ServicesTls {
    /// Reads the files that `services` name, relative to `folder`, and reports what is wrong with them.
    pub(crate) fn load<'a>(
        &mut self,
        services: impl Iterator<Item = (&'a ServiceConfig, &'a Service)>,
        folder: &Path,
        report: &mut Report,
    ) -> ByService {
        let mut found = ByService::new();
        // Whatever was changed there meanwhile: from now on the files are followed.
        self.system_roots = None;
        for (config, service) in services {
            let Some(tls) = &service.tls else { continue };
            match self.make(service, tls, folder) {
                Ok(made) => {
                    found.insert(service.name.clone(), made);
                }
                Err(wrong) => wrong.report(config, report),
            }
            if tls.verify && tls.roots.is_none() && self.system_roots().is_empty() {
                report
                    .warning(
                        place(config),
                        "this system has no authorities: no certificate will do",
                    )
                    .help("install `ca-certificates`, or name the service's authority in `roots`");
            }
        }
        self.made.retain(|name, _| found.contains_key(name));
        found
    }

    /// The same for services that are in use, after files have changed: what is wrong, which changes
    /// nothing for its service.
    pub(super) fn reload<'a>(
        &mut self,
        services: impl Iterator<Item = &'a Service>,
        folder: &Path,
        found: &mut ByService,
    ) -> Vec<String> {
        let mut wrongs = Vec::new();
        if self.system_roots.is_some() {
            let roots = read_system_roots();
            match roots.is_empty() {
                true => wrongs.push("this system has no authorities any more".to_owned()),
                false => self.system_roots = Some(Arc::new(roots)),
            }
        }
        for service in services {
            let Some(tls) = &service.tls else { continue };
            match self.make(service, tls, folder) {
                Ok(made) => {
                    found.insert(service.name.clone(), made);
                }
                Err(Wrong { flaw: (what, advice), .. }) => wrongs.push(format!("{what}: {advice}")),
            }
        }
        wrongs
    }

    fn system_roots(&mut self) -> Arc<RootCertStore> {
        Arc::clone(self.system_roots.get_or_insert_with(|| Arc::new(read_system_roots())))
    }

    fn parts(&mut self, tls: &Tls, protocol: Protocol, folder: &Path) -> Result<Parts, Wrong> {
        let roots = match &tls.roots {
            None if !tls.verify => Roots::Written(Vec::new()),
            None => Roots::System(self.system_roots()),
            Some(path) => {
                let roots = pem::authorities(folder, path);
                Roots::Written(roots.map_err(|flaw| Wrong { file: File::Roots, flaw })?)
            }
        };
        let certificate = match &tls.certificate {
            None => None,
            Some((cert, key)) => {
                let read = files::read(folder, cert, key);
                let read = read.map_err(|wrong| Wrong {
                    file: if wrong.file == Which::Cert { File::Cert } else { File::Key },
                    flaw: (wrong.what, wrong.advice),
                })?;
                Some(read.key)
            }
        };
        Ok(Parts { tls: tls.clone(), protocol, roots, certificate })
    }

    fn make(
        &mut self,
        service: &Service,
        tls: &Tls,
        folder: &Path,
    ) -> Result<Arc<ServiceTls>, Wrong> {
        let parts = self.parts(tls, service.protocol, folder)?;
        if let Some((before, made)) = self.made.get(&service.name)
            && *before == parts
        {
            return Ok(Arc::clone(made));
        }
        let config = parts.config().map_err(|error| Wrong {
            file: File::Roots,
            flaw: (error.to_string(), "this is a mistake in Doorward"),
        })?;
        self.next_id += 1;
        let name = tls.server_name.as_deref().map(ToOwned::to_owned);
        let made = Arc::new(ServiceTls {
            id: self.next_id,
            config: Arc::new(config),
            name: name.and_then(|name| ServerName::try_from(name).ok()),
        });
        self.made.insert(service.name.clone(), (parts, Arc::clone(&made)));
        Ok(made)
    }
}

/// The files that `service` names, relative to `folder`, and those of the system that it relies on.
pub(super) fn files_of(service: &Service, folder: &Path) -> Vec<PathBuf> {
    let Some(tls) = &service.tls else { return Vec::new() };
    let pair = tls.certificate.iter().flat_map(|(cert, key)| [cert, key]);
    let written = tls.roots.iter().chain(pair).map(|file| folder.join(&**file));
    let system = (tls.verify && tls.roots.is_none()).then(openssl_probe::probe);
    let system =
        system.into_iter().flat_map(|found| found.cert_file.into_iter().chain(found.cert_dir));
    written.chain(system).collect()
}

/// Where the configuration speaks of it.
fn place(config: &ServiceConfig) -> config::Place {
    let endpoints = || config.endpoints.as_ref().map_or(config::Place::NONE, At::place);
    config.tls.as_ref().map_or_else(endpoints, At::place)
}

impl Wrong {
    fn report(self, config: &ServiceConfig, report: &mut Report) {
        let table = match config.tls.as_deref() {
            Some(TlsConfig::Yes(table)) => Some(&**table),
            _ => None,
        };
        let pair = table.and_then(|table| table.certificate.as_deref());
        let written = match self.file {
            File::Roots => table.and_then(|table| table.roots.as_ref()),
            File::Cert => pair.map(|pair| &pair.cert),
            File::Key => pair.map(|pair| &pair.key),
        };
        let (what, advice) = self.flaw;
        report.error(written.map_or_else(|| place(config), At::place), what).help(advice);
    }
}

impl Parts {
    fn config(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(provider::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match self.verifier(&provider)? {
            Verifier::Usual(roots) => builder.with_root_certificates(roots),
            Verifier::Own(verifier) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let pair = SingleCertAndKey::from(CertifiedKey::clone(pair));
                builder.with_client_cert_resolver(Arc::new(pair))
            }
        };
        config.alpn_protocols = match self.protocol {
            Protocol::H2 => vec![b"h2".to_vec()],
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
        };
        Ok(config)
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, Error> {
        let roots = match &self.roots {
            Roots::System(roots) => Arc::clone(roots),
            Roots::Written(written) => {
                let mut roots = RootCertStore::empty();
                for root in written {
                    roots.add(root.clone())?;
                }
                Arc::new(roots)
            }
        };
        if self.tls.verify && self.tls.pins.is_empty() {
            return Ok(Verifier::Usual(roots));
        }
        let usual = match self.tls.verify {
            false => None,
            true => Some(
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
                    .build()
                    .map_err(|error| Error::General(error.to_string()))?,
            ),
        };
        let pins = self.tls.pins.clone();
        Ok(Verifier::Own(Pinned { usual, pins, provider: Arc::clone(provider) }))
    }
}

enum Verifier {
    Usual(Arc<RootCertStore>),
    Own(Pinned),
}

/// The authorities that this system trusts now. What cannot be read there is not trusted, and nothing
/// more: systems bring oddities along.
fn read_system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Looks at the key of a service, besides what is usual, or instead of it.
#[derive(Debug)]
struct Pinned {
    /// Authorities and names.
    usual: Option<Arc<WebPkiServerVerifier>>,
    /// Any key will do if there is none.
    pins: Box<[[u8; 32]]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(usual) = &self.usual {
            usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        }
        if !self.pins.is_empty() {
            // Only of the service's own key is it proven that the service has it.
            let (_, leaf) = X509Certificate::from_der(end_entity)
                .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
            let seen = digest(&SHA256, leaf.public_key().raw);
            if !self.pins.iter().any(|pin| pin == seen.as_ref()) {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
