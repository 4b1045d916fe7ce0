//! Who a client is by its certificate, and whether that still holds.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rules::fault::Unproven;
use rules::identity::Certificate;
use rules::{Identity, Shown};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::control::trust::ClientsTls;

/// What a client has shown, and by whose word.
#[derive(Debug)]
pub(crate) struct Proven {
    shown: Rc<Shown>,
    /// The client's certificate and those that lead from it to the authority; empty if it has shown
    /// none.
    chain: Box<[CertificateDer<'static>]>,
    /// By what it was looked at last; by the handshake alone if by nothing.
    clients: RefCell<Option<Arc<ClientsTls>>>,
    looked_at_ms: Cell<u64>,
    holds: Cell<bool>,
}

/// How long a look at a certificate is good for. Within this time a connection that stays open ends to
/// be trusted when its certificate expires, or the last good revocation list. A look takes as long as
/// ten requests.
const LOOK_EVERY_MS: u64 = 60_000;

impl Proven {
    /// What was shown in a handshake; `clients` says what services are told. Unless it is known by whose
    /// word a certificate was taken, it is looked at with the first request: a reload may have come
    /// between.
    pub(crate) fn new(
        server_name: Option<&str>,
        chain: Option<&[CertificateDer<'static>]>,
        clients: Option<&ClientsTls>,
    ) -> Self {
        let chain: Box<[CertificateDer<'static>]> = chain.unwrap_or_default().into();
        let told = clients.map(|clients| clients.told).unwrap_or_default();
        let identity = chain.first().and_then(|own| read(own)).map(|certificate| {
            let ders: Vec<&[u8]> = chain.iter().map(|one| &**one).collect();
            Identity::new(&certificate, &ders, told)
        });
        Self {
            shown: Rc::new(Shown { server_name: server_name.map(Into::into), identity }),
            chain,
            clients: RefCell::new(None),
            looked_at_ms: Cell::new(0),
            holds: Cell::new(false),
        }
    }

    /// The same, taken by the word of `clients` at `now_ms`.
    pub(super) fn taken_by(self, clients: Option<Arc<ClientsTls>>, now_ms: u64) -> Self {
        self.clients.replace(clients);
        self.looked_at_ms.set(now_ms);
        self.holds.set(true);
        self
    }

    pub(crate) fn shown(&self) -> &Rc<Shown> {
        &self.shown
    }

    /// Whether what was shown is enough at `now_ms`, where `clients` says what is asked for.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn check(
        &self,
        clients: Option<&Arc<ClientsTls>>,
        now_ms: u64,
    ) -> Result<(), Unproven> {
        match self.chain.is_empty() {
            // A reload may have made it necessary.
            true if clients.is_some_and(|clients| clients.is_required) => {
                Err(Unproven::Certificate)
            }
            true => Ok(()),
            false if self.holds(clients, now_ms) => Ok(()),
            false => Err(Unproven::Withdrawn),
        }
    }

    /// Whether the certificate is taken. Looks only if what is taken has changed, or some time has
    /// passed.
    fn holds(&self, clients: Option<&Arc<ClientsTls>>, now_ms: u64) -> bool {
        let mut before = self.clients.borrow_mut();
        let same = match (&*before, clients) {
            (Some(before), Some(clients)) => Arc::ptr_eq(before, clients),
            _ => false,
        };
        if !same || now_ms.saturating_sub(self.looked_at_ms.get()) >= LOOK_EVERY_MS {
            self.holds.set(clients.is_some_and(|clients| clients.check(&self.chain).is_ok()));
            self.looked_at_ms.set(now_ms);
            *before = clients.cloned();
        }
        self.holds.get()
    }
}

/// What `der` says of its owner.
fn read(der: &[u8]) -> Option<Certificate> {
    // The library has taken it: it can be read.
    let (_, read) = X509Certificate::from_der(der).ok()?;
    let mut certificate = Certificate {
        common_name: common_name(&read),
        fingerprint: digest(&SHA256, der).as_ref().try_into().ok()?,
        ..Certificate::default()
    };
    let names = read.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => certificate.uris.push((*uri).to_owned()),
            GeneralName::DNSName(host) => certificate.hosts.push((*host).to_owned()),
            GeneralName::RFC822Name(email) => certificate.emails.push((*email).to_owned()),
            GeneralName::IPAddress(bytes) => certificate.addresses.extend(address(bytes)),
            _ => {}
        }
    }
    Some(certificate)
}

/// The one common name; of several it is not known which is meant.
fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(name)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
