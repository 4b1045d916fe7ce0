//! A client of HTTP/3: QUIC by a foreign library, frames by hand, so that wrong ones can be sent.
//! A thread of its own drives it while the test waits for what it wants.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, mpsc};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wire::h3::{self, Section};

use crate::door::LIMIT;
use crate::tls::client::{Made, Wants};

/// A connection of QUIC.
pub(crate) struct Quic {
    runtime: Handle,
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    /// Its end would be an error of the connection.
    _control: Option<SendStream>,
    /// Ends the thread with the client.
    _alive: oneshot::Sender<()>,
}

/// A request that was sent, as far as it was.
pub(crate) struct Asked {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

/// Names and values.
pub(crate) type Lines = Vec<(String, String)>;

/// What came on the stream of a request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) fields: Lines,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Lines,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The lines in order of their names, without those that every message gets.
    pub(crate) fn plain(&self) -> String {
        let line = |(name, value): &(String, String)| format!("{name}: {value}\n");
        let mut lines: Vec<String> =
            self.fields.iter().filter(|(name, _)| name != "date").map(line).collect();
        lines.sort();
        format!("{}\n{}\n{}", self.status, lines.concat(), self.text())
    }
}

/// A frame.
pub(crate) fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    h3::write_varint(kind, &mut frame);
    h3::write_varint(payload.len() as u64, &mut frame);
    frame.extend_from_slice(payload);
    frame
}

pub(crate) const DATA: u64 = 0;
pub(crate) const HEADERS: u64 = 1;
pub(crate) const SETTINGS: u64 = 4;
pub(crate) const GOAWAY: u64 = 7;

/// A frame of field lines.
pub(crate) fn head(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut section = Vec::new();
    h3::begin_section(&mut section);
    for (name, value) in lines {
        h3::write_line(name.as_bytes(), value.as_bytes(), &mut section);
    }
    frame(HEADERS, &section)
}

/// The frame of a request's head.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)];
    head(&[&pseudo, fields].concat())
}

impl Quic {
    /// A client that behaves.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, trusted: &Made) -> Self {
        Self::connect_with(address, trusted, &[&[0], &frame(SETTINGS, &[])[..]].concat())
    }

    /// A client that begins by saying `control` on a stream in one direction.
    #[track_caller]
    pub(crate) fn connect_with(address: SocketAddr, trusted: &Made, control: &[u8]) -> Self {
        Self::connect_as(address, Wants::trusting(&[trusted]), control)
    }

    /// The same, by a client that wants more of TLS.
    #[track_caller]
    pub(crate) fn connect_as(address: SocketAddr, wants: Wants, control: &[u8]) -> Self {
        let (alive, gone) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let handle = runtime.handle().clone();
        std::thread::spawn(move || drop(runtime.block_on(gone)));
        let (endpoint, connection, control) = handle.block_on(async {
            let mut endpoint =
                Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
            endpoint.set_default_client_config(config(wants));
            let connecting = endpoint.connect(address, "localhost").expect("a client");
            let connection = tokio::time::timeout(LIMIT, connecting).await;
            let connection = connection.expect("it came in time").expect("somebody speaks QUIC");
            let mut stream = None;
            // In TLS 1.3 a client that is turned away for its certificate hears of it only now:
            // whoever waits for that asks `connection` why.
            if !control.is_empty()
                && let Ok(mut opened) = connection.open_uni().await
            {
                let _ = opened.write_all(control).await;
                stream = Some(opened);
            }
            (endpoint, connection, stream)
        });
        Self { runtime: handle, endpoint, connection, _control: control, _alive: alive }
    }

    /// Keeps the client from doing anything, until the sender is dropped.
    pub(crate) fn pause(&self) -> mpsc::Sender<()> {
        let (paused, over) = mpsc::channel();
        let (begun, beginning) = mpsc::channel();
        self.runtime.spawn(async move {
            begun.send(()).expect("somebody waits for it");
            let _ = over.recv();
        });
        beginning.recv_timeout(LIMIT).expect("it begins");
        paused
    }

    /// Waits for `future`.
    #[track_caller]
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let waited = self.runtime.block_on(async { tokio::time::timeout(LIMIT, future).await });
        waited.expect("it came in time")
    }

    /// Opens a stream and says `bytes` on it; with `ends` nothing follows.
    #[track_caller]
    pub(crate) fn open(&self, bytes: &[u8], ends: bool) -> Asked {
        self.wait(async {
            let (mut send, recv) = self.connection.open_bi().await.expect("a stream");
            send.write_all(bytes).await.expect("it is open");
            if ends {
                send.finish().expect("it is open");
            }
            Asked { send, recv }
        })
    }

    /// Sends a request with `body` and reads its answer.
    #[track_caller]
    pub(crate) fn ask(&self, head: &[u8], body: &[u8]) -> Answer {
        let body = if body.is_empty() { Vec::new() } else { frame(DATA, body) };
        let Asked { mut send, mut recv } = self.open(head, body.is_empty());
        let answer = self.wait(async {
            let sending = async {
                // One that is not wanted may be refused halfway; the answer says why.
                if !body.is_empty() && send.write_all(&body).await.is_ok() {
                    let _ = send.finish();
                }
            };
            tokio::join!(sending, read(&mut recv)).1
        });
        answer.expect("an answer")
    }

    /// Reads the answer to its end.
    #[track_caller]
    pub(crate) fn answer(&self, asked: &mut Asked) -> Result<Answer, quinn::ReadToEndError> {
        self.wait(read(&mut asked.recv))
    }

    /// Says `bytes` on a new stream in one direction.
    #[track_caller]
    pub(crate) fn say(&self, bytes: &[u8]) -> SendStream {
        self.wait(async {
            let mut stream = self.connection.open_uni().await.expect("a stream");
            stream.write_all(bytes).await.expect("it is open");
            stream
        })
    }

    /// The code with which the door ended the connection.
    #[track_caller]
    pub(crate) fn ended(&self) -> u64 {
        match self.wait(self.connection.closed()) {
            ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("it ended otherwise: {other}"),
        }
    }

    /// Waits until the door gives the stream up, and for which reason.
    #[track_caller]
    pub(crate) fn stopped(&self, asked: &mut Asked) -> Option<u64> {
        let stopped = self.wait(asked.send.stopped()).expect("the connection is there");
        stopped.map(VarInt::into_inner)
    }
}

