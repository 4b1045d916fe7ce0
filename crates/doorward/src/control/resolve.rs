//! Resolves the names of endpoints, again and again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use rules::Service;
use rules::service::{Endpoint, Source};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::observe::log;

/// How often a name is resolved. The system's resolver does not tell how long an answer is good
/// for; a service that moves is found again within this time.
const EVERY: Duration = Duration::from_secs(10);

/// How often while a name has no address yet.
const EVERY_UNTIL_FOUND: Duration = Duration::from_secs(1);

/// Longest time that one look-up may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// A name and port with the addresses that it has now.
pub(crate) struct Resolved {
    pub(crate) name: (Box<str>, u16),
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Keeps the names of all services resolved.
pub(crate) struct Resolver {
    found: mpsc::UnboundedSender<Resolved>,
    running: HashMap<(Box<str>, u16), JoinHandle<()>>,
}

impl Resolver {
    pub(crate) fn new(found: mpsc::UnboundedSender<Resolved>) -> Self {
        Self { found, running: HashMap::new() }
    }

    /// Resolves the names in `services` from now on, and no others.
    pub(crate) fn apply<'s>(&mut self, services: impl Iterator<Item = &'s Service>) {
        let mut wanted = HashMap::new();
        for service in services {
            let Source::Endpoints(endpoints) = &service.source else {
                continue;
            };
            for endpoint in endpoints {
                let Endpoint::Name { host, port } = endpoint else {
                    continue;
                };
                let name = (host.clone(), *port);
                let task = self.running.remove(&name).unwrap_or_else(|| {
                    tokio::task::spawn_local(keep_resolved(name.clone(), self.found.clone()))
                });
                wanted.insert(name, task);
            }
        }
        for task in self.running.values() {
            task.abort();
        }
        self.running = wanted;
    }
}

async fn keep_resolved(name: (Box<str>, u16), found: mpsc::UnboundedSender<Resolved>) {
    let mut last: Option<Vec<SocketAddr>> = None;
    let mut complained = false;
    loop {
        let looked_up =
            tokio::time::timeout(TIME_LIMIT, tokio::net::lookup_host((&*name.0, name.1))).await;
        let error = match looked_up {
            Ok(Ok(addresses)) => {
                let mut addresses: Vec<SocketAddr> = addresses.collect();
                addresses.sort_unstable();
                addresses.dedup();
                complained = false;
                if last.as_ref() != Some(&addresses) {
                    last = Some(addresses.clone());
                    if found.send(Resolved { name: name.clone(), addresses }).is_err() {
                        return;
                    }
                }
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        // The last addresses stay in use: an outage of the resolver is none of the service.
        if let Some(error) = error
            && !complained
        {
            complained = true;
            log::warn("resolve", format!("`{}` cannot be resolved: {error}", name.0));
        }
        tokio::time::sleep(if last.is_some() { EVERY } else { EVERY_UNTIL_FOUND }).await;
    }
}
