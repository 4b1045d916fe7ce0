//! A simulated endpoint: so many workers, a queue before them, and a mood.

use std::collections::{BTreeMap, VecDeque};

use crate::random::Random;
use crate::world::MS;

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// It works, so many times slower than usual.
    Works {
        /// 1 is as usual.
        slower: f64,
    },
    /// It is dead: connections are refused, and what it had is lost.
    Dead,
    /// It answers 503 at once to this share of the requests.
    Fails {
        /// From 0 to 1.
        share: f64,
    },
    /// It takes requests and never answers.
    Silent,
}

/// What became of a request that reached an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Taken {
    /// It is worked on.
    Works {
        /// For so long.
        for_ns: u64,
    },
    /// It waits, perhaps for ever.
    Waits,
    /// The endpoint answers 503.
    Fails {
        /// After so long.
        after_ns: u64,
    },
    /// No connection was taken.
    Refuses,
}

/// Connections that may wait: the usual backlog.
const QUEUE_MAX: usize = 1024;

/// An endpoint of the service.
#[derive(Clone, Debug)]
pub struct Endpoint {
    mode: Mode,
    /// How many requests it works on at once.
    slots: usize,
    /// How long one takes on average, and how unevenly (of a lognormal distribution).
    mean_ms: f64,
    sigma: f64,
    working: BTreeMap<usize, u64>,
    queue: VecDeque<usize>,
    /// Never to be answered.
    stuck: Vec<usize>,
}

impl Endpoint {
    /// One that is well and idle.
    pub fn new(slots: usize, mean_ms: f64, sigma: f64) -> Self {
        Self {
            mode: Mode::Works { slower: 1.0 },
            slots,
            mean_ms,
            sigma,
            working: BTreeMap::new(),
            queue: VecDeque::new(),
            stuck: Vec::new(),
        }
    }

    /// Behaves in another way from now on; the requests that are lost by that.
    pub fn become_(&mut self, mode: Mode) -> Vec<usize> {
        self.mode = mode;
        match mode {
            Mode::Dead => {
                let mut lost: Vec<_> = self.queue.drain(..).collect();
                lost.extend(std::mem::take(&mut self.working).into_keys());
                lost.append(&mut self.stuck);
                lost
            }
            _ => std::mem::take(&mut self.stuck),
        }
    }

    /// A request reaches it.
    pub fn take(&mut self, attempt: usize, _now_ns: u64, random: &mut Random) -> Taken {
        match self.mode {
            Mode::Dead => return Taken::Refuses,
            Mode::Fails { share } if random.unit() < share => {
                return Taken::Fails { after_ns: MS };
            }
            Mode::Silent => {
                self.stuck.push(attempt);
                return Taken::Waits;
            }
            Mode::Fails { .. } | Mode::Works { .. } => {}
        }
        if self.working.len() < self.slots {
            return Taken::Works { for_ns: self.begin(attempt, random) };
        }
        if self.queue.len() >= QUEUE_MAX {
            return Taken::Refuses;
        }
        self.queue.push_back(attempt);
        Taken::Waits
    }

    fn begin(&mut self, attempt: usize, random: &mut Random) -> u64 {
        let slower = if let Mode::Works { slower } = self.mode { slower } else { 1.0 };
        let ms = random.lognormal(self.mean_ms, self.sigma) * slower;
        let for_ns = (ms * MS as f64) as u64;
        self.working.insert(attempt, for_ns);
        for_ns
    }

    /// It has finished with `attempt`, which took so long; `None` if it had lost it.
    pub fn finish(&mut self, attempt: usize) -> Option<u64> {
        self.working.remove(&attempt)
    }

    /// The next request from the queue, and how long it will take.
    pub fn next(&mut self, _now_ns: u64, random: &mut Random) -> Option<(usize, u64)> {
        if self.working.len() >= self.slots {
            return None;
        }
        let attempt = self.queue.pop_front()?;
        Some((attempt, self.begin(attempt, random)))
    }
}
