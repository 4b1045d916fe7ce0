//! What a service is asked for at most: what the text says.

use config::{At, Report};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a service is asked for at most, however well it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LimitsConfig {
    /// How many requests it may have at once, those that wait for the head of its answer; any number if
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<At<u32>>,
    /// How many more may wait for their turn; 1,024 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<At<u32>>,
    /// How many connections each of its endpoints may have, idle and upgraded ones included;
    /// any number if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<At<u32>>,
}

/// The same, ready to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) requests: Option<u32>,
    pub(super) pending: Option<u32>,
    pub(super) connections: Option<u32>,
}

/// More than a million requests or connections at once are no limit; they are a slip.
const REQUESTS_MAX: u32 = 1_000_000;

/// Each that waits holds its connection, its head and its place in a queue.
const PENDING_MAX: u32 = 100_000;

pub(super) fn build(
    config: Option<&At<LimitsConfig>>,
    is_adaptive: bool,
    report: &mut Report,
) -> Option<Limits> {
    let Some(config) = config else { return Some(Limits::default()) };
    let LimitsConfig { requests, pending, connections } = &**config;
    let mut whole = true;
    if let Some(connections) = connections {
        whole &= report.within("connections", connections, 1..=REQUESTS_MAX);
    }
    if let Some(requests) = requests {
        whole &= report.within("requests", requests, 1..=REQUESTS_MAX);
    }
    if let Some(pending) = pending {
        whole &= report.within("pending", pending, 0..=PENDING_MAX);
        if requests.is_none() && !is_adaptive {
            report
                .error(pending, "nobody waits where there is no limit")
                .help("add `requests`, or `overload = {}` to the service, or remove `pending`");
            whole = false;
        }
    }
    let value = |limit: &Option<At<u32>>| limit.as_ref().map(|limit| **limit);
    whole.then(|| Limits {
        requests: value(requests),
        pending: value(pending),
        connections: value(connections),
    })
}
