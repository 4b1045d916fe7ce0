//! One pick: a draw among those that the plan lays out.

use std::ops::Range;

use super::plan::{Group, group_of};
use super::{Algorithm, Balancer, Loads, Standing};

/// How often an endpoint on trial gets a request, from each worker. Once a second costs nothing and
/// has one back within three seconds of its recovery.
const TRIAL_EVERY_NS: u64 = 1_000_000_000;

/// After how many times [`TRIAL_EVERY_NS`] it gets one that may not be repeated, since no other came.
const TRIALS_OF_ANY: u64 = 10;

/// With hashing: how far above the mean an endpoint may be busy before its keys go to the next one
/// (consistent hashing with bounded loads, Mirrokni and others, 2016; 1.25 is the value in
/// use elsewhere, too).
const BOUND: f32 = 1.25;

/// Below so many requests an endpoint is not busy, whatever the mean: at 0.3 on average, every second
/// request is above it.
const BOUND_LEAST: f32 = 4.0;

const WHY_LEFT_ALONE: &str = "all others broke off, and this one was only left alone";

/// What asks for an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// The time.
    pub now_ns: u64,
    /// Random bits of the request.
    pub random: u64,
    /// With [`Algorithm::Hash`]: what is to meet the same endpoint again, hashed.
    pub key: Option<u64>,
    /// The endpoint's [`hash`](super::Member::hash) that the client's cookie names.
    pub sticky: Option<u64>,
    /// The endpoints that this request was at already.
    pub tried: &'a [u32],
    /// Whether it was at some, and all of them broke off or could not be reached.
    pub broke_off: bool,
    /// Whether the request may be sent again if it fails: then it may serve as a trial.
    pub may_repeat: bool,
    /// How many requests each endpoint has from all workers together, if they count them together.
    pub together: Option<Together<'a>>,
}

/// How many requests the endpoint at a place among the members has from all workers together.
#[derive(Clone, Copy)]
pub struct Together<'a>(pub &'a dyn Fn(usize) -> u32);

impl std::fmt::Debug for Together<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Together")
    }
}

/// At how many endpoints one without anything to do is looked for, if both that were drawn have something.
const LOOKED_AT_MAX: usize = 16;

/// What such a one is to be like: far from what fails, or is about to be ejected for being slow. Finer
/// differences are chance, and whoever has nothing to do answers first in spite of them.
const SOUND_SUCCESS: f32 = 0.25;
const SOUND_LATENCY: f32 = 4.0;

/// An endpoint, and why that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The number of the endpoint.
    pub id: u32,
    /// Its place among the members.
    pub at: usize,
    /// Whether the request was there before: no other is left.
    pub is_again: bool,
    /// Whether it is of another tier or zone than the preferred one.
    pub is_spilled: bool,
    /// A clause.
    pub why: &'static str,
}

impl Balancer {
    /// Picks an endpoint; `None` if none may be used, or all have as much as they may have.
    #[inline]
    pub fn pick(&mut self, loads: &Loads, ask: &Ask<'_>) -> Option<Pick> {
        // Nobody's session is a trial.
        if let Some(at) = ask.sticky.and_then(|hash| self.stuck(hash, loads, ask)) {
            return Some(self.chosen(at, "the client's cookie names it"));
        }
        if !self.trials.is_empty()
            && let Some(at) = self.trial(loads, ask)
        {
            return Some(self.chosen(at, "it is on trial, and due for a request"));
        }
        if ask.broke_off
            && let Some(at) = self.left_alone(loads, ask)
        {
            return Some(Pick { why: WHY_LEFT_ALONE, ..self.chosen(at, WHY_LEFT_ALONE) });
        }
        let (last, why_last) = match self.order.len() {
            0 => return None,
            1 => (self.order[0], "it is the only one that may be used"),
            _ => {
                if let Some((at, why)) = self.among_groups(loads, ask) {
                    return Some(self.chosen(at, why));
                }
                let count = self.order.len();
                let start = ask.random as usize % count;
                let is_free = |place: &usize| !self.is_full(self.order[*place], loads, ask);
                let place = (start..count).chain(0..start).find(is_free)?;
                (self.order[place], "all that may be used were tried")
            }
        };
        if self.is_full(last, loads, ask) {
            return None;
        }
        let mut pick = self.chosen(last, why_last);
        pick.is_again = ask.tried.contains(&pick.id);
        Some(pick)
    }

