//! The whole compiled configuration at one time, and the one place where it is exchanged.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rules::health::Ejections;
use rules::service::Rank;
use rules::{Rules, balance};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use wire::h1::{BodyLimits, HeadLimits};

use super::acme::HttpAnswers;
use super::certificates::Https;
use super::health::{Findings, Standing};
use super::trust::EndpointTls;
use crate::data::gate::Common;
use crate::data::sticky::Ties;
use crate::metrics::{RouteCounters, ServiceMetrics, TcpMetrics};
use crate::observe::access::AccessFormat;

/// Everything that a request needs to know. Immutable: a request keeps the one it began with.
pub(crate) struct Snapshot {
    /// Higher for each snapshot of this process.
    pub(crate) version: u64,
    pub(crate) rules: Arc<Rules>,
    /// By `ServiceId`.
    pub(crate) services: Box<[Arc<Service>]>,
    pub(crate) route_metrics: RouteCounters,
    /// By `TcpId`.
    pub(crate) tcp_metrics: Box<[Arc<TcpMetrics>]>,
    pub(crate) limits: Limits,
    /// Peers whose word about others is taken.
    pub(crate) trust: Arc<[config::Network]>,
    pub(crate) access: AccessFormat,
    /// How handshakes with clients are made, if there is a listener for HTTPS.
    pub(crate) tls: Option<Arc<Https>>,
    /// What authorities that certify our names want to be answered on plain HTTP.
    pub(crate) http_answers: Option<Arc<HttpAnswers>>,
    /// Who presents this may see the trail of a request.
    pub(crate) explain_token: Arc<str>,
}

/// Whether `address` is in one of `networks`.
pub(crate) fn covers(networks: &[config::Network], address: std::net::IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

impl Snapshot {
    /// Whether whoever presents `token` may have a request explained.
    pub(crate) fn may_explain(&self, token: &[u8]) -> bool {
        crate::admin::is_token(&self.explain_token, token)
    }
}

/// Limits on clients; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) head: HeadLimits,
    pub(crate) body: BodyLimits,
    pub(crate) body_bytes_max: u64,
    pub(crate) header_ms: u64,
    pub(crate) handshake_ms: u64,
    pub(crate) handshakes_max: usize,
    pub(crate) body_idle_ms: u64,
    /// Bytes a second, after a grace; zero is no limit.
    pub(crate) body_rate: u64,
    pub(crate) keep_alive_idle_ms: u64,
    pub(crate) upgrade_idle_ms: u64,
    pub(crate) requests_per_connection_max: u64,
    pub(crate) streams_max: u32,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_client_max: u32,
}

/// A service as the engine sees it.
pub(crate) struct Service {
    /// Dense and never used for a service of another name in this process; what workers know about a
    /// service is found by it.
    pub(crate) index: usize,
    /// Another one whenever anything here is another.
    pub(crate) generation: u64,
    pub(crate) rules: Arc<rules::Service>,
    /// Whether Doorward starts it: then having no endpoint means that it is not ready yet.
    pub(crate) is_started: bool,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    /// What each of them gets beside the others.
    pub(crate) ranks: Box<[Rank]>,
    /// How sessions are tied to them, if they are.
    pub(crate) ties: Option<Ties>,
    /// The zone that we are in.
    pub(crate) zone: Option<Box<str>>,
    pub(crate) times: Times,
    pub(crate) idle_ms: u64,
    /// Idle connections kept by each worker for each endpoint.
    pub(crate) idle_connections_max: usize,
    /// Connections that each worker may have to each endpoint.
    pub(crate) connections_max: u32,
    pub(crate) metrics: Arc<ServiceMetrics>,
    /// What workers know together of how fast it is.
    pub(crate) common: Arc<Common>,
}

impl Service {
    /// Its endpoints, each with what it gets beside the others.
    pub(crate) fn ranked(&self) -> impl Iterator<Item = (&Arc<Endpoint>, &Rank)> {
        self.endpoints.iter().zip(&self.ranks)
    }

    /// Its endpoints as a balancer knows them, in their order.
    pub(crate) fn members(&self) -> Vec<balance::Member> {
        let member = |(endpoint, rank): (&Arc<Endpoint>, &Rank)| balance::Member {
            id: endpoint.id(),
            hash: endpoint.hash,
            weight: rank.weight as f32,
            tier: rank.tier,
            is_near: rank.is_near(self.zone.as_deref()),
            since_ns: endpoint.since_ns,
        };
        self.ranked().map(member).collect()
    }
}

/// Time limits towards a service, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) connect_ms: u64,
    pub(crate) send_ms: u64,
    pub(crate) first_byte_ms: u64,
    pub(crate) between_bytes_ms: u64,
}

