//! How many instances of a service there are to be: what the text says.

use config::{At, Period, Report, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Instances;
use crate::scale::{Policy, Target};

/// What one instance is for, and so how many there are between `min` and `max`. One of `concurrency`,
/// `cpu` and `latency`; `concurrency = 16` if all are left out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScaleConfig {
    /// So many requests at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<At<u32>>,
    /// Such a share of one core: `"70%"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<At<Share>>,
    /// Answers that begin within so long, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<At<Period>>,
    /// How long fewer must have been enough before there are fewer.
    #[serde(default = "five_minutes")]
    pub down_after: At<Period>,
    /// With `min = 0`: how long nobody must have asked before the last instance is stopped.
    #[serde(default = "five_minutes")]
    pub idle: At<Period>,
}

fn five_minutes() -> At<Period> {
    At::from(Period::from_secs(300))
}

/// The longest time that numbers are remembered for.
const MEMORY_MAX: Period = Period::from_secs(86_400);

pub(super) fn build(
    config: Option<&At<ScaleConfig>>,
    Instances { min, max }: Instances,
    report: &mut Report,
) -> Option<Policy> {
    let policy = Policy { min, max, ..Policy::default() };
    let Some(config) = config else { return Some(policy) };
    if min == max {
        report
            .error(config, "`scale` means nothing for a fixed number of instances")
            .help("write such as `instances = { min = 1, max = 4 }`");
        return None;
    }
    let ScaleConfig { concurrency, cpu, latency, down_after, idle } = &**config;
    let targets = [
        ("concurrency", concurrency.as_ref().map(At::place)),
        ("cpu", cpu.as_ref().map(At::place)),
        ("latency", latency.as_ref().map(At::place)),
    ];
    let written: Vec<_> =
        targets.into_iter().filter_map(|(key, place)| Some((key, place?))).collect();
    if let [(first, there), (second, place), ..] = written[..] {
        report
            .error(place, format!("`{first}` and `{second}` both say what an instance is for"))
            .other(there, "the other one is at")
            .help("remove one of them");
        return None;
    }
    let mut whole = report.within("down-after", down_after, Period::from_secs(1)..=MEMORY_MAX);
    whole &= report.within("idle", idle, Period::from_secs(1)..=MEMORY_MAX);
    let mut target = policy.target;
    if let Some(concurrency) = concurrency {
        whole &= report.within("concurrency", concurrency, 1..=100_000);
        target = Target::Concurrency(**concurrency as f32);
    }
    if let Some(cpu) = cpu {
        whole &= report.within("cpu", cpu, Share::from_percent(1)..=Share::ALL);
        target = Target::Cpu(cpu.fraction() as f32);
    }
    if let Some(latency) = latency {
        whole &= report.within("latency", latency, Period::from_millis(1)..=Period::from_secs(60));
        target = Target::Latency(latency.as_ns() as f32 / 1e6);
    }
    let ms = |period: Period| period.as_ns() / 1_000_000;
    whole.then(|| Policy { target, down_after_ms: ms(**down_after), idle_ms: ms(**idle), ..policy })
}
