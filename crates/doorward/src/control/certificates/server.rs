//! What handshakes with clients are made of, besides certificates.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::Certificates;
use crate::control::model;
use crate::control::trust::ClientsTls;

/// What all handshakes with clients have in common, over reloads.
pub(crate) struct TlsServer {
    provider: Arc<CryptoProvider>,
    pub(crate) certificates: Arc<Certificates>,
    /// Makes and reads the tickets by which clients resume sessions. Its keys are those of the
    /// process, change every six hours, and are forgotten after twelve.
    tickets: Arc<dyn ProducesTickets>,
    /// Sessions of clients of TLS 1.2 that take no tickets.
    sessions: Arc<dyn StoresServerSessions>,
}

/// How handshakes with clients are made, at each listener.
pub(crate) struct Https {
    usual: Arc<ServerConfig>,
    /// Where clients are asked for certificates, by the address as it is written.
    asking: Vec<(SocketAddr, Arc<ServerConfig>, Arc<ClientsTls>)>,
}

impl Https {
    /// At the listener that is written as `address`; and which certificates of clients are taken there,
    /// if any is asked for.
    pub(crate) fn at(&self, address: SocketAddr) -> (&Arc<ServerConfig>, Option<&Arc<ClientsTls>>) {
        let asking = self.asking.iter().find(|(asking, ..)| *asking == address);
        asking.map_or((&self.usual, None), |(_, config, clients)| (config, Some(clients)))
    }
}

/// Sessions that are kept for clients of TLS 1.2 that take no tickets: a few hundred bytes each.
/// Hardly any client does without tickets; those that do then pay for a full handshake.
const SESSIONS_MAX: usize = 4096;

/// What is spoken on a connection of TCP: the first of these that the client offers. The last one is
/// for certificate authorities (RFC 8737); who offers it without a challenge is refused.
const PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", super::ACME_TLS];

/// The library's own suites, those first that cost least where the processor knows AES: 128 bits are
/// enough for whatever the key exchange is.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let name = suite.suite().as_str().unwrap_or_default();
        // TLS 1.3 before 1.2.
        (!name.starts_with("TLS13"), !name.contains("AES_128"), !name.contains("AES_256"))
    });
    provider
}

impl TlsServer {
    /// # Errors
    /// If the system gives no randomness.
    pub(crate) fn new(certificates: Arc<Certificates>) -> Result<Self, rustls::Error> {
        Ok(Self {
            provider: Arc::new(provider()),
            certificates,
            tickets: aws_lc_rs::Ticketer::new()?,
            sessions: ServerSessionMemoryCache::new(SESSIONS_MAX),
        })
    }

    /// How handshakes are to be made by `config`, if it listens for HTTPS.
    ///
    /// # Errors
    /// As [`Self::handshakes`].
    pub(crate) fn config(
        &self,
        config: &model::Config,
        clients: &[(SocketAddr, Arc<ClientsTls>)],
    ) -> io::Result<Option<Arc<Https>>> {
        if config.listen.https.is_none() {
            return Ok(None);
        }
        let settings = config.tls.as_deref().cloned().unwrap_or_default();
        let handshakes = |verifier| self.handshakes(&settings, verifier).map(Arc::new);
        let asking = clients.iter().map(|(address, clients)| {
            let config = handshakes(Some(Arc::clone(&clients.verifier)))?;
            Ok((*address, config, Arc::clone(clients)))
        });
        let asking: Result<_, rustls::Error> = asking.collect();
        let asking = asking.map_err(io::Error::other)?;
        let usual = handshakes(None).map_err(io::Error::other)?;
        Ok(Some(Arc::new(Https { usual, asking })))
    }

    /// How handshakes are to be made by `settings`; with a `verifier` if clients may, or have to,
    /// show certificates.
    ///
    /// Early data (0-RTT) is not accepted: anybody on the way could send it again (RFC 8446, 8).
    ///
    /// # Errors
    /// If the library finds its own parts at odds.
    pub(crate) fn handshakes(
        &self,
        settings: &model::Tls,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<ServerConfig, rustls::Error> {
        let versions: &[&SupportedProtocolVersion] = match settings.min_version {
            model::TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            model::TlsVersion::V1_3 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)?;
        let resumable = verifier.is_none();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        // Whatever the client would rather have: all are strong, and they differ in what they cost.
        let mut config = builder.with_cert_resolver(Arc::clone(&self.certificates) as _);
        config.ignore_client_order = true;
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        if resumable {
            config.ticketer = Arc::clone(&self.tickets);
            config.session_storage = Arc::clone(&self.sessions);
        } else {
            // A session would carry a certificate past its revocation, or from a listener to one that
            // asks for another (CVE-2025-23419).
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}
