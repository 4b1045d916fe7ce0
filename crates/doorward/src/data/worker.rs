//! One worker: a thread with its own runtime, listeners, connections and pools.
//!
//! Workers share the snapshot and a few counters; a request touches nothing that another worker
//! writes.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::futures::Notified;

use super::balance::{self, Balances};
use super::breaker::Breakers;
use super::buffer;
use super::cache::Flights;
use super::deadline::{Deadlines, SWEEP};
use super::gate::Gates;
use super::h2::client::Links;
use super::h2::server::Opened;
use super::h3;
use super::held::Connections;
use super::kept::Kept;
use super::late::Late;
use super::pool::Pools;
use super::scratch::Scratch;
use super::store::Store;
use super::tasks::Tasks;
use super::tls::Crowd;
use crate::control::snapshot::{Published, Service, Snapshot};
use crate::metrics::{Metrics, WorkerMetrics};
use crate::observe::access::AccessLog;
use crate::observe::trails::Trails;

/// The snapshot that a request began with. Counted per thread, so that pinning one touches no
/// memory that other workers write.
pub(crate) type Pinned = Rc<Arc<Snapshot>>;

/// What every connection of a worker shares.
pub(crate) struct Worker {
    /// From 0; the control thread's own worker is the last.
    pub(crate) index: usize,
    published: Arc<Published>,
    pinned: RefCell<Pinned>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) pools: Pools,
    /// Those to services, all that are open.
    pub(crate) connections: Connections,
    pub(crate) links: Links,
    pub(crate) streams: Rc<Tasks<Opened>>,
    /// Handshakes of TLS that are under way.
    pub(crate) handshakes: Rc<Crowd>,
    /// Of all workers.
    pub(crate) store: Arc<Store>,
    /// Streams of HTTP/3.
    pub(crate) requests: Rc<Tasks<h3::server::Opened>>,
    /// Of all workers.
    pub(crate) flights: Arc<Flights>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access_log: AccessLog,
    pub(crate) trails: Trails,
    scratch: RefCell<Kept<Box<Scratch>>>,
    /// When the process started, by [`clock_ns`].
    started_ns: u64,
    random_state: Cell<u64>,
    pub(crate) balances: Balances,
    pub(crate) gates: Gates,
    pub(crate) breakers: Breakers,
    pub(crate) late: Late,
    date: RefCell<DateLine>,
    /// Whether connections are to end as soon as they can.
    pub(crate) draining: Cell<bool>,
}

/// Unused scratch values that a worker keeps at the most: one for each request that ten connections
/// of a hundred streams have under way, some 10 KiB each.
const SCRATCH_KEPT_MAX: usize = 1024;

impl Worker {
    pub(crate) fn new(
        index: usize,
        published: Arc<Published>,
        metrics: Arc<Metrics>,
        access_log: AccessLog,
        trails: Trails,
        store: Arc<Store>,
        flights: Arc<Flights>,
    ) -> Rc<Self> {
        let pinned = RefCell::new(Rc::new(published.current()));
        let balances = Balances::new(metrics.client_workers().len());
        Rc::new(Self {
            index,
            published,
            pinned,
            deadlines: Rc::new(Deadlines::new(metrics.started)),
            pools: Pools::default(),
            connections: Connections::default(),
            links: Links::default(),
            streams: Rc::default(),
            handshakes: Rc::default(),
            store,
            requests: Rc::default(),
            flights,
            started_ns: started_ns(metrics.started),
            metrics,
            access_log,
            trails,
            scratch: RefCell::new(Kept::new(SCRATCH_KEPT_MAX)),
            random_state: Cell::new(RandomState::new().hash_one(index)),
            balances,
            gates: Gates::default(),
            breakers: Breakers::default(),
            late: Late::default(),
            date: RefCell::new(DateLine::now()),
            draining: Cell::new(false),
        })
    }

    /// This worker's own counters.
    pub(crate) fn counters(&self) -> &WorkerMetrics {
        &self.metrics.workers[self.index]
    }

    /// The newest snapshot. One atomic load when nothing changed.
    #[inline]
    pub(crate) fn pin(&self) -> Pinned {
        let mut pinned = self.pinned.borrow_mut();
        if pinned.version != self.published.version() {
            *pinned = Rc::new(self.published.current());
        }
        Rc::clone(&pinned)
    }

