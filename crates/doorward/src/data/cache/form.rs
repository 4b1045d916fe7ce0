//! The encoded forms of what is cached: each is made once, by a task of its own, and kept beside the body
//! that it was made of.
//!
//! Who makes a form writes into a flight, as a fetch does: all who want it meanwhile follow, and get it as
//! it is made. So a page that arrives slowly arrives as slowly in each of its forms, and ten thousand
//! clients who want one at once cost one encoder.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use rules::Fault;
use rules::coding::{Coding, Encode};

use super::flight::Flight;
use super::hit::{Sending, Source};
use crate::data::encode::Encoder;
use crate::data::store::{Body, Forms};
use crate::data::worker::Worker;

/// The forms that a body has, and under which hash its object lies in the store.
pub(super) struct Kept {
    pub(super) forms: Arc<Forms>,
    pub(super) hash: u64,
}

/// The body of `plain` in the form that `encode` says, and how long it is if it has been made.
pub(super) fn encoded(
    worker: &Rc<Worker>,
    kept: Kept,
    plain: Source,
    encode: Encode,
) -> (Source, Option<u64>) {
    if let Some(body) = kept.forms.get(encode.coding) {
        return (Source::Stored(Sending::whole(body.clone())), Some(body.bytes()));
    }
    let destination = destination(&kept.forms, encode.coding);
    let hash = rules::cache::hash(&destination);
    let (reader, leads) = worker.flights.board(hash, &destination, 0, |_| true);
    if leads {
        let making = Making {
            flight: Arc::clone(reader.flight()),
            kept,
            coding: encode.coding,
            destination,
            hash,
            bytes: 0,
            keeps: true,
            worker: Rc::clone(worker),
        };
        tokio::task::spawn_local(run(making, plain, encode));
    }
    (Source::Flight(reader), None)
}

/// What tells a form that is being made from all others, as long as it is: shorter than any URL.
fn destination(forms: &Arc<Forms>, coding: Coding) -> [u8; DESTINATION_BYTES] {
    let mut destination = [coding as u8; DESTINATION_BYTES];
    let address = Arc::as_ptr(forms).addr();
    destination[1..].copy_from_slice(&address.to_le_bytes());
    destination
}

const DESTINATION_BYTES: usize = 1 + size_of::<usize>();

/// A form on its way.
struct Making {
    flight: Arc<Flight>,
    kept: Kept,
    coding: Coding,
    destination: [u8; DESTINATION_BYTES],
    hash: u64,
    /// How many bytes of it count as on their way.
    bytes: usize,
    /// Whether it is to be kept.
    keeps: bool,
    worker: Rc<Worker>,
}

/// What is next.
enum Step {
    Data(Bytes),
    /// Nothing more is there yet.
    Flush,
    End,
}

async fn run(mut making: Making, mut plain: Source, encode: Encode) {
    let made = make(&mut making, &mut plain, encode).await;
    making.finish(made.map(|()| plain.trailers()));
}

async fn make(making: &mut Making, plain: &mut Source, encode: Encode) -> Result<(), Fault> {
    let no_memory = |_| Fault::Bug;
    let mut encoder = Encoder::new(encode).map_err(no_memory)?;
    // Whether it may hold something back that is to go out before more is waited for.
    let mut held = false;
    loop {
        let step = poll_fn(|cx| match plain.poll_data(cx) {
            Poll::Ready(Ok(Some(data))) => Poll::Ready(Ok(Step::Data(data))),
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(Step::End)),
            Poll::Ready(Err(fault)) => Poll::Ready(Err(fault)),
            Poll::Pending if held => Poll::Ready(Ok(Step::Flush)),
            Poll::Pending => Poll::Pending,
        });
        let made = match step.await? {
            Step::Data(data) => {
                held = encode.live;
                encoder.data(&data)
            }
            Step::Flush => {
                held = false;
                encoder.flush()
            }
            Step::End => {
                making.push(encoder.end().map_err(no_memory)?);
                return Ok(());
            }
        };
        making.push(made.map_err(no_memory)?);
        poll_fn(|cx| making.flight.poll_room(cx)).await;
        if making.flight.is_deserted() {
            return Err(Fault::ClientGone);
        }
        // A piece takes a millisecond or so: others come between.
        tokio::task::yield_now().await;
    }
}

impl Making {
    fn push(&mut self, data: Vec<u8>) {
        if data.is_empty() {
            return;
        }
        let Worker { store, flights, .. } = &*self.worker;
        self.bytes += data.len();
        let fits = flights.take(data.len(), store.memory_bytes() / super::ON_THEIR_WAY_SHARE)
            && self.bytes <= store.object_bytes_max();
        if self.keeps && !fits {
            self.keeps = false;
            self.flight.stop_keeping();
            flights.arrive(self.hash, &self.destination, &self.flight);
        }
        self.flight.push(&data, drop);
    }

    fn finish(mut self, ended: Result<Option<Box<wire::Fields>>, Fault>) {
        if ended.is_ok()
            && let Some(chunks) = self.flight.whole()
        {
            let Kept { forms, hash } = &self.kept;
            forms.set(self.coding, Body::copy_of(&chunks));
            self.worker.store.weigh_forms(*hash, forms);
        }
        self.end(ended);
    }

    fn end(&mut self, ended: Result<Option<Box<wire::Fields>>, Fault>) {
        // Kept first: whoever comes between finds it in one place or the other.
        self.worker.flights.arrive(self.hash, &self.destination, &self.flight);
        self.flight.end(ended);
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.worker.flights.give_back(self.bytes);
        // If the worker ends, nobody may wait for it for ever.
        self.end(Err(Fault::Bug));
    }
}
