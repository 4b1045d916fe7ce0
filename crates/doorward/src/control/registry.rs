//! What outlives a reload: endpoints with what is known about them, and counters, each by its name.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rules::service::{Endpoint as Written, Rank, Ranked, Source};
use rules::tcp::TcpEntry;
use rules::{Route, Service as ServiceRules};

use super::endpoints::Told;
use super::resolve::{Located, Resolved};
use super::snapshot::{Address, Endpoint, Service, Times};
use super::trust::{EndpointTls, ServiceTls};
use crate::data::gate::Common;
use crate::data::sticky::Ties;
use crate::metrics::{
    ROUTES_LABELLED_MAX, RouteCounters, RouteMetrics, ServiceMetrics, TcpMetrics,
};

/// Addresses that are known only at run time.
#[derive(Default)]
pub(crate) struct Found {
    /// Of names and of `SRV` records, by how they are written.
    pub(crate) located: HashMap<Written, Vec<Located>>,
    /// What stands in files of endpoints, by how these are written.
    pub(crate) listed: HashMap<Written, Box<[Ranked]>>,
    /// Of started instances that are ready, by service.
    pub(crate) instances: HashMap<Box<str>, Vec<SocketAddr>>,
    /// What operators said by the API, by service.
    pub(crate) told: HashMap<Box<str>, Told>,
}

impl Found {
    /// The endpoints of a service as they are written, in its configuration or elsewhere, each with
    /// what it gets.
    pub(crate) fn written<'f>(
        &'f self,
        rules: &'f ServiceRules,
    ) -> impl Iterator<Item = (&'f Written, Rank)> {
        let configured = match &rules.source {
            Source::Endpoints(written) => &**written,
            Source::Run(_) => &[],
        };
        let told = self.told.get(&rules.name);
        let added = told.into_iter().flat_map(|told| &told.added);
        let all = configured.iter().chain(added).flat_map(|outer| {
            let listed = self.listed.get(&outer.endpoint).map_or(&[][..], |listed| listed);
            let within = |one: &'f Ranked| (&one.endpoint, one.rank.within(&outer.rank));
            std::iter::once((&outer.endpoint, outer.rank.clone())).chain(listed.iter().map(within))
        });
        all.map(move |(written, rank)| {
            let said = told.and_then(|told| told.ranks.get(&written.to_string()));
            (written, said.cloned().unwrap_or(rank))
        })
    }

    /// Takes in what was found; about what is no longer written anywhere, it is forgotten.
    pub(crate) fn take(&mut self, resolved: Resolved) {
        match resolved {
            Resolved::Located(source, located) => drop(self.located.insert(source, located)),
            Resolved::Listed(source, listed) => drop(self.listed.insert(source, listed)),
        }
    }

    /// Forgets what is known of services and endpoints that no rule names any more.
    pub(crate) fn forget_unwritten(&mut self, services: &[Arc<ServiceRules>]) {
        let named: HashSet<&str> = services.iter().map(|service| &*service.name).collect();
        self.told.retain(|name, _| named.contains(&**name));
        let written = services.iter().flat_map(|service| self.written(service));
        let written: HashSet<Written> = written.map(|(written, _)| written.clone()).collect();
        self.listed.retain(|source, _| written.contains(source));
        self.located.retain(|source, _| written.contains(source));
    }
}

/// What tells endpoints apart. A connection that was made in one way is never used in another.
type Key = (Box<str>, Address, Option<EndpointTls>);

/// The label of routes that have none of their own.
const OTHER: &str = "other";

/// Everything that is lent to each new snapshot.
pub(crate) struct Registry {
    workers: usize,
    endpoints: HashMap<Key, Arc<Endpoint>>,
    /// The next endpoint's index. Indices are not used again: a worker may still hold connections
    /// under an old one.
    next_index: usize,
    routes: HashMap<Box<str>, Arc<RouteMetrics>>,
    other_routes: Arc<RouteMetrics>,
    services: HashMap<Box<str>, Known>,
    /// The next service's index; not used again either.
    next_service: usize,
    /// The newest generation of any service.
    generation: u64,
    /// What cookies of services without a key of their own are signed with: of this process.
    sticky_key: [u8; 32],
    /// Clock of the process, by which endpoints are young.
    started: Instant,
    tcp: HashMap<String, Arc<TcpMetrics>>,
}

/// A service as it was lent last.
struct Known {
    index: usize,
    metrics: Arc<ServiceMetrics>,
    common: Arc<Common>,
    lent: Option<Arc<Service>>,
}

