//! All services that Doorward starts, as one state machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::news::{Effect, Event, RunId, StateName, Time};
use super::service::{Role, Service};
use super::spec::ServiceSpec;

#[derive(Debug, Default)]
pub(super) struct Fleet {
    services: BTreeMap<Arc<str>, Service>,
    /// The number of the newest instance.
    ids: u64,
    stopping: bool,
}

/// One instance, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct InstanceStatus {
    pub(crate) service: String,
    /// From 1. A replacement and the replaced share the number.
    pub(crate) instance: u32,
    pub(crate) role: Role,
    pub(crate) state: StateName,
    pub(crate) since_unix_ms: u64,
    pub(crate) pid: Option<u32>,
    pub(crate) port: Option<u16>,
    pub(crate) restarts: u32,
    pub(crate) last_exit: Option<ExitStatus>,
}

/// How the last process of an instance ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ExitStatus {
    pub(crate) reason: String,
    pub(crate) last_lines: Vec<String>,
    pub(crate) at_unix_ms: u64,
}

impl Fleet {
    /// Wants exactly `specs` from now on. Services whose spec is as before are not touched.
    pub(super) fn apply(&mut self, specs: Vec<ServiceSpec>, now: Time) -> Vec<Effect> {
        if self.stopping {
            return Vec::new();
        }
        for (name, service) in &mut self.services {
            if !specs.iter().any(|spec| spec.name == *name) {
                service.remove();
            }
        }
        for spec in specs.into_iter().map(Arc::new) {
            match self.services.get_mut(&spec.name) {
                Some(service) => service.apply(spec),
                None => {
                    let name = Arc::clone(&spec.name);
                    self.services.insert(name, Service::new(spec));
                }
            }
        }
        self.step(now, |_, _, _| {})
    }

    pub(super) fn event(&mut self, id: RunId, event: &Event, now: Time) -> Vec<Effect> {
        self.step(now, |service, now, effects| {
            service.event(id, event, now, effects);
        })
    }

    pub(super) fn drained(&mut self, address: SocketAddr, now: Time) -> Vec<Effect> {
        self.step(now, |service, now, effects| {
            service.drained(address, now, effects);
        })
    }

    /// Wants so many instances of a service.
    pub(super) fn scale(&mut self, name: &str, count: usize, now: Time) -> Vec<Effect> {
        if let Some(service) = self.services.get_mut(name) {
            service.scale(count);
        }
        self.step(now, |_, _, _| {})
    }

    pub(super) fn tick(&mut self, now: Time) -> Vec<Effect> {
        self.step(now, Service::tick)
    }

    /// Stops all services, for good.
    pub(super) fn stop(&mut self, now: Time) -> Vec<Effect> {
        self.stopping = true;
        self.step(now, Service::stop)
    }

    /// Whether no process is left after [`Self::stop`].
    pub(super) fn is_stopped(&self) -> bool {
        self.stopping && self.services.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.services.values().filter_map(Service::deadline).min()
    }

    /// Every instance; `epoch` is the time since 1970 at which [`Time`] began.
    pub(super) fn status(&self, epoch: Duration) -> Vec<InstanceStatus> {
        let unix_ms = |time: Time| u64::try_from((epoch + time).as_millis()).unwrap_or(u64::MAX);
        let all = self.services.values().flat_map(Service::all);
        all.map(|(role, instance)| InstanceStatus {
            service: instance.spec.name.to_string(),
            instance: instance.slot,
            role,
            state: instance.state(),
            since_unix_ms: unix_ms(instance.since),
            pid: instance.process.map(|process| process.pid),
            port: instance.process.map(|process| process.port),
            restarts: instance.restarts,
            last_exit: instance.last_exit.as_ref().map(|last| ExitStatus {
                reason: last.reason.clone(),
                last_lines: last.last_lines.clone(),
                at_unix_ms: unix_ms(last.at),
            }),
        })
        .collect()
    }

    fn step(
        &mut self,
        now: Time,
        mut change: impl FnMut(&mut Service, Time, &mut Vec<Effect>),
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for service in self.services.values_mut() {
            change(service, now, &mut effects);
            service.settle(&mut self.ids, now, &mut effects);
        }
        self.services.retain(|_, service| !service.is_gone());
        effects
    }
}
