//! The facts about the request in flight that rules may know.

use std::fmt::Display;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::RouteId;
use crate::coding::{Coding, Encode};
use crate::grpc::Call;
use crate::identity::{Identity, Shown};
use crate::overload::Priority;
use crate::service::ServiceId;
use crate::trail::Trail;

/// Facts about the request in flight. Time and randomness are facts, not calls.
///
/// One value serves all requests of a connection, one after the other: [`Cx::begin`] starts the
/// next one and keeps the memory.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Monotonic nanoseconds, read once per request by the engine.
    pub now_ns: u64,
    /// When it goes on its way to a service: later than `now_ns` if it was held up before.
    pub sent_ns: u64,
    /// How long it is held up on purpose.
    pub delay: Option<Duration>,
    /// Where a copy of it goes, by the word of which route.
    pub mirror: Option<(RouteId, ServiceId)>,
    /// Random bits, drawn once per request. 128 of them, so that an id made from them does not
    /// repeat within any log's lifetime. Good for chance, not for secrets.
    pub random: u128,
    /// The client as far as it can be believed: the peer, or whom trusted proxies named.
    pub client: IpAddr,
    /// Whether the client came by TLS.
    pub https: bool,
    /// What the client showed when its connection was made, if that is by TLS.
    pub shown: Option<Rc<Shown>>,
    /// How important the request is.
    pub priority: Priority,
    /// What joins this request's traces in all logs.
    pub request_id: RequestId,
    /// What the path parameters of the route stand for, in the order of the route's names, as they
    /// were sent: still percent-encoded. A copy, so that a rewritten path does not change them.
    pub params: Texts,
    /// Set for a call of gRPC.
    pub grpc: Option<Box<Call>>,
    /// The content coding that the client is answered in, if the route compresses and it can read one.
    pub coding: Option<Coding>,
    /// How the answer's body is to be encoded on its way.
    pub encode: Option<Encode>,
    /// Memory for texts that are being put together.
    pub(crate) scratch: Texts,
    /// Present only while someone asked for an explanation of this request.
    pub trail: Option<Box<Trail>>,
}

impl Cx {
    /// The facts of a connection, before its first request.
    #[must_use]
    pub fn new(client: IpAddr, https: bool) -> Self {
        Self {
            now_ns: 0,
            sent_ns: 0,
            delay: None,
            mirror: None,
            random: 0,
            client,
            https,
            shown: None,
            priority: Priority::Normal,
            request_id: RequestId::default(),
            params: Texts::default(),
            grpc: None,
            coding: None,
            encode: None,
            scratch: Texts::default(),
            trail: None,
        }
    }

    /// Forgets the request before and starts the next one.
    #[inline]
    pub fn begin(&mut self, now_ns: u64, random: u128) {
        self.now_ns = now_ns;
        self.sent_ns = now_ns;
        self.delay = None;
        self.mirror = None;
        self.random = random;
        self.shown = None;
        self.priority = Priority::Normal;
        self.request_id.clear();
        self.params.clear();
        self.grpc = None;
        self.coding = None;
        self.encode = None;
        self.trail = None;
    }

    /// Who the client is, if it has shown a certificate.
    #[must_use]
    #[inline]
    pub fn identity(&self) -> Option<&Identity> {
        self.shown.as_ref()?.identity.as_ref()
    }

    /// Attaches a detail to the decision being made. Formats nothing unless explained.
    #[inline]
    pub fn note(&mut self, key: &'static str, value: impl Display) {
        if let Some(trail) = &mut self.trail {
            trail.note(key, value.to_string());
        }
    }

    /// Records a decision, if someone asked for explanations: which station, what it did, and why.
    #[inline]
    pub fn record(&mut self, stage: &'static str, step: &'static str, why: &'static str) {
        if let Some(trail) = &mut self.trail {
            trail.record(stage, step, why);
        }
    }
}

/// The longest request id that is taken over from a client, in bytes. Longer ones are no ids.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The name of one request: visible ASCII, at most 128 bytes. Kept in place,
/// so that no request allocates for it.
#[derive(Clone, Copy)]
pub struct RequestId {
    text: [u8; REQUEST_ID_BYTES_MAX],
    bytes: u8,
    /// Whether it was made here, of the request's random bits.
    is_made: bool,
}

impl RequestId {
    /// The id that a client (or a proxy before us) gave, if it is fit to stand in our log.
    #[must_use]
    pub fn given(value: &[u8]) -> Option<Self> {
        let fit = !value.is_empty()
            && value.len() <= REQUEST_ID_BYTES_MAX
            && value.iter().all(u8::is_ascii_graphic);
        let bytes = u8::try_from(value.len()).ok().filter(|_| fit)?;
        let mut text = [0; REQUEST_ID_BYTES_MAX];
        text[..value.len()].copy_from_slice(value);
        Some(Self { text, bytes, is_made: false })
    }

    /// A fresh id: 32 hex digits.
    #[must_use]
    pub fn made(random: u128) -> Self {
        let mut id = Self::default();
        id.make(random);
        id
    }

    /// Becomes a fresh id: 32 hex digits.
    pub(crate) fn make(&mut self, random: u128) {
        write_hex(&random.to_be_bytes(), &mut self.text);
        self.bytes = 32;
        self.is_made = true;
    }

    fn clear(&mut self) {
        self.bytes = 0;
        self.is_made = false;
    }

    /// The request's random bits in hex, if it was made of them.
    pub(crate) fn made_text(&self) -> Option<&[u8]> {
        self.is_made.then(|| self.as_bytes())
    }

    /// The text; empty before the id is known.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("only visible ASCII is put in")
    }

    /// The text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.bytes)]
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self { text: [0; REQUEST_ID_BYTES_MAX], bytes: 0, is_made: false }
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Writes `bytes` as lower-case hex to the start of `out`.
pub(crate) fn write_hex(bytes: &[u8], out: &mut [u8]) {
    let (pairs, _) = out.as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = HEX[usize::from(*byte)];
    }
}

/// The two digits of each byte: every request has forty bytes written so.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (mut pairs, mut byte) = ([[0; 2]; 256], 0);
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Byte strings in one buffer, which is kept from request to request.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    text: Vec<u8>,
    /// Where each one ends in `text`.
    ends: Vec<usize>,
}

impl Texts {
    /// Forgets them and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// The one at `index`; empty if there is none.
    #[must_use]
    pub fn at(&self, index: usize) -> &[u8] {
        let end = |at: usize| self.ends.get(at).copied().unwrap_or(self.text.len());
        let start = if index == 0 { 0 } else { end(index - 1) };
        &self.text[start..end(index)]
    }

    pub(crate) fn push(&mut self, value: &[u8]) {
        self.push_with(|text| text.extend_from_slice(value));
    }

    /// Adds what `write` appends.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.ends.push(self.text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_over_only_if_fit_for_a_log() {
        assert_eq!(RequestId::given(b"a-1").expect("fit").as_str(), "a-1");
        for unfit in [&b""[..], b"a b", b"a\n", b"\xff", &[b'a'; 129]] {
            assert!(RequestId::given(unfit).is_none());
        }
        let made = RequestId::made(0x1234 << 64 | 0xff);
        assert_eq!(made.as_str(), "000000000000123400000000000000ff");
    }

    #[test]
    fn texts_keep_their_order() {
        let mut params = Texts::default();
        assert_eq!(params.at(0), b"");
        params.push(b"a");
        params.push(b"");
        params.push(b"bc");
        assert_eq!([params.at(0), params.at(1), params.at(2)], [&b"a"[..], b"", b"bc"]);
        assert_eq!(params.at(3), b"");
    }
}