impl Registry {
    /// A registry for so many workers, the control thread's own included.
    pub(crate) fn new(workers: usize, started: Instant) -> Self {
        Self {
            workers,
            started,
            sticky_key: random_key(),
            next_service: 0,
            generation: 0,
            endpoints: HashMap::new(),
            next_index: 0,
            routes: HashMap::new(),
            other_routes: Arc::new(RouteMetrics::new(OTHER, workers)),
            services: HashMap::new(),
            tcp: HashMap::new(),
        }
    }

    /// The services with the endpoints that they have at the moment.
    pub(crate) fn services(
        &mut self,
        services: &[Arc<ServiceRules>],
        tls: &HashMap<Box<str>, Arc<ServiceTls>>,
        found: &Found,
        zone: Option<&str>,
    ) -> Box<[Arc<Service>]> {
        let ready = services.iter().map(|rules| {
            let tls = tls.get(&rules.name).map(|tls| &**tls);
            self.service(rules, tls, found, zone)
        });
        let ready = ready.collect();
        if self.services.len() > services.len() {
            let named: HashSet<&str> = services.iter().map(|service| &*service.name).collect();
            self.services.retain(|name, _| named.contains(&**name));
        }
        ready
    }

    /// The service as it is now: the very one that was lent before, if nothing changed.
    fn service(
        &mut self,
        rules: &Arc<ServiceRules>,
        tls: Option<&ServiceTls>,
        found: &Found,
        zone: Option<&str>,
    ) -> Arc<Service> {
        let (endpoints, ranks): (Vec<_>, Vec<_>) = sites(rules, found)
            .into_iter()
            .map(|Site { address, text, rank }| {
                let tls = tls.map(|tls| tls.endpoint(host_of(&text)));
                (self.endpoint(&rules.name, address, &text, tls), rank)
            })
            .unzip();
        let ties = rules.sticky.as_ref();
        let ties = ties.map(|sticky| Ties::new(&rules.name, sticky, &self.sticky_key));
        let known = self.services.entry(rules.name.clone()).or_insert_with(|| {
            let index = self.next_service;
            self.next_service += 1;
            let metrics = Arc::new(ServiceMetrics::new(&rules.name, self.workers));
            Known { index, metrics, common: Arc::default(), lent: None }
        });
        if let Some(lent) = &known.lent
            && (Arc::ptr_eq(&lent.rules, rules) || lent.rules == *rules)
            && lent.endpoints.len() == endpoints.len()
            && lent.endpoints.iter().zip(&endpoints).all(|(one, other)| Arc::ptr_eq(one, other))
            && *lent.ranks == *ranks
            && lent.zone.as_deref() == zone
        {
            return Arc::clone(lent);
        }
        self.generation += 1;
        let timeouts = &rules.timeouts;
        let service = Arc::new(Service {
            index: known.index,
            generation: self.generation,
            is_started: matches!(rules.source, Source::Run(_)),
            endpoints: endpoints.into(),
            ranks: ranks.into(),
            ties,
            zone: zone.map(Into::into),
            times: Times {
                connect_ms: milliseconds(timeouts.connect),
                send_ms: milliseconds(timeouts.send),
                first_byte_ms: milliseconds(timeouts.first_byte),
                between_bytes_ms: milliseconds(timeouts.between_bytes),
            },
            idle_ms: milliseconds(rules.pool.idle),
            idle_connections_max: rules.pool.idle_connections as usize,
            // The last worker is that of control.
            connections_max: rules.policy.connections_max.map_or(u32::MAX, |all| {
                all.div_ceil(
                    u32::try_from(self.workers).unwrap_or(u32::MAX).saturating_sub(1).max(1),
                )
            }),
            metrics: Arc::clone(&known.metrics),
            common: Arc::clone(&known.common),
            rules: Arc::clone(rules),
        });
        known.lent = Some(Arc::clone(&service));
        service
    }

