//! A bug in the task of one connection, and what others notice of it: nothing.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError};
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::{Dir, ServerConfig};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::sync::watch;
use tokio::task::spawn_local;

use super::*;

/// Says back what it hears, on streams in one direction; at `bug` its task panics.
struct Echo {
    terms: Arc<ServerConfig>,
    accepted: Cell<usize>,
}

impl Host for Echo {
    fn greet(&self, endpoint: &Rc<Endpoint>, newcomer: Newcomer) {
        let Some(link) = endpoint.accept(newcomer, Arc::clone(&self.terms)) else { return };
        self.accepted.set(self.accepted.get() + 1);
        let mut driver = Driver::new(Rc::clone(&link));
        spawn_local(poll_fn(move |cx| {
            driver.receive(cx);
            while let Some(happened) = driver.happened() {
                if !matches!(happened, Happened::OneWayStreams) {
                    continue;
                }
                while let Some(id) = link.accept(Dir::Uni) {
                    let Poll::Ready(Ok(Taken::Bytes(heard))) = link.read(id, 100) else { continue };
                    assert_ne!(&heard[..], b"bug", "what a client said brought this to light");
                    let answer = link.open().expect("the client lets us");
                    link.write(answer, heard, true).expect("it is open");
                }
            }
            driver.poll_send(cx)
        }));
    }

    fn lose(&self) {}

    fn complain(&self, error: io::Error) {
        panic!("{error}");
    }
}

/// The configurations of both sides.
fn sides(crossing: &Crossing) -> (Arc<ServerConfig>, quinn::ClientConfig) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = [&rustls::version::TLS13];
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .expect("a certificate");
    let server = QuicServerConfig::try_from(server).expect("it has what QUIC needs");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a certificate");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = QuicClientConfig::try_from(client).expect("it has what QUIC needs");
    let server = ServerConfig::new(Arc::new(server), crossing.token_key());
    (Arc::new(server), quinn::ClientConfig::new(Arc::new(client)))
}

/// Says `word`, and hears what comes back.
async fn say(connection: &Connection, word: &str) -> Result<String, ConnectionError> {
    let mut stream = connection.open_uni().await?;
    stream.write_all(word.as_bytes()).await.expect("it is open");
    let mut answer = connection.accept_uni().await?;
    Ok(String::from_utf8(answer.read_to_end(100).await.expect("an answer")).expect("text"))
}

#[tokio::test]
async fn a_panic_ends_the_connection_that_it_belongs_to_and_no_other() {
    let local = tokio::task::LocalSet::new();
    let scene = async {
        let (crossing, mut arrivals) = Crossing::new(1);
        let (terms, client) = sides(&crossing);
        let host = Echo { terms: Arc::clone(&terms), accepted: Cell::new(0) };
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let endpoint = Endpoint::new(socket, terms, crossing, 0).expect("a socket");
        let (stop, stopped) = watch::channel(false);
        let arrivals = arrivals.remove(0);
        let running = spawn_local(async move { endpoint.run(arrivals, stopped, &host).await });
        let mut clients =
            quinn::Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
        clients.set_default_client_config(client);
        let connect = async || {
            let connecting = clients.connect(address, "localhost").expect("a client");
            connecting.await.expect("somebody speaks QUIC")
        };
        let (calm, wild) = (connect().await, connect().await);
        assert_eq!(say(&calm, "one").await, Ok("one".into()));
        assert_eq!(say(&wild, "two").await, Ok("two".into()));
        // RFC 9000, 10.3: it is not known any more, and its client hears of it.
        assert_eq!(say(&wild, "bug").await, Err(ConnectionError::Reset));
        assert_eq!(say(&calm, "three").await, Ok("three".into()));
        assert_eq!(say(&connect().await, "four").await, Ok("four".into()));
        stop.send(true).expect("somebody listens");
        calm.close(0_u32.into(), b"");
        clients.wait_idle().await;
        drop(clients);
        running.await.expect("the endpoint is sound");
    };
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, local.run_until(scene)).await.expect("it ends");
}
