//! What one worker knows of services and their endpoints, and whom it therefore chooses.
//!
//! Rules decide (`rules::balance`, `rules::health`, `rules::retry`); this keeps their states from
//! request to request. Nothing of it is shared between workers, but for what they found out about an
//! endpoint: its moment of rest and its ejection ([`Endpoint::judge`]); and, of services that are not to
//! be asked for more than they can do, how many requests each endpoint has.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rules::balance::{Ask, Balancer, Loads, Outcome, Pick, Standing, Together};
use rules::health::Suspicion;
use rules::retry::{Budget, HedgePolicy, Held, Outage, Percentile};

use super::worker::Worker;
use crate::control::snapshot::{Endpoint, Service, Snapshot};
use crate::observe::log;

/// How old a plan may be when it is used: the sweep renews those of services that have requests
/// twice as often.
const PLAN_NS_MAX: u64 = 100_000_000;

/// How often endpoints are compared with each other: outcomes must have come in meanwhile.
const COMPARE_EVERY_NS: u64 = 500_000_000;

/// Everything that one worker knows so.
pub(crate) struct Balances {
    /// How many workers share the requests.
    workers: usize,
    loads: RefCell<Loads>,
    /// By the index of the service.
    services: RefCell<Vec<Known>>,
}

/// What is known of one service.
struct Known {
    /// Of the service that the balancer was made for; zero is none.
    generation: u64,
    balancer: Balancer,
    budget: Budget,
    outage: Outage,
    renewed_ns: u64,
    compared_ns: u64,
    /// How long answers take, if requests get a second attempt by that.
    latencies: Option<Box<Percentile>>,
    /// Requests that are at any of its endpoints.
    running: u32,
    /// Whether any came since the last sweep.
    used: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            generation: 0,
            balancer: Balancer::new(rules::balance::Policy::default(), &[]),
            budget: Budget::default(),
            outage: Outage::default(),
            renewed_ns: 0,
            compared_ns: 0,
            latencies: None,
            running: 0,
            used: false,
        }
    }
}

impl Known {
    #[inline]
    fn keep_up(&mut self, service: &Service, loads: &mut Loads, now_ns: u64) {
        if self.generation != service.generation {
            self.begin(service);
        } else if now_ns.saturating_sub(self.renewed_ns) <= PLAN_NS_MAX {
            return;
        }
        self.renew(service, loads, now_ns);
    }

    #[cold]
    fn begin(&mut self, service: &Service) {
        self.generation = service.generation;
        let mut policy = service.rules.policy.balance;
        policy.running_max = service.rules.policy.requests_max.unwrap_or(u32::MAX);
        let hedge = service.rules.policy.retry.hedge;
        self.latencies = hedge.map(|hedge| Box::new(Percentile::new(hedge.percentile)));
        self.balancer = Balancer::new(policy, &service.members());
    }

    #[cold]
    fn renew(&mut self, service: &Service, loads: &mut Loads, now_ns: u64) {
        self.renewed_ns = now_ns;
        let now_ms = now_ns / 1_000_000;
        let mut endpoints = service.endpoints.iter();
        self.balancer.renew(loads, now_ns, |_| {
            // The members are the endpoints, in their order.
            endpoints.next().map_or(Standing::Leaving, |endpoint| endpoint.standing(now_ms))
        });
    }
}

/// Whether workers count the requests of its endpoints together: where as little as possible is to be
/// asked of each, two that do not know of each other would ask one for twice as much and another for
/// nothing.
fn are_counted_together(service: &Service) -> bool {
    let policy = &service.rules.policy;
    policy.overload.is_some() || policy.requests_max.is_some()
}

