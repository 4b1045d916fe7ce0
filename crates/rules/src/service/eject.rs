//! When endpoints that do worse than the others are left alone: what the text says.

use config::{At, Period, Report, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pauses;
use crate::health::Passive;

/// When an endpoint that does worse than the others gets no requests for a while.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EjectConfig {
    /// Behind so many failures without an answer in between.
    pub failures: At<u32>,
    /// When it fails more often than the others by this.
    pub errors: At<Share>,
    /// When it takes so many times as long as the others.
    pub latency: At<u32>,
    /// For how long, the first time. Each time doubles it, up to `pause-max`.
    pub pause: At<Period>,
    /// For how long at most.
    pub pause_max: At<Period>,
    /// The largest share of the endpoints that may be out at once; `"0%"` is none, ever.
    pub at_most: At<Share>,
}

impl Default for EjectConfig {
    fn default() -> Self {
        let passive = Passive::default();
        let percent = |share: f32| Share::from_percent((share * 100.0).round() as u32);
        Self {
            failures: passive.failures_in_a_row.into(),
            errors: percent(passive.error_share).into(),
            latency: (passive.latency_factor as u32).into(),
            pause: Period::from_millis(passive.base_ms).into(),
            pause_max: Period::from_millis(passive.most_ms).into(),
            at_most: percent(passive.share_max).into(),
        }
    }
}

/// An hour: who is out for longer is to be removed.
const PAUSE_MAX: Period = Period::from_secs(3600);

/// The inner `None` is never.
#[expect(clippy::option_option, reason = "the outer one is a problem in the text")]
pub(super) fn build(
    config: Option<&At<EjectConfig>>,
    report: &mut Report,
) -> Option<Option<Passive>> {
    let Some(config) = config else { return Some(Some(Passive::default())) };
    let EjectConfig { failures, errors, latency, pause, pause_max, at_most } = &**config;
    let mut whole = report.within("failures", failures, 1..=1_000);
    whole &= report.within("latency", latency, 2..=1_000);
    whole &= report.within("pause", pause, Period::from_millis(100)..=PAUSE_MAX);
    whole &= report.within("pause-max", pause_max, Period::from_millis(100)..=PAUSE_MAX);
    whole = whole && pauses::in_order(pause, pause_max, report);
    let ms = |period: Period| period.as_ns() / 1_000_000;
    whole.then(|| {
        (**at_most > Share::ZERO).then(|| Passive {
            failures_in_a_row: **failures,
            error_share: errors.fraction() as f32,
            latency_factor: **latency as f32,
            base_ms: ms(**pause),
            most_ms: ms(**pause_max),
            share_max: at_most.fraction() as f32,
        })
    })
}
