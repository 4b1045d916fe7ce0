//! A fetch: the task that asks the service, and the end of the exchange that it writes to.

use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use rules::Fault;
use rules::cache::{Asked, Brought, Cache, KeyParts, Stored, Times, Why, hash, prepare};
use wire::h1::Framing;
use wire::{Fields, ResponseHead};

use super::flight::{Flight, Landed, Own, Shared};
use super::flights::Flights;
use crate::data::end::End;
use crate::data::errand::Errand;
use crate::data::scratch::Scratch;
use crate::data::serve::Body;
use crate::data::store::{Body as StoredBody, Bringer, LargeWriting, Object};
use crate::data::worker::Worker;

/// What is to be fetched, and what is stored already.
pub(super) struct Job {
    pub(super) flight: Arc<Flight>,
    /// Under which it is in the table of flights.
    pub(super) destination: Box<[u8]>,
    pub(super) hash: u64,
    pub(super) key: Box<[u8]>,
    pub(super) parts: KeyParts,
    /// What is asked whether it is still so, or stands in if the service fails.
    pub(super) stale: Option<Arc<Object>>,
    /// The beginning of what the rest is asked of.
    pub(super) part: Option<Arc<Object>>,
}

/// Flies: fetches what `job` says in a task of its own.
pub(super) fn fly(errand: Errand, job: Job) {
    // Made at once, so that a task that never runs ends the flight too.
    let fetch = Fetch::new(job, &errand.worker);
    tokio::task::spawn_local(run(errand, fetch));
}

async fn run(mut errand: Errand, fetch: Fetch) {
    let worker = Rc::clone(&errand.worker);
    let Job { stale, part, .. } = &fetch.job;
    prepare(&mut errand.request, stored(stale.as_ref()), stored(part.as_ref()));
    let client = End::Fetch(Box::new(fetch));
    let mut ended = errand.run(client, Body::default(), None).await;
    if let End::Fetch(fetch) = &mut ended.client {
        fetch.finish(ended.done.fault, &mut ended.scratch);
    }
    worker.return_scratch(ended.scratch);
}

/// The end of an exchange that is a flight.
pub(crate) struct Fetch {
    job: Job,
    worker: Rc<Worker>,
    requested_ms: u64,
    /// What becomes of the answer, once its head is here.
    keeping: Option<Stored>,
    shared: Option<Arc<Shared>>,
    /// Whether that gets a tag made from its bytes.
    makes_tag: bool,
    /// How many bytes of the body count as on their way.
    bytes: usize,
    /// If it goes to the disk as it comes.
    large: Option<LargeWriting>,
    trailers: Option<Box<Fields>>,
    finished: bool,
}

impl Fetch {
    fn new(job: Job, worker: &Rc<Worker>) -> Self {
        Self {
            job,
            requested_ms: super::now_ms(),
            worker: Rc::clone(worker),
            keeping: None,
            shared: None,
            makes_tag: false,
            bytes: 0,
            large: None,
            trailers: None,
            finished: false,
        }
    }

    /// Passes an interim response on.
    pub(crate) fn interim(&self, head: &ResponseHead) {
        self.job.flight.interim(head);
    }

