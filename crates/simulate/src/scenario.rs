//! What is played: endpoints, clients, and what goes wrong when.

use crate::doorward::{Doorward, Settings};
use crate::endpoint::{Endpoint, Mode};
use crate::figures::Figures;
use crate::plain::Plain;
use crate::world::{Clients, MS, SECOND, Step, World};

/// Endpoints of the service.
pub const ENDPOINTS: usize = 10;

/// Requests that each works on at once.
const SLOTS: usize = 8;

/// What a request takes there on average; with this spread half take 8.8 ms, and one in a hundred
/// takes 28.
const MEAN_MS: f64 = 10.0;
const SIGMA: f64 = 0.5;

/// Requests a second that the endpoints can answer together.
pub const CAPACITY_PER_S: f64 = (ENDPOINTS * SLOTS) as f64 * 1000.0 / MEAN_MS;

/// Before this nothing is counted, and nothing goes wrong.
const WARM_UP_NS: u64 = 3 * SECOND;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing.
    Healthy,
    /// One endpoint is ten times slower.
    Slow,
    /// One endpoint answers 503 at once.
    Failing,
    /// One endpoint dies.
    Dead,
    /// One endpoint dies and comes back, again and again.
    Flapping,
    /// One endpoint takes requests and never answers.
    BlackHole,
    /// All endpoints answer 503 to a third of the requests, for a second.
    ErrorBurst,
    /// All endpoints die for five seconds, while clients send again and again.
    Recovery,
    /// All endpoints are too slow for the traffic for two seconds, and clients who lose patience send
    /// again: the storm goes on behind its cause, unless something ends it.
    RetryStorm,
    /// Three times as many requests as can be answered.
    Overload,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Healthy,
        Self::Slow,
        Self::Failing,
        Self::Dead,
        Self::Flapping,
        Self::BlackHole,
        Self::ErrorBurst,
        Self::Recovery,
        Self::RetryStorm,
        Self::Overload,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Slow => "slow",
            Self::Failing => "failing",
            Self::Dead => "dead",
            Self::Flapping => "flapping",
            Self::BlackHole => "black-hole",
            Self::ErrorBurst => "error-burst",
            Self::Recovery => "recovery",
            Self::RetryStorm => "retry-storm",
            Self::Overload => "overload",
        }
    }

    /// What it is, as a clause.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Healthy => "nothing goes wrong",
            Self::Slow => "one of ten endpoints is ten times slower",
            Self::Failing => "one of ten endpoints answers 503 at once",
            Self::Dead => "one of ten endpoints dies",
            Self::Flapping => "one of ten endpoints dies and comes back every two seconds",
            Self::BlackHole => "one of ten endpoints takes requests and never answers",
            Self::ErrorBurst => "a third of all requests fail everywhere for a second",
            Self::Recovery => "all endpoints die for five seconds; clients send again and again",
            Self::RetryStorm => "all are three times slower for two seconds; clients send again",
            Self::Overload => "three times as many requests as can be answered",
        }
    }

    /// How many times the capacity comes in.
    pub const fn demand(self) -> f64 {
        match self {
            Self::Overload => 3.0,
            Self::Recovery => 0.6,
            Self::RetryStorm => 0.8,
            _ => 0.5,
        }
    }

    fn clients(self) -> Clients {
        Clients {
            per_s: CAPACITY_PER_S * self.demand(),
            patience_ns: if self == Self::RetryStorm { SECOND / 2 } else { 2 * SECOND },
            again_max: match self {
                Self::Recovery | Self::RetryStorm => 2,
                _ => 0,
            },
            priorities: [0.2, 0.3],
            idempotent: 1.0,
        }
    }

    fn script(self, end_ns: u64) -> Vec<Step> {
        let one = |at_ns, mode| Step { at_ns, endpoint: Some(3), mode };
        let all = |at_ns, mode| Step { at_ns, endpoint: None, mode };
        let well = Mode::Works { slower: 1.0 };
        let from = WARM_UP_NS;
        match self {
            Self::Healthy | Self::Overload => Vec::new(),
            Self::Slow => vec![one(from, Mode::Works { slower: 10.0 })],
            Self::Failing => vec![one(from, Mode::Fails { share: 1.0 })],
            Self::Dead => vec![one(from, Mode::Dead)],
            Self::Flapping => (0..(end_ns - from) / (2 * SECOND))
                .map(|n| (from + n * 2 * SECOND, if n % 2 == 0 { Mode::Dead } else { well }))
                .map(|(at_ns, mode)| one(at_ns, mode))
                .collect(),
            Self::BlackHole => vec![one(from, Mode::Silent)],
            Self::ErrorBurst => {
                let fails = Mode::Fails { share: 0.33 };
                vec![all(from + 5 * SECOND, fails), all(from + 6 * SECOND, well)]
            }
            Self::Recovery => {
                // Caches are cold, pools empty.
                let cold = Mode::Works { slower: 2.0 };
                let back = from + 7 * SECOND;
                vec![all(from + 2 * SECOND, Mode::Dead), all(back, cold), all(back + SECOND, well)]
            }
            Self::RetryStorm => {
                let slow = Mode::Works { slower: 3.0 };
                vec![all(from + SECOND, slow), all(from + 3 * SECOND, well)]
            }
        }
    }

    /// Plays it for so many seconds behind the warm-up.
    pub fn play(self, door: Which, seed: u64, seconds: u64) -> Figures {
        let end_ns = WARM_UP_NS + seconds * SECOND;
        let endpoints = vec![Endpoint::new(SLOTS, MEAN_MS, SIGMA); ENDPOINTS];
        let span = (WARM_UP_NS, end_ns);
        let mut world = World::new(seed, self.clients(), endpoints, self.script(end_ns), span);
        match door {
            Which::Doorward(settings) => {
                let mut door = Doorward::new(*settings, ENDPOINTS);
                world.run(&mut door);
            }
            Which::Plain => world.run(&mut Plain::default()),
        }
        world.tally.figures()
    }
}

/// What stands before the endpoints.
#[derive(Clone, Debug)]
pub enum Which {
    /// Doorward's rules.
    Doorward(Box<Settings>),
    /// Round robin with plain retries.
    Plain,
}

const _: () = assert!(MS * 1000 == SECOND);
