//! Counters, each written by one worker and read by whoever asks.
//!
//! A worker adds to its own cells with plain loads and stores, so counting costs no bus traffic.
//! Labels are bounded: services and fault kinds come from the configuration and the code, and of
//! routes only the first [`ROUTES_LABELLED_MAX`] have a label of their own.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use rules::RouteId;
use rules::balance::TieResult;
use rules::flood::Flood;
use rules::grpc::Status;
use rules::health::Suspicion;
use rules::overload::Priority;
use rules::tcp::TcpEntry;

use crate::data::tls::Refused;

/// Routes behind this one share the label `other`: a scrape must stay small however many routes there
/// are, and a time series costs its store a kilobyte or more.
pub(crate) const ROUTES_LABELLED_MAX: usize = 1000;

/// Milliseconds since 1970: the clock of what outlives the process.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A number that only ever grows and that one thread writes.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(count), Ordering::Relaxed);
    }

    /// Shows `value`, for a number that does not only grow.
    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the duration buckets, in microseconds.
pub(crate) const DURATION_BOUNDS_US: [u64; 12] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// How long requests took.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    buckets: [Counter; DURATION_BOUNDS_US.len() + 1],
    sum_us: Counter,
}

impl Durations {
    #[inline]
    pub(crate) fn record(&self, duration_us: u64) {
        let bucket = DURATION_BOUNDS_US.iter().position(|&bound| duration_us <= bound);
        self.buckets[bucket.unwrap_or(DURATION_BOUNDS_US.len())].add(1);
        self.sum_us.add(duration_us);
    }

    pub(crate) fn buckets(&self) -> [u64; DURATION_BOUNDS_US.len() + 1] {
        std::array::from_fn(|at| self.buckets[at].read())
    }

    pub(crate) fn sum_us(&self) -> u64 {
        self.sum_us.read()
    }
}

/// What one worker counted on one route. Two cache lines and more of its own, so that workers do
/// not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct RouteShard {
    /// By the first digit of the status, 1 to 5.
    pub(crate) responses: [Counter; 5],
    /// Calls of gRPC, by the number of their status.
    pub(crate) grpc: [Counter; Status::ALL.len()],
    pub(crate) request_body_bytes: Counter,
    pub(crate) response_body_bytes: Counter,
    pub(crate) durations: Durations,
    /// What the cache did with requests, by [`CacheResult`].
    pub(crate) cache: [Counter; CacheResult::ALL.len()],
    /// How long the service had taken for the answers that it was not asked for again.
    pub(crate) cache_saved_ms: Counter,
    /// Requests that were held up on purpose, and those that were failed so.
    pub(crate) injected: [Counter; 2],
    /// Copies of requests, by [`Mirrored`].
    pub(crate) mirrored: [Counter; Mirrored::ALL.len()],
}

/// What the cache did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheResult {
    /// A fresh answer was there.
    Hit,
    /// A stale one was given.
    Stale,
    /// One was there, and the service said that it is still so.
    Validated,
    /// Another request had asked for it already.
    Collapsed,
    /// The service was asked.
    Miss,
    /// The request went past the cache.
    Bypass,
}

impl CacheResult {
    pub(crate) const ALL: [Self; 6] =
        [Self::Hit, Self::Stale, Self::Validated, Self::Collapsed, Self::Miss, Self::Bypass];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Validated => "validated",
            Self::Collapsed => "collapsed",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }

    /// Whether the service was asked nothing for this request alone.
    pub(crate) fn is_spared(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Collapsed)
    }
}

/// What became of the copy of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mirrored {
    /// It was answered.
    Answered,
    /// It was not.
    Failed,
    /// It was not sent: as many were under way as may be.
    Busy,
    /// It was not sent: its body was too large, or did not come to its end.
    Body,
}

impl Mirrored {
    pub(crate) const ALL: [Self; 4] = [Self::Answered, Self::Failed, Self::Busy, Self::Body];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Busy => "dropped-busy",
            Self::Body => "dropped-body",
        }
    }
}

