//! One connection from the client to the proxy. It has at most one request under way.

use crate::sys::Socket;
use crate::wire::{HeadEnd, Wire};

pub struct Client {
    socket: Socket,
    state: State,
    head_end: HeadEnd,
    head: Vec<u8>,
    /// When the request under way was due, and which body it asked for.
    pub due: u64,
    body: usize,
}

enum State {
    Idle,
    Head,
    Body { received: usize },
}

/// What a piece of input has led to.
#[derive(PartialEq, Eq, Debug)]
pub enum Progress {
    Waiting,
    Answered,
}

impl Client {
    pub fn new(socket: Socket) -> Self {
        Self {
            socket,
            state: State::Idle,
            head_end: HeadEnd::default(),
            head: Vec::new(),
            due: 0,
            body: 0,
        }
    }

    pub fn is_waiting(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    pub fn start(&mut self, request: &[u8], body: usize, due: u64) -> Result<(), String> {
        // One small request is all that is ever under way: a full buffer is an error.
        match self.socket.send(request) {
            Ok(Some(count)) if count == request.len() => {}
            Ok(_) => return Err("client: request sent in part only".into()),
            Err(error) => return Err(format!("client: send: {error}")),
        }
        self.state = State::Head;
        self.head.clear();
        self.due = due;
        self.body = body;
        Ok(())
    }

    /// Takes in what has arrived.
    pub fn read(&mut self, wire: &Wire, scratch: &mut [u8]) -> Result<Progress, String> {
        loop {
            let count = match self.socket.recv(scratch) {
                Ok(Some(0)) => return Err("client: the proxy closed the connection".into()),
                Ok(Some(count)) => count,
                Ok(None) => return Ok(Progress::Waiting),
                Err(error) => return Err(format!("client: receive: {error}")),
            };
            if self.take(&scratch[..count], wire)? == Progress::Answered {
                return Ok(Progress::Answered);
            }
            if count < scratch.len() {
                return Ok(Progress::Waiting);
            }
        }
    }

    fn take(&mut self, mut piece: &[u8], wire: &Wire) -> Result<Progress, String> {
        if let State::Head = self.state {
            let Some(length) = self.head_end.find(piece) else {
                self.head.extend_from_slice(piece);
                return Ok(Progress::Waiting);
            };
            self.head.extend_from_slice(&piece[..length]);
            wire.check_response_head(&self.head)?;
            self.state = State::Body { received: 0 };
            piece = &piece[length..];
        }
        let State::Body { received } = self.state else {
            return Err("client: bytes that nobody asked for".into());
        };
        let end = received + piece.len();
        if end > wire.size {
            return Err("client: more bytes than the origin sent".into());
        }
        if wire.verify && piece != &wire.body(self.body)[received..end] {
            return Err(format!("client: body differs in bytes {received}..{end}"));
        }
        if end == wire.size {
            self.state = State::Idle;
            return Ok(Progress::Answered);
        }
        self.state = State::Body { received: end };
        Ok(Progress::Waiting)
    }
}

impl std::os::fd::AsRawFd for Client {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}
