//! One connection from the proxy to the origin.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use crate::sys::Socket;
use crate::wire::{HeadEnd, Wire};

pub struct OriginConnection {
    socket: Socket,
    head_end: HeadEnd,
    /// The head so far; kept only by `--verify`.
    head: Vec<u8>,
    /// Responses owed, the first of them `sent` bytes sent.
    owed: VecDeque<Rc<Vec<u8>>>,
    sent: usize,
}

impl OriginConnection {
    pub fn new(socket: Socket) -> Self {
        Self {
            socket,
            head_end: HeadEnd::default(),
            head: Vec::new(),
            owed: VecDeque::new(),
            sent: 0,
        }
    }

    /// Takes in requests. `Ok(false)`: the proxy has closed the connection.
    pub fn read(
        &mut self,
        wire: &Wire,
        same_for_all: &Rc<Vec<u8>>,
        scratch: &mut [u8],
    ) -> Result<bool, String> {
        loop {
            let count = match self.socket.recv(scratch) {
                Ok(Some(0)) => return Ok(false),
                Ok(Some(count)) => count,
                Ok(None) => return Ok(true),
                // A proxy may reset connections that it keeps for reuse.
                Err(_) if self.owed.is_empty() => return Ok(false),
                Err(error) => return Err(format!("origin: receive: {error}")),
            };
            let mut rest = &scratch[..count];
            while let Some(length) = self.head_end.find(rest) {
                let response = if wire.verify {
                    self.head.extend_from_slice(&rest[..length]);
                    let body = wire.check_request_head(&self.head)?;
                    self.head.clear();
                    Rc::new(wire.response(body))
                } else {
                    same_for_all.clone()
                };
                self.owed.push_back(response);
                rest = &rest[length..];
            }
            if wire.verify {
                self.head.extend_from_slice(rest);
            }
            if count < scratch.len() {
                return Ok(true);
            }
        }
    }

    /// Sends what is owed, as far as the kernel takes it.
    pub fn write(&mut self) -> io::Result<()> {
        while let Some(response) = self.owed.front() {
            let Some(count) = self.socket.send(&response[self.sent..])? else {
                return Ok(());
            };
            self.sent += count;
            if self.sent == response.len() {
                self.owed.pop_front();
                self.sent = 0;
            }
        }
        Ok(())
    }
}

impl std::os::fd::AsRawFd for OriginConnection {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}