    fn chosen(&self, at: u32, why: &'static str) -> Pick {
        let at = at as usize;
        let why = match self.standings[at] {
            Standing::Well | Standing::OnTrial => why,
            _ if self.is_panic => "too few are well, so all are used",
            Standing::Unproven => "none has passed a check yet",
            Standing::Refusing => "all refused a moment ago",
            _ => why,
        };
        let is_spilled = self.is_grouped && group_of(&self.members[at]) != self.preferred;
        Pick { id: self.members[at].id, at, is_again: false, is_spilled, why }
    }

    /// One that is left alone, if the request was at all others: they may have died in this moment, and
    /// one that is slow or fails more often than they did is there.
    #[cold]
    fn left_alone(&self, loads: &Loads, ask: &Ask<'_>) -> Option<u32> {
        if self.order.iter().any(|at| !self.is_passed_over(*at, loads, ask)) {
            return None;
        }
        let is_there = |at: &u32| {
            let standing = self.standings[*at as usize];
            let may_answer = !matches!(
                standing,
                Standing::Well | Standing::Refusing | Standing::Full | Standing::Leaving
            );
            may_answer && !self.is_passed_over(*at, loads, ask)
        };
        let all = 0..self.members.len() as u32;
        all.filter(is_there).min_by_key(|at| self.standings[*at as usize])
    }

    /// An endpoint on trial that is due for this request.
    #[cold]
    fn trial(&mut self, loads: &Loads, ask: &Ask<'_>) -> Option<u32> {
        let due = |at: &&u32| {
            let id = self.members[**at as usize].id;
            let since_ns = ask.now_ns.saturating_sub(self.tried_ns[**at as usize]);
            let every_ns = TRIAL_EVERY_NS * if ask.may_repeat { 1 } else { TRIALS_OF_ANY };
            since_ns >= every_ns && loads.get(id).running == 0 && !ask.tried.contains(&id)
        };
        // Nobody's second attempt is a trial.
        let at = *self.trials.iter().find(due).filter(|_| ask.tried.is_empty())?;
        self.tried_ns[at as usize] = ask.now_ns;
        Some(at)
    }

    /// The endpoint that a cookie names, if it may be used.
    fn stuck(&self, hash: u64, loads: &Loads, ask: &Ask<'_>) -> Option<u32> {
        let named = |at: &&u32| self.members[**at as usize].hash == hash;
        let at = *self.order.iter().find(named)?;
        (!self.is_passed_over(at, loads, ask)).then_some(at)
    }

    /// Whether the request was there already, or as many are there as may be.
    #[inline]
    fn is_passed_over(&self, at: u32, loads: &Loads, ask: &Ask<'_>) -> bool {
        let id = self.members[at as usize].id;
        !ask.tried.is_empty() && ask.tried.contains(&id) || self.is_full(at, loads, ask)
    }

    #[inline]
    fn is_full(&self, at: u32, loads: &Loads, ask: &Ask<'_>) -> bool {
        self.policy.running_max != u32::MAX
            && self.running(at, loads, ask) >= self.policy.running_max
    }

    /// How many requests an endpoint has, as far as that is known.
    #[inline]
    fn running(&self, at: u32, loads: &Loads, ask: &Ask<'_>) -> u32 {
        match ask.together {
            None => loads.get(self.members[at as usize].id).running,
            Some(Together(count)) => count(at as usize),
        }
    }

    /// Draws a group, then an endpoint of it; if all there were tried, one of the others.
    fn among_groups(&mut self, loads: &Loads, ask: &Ask<'_>) -> Option<(u32, &'static str)> {
        let drawn = unit(ask.random >> 40, 24);
        let chosen = match self.groups.len() {
            1 => 0,
            many => self.groups.iter().position(|group| drawn < group.until).unwrap_or(many - 1),
        };
        if let Some(found) = self.in_group(chosen, loads, ask) {
            let why = if chosen == 0 { found.1 } else { "those preferred cannot carry it all" };
            return Some((found.0, why));
        }
        let others = (0..self.groups.len()).filter(|at| *at != chosen);
        for other in others {
            if let Some((at, _)) = self.in_group(other, loads, ask) {
                return Some((at, "those preferred were tried"));
            }
        }
        None
    }