/// What all workers counted on one route.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    pub(crate) label: Box<str>,
    pub(crate) shards: Box<[RouteShard]>,
}

impl RouteMetrics {
    pub(crate) fn new(label: &str, workers: usize) -> Self {
        Self { label: label.into(), shards: (0..workers).map(|_| RouteShard::default()).collect() }
    }
}

/// What the cache did on one route, or on several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheSums {
    /// Requests, by [`CacheResult`].
    pub(crate) requests: [u64; CacheResult::ALL.len()],
    /// How long the service would have taken for those that it was spared.
    pub(crate) saved_ms: u64,
}

impl CacheSums {
    pub(crate) fn all(&self) -> u64 {
        self.requests.iter().sum()
    }

    /// The share of requests that were answered without a question of their own to the service; `None` if
    /// there were none.
    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        let spared = CacheResult::ALL.into_iter().filter(|result| result.is_spared());
        let spared: u64 = spared.map(|result| self.requests[result as usize]).sum();
        let all = self.all();
        (all > 0).then(|| spared as f64 / all as f64)
    }

    /// Adds those of `route`.
    pub(crate) fn add(&mut self, route: &RouteMetrics) {
        for shard in &route.shards {
            for (sum, count) in self.requests.iter_mut().zip(&shard.cache) {
                *sum += count.read();
            }
            self.saved_ms += shard.cache_saved_ms.read();
        }
    }
}

/// The counters of all routes of one snapshot.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    /// Of the first routes, by `RouteId`.
    own: Box<[Arc<RouteMetrics>]>,
    /// Of all others.
    other: Arc<RouteMetrics>,
}

impl RouteCounters {
    pub(crate) fn new(own: Box<[Arc<RouteMetrics>]>, other: Arc<RouteMetrics>) -> Self {
        Self { own, other }
    }

    /// Where requests of `route` are counted.
    #[inline]
    pub(crate) fn of(&self, route: RouteId) -> &RouteMetrics {
        self.own.get(route.0 as usize).unwrap_or(&self.other)
    }

    /// All counters, each once, by their labels.
    pub(crate) fn all(&self) -> Vec<&RouteMetrics> {
        let mut all: Vec<_> =
            self.own.iter().chain([&self.other]).map(|counters| &**counters).collect();
        // Routes that share a label share their counters.
        all.sort_by(|a, b| a.label.cmp(&b.label));
        all.dedup_by(|a, b| a.label == b.label);
        all
    }
}

/// How one worker's gate before one service stands.
#[derive(Debug, Default)]
pub(crate) struct GateShard {
    /// How many requests may go through at once, now.
    pub(crate) limit: Counter,
    /// How many are behind it, now.
    pub(crate) running: Counter,
    /// How many wait, now.
    pub(crate) waiting: Counter,
    /// Requests that waited for their turn.
    pub(crate) waits: Counter,
    /// Requests that were told to come again, by how important they were.
    pub(crate) shed: [Counter; Priority::ALL.len()],
}

/// How one worker's breaker before one service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }

    /// The one of this name; closed if there is none.
    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.name() == name).unwrap_or(Self::Closed)
    }
}

/// What clients got instead of an answer of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FallbackTo {
    Stale,
    Service,
    Answer,
}

impl FallbackTo {
    pub(crate) const ALL: [Self; 3] = [Self::Stale, Self::Service, Self::Answer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Service => "service",
            Self::Answer => "answer",
        }
    }
}

/// What one worker's breaker before one service did.
#[derive(Debug, Default)]
pub(crate) struct BreakerShard {
    /// A [`BreakerState`], now.
    pub(crate) state: Counter,
    /// How often it opened.
    pub(crate) opens: Counter,
    /// Requests that found it open.
    pub(crate) refused: Counter,
    /// What their clients got instead, if not a fault.
    pub(crate) fallbacks: [Counter; FallbackTo::ALL.len()],
}

