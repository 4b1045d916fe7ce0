//! When a service that is bad as a whole is left alone, and what its clients get meanwhile: what the
//! text says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use config::{At, Period, Report, Share};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::pauses;
use crate::Reply;
use crate::breaker::Policy;
use crate::route::RespondConfig;

/// When a service that is bad as a whole is left alone for a while, and what its clients get meanwhile.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BreakerConfig {
    /// It opens when such a share of the requests fails.
    pub failures: At<Share>,
    /// It opens when such a share of the answers is slow.
    pub slow: At<Share>,
    /// From how long on an answer is slow; slowness is not looked at if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_after: Option<At<Period>>,
    /// Fewer requests than these within `window` say nothing.
    pub requests: At<u32>,
    /// How long requests count.
    pub window: At<Period>,
    /// How long it stays open, the first time. Each time doubles it, up to `pause-max`.
    pub pause: At<Period>,
    /// How long it stays open at most.
    pub pause_max: At<Period>,
    /// So many requests in a row have to succeed, one at a time, to close it.
    pub probes: At<u32>,
    /// What clients get while it is open, in this order: `"stale"` is what the route's cache has, however
    /// old; `"service:NAME"` asks that service; `{ status, body, file, type, headers }` answers with
    /// that. 503 if there is none of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<At<FallbackConfig>>,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        let policy = Policy::default();
        let percent = |share: f32| Share::from_percent((share * 100.0).round() as u32);
        Self {
            failures: percent(policy.failures).into(),
            slow: percent(policy.slow).into(),
            slow_after: None,
            requests: policy.requests_least.into(),
            window: Period::from_millis(policy.window_ms).into(),
            pause: Period::from_millis(policy.open_ms).into(),
            pause_max: Period::from_millis(policy.open_ms_max).into(),
            probes: policy.probes.into(),
            fallback: Vec::new(),
        }
    }
}

/// What clients get instead of an answer of the service.
#[derive(Clone, Debug)]
pub enum FallbackConfig {
    /// What the route's cache has.
    Stale,
    /// An answer of another service.
    Service(String),
    /// A fixed answer.
    Answer(Box<AnswerConfig>),
}

/// A fixed answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AnswerConfig {
    /// The status; 200 if left out.
    #[serde(default = "success")]
    pub status: At<u16>,
    /// The body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// The file that has the body, relative to the configuration file; read with it, and again when it
    /// changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<At<String>>,
    /// The media type of the body.
    #[serde(default = "plain_text", rename = "type")]
    pub media_type: At<String>,
    /// Header fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<At<String>, At<String>>,
}

fn success() -> At<u16> {
    At::from(200)
}

fn plain_text() -> At<String> {
    At::from("text/plain; charset=utf-8".to_owned())
}

const SERVICE: &str = "service:";

impl Serialize for FallbackConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stale => to.serialize_str("stale"),
            Self::Service(name) => to.serialize_str(&format!("{SERVICE}{name}")),
            Self::Answer(answer) => answer.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for FallbackConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = FallbackConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"stale\", \"service:NAME\" or a table with an answer")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FallbackConfig, E> {
                match text.strip_prefix(SERVICE) {
                    Some(name) => Ok(FallbackConfig::Service(name.to_owned())),
                    None if text == "stale" => Ok(FallbackConfig::Stale),
                    None => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FallbackConfig, A::Error> {
                let answer = AnswerConfig::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(FallbackConfig::Answer(Box::new(answer)))
            }
        }

        from.deserialize_any(Any)
    }
}

impl JsonSchema for FallbackConfig {
    fn schema_name() -> Cow<'static, str> {
        "FallbackConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let answer = generator.subschema_for::<AnswerConfig>();
        json_schema!({
            "anyOf": [{ "const": "stale" }, { "type": "string", "pattern": "^service:" }, answer],
        })
    }
}

/// A breaker, and what clients get while it is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// When it opens, and for how long.
    pub policy: Policy,
    /// What clients get then; the first that there is.
    pub fallback: Box<[Fallback]>,
}