    fn in_group(
        &mut self,
        group: usize,
        loads: &Loads,
        ask: &Ask<'_>,
    ) -> Option<(u32, &'static str)> {
        let range = self.groups[group].members.clone();
        match (self.policy.algorithm, ask.key) {
            (Algorithm::Hash, Some(key)) => self.by_hash(key, &range, loads, ask),
            // What has no key, such as a cookie, can go anywhere.
            (Algorithm::Fastest | Algorithm::Hash, _) => self.fastest(group, loads, ask),
            (Algorithm::LeastRequest, _) => self.least_request(&range, loads, ask),
            (Algorithm::RoundRobin, _) => self.in_turn(group, loads, ask),
        }
    }

    /// Of two at random the better one (Mitzenmacher, "The power of two choices", 2001).
    fn fastest(&self, group: usize, loads: &Loads, ask: &Ask<'_>) -> Option<(u32, &'static str)> {
        let range = &self.groups[group].members;
        let (one, other) = (ask.random as u16, (ask.random >> 16) as u16);
        let one = self.free_from(range, self.draw(group, one), loads, ask)?;
        let mut two = self.draw(group, other);
        if two == one {
            two = after(range, two);
        }
        let two = self.free_from(range, two, loads, ask)?;
        if one == two {
            return Some((self.order[one], "it is the only one left"));
        }
        let mean_weight = self.groups[group].mean_weight;
        let cost = |place: usize| self.cost(place, mean_weight, loads, ask);
        let better = if cost(two) < cost(one) { two } else { one };
        if let Some(Together(count)) = ask.together
            && count(self.order[better] as usize) > 0
            && let Some(idle) = self.idle(group, self.order[better], loads, ask)
        {
            return Some((self.order[idle], "it has nothing to do"));
        }
        Some((self.order[better], "likely the faster of two at random"))
    }

    /// One without anything to do, if the workers know that together. Where each knew only what it sent
    /// itself, they would all choose the same one.
    fn idle(&self, group: usize, than: u32, loads: &Loads, ask: &Ask<'_>) -> Option<usize> {
        let together = ask.together?;
        let success = loads.get(self.members[than as usize].id).success() * SOUND_SUCCESS;
        let range = &self.groups[group].members;
        let mut place = self.draw(group, (ask.random >> 8) as u16);
        for _ in 0..range.len().min(LOOKED_AT_MAX) {
            let at = self.order[place];
            let load = loads.get(self.members[at as usize].id);
            let is_as_good = load.success() >= success
                && load.latency_ms(ask.now_ns, self.typical_ms) <= self.typical_ms * SOUND_LATENCY;
            if (together.0)(at as usize) == 0 && is_as_good && !self.is_passed_over(at, loads, ask)
            {
                return Some(place);
            }
            place = after(range, place);
        }
        None
    }

    /// When it would probably have answered, and how surely.
    fn cost(&self, place: usize, mean_weight: f32, loads: &Loads, ask: &Ask<'_>) -> f32 {
        let at = self.order[place];
        let load = loads.get(self.members[at as usize].id);
        // Its share of the draws has seen to its weight; what it has already is measured by it. Its own
        // requests tell a worker more than those of all: one more is twice as many, and not a ninth more.
        let running = load.running as f32 * mean_weight / self.weights[place];
        let latency_ms = load.latency_ms(ask.now_ns, self.typical_ms);
        // With one in two failing, it is like one that takes four times as long.
        let success = load.success();
        (latency_ms + f32::MIN_POSITIVE) * (running + 1.0) / (success * success)
    }

    /// A place in the group, each as likely as its weight says.
    fn draw(&self, group: usize, bits: u16) -> usize {
        let Group { members: range, is_even, .. } = &self.groups[group];
        let count = range.end - range.start;
        if *is_even {
            return range.start + ((usize::from(bits) * count) >> 16);
        }
        let cumulative = &self.cumulative[range.clone()];
        let drawn = unit(u64::from(bits), 16) * cumulative[count - 1];
        range.start + cumulative.partition_point(|sum| *sum <= drawn).min(count - 1)
    }

