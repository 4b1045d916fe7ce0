//! What outlives a reload: endpoints with what is known about them, and counters, each by its name.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rules::service::{Endpoint as Written, Source};
use rules::{Route, Service as ServiceRules};

use super::snapshot::{Address, Endpoint, Service, Times};
use crate::metrics::{ROUTES_LABELLED_MAX, RouteMetrics, ServiceMetrics};

/// Addresses that are known only at run time.
#[derive(Default)]
pub(crate) struct Found {
    /// Of names, by name and port.
    pub(crate) names: HashMap<(Box<str>, u16), Vec<SocketAddr>>,
    /// Of started instances that are ready, by service.
    pub(crate) instances: HashMap<Box<str>, Vec<SocketAddr>>,
}

/// Everything that is lent to each new snapshot.
pub(crate) struct Registry {
    workers: usize,
    endpoints: HashMap<(Box<str>, Address), Arc<Endpoint>>,
    /// The next endpoint's index. Indices are not used again: a worker may still hold connections
    /// under an old one.
    next_index: usize,
    routes: HashMap<Box<str>, Arc<RouteMetrics>>,
    other_routes: Arc<RouteMetrics>,
    services: HashMap<Box<str>, Arc<ServiceMetrics>>,
}

impl Registry {
    /// A registry for so many workers, the control thread's own included.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            endpoints: HashMap::new(),
            next_index: 0,
            routes: HashMap::new(),
            other_routes: Arc::new(RouteMetrics::new("other", workers)),
            services: HashMap::new(),
        }
    }

    /// The services with the endpoints that they have at the moment.
    pub(crate) fn services(
        &mut self,
        services: &[Arc<ServiceRules>],
        found: &Found,
    ) -> Box<[Arc<Service>]> {
        let ready = services
            .iter()
            .map(|rules| Arc::new(self.service(rules, found)))
            .collect();
        self.services
            .retain(|name, _| services.iter().any(|service| service.name == *name));
        ready
    }

    fn service(&mut self, rules: &Arc<ServiceRules>, found: &Found) -> Service {
        let endpoints: Vec<_> = addresses(rules, found)
            .into_iter()
            .map(|(address, text)| self.endpoint(&rules.name, address, &text))
            .collect();
        let workers = self.workers;
        let metrics = self
            .services
            .entry(rules.name.clone())
            .or_insert_with(|| Arc::new(ServiceMetrics::new(&rules.name, workers)));
        let timeouts = &rules.timeouts;
        Service {
            is_started: matches!(rules.source, Source::Run(_)),
            endpoints: endpoints.into(),
            times: Times {
                connect_ms: milliseconds(timeouts.connect),
                send_ms: milliseconds(timeouts.send),
                first_byte_ms: milliseconds(timeouts.first_byte),
                between_bytes_ms: milliseconds(timeouts.between_bytes),
            },
            idle_ms: milliseconds(rules.pool.idle),
            idle_connections_max: rules.pool.idle_connections as usize,
            metrics: Arc::clone(metrics),
            rules: Arc::clone(rules),
        }
    }

    fn endpoint(&mut self, service: &str, address: Address, text: &str) -> Arc<Endpoint> {
        let next_index = &mut self.next_index;
        let endpoint = self
            .endpoints
            .entry((service.into(), address.clone()))
            .or_insert_with(|| {
                let index = *next_index;
                *next_index += 1;
                Arc::new(Endpoint::new(index, address, text))
            });
        Arc::clone(endpoint)
    }

    /// Forgets the endpoints that neither a snapshot nor a request names any more, and returns
    /// their addresses: nothing is on its way to them.
    pub(crate) fn forget_unused(&mut self) -> Vec<Address> {
        let unused = |endpoint: &Arc<Endpoint>| Arc::strong_count(endpoint) == 1;
        let forgotten = self.endpoints.extract_if(|_, endpoint| unused(endpoint));
        forgotten.map(|((_, address), _)| address).collect()
    }

    /// The counters of `routes`, in their order.
    pub(crate) fn routes(&mut self, routes: &[Arc<Route>]) -> Arc<[Arc<RouteMetrics>]> {
        let workers = self.workers;
        let mut kept = HashMap::new();
        let counters = routes
            .iter()
            .map(|route| {
                if let Some(known) = kept.get(&route.name) {
                    return Arc::clone(known);
                }
                let known = match self.routes.remove(&route.name) {
                    Some(known) => known,
                    None if kept.len() < ROUTES_LABELLED_MAX => {
                        Arc::new(RouteMetrics::new(&route.name, workers))
                    }
                    None => return Arc::clone(&self.other_routes),
                };
                kept.insert(route.name.clone(), Arc::clone(&known));
                known
            })
            .collect();
        self.routes = kept;
        counters
    }
}

/// Where a service is at the moment, each address with its text.
fn addresses(rules: &ServiceRules, found: &Found) -> Vec<(Address, String)> {
    let tcp = |address: &SocketAddr| (Address::Tcp(*address), address.to_string());
    match &rules.source {
        Source::Run(_) => found
            .instances
            .get(&rules.name)
            .into_iter()
            .flatten()
            .map(tcp)
            .collect(),
        Source::Endpoints(written) => written
            .iter()
            .flat_map(|endpoint| match endpoint {
                Written::Address(address) => vec![tcp(address)],
                Written::Unix(path) => {
                    // `Host` has no form for a path.
                    vec![(Address::Unix(path.clone()), "localhost".to_owned())]
                }
                Written::Name { host, port } => {
                    let resolved = found
                        .names
                        .get(&(host.clone(), *port))
                        .into_iter()
                        .flatten();
                    resolved
                        .map(|at| (Address::Tcp(*at), format!("{host}:{port}")))
                        .collect()
                }
            })
            .collect(),
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
