//! A service's TLS: ends it, and passes on what is inside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, Signed};
use crate::door::LIMIT;

/// What a service saw of a handshake.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) server_name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) resumed: bool,
    /// Whether the door has shown a certificate.
    pub(crate) certificate: bool,
}

/// TLS before a service that speaks none.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    seen: Receiver<Result<Seen, String>>,
    _stop: oneshot::Sender<()>,
}

/// The TLS of a service.
pub(crate) fn config(
    signed: &Signed,
    clients: Option<&Authority>,
    protocols: &[&str],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("roots"))
        }
    };
    let config = builder.with_single_cert(signed.chain.clone(), signed.key.clone_key());
    let mut config = config.expect("its key");
    config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
    config
}

impl Front {
    /// Before the service at `behind`.
    pub(crate) fn new(config: ServerConfig, behind: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("a socket");
        let config = Arc::new(config);
        let (stop, stopped) = oneshot::channel();
        let (sender, seen) = channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let accepting = async {
                    loop {
                        let (stream, _) = listener.accept().await.expect("a connection");
                        tokio::spawn(pass(stream, Arc::clone(&config), behind, sender.clone()));
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, seen, _stop: stop }
    }

    /// What came of the next connection.
    #[track_caller]
    pub(crate) fn seen(&self) -> Result<Seen, String> {
        self.seen.recv_timeout(LIMIT).expect("the door connects")
    }

    /// Whether nobody connected.
    pub(crate) fn saw_nobody(&self) -> bool {
        self.seen.try_recv().is_err()
    }
}

async fn pass(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    behind: SocketAddr,
    seen: Sender<Result<Seen, String>>,
) {
    let mut stream = match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            let _ = seen.send(Err(error.to_string()));
            return;
        }
    };
    let (_, session) = stream.get_ref();
    let _ = seen.send(Ok(Seen {
        server_name: session.server_name().map(ToOwned::to_owned),
        protocol: session
            .alpn_protocol()
            .map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        certificate: session.peer_certificates().is_some(),
    }));
    if let Ok(mut service) = TcpStream::connect(behind).await {
        let _ = copy_bidirectional(&mut stream, &mut service).await;
        let _ = stream.shutdown().await;
    }
}
