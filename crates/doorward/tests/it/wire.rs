//! One end of a connection that says and hears exact bytes, of a client or of an upstream.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::door::LIMIT;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In good order: what came is all there is.
    Closed,
    /// Broken: what came is not all.
    Reset,
}

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Read too far.
    ahead: Vec<u8>,
    /// Everything that was read, for messages.
    heard: Vec<u8>,
}

impl Wire {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, LIMIT).expect("somebody listens"))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_write_timeout(Some(LIMIT)).expect("a socket");
        Self {
            stream,
            ahead: Vec::new(),
            heard: Vec::new(),
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Says `bytes`.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        sent.unwrap_or_else(|error| panic!("cannot send: {error}; heard {}", self.heard()));
    }

    /// Says `bytes` as far as the other side still listens.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends our side; the other may go on.
    pub(crate) fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Breaks the connection, so that the other side sees an error.
    pub(crate) fn reset(self) {
        let linger = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        linger.expect("a socket");
    }

    /// Reads more; zero bytes are the end.
    #[track_caller]
    fn fill(&mut self, until: Instant) -> Result<usize, End> {
        let left = until.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).expect("a socket");
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.ahead.extend_from_slice(&bytes[..count]);
                self.heard.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.fill(until),
            Err(error) => panic!("waited in vain: {error}; heard {}", self.heard()),
        }
    }

    /// Waits for a byte; false if the end comes instead.
    #[track_caller]
    pub(crate) fn has_more(&mut self) -> bool {
        // An idle connection may be kept for longer than a test waits for anything.
        !self.ahead.is_empty()
            || self
                .fill(Instant::now() + 10 * LIMIT)
                .is_ok_and(|read| read > 0)
    }

    /// Everything up to the end, and how it ended.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let until = Instant::now() + LIMIT;
        let end = loop {
            match self.fill(until) {
                Ok(0) => break End::Closed,
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        (std::mem::take(&mut self.ahead), end)
    }

    /// Exactly `count` bytes.
    #[track_caller]
    pub(crate) fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let until = Instant::now() + LIMIT;
        while self.ahead.len() < count {
            match self.fill(until) {
                Ok(0) | Err(_) => panic!("ended early; heard {}", self.heard()),
                Ok(_) => {}
            }
        }
        self.ahead.drain(..count).collect()
    }

    /// Everything up to `mark`, and `mark`.
    #[track_caller]
    pub(crate) fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        let until = Instant::now() + LIMIT;
        loop {
            let at = self
                .ahead
                .windows(mark.len())
                .position(|bytes| bytes == mark);
            if let Some(at) = at {
                return self.ahead.drain(..at + mark.len()).collect();
            }
            match self.fill(until) {
                Ok(0) | Err(_) => panic!("ended early; heard {}", self.heard()),
                Ok(_) => {}
            }
        }
    }

    /// The next head, with the empty line behind it.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> String {
        text(&self.read_until(b"\r\n\r\n"))
    }

    /// A request, head and body, as its bytes are.
    #[track_caller]
    pub(crate) fn read_request(&mut self) -> String {
        let head = self.read_head();
        let body = self.read_body(&head, false);
        head + &text(&body)
    }

    /// A final response, with the interim ones before it, as its bytes are. A body that lasts until
    /// the end is read until then.
    #[track_caller]
    pub(crate) fn read_response(&mut self) -> String {
        let mut before = String::new();
        loop {
            let head = self.read_head();
            if head.starts_with("HTTP/1.1 1") && !head.starts_with("HTTP/1.1 101") {
                before += &head;
                continue;
            }
            let status = head.get(9..12).expect("a status line");
            let body = match status {
                "101" | "204" | "304" => Vec::new(),
                _ => self.read_body(&head, true),
            };
            return before + &head + &text(&body);
        }
    }

    #[track_caller]
    fn read_body(&mut self, head: &str, until_close: bool) -> Vec<u8> {
        if let Some(coding) = field(head, "transfer-encoding") {
            assert_eq!(coding, "chunked", "{head}");
            let mut body = Vec::new();
            loop {
                let line = self.read_until(b"\r\n");
                let digits = text(&line);
                body.extend(line);
                let digits = digits.trim_end().split(';').next().unwrap_or_default();
                let count = usize::from_str_radix(digits, 16).expect("a chunk size");
                if count == 0 {
                    break;
                }
                body.extend(self.read_exact(count + 2));
            }
            loop {
                let line = self.read_until(b"\r\n");
                body.extend(&line);
                if line == b"\r\n" {
                    return body;
                }
            }
        }
        match field(head, "content-length") {
            Some(count) => self.read_exact(count.parse().expect("a length")),
            None if until_close => self.read_to_end().0,
            None => Vec::new(),
        }
    }

    /// Waits for the end; nothing may come before it.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) -> End {
        let (bytes, end) = self.read_to_end();
        assert_eq!(text(&bytes), "", "nothing was expected any more");
        end
    }

    fn heard(&self) -> String {
        format!("{:?}", text(&self.heard))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a connection that has heard {}", self.heard())
    }
}

/// The value of the field `name` (in lower case) in `head`.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let head = head.split_once("\r\n\r\n").map_or(head, |(head, _)| head);
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the door's connections arrive, one after the other, when the test takes them.
pub(crate) struct Upstream(TcpListener);

impl Upstream {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    /// The next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> Wire {
        let until = Instant::now() + LIMIT;
        self.0.set_nonblocking(false).expect("a socket");
        // A receive time-out bounds `accept` too.
        let left = until.saturating_duration_since(Instant::now());
        SockRef::from(&self.0)
            .set_read_timeout(Some(left))
            .expect("a socket");
        match self.0.accept() {
            Ok((stream, _)) => Wire::over(stream),
            Err(error) => panic!("nobody connected: {error}"),
        }
    }

    /// Whether a connection waits to be accepted.
    pub(crate) fn has_visitor(&self) -> bool {
        self.0.set_nonblocking(true).expect("a socket");
        let accepted = self.0.accept();
        self.0.set_nonblocking(false).expect("a socket");
        accepted.is_ok()
    }

    /// Nobody listens there any more.
    pub(crate) fn close(self) -> SocketAddr {
        self.address()
    }
}

/// An upstream that answers by itself, each connection in a thread, and remembers what it was sent.
pub(crate) struct Service {
    address: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Answers each request with what `answer` makes of its bytes. An answer that says `Connection:
    /// close`, or has no length, ends the connection.
    pub(crate) fn new(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let upstream = Upstream::new();
        let address = upstream.address();
        let received = Arc::<Mutex<Vec<String>>>::default();
        let (answer, kept) = (Arc::new(answer), Arc::clone(&received));
        thread::spawn(move || {
            while let Ok((stream, _)) = upstream.0.accept() {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                thread::spawn(move || {
                    let mut wire = Wire::over(stream);
                    while wire.has_more() {
                        let request = wire.read_request();
                        let answer = answer(&request);
                        lock(&kept).push(request);
                        let ends = answer.contains("\r\nConnection: close\r\n");
                        if wire.try_send(answer).is_err() || ends {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, received }
    }

    /// Answers each request with `200` and `body`.
    pub(crate) fn saying(body: &str) -> Self {
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        Self::new(move |_| answer.clone())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, or since this was last called.
    pub(crate) fn take_received(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.received))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
