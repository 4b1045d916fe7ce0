//! What happens, and when: a virtual clock, clients, endpoints, and the requests between them.
//!
//! Nothing here decides anything. A [`Door`] is told what happened and says what to do; the world
//! does it and counts. The same seed gives the same run to the last digit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::endpoint::{Endpoint, Taken};
use crate::figures::Tally;
use crate::random::Random;

/// One millisecond.
pub const MS: u64 = 1_000_000;

/// One second.
pub const SECOND: u64 = 1_000 * MS;

/// From the door to an endpoint, and back.
const WAY_NS: u64 = MS / 4;

/// How often a door may look around.
const TICK_NS: u64 = 100 * MS;

/// What stands between the clients and the endpoints.
pub trait Door {
    /// A request comes.
    fn arrive(&mut self, world: &mut World, request: usize);
    /// An attempt has ended.
    fn ended(&mut self, world: &mut World, attempt: usize, end: End);
    /// A time that the door asked for has come.
    fn wake(&mut self, world: &mut World, request: usize, why: Wake);
    /// The client of a request waits no longer.
    fn gone(&mut self, world: &mut World, request: usize);
    /// A tenth of a second has passed.
    fn tick(&mut self, world: &mut World);
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With an answer.
    Answered,
    /// With 503.
    Unavailable,
    /// The endpoint took no connection.
    Refused,
    /// The endpoint broke off.
    Reset,
}

/// What a door wanted to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// The pause before another attempt is over.
    Retry,
    /// The time for a second attempt beside the first, which is this one, has come.
    Hedge(usize),
    /// This attempt has taken too long.
    TryTimeout(usize),
    /// It has waited in the door's queue for too long.
    Queue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Again { request: usize },
    Reach { attempt: usize },
    Finish { endpoint: usize, attempt: usize },
    Return { attempt: usize, end: u8 },
    Wake { request: usize, why: Wake },
    Leave { request: usize },
    Script { step: usize },
    Tick,
}

/// A request of a client.
#[derive(Clone, Debug)]
pub struct Request {
    /// When the client sent it.
    pub begun_ns: u64,
    /// 0 is critical, 1 normal, 2 sheddable.
    pub priority: usize,
    /// Whether it may be repeated.
    pub is_idempotent: bool,
    /// Whether somebody still waits.
    pub is_open: bool,
    /// How often the client sent it again already.
    again: u32,
    /// The attempts that are under way.
    pub attempts: Vec<usize>,
}

/// A request at an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Whose.
    pub request: usize,
    /// Where.
    pub endpoint: usize,
    /// When it was sent.
    pub begun_ns: u64,
    /// Whether its answer is of use to anybody.
    pub is_wanted: bool,
}

/// How clients behave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clients {
    /// Requests a second, at random times.
    pub per_s: f64,
    /// How long one waits.
    pub patience_ns: u64,
    /// How often one sends a request again that failed, by itself.
    pub again_max: u32,
    /// The shares of critical and of normal requests; the rest is sheddable.
    pub priorities: [f64; 2],
    /// The share of requests that may be repeated.
    pub idempotent: f64,
}

/// From when on an endpoint, or all of them, behave in another way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub at_ns: u64,
    /// Which; `None` is all.
    pub endpoint: Option<usize>,
    /// How.
    pub mode: crate::endpoint::Mode,
}

