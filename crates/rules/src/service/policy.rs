//! What becomes of a service's requests among its endpoints: how they are shared out, who is left
//! alone, and what is sent again.

use config::At;

use super::breaker::{Fallback, Guard};
use crate::balance::{self, HashBy};
use crate::health::Passive;
use crate::{overload, retry};

/// All of it, for one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How endpoints are chosen.
    pub balance: balance::Policy,
    /// What is to meet the same endpoint again, if that is how they are chosen.
    pub hash: Option<HashBy>,
    /// How many requests an endpoint may have at once, from all workers.
    pub requests_max: Option<u32>,
    /// When endpoints that do worse than the others are left alone; never if there is none.
    pub passive: Option<Passive>,
    /// When requests are sent again.
    pub retry: retry::Policy,
    /// How much is asked of the service at once; as much as comes if there is none.
    pub overload: Option<overload::Policy>,
    /// How many connections an endpoint may have, from all workers.
    pub connections_max: Option<u32>,
    /// When it is left alone, and what clients get then; never if there is none.
    pub breaker: Option<Guard>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            balance: balance::Policy::default(),
            hash: None,
            requests_max: None,
            passive: Some(Passive::default()),
            retry: retry::Policy::default(),
            overload: None,
            connections_max: None,
            breaker: None,
        }
    }
}

impl Policy {
    /// The names of services that stand in while the breaker is open.
    pub(crate) fn stand_ins(&self) -> impl Iterator<Item = &At<String>> {
        let fallback = self.breaker.as_ref().map_or(&[][..], |guard| &guard.fallback);
        fallback.iter().filter_map(|one| match one {
            Fallback::Service(name) => Some(name),
            Fallback::Stale | Fallback::Answer { .. } => None,
        })
    }
}
