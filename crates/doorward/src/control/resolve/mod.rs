//! Finds out where services are, again and again: names, `SRV` records, files of endpoints.

mod client;
mod file;
mod system;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rules::service::{Endpoint, Ranked};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::dns::Record;

use self::client::{Client, Good};
use crate::observe::log;

/// How soon a name is looked up again at the earliest: records that say "not for a moment" must not
/// make a flood.
const TTL_S_MIN: u32 = 1;

/// How late at the latest: what says "for a day" may move before.
const TTL_S_MAX: u32 = 3600;

/// How often a name is looked up that only the system's own resolver knows, which does not tell how
/// long its answer is good for; and how soon after a failure.
const EVERY: Duration = Duration::from_secs(10);

/// How often while a name has no address yet.
const EVERY_UNTIL_FOUND: Duration = Duration::from_secs(1);

/// Longest time that one look-up by the system may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The most addresses of one name: the largest answer has a few thousand.
const ADDRESSES_MAX: usize = 1000;

/// One place where a service is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Located {
    /// Among the places of one name, those with the lowest number are used first.
    pub(crate) priority: u16,
    pub(crate) address: SocketAddr,
    /// The share among those of one priority.
    pub(crate) weight: u16,
    /// As it stands in `Host`.
    pub(crate) text: Box<str>,
}

/// What was found for an endpoint as it is written.
pub(crate) enum Resolved {
    /// Where a name, or what its `SRV` records name, is now.
    Located(Endpoint, Vec<Located>),
    /// What stands in a file now.
    Listed(Endpoint, Box<[Ranked]>),
}

/// Whom to ask about names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dns {
    /// These name servers alone; those of the system if there are none.
    pub(crate) servers: Vec<SocketAddr>,
}

/// Keeps found where services are.
pub(crate) struct Resolver {
    found: mpsc::UnboundedSender<Resolved>,
    dns: Dns,
    running: HashMap<Endpoint, JoinHandle<()>>,
}

impl Resolver {
    pub(crate) fn new(found: mpsc::UnboundedSender<Resolved>) -> Self {
        Self { found, dns: Dns::default(), running: HashMap::new() }
    }

    /// Keeps those of `written` found that have to be, from now on, and no others. Files are relative
    /// to `folder`.
    pub(crate) fn apply<'e>(
        &mut self,
        written: impl Iterator<Item = &'e Endpoint>,
        dns: Dns,
        folder: &Path,
    ) {
        let mut before = std::mem::take(&mut self.running);
        if dns != self.dns {
            self.dns = dns;
            for (_, task) in before.drain() {
                task.abort();
            }
        }
        for endpoint in written {
            if self.running.contains_key(endpoint) {
                continue;
            }
            if let Some(task) = before.remove(endpoint).or_else(|| self.begin(endpoint, folder)) {
                self.running.insert(endpoint.clone(), task);
            }
        }
        for (_, task) in before {
            task.abort();
        }
    }

    fn begin(&self, endpoint: &Endpoint, folder: &Path) -> Option<JoinHandle<()>> {
        let (source, found) = (endpoint.clone(), self.found.clone());
        Some(match endpoint {
            Endpoint::Address(_) | Endpoint::Unix(_) => return None,
            Endpoint::File(path) => {
                let path: PathBuf = folder.join(path);
                tokio::task::spawn_local(file::keep_read(source, path, found))
            }
            Endpoint::Name { .. } | Endpoint::Srv(_) => {
                tokio::task::spawn_local(keep_located(source, self.dns.clone(), found))
            }
        })
    }
}

