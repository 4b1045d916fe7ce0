//! Whether a stored response may be used for a request (RFC 9111, 4), and what else must happen.

use wire::{Known, Method, RequestHead};

use super::config::Cache;
use super::directives::{Directives, MaxStale, Scope, Seconds};
use super::key::KeyParts;
use super::stored::Stored;
use super::why::Why;
use crate::Cx;
use crate::store::Purged;

/// What a request asks of caches.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    no_cache: bool,
    no_store: bool,
    only_if_cached: bool,
    max_age_ms: Option<u64>,
    min_fresh_ms: Option<u64>,
    max_stale: Option<MaxStale>,
    stale_if_error_ms: Option<u64>,
}

impl Wishes {
    /// What `head` asks.
    #[must_use]
    pub fn of(head: &RequestHead) -> Self {
        let fields = &head.fields;
        if !fields.has_any(Known::CacheControl.bit() | Known::Pragma.bit()) {
            return Self::default();
        }
        let directives = Directives::of(fields);
        // RFC 9111, 5.4: without `Cache-Control`, "caches MUST consider the no-cache request
        // pragma-directive as having the same effect as if "Cache-Control: no-cache" were present".
        let pragma = !fields.has(Known::CacheControl)
            && fields.all(Known::Pragma).any(|value| value.eq_ignore_ascii_case(b"no-cache"));
        let valid = |seconds: Option<Seconds>| match seconds {
            Some(seconds @ Seconds::Of(_)) => Some(seconds.as_ms()),
            // What the client meant is unknown: the careful reading of a broken age is none.
            Some(Seconds::Broken) => Some(0),
            None => None,
        };
        Self {
            no_cache: directives.no_cache != Scope::None || pragma,
            no_store: directives.no_store,
            only_if_cached: directives.only_if_cached,
            max_age_ms: valid(directives.max_age),
            min_fresh_ms: valid(directives.min_fresh),
            max_stale: directives.max_stale,
            stale_if_error_ms: valid(directives.stale_if_error),
        }
    }

    /// Whether nothing else than a stored response is wanted.
    #[must_use]
    pub fn only_stored(&self) -> bool {
        self.only_if_cached
    }
}

/// What to do with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Answer with it.
    Serve(Why),
    /// Answer with it, and fetch a new one in the background.
    ServeAndRefresh(Why),
    /// Ask the service whether it is still so, or for a new one.
    Validate(Why),
    /// As if it were not there.
    Ignore(Why),
}

impl Cache {
    /// Records what is known of a request to `service` without looking at what is stored.
    pub fn explain(&self, head: &RequestHead, cx: &mut Cx, service: &str) {
        // Whether there is a body is not known: a `GET` seldom has one.
        if let Some(why) = self.passes_by(head, cx, &Wishes::of(head), false) {
            return self.record_bypass(why, head, cx);
        }
        let mut key = Vec::new();
        let KeyParts { url_bytes, .. } = self.write_key(head, cx, service, &mut key);
        key.truncate(url_bytes);
        cx.note("key", String::from_utf8_lossy(&key));
        cx.record("cache", "look-up", "an answer that may be used is given again");
    }

    /// Records `why` a request passes by, with the rule if it is one of the route's.
    pub fn record_bypass(&self, why: Why, head: &RequestHead, cx: &mut Cx) {
        if cx.trail.is_some()
            && why == Why::BYPASS_RULE
            && let Some(rule) = self.bypass.find(head)
        {
            cx.note("rule", rule);
        }
        cx.record("cache", "bypass", why.clause);
    }

    /// Why a request has nothing to do with stored responses; `None` if it has.
    #[must_use]
    pub fn passes_by(
        &self,
        head: &RequestHead,
        cx: &Cx,
        wishes: &Wishes,
        has_body: bool,
    ) -> Option<Why> {
        let fields = &head.fields;
        if !matches!(head.method, Method::Get | Method::Head) {
            return Some(if head.method.is_safe() { Why::SAFE_METHOD } else { Why::UNSAFE_METHOD });
        }
        if cx.grpc.is_some() {
            return Some(Why::IS_CALL);
        }
        if has_body {
            return Some(Why::HAS_BODY);
        }
        if head.connection.upgrade {
            return Some(Why::UPGRADES);
        }
        // RFC 9111, 4.3.2: they "are not applicable to a cache"; the origin may answer 412.
        if fields.has_any(Known::IfMatch.bit() | Known::IfUnmodifiedSince.bit()) {
            return Some(Why::PRECONDITION);
        }
        if self.bypass.find(head).is_some() {
            return Some(Why::BYPASS_RULE);
        }
        // RFC 9111, 5.2.1.5: nothing of the request and its answer may be stored. Whoever wants to leave
        // no trace wants none of others' either.
        if wishes.no_store {
            return Some(Why::REQUEST_NO_STORE);
        }
        if self.fresh_ms.is_some() && self.has_foreign_cookies(head) {
            return Some(Why::COOKIE);
        }
        None
    }
}

