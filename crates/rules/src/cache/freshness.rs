//! How old a response is, and how long it is fresh (RFC 9111, 4.2).

use wire::{Known, ResponseHead};

use super::config::Cache;
use super::directives::{Directives, Scope, Seconds};
use super::stored::Freshness;
use crate::date;

/// When a request left and when its answer came, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When the request left.
    pub requested_ms: u64,
    /// When the answer's head came.
    pub received_ms: u64,
}

/// Where a lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The response says it.
    Explicit,
    /// The route says it.
    Rule,
    /// It is a guess.
    Heuristic,
    /// Nobody says anything.
    Nothing,
}

/// What a response says to this cache, from whichever of its fields counts.
pub(super) struct Told {
    pub(super) directives: Directives,
    /// Whether a field aimed at caches like this one said it. RFC 9213, 2.2: then the cache "MUST
    /// ignore the Cache-Control and Expires header fields in that response".
    pub(super) targeted: bool,
}

impl Told {
    pub(super) fn by(response: &ResponseHead) -> Self {
        match Directives::targeted(&response.fields) {
            Some(directives) => Self { directives, targeted: true },
            None => Self { directives: Directives::of(&response.fields), targeted: false },
        }
    }

    /// Whether the response names this field as one that is not for all (RFC 9111, 5.2.2.4 and
    /// 5.2.2.7).
    pub(super) fn names(&self, name: &[u8]) -> bool {
        [&self.directives.no_cache, &self.directives.private].iter().any(|scope| match scope {
            Scope::Fields(names) => names.iter().any(|named| named.eq_ignore_ascii_case(name)),
            Scope::None | Scope::All => false,
        })
    }

    /// Whether the response says for itself how long it is fresh.
    ///
    /// RFC 9111, 4.2.1, in this order: `s-maxage`, `max-age`, `Expires`.
    pub(super) fn explicit_ms(&self, response: &ResponseHead, times: Times) -> Option<u64> {
        let number = self.directives.s_maxage.or(self.directives.max_age);
        if let Some(seconds) = number {
            return Some(seconds.as_ms());
        }
        if self.targeted || !response.fields.has(Known::Expires) {
            return None;
        }
        let expires = response.fields.get(Known::Expires).unwrap_or_default();
        // RFC 9111, 5.3: "A cache recipient MUST interpret invalid date formats, especially the value
        // "0", as representing a time in the past (i.e., "already expired")."
        let expires_ms = date::read(expires, times.received_ms).unwrap_or(0);
        Some(expires_ms.saturating_sub(date_ms(response, times)))
    }
}

/// What `Date` says; the time of arrival if it says nothing that can be read (RFC 9110, 6.6.1).
pub(super) fn date_ms(response: &ResponseHead, times: Times) -> u64 {
    let date = response.fields.get(Known::Date);
    date.and_then(|date| date::read(date, times.received_ms)).unwrap_or(times.received_ms)
}

/// RFC 9111, 4.2.3:
/// ```text
/// apparent_age = max(0, response_time - date_value);
/// response_delay = response_time - request_time;
/// corrected_age_value = age_value + response_delay;
/// corrected_initial_age = max(apparent_age, corrected_age_value);
/// ```
pub(super) fn initial_age_ms(response: &ResponseHead, times: Times) -> u64 {
    let apparent_ms = times.received_ms.saturating_sub(date_ms(response, times));
    // Dates have whole seconds: a part of one is no age.
    let apparent_ms = if apparent_ms < 1000 { 0 } else { apparent_ms };
    let delay_ms = times.received_ms.saturating_sub(times.requested_ms);
    let corrected_ms = age_value_ms(response).saturating_add(delay_ms);
    apparent_ms.max(corrected_ms)
}

/// What `Age` says.
///
/// RFC 9111, 5.1: of several members "a cache SHOULD use the first value and discard the others"; "If
/// the field value (after discarding additional members, as per above) is invalid (e.g., it contains
/// something other than a non-negative integer), a cache SHOULD ignore the field."
fn age_value_ms(response: &ResponseHead) -> u64 {
    let line = response.fields.get(Known::Age).unwrap_or_default();
    let first = line.split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
    let digits = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    if !digits {
        return 0;
    }
    let seconds = first
        .iter()
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    seconds.saturating_mul(1000)
}