/// What one worker counted about one service.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ServiceShard {
    /// Connections that were opened.
    pub(crate) connects: Counter,
    pub(crate) connect_failures: Counter,
    /// Connections that are open, now.
    pub(crate) open: Counter,
    /// Handshakes of TLS: full ones, and those that went on with an earlier session.
    pub(crate) handshakes: [Counter; 2],
    pub(crate) handshake_failures: Counter,
    /// Requests on a connection that had been used before.
    pub(crate) reuses: Counter,
    /// Requests that were sent once more.
    pub(crate) retries: Counter,
    /// Those that would have been, had the budget not been spent.
    pub(crate) retries_denied: Counter,
    /// Requests that went to another tier or zone than the preferred one.
    pub(crate) spilled: Counter,
    /// What became of sessions, by [`TieResult`].
    pub(crate) ties: [Counter; TieResult::ALL.len()],
    /// Second attempts beside slow ones, and those of them that answered first.
    pub(crate) hedges: Counter,
    pub(crate) hedges_won: Counter,
    /// Requests that were at its endpoints, summed up over all sweeps.
    pub(crate) running: Counter,
    /// Requests that wait for an instance to start, or for an endpoint to be back, now.
    pub(crate) held: Counter,
    /// Endpoints that were left alone, by why.
    pub(crate) ejections: [Counter; Suspicion::ALL.len()],
    /// By the first digit of the status, 1 to 5.
    pub(crate) responses: [Counter; 5],
    /// Requests that got no answer that could be passed on.
    pub(crate) failures: Counter,
    /// What is shed before it comes that far.
    pub(crate) gate: GateShard,
    pub(crate) breaker: BreakerShard,
    /// From the first byte sent to the head received.
    pub(crate) first_byte: Durations,
}

/// What all workers counted about one service.
#[derive(Debug)]
pub(crate) struct ServiceMetrics {
    pub(crate) label: Box<str>,
    /// How many instances the hook is to have run; zero without one.
    pub(crate) instances_wanted: AtomicU64,
    /// How often it was told so: in vain, and with success.
    pub(crate) hook_calls: [AtomicU64; 2],
    pub(crate) shards: Box<[ServiceShard]>,
}

impl ServiceMetrics {
    pub(crate) fn new(label: &str, workers: usize) -> Self {
        Self {
            label: label.into(),
            instances_wanted: AtomicU64::new(0),
            hook_calls: Default::default(),
            shards: (0..workers).map(|_| ServiceShard::default()).collect(),
        }
    }
}

/// What one worker counted about one `[[tcp]]` entry.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct TcpShard {
    /// Connections that were for it.
    pub(crate) accepted: Counter,
    /// Those that went wrong.
    pub(crate) failures: Counter,
    /// From the client.
    pub(crate) up_bytes: Counter,
    /// To the client.
    pub(crate) down_bytes: Counter,
}

/// What all workers counted about one `[[tcp]]` entry.
#[derive(Debug)]
pub(crate) struct TcpMetrics {
    pub(crate) listen: String,
    /// Empty if it has none.
    pub(crate) sni: Box<str>,
    pub(crate) shards: Box<[TcpShard]>,
    /// Open connections of all workers; the limit needs one number.
    pub(crate) open: AtomicUsize,
}

impl TcpMetrics {
    pub(crate) fn new(entry: &TcpEntry, workers: usize) -> Self {
        Self {
            listen: entry.listen.to_string(),
            sni: entry.sni.clone().unwrap_or_default(),
            shards: (0..workers).map(|_| TcpShard::default()).collect(),
            open: AtomicUsize::new(0),
        }
    }
}