    /// The final head is here, and its body will come as `framing` says.
    pub(crate) fn land(&mut self, cache: &Cache, scratch: &mut Scratch, framing: Framing) {
        let bytes = match framing {
            Framing::None => Some(0),
            Framing::Length(bytes) => Some(bytes),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let received_ms = super::now_ms();
        let times = Times { requested_ms: self.requested_ms, received_ms };
        let landed = self.judge(cache, scratch, bytes, times);
        let is_stored = !matches!(landed, Landed::Own(_));
        // A service that fails now may answer the next one.
        if is_stored || scratch.response.status < 500 {
            self.worker.flights.note(self.job.hash, is_stored, received_ms);
        }
        let trail = scratch.cx.trail.take();
        if let Landed::Own(_) = landed {
            // Whoever comes now must not wait for what is not for them.
            self.worker.flights.arrive(self.job.hash, &self.job.destination, &self.job.flight);
        }
        self.job.flight.land(landed, trail);
    }

    fn judge(
        &mut self,
        cache: &Cache,
        scratch: &mut Scratch,
        bytes: Option<u64>,
        times: Times,
    ) -> Landed {
        let response = &scratch.response;
        let asked = Asked {
            head: &scratch.request,
            cx: &scratch.cx,
            key: &self.job.key,
            parts: self.job.parts,
            generation: self.job.flight.generation,
        };
        let store = &self.worker.store;
        let is_large = bytes.is_some_and(|bytes| bytes > store.object_bytes_max() as u64);
        let too_large = is_large && bytes.is_some_and(|bytes| bytes > store.large_bytes_max());
        let Job { stale, part, .. } = &self.job;
        let known = (stored(stale.as_ref()), stored(part.as_ref()));
        let learned = cache.learn(&asked, response, times, known);
        match learned {
            Brought::Updated(updated) => {
                let stale = self.job.stale.as_ref().expect("what is stored was updated");
                let updated = Arc::new(stale.updated(*updated));
                // What cannot be stored anew may be used this once.
                let _ = self.worker.store.insert(Arc::clone(&updated));
                self.remove_moved(&updated.stored);
                scratch.cx.record("cache", "update", Why::VALIDATED.clause);
                Landed::Updated(updated)
            }
            Brought::Failing => Landed::Failing(response.status),
            Brought::Unfit => {
                let status = response.status;
                scratch.cx.record("cache", "drop", Why::UNFIT.clause);
                self.drop_known();
                Landed::Failing(status)
            }
            // Parts are joined in memory.
            Brought::Shared(stored, why) if !(too_large || is_large && stored.part.is_some()) => {
                self.makes_tag = cache.wants_tag(&stored);
                scratch.cx.note("left", format_args!("{}ms", stored.left_ms(times.received_ms)));
                super::note_vary(&mut scratch.cx, &stored);
                scratch.cx.record("cache", "store", why.clause);
                self.share(*stored, why, bytes)
            }
            brought => {
                let why = if let Brought::Own(why) = brought { why } else { Why::TOO_LARGE };
                scratch.cx.record("cache", "pass", why.clause);
                let landed = Landed::Own(Arc::new(Own { head: response.clone(), why, bytes }));
                if response.status < 500 {
                    self.drop_stale();
                }
                landed
            }
        }
    }

    /// The service said something else than what is stored, and it is not stored in its place: what is old
    /// now is not given while it is fetched, nor if the service fails.
    fn drop_stale(&self) {
        if let Some(stale) = &self.job.stale {
            self.worker.store.remove(stale);
        }
    }

    /// What is stored does not go together with what the service says.
    fn drop_known(&self) {
        self.drop_stale();
        if let Some(part) = &self.job.part {
            self.worker.store.remove(part);
        }
    }

    fn share(&mut self, mut stored: Stored, why: Why, mut bytes: Option<u64>) -> Landed {
        let status = stored.head.status;
        // What is asked for is the whole: the part that is stored already comes first.
        if let Some(part) = self.job.part.clone()
            && let Some(join) = stored.joins(&part.stored)
            && join.other_first
            && join.skip == 0
        {
            for chunk in part.body.chunks() {
                self.take(chunk.len());
                self.job.flight.push(chunk, drop);
            }
            stored = stored.joined(&part.stored, join);
            bytes = Some(stored.body_bytes);
        }
        self.keeping = Some(stored.clone());
        let shared = Arc::new(Shared { stored, why, bytes, status, forms: OnceLock::new() });
        self.shared = Some(Arc::clone(&shared));
        Landed::Shared(shared)
    }

    /// Ready when another piece of the body may be written.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.job.flight.poll_room(cx)
    }