/// The longest lifetime that is guessed. RFC 9111, 4.2.2 leaves it to caches; what nobody spoke for
/// is looked at again within the hour.
const HEURISTIC_MS_MAX: u64 = 3_600_000;

/// RFC 9110, 15.1: the status codes that are "heuristically cacheable".
pub(super) fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The statuses whose lifetime the route's `fresh` may say: the answer is what was asked for, and
/// will be for a while. What is not there (404) may be there the next moment.
fn is_for_rule(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308)
}

/// RFC 9111, 4.2.2: "a cache ... can calculate a heuristic expiration time"; "if the response has a
/// Last-Modified header field", "a typical setting of this fraction might be 10%".
fn heuristic_ms(response: &ResponseHead, told: &Told, times: Times) -> Option<u64> {
    let allowed = is_heuristically_cacheable(response.status) || told.directives.public;
    let modified = response.fields.get(Known::LastModified).filter(|_| allowed)?;
    let modified_ms = date::read(modified, times.received_ms)?;
    Some((date_ms(response, times).saturating_sub(modified_ms) / 10).min(HEURISTIC_MS_MAX))
}

impl Cache {
    /// How long `response` may be used, and who says so.
    pub(super) fn freshness(
        &self,
        response: &ResponseHead,
        told: &Told,
        times: Times,
    ) -> (Freshness, Source) {
        let explicit_ms = told.explicit_ms(response, times);
        let rule_ms = self.fresh_ms.filter(|_| is_for_rule(response.status));
        let heuristic_ms = || heuristic_ms(response, told, times);
        let (lifetime_ms, source) = match (rule_ms, explicit_ms) {
            (Some(lifetime_ms), _) => (lifetime_ms, Source::Rule),
            (None, Some(lifetime_ms)) => (lifetime_ms, Source::Explicit),
            (None, None) => {
                heuristic_ms().map_or((0, Source::Nothing), |ms| (ms, Source::Heuristic))
            }
        };
        let directives = &told.directives;
        let milliseconds = |rule_ms: Option<u64>, said: Option<Seconds>| {
            rule_ms.or_else(|| said.map(Seconds::as_ms))
        };
        let while_revalidate =
            milliseconds(self.stale_while_revalidate_ms, directives.stale_while_revalidate);
        let if_error = milliseconds(self.stale_if_error_ms, directives.stale_if_error);
        // RFC 9111, 5.2.2.10: "s-maxage ... incorporates the semantics of the proxy-revalidate
        // response directive", unless the service itself says how stale the answer may be.
        let may_be_stale =
            directives.stale_while_revalidate.is_some() || directives.stale_if_error.is_some();
        let s_maxage = directives.s_maxage.is_some() && source == Source::Explicit;
        let must_revalidate = directives.must_revalidate
            || directives.proxy_revalidate
            || (s_maxage && !may_be_stale);
        // An answer's age counts from where its lifetime does: what the route says begins here.
        let initial_age_ms = match source {
            Source::Rule => 0,
            _ => initial_age_ms(response, times),
        };
        let freshness = Freshness {
            initial_age_ms,
            lifetime_ms,
            stale_while_revalidate_ms: while_revalidate.unwrap_or(0),
            stale_if_error_ms: if_error.unwrap_or(0),
            no_cache: directives.no_cache == Scope::All || pragma(response, told),
            must_revalidate,
            heuristic: source == Source::Heuristic,
        };
        (freshness, source)
    }
}

/// RFC 9111, 5.4: `Pragma` means something in requests only; but that an origin writes `Pragma:
/// no-cache` and nothing else is its whole word.
fn pragma(response: &ResponseHead, told: &Told) -> bool {
    let fields = &response.fields;
    !told.targeted
        && !fields.has_any(Known::CacheControl.bit() | Known::Expires.bit())
        && fields.all(Known::Pragma).any(|value| value.eq_ignore_ascii_case(b"no-cache"))
}
