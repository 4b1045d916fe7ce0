//! How to find out whether an endpoint is well: what the text says, and what is to be done.

use std::time::Duration;

use config::{At, Period, Report, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Protocol;

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To accept a connection.
    Connection,
    /// To answer a `GET`.
    Get(Get),
    /// To answer the health check of gRPC for this service.
    Grpc(Box<str>),
    /// Nothing: this command is asked about it.
    Command(Box<[Box<str>]>),
}

/// A `GET`, and which answers are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// The path and query.
    pub path: Box<str>,
    /// From each first status to each last one.
    pub statuses: Box<[(u16, u16)]>,
    /// What the body must contain.
    pub body: Option<Box<str>>,
}

impl Get {
    /// Whether `status` is a good answer.
    #[must_use]
    pub fn takes(&self, status: u16) -> bool {
        self.statuses.iter().any(|&(first, last)| (first..=last).contains(&status))
    }
}

/// How to find out whether an endpoint is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What to ask for.
    pub ask: Ask,
    /// How often.
    pub every: Duration,
    /// How much sooner or later a check may come: a share of `every`.
    pub jitter: Share,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many bad answers in a row make an endpoint unwell.
    pub unhealthy_after: u32,
    /// How many good answers in a row make it well again.
    pub healthy_after: u32,
}

impl Health {
    /// The pause before the next check: `every`, sooner or later by chance. `random` is any bits.
    #[must_use]
    pub fn pause(&self, random: u64) -> Duration {
        // From -1 to 1.
        let chance = (random >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        self.every.mul_f64(1.0 + chance * self.jitter.fraction())
    }
}

/// How to find out whether an endpoint is well. One of `path`, `tcp`, `grpc` and `command`; `path =
/// "/"` if all are left out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HealthConfig {
    /// What to `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<At<String>>,
    /// The statuses that are good answers to `path`: `"200-299, 401"`.
    #[serde(default = "two_hundreds", skip_serializing_if = "is_left_out")]
    pub status: At<String>,
    /// What the answer to `path` must contain, within its first 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<At<String>>,
    /// Whether it is enough that it accepts a connection: `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<At<bool>>,
    /// For a service of gRPC: asks `grpc.health.v1.Health/Check` about the service of this name, such
    /// as `"shop.v1.Orders"`, or about the whole server: `""`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<At<String>>,
    /// A command that ends with 0 if the endpoint is well. It has the endpoint's address in the
    /// variable `ENDPOINT` and for `{endpoint}`. Words are split as in a shell, and no shell runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<At<String>>,
    /// How often.
    #[serde(default = "five_seconds")]
    pub every: At<Period>,
    /// How much sooner or later than that a check may come, by chance, so that many checks do not come
    /// at once.
    #[serde(default = "tenth")]
    pub jitter: At<Share>,
    /// How long an answer may take.
    #[serde(default = "one_second")]
    pub timeout: At<Period>,
    /// How many bad answers in a row make an endpoint unwell.
    #[serde(default = "three")]
    pub unhealthy_after: At<u32>,
    /// How many good answers in a row make it well, at first and again.
    #[serde(default = "two")]
    pub healthy_after: At<u32>,
}

/// Whether nobody wrote it: it means nothing beside some of the others.
fn is_left_out(status: &At<String>) -> bool {
    status.place().is_none()
}

fn two_hundreds() -> At<String> {
    At::from("200-299".to_owned())
}

fn five_seconds() -> At<Period> {
    At::from(Period::from_secs(5))
}

fn tenth() -> At<Share> {
    At::from(Share::from_percent(10))
}

fn one_second() -> At<Period> {
    At::from(Period::from_secs(1))
}

fn three() -> At<u32> {
    At::from(3)
}

fn two() -> At<u32> {
    At::from(2)
}

impl Health {
    pub(super) fn build(
        health: &At<HealthConfig>,
        protocol: &At<Protocol>,
        report: &mut Report,
    ) -> Option<Self> {
        let HealthConfig { every, jitter, timeout, unhealthy_after, healthy_after, .. } = &**health;
        let ask = read_ask(health, protocol, report);
        let times = Period::from_millis(10)..=Period::from_secs(86_400);
        let mut whole = report.within("every", every, times);
        if timeout.is_zero() {
            report.error(timeout, "`timeout = \"0s\"` finds no endpoint well");
            whole = false;
        }
        whole &= report.within("unhealthy-after", unhealthy_after, 1..=1000);
        whole &= report.within("healthy-after", healthy_after, 1..=1000);
        let ask = ask.filter(|_| whole)?;
        Some(Self {
            ask,
            every: (**every).into(),
            jitter: **jitter,
            timeout: (**timeout).into(),
            unhealthy_after: **unhealthy_after,
            healthy_after: **healthy_after,
        })
    }
}

