//! Clients of TLS, by a foreign hand: the library's own client, and certificates made for a test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version,
};

use crate::door::{Folder, LIMIT};

/// A certificate that nobody signed but itself, in files.
pub(crate) struct Made {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Made {
    /// For `names`, in files called `file`.
    pub(crate) fn new(folder: &Folder, file: &str, names: &[&str]) -> Self {
        Self::with(folder, file, names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
    }

    pub(crate) fn with(
        folder: &Folder,
        file: &str,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("issuer of {file}"));
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let made = Self {
            der: certificate.der().clone(),
            cert: format!("{file}.pem"),
            key: format!("{file}.key"),
        };
        folder.write(&made.cert, certificate.pem());
        folder.write(&made.key, key.serialize_pem());
        made
    }

    /// As it stands in `certificates`.
    pub(crate) fn written(&self) -> String {
        format!("{{ cert = \"{}\", key = \"{}\" }}", self.cert, self.key)
    }
}

/// The tables for a door that listens for HTTPS with these certificates.
pub(crate) fn tables(certificates: &[&Made]) -> String {
    let written: Vec<String> = certificates.iter().map(|made| made.written()).collect();
    format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\nhttps = \"127.0.0.1:0\"\n\
         [tls]\ncertificates = [{}]\n",
        written.join(", ")
    )
}

/// What a client wants.
#[derive(Clone)]
pub(crate) struct Wants {
    config: ClientConfig,
    name: ServerName<'static>,
}

impl Wants {
    /// A client that trusts `trusted`, and nobody else.
    pub(crate) fn trusting(trusted: &[&Made]) -> Self {
        Self::versions(trusted, rustls::ALL_VERSIONS)
    }

    /// A client of TLS 1.2.
    pub(crate) fn old(trusted: &[&Made]) -> Self {
        Self::versions(trusted, &[&version::TLS12])
    }

    fn versions(trusted: &[&Made], versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        for made in trusted {
            roots.add(made.der.clone()).expect("a certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_webpki_verifier(verifier.build().expect("roots"))
            .with_no_client_auth();
        Self { config, name: "localhost".try_into().expect("a name") }
    }

    /// Asks for `name`.
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.name = name.to_owned().try_into().expect("a name");
        self
    }

    /// Offers `protocols` in ALPN.
    pub(crate) fn protocols(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        self
    }

    /// Changes whatever else there is.
    pub(crate) fn change(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// As a part of other clients.
    pub(crate) fn into_config(self) -> ClientConfig {
        self.config
    }

    /// A session that has not begun.
    pub(crate) fn session(&self) -> ClientConnection {
        ClientConnection::new(Arc::new(self.config.clone()), self.name.clone()).expect("a client")
    }

    /// Connects, and shakes hands.
    ///
    /// # Errors
    /// What TLS has against it.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Encrypted> {
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        self.over(stream)
    }

    /// As [`Self::connect`], on a connection that stands.
    pub(crate) fn over(&self, stream: TcpStream) -> io::Result<Encrypted> {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        let mut stream = StreamOwned::new(self.session(), stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Encrypted { stream })
    }

    /// Why the door and this client do not come together.
    #[track_caller]
    pub(crate) fn refusal(&self, address: SocketAddr) -> String {
        let refused = self.connect(address).and_then(|mut connected| {
            // In TLS 1.3 the client is done before the server has looked at what it says.
            connected.stream.read_exact(&mut [0])
        });
        refused.expect_err("it is refused").to_string()
    }
}

/// A connection of TLS.
pub(crate) struct Encrypted {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Encrypted {
    #[track_caller]
    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).expect("it is sent");
        self.stream.flush().expect("it is sent");
    }

    /// Everything up to the end.
    ///
    /// # Errors
    /// If the connection breaks, or ends without saying so.
    pub(crate) fn read_to_end(&mut self) -> io::Result<String> {
        let mut all = Vec::new();
        self.stream.read_to_end(&mut all)?;
        Ok(String::from_utf8_lossy(&all).into_owned())
    }

    /// Head and body of a response that says its length.
    #[track_caller]
    pub(crate) fn read_response(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        let count = crate::wire::field(&head, "content-length").map_or("0", |count| count);
        let mut body = vec![0; count.parse().expect("a number")];
        self.stream.read_exact(&mut body).expect("a body");
        head + &String::from_utf8_lossy(&body)
    }

    /// Sends a `GET` and reads the response.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.read_response()
    }

    /// The names of the certificate that was shown, as the test made it.
    pub(crate) fn shown(&self) -> &CertificateDer<'static> {
        &self.stream.conn.peer_certificates().expect("it was shown one")[0]
    }
}
