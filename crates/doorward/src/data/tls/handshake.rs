//! The handshake with a client: within its time, and with words for what went wrong.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::{
    AlertDescription, CertificateError, Error, HandshakeKind, PeerIncompatible, ProtocolVersion,
    ServerConfig, ServerConnection,
};

use rules::Cx;

use super::Tls;
use super::proven::Proven;
use crate::control::trust::ClientsTls;
use crate::data::connection::{After, Connection};
use crate::data::end::End;
use crate::data::socket::Socket;
use crate::data::transfer::Side;
use crate::observe::log;

/// What was agreed on with a client.
#[derive(Debug)]
pub(crate) struct Secured {
    /// As in `TLSv1.3`.
    pub(crate) version: &'static str,
    /// As in `TLS13_AES_128_GCM_SHA256`. QUIC does not tell.
    pub(crate) cipher: Option<&'static str>,
    /// What the client has shown: the name that it asked for, and perhaps a certificate.
    pub(crate) proven: Proven,
    /// Whether it went on with an earlier session. QUIC does not tell.
    pub(crate) resumed: Option<bool>,
    pub(crate) protocol: Protocol,
}

/// What is spoken inside (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    H2,
    /// By QUIC only.
    H3,
    /// Also of clients that said nothing.
    Http1,
    /// Nothing: the handshake itself was the answer (RFC 8737).
    Acme,
}

/// Why there is no TLS with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It speaks HTTP without TLS.
    PlainHttp,
    /// It speaks something else.
    NotTls,
    /// It took too long.
    Timeout,
    /// It left.
    Closed,
    /// We have no certificate that it could take.
    NoCertificate,
    NoVersion,
    NoCipher,
    NoKeyExchange,
    NoSignature,
    /// It asked for protocols of which we speak none.
    NoProtocol,
    /// It did not like our certificate.
    BadCertificate,
    /// It has shown no certificate, and has to.
    NoClientCertificate,
    /// Nobody that is trusted vouches for its certificate.
    ClientAuthority,
    ClientExpired,
    ClientRevoked,
    /// There is no good revocation list of the authority of its certificate.
    RevocationUnknown,
    /// Its certificate cannot be used for this.
    ClientInvalid,
    /// It ended the handshake for another reason.
    Alert,
    /// What it sent is against the rules.
    Malformed,
    /// Others came, and it was not done.
    Crowded,
}

