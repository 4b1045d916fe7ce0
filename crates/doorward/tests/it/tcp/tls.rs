//! A real client and a real server of TLS, which meet through the door.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

use crate::door::LIMIT;

/// A service that ends TLS itself: it greets each client with its name, then echoes one line.
pub(crate) struct TlsService {
    pub(crate) address: SocketAddr,
    roots: Arc<RootCertStore>,
}

impl TlsService {
    /// It has a certificate for `host`.
    pub(crate) fn new(host: &str) -> Self {
        Self::which(host, false)
    }

    /// It wants to be asked for TLS first, as PostgreSQL does.
    pub(crate) fn of_postgres(host: &str) -> Self {
        Self::which(host, true)
    }

    fn which(host: &str, postgres: bool) -> Self {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key))
            .expect("they fit");
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (config, greeting) = (Arc::new(config), format!("this is {host}\n"));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, greeting) = (Arc::clone(&config), greeting.clone());
                thread::spawn(move || serve(stream, config, &greeting, postgres));
            }
        });
        Self { address, roots: Arc::new(roots) }
    }

    /// As [`Self::ask`], by a client that asks for TLS first, and in vain for GSSAPI.
    pub(crate) fn ask_as_postgres(&self, address: SocketAddr, name: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        for (asked, expected) in [(GSS_REQUEST, b'N'), (TLS_REQUEST, b'S')] {
            stream.write_all(&asked)?;
            let mut answer = [0];
            stream.read_exact(&mut answer)?;
            assert_eq!(answer, [expected]);
        }
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        talk_over(client(&self.roots), stream, name)
    }

    /// A connection to `address` by a client that asks for `name` and trusts this service only; or
    /// what TLS says against it.
    pub(crate) fn ask(&self, address: SocketAddr, name: &str) -> io::Result<String> {
        let config = client(&self.roots);
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        talk(config, address, name)
    }
}

/// What TLS says about a connection to `address` that no service ever gets.
pub(crate) fn refusal(address: SocketAddr, name: &str) -> String {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let refused = talk(client(&Arc::new(RootCertStore::empty())), address, name);
    refused.expect_err("nobody is there").to_string()
}

/// The first message of a client that asks for `name`.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    let config = client(&Arc::new(RootCertStore::empty()));
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("memory");
    bytes
}

fn talk(
    config: ClientConfig,
    address: SocketAddr,
    name: ServerName<'static>,
) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    talk_over(config, stream, name)
}

fn talk_over(
    config: ClientConfig,
    stream: TcpStream,
    name: ServerName<'static>,
) -> io::Result<String> {
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = StreamOwned::new(client, stream);
    stream.write_all(b"hello\n")?;
    let mut all = String::new();
    stream.read_to_string(&mut all)?;
    Ok(all)
}

fn client(roots: &Arc<RootCertStore>) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What clients of PostgreSQL ask, as wire captures have it.
pub(crate) const TLS_REQUEST: [u8; 8] = *b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS_REQUEST: [u8; 8] = *b"\0\0\0\x08\x04\xd2\x16\x30";

fn serve(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    greeting: &str,
    postgres: bool,
) -> io::Result<()> {
    if postgres {
        let mut asked = [0; 8];
        stream.read_exact(&mut asked)?;
        assert_eq!(asked, TLS_REQUEST);
        stream.write_all(b"S")?;
    }
    let connection = ServerConnection::new(config).expect("a server");
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(greeting.as_bytes())?;
    let mut line = [0; 6];
    stream.read_exact(&mut line)?;
    stream.write_all(&line)?;
    stream.conn.send_close_notify();
    stream.flush()
}