/// One address of a service. Lives as long as any snapshot names it, so that what is known about
/// it outlives a reload.
pub(crate) struct Endpoint {
    /// Dense and never used for another address in this process; pools are indexed by it.
    pub(crate) index: usize,
    pub(crate) address: Address,
    /// The address as it stands in `Host` and in explanations.
    pub(crate) text: Box<str>,
    /// What identifies it on other nodes and after a restart, too.
    pub(crate) hash: u64,
    /// When it came, in nanoseconds since the process started; zero if it was there at the start.
    pub(crate) since_ns: u64,
    /// How it is called by TLS, if it is.
    pub(crate) tls: Option<EndpointTls>,
    /// Its requests from all workers, if its service counts them together.
    pub(crate) running: AtomicU32,
    /// Until then (milliseconds since the process started) it is passed over: it refused.
    resting_until_ms: AtomicU64,
    ejections: Ejected,
    /// What checks found; written by control, and only when it asks.
    pub(crate) health: Findings,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What workers found out about an endpoint from its requests; each writes it, seldom.
#[derive(Debug, Default)]
struct Ejected {
    until_ms: AtomicU64,
    times: AtomicU32,
    acquitted_ms: AtomicU64,
}

impl Endpoint {
    pub(crate) fn new(
        index: usize,
        address: Address,
        text: &str,
        tls: Option<EndpointTls>,
        since_ns: u64,
    ) -> Self {
        Self {
            index,
            hash: balance::hash(address.to_string().as_bytes()),
            address,
            text: text.into(),
            since_ns,
            tls,
            running: AtomicU32::new(0),
            resting_until_ms: AtomicU64::new(0),
            ejections: Ejected::default(),
            health: Findings::default(),
        }
    }

    /// The number by which balancers know it.
    pub(crate) fn id(&self) -> u32 {
        u32::try_from(self.index).unwrap_or(u32::MAX)
    }

    /// The address as it is shown to people.
    pub(crate) fn shown(&self) -> String {
        self.address.to_string()
    }

    /// Whether it may be used, as far as anybody knows.
    pub(crate) fn standing(&self, now_ms: u64) -> balance::Standing {
        match self.health.standing() {
            Standing::Unwell => return balance::Standing::Unwell,
            Standing::Unproven => return balance::Standing::Unproven,
            Standing::Unasked | Standing::Well => {}
        }
        match self.ejections().standing(now_ms) {
            balance::Standing::Well if self.is_resting(now_ms) => balance::Standing::Refusing,
            standing => standing,
        }
    }

    /// Whether it refused a connection a moment ago.
    fn is_resting(&self, now_ms: u64) -> bool {
        self.resting_until_ms.load(Ordering::Relaxed) > now_ms
    }

    pub(crate) fn rest_until(&self, until_ms: u64) {
        self.resting_until_ms.store(until_ms, Ordering::Relaxed);
    }

    pub(crate) fn ejections(&self) -> Ejections {
        Ejections {
            until_ms: self.ejections.until_ms.load(Ordering::Relaxed),
            times: self.ejections.times.load(Ordering::Relaxed),
            acquitted_ms: self.ejections.acquitted_ms.load(Ordering::Relaxed),
        }
    }

    /// Notes that it is out, or in again. Of two workers that judge it at the same moment, one is not
    /// heard.
    pub(crate) fn judge(&self, ejections: Ejections) {
        self.ejections.times.store(ejections.times, Ordering::Relaxed);
        self.ejections.acquitted_ms.store(ejections.acquitted_ms, Ordering::Relaxed);
        self.ejections.until_ms.store(ejections.until_ms, Ordering::Relaxed);
    }
}

/// Where the current snapshot is exchanged: control stores, workers look.
pub(crate) struct Published {
    version: AtomicU64,
    current: Mutex<Arc<Snapshot>>,
    changed: Notify,
    /// Somebody waits for an instance that does not run.
    wanted: Notify,
}

impl Published {
    pub(crate) fn new(first: Snapshot) -> Self {
        Self {
            version: AtomicU64::new(first.version),
            current: Mutex::new(Arc::new(first)),
            changed: Notify::new(),
            wanted: Notify::new(),
        }
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the snapshot, and returns the one before; requests that have begun keep it.
    pub(crate) fn publish(&self, next: Snapshot) -> Arc<Snapshot> {
        let version = next.version;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, Arc::new(next));
        drop(current);
        self.version.store(version, Ordering::Release);
        self.changed.notify_waiters();
        before
    }

    /// Says that a request waits for an instance.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Waits for the next [`Self::want`].
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Waits for the next [`Self::publish`], from the first time that this is polled or enabled.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
