//! How datagrams reach the worker that has their connection.
//!
//! The kernel spreads datagrams over the workers' sockets by the addresses of both sides. A client
//! whose address changes (RFC 9000, 9) would reach another worker than before; so connection ids tell
//! their worker, and whoever receives a datagram of another passes it on. Observers cannot read them:
//! they would learn which connections belong together (RFC 9000, 5.1).

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::{hkdf, hmac, rand};
use bytes::BytesMut;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, EcnCodepoint, EndpointConfig, InvalidCid};
use tokio::sync::mpsc;

/// Bytes of a connection id that are random.
const NONCE_BYTES: usize = 8;

/// Behind them: the number of the worker, masked.
const CID_BYTES: usize = NONCE_BYTES + 2;

/// Datagrams that may wait for another worker; more are lost, as in any full queue on the way. It is
/// a megabyte and a half at most.
const WAITING_MAX: usize = 1024;

/// A datagram, and whence it came.
pub(crate) struct Arrival {
    pub(super) remote: SocketAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) data: BytesMut,
}

/// Whom a datagram is for.
pub(super) enum Whose<'a> {
    /// A connection of the worker that received it, if any.
    Own,
    /// One of another worker.
    Other(&'a mpsc::Sender<Arrival>),
    /// One that is beginning: who sent it was told an id of ours, by an answer or a Retry.
    Answered,
    /// Nobody yet: its id is one that a client made up (RFC 9000, 7.2).
    Newcomer,
}

/// What the workers of one listener have in common.
#[derive(Clone)]
pub(crate) struct Crossing {
    key: RandomState,
    /// Signs what a client can show of its address; another worker may be shown it.
    token_key: Arc<hkdf::Prk>,
    /// Signs the end of connections that nobody knows (RFC 9000, 10.3).
    reset_key: Arc<hmac::Key>,
    workers: Arc<[mpsc::Sender<Arrival>]>,
}

/// Datagrams that other workers received for this one.
pub(crate) type Arrivals = mpsc::Receiver<Arrival>;

impl Crossing {
    /// Between `count` workers, each of which gets what arrives for it.
    pub(crate) fn new(count: usize) -> (Self, Vec<Arrivals>) {
        let (workers, arrivals): (Vec<_>, _) =
            (0..count).map(|_| mpsc::channel(WAITING_MAX)).unzip();
        let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&random::<64>());
        let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &random::<64>());
        let crossing = Self {
            key: RandomState::new(),
            token_key: Arc::new(token_key),
            reset_key: Arc::new(reset_key),
            workers: workers.into(),
        };
        (crossing, arrivals)
    }

    pub(super) fn token_key(&self) -> Arc<hkdf::Prk> {
        Arc::clone(&self.token_key)
    }

    /// What the endpoint of `worker` needs to know.
    pub(super) fn endpoint(&self, worker: usize) -> EndpointConfig {
        let mut config = EndpointConfig::new(Arc::clone(&self.reset_key) as _);
        let crossing = self.clone();
        config.cid_generator(move || Box::new(crossing.ids(worker)));
        config
    }

    /// Whom a datagram that came to the worker `own` is for.
    pub(super) fn whose(&self, own: usize, datagram: &[u8]) -> Whose<'_> {
        let worker = destination(datagram).map(|id| self.worker(id));
        let named = worker.and_then(|worker| Some((worker, self.workers.get(worker)?)));
        match named {
            Some((worker, other)) if worker != own => Whose::Other(other),
            _ if goes_on(datagram) => Whose::Own,
            Some(_) => Whose::Answered,
            None => Whose::Newcomer,
        }
    }

    /// The worker that `id` names. What is not one of ours names any.
    fn worker(&self, id: [u8; CID_BYTES]) -> usize {
        let [nonce @ .., a, b] = id;
        usize::from(u16::from_be_bytes([a, b]) ^ self.mask(nonce))
    }

    fn mask(&self, nonce: [u8; NONCE_BYTES]) -> u16 {
        self.key.hash_one(nonce) as u16
    }

    fn id(&self, worker: usize) -> ConnectionId {
        let mut id = [0; CID_BYTES];
        let nonce = random::<NONCE_BYTES>();
        id[..NONCE_BYTES].copy_from_slice(&nonce);
        id[NONCE_BYTES..].copy_from_slice(&(self.mask(nonce) ^ worker as u16).to_be_bytes());
        ConnectionId::new(&id)
    }

    /// Makes the ids of the connections that `worker` has.
    fn ids(&self, worker: usize) -> Ids {
        Ids { crossing: self.clone(), worker }
    }
}

fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// The connection id that a datagram is for, if it is as long as ours (RFC 9000, 17.2 and 17.3).
fn destination(datagram: &[u8]) -> Option<[u8; CID_BYTES]> {
    let id = match datagram {
        [first, rest @ ..] if first & 0x80 == 0 => rest,
        [_, _, _, _, _, length, rest @ ..] if usize::from(*length) == CID_BYTES => rest,
        _ => return None,
    };
    id.first_chunk().copied()
}

/// Whether what comes in `datagram` cannot be the beginning of a connection: its header is short, or
/// that of a Handshake packet (RFC 9000, 17.2.4). Nothing is computed for such a one without a
/// connection.
fn goes_on(datagram: &[u8]) -> bool {
    match datagram {
        [first, 0, 0, 0, 1, ..] if first & 0x80 != 0 => first & 0x30 == 0x20,
        [first, ..] => first & 0x80 == 0,
        [] => true,
    }
}

/// Makes connection ids.
struct Ids {
    crossing: Crossing,
    worker: usize,
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.crossing.id(self.worker)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let id = id.first_chunk().copied().ok_or(InvalidCid)?;
        (self.crossing.worker(id) == self.worker).then_some(()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A datagram with a long header.
    fn long(first: u8, id: &ConnectionId) -> Vec<u8> {
        [&[first, 0, 0, 0, 1, CID_BYTES as u8], &id[..], &[0; 9]].concat()
    }

    /// A datagram of a connection that goes on.
    fn short(id: &ConnectionId) -> Vec<u8> {
        [&[0x40], &id[..], b"and more"].concat()
    }

    #[test]
    fn ids_name_their_worker_to_those_who_know_the_key() {
        let (crossing, arrivals) = Crossing::new(3);
        assert_eq!(arrivals.len(), 3);
        let reached = |from: usize, datagram: &[u8]| match crossing.whose(from, datagram) {
            Whose::Own | Whose::Answered => Some(from),
            Whose::Other(other) => {
                crossing.workers.iter().position(|worker| worker.same_channel(other))
            }
            Whose::Newcomer => None,
        };
        for worker in 0..3 {
            let id = crossing.ids(worker).generate_cid();
            for from in 0..3 {
                assert_eq!(reached(from, &short(&id)), Some(worker));
                assert_eq!(reached(from, &long(0xc0, &id)), Some(worker));
                assert_eq!(reached(from, &long(0xe0, &id)), Some(worker));
            }
            assert!(crossing.ids(worker).validate(&id).is_ok());
            assert!(crossing.ids(worker + 1).validate(&id).is_err());
        }
        let (others, _arrivals) = Crossing::new(3);
        let strange = (0..100).filter(|_| {
            let id = others.ids(1).generate_cid();
            matches!(crossing.whose(0, &short(&id)), Whose::Other(_))
                || !matches!(crossing.whose(0, &long(0xc0, &id)), Whose::Newcomer)
        });
        assert!(strange.count() < 5, "another key is another alphabet");
    }

    #[test]
    fn what_may_begin_a_connection_is_told_from_what_goes_on() {
        let (crossing, _arrivals) = Crossing::new(1);
        let id = crossing.ids(0).generate_cid();
        let made_up = ConnectionId::new(b"8 bytes!");
        let told = |datagram: &[u8]| match crossing.whose(0, datagram) {
            Whose::Own => "own",
            Whose::Other(_) => "another's",
            Whose::Answered => "answered",
            Whose::Newcomer => "newcomer",
        };
        assert_eq!(told(&short(&id)), "own");
        assert_eq!(told(&short(&made_up)), "own");
        let (initial, early, handshake) = (0xc0, 0xd0, 0xe0);
        assert_eq!(told(&long(initial, &id)), "answered");
        assert_eq!(told(&long(initial, &made_up)), "newcomer");
        assert_eq!(told(&long(early, &made_up)), "newcomer");
        assert_eq!(told(&long(handshake, &id)), "own");
        // Another version may call its kinds of packets otherwise.
        assert_eq!(told(&[&[handshake, 0, 0, 0, 2, 1], &[7; 20][..]].concat()), "newcomer");
        assert_eq!(told(b"\xc0"), "newcomer");
        assert_eq!(told(b"\x40"), "own");
        assert_eq!(told(b""), "own");
    }

    #[test]
    fn what_is_too_short_concerns_no_other() {
        let (crossing, _arrivals) = Crossing::new(2);
        for datagram in [&b""[..], b"\x40", b"\x40123456789", b"\xe0\0\0\0\x01\x0a12345"] {
            assert!(!matches!(crossing.whose(0, datagram), Whose::Other(_)));
        }
    }
}