    fn endpoint(
        &mut self,
        service: &str,
        address: Address,
        text: &str,
        tls: Option<EndpointTls>,
    ) -> Arc<Endpoint> {
        let next_index = &mut self.next_index;
        // Of those that are there at the start none is younger than the others.
        let since_ns = match self.generation {
            0 => 0,
            _ => u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        let key = (service.into(), address.clone(), tls.clone());
        let endpoint = self.endpoints.entry(key).or_insert_with(|| {
            let index = *next_index;
            *next_index += 1;
            Arc::new(Endpoint::new(index, address, text, tls, since_ns))
        });
        Arc::clone(endpoint)
    }

    /// Forgets the endpoints that neither a snapshot nor a request names any more, and returns
    /// their addresses: nothing is on its way to them.
    pub(crate) fn forget_unused(&mut self) -> Vec<Address> {
        let unused = |endpoint: &Arc<Endpoint>| Arc::strong_count(endpoint) == 1;
        let forgotten = self.endpoints.extract_if(|_, endpoint| unused(endpoint));
        let mut addresses: Vec<Address> = forgotten.map(|((_, address, _), _)| address).collect();
        // It may be called in another way now.
        addresses.retain(|address| self.endpoints.keys().all(|(_, other, _)| other != address));
        addresses
    }

    /// The counters of the `[[tcp]]` entries.
    pub(crate) fn tcp(&mut self, entries: &[TcpEntry]) -> Box<[Arc<TcpMetrics>]> {
        let mut before = std::mem::take(&mut self.tcp);
        let kept = entries.iter().map(|entry| {
            let name = entry.name();
            let counters = before.remove(&name);
            let counters =
                counters.unwrap_or_else(|| Arc::new(TcpMetrics::new(entry, self.workers)));
            self.tcp.insert(name, Arc::clone(&counters));
            counters
        });
        kept.collect()
    }

    /// The counters of `routes`. Routes of one name share them, and so do all behind the first
    /// [`ROUTES_LABELLED_MAX`]: of 50,000 routes, only those cost a reload anything.
    pub(crate) fn routes(&mut self, routes: &[Arc<Route>]) -> RouteCounters {
        let mut before = std::mem::take(&mut self.routes);
        let mut kept = HashMap::from([(OTHER.into(), Arc::clone(&self.other_routes))]);
        let labelled = &routes[..routes.len().min(ROUTES_LABELLED_MAX)];
        let own = labelled
            .iter()
            .map(|route| {
                let counters = kept.entry(route.name.clone()).or_insert_with(|| {
                    let new = || Arc::new(RouteMetrics::new(&route.name, self.workers));
                    before.remove(&route.name).unwrap_or_else(new)
                });
                Arc::clone(counters)
            })
            .collect();
        self.routes = kept;
        RouteCounters::new(own, Arc::clone(&self.other_routes))
    }
}

/// One place where a service is at the moment.
pub(super) struct Site {
    pub(super) address: Address,
    /// As it stands in `Host`.
    pub(super) text: String,
    pub(super) rank: Rank,
}

/// Where a service is at the moment.
pub(super) fn sites(rules: &ServiceRules, found: &Found) -> Vec<Site> {
    let tcp = |address: &SocketAddr, rank| Site {
        address: Address::Tcp(*address),
        text: address.to_string(),
        rank,
    };
    if let Source::Run(_) = &rules.source {
        let ready = found.instances.get(&rules.name).into_iter().flatten();
        return ready.map(|address| tcp(address, Rank::default())).collect();
    }
    let mut all = Vec::new();
    for (written, rank) in found.written(rules) {
        match written {
            Written::Address(address) => all.push(tcp(address, rank)),
            Written::Unix(path) => {
                // `Host` has no form for a path.
                let (address, text) = (Address::Unix(path.clone()), "localhost".to_owned());
                all.push(Site { address, text, rank });
            }
            Written::Name { .. } | Written::Srv(_) => {
                all.extend(located(found.located.get(written), &rank));
            }
            Written::File(_) => {}
        }
    }
    if let Some(told) = found.told.get(&rules.name) {
        all.retain(|site| !told.drained.contains(&site.address.to_string()));
        for site in &mut all {
            if let Some(rank) = told.ranks.get(&site.address.to_string()) {
                site.rank = rank.clone();
            }
        }
    }
    // Two names may be of one address; it would get twice its share.
    let mut seen = HashSet::new();
    all.retain(|site| seen.insert(site.address.clone()));
    all
}

/// Where the name or the `SRV` records that are written with `rank` lead. "A client MUST attempt to
/// contact the target host with the lowest-numbered priority it can reach" (RFC 2782): the others are
/// tiers behind it.
fn located(located: Option<&Vec<Located>>, rank: &Rank) -> impl Iterator<Item = Site> {
    let located = located.map_or(&[][..], |located| located);
    let priorities: BTreeSet<u16> = located.iter().map(|one| one.priority).collect();
    located.iter().map(move |one| {
        let before = priorities.range(..one.priority).count();
        let own = Rank {
            // Of weight 0 are those that are to get hardly anything beside others.
            weight: u32::from(one.weight).max(1),
            tier: u8::try_from(before).unwrap_or(u8::MAX),
            zone: None,
        };
        let address = Address::Tcp(one.address);
        Site { address, text: one.text.to_string(), rank: own.within(rank) }
    })
}

/// A key that nobody else has.
fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).expect("the system has randomness, or no TLS could be");
    key
}

/// The host of an endpoint as it is written.
fn host_of(text: &str) -> &str {
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
