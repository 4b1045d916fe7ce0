//! Doorward as far as it matters here: the very rules of the `rules` crate, put together as the
//! engine does.

use std::collections::BTreeMap;

use rules::balance::{self, Ask, Balancer, Loads, Member, Outcome, Standing, Together};
use rules::health::{Ejections, Passive, Suspicion};
use rules::overload::{self, Admission, Called, Common, Gate, Priority, Ticket};
use rules::retry::{self, Budget, Facts, Failure, Percentile, Verdict};

use crate::world::{Door, End, MS, Wake, World};

/// All that is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers share the requests, each of which learns by itself.
    pub workers: usize,
    /// How endpoints are chosen.
    pub balance: balance::Policy,
    /// When they are ejected.
    pub passive: Passive,
    /// When requests are sent again.
    pub retry: retry::Policy,
    /// How much is asked of the service at once.
    pub overload: Option<overload::Policy>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 4,
            balance: balance::Policy::default(),
            passive: Passive::default(),
            retry: retry::Policy::default(),
            overload: Some(overload::Policy::default()),
        }
    }
}

/// What one worker knows.
struct Worker {
    balancer: Balancer,
    loads: Loads,
    budget: Budget,
    latencies: Percentile,
    gate: Option<Gate>,
    waiting: BTreeMap<Ticket, usize>,
}

/// What is known of one request.
#[derive(Clone, Debug, Default)]
struct Course {
    worker: usize,
    attempts: u32,
    tried: Vec<u32>,
    is_hedged: bool,
    /// When it passed the gate.
    let_in_ns: Option<u64>,
    ticket: Option<Ticket>,
}

/// Doorward with the service's endpoints behind it.
pub struct Doorward {
    settings: Settings,
    workers: Vec<Worker>,
    /// By endpoint; shared.
    ejections: Vec<Ejections>,
    refusing_until_ns: Vec<u64>,
    /// By endpoint: its requests, from all workers.
    running: Vec<u32>,
    /// Shared.
    common: Common,
    /// By request.
    courses: Vec<Course>,
    /// How often endpoints were ejected.
    pub ejected: u64,
}

impl Doorward {
    /// For so many endpoints.
    pub fn new(settings: Settings, endpoints: usize) -> Self {
        let members: Vec<Member> = (0..endpoints as u32).map(member).collect();
        let percentile = settings.retry.hedge.map_or(0.95, |hedge| hedge.percentile);
        let workers = (0..settings.workers)
            .map(|_| Worker {
                balancer: Balancer::new(settings.balance, &members),
                loads: Loads::default(),
                budget: Budget::default(),
                latencies: Percentile::new(percentile),
                gate: settings.overload.map(|policy| Gate::new(policy, settings.workers)),
                waiting: BTreeMap::new(),
            })
            .collect();
        let mut door = Self {
            settings,
            workers,
            ejections: vec![Ejections::default(); endpoints],
            refusing_until_ns: vec![0; endpoints],
            running: vec![0; endpoints],
            common: Common::default(),
            courses: Vec::new(),
            ejected: 0,
        };
        (0..door.workers.len()).for_each(|worker| door.renew(worker, 0));
        door
    }

    fn renew(&mut self, worker: usize, now_ns: u64) {
        let Worker { balancer, loads, .. } = &mut self.workers[worker];
        let (ejections, refusing) = (&self.ejections, &self.refusing_until_ns);
        balancer.renew(loads, now_ns, |id| match ejections[id as usize].standing(now_ns / MS) {
            Standing::Well if refusing[id as usize] > now_ns => Standing::Refusing,
            standing => standing,
        });
    }

    fn renew_all(&mut self, now_ns: u64) {
        (0..self.workers.len()).for_each(|worker| self.renew(worker, now_ns));
    }

    fn send(&mut self, world: &mut World, request: usize) {
        let Course { worker, tried, .. } = &self.courses[request];
        let Worker { balancer, loads, .. } = &mut self.workers[*worker];
        let together = |at: usize| self.running[at];
        let ask = Ask {
            // Counted together behind a gate, as the engine does.
            together: self.settings.overload.is_some().then_some(Together(&together)),
            now_ns: world.now_ns,
            random: world.random.bits(),
            tried,
            may_repeat: world.requests[request].is_idempotent,
            ..Ask::default()
        };
        let Some(pick) = balancer.pick(loads, &ask) else {
            self.fail(world, request);
            return;
        };
        loads.at_mut(pick.id).begin(world.now_ns);
        self.running[pick.at] += 1;
        let course = &mut self.courses[request];
        course.attempts += 1;
        course.tried.push(pick.id);
        let attempt = world.send(request, pick.at);
        if let Some(hedge) = self.settings.retry.hedge
            && !course.is_hedged
            && world.requests[request].is_idempotent
            && let Some(wait_ms) = hedge.wait_ms(&self.workers[course.worker].latencies)
        {
            world.wake_in(request, (wait_ms * MS as f32) as u64, Wake::Hedge(attempt));
        }
    }

