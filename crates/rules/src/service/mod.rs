//! Services: what is called, as a whole, and how.

mod balance;
mod breaker;
mod build;
mod eject;
mod endpoint;
mod health;
mod limits;
mod overload;
mod pauses;
mod policy;
mod retry;
mod scale;
mod sticky;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use balance::{BalanceConfig, By};
pub use breaker::{BreakerConfig, Fallback, Guard};
pub use eject::EjectConfig;
pub use endpoint::{EndpointConfig, EndpointTable, ZONE_ADVICE, is_zone};
pub use health::{Ask, Get, Health, HealthConfig};
pub use limits::LimitsConfig;
pub use overload::OverloadConfig;
pub use policy::Policy;
pub use retry::RetryConfig;
pub use scale::{Hook, ScaleConfig, Scaling};
pub use sticky::StickyConfig;
pub use text::{Instances, Protocol, ServiceConfig};
pub use tls::{Tls, TlsCertificate, TlsConfig, TlsTable};

use crate::balance::HashBy;

/// The place of a service in [`Rules::services`](crate::Rules::services).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// A service, ready to be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// Where it is, or how to start it.
    pub source: Source,
    /// Who is told how many instances there are to be, if it runs on other machines.
    pub scaling: Option<Scaling>,
    /// What it speaks.
    pub protocol: Protocol,
    /// How it is called by TLS, if it is.
    pub tls: Option<Tls>,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// The header in which clients say how long they wait, and in which the service is told.
    pub deadline: Option<Box<str>>,
    /// What becomes of idle connections.
    pub pool: Pool,
    /// What stands in `Host`.
    pub host: HostField,
    /// How to find out whether an endpoint is well.
    pub health: Option<Health>,
    /// How sessions stay at one endpoint, if they do.
    pub sticky: Option<crate::balance::Sticky>,
    /// What becomes of its requests among its endpoints.
    pub policy: Policy,
}

impl Service {
    /// The keys it has that say something about requests, and so nothing to connections that are passed on
    /// as they are.
    pub(crate) fn for_requests(&self) -> impl Iterator<Item = &'static str> {
        let Self { policy, sticky, timeouts, deadline, .. } = self;
        // Without `overload` there is a gate for the fixed number, which no latency changes.
        let learns = policy.overload.as_ref().map(|gate| gate.limit.tolerance.is_finite());
        [
            ("sticky", sticky.is_some()),
            ("balance.hash", policy.hash.as_ref().is_some_and(|by| *by != HashBy::Client)),
            ("overload", learns == Some(true)),
            ("limits.requests", learns == Some(false)),
            ("breaker", policy.breaker.is_some()),
            ("retry.hedge", policy.retry.hedge.is_some()),
            ("total", timeouts.total.is_some()),
            ("deadline", deadline.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, is_there)| is_there.then_some(key))
    }
}

/// Where a service is, or how to start it.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// It runs already.
    Endpoints(Box<[Ranked]>),
    /// Doorward starts it.
    Run(Run),
}

/// An endpoint, and what it gets beside the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it gets.
    pub rank: Rank,
}

/// What an endpoint gets beside the others of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Its share, in proportion to the others.
    pub weight: u32,
    /// 0 is used first, 1 when that cannot carry it all, and so on.
    pub tier: u8,
    /// The zone that it is in, if that is said.
    pub zone: Option<Box<str>>,
}

impl Default for Rank {
    fn default() -> Self {
        Self { weight: 1, tier: 0, zone: None }
    }
}

impl Rank {
    /// Whether the endpoint is in the zone `ours`, or nobody says where it is.
    #[must_use]
    pub fn is_near(&self, ours: Option<&str>) -> bool {
        match (ours, &self.zone) {
            (Some(ours), Some(zone)) => ours == &**zone,
            _ => true,
        }
    }

    /// What it comes to within what is written as `outer`, such as a file's: weights are multiplied,
    /// tiers come behind each other, and the zone is the outer one unless it has one of its own.
    #[must_use]
    pub fn within(&self, outer: &Self) -> Self {
        Self {
            weight: self.weight.saturating_mul(outer.weight),
            tier: self.tier.saturating_add(outer.tier),
            zone: self.zone.as_ref().or(outer.zone.as_ref()).cloned(),
        }
    }
}

impl From<Endpoint> for Ranked {
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoint, rank: Rank::default() }
    }
}

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and port.
    Address(SocketAddr),
    /// A name to be resolved, and a port.
    Name {
        /// The name, in lower case.
        host: Box<str>,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// The hosts and ports in the `SRV` records of this name, in lower case.
    Srv(Box<str>),
    /// Those that stand in this file, relative to the configuration file; see
    /// [`Ranked::read_list`].
    File(PathBuf),
}

/// How to start a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The command and its arguments; `{port}` stands for the port it is to listen on.
    pub command: Box<[Box<str>]>,
    /// What to run once before, such as a compiler.
    pub build: Option<Box<[Box<str>]>>,
    /// How many there are, and by what that is told.
    pub scale: crate::scale::Policy,
    /// Variables for both commands.
    pub environment: Box<[(Box<str>, Box<str>)]>,
    /// Where both commands run; relative to the configuration file.
    pub directory: Option<PathBuf>,
    /// How long a process may take to end by itself.
    pub stop_grace: Duration,
}

/// How long each step towards a service may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, name resolution included.
    pub connect: Duration,
    /// To take the next bytes of the request.
    pub send: Duration,
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Duration,
    /// From any bytes of the answer to the next.
    pub between_bytes: Duration,
    /// From the request's head to the last byte of the answer, retries included; as long as it takes
    /// if there is none.
    pub total: Option<Duration>,
}

/// What becomes of idle connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How long one is kept.
    pub idle: Duration,
    /// How many are kept per worker and endpoint.
    pub idle_connections: u32,
}

/// What stands in `Host` towards a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostField {
    /// What the client sent.
    Preserve,
    /// The endpoint's own name and port.
    Endpoint,
    /// This.
    Literal(Box<str>),
}
