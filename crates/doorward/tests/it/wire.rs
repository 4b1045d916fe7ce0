//! One end of a connection that says and hears exact bytes, of a client or of an upstream.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{SockRef, Socket};

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
    stream: Socket,
    /// Read too far.
    ahead: Vec<u8>,
    /// What was read, for messages; only the start of it.
    heard: Vec<u8>,
}

/// How much of what was heard stands in a message.
const HEARD_BYTES_MAX: usize = 4096;

impl Wire {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, LIMIT).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream)
    }

    /// A client from `source`, which must be an address of this machine.
    #[track_caller]
    pub(crate) fn connect_from(source: &str, address: SocketAddr) -> Self {
        let source: SocketAddr = format!("{source}:0").parse().expect("an address");
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.bind(&source.into()).expect("an address of this machine");
        socket.connect_timeout(&address.into(), LIMIT).expect("somebody listens");
        socket.set_tcp_nodelay(true).expect("a socket");
        Self::over(socket)
    }

    pub(crate) fn over(stream: impl Into<Socket>) -> Self {
        let stream = stream.into();
        stream.set_write_timeout(Some(LIMIT)).expect("a socket");
        Self { stream, ahead: Vec::new(), heard: Vec::new() }
    }

    /// Says `bytes`.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        sent.unwrap_or_else(|error| panic!("cannot send: {error}; {self:?}"));
    }

    /// Says `bytes` as far as the other side still listens.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Says as much of `bytes` as fits, until the other side takes no more for `pause`.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], pause: Duration) -> usize {
        self.stream.set_write_timeout(Some(pause)).expect("a socket");
        let mut sent = 0;
        while let Ok(count) = self.stream.write(&bytes[sent..]) {
            sent += count;
            if sent == bytes.len() {
                break;
            }
        }
        self.stream.set_write_timeout(Some(LIMIT)).expect("a socket");
        sent
    }

    /// A second handle of the same connection, for another thread.
    pub(crate) fn other_hand(&self) -> Self {
        Self::over(self.stream.try_clone().expect("a descriptor"))
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

    /// Takes little at a time from the other side, so that it has to wait.
    pub(crate) fn narrow(&self) {
        self.stream.set_recv_buffer_size(16 * 1024).expect("a socket");
    }

    /// Reads more until `until`; an error is the end.
    #[track_caller]
    fn fill(&mut self, until: Instant) -> Result<(), End> {
        let left = until.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).expect("a socket");
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(End::Closed),
            Ok(count) => {
                self.ahead.extend_from_slice(&bytes[..count]);
                let room = HEARD_BYTES_MAX.saturating_sub(self.heard.len());
                self.heard.extend_from_slice(&bytes[..count.min(room)]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.fill(until),
            Err(error) => panic!("waited in vain: {error}; {self:?}"),
        }
    }

    /// Waits for a byte; false if the end comes instead.
    #[track_caller]
    pub(crate) fn has_more(&mut self) -> bool {
        // An idle connection may be kept for longer than a test waits for anything.
        !self.ahead.is_empty() || self.fill(Instant::now() + 10 * LIMIT).is_ok()
    }

    /// What comes next, whatever it is; `None` at the end.
    #[track_caller]
    pub(crate) fn read_some(&mut self) -> Option<Vec<u8>> {
        self.has_more().then(|| std::mem::take(&mut self.ahead))
    }

    /// Everything up to the end, and how it ended.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let until = Instant::now() + LIMIT;
        let end = loop {
            if let Err(end) = self.fill(until) {
                break end;
            }
        };
        (std::mem::take(&mut self.ahead), end)
    }

    /// Waits for the end; nothing may come before it.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) -> End {
        let (bytes, end) = self.read_to_end();
        assert_eq!(text(&bytes), "", "nothing was expected any more");
        end
    }

    /// Exactly `count` bytes.
    #[track_caller]
    pub(crate) fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let taken = self.take(count);
        self.whole(taken)
    }

    /// Everything up to `mark`, and `mark`.
    #[track_caller]
    pub(crate) fn read_until(&mut self, mark: &str) -> String {
        let taken = self.take_until(mark.as_bytes());
        text(&self.whole(taken))
    }

    /// The next head, with the empty line behind it.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> String {
        self.read_until("\r\n\r\n")
    }

    /// A request, head and body, as its bytes are.
    #[track_caller]
    pub(crate) fn read_request(&mut self) -> String {
        let taken = self.take_message(false);
        self.whole(taken)
    }

    /// A final response, with the interim ones before it, as its bytes are. A body that lasts until
    /// the end is read until then.
    #[track_caller]
    pub(crate) fn read_response(&mut self) -> String {
        let mut all = String::new();
        loop {
            let taken = self.take_message(true);
            all += &self.whole(taken);
            let last = all.rfind("HTTP/1.1 ").expect("a status line");
            if !all[last + 9..].starts_with('1') || all[last + 9..].starts_with("101") {
                return all;
            }
        }
    }

    #[track_caller]
    fn whole<T>(&self, taken: Result<T, End>) -> T {
        match taken {
            Ok(taken) => taken,
            Err(end) => panic!("{end:?} too early; {self:?}"),
        }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, End> {
        let until = Instant::now() + LIMIT;
        while self.ahead.len() < count {
            self.fill(until)?;
        }
        Ok(self.ahead.drain(..count).collect())
    }

    fn take_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, End> {
        let until = Instant::now() + LIMIT;
        loop {
            let at = self.ahead.windows(mark.len()).position(|bytes| bytes == mark);
            if let Some(at) = at {
                return Ok(self.ahead.drain(..at + mark.len()).collect());
            }
            self.fill(until)?;
        }
    }

    fn take_message(&mut self, response: bool) -> Result<String, End> {
        let mut message = self.take_until(b"\r\n\r\n")?;
        let head = text(&message);
        let status = if response { head.get(9..12).unwrap_or_default() } else { "" };
        let bodiless = status.starts_with('1') || matches!(status, "204" | "304");
        if bodiless {
            return Ok(head);
        }
        if let Some(coding) = field(&head, "transfer-encoding") {
            assert_eq!(coding, "chunked", "{head}");
            loop {
                let line = self.take_until(b"\r\n")?;
                message.extend(&line);
                let line = text(&line);
                let digits = line.trim_end().split(';').next().unwrap_or_default();
                match usize::from_str_radix(digits, 16).expect("a chunk size") {
                    0 => break,
                    count => message.extend(self.take(count + 2)?),
                }
            }
            loop {
                let line = self.take_until(b"\r\n")?;
                message.extend(&line);
                if line == b"\r\n" {
                    break;
                }
            }
        } else if let Some(count) = field(&head, "content-length") {
            message.extend(self.take(count.parse().expect("a length"))?);
        } else if response {
            message.extend(self.read_to_end().0);
        }
        Ok(text(&message))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection heard {:?}", text(&self.heard))
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
        self.try_accept(LIMIT).expect("the door connects")
    }

    /// The next request, which is answered: one that is not is asked once more.
    #[track_caller]
    pub(crate) fn is_asked(&self) -> String {
        let mut service = self.accept();
        let request = service.read_request();
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        request
    }

    /// The next connection, if it comes within `time`.
    pub(crate) fn try_accept(&self, time: Duration) -> Option<Wire> {
        // A receive time-out bounds `accept` too.
        SockRef::from(&self.0).set_read_timeout(Some(time)).expect("a socket");
        let (stream, _) = self.0.accept().ok()?;
        stream.set_nodelay(true).expect("a socket");
        Some(Wire::over(stream))
    }
}

