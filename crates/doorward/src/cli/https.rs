//! TLS of the command line's client.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Failure;
use crate::control::load::Loader;

/// Who trusts what this machine trusts, and the certificates of `config` themselves: a door with a
/// certificate that nobody signed is still one's own.
pub(crate) fn trusting(config: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for file in Loader::new(config).load().certificates {
        roots.add_parsable_certificates(file.current.key.cert.iter().cloned());
    }
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// `stream` to `authority` behind TLS. The handshake comes with the first bytes.
///
/// # Errors
/// If `authority` has no name that a certificate could be for.
pub(crate) fn wrap(
    config: ClientConfig,
    authority: &str,
    stream: TcpStream,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Failure> {
    let host = match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host)
        .map_err(|_| Failure::new(format!("{authority} is no name of a host")))?;
    let session = ClientConnection::new(Arc::new(config), name)
        .map_err(|error| Failure::new(format!("{authority}: {error}")))?;
    Ok(StreamOwned::new(session, stream))
}
