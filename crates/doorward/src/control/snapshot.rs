//! The whole compiled configuration at one time, and the one place where it is exchanged.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rules::Rules;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use wire::h1::{BodyLimits, HeadLimits};

use super::health::{Findings, Standing};
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
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
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
    pub(crate) rules: Arc<rules::Service>,
    /// Whether Doorward starts it: then having no endpoint means that it is not ready yet.
    pub(crate) is_started: bool,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    pub(crate) times: Times,
    pub(crate) idle_ms: u64,
    /// Idle connections kept by each worker for each endpoint.
    pub(crate) idle_connections_max: usize,
    pub(crate) metrics: Arc<ServiceMetrics>,
}

impl Service {
    /// Whether the endpoint at an index is passed over while others are there: it refused a moment ago,
    /// or checks find it unwell, or they have not found it well yet while they have others.
    pub(crate) fn passed_over(&self, now_ms: u64) -> impl Fn(usize) -> bool {
        let is_well = |endpoint: &Arc<Endpoint>| endpoint.health.standing() == Standing::Well;
        let proven = self.rules.health.is_some() && self.endpoints.iter().any(is_well);
        move |at| {
            let endpoint = &self.endpoints[at];
            endpoint.is_resting(now_ms)
                || match endpoint.health.standing() {
                    Standing::Unasked | Standing::Well => false,
                    Standing::Unproven => proven,
                    Standing::Unwell => true,
                }
        }
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
    /// Until then (milliseconds since the process started) it is passed over: it refused.
    resting_until_ms: AtomicU64,
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

impl Endpoint {
    pub(crate) fn new(index: usize, address: Address, text: &str) -> Self {
        Self {
            index,
            address,
            text: text.into(),
            resting_until_ms: AtomicU64::new(0),
            health: Findings::default(),
        }
    }

    /// The address as it is shown to people.
    pub(crate) fn shown(&self) -> String {
        self.address.to_string()
    }

    /// Whether it refused a connection a moment ago.
    pub(crate) fn is_resting(&self, now_ms: u64) -> bool {
        self.resting_until_ms.load(Ordering::Relaxed) > now_ms
    }

    pub(crate) fn rest_until(&self, until_ms: u64) {
        self.resting_until_ms.store(until_ms, Ordering::Relaxed);
    }
}

/// Where the current snapshot is exchanged: control stores, workers look.
pub(crate) struct Published {
    version: AtomicU64,
    current: Mutex<Arc<Snapshot>>,
    changed: Notify,
}

impl Published {
    pub(crate) fn new(first: Snapshot) -> Self {
        Self {
            version: AtomicU64::new(first.version),
            current: Mutex::new(Arc::new(first)),
            changed: Notify::new(),
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

    /// Waits for the next [`Self::publish`], from the first time that this is polled or enabled.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