impl Known {
    /// Picks by what all workers have at each endpoint, and counts the request there.
    fn pick_together(
        &mut self,
        service: &Service,
        loads: &Loads,
        ask: &Ask<'_>,
    ) -> Option<(Pick, Option<Arc<Endpoint>>)> {
        let running = |at: usize| service.endpoints[at].running.load(Ordering::Relaxed);
        let ask = Ask { together: Some(Together(&running)), ..*ask };
        let most = self.balancer.policy().running_max;
        loop {
            let pick = self.balancer.pick(loads, &ask)?;
            let endpoint = &service.endpoints[pick.at];
            if endpoint.running.fetch_add(1, Ordering::Relaxed) < most {
                return Some((pick, Some(Arc::clone(endpoint))));
            }
            // Another worker took the last place in this moment; it is full now, and not picked again.
            endpoint.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Balances {
    /// Of one among so many workers that share the requests.
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, loads: RefCell::default(), services: RefCell::default() }
    }

    fn with<T>(
        &self,
        service: &Service,
        now_ns: u64,
        act: impl FnOnce(&mut Known, &mut Loads) -> T,
    ) -> T {
        let mut services = self.services.borrow_mut();
        if services.len() <= service.index {
            services.resize_with(service.index + 1, Known::default);
        }
        let (known, loads) = (&mut services[service.index], &mut *self.loads.borrow_mut());
        known.keep_up(service, loads, now_ns);
        act(known, loads)
    }

    /// A request for `service` comes.
    pub(crate) fn arrive(&self, service: &Service, now_ns: u64) {
        self.with(service, now_ns, |known, _| known.budget.live(now_ns));
    }

    /// The endpoint at the place `at` is passed over for so long while others are there.
    pub(crate) fn rest(&self, service: &Service, at: usize, now_ns: u64, rest_ms: u64) {
        service.endpoints[at].rest_until(now_ns / 1_000_000 + rest_ms);
        self.with(service, now_ns, |known, loads| known.renew(service, loads, now_ns));
    }

    /// How long a request waits before it gets a second attempt, as far as that is known.
    pub(crate) fn hedge_wait(&self, service: &Service, hedge: HedgePolicy) -> Option<Duration> {
        let services = self.services.borrow();
        let latencies = services.get(service.index)?.latencies.as_ref()?;
        hedge.wait_ms(latencies).map(|ms| Duration::from_secs_f32(ms / 1e3))
    }

    /// How long `one` waits before it tries `service` again, where nobody was there to take it; `None` if
    /// it is not to wait.
    pub(crate) fn hold_ms(&self, service: &Service, one: &Held) -> Option<u64> {
        let hold_ms = service.rules.policy.retry.hold_ms?;
        self.with(service, one.now_ns, |known, _| known.outage.wait_ms(hold_ms, one))
    }

    /// Whether one more attempt is within the budget of `service`; if so, it is taken.
    pub(crate) fn take_retry(&self, service: &Service, now_ns: u64) -> bool {
        let policy = &service.rules.policy.retry.budget;
        self.with(service, now_ns, |known, _| known.budget.take(policy, self.workers, now_ns))
    }
}

/// A request at an endpoint. It counts there until it has ended.
pub(crate) struct Attempt {
    worker: Rc<Worker>,
    service: usize,
    id: u32,
    /// If the workers count its requests together.
    together: Option<Arc<Endpoint>>,
    /// Its place among the endpoints of the service.
    pub(crate) at: usize,
    begun_ns: u64,
    ended: bool,
    measured: bool,
}

impl Attempt {
    /// Chooses an endpoint of `service`, where a request begins; `None` if there is none. Also why.
    #[inline]
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        service: &Service,
        ask: &Ask<'_>,
    ) -> Option<(Self, Pick)> {
        let (pick, together) = worker.balances.with(service, ask.now_ns, |known, loads| {
            let (pick, together) = match are_counted_together(service) {
                false => (known.balancer.pick(loads, ask)?, None),
                true => known.pick_together(service, loads, ask)?,
            };
            loads.at_mut(pick.id).begin(ask.now_ns);
            known.running += 1;
            known.used = true;
            Some((pick, together))
        })?;
        if pick.is_spilled {
            service.metrics.shards[worker.index].spilled.add(1);
        }
        let attempt = Self {
            worker: Rc::clone(worker),
            service: service.index,
            id: pick.id,
            together,
            at: pick.at,
            begun_ns: ask.now_ns,
            ended: false,
            measured: true,
        };
        Some((attempt, pick))
    }

    /// How long it lasts says nothing about the endpoint.
    pub(crate) fn unmeasured(mut self) -> Self {
        self.measured = false;
        self
    }

    /// Counts it no more; whether the endpoint is on trial.
    #[inline]
    fn leave(&mut self, now_ns: u64, outcome: Outcome) -> bool {
        self.ended = true;
        if !self.measured {
            self.begun_ns = now_ns;
        }
        if let Some(endpoint) = &self.together {
            endpoint.running.fetch_sub(1, Ordering::Relaxed);
        }
        let balances = &self.worker.balances;
        balances.loads.borrow_mut().at_mut(self.id).end(self.begun_ns, now_ns, outcome);
        let mut services = balances.services.borrow_mut();
        let Some(known) = services.get_mut(self.service) else { return false };
        known.running = known.running.saturating_sub(1);
        if outcome == Outcome::Answered {
            known.outage.over(now_ns);
            if let Some(latencies) = &mut known.latencies {
                latencies.record(now_ns.saturating_sub(self.begun_ns) as f32 / 1e6);
            }
        }
        known.balancer.is_on_trial(self.id)
    }

    /// The request has its answer, or will have none there. What that says about the endpoint is
    /// noted for all.
    #[inline]
    pub(crate) fn end(mut self, service: &Service, now_ns: u64, outcome: Outcome) {
        let is_on_trial = self.leave(now_ns, outcome);
        if outcome == Outcome::Answered && !is_on_trial {
            return;
        }
        self.judge(service, now_ns, outcome);
    }

