//! A stored response as all that updated it left it, and what RFC 9111 says of it.

use crate::oracle::{Exchange, Rule};
use crate::said::{Answer, Date, Directives, Request, Scope, Seconds, Tag};

/// What a chain of answers says: the first one, and each update over it, field by field.
#[derive(Debug)]
pub(crate) struct Merged {
    rule: Rule,
    status: u16,
    said: Option<Directives>,
    cdn: Option<Directives>,
    own: Option<Directives>,
    expires: Option<Date>,
    date_ms: Option<u64>,
    age_s: u64,
    modified_ms: Option<u64>,
    tag: Option<Tag>,
    sent_ms: u64,
    received_ms: u64,
    nothing: Directives,
}

impl Merged {
    pub(crate) fn of(chain: &[&Exchange], rule: &Rule) -> Self {
        let last = chain[chain.len() - 1];
        let newest = |of: fn(&Answer) -> &Option<Directives>| {
            chain.iter().rev().find_map(|exchange| of(&exchange.answer).clone())
        };
        // A field without a member says nothing.
        let aimed = |said: Option<Directives>| said.filter(|said| *said != Directives::default());
        let answers = chain.iter().rev().map(|exchange| &exchange.answer);
        Self {
            rule: *rule,
            status: chain[0].answer.status,
            said: newest(|answer| &answer.said),
            cdn: aimed(newest(|answer| &answer.cdn)),
            own: aimed(newest(|answer| &answer.own)),
            expires: answers.clone().find_map(|answer| answer.expires),
            date_ms: last.answer.date.and_then(Date::ms),
            age_s: last.answer.age.unwrap_or(0),
            modified_ms: answers.clone().find_map(|answer| answer.modified).and_then(Date::ms),
            tag: answers.clone().find_map(|answer| answer.tag.clone()),
            sent_ms: last.sent_ms,
            received_ms: last.received_ms,
            nothing: Directives::default(),
        }
    }

    /// RFC 9213, 2.2: the nearest field that is aimed at this cache, and `Cache-Control` without one.
    pub(crate) fn policy(&self) -> &Directives {
        let aimed = self.own.as_ref().or(self.cdn.as_ref());
        aimed.or(self.said.as_ref()).unwrap_or(&self.nothing)
    }

    fn is_aimed(&self) -> bool {
        self.own.is_some() || self.cdn.is_some()
    }

