//! What Doorward is held against: round robin with plain retries.
//!
//! Three attempts at most, at once and each at the next endpoint, on every failure and whenever one
//! has taken half a second. Nothing is learnt from them. It is what most configurations of other
//! proxies come to.

use crate::world::{Door, End, MS, Wake, World};

const ATTEMPTS_MAX: u32 = 3;

const TRY_NS: u64 = 500 * MS;

/// Round robin with plain retries.
#[derive(Debug, Default)]
pub struct Plain {
    turn: usize,
    /// By request.
    attempts: Vec<u32>,
}

impl Plain {
    fn send(&mut self, world: &mut World, request: usize) {
        self.attempts.resize(world.requests.len(), 0);
        self.attempts[request] += 1;
        self.turn += 1;
        let attempt = world.send(request, self.turn % world.endpoints.len());
        world.wake_in(request, TRY_NS, Wake::TryTimeout(attempt));
    }

    fn again(&mut self, world: &mut World, request: usize, end: End) {
        let may_repeat = world.requests[request].is_idempotent || end == End::Refused;
        if self.attempts[request] < ATTEMPTS_MAX && may_repeat {
            world.tally.retry(world.now_ns);
            self.send(world, request);
        } else {
            world.fail(request, false);
        }
    }
}

impl Door for Plain {
    fn arrive(&mut self, world: &mut World, request: usize) {
        self.send(world, request);
    }

    fn ended(&mut self, world: &mut World, attempt: usize, end: End) {
        let request = world.attempts[attempt].request;
        match end {
            End::Answered => world.answer(request),
            _ => self.again(world, request, end),
        }
    }

    fn wake(&mut self, world: &mut World, request: usize, why: Wake) {
        if let Wake::TryTimeout(attempt) = why
            && world.requests[request].attempts.contains(&attempt)
        {
            world.give_up(attempt);
            self.again(world, request, End::Reset);
        }
    }

    fn gone(&mut self, world: &mut World, request: usize) {
        while let Some(attempt) = world.requests[request].attempts.first().copied() {
            world.give_up(attempt);
        }
    }

    fn tick(&mut self, _: &mut World) {}
}