impl Refused {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 20] = [
        Self::PlainHttp,
        Self::NotTls,
        Self::Timeout,
        Self::Closed,
        Self::NoCertificate,
        Self::NoVersion,
        Self::NoCipher,
        Self::NoKeyExchange,
        Self::NoSignature,
        Self::NoProtocol,
        Self::BadCertificate,
        Self::NoClientCertificate,
        Self::ClientAuthority,
        Self::ClientExpired,
        Self::ClientRevoked,
        Self::RevocationUnknown,
        Self::ClientInvalid,
        Self::Alert,
        Self::Malformed,
        Self::Crowded,
    ];

    /// The label of its metric.
    pub(crate) const fn slug(self) -> &'static str {
        match self {
            Self::PlainHttp => "plain-http",
            Self::NotTls => "not-tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NoCertificate => "no-certificate",
            Self::NoVersion => "no-common-version",
            Self::NoCipher => "no-common-cipher",
            Self::NoKeyExchange => "no-common-key-exchange",
            Self::NoSignature => "no-common-signature",
            Self::NoProtocol => "no-common-protocol",
            Self::BadCertificate => "certificate-refused",
            Self::NoClientCertificate => "client-certificate-missing",
            Self::ClientAuthority => "client-certificate-unknown-authority",
            Self::ClientExpired => "client-certificate-expired",
            Self::ClientRevoked => "client-certificate-revoked",
            Self::RevocationUnknown => "revocation-unknown",
            Self::ClientInvalid => "client-certificate-invalid",
            Self::Alert => "alert",
            Self::Malformed => "malformed",
            Self::Crowded => "crowded",
        }
    }

    /// As a clause.
    const fn reason(self) -> &'static str {
        match self {
            Self::PlainHttp => "it speaks HTTP without TLS",
            Self::NotTls => "it does not speak TLS",
            Self::Timeout => "it took too long",
            Self::Closed => "it left",
            Self::NoCertificate => "there is no certificate for it",
            Self::NoVersion => "it offers no version of TLS that is allowed here",
            Self::NoCipher => "it offers no cipher suite that is allowed here",
            Self::NoKeyExchange => "it offers no key exchange that is allowed here",
            Self::NoSignature => "it takes no signature that our certificates can make",
            Self::NoProtocol => "it asks for protocols of which none is spoken here (ALPN)",
            Self::BadCertificate => "it does not take our certificate",
            Self::NoClientCertificate => "it has shown no certificate",
            Self::ClientAuthority => "no trusted authority vouches for its certificate",
            Self::ClientExpired => "its certificate has expired, or is not valid yet",
            Self::ClientRevoked => "its certificate is revoked",
            Self::RevocationUnknown => "there is no valid revocation list for its certificate",
            Self::ClientInvalid => "its certificate cannot be used",
            Self::Alert => "it broke off",
            Self::Malformed => "it sent what is no TLS",
            Self::Crowded => "it took longer than others, and more came than `handshakes` allows",
        }
    }

    fn of_certificate(wrong: &CertificateError) -> Self {
        match wrong {
            CertificateError::UnknownIssuer => Self::ClientAuthority,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::ClientExpired,
            CertificateError::Revoked => Self::ClientRevoked,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::RevocationUnknown,
            _ => Self::ClientInvalid,
        }
    }

    fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            None => Self::Closed,
            Some(Error::NoApplicationProtocol) => Self::NoProtocol,
            Some(Error::PeerIncompatible(why)) => match why {
                PeerIncompatible::NoCipherSuitesInCommon => Self::NoCipher,
                PeerIncompatible::NoKxGroupsInCommon
                | PeerIncompatible::NamedGroupsExtensionRequired => Self::NoKeyExchange,
                PeerIncompatible::NoSignatureSchemesInCommon => Self::NoSignature,
                _ => Self::NoVersion,
            },
            Some(Error::NoCertificatesPresented) => Self::NoClientCertificate,
            Some(Error::InvalidCertificate(wrong)) => Self::of_certificate(wrong),
            // Our resolver found none.
            Some(Error::General(_)) => Self::NoCertificate,
            Some(Error::AlertReceived(alert)) => match alert {
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA => Self::BadCertificate,
                _ => Self::Alert,
            },
            Some(_) => Self::Malformed,
        }
    }
}

