//! The memory that one request needs and the next one uses again.

use std::net::{IpAddr, Ipv4Addr};

use rules::Cx;
use wire::{RequestHead, ResponseHead};

use super::cache::Noted;

/// Taken when a request begins, given back when the connection is idle again: an idle connection
/// holds none of it.
pub(crate) struct Scratch {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(crate) cx: Cx,
    /// The head being written.
    pub(crate) out: Vec<u8>,
    /// Field lines that are added to the request.
    pub(crate) lines: Vec<u8>,
    /// What the cache noted of the request.
    pub(crate) noted: Noted,
}

/// Above this a vector gives memory back: twice what an ordinary request needs.
const KEPT_BYTES_MAX: usize = 16 * 1024;

impl Default for Scratch {
    fn default() -> Self {
        Self {
            request: RequestHead::default(),
            response: ResponseHead::default(),
            cx: Cx::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), false),
            out: Vec::new(),
            lines: Vec::new(),
            noted: Noted::default(),
        }
    }
}

impl Scratch {
    pub(crate) fn shrink(&mut self) {
        self.request.clear();
        self.request.fields.shrink_to(KEPT_BYTES_MAX);
        self.response.clear();
        self.response.fields.shrink_to(KEPT_BYTES_MAX);
        self.cx.trail = None;
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES_MAX);
        self.lines.clear();
        self.lines.shrink_to(KEPT_BYTES_MAX);
        self.noted.clear();
    }
}
