//! Which endpoints take requests at the moment, laid out so that picking one is a draw.

use std::collections::BTreeSet;
use std::ops::Range;

use super::ring::Ring;
use super::{Algorithm, Loads, Member, Policy, Standing};

/// A tier or zone hands on what its endpoints that are well cannot carry. They are taken to be built
/// for so much more than their share: with a seventh of them down, nothing goes elsewhere yet
/// (Envoy's overprovisioning factor of 140 %).
const OVERPROVISIONED: f32 = 1.4;

/// The least part of its weight that an endpoint begins with. Less would be no traffic at all for
/// endpoints of quiet services.
const SLOW_START_LEAST: f32 = 0.1;

/// How long an endpoint that refused a connection is passed over, ...
const REST_MS: u64 = 1_000;

/// ... and if all of them refuse: when they are back, the first one must not be alone for long with what
/// all others are to do.
const REST_OF_ALL_MS: u64 = 50;

/// One worker's view of the endpoints of one service.
#[derive(Clone, Debug)]
pub struct Balancer {
    pub(super) policy: Policy,
    pub(super) members: Vec<Member>,
    /// How each member stood when the plan was made.
    pub(super) standings: Vec<Standing>,
    /// Those that take requests, as places in `members`, group by group.
    pub(super) order: Vec<u32>,
    /// For each of `order`: its weight.
    pub(super) weights: Vec<f32>,
    /// For each of `order`: its weight and those before it in its group.
    pub(super) cumulative: Vec<f32>,
    /// In order of preference.
    pub(super) groups: Vec<Group>,
    /// Whether its endpoints are of several tiers.
    is_tiered: bool,
    /// Whether they are of several tiers or zones, and which of these is preferred.
    pub(super) is_grouped: bool,
    pub(super) preferred: (u8, bool),
    pub(super) is_panic: bool,
    /// Members that are on trial: places in `members`.
    pub(super) trials: Vec<u32>,
    /// When each member was last tried, being on trial.
    pub(super) tried_ns: Vec<u64>,
    /// What each is owed in turns.
    pub(super) credits: Vec<f32>,
    pub(super) turn: usize,
    pub(super) ring: Ring,
    /// What an answer takes at the endpoints that are well.
    pub(super) typical_ms: f32,
}

/// Endpoints of one tier and zone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    tier: u8,
    is_near: bool,
    /// Its endpoints in `order`.
    pub(super) members: Range<usize>,
    /// Up to which draw from 0 to 1 it is chosen.
    pub(super) until: f32,
    /// The mean weight of its endpoints.
    pub(super) mean_weight: f32,
    pub(super) is_even: bool,
}

impl Balancer {
    /// For these endpoints, none of which takes requests before [`Self::renew`].
    #[must_use]
    pub fn new(policy: Policy, members: &[Member]) -> Self {
        let ring = match policy.algorithm {
            Algorithm::Hash => Ring::build(members),
            _ => Ring::default(),
        };
        let preferred = members.iter().map(group_of).min().unwrap_or_default();
        Self {
            policy,
            is_grouped: members.iter().any(|member| group_of(member) != preferred),
            preferred,
            members: members.to_vec(),
            standings: vec![Standing::Well; members.len()],
            order: Vec::with_capacity(members.len()),
            weights: Vec::with_capacity(members.len()),
            cumulative: Vec::with_capacity(members.len()),
            groups: Vec::new(),
            is_tiered: members.iter().any(|member| member.tier != members[0].tier),
            is_panic: false,
            trials: Vec::new(),
            tried_ns: vec![0; members.len()],
            credits: vec![0.0; members.len()],
            turn: 0,
            ring,
            typical_ms: 0.0,
        }
    }

    /// The endpoints.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// By what is picked.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How the endpoint `id` stood when the plan was made.
    #[must_use]
    pub fn standing(&self, id: u32) -> Option<Standing> {
        let at = self.members.iter().position(|member| member.id == id)?;
        Some(self.standings[at])
    }

    /// The endpoints that were well when the plan was made.
    pub(crate) fn well(&self) -> impl Iterator<Item = &Member> {
        let all = self.members.iter().zip(&self.standings);
        all.filter(|(_, standing)| **standing == Standing::Well).map(|(member, _)| member)
    }

