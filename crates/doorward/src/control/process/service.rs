//! All instances of one service: how many, of which command, and which of them get requests.
//!
//! Whatever happens, [`Service::settle`] then compares what is with what is wanted and takes the
//! next steps; there is no other place where instances come and go.

use std::net::SocketAddr;
use std::sync::Arc;

use super::instance::Instance;
use super::journal::Level;
use super::news::{Effect, Event, RunId, StateName, Time};
use super::spec::ServiceSpec;

type Effects = Vec<Effect>;

#[derive(Debug)]
pub(super) struct Service {
    wanted: Arc<ServiceSpec>,
    /// How many slots there are to be.
    count: usize,
    /// Whether nobody wants it any more.
    removed: bool,
    slots: Vec<Slot>,
    /// Replaced or surplus instances on their way out.
    leaving: Vec<Instance>,
    published: Vec<SocketAddr>,
}

/// The place of one instance.
#[derive(Debug)]
struct Slot {
    incumbent: Instance,
    /// Takes the incumbent's place when it is ready. There is at most one in a service, so a bad
    /// command costs one process and never a ready instance.
    candidate: Option<Instance>,
}

/// What an instance is to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Holds its place.
    Incumbent,
    /// Is to take the place of the incumbent with its number.
    Candidate,
    /// Is replaced or surplus.
    Leaving,
}

impl Service {
    pub(super) fn new(spec: Arc<ServiceSpec>) -> Self {
        Self {
            count: spec.instances as usize,
            removed: false,
            wanted: spec,
            slots: Vec::new(),
            leaving: Vec::new(),
            published: Vec::new(),
        }
    }

    /// Wants `spec` from now on.
    pub(super) fn apply(&mut self, spec: Arc<ServiceSpec>) {
        self.removed = false;
        // What it has grown to stays, as far as it may be so.
        self.count = self.count.clamp(spec.instances as usize, spec.most());
        for instance in self.all_mut() {
            if instance.spec.starts_like(&spec) {
                instance.spec = Arc::clone(&spec);
            }
        }
        self.wanted = spec;
    }

    /// Wants so many instances from now on, as far as its spec allows.
    pub(super) fn scale(&mut self, count: usize) {
        if !self.removed {
            self.count = count.clamp(self.wanted.instances as usize, self.wanted.most());
        }
    }

    pub(super) fn remove(&mut self) {
        (self.count, self.removed) = (0, true);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.removed && self.slots.is_empty() && self.leaving.is_empty()
    }

    pub(super) fn event(&mut self, id: RunId, event: &Event, now: Time, effects: &mut Effects) {
        if let Some(instance) = self.all_mut().find(|instance| instance.run_id() == id) {
            instance.event(event.clone(), now, effects);
        }
    }

    pub(super) fn tick(&mut self, now: Time, effects: &mut Effects) {
        for instance in self.all_mut() {
            instance.tick(now, effects);
        }
    }

    pub(super) fn drained(&mut self, address: SocketAddr, now: Time, effects: &mut Effects) {
        for instance in self.all_mut() {
            if instance.address() == Some(address) {
                instance.drained(now, effects);
            }
        }
    }

