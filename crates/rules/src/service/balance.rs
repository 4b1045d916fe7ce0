//! How requests are shared out among the endpoints of a service: what the text says.

use config::{At, Period, Report, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balance::{Algorithm, HashBy, Policy};
use crate::health::Passive;
use crate::retry;

/// How requests are shared out among endpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BalanceConfig {
    /// By what an endpoint is chosen.
    pub by: At<By>,
    /// With `by = "hash"`: what is to meet the same endpoint again: `"header:NAME"`, `"cookie:NAME"`,
    /// `"path"` or `"client"`. Requests that lack it go to the fastest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<At<String>>,
    /// How long an endpoint that is new, or well again, gets less than its share.
    pub slow_start: At<Period>,
    /// When a smaller share of the endpoints than this is well, all are used.
    pub panic: At<Share>,
    /// How many requests an endpoint may have at once; any number if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<At<u32>>,
}

/// By what an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Of two at random, the one that will probably answer first: by its latency, its failures, and
    /// the requests that it has.
    #[default]
    Fastest,
    /// The one with the fewest requests, in proportion to its weight.
    LeastRequest,
    /// One after the other, in proportion to their weights.
    RoundRobin,
    /// The same one for the same `hash`, as long as it is not too busy.
    Hash,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            by: At::default(),
            hash: None,
            slow_start: Period::from_ns(policy.slow_start_ns).into(),
            panic: Share::from_percent((policy.panic * 100.0).round() as u32).into(),
            requests: None,
        }
    }
}

/// What `balance` says, ready to be used.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Balance {
    pub(super) policy: Policy,
    pub(super) hash: Option<HashBy>,
    pub(super) requests_max: Option<u32>,
}

impl Balance {
    pub(super) fn with(self, passive: Option<Passive>, retry: retry::Policy) -> super::Policy {
        let Self { policy: balance, hash, requests_max } = self;
        super::Policy {
            balance,
            hash,
            requests_max,
            passive,
            retry,
            overload: None,
            connections_max: None,
            breaker: None,
        }
    }
}

/// A day: who starts more slowly is not starting.
const SLOW_START_MAX: Period = Period::from_secs(86_400);

pub(super) fn build(config: Option<&At<BalanceConfig>>, report: &mut Report) -> Option<Balance> {
    let Some(config) = config else { return Some(Balance::default()) };
    let BalanceConfig { by, hash, slow_start, panic, requests } = &**config;
    let mut whole = report.within("slow-start", slow_start, Period::ZERO..=SLOW_START_MAX);
    if let Some(requests) = requests {
        whole &= report.within("requests", requests, 1..=1_000_000);
    }
    let hash = match (**by, hash) {
        (By::Hash, None) => {
            report
                .error(by, "`by = \"hash\"` does not say by what")
                .help("add `hash = \"header:x-user\"`, \"cookie:NAME\", \"path\" or \"client\"");
            return None;
        }
        (By::Hash, Some(text)) => Some(read_hash(text, report)?),
        (_, Some(text)) => {
            report
                .error(text, "`hash` means nothing without `by = \"hash\"`")
                .help("write `by = \"hash\"`, or remove it");
            return None;
        }
        (_, None) => None,
    };
    let algorithm = match **by {
        By::Fastest => Algorithm::Fastest,
        By::LeastRequest => Algorithm::LeastRequest,
        By::RoundRobin => Algorithm::RoundRobin,
        By::Hash => Algorithm::Hash,
    };
    whole.then(|| Balance {
        policy: Policy {
            algorithm,
            slow_start_ns: slow_start.as_ns(),
            panic: panic.fraction() as f32,
            ..Policy::default()
        },
        hash,
        requests_max: requests.as_ref().map(|requests| **requests),
    })
}

fn read_hash(text: &At<String>, report: &mut Report) -> Option<HashBy> {
    let by = match text.split_once(':') {
        Some(("header", name)) if is_token(name) => Some(HashBy::Header(name.into())),
        Some(("cookie", name)) if is_token(name) => Some(HashBy::Cookie(name.into())),
        None if **text == "path" => Some(HashBy::Path),
        None if **text == "client" => Some(HashBy::Client),
        _ => None,
    };
    if by.is_none() {
        report
            .error(text, format!("`{}` is nothing to hash by", **text))
            .help("write \"header:NAME\", \"cookie:NAME\", \"path\" or \"client\"");
    }
    by
}

/// RFC 9110, 5.6.2; at most 64 bytes, since it is looked for in every request.
pub(super) fn is_token(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(valid)
}