    /// The endpoints that take requests.
    pub(crate) fn used(&self) -> impl Iterator<Item = u32> + '_ {
        self.order.iter().map(|at| self.members[*at as usize].id)
    }

    /// The endpoints that are on trial beside others that are well.
    pub(crate) fn on_trial(&self) -> impl Iterator<Item = u32> + '_ {
        self.trials.iter().map(|at| self.members[*at as usize].id)
    }

    /// Whether the endpoint `id` is on trial beside others that are well.
    #[must_use]
    pub fn is_on_trial(&self, id: u32) -> bool {
        self.on_trial().any(|on_trial| on_trial == id)
    }

    /// Whether so few are well that all are used.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.is_panic
    }

    /// Lays out anew who takes requests. To be called when anything changed, and every second or so
    /// besides, since time alone ends slow starts. `standing` is asked about each member, in their
    /// order.
    pub fn renew(
        &mut self,
        loads: &mut Loads,
        now_ns: u64,
        mut standing: impl FnMut(u32) -> Standing,
    ) {
        for (member, known) in self.members.iter_mut().zip(&mut self.standings) {
            let before = std::mem::replace(known, standing(member.id));
            loads.know(member.id);
            match (before, *known) {
                // What it did before it was left alone would be held against it again.
                (Standing::Ejected, Standing::OnTrial) => loads.at_mut(member.id).acquit(),
                (Standing::Well | Standing::Full, Standing::Well) => {}
                (_, Standing::Well) => member.since_ns = now_ns,
                _ => {}
            }
        }
        let least = self.admit();
        self.trials.clear();
        self.order.clear();
        for (at, &standing) in self.standings.iter().enumerate() {
            match standing {
                Standing::OnTrial if !self.is_panic => self.trials.push(at as u32),
                _ if least.admits(standing) => self.order.push(at as u32),
                _ => {}
            }
        }
        // Nobody is well, and some may show that they are.
        if self.order.is_empty() {
            self.order.append(&mut self.trials);
        }
        let members = &self.members;
        self.order.sort_by_key(|&at| group_of(&members[at as usize]));
        self.lay_groups(now_ns);
        self.typical_ms = self.typical(loads);
    }

    /// Who may be used: as few kinds as will do.
    fn admit(&mut self) -> Admitted {
        let weight = |of: &dyn Fn(Standing) -> bool| -> f32 {
            let both = self.members.iter().zip(&self.standings);
            both.filter(|(_, standing)| of(**standing)).map(|(member, _)| member.weight).sum()
        };
        let well = weight(&|standing| matches!(standing, Standing::Well | Standing::OnTrial));
        let judged = weight(&|standing| matches!(standing, Standing::Ejected | Standing::Unwell));
        let unproven = weight(&|standing| standing == Standing::Unproven);
        let refusing = weight(&|standing| standing == Standing::Refusing);
        // What is full is there; what refuses or leaves is known not to be.
        let full = weight(&|standing| standing == Standing::Full);
        let few = judged > 0.0 && well + full < self.policy.panic * (well + judged + full);
        self.is_panic = few && !(self.is_tiered && self.carried() >= 1.0);
        if self.is_panic {
            Admitted { unproven: true, judged: true, refusing: well + judged + unproven == 0.0 }
        } else {
            let nobody = well + full == 0.0;
            let refusing = nobody && unproven == 0.0 && refusing > 0.0;
            Admitted { unproven: nobody, judged: false, refusing }
        }
    }

    /// How much of the requests the tiers together can carry with what is well of them: however many
    /// of the first tier are down, a second one that is whole is no reason to panic.
    fn carried(&self) -> f32 {
        let tiers = self.members.iter().map(|member| member.tier).collect::<BTreeSet<u8>>();
        let of = |tier: u8, of: &dyn Fn(Standing) -> bool| -> f32 {
            let both = self.members.iter().zip(&self.standings);
            let of = both.filter(|(member, standing)| member.tier == tier && of(**standing));
            of.map(|(member, _)| member.weight).sum()
        };
        let carries = |tier| {
            let all = of(tier, &|standing| standing != Standing::Leaving);
            let well = of(tier, &|standing| {
                matches!(standing, Standing::Well | Standing::OnTrial | Standing::Full)
            });
            if all > 0.0 { (well / all * OVERPROVISIONED).min(1.0) } else { 0.0 }
        };
        tiers.into_iter().map(carries).sum()
    }

    /// Cuts `order` into groups and gives each its share of the requests.
    fn lay_groups(&mut self, now_ns: u64) {
        self.groups.clear();
        self.weights.clear();
        self.cumulative.clear();
        let mut start = 0;
        let mut left = 1.0_f32;
        while start < self.order.len() {
            let key = group_of(&self.members[self.order[start] as usize]);
            let has_others = self.can_lean(start, key, now_ns);
            let (mut sum, mut end, mut is_even) = (0.0, start, true);
            let mut first = None;
            while let Some(&at) = self.order.get(end) {
                let member = &self.members[at as usize];
                if group_of(member) != key {
                    break;
                }
                let weight = if has_others { self.weight(member, now_ns) } else { member.weight };
                is_even &= *first.get_or_insert(weight) == weight;
                sum += weight;
                self.weights.push(weight);
                self.cumulative.push(sum);
                end += 1;
            }
            let all: f32 = self
                .members
                .iter()
                .zip(&self.standings)
                .filter(|(m, standing)| group_of(m) == key && **standing != Standing::Leaving)
                .map(|(member, _)| member.weight)
                .sum();
            let well: f32 =
                self.order[start..end].iter().map(|&at| self.members[at as usize].weight).sum();
            let carries = if all > 0.0 { (well / all * OVERPROVISIONED).min(1.0) } else { 1.0 };
            let share = left.min(carries);
            left -= share;
            self.groups.push(Group {
                tier: key.0,
                is_near: !key.1,
                members: start..end,
                until: 1.0 - left,
                mean_weight: sum / (end - start) as f32,
                is_even,
            });
            start = end;
        }
        // If all of them together cannot carry it, each takes more.
        let carried = 1.0 - left;
        for group in &mut self.groups {
            group.until /= carried;
        }
    }

    /// Whether those that begin slowly have enough others beside them to carry the rest. Behind an outage
    /// of all, those that come back a moment sooner would only get more than they can do.
    fn can_lean(&self, start: usize, key: (u8, bool), now_ns: u64) -> bool {
        let members = self.order[start..].iter().map(|&at| &self.members[at as usize]);
        let (mut new, mut all) = (0.0, 0.0);
        for member in members.take_while(|member| group_of(member) == key) {
            all += member.weight;
            new += if self.is_new(member, now_ns) { member.weight } else { 0.0 };
        }
        new * 2.0 <= all
    }

    /// Whether `member` has just come, or was not well until a moment ago.
    pub(crate) fn is_new(&self, member: &Member, now_ns: u64) -> bool {
        // `since_ns` of zero: it was there when we started.
        let age_ns = now_ns.saturating_sub(member.since_ns);
        member.since_ns != 0 && age_ns < self.policy.slow_start_ns
    }

    /// What `member` gets at the moment.
    fn weight(&self, member: &Member, now_ns: u64) -> f32 {
        if !self.is_new(member, now_ns) {
            return member.weight;
        }
        let age_ns = now_ns.saturating_sub(member.since_ns);
        member.weight * (age_ns as f32 / self.policy.slow_start_ns as f32).max(SLOW_START_LEAST)
    }

    /// For how long the endpoint `id`, which just refused a connection, is passed over while others are
    /// there.
    #[must_use]
    pub fn rest_ms(&self, id: u32) -> u64 {
        let mut others = self.members.iter().zip(&self.standings);
        let is_there = |standing| matches!(standing, Standing::Well | Standing::Full);
        let has_others = others.any(|(other, standing)| other.id != id && is_there(*standing));
        if has_others { REST_MS } else { REST_OF_ALL_MS }
    }

    /// The mean latency where it is known, each endpoint counted once; and no more than three times
    /// the lowest, so that slow ones do not make slowness typical.
    fn typical(&self, loads: &Loads) -> f32 {
        let known = || {
            let all = self.order.iter().map(|&at| loads.get(self.members[at as usize].id).mean_ms);
            all.filter(|ms| *ms > 0.0)
        };
        let lowest = known().fold(f32::INFINITY, f32::min);
        let (sum, count) =
            known().fold((0.0, 0.0), |(sum, count), ms| (sum + ms.min(lowest * 3.0), count + 1.0));
        if count == 0.0 { 0.0 } else { sum / count }
    }
}

/// Kinds that are used besides those that are well.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    unproven: bool,
    judged: bool,
    refusing: bool,
}

impl Admitted {
    fn admits(self, standing: Standing) -> bool {
        match standing {
            Standing::Well => true,
            // In a panic they are like all others.
            Standing::OnTrial | Standing::Ejected | Standing::Unwell => self.judged,
            Standing::Unproven => self.unproven,
            Standing::Refusing => self.refusing,
            Standing::Full | Standing::Leaving => false,
        }
    }
}

/// Lower is preferred: first the tier, then our own zone.
pub(crate) fn group_of(member: &Member) -> (u8, bool) {
    (member.tier, !member.is_near)
}
