//! What operators say about the endpoints of a service by the API: these too, and that one no more.
//!
//! It outlives reloads, and ends with the process: what is to last stands in the configuration, or in
//! a file of endpoints.

use std::collections::{BTreeMap, HashSet};

use rules::Service as ServiceRules;
use rules::service::{Endpoint as Written, Rank, Ranked, Source};
use serde::Serialize;

use super::registry::sites;
use super::run::Control;

/// The most endpoints that are added to one service.
const ADDED_MAX: usize = 1000;

/// What operators said about the endpoints of one service.
#[derive(Default)]
pub(crate) struct Told {
    /// They are there beside those of the configuration.
    pub(crate) added: Vec<Ranked>,
    /// Addresses, as they are shown, that get no new requests.
    pub(crate) drained: HashSet<String>,
    /// What endpoints get instead of what is written, by how they are shown or written.
    pub(crate) ranks: BTreeMap<String, Rank>,
}

/// What is said about an endpoint.
#[derive(Clone, Debug)]
pub(crate) enum Telling {
    /// Nothing: it is only asked what there is.
    Nothing,
    /// It is to be used, and is to get so much; as much as before if that is not said.
    Use(Written, Option<Rank>),
    /// It gets no new requests.
    Leave(Written),
}

/// The endpoints of a service, for operators.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Standing {
    pub(crate) service: String,
    pub(crate) endpoints: Vec<String>,
    pub(crate) added: Vec<String>,
    pub(crate) drained: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) ranks: BTreeMap<String, Shown>,
}

/// What an endpoint gets.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    weight: u32,
    tier: u8,
    zone: Option<Box<str>>,
}

/// Why it was said in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vain {
    NoService,
    /// Its instances come and go by themselves.
    Started,
    NoEndpoint,
    TooMany,
}

impl Control {
    /// Does as an operator says about the service `name`.
    pub(super) fn tell(&mut self, name: &str, telling: &Telling) -> Result<Standing, Vain> {
        let services = self.compiled.rules.services();
        let rules = services.iter().find(|service| &*service.name == name);
        let rules = std::sync::Arc::clone(rules.ok_or(Vain::NoService)?);
        let Source::Endpoints(_) = &rules.source else { return Err(Vain::Started) };
        match telling {
            Telling::Nothing => return Ok(self.standing(&rules)),
            Telling::Use(endpoint, rank) => self.use_endpoint(&rules, endpoint, rank.as_ref())?,
            Telling::Leave(endpoint) => self.leave_endpoint(&rules, endpoint)?,
        }
        self.resolve();
        self.publish();
        Ok(self.standing(&rules))
    }

    fn use_endpoint(
        &mut self,
        rules: &ServiceRules,
        endpoint: &Written,
        rank: Option<&Rank>,
    ) -> Result<(), Vain> {
        let told = self.found.told.entry(rules.name.clone()).or_default();
        told.drained.remove(&endpoint.to_string());
        let written = self.found.written(rules).any(|(written, _)| written == endpoint);
        let is_there = written || self.is_there(rules, endpoint);
        let told = self.found.told.entry(rules.name.clone()).or_default();
        if !is_there && told.added.len() == ADDED_MAX {
            return Err(Vain::TooMany);
        }
        if !is_there {
            told.added.push(Ranked::from(endpoint.clone()));
        }
        // Each is of one that is there, and those are bounded.
        if let Some(rank) = rank {
            told.ranks.insert(endpoint.to_string(), rank.clone());
        }
        Ok(())
    }

    fn leave_endpoint(&mut self, rules: &ServiceRules, endpoint: &Written) -> Result<(), Vain> {
        let is_there = self.is_there(rules, endpoint);
        let told = self.found.told.entry(rules.name.clone()).or_default();
        if let Some(at) = told.added.iter().position(|added| added.endpoint == *endpoint) {
            told.added.remove(at);
            told.ranks.remove(&endpoint.to_string());
            return Ok(());
        }
        if !is_there {
            return Err(Vain::NoEndpoint);
        }
        told.drained.insert(endpoint.to_string());
        Ok(())
    }

    fn is_there(&self, rules: &ServiceRules, endpoint: &Written) -> bool {
        let shown = endpoint.to_string();
        sites(rules, &self.found).iter().any(|site| site.address.to_string() == shown)
    }

    fn standing(&self, rules: &ServiceRules) -> Standing {
        let sites = sites(rules, &self.found);
        let told = self.found.told.get(&rules.name);
        let mut drained: Vec<String> =
            told.into_iter().flat_map(|told| &told.drained).cloned().collect();
        drained.sort_unstable();
        let ranks = told.into_iter().flat_map(|told| &told.ranks).map(|(endpoint, rank)| {
            let Rank { weight, tier, zone } = rank.clone();
            (endpoint.clone(), Shown { weight, tier, zone })
        });
        let added = told.into_iter().flat_map(|told| &told.added);
        Standing {
            service: rules.name.to_string(),
            endpoints: sites.iter().map(|site| site.address.to_string()).collect(),
            added: added.map(|added| added.endpoint.to_string()).collect(),
            drained,
            ranks: ranks.collect(),
        }
    }
}