    /// Takes notice of how an attempt went, or that it is of no use any more.
    fn learn(&mut self, world: &World, attempt: usize, outcome: Outcome) {
        let attempt = &world.attempts[attempt];
        let (id, now_ns) = (attempt.endpoint as u32, world.now_ns);
        let worker = &mut self.workers[self.courses[attempt.request].worker];
        self.running[attempt.endpoint] -= 1;
        worker.loads.at_mut(id).end(attempt.begun_ns, now_ns, outcome);
        let Worker { balancer, loads, .. } = worker;
        let passive = &self.settings.passive;
        let suspicion = match outcome {
            Outcome::Failed | Outcome::Refused => passive.after_failure(id, balancer, loads),
            Outcome::Answered | Outcome::Abandoned => None,
        };
        let is_acquitted = balancer.is_on_trial(id) && passive.is_acquitted(id, balancer, loads);
        match outcome {
            Outcome::Answered => {
                worker.latencies.record((now_ns - attempt.begun_ns) as f32 / MS as f32);
            }
            Outcome::Refused => {
                let rest_ms = balancer.rest_ms(id);
                self.refusing_until_ns[attempt.endpoint] = now_ns + rest_ms * MS;
                self.renew_all(now_ns);
            }
            Outcome::Failed | Outcome::Abandoned => {}
        }
        if suspicion.is_some() {
            self.eject(world.now_ns, id, u64::from(id));
        } else if is_acquitted {
            let before = self.ejections[attempt.endpoint];
            self.ejections[attempt.endpoint] = self.settings.passive.acquit(before, now_ns / MS);
            self.renew_all(now_ns);
        }
    }

    fn eject(&mut self, now_ns: u64, id: u32, random: u64) {
        let now_ms = now_ns / MS;
        let is_out = |other: &&Ejections| other.standing(now_ms) == Standing::Ejected;
        let counts = (self.ejections.iter().filter(is_out).count(), self.ejections.len());
        let before = self.ejections[id as usize];
        if let Some(next) = self.settings.passive.eject(before, counts, now_ms, random) {
            self.ejections[id as usize] = next;
            self.ejected += 1;
            self.renew_all(now_ns);
        }
    }

    /// Ends what else is under way for `request`.
    fn give_up_others(&mut self, world: &mut World, request: usize) {
        while let Some(attempt) = world.requests[request].attempts.first().copied() {
            world.give_up(attempt);
            self.learn(world, attempt, Outcome::Abandoned);
        }
    }

    fn let_in(&mut self, world: &mut World, request: usize) {
        self.courses[request].let_in_ns = Some(world.now_ns);
        self.send(world, request);
    }

    fn fail(&mut self, world: &mut World, request: usize) {
        world.fail(request, false);
        self.let_out(world, request, false);
    }

    /// A request leaves, whatever became of it, and others may come in for it.
    fn let_out(&mut self, world: &mut World, request: usize, is_measured: bool) {
        let Course { worker, let_in_ns, ticket, .. } = &mut self.courses[request];
        let (worker, let_in_ns, ticket) = (*worker, let_in_ns.take(), ticket.take());
        let Worker { gate: Some(gate), waiting, .. } = &mut self.workers[worker] else { return };
        if let Some(ticket) = ticket {
            waiting.remove(&ticket);
            gate.leave(ticket);
        }
        if let Some(begun_ns) = let_in_ns {
            gate.end(&mut self.common, begun_ns, world.now_ns, is_measured);
        }
        self.call(world, worker);
    }

    /// Lets in who is called, and tells those that waited for too long.
    fn call(&mut self, world: &mut World, worker: usize) {
        loop {
            let random = world.random.bits();
            let Worker { gate: Some(gate), waiting, .. } = &mut self.workers[worker] else {
                return;
            };
            match gate.next(&self.common, world.now_ns, random) {
                None => return,
                Some(Called::Go(ticket)) => {
                    let request = waiting.remove(&ticket).expect("who is called waits");
                    self.courses[request].ticket = None;
                    self.let_in(world, request);
                }
                Some(Called::Shed { ticket, .. }) => {
                    let request = waiting.remove(&ticket).expect("who is called waits");
                    self.courses[request].ticket = None;
                    world.fail(request, true);
                }
            }
        }
    }