    /// The first place from `start` on, in a circle, whose endpoint was not tried.
    fn free_from(
        &self,
        range: &Range<usize>,
        start: usize,
        loads: &Loads,
        ask: &Ask<'_>,
    ) -> Option<usize> {
        let mut place = start;
        for _ in range.clone() {
            if !self.is_passed_over(self.order[place], loads, ask) {
                return Some(place);
            }
            place = after(range, place);
        }
        None
    }

    fn least_request(
        &self,
        range: &Range<usize>,
        loads: &Loads,
        ask: &Ask<'_>,
    ) -> Option<(u32, &'static str)> {
        let count = range.end - range.start;
        // From anywhere, so that those with as few are used alike.
        let start = range.start + ask.random as usize % count;
        let mut best: Option<(usize, f32)> = None;
        let mut place = start;
        for _ in 0..count {
            if !self.is_passed_over(self.order[place], loads, ask) {
                let running = self.running(self.order[place], loads, ask);
                let busy = (running as f32 + 1.0) / self.weights[place];
                if best.is_none_or(|(_, least)| busy < least) {
                    best = Some((place, busy));
                }
            }
            place = after(range, place);
        }
        best.map(|(place, _)| (self.order[place], "it has the fewest requests for its weight"))
    }

    /// Smooth weighted round robin (nginx's): each is owed its weight with every pick, the one that
    /// is owed most is picked, and pays for all.
    fn in_turn(
        &mut self,
        group: usize,
        loads: &Loads,
        ask: &Ask<'_>,
    ) -> Option<(u32, &'static str)> {
        let range = self.groups[group].members.clone();
        let why = "next in turn";
        if self.groups[group].is_even {
            self.turn = self.turn.wrapping_add(1);
            let start = range.start + self.turn % (range.end - range.start);
            return self.free_from(&range, start, loads, ask).map(|place| (self.order[place], why));
        }
        let (mut all, mut best) = (0.0, None);
        for place in range {
            let at = self.order[place];
            if self.is_passed_over(at, loads, ask) {
                continue;
            }
            let weight = self.weights[place];
            all += weight;
            self.credits[at as usize] += weight;
            if best.is_none_or(|best: u32| self.credits[at as usize] > self.credits[best as usize])
            {
                best = Some(at);
            }
        }
        let best = best?;
        self.credits[best as usize] -= all;
        Some((best, why))
    }

    fn by_hash(
        &self,
        key: u64,
        range: &Range<usize>,
        loads: &Loads,
        ask: &Ask<'_>,
    ) -> Option<(u32, &'static str)> {
        let members = &self.order[range.clone()];
        let all: u32 = members.iter().map(|at| self.running(*at, loads, ask)).sum();
        let weights = self.cumulative[range.end - 1];
        let mean_for = |weight: f32| (all as f32 + 1.0) * weight / weights;
        let mut first_free = None;
        for (step, at) in self.ring.walk(key).enumerate() {
            let Some(place) = members.iter().position(|known| *known == at) else { continue };
            if self.is_passed_over(at, loads, ask) {
                continue;
            }
            let most = (mean_for(self.weights[range.start + place]) * BOUND).max(BOUND_LEAST);
            if self.running(at, loads, ask) as f32 + 1.0 <= most.ceil() {
                let why = if step == 0 {
                    "the key belongs to it"
                } else {
                    "those that the key belongs to are busy or not to be used"
                };
                return Some((at, why));
            }
            first_free.get_or_insert(at);
        }
        first_free.map(|at| (at, "all are busy, and the key belongs to it"))
    }
}

/// The place after `place`, in a circle.
fn after(range: &Range<usize>, place: usize) -> usize {
    if place + 1 == range.end { range.start } else { place + 1 }
}

/// From 0 up to but not 1, from the lowest `bits` of `random`.
fn unit(random: u64, bits: u32) -> f32 {
    let mask = (1_u64 << bits) - 1;
    (random & mask) as f32 / (1_u64 << bits) as f32
}
