//! When requests to a service are sent again: what the text says.

use config::{At, Period, Report, Share, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::balance::is_token;
use super::pauses;
use crate::retry::{BudgetPolicy, HedgePolicy, Policy};

/// When requests are sent again. `{ attempts = 1 }` is never.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RetryConfig {
    /// How often a request is sent at most, the first time included; from 1 to 8.
    pub attempts: At<u32>,
    /// Behind what: `"connect"` is a connection that cannot be made, `"reset"` one that breaks before
    /// the answer, `"timeout"` an answer that does not begin in time.
    pub on: At<Vec<At<Condition>>>,
    /// Behind which statuses of an answer.
    pub statuses: At<Vec<At<u16>>>,
    /// The first pause is anything up to this, by chance; each doubles it.
    pub pause: At<Period>,
    /// The longest pause.
    pub pause_max: At<Period>,
    /// How long one attempt may take to begin its answer, connecting included; `first-byte` alone counts
    /// if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try: Option<At<Period>>,
    /// The header by which the service knows a request that it has done already, such as
    /// `"Idempotency-Key"`: requests that have it are repeated whatever their method. None if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<At<String>>,
    /// From which share of the latencies on a second attempt is sent beside one that has not answered
    /// yet, such as `"95%"`; the first answer wins. Never if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<At<Share>>,
    /// Up to which length an outage is waited for, in which no endpoint takes connections, such as
    /// `"5s"`. None if left out: requests are told at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<At<Period>>,
    /// How much of a request's body is kept, so that it can be sent again.
    pub replay: At<Size>,
    /// The largest share of requests that may be repeats. Ten a second may be in any case.
    pub budget: At<Share>,
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// No connection, or a stream that was refused: nobody looked at the request.
    Connect,
    /// The connection broke before the answer.
    Reset,
    /// No answer in time.
    Timeout,
}

impl Default for RetryConfig {
    fn default() -> Self {
        let policy = Policy::default();
        let all = [Condition::Connect, Condition::Reset, Condition::Timeout];
        Self {
            attempts: policy.attempts_max.into(),
            on: all.map(At::from).to_vec().into(),
            statuses: policy
                .on_status
                .iter()
                .map(|&status| status.into())
                .collect::<Vec<_>>()
                .into(),
            pause: Period::from_millis(policy.base_ms).into(),
            pause_max: Period::from_millis(policy.most_ms).into(),
            per_try: None,
            idempotency_key: None,
            hedge: None,
            hold: None,
            replay: Size::from_bytes(policy.replay_bytes_max as u64).into(),
            budget: Share::from_percent(20).into(),
        }
    }
}

/// More attempts than this help nobody.
const ATTEMPTS_MAX: u32 = 8;

/// A minute of waiting is no retry but another request.
const PAUSE_MAX: Period = Period::from_secs(60);

/// Time is looked at every 50 ms.
const PER_TRY_MIN: Period = Period::from_millis(100);

/// More than half of all requests twice is no remedy for a slow tail.
const HEDGE_MIN: Share = Share::from_percent(50);

/// The last one to two thousand latencies are remembered, and tell no more.
const HEDGE_MAX: Share = Share::from_percent(99);

/// An hour, as other time-outs of one step.
const PER_TRY_MAX: Period = Period::from_secs(3600);

/// Shorter than this is what retries do by themselves.
const HOLD_MIN: Period = Period::from_millis(100);

/// As long as an instance may take to start.
const HOLD_MAX: Period = Period::from_secs(60);

/// Bodies are kept in memory, one for each request under way.
const REPLAY_MAX: Size = Size::from_mib(16);

pub(super) fn build(config: Option<&At<RetryConfig>>, report: &mut Report) -> Option<Policy> {
    let Some(config) = config else { return Some(Policy::default()) };
    let RetryConfig {
        attempts,
        on,
        statuses,
        pause,
        pause_max,
        per_try,
        idempotency_key,
        hedge,
        hold,
        replay,
        budget,
    } = &**config;
    let mut whole = report.within("attempts", attempts, 1..=ATTEMPTS_MAX);
    for status in &**statuses {
        whole &= report.within("statuses", status, 400..=599);
    }
    whole &= report.within("pause", pause, Period::ZERO..=PAUSE_MAX);
    whole &= report.within("pause-max", pause_max, Period::ZERO..=PAUSE_MAX);
    if let Some(per_try) = per_try {
        whole &= report.within("per-try", per_try, PER_TRY_MIN..=PER_TRY_MAX);
    }
    if let Some(name) = idempotency_key.as_ref().filter(|name| !is_token(name)) {
        report
            .error(name, format!("`{}` is not the name of a header", **name))
            .help("write one such as \"Idempotency-Key\"");
        whole = false;
    }
    if let Some(hedge) = hedge {
        whole &= report.within("hedge", hedge, HEDGE_MIN..=HEDGE_MAX);
    }
    if let Some(hold) = hold {
        whole &= report.within("hold", hold, HOLD_MIN..=HOLD_MAX);
    }
    whole &= report.within("replay", replay, Size::from_bytes(0)..=REPLAY_MAX);
    whole = whole && pauses::in_order(pause, pause_max, report);
    let has = |condition| on.iter().any(|one| **one == condition);
    let ms = |period: Period| period.as_ns() / 1_000_000;
    whole.then(|| Policy {
        attempts_max: **attempts,
        on_connect: has(Condition::Connect),
        on_reset: has(Condition::Reset),
        on_timeout: has(Condition::Timeout),
        on_status: statuses.iter().map(|status| **status).collect(),
        base_ms: ms(**pause),
        most_ms: ms(**pause_max),
        per_try_ms: per_try.as_ref().map(|per_try| ms(**per_try)),
        idempotency_key: idempotency_key.as_ref().map(|name| name.to_ascii_lowercase().into()),
        replay_bytes_max: replay.as_usize(),
        budget: BudgetPolicy { share: budget.fraction() as f32, ..BudgetPolicy::default() },
        hold_ms: hold.as_ref().map(|hold| ms(**hold)),
        hedge: hedge.as_ref().map(|share| HedgePolicy {
            percentile: share.fraction() as f32,
            ..HedgePolicy::default()
        }),
    })
}