/// What a client gets that speaks HTTP without TLS.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: application/problem+json\r\n\
    Content-Length: 84\r\n\
    Connection: close\r\n\r\n\
    {\"title\":\"This is a port for HTTPS: the request was sent without TLS\",\"status\":400}\n";

/// The first byte of a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// Puts the connection behind TLS.
///
/// # Errors
/// What becomes of the connection instead; the failure is counted and logged.
pub(crate) async fn secure(connection: &mut Connection) -> Result<Rc<Secured>, After> {
    let snapshot = connection.worker.pin();
    connection.watch.set(snapshot.limits.handshake_ms);
    let Some(https) = &snapshot.tls else {
        // A reload took the certificates away, and the listener with them.
        return Err(After::Drop);
    };
    let (config, clients) = https.at(connection.listener.written);
    let (config, clients) = (Arc::clone(config), clients.cloned());
    let at_once_max =
        snapshot.limits.handshakes_max / connection.worker.metrics.client_workers().len();
    drop(snapshot);
    if let Err(refused) = first_byte(connection).await {
        note(connection, refused, None);
        return match refused {
            Refused::PlainHttp => Err(answer_plain(connection).await),
            Refused::NotTls => Err(After::Close),
            _ => Err(After::Drop),
        };
    }
    match shake_hands(connection, config, clients, at_once_max).await {
        Ok(secured) => {
            let of_version = usize::from(secured.version != "TLSv1.2");
            let counters = connection.worker.counters();
            counters.handshakes[of_version][usize::from(secured.resumed == Some(true))].add(1);
            Ok(Rc::new(secured))
        }
        Err((refused, server_name)) => {
            note(connection, refused, server_name);
            Err(After::Close)
        }
    }
}

/// Waits for the first byte and looks whether it is one of TLS.
async fn first_byte(connection: &mut Connection) -> Result<(), Refused> {
    let side = connection.client.side();
    let watch = &connection.watch;
    let first = poll_fn(|cx| {
        if let Some(&first) = side.incoming.bytes().first() {
            return Poll::Ready(Ok(first));
        }
        match side.poll_fill(cx) {
            Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Ok(side.incoming.bytes()[0])),
            Poll::Ready(_) => Poll::Ready(Err(Refused::Closed)),
            Poll::Pending if watch.is_over() => Poll::Ready(Err(Refused::Timeout)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    match first {
        HANDSHAKE => Ok(()),
        b'A'..=b'Z' => Err(Refused::PlainHttp),
        _ => Err(Refused::NotTls),
    }
}

async fn answer_plain(connection: &mut Connection) -> After {
    let socket = &mut connection.client.side().socket;
    // Nothing was written before: it fits into the kernel's buffer.
    let written = poll_fn(|cx| Poll::Ready(socket.poll_write(cx, PLAIN))).await;
    if written.is_ready() { After::Close } else { After::Drop }
}

async fn shake_hands(
    connection: &mut Connection,
    config: Arc<ServerConfig>,
    clients: Option<Arc<ClientsTls>>,
    at_once_max: usize,
) -> Result<Secured, (Refused, Option<Box<str>>)> {
    let session = ServerConnection::new(config).map_err(|_| (Refused::Malformed, None))?;
    let End::H1(side) = std::mem::replace(&mut connection.client, End::Closed) else {
        return Err((Refused::Closed, None));
    };
    let mut tls = Box::new(Tls::new(side.socket, side.incoming, session.into()));
    let watch = &connection.watch;
    let under_way = connection.worker.handshakes.enter(at_once_max);
    let done = poll_fn(|cx| match tls.poll_handshake(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(Refused::of(&error))),
        Poll::Pending if watch.is_over() => Poll::Ready(Err(Refused::Timeout)),
        Poll::Pending if under_way.is_lost(cx) => Poll::Ready(Err(Refused::Crowded)),
        Poll::Pending => Poll::Pending,
    })
    .await;
    drop(under_way);
    match done {
        Ok(()) => {
            let secured = Secured::of(&tls, clients, watch.now_ms());
            connection.client = End::H1(Side::new(Socket::Tls(tls)));
            Ok(secured)
        }
        Err(refused) => {
            let name = tls.server_name().map(Into::into);
            // The alert has been sent; what is left is to wait until the client has read it.
            let (socket, incoming) = tls.into_below();
            connection.client = End::H1(Side { socket, incoming, held: None });
            Err((refused, name))
        }
    }
}

impl Secured {
    /// Tells the trail of a request.
    pub(crate) fn record(&self, cx: &mut Cx) {
        cx.note("version", self.version);
        cx.note("cipher", self.cipher.unwrap_or("unknown"));
        let shown = self.proven.shown();
        cx.note("server-name", shown.server_name.as_deref().unwrap_or("none"));
        if let Some(identity) = &shown.identity {
            cx.note("identity", identity.name());
        }
        let why = match self.resumed {
            Some(true) => "the client came through TLS, in a session that it resumed",
            _ => "the client came through TLS",
        };
        cx.record("tls", "agree", why);
    }

    fn of(tls: &Tls, clients: Option<Arc<ClientsTls>>, now_ms: u64) -> Self {
        let session = tls.session();
        let chain = session.peer_certificates();
        let proven = Proven::new(tls.server_name(), chain, clients.as_deref());
        let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
        Self {
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: Some(suite.and_then(|suite| suite.as_str()).unwrap_or("unknown")),
            proven: proven.taken_by(clients, now_ms),
            resumed: Some(session.handshake_kind() == Some(HandshakeKind::Resumed)),
            protocol: match session.alpn_protocol() {
                Some(b"h2") => Protocol::H2,
                Some(b"acme-tls/1") => Protocol::Acme,
                _ => Protocol::Http1,
            },
        }
    }
}

/// Counts a failure and logs it.
fn note(connection: &Connection, refused: Refused, server_name: Option<Box<str>>) {
    connection.worker.counters().handshake_failures[refused as usize].add(1);
    if matches!(refused, Refused::Closed) {
        // Probes of load balancers do nothing else.
        return;
    }
    let client = connection.peer.address.map(|address| address.ip().to_string());
    let client = client.unwrap_or_default();
    let wanted = server_name.map(|name| format!(" that wanted `{name}`")).unwrap_or_default();
    log::info("tls", format!("no TLS with {client}{wanted}: {}", refused.reason()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_without_tls_is_framed_as_it_says() {
        let text = std::str::from_utf8(PLAIN).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn failures_stand_in_the_order_of_their_numbers() {
        for (at, refused) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(refused as usize, at);
        }
    }
}