/// An address that refuses connections, and that nobody else can get meanwhile.
pub(crate) struct Refusing(Socket);

impl Refusing {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).expect("a free port");
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.0.local_addr().expect("it is bound");
        address.as_socket().expect("it is of the Internet")
    }

    /// From now on it takes connections.
    pub(crate) fn listen(self) -> Upstream {
        self.0.listen(16).expect("it is bound");
        Upstream(self.0.into())
    }
}

/// An address that neither accepts nor refuses: its queue is full.
pub(crate) struct Jammed(Socket, Vec<TcpStream>);

impl Jammed {
    pub(crate) fn new() -> Self {
        let listener = Refusing::new().0;
        listener.listen(0).expect("it is bound");
        let mut jammed = Self(listener, Vec::new());
        let pause = Duration::from_millis(200);
        while let Ok(stream) = TcpStream::connect_timeout(&jammed.address(), pause) {
            jammed.1.push(stream);
        }
        jammed
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.0.local_addr().expect("it is bound");
        address.as_socket().expect("it is of the Internet")
    }
}

/// [`Upstream`] on a Unix socket.
pub(crate) struct UnixUpstream(UnixListener);

impl UnixUpstream {
    pub(crate) fn new(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a short enough path");
        SockRef::from(&listener).set_read_timeout(Some(LIMIT)).expect("a socket");
        Self(listener)
    }

    #[track_caller]
    pub(crate) fn accept(&self) -> Wire {
        let accepted: io::Result<(UnixStream, _)> = self.0.accept();
        Wire::over(accepted.expect("the door connects").0)
    }
}

/// An upstream that answers by itself, each connection in a thread, and remembers what it was sent.
pub(crate) struct Service {
    address: SocketAddr,
    received: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Service {
    /// Answers each request with what `answer` makes of its bytes. An answer with `Connection:
    /// close` in it ends the connection.
    pub(crate) fn new(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let upstream = Upstream::new();
        let address = upstream.address();
        let received = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let (answer, kept) = (Arc::new(answer), Arc::clone(&received));
        thread::spawn(move || {
            SockRef::from(&upstream.0).set_read_timeout(None).expect("a socket");
            loop {
                let Ok((stream, _)) = upstream.0.accept() else {
                    return;
                };
                stream.set_nodelay(true).expect("a socket");
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                thread::spawn(move || answer_all(Wire::over(stream), &*answer, &kept));
            }
        });
        Self { address, received }
    }

    /// Answers each request with `200` and `body`.
    pub(crate) fn saying(body: &str) -> Self {
        let answer = ok(body);
        Self::new(move |_| answer.clone())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests since this was last called.
    pub(crate) fn take_received(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.received.0))
    }

    /// Waits until `count` requests have been received since they were last taken, and takes them.
    #[track_caller]
    pub(crate) fn wait_received(&self, count: usize) -> Vec<String> {
        let (received, changed) = &*self.received;
        let missing = |received: &mut Vec<String>| received.len() < count;
        let waited = changed.wait_timeout_while(lock(received), LIMIT, missing);
        let (mut received, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "only received {received:?}");
        std::mem::take(&mut *received)
    }
}

fn answer_all(
    mut wire: Wire,
    answer: &dyn Fn(&str) -> String,
    kept: &(Mutex<Vec<String>>, Condvar),
) {
    while wire.has_more() {
        // What breaks off is no request.
        let Ok(request) = wire.take_message(false) else {
            return;
        };
        let answer = answer(&request);
        lock(&kept.0).push(request);
        kept.1.notify_all();
        if wire.try_send(&answer).is_err() || answer.contains("\r\nConnection: close\r\n") {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A whole `200`.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
