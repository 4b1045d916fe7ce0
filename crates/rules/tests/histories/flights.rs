//! What is on its way through the door: requests that wait, fetches, answers.

use std::rc::Rc;

use rules::cache::{KeyParts, Stored, Wishes, wants_range};
use wire::{Known, RequestHead, ResponseHead};

use crate::said::Byte;

/// What the door does.
pub(crate) enum Effect {
    /// It asks the service, for this request or in the background.
    Send {
        exchange: u32,
        request: usize,
        background: bool,
        is_flight: bool,
        head: Box<RequestHead>,
    },
    /// A client has its answer.
    Give(Given),
    /// What the answer to an unsafe request made invalid.
    Purged,
}

/// What a client gets.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) request: usize,
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<Byte>,
    /// The exchange that this very request caused.
    pub(crate) by: Option<u32>,
    /// Milliseconds, if the answer says so.
    pub(crate) age_ms: Option<u64>,
    /// When its head was sent.
    pub(crate) at_ms: u64,
}

pub(crate) struct Object {
    pub(crate) stored: Stored,
    pub(crate) body: Vec<Byte>,
}

#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) stale: Option<Rc<Object>>,
    pub(crate) part: Option<Rc<Object>>,
    pub(crate) destination: Vec<u8>,
}

/// A request that waits.
#[derive(Clone)]
pub(crate) struct Waiter {
    pub(crate) request: usize,
    pub(crate) head: RequestHead,
    pub(crate) wishes: Wishes,
    pub(crate) key: Rc<[u8]>,
    pub(crate) parts: KeyParts,
    pub(crate) arrived: u64,
    pub(crate) round: u32,
    pub(crate) question: Option<Question>,
    pub(crate) leads: bool,
}

#[derive(Clone)]
pub(crate) enum Landed {
    Shared(Box<Stored>),
    Own(ResponseHead),
    Updated(Rc<Object>),
    Failing(u16),
}

pub(crate) struct Flight {
    pub(crate) exchange: u32,
    pub(crate) generation: u64,
    pub(crate) requested_ms: u64,
    pub(crate) head: RequestHead,
    pub(crate) key: Rc<[u8]>,
    pub(crate) parts: KeyParts,
    pub(crate) question: Question,
    pub(crate) landed: Option<Landed>,
    pub(crate) keeping: Option<Stored>,
    /// What of the body is there before the service's own.
    pub(crate) before: Vec<Byte>,
    pub(crate) waiters: Vec<Waiter>,
    /// Those who have the head.
    pub(crate) reading: Vec<Given>,
}

pub(crate) struct Direct {
    pub(crate) waiter: Waiter,
    pub(crate) learns: bool,
    pub(crate) stale: Option<Rc<Object>>,
    pub(crate) generation: u64,
    pub(crate) requested_ms: u64,
    pub(crate) given: Option<Given>,
}

pub(crate) fn destination(waiter: &Waiter, varies: Option<&Stored>) -> Vec<u8> {
    let mut destination = waiter.key.to_vec();
    if let Some(stored) = varies {
        stored.write_variant(&waiter.head, &mut destination);
    }
    if wants_range(&waiter.head) {
        for known in [Known::Range, Known::IfRange] {
            destination.push(0);
            destination.extend_from_slice(waiter.head.fields.get(known).unwrap_or_default());
        }
    }
    destination
}

pub(crate) fn texts(head: &ResponseHead) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}
