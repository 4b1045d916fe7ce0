//! What becomes of a service's requests among its endpoints: how they are shared out, who is left
//! alone, and what is sent again.

use crate::balance::{self, HashBy};
use crate::health::Passive;
use crate::retry;

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
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            balance: balance::Policy::default(),
            hash: None,
            requests_max: None,
            passive: Some(Passive::default()),
            retry: retry::Policy::default(),
        }
    }
}