    /// Ready when nobody wants the answer any more.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.job.flight.poll_deserted(cx)
    }

    /// Takes a piece of the body.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if self.keeping.is_some()
            && self.large.is_none()
            && !self.take(data.len())
            && !self.begin_large()
        {
            self.keeping = None;
            self.drop_stale();
            self.job.flight.stop_keeping();
            self.worker.flights.arrive(self.job.hash, &self.job.destination, &self.job.flight);
        }
        self.job.flight.push(data, |chunk| {
            if let Some(large) = &self.large {
                large.chunk(chunk);
            }
        });
    }

    /// What is too large for memory goes to the disk as it comes; false if it cannot.
    fn begin_large(&mut self) -> bool {
        let Worker { store, flights, .. } = &*self.worker;
        let Some(stored) = self.keeping.as_ref().filter(|stored| stored.part.is_none()) else {
            return false;
        };
        if store.large_bytes_max() < self.bytes as u64 || !flights.take_spill() {
            return false;
        }
        let (flight, mut first) = (&self.job.flight, Vec::new());
        // Before the disk is told of it, which tells the flight.
        flight.begin_spill(|chunk| first.push(chunk));
        let Some(large) = store.begin_large(stored, Arc::clone(flight) as Arc<dyn Bringer>) else {
            flights.give_back_spill();
            flight.lock().stop_spilling();
            return false;
        };
        for chunk in first {
            large.chunk(chunk);
        }
        self.large = Some(large);
        flights.give_back(std::mem::take(&mut self.bytes));
        true
    }

    /// The body is whole, and on the disk but for its last bytes; false if it is not.
    fn end_large(&mut self) -> bool {
        let flight = &self.job.flight;
        let Some(large) = self.large.take() else { return false };
        let Some(mut stored) = self.keeping.take() else { return false };
        self.worker.flights.give_back_spill();
        let Some((last, bytes)) = flight.end_spill() else { return false };
        if !last.is_empty() {
            large.chunk(last);
        }
        stored.body_bytes = bytes;
        if let Some(stale) = &self.job.stale {
            // It would be found first.
            self.worker.store.remove(stale);
        }
        large.end(
            stored,
            Arrival {
                flights: Arc::clone(&self.worker.flights),
                hash: self.job.hash,
                destination: self.job.destination.clone(),
                flight: Arc::clone(flight),
            },
        );
        true
    }

    pub(crate) fn set_trailers(&mut self, trailers: Box<Fields>) {
        self.trailers = Some(trailers);
    }

    /// Counts bytes that are kept; false if they are too many.
    fn take(&mut self, bytes: usize) -> bool {
        let store = &self.worker.store;
        self.bytes += bytes;
        let fits =
            self.worker.flights.take(bytes, store.memory_bytes() / super::ON_THEIR_WAY_SHARE);
        fits && self.bytes <= store.object_bytes_max()
    }

    /// The exchange is over, by `fault` or as it should.
    fn finish(&mut self, fault: Option<Fault>, scratch: &mut Scratch) {
        self.finished = true;
        if fault.is_none() && self.end_large() {
            return self.job.flight.end(Ok(self.trailers.take()));
        }
        let (flight, flights) = (&self.job.flight, &self.worker.flights);
        if let Some(stored) = self.keeping.take().filter(|_| fault.is_none())
            && let Some(chunks) = flight.whole()
            && let Some(object) = self.object(stored, &chunks)
        {
            self.remove_moved(&object.stored);
            if let Err(refused) = self.worker.store.insert(object) {
                scratch.cx.record("cache", "refuse", refused.reason());
                self.drop_stale();
            }
        }
        let ended = match fault {
            None => Ok(self.trailers.take()),
            Some(fault) => {
                flight.leave_trail(scratch.cx.trail.take());
                Err(fault)
            }
        };
        // Stored first: whoever comes between finds it in one place or the other.
        flights.arrive(self.job.hash, &self.job.destination, flight);
        flight.end(ended);
    }

    /// Removes what `stored` stands for under another key: what becomes public, or is that no longer.
    fn remove_moved(&self, stored: &Stored) {
        if let Some(stale) = self.job.stale.as_ref().filter(|stale| stale.stored.key != stored.key)
        {
            self.worker.store.remove(stale);
        }
    }

    /// What is stored: the whole, or a part, joined with what is stored of the rest.
    fn object(&self, mut stored: Stored, chunks: &[Bytes]) -> Option<Arc<Object>> {
        let bytes = chunks.iter().map(Bytes::len).sum::<usize>() as u64;
        if stored.part.is_none() {
            stored.body_bytes = bytes;
        } else if stored.body_bytes != bytes {
            return None;
        }
        let other = stored.part.and_then(|_| {
            let joins = |object: &Arc<Object>| stored.joins(&object.stored).is_some();
            self.worker.store.find(hash(&stored.key), &stored.key, joins)
        });
        let Some((other, join)) =
            other.and_then(|other| stored.joins(&other.stored).map(|join| (other, join)))
        else {
            if self.makes_tag {
                stored.make_tag(chunks.iter().map(|chunk| &chunk[..]));
            }
            let body = match chunks {
                // It is a copy already.
                [one] => StoredBody::of(vec![one.clone()]),
                many => StoredBody::copy_of(many),
            };
            let forms = self.shared.as_ref().and_then(|shared| shared.forms.get()).cloned();
            return Some(Arc::new(Object::new(stored, body).with(forms)));
        };
        let theirs = other.body.chunks().to_vec();
        let (mut first, second) = match join.other_first {
            true => (theirs, chunks.to_vec()),
            false => (chunks.to_vec(), theirs),
        };
        let mut skip = usize::try_from(join.skip).unwrap_or(usize::MAX);
        for mut chunk in second {
            let cut = skip.min(chunk.len());
            skip -= cut;
            first.push(chunk.split_off(cut));
        }
        let stored = stored.joined(&other.stored, join);
        Some(Arc::new(Object::new(stored, StoredBody::copy_of(&first))))
    }
}

fn stored(object: Option<&Arc<Object>>) -> Option<&Stored> {
    object.map(|object| &object.stored)
}

/// A flight whose body is found on the disk from when this is dropped.
struct Arrival {
    flights: Arc<Flights>,
    hash: u64,
    destination: Box<[u8]>,
    flight: Arc<Flight>,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.flights.arrive(self.hash, &self.destination, &self.flight);
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.worker.flights.give_back(self.bytes);
        if self.large.is_some() {
            self.worker.flights.give_back_spill();
        }
        if !self.finished {
            // The worker ends, or the task broke: nobody may wait for it for ever.
            let Job { flight, destination, hash, .. } = &self.job;
            self.worker.flights.arrive(*hash, destination, flight);
            flight.end(Err(Fault::Bug));
        }
    }
}