    /// Stops everything at once.
    pub(super) fn stop(&mut self, now: Time, effects: &mut Effects) {
        self.remove();
        for instance in self.all_mut() {
            instance.stop(now, effects);
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.all().filter_map(|(_, instance)| instance.deadline()).min()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Role, &Instance)> {
        let slots = self.slots.iter().flat_map(|slot| {
            let candidate = slot.candidate.as_ref().map(|one| (Role::Candidate, one));
            std::iter::once((Role::Incumbent, &slot.incumbent)).chain(candidate)
        });
        slots.chain(self.leaving.iter().map(|one| (Role::Leaving, one)))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        let slots = self
            .slots
            .iter_mut()
            .flat_map(|slot| std::iter::once(&mut slot.incumbent).chain(&mut slot.candidate));
        slots.chain(&mut self.leaving)
    }

    /// Brings what is closer to what is wanted. `ids` numbers new instances.
    pub(super) fn settle(&mut self, ids: &mut u64, now: Time, effects: &mut Effects) {
        let mut retired = Vec::new();
        while self.slots.len() > self.count {
            let Some(slot) = self.slots.pop() else { break };
            retired.push(slot.incumbent);
            retired.extend(slot.candidate);
        }
        for slot in &mut self.slots {
            retired.extend(slot.resolve(&self.wanted));
            if !slot.incumbent.proven && !slot.incumbent.spec.starts_like(&self.wanted) {
                // It never served, so there is nothing to keep until the new one does.
                let fresh = self.wanted.begin(slot.incumbent.slot, ids, now, effects);
                retired.push(std::mem::replace(&mut slot.incumbent, fresh));
            }
        }
        self.replace_one(ids, now, effects);
        while self.slots.len() < self.count {
            let number = u32::try_from(self.slots.len() + 1).unwrap_or(u32::MAX);
            let incumbent = self.wanted.begin(number, ids, now, effects);
            let candidate = None;
            self.slots.push(Slot { incumbent, candidate });
        }
        self.publish(effects);
        for mut instance in retired {
            instance.retire(now, effects);
            self.leaving.push(instance);
        }
        self.leaving.retain(|instance| instance.state() != StateName::Gone);
    }

    /// Begins the next replacement, if one is due and none is under way.
    fn replace_one(&mut self, ids: &mut u64, now: Time, effects: &mut Effects) {
        let mut busy = self.slots.iter().any(|slot| slot.candidate.is_some());
        for slot in &mut self.slots {
            let incumbent = &mut slot.incumbent;
            let outdated = !incumbent.spec.starts_like(&self.wanted);
            let failing = incumbent.state() == StateName::Failing;
            if !busy && outdated {
                let text = "starting its replacement with the new settings".to_owned();
                effects.push(Effect::Say {
                    service: Arc::clone(&self.wanted.name),
                    instance: Some(incumbent.slot),
                    level: Level::Info,
                    text,
                });
                slot.candidate = Some(self.wanted.begin(incumbent.slot, ids, now, effects));
                busy = true;
            } else if !busy && failing {
                *ids += 1;
                slot.candidate = Some(incumbent.replacement(*ids, now));
                busy = true;
            } else if failing && outdated && slot.candidate.is_none() {
                // A rollout that may never end must not keep a silent process in its place.
                incumbent.restart(now, effects);
            }
        }
    }

    fn publish(&mut self, effects: &mut Effects) {
        let ready = self.slots.iter().map(|slot| &slot.incumbent);
        let ready = ready.filter(|instance| instance.is_ready());
        let ready: Vec<SocketAddr> = ready.filter_map(Instance::address).collect();
        if ready != self.published {
            self.published.clone_from(&ready);
            effects.push(Effect::Publish { service: Arc::clone(&self.wanted.name), ready });
        }
    }
}

impl Slot {
    /// Decides between incumbent and candidate; returns the one that leaves.
    fn resolve(&mut self, wanted: &ServiceSpec) -> Option<Instance> {
        let candidate = self.candidate.take()?;
        let same = candidate.spec.starts_like(&self.incumbent.spec);
        let recovered = same && self.incumbent.is_ready();
        let dead = same && self.incumbent.state() == StateName::BackingOff;
        if !candidate.spec.starts_like(wanted) {
            Some(candidate)
        } else if candidate.is_ready() || dead {
            Some(std::mem::replace(&mut self.incumbent, candidate))
        } else if recovered {
            Some(candidate)
        } else {
            self.candidate = Some(candidate);
            None
        }
    }
}

impl ServiceSpec {
    fn begin(
        self: &Arc<Self>,
        slot: u32,
        ids: &mut u64,
        now: Time,
        effects: &mut Effects,
    ) -> Instance {
        *ids += 1;
        Instance::start(*ids, slot, Arc::clone(self), now, effects)
    }
}