/// What clients get instead of an answer of the service.
#[derive(Clone, Debug, PartialEq)]
pub enum Fallback {
    /// What the route's cache has.
    Stale,
    /// An answer of the service of this name.
    Service(At<String>),
    /// A fixed answer.
    Answer {
        /// What it is; without its body, if that is in a file.
        reply: Reply,
        /// The file that has its body: who loads the configuration puts it there.
        file: Option<At<String>>,
    },
}

/// An hour: what is left alone for longer is to be removed.
const PAUSE_MAX: Period = Period::from_secs(3600);

/// The inner `None` is no breaker.
#[expect(clippy::option_option, reason = "the outer one is a problem in the text")]
pub(super) fn build(
    config: Option<&At<BreakerConfig>>,
    report: &mut Report,
) -> Option<Option<Guard>> {
    let Some(config) = config else { return Some(None) };
    let policy = read_policy(config, report);
    let fallback = read_fallback(&config.fallback, report);
    Some(Some(Guard { policy: policy?, fallback: fallback? }))
}

fn read_policy(config: &BreakerConfig, report: &mut Report) -> Option<Policy> {
    let BreakerConfig {
        failures,
        slow,
        slow_after,
        requests,
        window,
        pause,
        pause_max,
        probes,
        ..
    } = config;
    let percent = Share::from_percent(1);
    let mut whole = report.within("failures", failures, percent..=Share::ALL);
    whole &= report.within("slow", slow, percent..=Share::ALL);
    if let Some(slow_after) = slow_after {
        whole &= report.within("slow-after", slow_after, Period::from_millis(1)..=PAUSE_MAX);
    }
    whole &= report.within("requests", requests, 1..=1_000_000);
    whole &= report.within("window", window, Period::from_millis(100)..=PAUSE_MAX);
    whole &= report.within("pause", pause, Period::from_millis(100)..=PAUSE_MAX);
    whole &= report.within("pause-max", pause_max, Period::from_millis(100)..=PAUSE_MAX);
    whole &= report.within("probes", probes, 1..=1_000);
    whole = whole && pauses::in_order(pause, pause_max, report);
    let ms = |period: Period| period.as_ns() / 1_000_000;
    whole.then(|| Policy {
        failures: failures.fraction() as f32,
        slow: slow.fraction() as f32,
        slow_ms: slow_after.as_ref().map_or(0.0, |after| after.as_ns() as f32 / 1e6),
        requests_least: **requests,
        window_ms: ms(**window),
        open_ms: ms(**pause),
        open_ms_max: ms(**pause_max),
        probes: **probes,
    })
}

fn read_fallback(list: &[At<FallbackConfig>], report: &mut Report) -> Option<Box<[Fallback]>> {
    let mut read = Vec::new();
    for one in list {
        if let Some(Fallback::Answer { .. }) = read.last() {
            report
                .error(one, "nothing is reached behind a fixed answer")
                .help("put the answer last");
            return None;
        }
        read.push(match &**one {
            FallbackConfig::Stale => Fallback::Stale,
            FallbackConfig::Service(name) => Fallback::Service(At::new(name.clone(), one.place())),
            FallbackConfig::Answer(answer) => answer.read(report)?,
        });
    }
    Some(read.into())
}

impl AnswerConfig {
    fn read(&self, report: &mut Report) -> Option<Fallback> {
        let Self { status, body, file, media_type, headers } = self;
        if let Some(file) = file.as_ref().filter(|_| !body.is_empty()) {
            report.error(file, "a body is either here or in a file").help("remove one of them");
            return None;
        }
        let in_file = match file {
            Some(file) if file.is_empty() => {
                report.error(file, "the name of the file is empty");
                return None;
            }
            // Something has to be there that its media type is said of.
            Some(_) => "in a file".to_owned(),
            None => body.clone(),
        };
        let respond = RespondConfig {
            status: *status,
            body: in_file,
            media_type: media_type.clone(),
            headers: headers.clone(),
        };
        let reply = respond.read(report)?;
        Some(Fallback::Answer { reply, file: file.clone() })
    }
}
