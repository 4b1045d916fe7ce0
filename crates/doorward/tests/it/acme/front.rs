//! A directory in front of Pebble, for what Pebble does not do: renewal information, and limits.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::pebble::Pebble;
use crate::door::{Folder, Lines};
use crate::tls::client::Wants;

/// The port of the front, beside those of Pebble.
const PORT: u16 = 14001;

/// What is answered under a path: the status line and fields behind it, and the body.
type Answers = Arc<Mutex<HashMap<String, (String, String)>>>;

pub(crate) struct Front {
    answers: Answers,
    /// The paths that were asked for, one a line.
    pub(crate) asked: Lines,
    address: SocketAddr,
}

impl Front {
    /// Starts it with Pebble's directory, where each of `replaced` leads to the front itself.
    #[track_caller]
    pub(crate) fn start(pebble: &Pebble, folder: &Folder, replaced: &[&str]) -> Self {
        let address = SocketAddr::from((pebble.address, PORT));
        let client = Wants::trusting(&[&pebble.own]).name(&pebble.address.to_string());
        let at = pebble.directory();
        let at = at.strip_prefix("https://").expect("a URL").split('/').next().expect("an address");
        let mut connected = client.connect(at.parse().expect("an address")).expect("it listens");
        connected.send(format!("GET /dir HTTP/1.0\r\nHost: {at}\r\n\r\n"));
        let answer = connected.read_to_end().expect("a directory");
        let body = answer.split_once("\r\n\r\n").expect("a head").1;
        let mut directory: serde_json::Value = serde_json::from_str(body).expect("JSON");
        for name in replaced {
            directory[*name] = format!("https://{address}/{name}").into();
        }
        let key = PrivateKeyDer::from_pem_file(folder.path().join(&pebble.own.key)).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![pebble.own.der.clone()], key)
            .expect("a certificate");
        let front = Self { answers: Answers::default(), asked: Lines::default(), address };
        front.answer("/dir", "200 OK\r\n", &directory.to_string());
        let listener = TcpListener::bind(address).expect("the address is this test's");
        let (answers, (asked, mut said)) =
            (Arc::clone(&front.answers), std::io::pipe().expect("a pipe"));
        front.asked.follow(asked);
        let config = Arc::new(config);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let Ok(session) = ServerConnection::new(Arc::clone(&config)) else { return };
                // A client that breaks off is no concern of the next one.
                let _ = serve(StreamOwned::new(session, stream), &answers, &mut said);
            }
        });
        front
    }

    /// From now on `path`, and all that begins with it, is answered so.
    pub(crate) fn answer(&self, path: &str, head: &str, body: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path.to_owned(), (head.to_owned(), body.to_owned()));
    }

    /// The tables of Pebble with this directory instead.
    pub(crate) fn tables(&self, pebble: &Pebble) -> String {
        pebble.tables().replace(&pebble.directory(), &format!("https://{}/dir", self.address))
    }
}

fn serve(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    answers: &Answers,
    said: &mut impl Write,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = crate::wire::field(&head, "content-length").map_or("0", |length| length);
    let mut body = vec![0; length.parse().unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (answer, content) = {
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = answers.iter().find(|(begins, _)| path.starts_with(begins.as_str()));
        known
            .map_or_else(|| ("404 Not Found\r\n".into(), String::new()), |(_, known)| known.clone())
    };
    write!(
        stream,
        "HTTP/1.1 {answer}Content-Length: {}\r\nConnection: close\r\n\r\n{content}",
        content.len()
    )?;
    stream.conn.send_close_notify();
    stream.flush()?;
    writeln!(said, "{path}")
}