fn config(wants: Wants) -> ClientConfig {
    let tls = wants.protocols(&["h3"]).into_config();
    let crypto = QuicClientConfig::try_from(tls).expect("it has what QUIC needs");
    ClientConfig::new(Arc::new(crypto))
}

/// Lets a client begin, by itself; it tells how that went.
pub(crate) fn begin(
    address: SocketAddr,
    trusted: &Made,
) -> mpsc::Receiver<Result<(), ConnectionError>> {
    let (tell, told) = mpsc::channel();
    let config = config(Wants::trusting(&[trusted]));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut endpoint =
                Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
            endpoint.set_default_client_config(config);
            let connecting = endpoint.connect(address, "localhost").expect("a client");
            // Nobody may wait for it any more.
            let _ = tell.send(connecting.await.map(drop));
        });
    });
    told
}

/// The first packets of so many clients.
#[track_caller]
pub(crate) fn first_packets(count: usize, trusted: &Made) -> Vec<Vec<u8>> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    server.set_read_timeout(Some(LIMIT)).expect("a time-out");
    let address = server.local_addr().expect("it is bound");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let mut endpoint =
        Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
    endpoint.set_default_client_config(config(Wants::trusting(&[trusted])));
    // They wait for an answer, and repeat themselves.
    let connecting: Vec<_> = (0..count)
        .map(|_| runtime.spawn(endpoint.connect(address, "localhost").expect("a client")))
        .collect();
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let id = |packet: &[u8]| packet[6..6 + usize::from(packet[5])].to_vec();
    let collecting = std::thread::spawn(move || {
        while packets.len() < count {
            let mut packet = vec![0; 2000];
            let bytes = server.recv(&mut packet).expect("a packet");
            packet.truncate(bytes);
            // A client may say hello in several.
            if packets.iter().all(|other| id(other) != id(&packet)) {
                packets.push(packet);
            }
        }
        packets
    });
    while !collecting.is_finished() {
        runtime.block_on(tokio::time::sleep(std::time::Duration::from_millis(1)));
    }
    connecting.iter().for_each(tokio::task::JoinHandle::abort);
    collecting.join().expect("they came")
}

async fn read(recv: &mut RecvStream) -> Result<Answer, quinn::ReadToEndError> {
    let bytes = recv.read_to_end(usize::MAX).await?;
    Ok(parse(&bytes))
}

/// Takes frames apart.
pub(crate) fn parse(mut bytes: &[u8]) -> Answer {
    let mut answer = Answer::default();
    while let Some((kind, length)) = h3::read_varint(bytes) {
        bytes = &bytes[length..];
        let (length, taken) = h3::read_varint(bytes).expect("a length");
        let (payload, rest) =
            bytes[taken..].split_at_checked(length as usize).expect("a whole frame");
        bytes = rest;
        match kind {
            DATA => answer.body.extend_from_slice(payload),
            HEADERS => take(&mut answer, payload),
            other => panic!("a frame of kind {other}"),
        }
    }
    assert!(bytes.is_empty(), "half a frame: {bytes:?}");
    answer
}

fn take(answer: &mut Answer, payload: &[u8]) {
    let mut section = Section::default();
    section.read(payload, 1 << 20).expect("a field section");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let mut lines: Lines = section.iter().map(|(name, value)| (text(name), text(value))).collect();
    if answer.status != 0 {
        answer.trailers = lines;
        return;
    }
    let (name, status) = lines.remove(0);
    assert_eq!(name, ":status");
    let status = status.parse().expect("a number");
    if status < 200 {
        answer.interim.push(status);
    } else {
        (answer.status, answer.fields) = (status, lines);
    }
}