async fn keep_located(source: Endpoint, dns: Dns, found: mpsc::UnboundedSender<Resolved>) {
    let mut last: Option<Vec<Located>> = None;
    let mut complained = false;
    loop {
        let pause = match locate(&source, &dns).await {
            Ok(Good { found: mut located, ttl_s }) => {
                located.sort_unstable();
                located.dedup();
                located.truncate(ADDRESSES_MAX);
                complained = false;
                if last.as_ref() != Some(&located) {
                    last = Some(located.clone());
                    if found.send(Resolved::Located(source.clone(), located)).is_err() {
                        return;
                    }
                }
                Duration::from_secs(ttl_s.clamp(TTL_S_MIN, TTL_S_MAX).into())
            }
            // The last addresses stay in use: an outage of the resolver is none of the service.
            Err(error) => {
                if !complained {
                    complained = true;
                    log::warn("resolve", format!("`{source}` cannot be resolved: {error}"));
                }
                if last.is_some() { EVERY } else { EVERY_UNTIL_FOUND }
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn locate(source: &Endpoint, dns: &Dns) -> Result<Good<Located>, String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    // They may change, and are short.
    let client = match dns.servers.is_empty() {
        true => system::client(&read("/etc/resolv.conf")),
        false => Client { servers: dns.servers.clone(), ..Client::default() },
    };
    let hosts = read("/etc/hosts");
    let asking = Asking { client, hosts, system: dns.servers.is_empty() };
    match source {
        Endpoint::Name { host, port } => {
            let good = asking.addresses(host, *port).await?;
            let located = good.found.into_iter().map(|address| Located {
                priority: 0,
                address,
                weight: 1,
                text: format!("{host}:{port}").into(),
            });
            Ok(Good { found: located.collect(), ttl_s: good.ttl_s })
        }
        Endpoint::Srv(name) => asking.services(name).await,
        Endpoint::Address(_) | Endpoint::Unix(_) | Endpoint::File(_) => {
            Ok(Good { found: Vec::new(), ttl_s: TTL_S_MAX })
        }
    }
}

/// One look-up.
struct Asking {
    client: Client,
    hosts: String,
    /// Whether what no name server knows may be known to the system in another way.
    system: bool,
}

impl Asking {
    async fn addresses(&self, host: &str, port: u16) -> Result<Good<SocketAddr>, String> {
        let known = system::in_hosts(&self.hosts, host.trim_end_matches('.'));
        let with_port = |addresses: Vec<std::net::IpAddr>| {
            addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
        };
        if !known.is_empty() {
            return Ok(Good { found: with_port(known), ttl_s: EVERY.as_secs() as u32 });
        }
        match self.client.addresses(host).await {
            Ok(good) => Ok(Good { found: with_port(good.found), ttl_s: good.ttl_s }),
            Err(why) if !self.system => Err(why),
            Err(why) => {
                // Whatever `nsswitch.conf` knows besides: mDNS, a container's own ways.
                let looking = tokio::net::lookup_host((host, port));
                match tokio::time::timeout(TIME_LIMIT, looking).await {
                    Ok(Ok(addresses)) => {
                        let ttl_s = EVERY.as_secs() as u32;
                        Ok(Good { found: addresses.collect(), ttl_s })
                    }
                    _ => Err(why),
                }
            }
        }
    }

    /// Where the hosts are that the `SRV` records of `name` name. Those that have no address are left
    /// out, unless none has one.
    async fn services(&self, name: &str) -> Result<Good<Located>, String> {
        let records = self.client.services(name).await?;
        let mut good = Good { found: Vec::new(), ttl_s: records.ttl_s };
        let mut failed = None;
        for record in records.found {
            let Record::Service { priority, weight, port, host } = record else { continue };
            // "The service is decidedly not available at this domain" (RFC 2782).
            if host.is_empty() {
                continue;
            }
            // The name is whole: no domain is to be added.
            match self.addresses(&format!("{host}."), port).await {
                Ok(addresses) => {
                    good.ttl_s = good.ttl_s.min(addresses.ttl_s);
                    let text: Box<str> = format!("{host}:{port}").into();
                    good.found.extend(addresses.found.into_iter().map(|address| Located {
                        priority,
                        address,
                        weight,
                        text: text.clone(),
                    }));
                }
                Err(why) => failed = Some(format!("{host}: {why}")),
            }
            if good.found.len() >= ADDRESSES_MAX {
                break;
            }
        }
        match failed {
            Some(why) if good.found.is_empty() => Err(why),
            _ => Ok(good),
        }
    }
}