impl Stored {
    /// What to do with it for a request that it is for. `random` is drawn for this request.
    #[must_use]
    pub fn judge(&self, purged: Purged, wishes: &Wishes, now_ms: u64, random: u64) -> Use {
        if purged == Purged::Hard {
            return Use::Ignore(Why::PURGED);
        }
        // RFC 9111, 5.2.2.4: "the response MUST NOT be used to satisfy any other request without
        // forwarding it for validation and receiving a successful response".
        if self.freshness.no_cache {
            return Use::Validate(Why::NO_CACHE);
        }
        if wishes.no_cache {
            return Use::Validate(Why::REQUEST_NO_CACHE);
        }
        let (age_ms, left_ms) = (self.age_ms(now_ms), self.left_ms(now_ms));
        let is_fresh = left_ms > 0;
        if let Some(max_age_ms) = wishes.max_age_ms {
            // RFC 8246, 2: a reload (`max-age=0`) does not ask for what will not change. RFC 9111,
            // 5.2.1.1: "Unless the max-stale request directive is also present, the client does not
            // wish to receive a stale response."
            let too_old = match max_age_ms {
                _ if !is_fresh => true,
                0 => !is_immutable(self),
                _ => age_ms > max_age_ms,
            };
            if too_old && wishes.max_stale.is_none() {
                return Use::Validate(Why::REQUEST_MAX_AGE);
            }
        }
        if let Some(min_fresh_ms) = wishes.min_fresh_ms
            && left_ms < i64::try_from(min_fresh_ms).unwrap_or(i64::MAX)
        {
            return Use::Validate(Why::REQUEST_MIN_FRESH);
        }
        if is_fresh && purged == Purged::No {
            return match is_due(self, left_ms, random) {
                true => Use::ServeAndRefresh(Why::REFRESH_EARLY),
                false => Use::Serve(Why::FRESH),
            };
        }
        self.judge_stale(purged, wishes, left_ms)
    }

    /// Whether a request that comes while its body is still on its way may have it. Before the head came,
    /// nobody could know better than to wait for it; now it is as if it were stored.
    #[must_use]
    pub fn may_be_joined(&self, purged: Purged, wishes: &Wishes, now_ms: u64) -> bool {
        matches!(self.judge(purged, wishes, now_ms, u64::MAX), Use::Serve(_))
    }

    fn judge_stale(&self, purged: Purged, wishes: &Wishes, left_ms: i64) -> Use {
        // RFC 9111, 4.2.4: "A cache MUST NOT generate a stale response if it is prohibited by an
        // explicit in-protocol directive".
        if self.freshness.must_revalidate {
            return Use::Validate(Why::STALE);
        }
        let stale_ms = left_ms.min(0).unsigned_abs();
        // Whoever purges softly lets be used for a while what was fresh, and nothing that was not.
        if purged == Purged::Soft && left_ms > 0 {
            return Use::ServeAndRefresh(Why::PURGED_SOFTLY);
        }
        // RFC 5861, 3: "caches MAY serve the response ... after it becomes stale, up to the indicated
        // number of seconds"; then it "SHOULD attempt to revalidate it while still serving".
        if stale_ms < self.freshness.stale_while_revalidate_ms {
            return Use::ServeAndRefresh(Why::STALE_WHILE_REVALIDATE);
        }
        match wishes.max_stale {
            Some(MaxStale::Any) => Use::Serve(Why::MAX_STALE),
            Some(MaxStale::Of(max_ms)) if stale_ms <= max_ms => Use::Serve(Why::MAX_STALE),
            _ => Use::Validate(Why::STALE),
        }
    }

    /// Whether it may stand in for the answer of a service that fails, or answers with
    /// `status`.
    ///
    /// RFC 5861, 4: "an error is any situation that would result in a 500, 502, 503, or 504 HTTP
    /// response status code being returned".
    #[must_use]
    pub fn stands_in(&self, wishes: &Wishes, status: u16, now_ms: u64) -> bool {
        let freshness = &self.freshness;
        if !matches!(status, 500 | 502 | 503 | 504)
            || freshness.must_revalidate
            || freshness.no_cache
            || wishes.no_cache
        {
            return false;
        }
        let allowed_ms =
            freshness.stale_if_error_ms.max(wishes.stale_if_error_ms.unwrap_or_default());
        let stale_ms = self.left_ms(now_ms).min(0).unsigned_abs();
        stale_ms < allowed_ms
    }

    /// Whether it may be given, however old, while the service is known to be down and whoever
    /// configured this wants it.
    ///
    /// RFC 9111, 4.2.4: not if it must be revalidated; else if the cache "is disconnected".
    #[must_use]
    pub fn may_stand_in(&self, wishes: &Wishes) -> bool {
        let freshness = &self.freshness;
        !(freshness.must_revalidate || freshness.no_cache || wishes.no_cache)
    }
}

/// RFC 8246.
fn is_immutable(stored: &Stored) -> bool {
    Directives::of(&stored.head.fields).immutable
}

/// Whether one request in many is to fetch it anew before it is stale, so that a hot answer never is.
///
/// After "Optimal Probabilistic Cache Stampede Prevention" (Vattani, Chierichetti, Lowenstein 2015):
/// due if `took * -ln(random) >= left`, which happens earlier the longer the fetch took. Only within
/// the last tenth of its life: a short life is to be lived.
fn is_due(stored: &Stored, left_ms: i64, random: u64) -> bool {
    let took_ms = stored.received_ms.saturating_sub(stored.requested_ms);
    let left_ms = left_ms.unsigned_abs();
    // No chance of 64 bits is smaller than e^-45.
    if took_ms == 0 || left_ms > took_ms.saturating_mul(45) {
        return false;
    }
    if left_ms > stored.freshness.lifetime_ms / 10 {
        return false;
    }
    let chance = (random >> 11) as f64 / (1_u64 << 53) as f64;
    took_ms as f64 * -chance.max(f64::MIN_POSITIVE).ln() >= left_ms as f64
}
