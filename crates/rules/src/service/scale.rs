//! How many instances of a service there are to be: what the text says.

use std::time::Duration;

use config::{At, Period, Report, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::build::{read_command, read_instances};
use super::text::{Instances, ServiceConfig};
use super::tls::Wrong;
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
    /// For a service with `endpoints`, on other machines: the command that sees to it that there are so
    /// many instances. `{service}` and `{instances}` stand for what they say; the variables `SERVICE`,
    /// `INSTANCES`, `CURRENT` and `REASON` have it too. It runs beside the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<At<String>>,
    /// The same for a program that is there already: its URL, which is told by `POST`, such as
    /// `{"service": "a", "instances": 4, "current": 2, "reason": "..."}`. It answers with 200 to 299.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post: Option<At<String>>,
    /// How long `command` or `post` may take.
    #[serde(default = "half_minute")]
    pub timeout: At<Period>,
    /// How long fewer must have been enough before there are fewer.
    #[serde(default = "five_minutes")]
    pub down_after: At<Period>,
    /// With `min = 0`: how long nobody must have asked before the last instance is stopped.
    #[serde(default = "five_minutes")]
    pub idle: At<Period>,
}

fn half_minute() -> At<Period> {
    At::from(Period::from_secs(30))
}

fn five_minutes() -> At<Period> {
    At::from(Period::from_secs(300))
}

/// The longest time that numbers are remembered for.
const MEMORY_MAX: Period = Period::from_secs(86_400);

pub(super) fn build(
    config: Option<&At<ScaleConfig>>,
    Instances { min, max }: Instances,
    is_ours: bool,
    report: &mut Report,
) -> Option<Policy> {
    let policy = Policy { min, max, ..Policy::default() };
    let Some(config) = config else { return Some(policy) };
    let hook = config.command.as_ref().or(config.post.as_ref());
    if let Some(hook) = hook.filter(|_| is_ours) {
        report
            .error(hook, "instances of `run` are started here, and no hook is asked for them")
            .help("a hook is for services with `endpoints`, on other machines");
        return None;
    }
    if min == max {
        report
            .error(config, "`scale` means nothing for a fixed number of instances")
            .help("write such as `instances = { min = 1, max = 4 }`");
        return None;
    }
    let ScaleConfig { concurrency, cpu, latency, down_after, idle, .. } = &**config;
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

/// Who has more or fewer instances run on other machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// How many there are to be.
    pub policy: Policy,
    /// Who is told.
    pub hook: Hook,
    /// How long that may take.
    pub timeout: Duration,
}

/// Who is told how many instances there are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The words of a command.
    Command(Box<[Box<str>]>),
    /// A program that takes `POST`.
    Post {
        /// Its host and port.
        authority: Box<str>,
        /// Path and query.
        target: Box<str>,
    },
}

/// What `instances` and `scale` say of a service that runs elsewhere; `None` if they say nothing.
pub(super) fn elsewhere(
    config: &ServiceConfig,
    report: &mut Report,
) -> Result<Option<Scaling>, Wrong> {
    let (Some(instances), Some(scale)) = (&config.instances, &config.scale) else {
        let alone = [
            ("instances", config.instances.as_ref().map(At::place)),
            ("scale", config.scale.as_ref().map(At::place)),
        ];
        let mut alone = alone.into_iter().filter_map(|(key, place)| Some((key, place?)));
        let Some((key, place)) = alone.next() else { return Ok(None) };
        report
            .error(place, format!("`{key}` alone means nothing beside `endpoints`"))
            .help("write `instances = { min = 1, max = 4 }` and `scale = { command = \"...\" }`, or `run`");
        return Err(Wrong);
    };
    let hook = match (&scale.command, &scale.post) {
        (Some(command), None) => read_command(command, report).map(Hook::Command),
        (None, Some(url)) => read_url(url, report),
        (Some(command), Some(url)) => {
            report
                .error(url, "`command` and `post` both say who is told")
                .other(command, "`command` is at")
                .help("remove one of them");
            None
        }
        (None, None) => {
            report
                .error(scale, "nobody is told how many instances of the `endpoints` there are to be")
                .help("write `command = \"scale.sh {service} {instances}\"` or `post = \"http://...\"`");
            None
        }
    };
    if let Some(cpu) = &scale.cpu {
        report
            .error(cpu, "what the instances use of their cores on other machines is not seen here")
            .help("write `concurrency` or `latency`");
        return Err(Wrong);
    }
    if instances.min == 0 {
        report
            .error(instances, "`min = 0` is for instances that Doorward starts")
            .help("write at least 1");
        return Err(Wrong);
    }
    let policy = read_instances(Some(instances), report)
        .and_then(|all| build(Some(scale), all, false, report));
    let bounds = Period::from_millis(100)..=Period::from_secs(600);
    let in_time = report.within("timeout", &scale.timeout, bounds);
    match (hook, policy) {
        (Some(hook), Some(policy)) if in_time => {
            Ok(Some(Scaling { policy, hook, timeout: (*scale.timeout).into() }))
        }
        _ => Err(Wrong),
    }
}

fn read_url(url: &At<String>, report: &mut Report) -> Option<Hook> {
    let rest = url.strip_prefix("http://");
    let split = rest.map(|rest| rest.find('/').map_or((rest, "/"), |at| rest.split_at(at)));
    // The head's own reader says what a host and a path may be.
    let sound = split.filter(|(authority, target)| {
        !authority.is_empty() && wire::RequestHead::new("POST", authority, target).is_ok()
    });
    let Some((authority, target)) = sound else {
        report.error(url, format!("`{}` is not the URL of a hook", **url)).help(
            "write one such as \"http://10.0.0.5:8000/scale\"; for https, `command = \"curl ...\"`",
        );
        return None;
    };
    Some(Hook::Post { authority: authority.into(), target: target.into() })
}