    /// Nanoseconds since the worker started.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        clock_ns().saturating_sub(self.started_ns)
    }

    /// 128 random bits: two outputs of `SplitMix64`, whose start is the operating system's randomness.
    /// Ids and chances are made of them, never secrets.
    #[inline]
    pub(crate) fn random(&self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }

    /// Says that a request waits for an instance.
    pub(crate) fn want(&self) {
        self.published.want();
    }

    /// Waits for the next snapshot.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.published.changed()
    }

    /// 64 random bits.
    pub(crate) fn draw(&self) -> u64 {
        let state = self.random_state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random_state.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn take_scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn return_scratch(&self, mut scratch: Box<Scratch>) {
        let mut kept = self.scratch.borrow_mut();
        if !kept.is_full() {
            scratch.shrink();
            kept.push(scratch);
        }
    }

    /// Appends `Date: ... CR LF` (RFC 9110, 6.6.1).
    pub(crate) fn write_date(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.date.borrow().text);
    }

    /// Gives back memory and tasks that nobody has wanted for a while.
    fn release_unused(&self) {
        buffer::release_unused();
        self.scratch.borrow_mut().unused().for_each(drop);
        self.streams.end_unused();
        self.requests.end_unused();
    }

    /// Whether there is nothing to look after while no connection is open.
    fn nothing_is_kept(&self) -> bool {
        self.pools.is_empty()
            && self.links.is_empty()
            && buffer::none_kept()
            && self.scratch.borrow().is_empty()
            && self.streams.none_idle()
            && self.requests.none_idle()
    }

    /// Looks at deadlines, the clock and idle connections for as long as the worker lives.
    pub(crate) async fn keep_time(self: Rc<Self>) {
        let mut sweeps = 0_u64;
        loop {
            if self.nothing_is_kept() && self.deadlines.in_use() == 0 {
                self.access_log.flush();
                self.late.rests(self.counters());
                self.rest().await;
            }
            self.deadlines.sweep(self.now_ns() / 1_000_000);
            balance::sweep(&self, &self.pin());
            sweeps += 1;
            if sweeps.is_multiple_of(10) {
                self.date.borrow_mut().renew();
                self.pools.close_idle(self.deadlines.now_ms());
                self.links.close_idle(self.deadlines.now_ms());
                self.access_log.flush();
                self.release_unused();
                // Lets go of a replaced snapshot even when no request comes.
                drop(self.pin());
            }
            let before_ns = self.now_ns();
            tokio::time::sleep(SWEEP).await;
            self.late.turned(self.index, self.counters(), self.now_ns() - before_ns);
        }
    }

    /// `service` as it has become since, if it is another and has endpoints.
    pub(crate) fn newest(&self, service: &Service) -> Option<Arc<Service>> {
        let snapshot = self.pin();
        let newest = snapshot.services.iter().find(|other| other.index == service.index)?;
        let differs = newest.generation != service.generation && !newest.endpoints.is_empty();
        differs.then(|| Arc::clone(newest))
    }

    /// Waits until `look` finds something in the newest snapshot.
    pub(crate) async fn find<T>(&self, look: impl Fn() -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.published.changed());
            changed.as_mut().enable();
            match look() {
                Some(found) => return found,
                None => changed.await,
            }
        }
    }

    /// Waits until a connection comes. A snapshot that is replaced meanwhile is let go of.
    async fn rest(&self) {
        loop {
            let mut changed = pin!(self.published.changed());
            changed.as_mut().enable();
            drop(self.pin());
            tokio::select! {
                () = self.deadlines.used() => return,
                () = changed => {}
            }
        }
    }

    /// Looks at the calendar, which nobody does while no connection is open.
    pub(crate) fn wake(&self) {
        if self.deadlines.in_use() == 0 {
            self.date.borrow_mut().renew();
        }
    }

    /// Waits until no connection is left.
    pub(crate) async fn drained(&self) {
        while self.deadlines.in_use() > 0 {
            tokio::time::sleep(SWEEP).await;
            // Connections that became idle since are ended too.
            self.deadlines.end_idle();
        }
        self.access_log.flush();
    }

    /// No more keep-alive: idle connections end now, the others with their response.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.deadlines.end_idle();
    }
}

/// The clock by which [`Instant`] counts, as one number: a request asks for it several times, and
/// `Instant::elapsed` takes a hundred instructions more for what a saturating subtraction does.
#[inline]
fn clock_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// What that clock said at `started`.
fn started_ns(started: Instant) -> u64 {
    let since_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    clock_ns().saturating_sub(since_ns)
}

/// The `Date` line of the current second.
struct DateLine {
    second: u64,
    text: Vec<u8>,
}

impl DateLine {
    fn now() -> Self {
        let mut line = Self { second: 0, text: Vec::new() };
        line.renew();
        line
    }

    fn renew(&mut self) {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            self.text = format!("Date: {}\r\n", httpdate::fmt_http_date(now)).into_bytes();
        }
    }
}