/// The simulated world.
pub struct World {
    /// The time.
    pub now_ns: u64,
    /// All requests so far.
    pub requests: Vec<Request>,
    /// All attempts so far.
    pub attempts: Vec<Attempt>,
    /// The endpoints of the service.
    pub endpoints: Vec<Endpoint>,
    /// What was counted.
    pub tally: Tally,
    /// Chance.
    pub random: Random,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    clients: Clients,
    script: Vec<Step>,
    end_ns: u64,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(
        seed: u64,
        clients: Clients,
        endpoints: Vec<Endpoint>,
        script: Vec<Step>,
        (from_ns, end_ns): (u64, u64),
    ) -> Self {
        let mut world = Self {
            now_ns: 0,
            requests: Vec::new(),
            attempts: Vec::new(),
            endpoints,
            tally: Tally::new(from_ns, end_ns),
            random: Random::new(seed),
            events: BinaryHeap::new(),
            sequence: 0,
            clients,
            script,
            end_ns,
        };
        world.at(0, Event::Arrive);
        world.at(0, Event::Tick);
        for step in 0..world.script.len() {
            world.at(world.script[step].at_ns, Event::Script { step });
        }
        world
    }

    fn at(&mut self, at_ns: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at_ns, self.sequence, event)));
    }

    /// Lets everything happen until the end, and until all that began before it has ended.
    pub fn run(&mut self, door: &mut dyn Door) {
        let last_ns =
            self.end_ns + self.clients.patience_ns * u64::from(self.clients.again_max + 2);
        while let Some(Reverse((at_ns, _, event))) = self.events.pop() {
            if at_ns > last_ns {
                break;
            }
            self.now_ns = at_ns;
            self.happen(event, door);
        }
    }

    fn happen(&mut self, event: Event, door: &mut dyn Door) {
        match event {
            Event::Arrive => {
                let apart_s = self.random.exponential(1.0 / self.clients.per_s);
                if self.now_ns < self.end_ns {
                    self.at(self.now_ns + (apart_s * 1e9) as u64, Event::Arrive);
                }
                let request = self.request(0, None);
                door.arrive(self, request);
            }
            Event::Again { request } => {
                let before = self.requests[request].clone();
                let request = self.request(before.again + 1, Some(&before));
                door.arrive(self, request);
            }
            Event::Reach { attempt } => self.reach(attempt),
            Event::Finish { endpoint, attempt } => self.finish(endpoint, attempt),
            Event::Return { attempt, end } => {
                let end =
                    [End::Answered, End::Unavailable, End::Refused, End::Reset][usize::from(end)];
                let request = &mut self.requests[self.attempts[attempt].request];
                request.attempts.retain(|known| *known != attempt);
                // Nobody hears of what nobody waits for.
                if self.attempts[attempt].is_wanted {
                    door.ended(self, attempt, end);
                }
            }
            Event::Wake { request, why } => {
                if self.requests[request].is_open {
                    door.wake(self, request, why);
                }
            }
            Event::Leave { request } => {
                if self.requests[request].is_open {
                    door.gone(self, request);
                    self.close(request, false);
                }
            }
            Event::Script { step } => {
                let Step { endpoint, mode, .. } = self.script[step];
                for at in 0..self.endpoints.len() {
                    if endpoint.is_none_or(|only| only == at) {
                        let lost = self.endpoints[at].become_(mode);
                        for attempt in lost {
                            self.come_back(attempt, End::Reset);
                        }
                    }
                }
            }
            Event::Tick => {
                self.at(self.now_ns + TICK_NS, Event::Tick);
                door.tick(self);
            }
        }
    }

    fn request(&mut self, again: u32, before: Option<&Request>) -> usize {
        let [critical, normal] = self.clients.priorities;
        let drawn = self.random.unit();
        let priority = match before {
            Some(before) => before.priority,
            None if drawn < critical => 0,
            None if drawn < critical + normal => 1,
            None => 2,
        };
        let is_idempotent = match before {
            Some(before) => before.is_idempotent,
            None => self.random.unit() < self.clients.idempotent,
        };
        let (begun_ns, request) = (self.now_ns, self.requests.len());
        self.requests.push(Request {
            begun_ns,
            priority,
            is_idempotent,
            is_open: true,
            again,
            attempts: Vec::new(),
        });
        self.tally.came(begun_ns, priority);
        self.at(begun_ns + self.clients.patience_ns, Event::Leave { request });
        request
    }

    /// Sends a request to an endpoint; the number of the attempt.
    pub fn send(&mut self, request: usize, endpoint: usize) -> usize {
        let attempt = self.attempts.len();
        let begun_ns = self.now_ns;
        self.attempts.push(Attempt { request, endpoint, begun_ns, is_wanted: true });
        self.requests[request].attempts.push(attempt);
        self.tally.sent(begun_ns);
        self.at(begun_ns + WAY_NS, Event::Reach { attempt });
        attempt
    }

    /// Attempts that somebody waits for.
    pub fn open_attempts(&self) -> impl Iterator<Item = usize> + '_ {
        // Nobody waits for longer than clients do.
        let since_ns = self.now_ns.saturating_sub(self.clients.patience_ns + SECOND);
        let first = self.requests.partition_point(|request| request.begun_ns < since_ns);
        self.requests[first..].iter().flat_map(|request| request.attempts.iter().copied())
    }

    /// Nobody waits for this attempt any longer. The endpoint works on: few services notice.
    pub fn give_up(&mut self, attempt: usize) {
        self.attempts[attempt].is_wanted = false;
        let request = &mut self.requests[self.attempts[attempt].request];
        request.attempts.retain(|known| *known != attempt);
    }

    /// Answers the client of `request`.
    pub fn answer(&mut self, request: usize) {
        let Request { begun_ns, priority, .. } = self.requests[request];
        self.tally.answered(begun_ns, self.now_ns, priority);
        self.requests[request].is_open = false;
    }

    /// Tells the client of `request` that it failed, or (`is_shed`) that there is too much to do.
    pub fn fail(&mut self, request: usize, is_shed: bool) {
        self.close(request, is_shed);
    }

    fn close(&mut self, request: usize, is_shed: bool) {
        let open = &mut self.requests[request];
        open.is_open = false;
        let (begun_ns, priority, again) = (open.begun_ns, open.priority, open.again);
        if again < self.clients.again_max {
            // Within a tenth of a second, as impatient clients do.
            let pause_ns = self.random.below(100 * MS);
            self.tally.came_again(begun_ns, priority);
            self.at(self.now_ns + pause_ns, Event::Again { request });
        } else {
            self.tally.failed(begun_ns, priority, is_shed);
        }
    }

    /// Wakes the door about `request` in so many nanoseconds.
    pub fn wake_in(&mut self, request: usize, in_ns: u64, why: Wake) {
        self.at(self.now_ns + in_ns, Event::Wake { request, why });
    }

    fn reach(&mut self, attempt: usize) {
        let endpoint = self.attempts[attempt].endpoint;
        let now_ns = self.now_ns;
        match self.endpoints[endpoint].take(attempt, now_ns, &mut self.random) {
            Taken::Works { for_ns } => {
                self.tally.worked(now_ns, for_ns);
                self.at(now_ns + for_ns, Event::Finish { endpoint, attempt });
            }
            Taken::Waits => {}
            Taken::Fails { after_ns } => {
                self.at(now_ns + after_ns + WAY_NS, Event::Return { attempt, end: 1 });
            }
            Taken::Refuses => self.come_back(attempt, End::Refused),
        }
    }

    fn finish(&mut self, endpoint: usize, attempt: usize) {
        // It was lost as the endpoint died.
        let Some(took_ns) = self.endpoints[endpoint].finish(attempt) else { return };
        if !self.attempts[attempt].is_wanted {
            self.tally.wasted(self.now_ns, took_ns);
        }
        self.come_back(attempt, End::Answered);
        let now_ns = self.now_ns;
        while let Some((attempt, for_ns)) = self.endpoints[endpoint].next(now_ns, &mut self.random)
        {
            self.tally.worked(now_ns, for_ns);
            self.at(now_ns + for_ns, Event::Finish { endpoint, attempt });
        }
    }

    fn come_back(&mut self, attempt: usize, end: End) {
        self.at(self.now_ns + WAY_NS, Event::Return { attempt, end: end as u8 });
    }
}
