//! Holds requests up or fails them on purpose, so that what depends on a service can be tried out
//! before the service itself fails.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use config::{At, Period, Place, Share};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::RequestHead;

use super::{Filter, Phases};
use crate::chance::{Draw, is_drawn};
use crate::decision::Decision;
use crate::route::{Condition, Wanted};
use crate::template::{Scope, is_token};
use crate::{Cx, Fault};

/// Faults that are made on purpose: chaos engineering without a change to any service.
///
/// Which requests are hit is drawn for each of them on its own, and for delay and abort apart: one that
/// is hit by both is aborted after the delay.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultConfig {
    /// Holds requests up before anything else is done with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<At<DelayConfig>>,
    /// Fails requests instead of sending them on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<At<AbortConfig>>,
    /// Only requests with these header fields: `true` for any value, or the value. All requests of the
    /// route if left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<At<String>, At<Wanted>>,
}

/// How requests are held up.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DelayConfig {
    /// How long; at most a minute.
    pub time: At<Period>,
    /// Which share of the requests; all if left out.
    #[serde(default = "all")]
    pub share: At<Share>,
}

/// How requests are failed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AbortConfig {
    /// The status that clients get, from 400 to 599; or `"reset"`, which breaks the connection off (over
    /// HTTP/2 and HTTP/3 the stream).
    pub with: At<With>,
    /// Which share of the requests; all if left out.
    #[serde(default = "all")]
    pub share: At<Share>,
}

fn all() -> At<Share> {
    At::from(Share::ALL)
}

/// What a client gets instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// This status.
    Status(u16),
    /// A connection that breaks off.
    Reset,
}

/// The longest delay. A request that is held up keeps its connection, and clients of longer patience
/// are none that a test is about.
const DELAY_MAX: Period = Period::from_secs(60);

/// The compiled filter.
#[derive(Debug)]
pub(super) struct Injection {
    delay: Option<(Period, Share)>,
    abort: Option<(Fault, Share)>,
    headers: Box<[Condition]>,
}

impl Filter for Injection {
    const NAME: &'static str = "fault";
    const ABOUT: &'static str = "delays or fails requests on purpose";
    const PHASES: Phases = Phases::REQUEST;
    type Config = FaultConfig;

    fn build(config: &At<FaultConfig>, scope: &mut Scope<'_>) -> Option<Self> {
        if config.delay.is_none() && config.abort.is_none() {
            let problem = scope.report.error(config, "`fault` neither delays nor aborts");
            problem.help("give it `delay = { time = \"2s\" }` or `abort = { with = 503 }`");
            return None;
        }
        let mut sound = true;
        let mut headers = Vec::new();
        for (name, wanted) in &config.header {
            if !is_token(name) {
                scope.report.error(name, format!("`{}` is not a header name", **name));
                sound = false;
            }
            headers.push(Condition::new(name.to_ascii_lowercase(), wanted));
        }
        if let Some(delay) = &config.delay {
            let shortest = Period::from_millis(1);
            sound &= scope.report.within("time", &delay.time, shortest..=DELAY_MAX);
        }
        if let Some(abort) = &config.abort
            && let With::Status(status) = *abort.with
            && !(400..=599).contains(&status)
        {
            let problem =
                scope.report.error(&abort.with, format!("the status {status} is no failure"));
            problem.help("write one from 400 to 599, or \"reset\"");
            sound = false;
        }
        if !sound {
            return None;
        }
        let delay = config.delay.as_ref().map(|one| (*one.time, *one.share));
        let abort = config.abort.as_ref().map(|one| match *one.with {
            With::Status(status) => (Fault::Injected(status), *one.share),
            With::Reset => (Fault::InjectedReset, *one.share),
        });
        let is_all = |share: Option<Share>| share == Some(Share::ALL);
        if headers.is_empty() && is_all(delay.map(|(_, share)| share)) {
            warn_of_everybody("delayed", config.delay.as_ref().map(At::place), scope);
        }
        if headers.is_empty() && is_all(abort.map(|(_, share)| share)) {
            warn_of_everybody("aborted", config.abort.as_ref().map(At::place), scope);
        }
        Some(Self { delay, abort, headers: headers.into() })
    }

    fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Decision {
        if !self.headers.iter().all(|condition| condition.header_holds(head)) {
            return Decision::pass("the request has not the headers that are asked for");
        }
        if cx.trail.is_some() {
            self.note(cx);
        }
        let delay = self.delay.filter(|(_, share)| is_drawn(cx, Draw::Delay, *share));
        let abort = self.abort.filter(|(_, share)| is_drawn(cx, Draw::Abort, *share));
        cx.delay = delay.map(|(time, _)| time.into());
        match (delay, abort) {
            (None, None) => Decision::pass("no fault was drawn"),
            (Some(_), None) => Decision::pass("a delay was drawn"),
            (None, Some((fault, _))) => Decision::refuse("an abort was drawn", fault),
            (Some(_), Some((fault, _))) => {
                Decision::refuse("a delay was drawn, and then an abort", fault)
            }
        }
    }
}

impl Injection {
    fn note(&self, cx: &mut Cx) {
        if let Some((time, share)) = self.delay {
            cx.note("delay", time);
            cx.note("delay-share", share);
        }
        if let Some((_, share)) = self.abort {
            cx.note("abort-share", share);
        }
    }
}

/// What a test of one feature was meant for must not hit everybody unnoticed.
fn warn_of_everybody(what: &str, at: Option<Place>, scope: &mut Scope<'_>) {
    let Some(at) = at else { return };
    scope
        .report
        .warning(at, format!("every request of this route is {what}"))
        .help("give it a `share`, or a `header` that only tests send");
}

impl Serialize for With {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Status(status) => to.serialize_u16(*status),
            Self::Reset => to.serialize_str("reset"),
        }
    }
}

impl<'de> Deserialize<'de> for With {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = With;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status or \"reset\"")
            }

            fn visit_i64<E: de::Error>(self, status: i64) -> Result<With, E> {
                let status = u16::try_from(status);
                // What is too large for a status is refused as one.
                Ok(With::Status(status.unwrap_or(u16::MAX)))
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<With, E> {
                Ok(With::Status(u16::try_from(status).unwrap_or(u16::MAX)))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<With, E> {
                match word {
                    "reset" => Ok(With::Reset),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for With {
    fn schema_name() -> Cow<'static, str> {
        "With".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 400, "maximum": 599 },
                { "const": "reset" },
            ],
        })
    }
}