    /// Notes for all what the outcome says about the endpoint.
    #[cold]
    fn judge(&self, service: &Service, now_ns: u64, outcome: Outcome) {
        let now_ms = now_ns / 1_000_000;
        if outcome == Outcome::Refused {
            let rest_ms = self
                .worker
                .balances
                .with(service, now_ns, |known, _| known.balancer.rest_ms(self.id));
            service.endpoints[self.at].rest_until(now_ms + rest_ms);
        }
        let Some(passive) = &service.rules.policy.passive else {
            if outcome == Outcome::Refused {
                self.renew(service, now_ns);
            }
            return;
        };
        let id = self.id;
        let (suspicion, is_acquitted) =
            self.worker.balances.with(service, now_ns, |known, loads| {
                let suspicion = match outcome {
                    Outcome::Failed | Outcome::Refused => {
                        passive.after_failure(id, &known.balancer, loads)
                    }
                    Outcome::Answered | Outcome::Abandoned => None,
                };
                let is_acquitted = known.balancer.is_on_trial(id)
                    && passive.is_acquitted(id, &known.balancer, loads);
                (suspicion, is_acquitted)
            });
        if let Some(suspicion) = suspicion {
            eject(&self.worker, service, id, suspicion, now_ns);
        } else if is_acquitted {
            let endpoint = &service.endpoints[self.at];
            endpoint.judge(passive.acquit(endpoint.ejections(), now_ms));
            say(service, endpoint, "is well again: it answered while on trial");
        } else if outcome != Outcome::Refused {
            return;
        }
        self.renew(service, now_ns);
    }

    fn renew(&self, service: &Service, now_ns: u64) {
        self.worker.balances.with(service, now_ns, |known, loads| {
            known.renew(service, loads, now_ns);
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.leave(self.worker.now_ns(), Outcome::Abandoned);
        }
    }
}

/// Leaves the endpoint `id` alone for a while, unless too many are already.
fn eject(worker: &Worker, service: &Service, id: u32, suspicion: Suspicion, now_ns: u64) -> bool {
    let Some(passive) = &service.rules.policy.passive else { return false };
    let now_ms = now_ns / 1_000_000;
    let is_out =
        |endpoint: &&Arc<Endpoint>| endpoint.ejections().standing(now_ms) == Standing::Ejected;
    let out = service.endpoints.iter().filter(is_out).count();
    let endpoint = service.endpoints.iter().find(|endpoint| endpoint.id() == id);
    let Some(endpoint) = endpoint else { return false };
    let counts = (out, service.endpoints.len());
    let random = worker.random() as u64;
    let Some(ejections) = passive.eject(endpoint.ejections(), counts, now_ms, random) else {
        return false;
    };
    endpoint.judge(ejections);
    service.metrics.shards[worker.index].ejections[suspicion as usize].add(1);
    let seconds = ejections.until_ms.saturating_sub(now_ms) as f32 / 1000.0;
    say(service, endpoint, &format!("is left alone for {seconds:.1} s: {}", suspicion.reason()));
    true
}

fn say(service: &Service, endpoint: &Endpoint, what: &str) {
    log::warn("balance", format!("`{}`: {} {what}", service.rules.name, endpoint.shown()));
}

/// Renews the plans of services that have requests, and finds endpoints that stand out. To be called
/// with each sweep.
pub(crate) fn sweep(worker: &Worker, snapshot: &Snapshot) {
    let now_ns = worker.now_ns();
    for service in &snapshot.services {
        let found = {
            let mut services = worker.balances.services.borrow_mut();
            let Some(known) = services.get_mut(service.index) else { continue };
            let in_use = known.used || known.running > 0;
            let counters = &service.metrics.shards[worker.index];
            counters.running.add(u64::from(known.running));
            known.used = false;
            if !in_use || known.generation != service.generation {
                continue;
            }
            let loads = &mut *worker.balances.loads.borrow_mut();
            known.renew(service, loads, now_ns);
            let due = now_ns.saturating_sub(known.compared_ns) >= COMPARE_EVERY_NS;
            let Some(passive) = service.rules.policy.passive.as_ref().filter(|_| due) else {
                continue;
            };
            known.compared_ns = now_ns;
            passive.compare(&known.balancer, loads, now_ns)
        };
        if let Some((id, suspicion)) = found
            && eject(worker, service, id, suspicion, now_ns)
        {
            worker.balances.with(service, now_ns, |known, loads| {
                known.renew(service, loads, now_ns);
            });
            if matches!(suspicion, Suspicion::Silent | Suspicion::FailedTrial) {
                // What waits there in vain and may be sent elsewhere need not wait for its time-out.
                worker.deadlines.give_up(id);
            }
        }
    }
}