/// What one worker counted about everything else.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerMetrics {
    pub(crate) accepted: Counter,
    pub(crate) refused_total: Counter,
    pub(crate) refused_per_client: Counter,
    /// Clients of QUIC that had to show first that their address is their own.
    pub(crate) retries: Counter,
    /// Their first packets that were not looked at.
    pub(crate) first_packets_lost: Counter,
    /// Connections that were ended for a flood, by its kind.
    pub(crate) floods: [Counter; Flood::ALL.len()],
    /// Handshakes of TLS that succeeded: of TLS 1.2 and 1.3, in full and resumed.
    pub(crate) handshakes: [[Counter; 2]; 2],
    /// Handshakes of TLS that did not, by [`Refused`].
    pub(crate) handshake_failures: [Counter; Refused::ALL.len()],
    pub(crate) open: Counter,
    pub(crate) requests: Counter,
    pub(crate) upgraded: Counter,
    /// Requests that wait for, or take, what is being fetched for the cache.
    pub(crate) cache_waiting: Counter,
    /// Requests that are held up on purpose, now.
    pub(crate) delayed: Counter,
    /// Copies of requests that are under way, now.
    pub(crate) mirrored: Counter,
    /// By [`Metrics::fault_index`].
    pub(crate) faults: [Counter; FAULT_KINDS_MAX],
    pub(crate) log_lines_dropped: Counter,
    /// How late the worker's loop comes, in microseconds, now.
    pub(crate) late_us: Counter,
    /// Requests that were not taken because it comes late, by how important they were.
    pub(crate) shed: [Counter; Priority::ALL.len()],
}

/// Room for every kind of fault; there are about forty.
pub(crate) const FAULT_KINDS_MAX: usize = 64;

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            refused_total: Counter::default(),
            refused_per_client: Counter::default(),
            retries: Counter::default(),
            first_packets_lost: Counter::default(),
            floods: Default::default(),
            handshakes: Default::default(),
            handshake_failures: Default::default(),
            open: Counter::default(),
            requests: Counter::default(),
            upgraded: Counter::default(),
            cache_waiting: Counter::default(),
            delayed: Counter::default(),
            mirrored: Counter::default(),
            faults: std::array::from_fn(|_| Counter::default()),
            log_lines_dropped: Counter::default(),
            late_us: Counter::default(),
            shed: Default::default(),
        }
    }
}

/// All counters of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) started: Instant,
    /// Of each worker; the last is the control thread's own, which serves operators.
    pub(crate) workers: Box<[WorkerMetrics]>,
    /// The kinds of fault seen so far, in the order in which they came up.
    fault_slugs: [OnceLock<&'static str>; FAULT_KINDS_MAX],
    /// Open client connections of all workers; the limit needs one number.
    pub(crate) connections: AtomicUsize,
    pub(crate) bugs: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) reload_failures: AtomicU64,
    /// Whether the newest configuration on disk was refused.
    pub(crate) config_refused: AtomicU64,
}

impl Metrics {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            workers: (0..workers).map(|_| WorkerMetrics::default()).collect(),
            fault_slugs: std::array::from_fn(|_| OnceLock::new()),
            connections: AtomicUsize::new(0),
            bugs: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            reload_failures: AtomicU64::new(0),
            config_refused: AtomicU64::new(0),
        })
    }

    /// Milliseconds since the process started; the clock of all workers.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The number of the configuration in use: 1 at the start, one more with each reload.
    pub(crate) fn config_version(&self) -> u64 {
        1 + self.reloads.load(Ordering::Relaxed)
    }

    /// The workers that serve clients.
    pub(crate) fn client_workers(&self) -> &[WorkerMetrics] {
        let count = self.workers.len().saturating_sub(1);
        &self.workers[..count]
    }

    /// Where faults called `slug` are counted.
    pub(crate) fn fault_index(&self, slug: &'static str) -> usize {
        let found = self.fault_slugs.iter().position(|seen| *seen.get_or_init(|| slug) == slug);
        found.unwrap_or(FAULT_KINDS_MAX - 1)
    }

    /// The kinds of fault seen so far, each with where it is counted.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (usize, &'static str)> {
        self.fault_slugs
            .iter()
            .enumerate()
            .filter_map(|(at, slug)| slug.get().map(|slug| (at, *slug)))
    }
}