    pub(crate) fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// RFC 8246 says it in `Cache-Control`.
    pub(crate) fn immutable(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said.immutable)
    }

    fn explicit_ms(&self) -> Option<u64> {
        let policy = self.policy();
        match policy.s_maxage.or(policy.max_age) {
            Some(Seconds::Of(seconds)) => return Some(seconds * 1000),
            Some(Seconds::Broken) => return Some(0),
            None if self.is_aimed() => return None,
            None => {}
        }
        let expires_ms = self.expires?.ms();
        let date_ms = self.date_ms.unwrap_or(self.received_ms);
        Some(expires_ms.unwrap_or(0).saturating_sub(date_ms))
    }

    fn by_rule_ms(&self) -> Option<u64> {
        let for_rule = matches!(self.status, 200 | 203 | 204 | 206 | 300 | 301 | 308);
        self.rule.fresh_ms.filter(|_| for_rule)
    }

    /// RFC 9111, 4.2.1 and 4.2.2.
    pub(crate) fn lifetime_ms(&self) -> u64 {
        if let Some(ms) = self.by_rule_ms().or(self.explicit_ms()) {
            return ms;
        }
        let guessed = is_heuristically_cacheable(self.status) || self.policy().public;
        let Some(modified_ms) = self.modified_ms.filter(|_| guessed) else { return 0 };
        let date_ms = self.date_ms.unwrap_or(self.received_ms);
        (date_ms.saturating_sub(modified_ms) / 10).min(3_600_000)
    }

    /// RFC 9111, 4.2.3: at least and at most, because dates have whole seconds.
    pub(crate) fn age_ms(&self, now_ms: u64) -> (u64, u64) {
        let resident_ms = now_ms - self.received_ms;
        if self.by_rule_ms().is_some() {
            return (resident_ms, resident_ms);
        }
        let corrected_ms = self.age_s * 1000 + self.received_ms - self.sent_ms;
        let date_ms = self.date_ms.unwrap_or(self.received_ms);
        let apparent_ms = self.received_ms.saturating_sub(date_ms);
        let least_ms = corrected_ms.max(apparent_ms.saturating_sub(999));
        (least_ms + resident_ms, corrected_ms.max(apparent_ms) + resident_ms)
    }

    fn stale_ms(by_rule: Option<u64>, said: Option<Seconds>) -> u64 {
        let said = said.map_or(0, |said| match said {
            Seconds::Of(seconds) => seconds * 1000,
            Seconds::Broken => 0,
        });
        by_rule.unwrap_or(said)
    }

    pub(crate) fn while_revalidate_ms(&self) -> u64 {
        Self::stale_ms(self.rule.while_revalidate_ms, self.policy().while_revalidate)
    }

    pub(crate) fn if_error_ms(&self) -> u64 {
        Self::stale_ms(self.rule.if_error_ms, self.policy().if_error)
    }

    /// RFC 9111, 5.2.2.2, 5.2.2.8, 5.2.2.10; unless the service says itself how stale it may be.
    pub(crate) fn must_revalidate(&self) -> bool {
        let policy = self.policy();
        let for_shared = policy.s_maxage.is_some()
            && self.by_rule_ms().is_none()
            && policy.while_revalidate.is_none()
            && policy.if_error.is_none();
        policy.must_revalidate || policy.proxy_revalidate || for_shared
    }

    /// RFC 9111, 3; and the promises of docs/caching.md about cookies.
    pub(crate) fn may_be_stored(
        &self,
        answer: &Answer,
        asked: &Request,
        rule: &Rule,
    ) -> Result<(), String> {
        let policy = self.policy();
        let no = |why: &str| Err(why.to_owned());
        let understood = answer.status != 418;
        if policy.must_understand && !understood {
            return no("must-understand");
        }
        if policy.no_store && !policy.must_understand {
            return no("no-store");
        }
        if policy.private == Scope::All {
            return no("private");
        }
        let for_all = policy.must_revalidate || policy.public || policy.s_maxage.is_some();
        if asked.authorization.is_some() && !for_all && !rule.by_authorization {
            return no("authorization");
        }
        if asked.no_store {
            return no("the client said no-store");
        }
        if answer.sets_cookie && !policy.public && !rule.ignores_cookies {
            return no("it sets a cookie");
        }
        let cookie_counts = asked.cookie.is_some() && !rule.ignores_cookies;
        if cookie_counts && self.by_rule_ms().is_some() {
            return no("only the route says that it is for all, and there was a cookie");
        }
        if answer.vary.contains(&"*") {
            return no("vary: *");
        }
        let said = policy.public || policy.max_age.is_some() || policy.s_maxage.is_some();
        let expires = answer.expires.is_some() && !self.is_aimed();
        if !said && !expires && !is_heuristically_cacheable(answer.status) {
            return no("its status");
        }
        Ok(())
    }

    /// RFC 9110, 13.1.2 and 13.1.3; RFC 9111, 4.3.2.
    pub(crate) fn is_not_modified(&self, request: &Request) -> Result<(), String> {
        let holds = match (&request.if_none_match, request.if_modified_since) {
            (Some(theirs), _) => self.tag.as_ref().is_some_and(|ours| ours.text == theirs.text),
            (None, Some(theirs)) => {
                let ours = self.modified_ms.or(self.date_ms).unwrap_or(self.received_ms);
                ours / 1000 <= theirs / 1000
            }
            (None, None) => false,
        };
        if holds { Ok(()) } else { Err("the client has another state".to_owned()) }
    }

    /// RFC 9110, 13.1.5.
    pub(crate) fn if_range_holds(&self, request: &Request) -> Result<(), String> {
        let holds = match &request.if_range {
            None => true,
            Some(Ok(theirs)) => !theirs.weak && self.tag.as_ref() == Some(theirs),
            Some(Err(theirs)) => self.modified_ms.is_some_and(|ours| ours / 1000 == theirs / 1000),
        };
        if holds { Ok(()) } else { Err("the client has parts of another state".to_owned()) }
    }
}

pub(crate) fn names_secret(policy: &Directives) -> bool {
    policy.no_cache == Scope::Secret || policy.private == Scope::Secret
}

/// RFC 9110, 15.1.
fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}
