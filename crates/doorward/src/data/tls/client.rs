//! The handshake with a service, and what it means that there is none.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use rules::Fault;
use rules::fault::NoTls;
use rustls::{AlertDescription, CertificateError, ClientConnection, Error, HandshakeKind};

use super::Tls;
use crate::control::trust::EndpointTls;
use crate::data::buffer::Incoming;
use crate::data::deadline::Watch;
use crate::data::socket::Socket;

/// Puts a connection that was just opened behind TLS, until the deadline of `watch`; and whether it
/// went on with an earlier session.
///
/// # Errors
/// Why there is none.
pub(crate) async fn secure(
    socket: Socket,
    tls: &EndpointTls,
    watch: &Watch,
) -> Result<(Socket, bool), Fault> {
    let session = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone());
    // The library has nothing against a client before it has sent anything.
    let session = session.map_err(|_| Fault::NoTls(NoTls::Failed))?;
    let mut socket = Box::new(Tls::new(socket, Incoming::default(), session.into()));
    poll_fn(|cx| match socket.poll_handshake(cx) {
        Poll::Ready(shaken) => Poll::Ready(shaken.map_err(|error| Fault::NoTls(no_tls(&error)))),
        Poll::Pending if watch.is_over() => Poll::Ready(Err(Fault::ConnectTimeout)),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let session = socket.session();
    let wanted = &tls.config.alpn_protocols;
    // A server that knows nothing of ALPN speaks HTTP/1.1; HTTP/2 by TLS goes by no other way
    // (RFC 9113, 3.2).
    if wanted.iter().any(|one| one == b"h2") && session.alpn_protocol() != Some(b"h2") {
        return Err(Fault::NoTls(NoTls::Protocol));
    }
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok((Socket::Tls(socket), resumed))
}

/// What `error` says about the other side.
pub(crate) fn no_tls(error: &io::Error) -> NoTls {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(wrong)) => match wrong {
            CertificateError::UnknownIssuer => NoTls::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => NoTls::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                NoTls::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                NoTls::WrongName
            }
            // Only our own look at `pins` says so.
            CertificateError::ApplicationVerificationFailure => NoTls::Pin,
            _ => NoTls::Invalid,
        },
        Some(Error::AlertReceived(alert)) => match alert {
            AlertDescription::NoApplicationProtocol => NoTls::Protocol,
            alert if is_about_certificate(*alert) => NoTls::ClientCertificate,
            _ => NoTls::Refused,
        },
        Some(_) | None => NoTls::Failed,
    }
}

/// Whether `error`, on a connection that stood already, says that the other side does not take our
/// certificate: in TLS 1.3 it says so only behind the handshake.
pub(crate) fn refuses_certificate(error: &io::Error) -> bool {
    no_tls(error) == NoTls::ClientCertificate
}

fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}