fn read_ask(health: &HealthConfig, protocol: &At<Protocol>, report: &mut Report) -> Option<Ask> {
    let HealthConfig { path, status, body, tcp, grpc, command, .. } = health;
    let kinds = [
        ("path", path.as_ref().map(At::place)),
        ("tcp", tcp.as_ref().map(At::place)),
        ("grpc", grpc.as_ref().map(At::place)),
        ("command", command.as_ref().map(At::place)),
    ];
    let written: Vec<_> =
        kinds.into_iter().filter_map(|(key, place)| Some((key, place?))).collect();
    if let [(first, there), (second, place), ..] = written[..] {
        report
            .error(place, format!("`{first}` and `{second}` both say what to ask"))
            .other(there, "the other one is at")
            .help("remove one of them");
        return None;
    }
    if let Some((kind, _)) = written.first().filter(|(kind, _)| *kind != "path") {
        let of_path = [("status", status.place()), ("body", place_of(body.as_ref()))];
        let mut alone = true;
        for (key, place) in of_path.into_iter().filter(|(_, place)| !place.is_none()) {
            report
                .error(place, format!("`{key}` means nothing beside `{kind}`"))
                .help("it is about the answer to `path`");
            alone = false;
        }
        if !alone {
            return None;
        }
    }
    if let Some(tcp) = tcp {
        if !**tcp {
            report.error(tcp, "`tcp = false` asks nothing").help("write what to ask instead");
            return None;
        }
        return Some(Ask::Connection);
    }
    if let Some(grpc) = grpc {
        return read_grpc(grpc, protocol, report);
    }
    if let Some(command) = command {
        return super::build::read_command(command, report).map(Ask::Command);
    }
    read_get(path.as_ref(), status, body.as_ref(), report).map(Ask::Get)
}

fn place_of(text: Option<&At<String>>) -> config::Place {
    text.map_or(config::Place::NONE, At::place)
}

fn read_get(
    path: Option<&At<String>>,
    status: &At<String>,
    body: Option<&At<String>>,
    report: &mut Report,
) -> Option<Get> {
    let mut whole = true;
    if let Some(path) = path
        && (wire::RequestHead::new("GET", "a", path).is_err() || !path.starts_with('/'))
    {
        report
            .error(path, format!("`{}` is not a path to ask for", **path))
            .help("write one that begins with `/`");
        whole = false;
    }
    let statuses = read_statuses(status);
    if statuses.is_none() {
        report
            .error(status, format!("`{}` are no statuses", **status))
            .help("write such as \"200\" or \"200-299, 401\"");
    }
    let statuses = statuses.filter(|_| whole)?;
    let path = path.map_or("/", |path| path.as_str());
    Some(Get { path: path.into(), statuses, body: body.map(|body| body.as_str().into()) })
}

/// Reads `"200-299, 401"`.
fn read_statuses(text: &str) -> Option<Box<[(u16, u16)]>> {
    let status =
        |text: &str| text.trim().parse::<u16>().ok().filter(|status| (200..=599).contains(status));
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (status(first)?, status(last)?);
            (first <= last).then_some((first, last))
        })
        .collect()
}

/// The longest name of a service to ask about: a hundred times what is usual.
const GRPC_NAME_BYTES_MAX: usize = 4096;

fn read_grpc(grpc: &At<String>, protocol: &At<Protocol>, report: &mut Report) -> Option<Ask> {
    if **protocol != Protocol::H2 {
        report.error(grpc, "gRPC needs HTTP/2").help("write `protocol = \"h2\"` for the service");
        return None;
    }
    if grpc.len() > GRPC_NAME_BYTES_MAX {
        report.error(grpc, "this is too long for the name of a service");
        return None;
    }
    Some(Ask::Grpc(grpc.as_str().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_numbers_and_ranges() {
        let read = |text| read_statuses(text).map(Vec::from);
        assert_eq!(read("200"), Some(vec![(200, 200)]));
        assert_eq!(read("200-299, 401"), Some(vec![(200, 299), (401, 401)]));
        for wrong in ["", "2xx", "99", "600", "299-200", "200,", "200-"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn checks_come_sooner_or_later_but_not_by_more_than_the_jitter() {
        let mut health = Health {
            ask: Ask::Connection,
            every: Duration::from_secs(10),
            jitter: Share::from_percent(10),
            timeout: Duration::from_secs(1),
            unhealthy_after: 1,
            healthy_after: 1,
        };
        let seconds = |health: &Health, random| health.pause(random).as_secs_f64();
        assert!((seconds(&health, 0) - 9.0).abs() < 0.001);
        assert!((seconds(&health, u64::MAX) - 11.0).abs() < 0.001);
        assert!((seconds(&health, 1 << 63) - 10.0).abs() < 0.001);
        health.jitter = Share::ALL;
        assert!(seconds(&health, 0).abs() < 0.001);
        health.jitter = Share::ZERO;
        assert!((seconds(&health, 0) - 10.0).abs() < 0.001);
    }
}
