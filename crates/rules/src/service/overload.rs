//! How a service is kept from being asked for more than it can do: what the text says.

use config::{At, Period, Report};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use crate::overload::{LimitPolicy, Policy, QueuePolicy};

/// How a service is kept from being asked for more than it can do. How much that is, is found out from
/// how long its answers take.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct OverloadConfig {
    /// How many requests at once it begins with. More are found to be possible within two seconds.
    pub first: At<u32>,
    /// How many requests at once each worker may send there in any case.
    pub least: At<u32>,
    /// How many times as long as usual answers may take before that is a sign of a queue.
    pub tolerance: At<f64>,
    /// How long a request may wait for its turn as long as nobody waits now and then; and how long the
    /// queue may not be empty before it is too long.
    pub interval: At<Period>,
    /// How long it may wait when the queue is too long. Critical requests may wait for `interval`.
    pub target: At<Period>,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        let Policy { limit, queue } = Policy::default();
        let period = |ms: f32| Period::from_ns((ms * 1e6) as u64);
        Self {
            first: limit.first.into(),
            least: limit.least.into(),
            tolerance: f64::from(limit.tolerance).into(),
            interval: period(queue.interval_ms).into(),
            target: period(queue.target_ms).into(),
        }
    }
}

/// Who waits for longer than this has left.
const INTERVAL_MAX: Period = Period::from_secs(10);

/// The inner `None` is a service that gets what comes.
#[expect(clippy::option_option, reason = "the outer one is a problem in the text")]
pub(super) fn build(
    config: Option<&At<OverloadConfig>>,
    limits: Option<&Limits>,
    report: &mut Report,
) -> Option<Option<Policy>> {
    let adaptive = match config {
        None => None,
        Some(config) => Some(read(config, report)?),
    };
    let limits = limits?;
    let mut policy = match (adaptive, limits.requests) {
        (Some(policy), _) => policy,
        (None, Some(requests)) => Policy {
            // However long answers take.
            limit: LimitPolicy {
                first: requests,
                least: 1,
                most: requests,
                tolerance: f32::INFINITY,
            },
            queue: QueuePolicy::default(),
        },
        (None, None) => return Some(None),
    };
    if let Some(requests) = limits.requests {
        policy.limit.most = requests;
    }
    if let Some(pending) = limits.pending {
        policy.queue.most = pending;
    }
    Some(Some(policy))
}

fn read(config: &At<OverloadConfig>, report: &mut Report) -> Option<Policy> {
    let OverloadConfig { first, least, tolerance, interval, target } = &**config;
    let most = LimitPolicy::default().most;
    let mut whole = report.within("first", first, 1..=most);
    whole &= report.within("least", least, 1..=most);
    whole &= report.within("tolerance", tolerance, 1.1..=10.0);
    let ms = Period::from_millis(1);
    whole &= report.within("interval", interval, ms..=INTERVAL_MAX);
    whole &= report.within("target", target, ms..=INTERVAL_MAX);
    if whole && **target > **interval {
        let text = format!("`target = \"{}\"` is more than `interval`", **target);
        report.error(target, text).help(format!("`interval` is \"{}\"", **interval));
        whole = false;
    }
    let period_ms = |period: Period| period.as_ns() as f32 / 1e6;
    whole.then(|| Policy {
        limit: LimitPolicy {
            first: **first,
            least: **least,
            tolerance: **tolerance as f32,
            ..LimitPolicy::default()
        },
        queue: QueuePolicy {
            interval_ms: period_ms(**interval),
            target_ms: period_ms(**target),
            ..QueuePolicy::default()
        },
    })
}