    /// Sends what waits at a silent endpoint elsewhere.
    fn rescue(&mut self, world: &mut World, id: u32) {
        let waits = |attempt: &usize| {
            let attempt = &world.attempts[*attempt];
            let request = &world.requests[attempt.request];
            attempt.endpoint == id as usize && request.is_idempotent
        };
        let stuck: Vec<usize> = world.open_attempts().filter(waits).collect();
        for attempt in stuck {
            world.give_up(attempt);
            self.learn(world, attempt, Outcome::Failed);
            self.retry(world, world.attempts[attempt].request, Failure::Timeout);
        }
    }

    fn retry(&mut self, world: &mut World, request: usize, failure: Failure) {
        // The other attempt may still answer.
        if !world.requests[request].attempts.is_empty() {
            return;
        }
        let course = &self.courses[request];
        let facts = Facts {
            failure,
            attempts: course.attempts,
            is_idempotent: world.requests[request].is_idempotent,
            has_idempotency_key: false,
            can_replay: true,
            is_other_left: course.tried.len() < world.endpoints.len(),
            retry_after_ms: None,
            is_unwanted: false,
            left_ms: None,
            random: world.random.bits(),
        };
        let worker = &mut self.workers[course.worker];
        let (policy, count) = (&self.settings.retry, self.settings.workers);
        match policy.judge(&facts) {
            Verdict::Again { pause_ms, .. }
                if worker.budget.take(&policy.budget, count, world.now_ns) =>
            {
                world.tally.retry(world.now_ns);
                world.wake_in(request, pause_ms * MS, Wake::Retry);
            }
            _ => self.fail(world, request),
        }
    }
}

/// An endpoint among others that are all alike.
fn member(id: u32) -> Member {
    let hash = balance::hash(&id.to_be_bytes());
    Member { id, hash, weight: 1.0, tier: 0, is_near: true, since_ns: 0 }
}

impl Door for Doorward {
    fn arrive(&mut self, world: &mut World, request: usize) {
        self.courses.resize(world.requests.len(), Course::default());
        let worker = world.random.below(self.workers.len() as u64) as usize;
        self.courses[request].worker = worker;
        let now_ns = world.now_ns;
        let Worker { budget, gate, waiting, .. } = &mut self.workers[worker];
        budget.live(now_ns);
        let Some(gate) = gate else {
            self.send(world, request);
            return;
        };
        let priority = Priority::ALL[world.requests[request].priority];
        match gate.arrive(&self.common, now_ns, priority, world.random.bits()) {
            Admission::Go => self.let_in(world, request),
            Admission::Wait { ticket, most_ns } => {
                waiting.insert(ticket, request);
                self.courses[request].ticket = Some(ticket);
                world.wake_in(request, most_ns, Wake::Queue);
                self.call(world, worker);
            }
            Admission::Shed { .. } => world.fail(request, true),
        }
    }

    fn ended(&mut self, world: &mut World, attempt: usize, end: End) {
        let request = world.attempts[attempt].request;
        let (outcome, failure) = match end {
            End::Answered => (Outcome::Answered, None),
            End::Unavailable => (Outcome::Failed, Some(Failure::Status(503))),
            End::Refused => (Outcome::Refused, Some(Failure::Unseen)),
            End::Reset => (Outcome::Failed, Some(Failure::Reset)),
        };
        self.learn(world, attempt, outcome);
        match failure {
            Some(failure) => self.retry(world, request, failure),
            None => {
                self.give_up_others(world, request);
                world.answer(request);
                self.let_out(world, request, true);
            }
        }
    }

    fn wake(&mut self, world: &mut World, request: usize, why: Wake) {
        match why {
            Wake::Hedge(attempt) if world.requests[request].attempts == [attempt] => {
                let worker = &mut self.workers[self.courses[request].worker];
                let policy = &self.settings.retry;
                if self.courses[request].attempts < policy.attempts_max
                    && worker.budget.take(&policy.budget, self.settings.workers, world.now_ns)
                {
                    self.courses[request].is_hedged = true;
                    world.tally.hedge(world.now_ns);
                    self.send(world, request);
                }
            }
            Wake::Retry => self.send(world, request),
            Wake::Queue if self.courses[request].ticket.is_some() => {
                world.fail(request, true);
                self.let_out(world, request, false);
            }
            _ => {}
        }
    }

    fn gone(&mut self, world: &mut World, request: usize) {
        self.give_up_others(world, request);
        self.let_out(world, request, false);
    }

    fn tick(&mut self, world: &mut World) {
        let now_ns = world.now_ns;
        self.renew_all(now_ns);
        for worker in 0..self.workers.len() {
            let Worker { balancer, loads, .. } = &self.workers[worker];
            let found = self.settings.passive.compare(balancer, loads, now_ns);
            let Some((id, suspicion)) = found else { continue };
            let random = world.random.bits();
            self.eject(now_ns, id, random);
            if matches!(suspicion, Suspicion::Silent | Suspicion::FailedTrial) {
                self.rescue(world, id);
            }
        }
    }
}
