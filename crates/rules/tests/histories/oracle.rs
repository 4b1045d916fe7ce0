//! The oracle: everything that ever happened, and for each answer the question whether it was allowed.
//!
//! Written from the text of RFC 9111, 5861, 8246, 9213 and 9875, as slow and simple as it can be said, and
//! without a look at how the rules do it. What services and clients said it knows as values and not as
//! text; what went into an answer it reads from the answer.

use crate::flights::Given;
use crate::merged::{Merged, names_secret};
use crate::said::{Answer, Request, Scope};

/// What the route says, as far as it changes what is allowed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rule {
    pub(crate) text: &'static str,
    pub(crate) fresh_ms: Option<u64>,
    pub(crate) while_revalidate_ms: Option<u64>,
    pub(crate) if_error_ms: Option<u64>,
    /// Of the query, only `x` tells answers apart.
    pub(crate) only_x: bool,
    pub(crate) by_authorization: bool,
    pub(crate) by_kind: bool,
    pub(crate) ignores_cookies: bool,
    pub(crate) tag: Option<&'static str>,
}

impl Rule {
    /// The URL as far as it tells answers apart.
    pub(crate) fn url(&self, host: &str, target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match self.only_x {
            true if query.starts_with("x=") => format!("http://{host}{path}?{query}"),
            true => format!("http://{host}{path}"),
            false => format!("http://{host}{target}"),
        }
    }
}

/// One request to the service and what came of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) id: u32,
    pub(crate) request: usize,
    pub(crate) background: bool,
    /// Whether it is for all who wait.
    pub(crate) is_flight: bool,
    pub(crate) url: String,
    pub(crate) sent_ms: u64,
    pub(crate) sent: usize,
    pub(crate) answer: Answer,
    pub(crate) received_ms: u64,
    /// At which steps its head and its end came.
    pub(crate) received: Option<usize>,
    pub(crate) ended: Option<usize>,
    pub(crate) is_whole: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    All,
    Prefix(String),
    Url(String),
    Tag(&'static str),
    Group { origin: String, name: &'static str },
}

#[derive(Clone, Debug)]
pub(crate) struct Purge {
    pub(crate) step: usize,
    pub(crate) what: What,
    pub(crate) soft: bool,
}

/// Everything that ever happened.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) rule: Rule,
    pub(crate) requests: Vec<Request>,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) purges: Vec<Purge>,
    pub(crate) step: usize,
}

/// How often each kind of answer was looked at: what a test never saw it does not test.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) histories: u64,
    pub(crate) answers: u64,
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    pub(crate) softly_purged: u64,
    pub(crate) for_errors: u64,
    pub(crate) collapsed: u64,
    pub(crate) validated: u64,
    pub(crate) not_modified: u64,
    pub(crate) parts: u64,
    pub(crate) joined: u64,
    pub(crate) must_reuse: u64,
}

impl Seen {
    fn all(&mut self) -> [(&'static str, &mut u64); 12] {
        [
            ("histories", &mut self.histories),
            ("answers", &mut self.answers),
            ("fresh", &mut self.fresh),
            ("stale", &mut self.stale),
            ("softly purged", &mut self.softly_purged),
            ("for errors", &mut self.for_errors),
            ("collapsed", &mut self.collapsed),
            ("validated", &mut self.validated),
            ("not modified", &mut self.not_modified),
            ("parts", &mut self.parts),
            ("joined", &mut self.joined),
            ("must be reused", &mut self.must_reuse),
        ]
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        for ((_, sum), (_, more)) in self.all().into_iter().zip(other.all()) {
            *sum += *more;
        }
    }

    /// A kind of answer that no history had is one that this test says nothing of.
    pub(crate) fn has_all(mut self) {
        for (name, count) in self.all() {
            assert!(*count > 0, "no history had any: {name}");
        }
    }
}

type Verdict = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl History {
    pub(crate) fn exchange(&self, id: u32) -> &Exchange {
        &self.exchanges[id as usize - 1]
    }

    fn request_of(&self, exchange: &Exchange) -> &Request {
        &self.requests[exchange.request]
    }

    /// Whether a client may get `given` now.
    pub(crate) fn judge(&self, given: &Given, seen: &mut Seen) -> Verdict {
        let now_ms = given.at_ms;
        let request = &self.requests[given.request];
        seen.answers += 1;
        let ids = given.fields.iter().filter_map(|(name, _)| name.strip_prefix("X-Seen-"));
        let mut ids: Vec<u32> = ids.map(|id| id.parse().expect("a number")).collect();
        ids.sort_unstable();
        if ids.is_empty() {
            let nothing_stored = given.status == 504 && request.only_if_cached;
            let failed = given.status >= 500 && self.failed_for(request);
            return ensure(nothing_stored || failed, || "an answer out of nothing".to_owned());
        }
        let chain: Vec<&Exchange> = ids.iter().map(|id| self.exchange(*id)).collect();
        let own = given.by.is_some_and(|by| ids.contains(&by));
        if own && !chain[0].is_flight {
            // It passed by.
            return Ok(());
        }
        let as_it_came = own && ids.len() == 1;
        if as_it_came && chain[0].answer.status == 206 && request.range.is_some() {
            // What the service makes of a range is its own business.
            return Ok(());
        }
        self.body_is_right(given, request, &chain, seen)?;
        if as_it_came {
            return Ok(());
        }
        self.is_for(request, &chain)?;
        let merged = Merged::of(&chain, &self.rule);
        self.nothing_leaks(given, &chain)?;
        if own {
            seen.validated += 1;
            return Ok(());
        }
        let last = chain[chain.len() - 1];
        ensure(last.is_flight || self.request_of(last).method == "HEAD", || {
            "it was asked for one client alone".to_owned()
        })?;
        // Before its head came nobody could know better than to wait for it.
        if request.step <= last.received.unwrap_or(usize::MAX) {
            seen.collapsed += 1;
            return self.stands(&chain, request.step).map(|_| ());
        }
        let soft = self.stands(&chain, request.step)?;
        self.is_fresh_enough(request, &merged, (soft, now_ms), seen)?;
        if let Some(age_ms) = given.age_ms {
            let (least, most) = merged.age_ms(now_ms);
            ensure(least <= age_ms + 999 && age_ms <= most + 999, || {
                format!("its age is {age_ms} ms, and not {least} to {most}")
            })?;
        }
        Ok(())
    }

    /// Whether what went into an answer was brought for such requests (RFC 9111, 3 and 4).
    fn is_for(&self, request: &Request, chain: &[&Exchange]) -> Verdict {
        let rule = &self.rule;
        for exchange in chain {
            ensure(exchange.url == rule.url(request.host, &request.target), || {
                format!("exchange {} is about {}", exchange.id, exchange.url)
            })?;
        }
        let first = chain[0];
        let asked = self.request_of(first);
        ensure(first.answer.status != 304, || "a 304 was stored".to_owned())?;
        ensure(!rule.by_authorization || asked.authorization == request.authorization, || {
            "the key has the authorization in it".to_owned()
        })?;
        ensure(first.is_flight, || "it was asked for one client alone".to_owned())?;
        Merged::of(&chain[..1], rule).may_be_stored(&first.answer, asked, rule)?;
        for end in 2..=chain.len() {
            let merged = Merged::of(&chain[..end], rule);
            ensure(!merged.policy().no_store && merged.policy().private != Scope::All, || {
                "an update says that it is not for all".to_owned()
            })?;
            is_about(chain[end - 1], &Merged::of(&chain[..end - 1], rule))?;
        }
        let by_rule: &[&str] = if rule.by_kind { &["x-kind"] } else { &[] };
        for name in first.answer.vary.iter().chain(by_rule) {
            let same = match &*name.to_ascii_lowercase() {
                "accept-language" => {
                    let (stored, given) = (liked(asked.language), liked(request.language));
                    // What is liked best, if it is there, is what would be chosen.
                    let best = given.first().filter(|best| best.0 == 1000);
                    let alone = given.get(1).is_none_or(|second| second.0 < 1000);
                    let favourite = best.is_some_and(|best| {
                        alone && first.answer.language == Some(best.1.as_str())
                    });
                    (stored == given && asked.language.is_some() == request.language.is_some())
                        || favourite
                }
                "x-kind" => members(asked.kind) == members(request.kind),
                _ => false,
            };
            ensure(same, || format!("it varies by {name}"))?;
        }
        Ok(())
    }

    /// Whether no purge touched it between the question to the service and the request; true if a soft
    /// one did.
    fn stands(&self, chain: &[&Exchange], asked: usize) -> Result<bool, String> {
        let asked_service = chain[chain.len() - 1].sent;
        let mut soft = false;
        for purge in self.purges.iter().filter(|p| asked_service < p.step && p.step < asked) {
            if self.touches(&purge.what, chain) {
                ensure(purge.soft, || format!("it was purged: {purge:?}"))?;
                soft = true;
            }
        }
        Ok(soft)
    }

    fn touches(&self, what: &What, chain: &[&Exchange]) -> bool {
        let url = &chain[0].url;
        match what {
            What::All => true,
            What::Prefix(text) => url.starts_with(text.as_str()),
            What::Url(purged) => url == purged,
            What::Tag(tag) => {
                let has = |exchange: &&Exchange| exchange.answer.tags.contains(tag);
                self.rule.tag == Some(tag) || chain.iter().any(has)
            }
            What::Group { origin, name } => {
                let has = |exchange: &&Exchange| exchange.answer.groups.contains(name);
                url.starts_with(origin.as_str()) && chain.iter().any(has)
            }
        }
    }

    /// RFC 9111, 4: fresh, or allowed to be served stale; and what the client wants.
    fn is_fresh_enough(
        &self,
        request: &Request,
        merged: &Merged,
        (soft, now_ms): (bool, u64),
        seen: &mut Seen,
    ) -> Verdict {
        let (age_ms, _) = merged.age_ms(now_ms);
        let lifetime_ms = merged.lifetime_ms();
        let no = |why: &str| Err(format!("{why}: {age_ms} ms old, of {lifetime_ms}"));
        if merged.policy().no_cache == Scope::All {
            return no("each use must be validated");
        }
        if request.no_cache {
            return no("the client wants it validated");
        }
        let is_young = age_ms < lifetime_ms;
        let failed = self.failed_for(request);
        let error_ms = merged.if_error_ms().max(request.if_error.unwrap_or(0) * 1000);
        let late_ms = age_ms.saturating_sub(lifetime_ms);
        if failed && !merged.must_revalidate() && late_ms < error_ms {
            seen.for_errors += 1;
            return Ok(());
        }
        if let Some(max_age) = request.max_age.filter(|_| request.max_stale.is_none()) {
            let immutable = merged.immutable() && is_young && max_age == 0;
            if !immutable && (!is_young || age_ms > max_age * 1000) {
                return no("the client wants a younger one");
            }
        }
        if let Some(min_fresh) = request.min_fresh
            && age_ms + min_fresh * 1000 > lifetime_ms
        {
            return no("the client wants it fresh for longer");
        }
        if is_young && !soft {
            seen.fresh += 1;
            return Ok(());
        }
        if merged.must_revalidate() {
            return no("it must be revalidated");
        }
        seen.stale += 1;
        seen.softly_purged += u64::from(soft);
        let while_ms = merged.while_revalidate_ms();
        let tolerated = request.max_stale.is_some_and(|seconds| late_ms <= seconds * 1000);
        if (is_young && soft) || late_ms < while_ms || tolerated {
            Ok(())
        } else {
            no("it is stale")
        }
    }

    /// Whether the service failed while a request waited.
    fn failed_for(&self, request: &Request) -> bool {
        let url = self.rule.url(request.host, &request.target);
        self.exchanges.iter().any(|exchange| {
            let failing = matches!(exchange.answer.status, 500 | 502 | 503 | 504);
            let without_head = exchange.received.is_none() && exchange.ended.is_some();
            let when = exchange.received.or(exchange.ended).unwrap_or(0);
            exchange.url == url && when >= request.step && (failing || without_head)
        })
    }

    /// RFC 9111, 5.2.2.4 and 5.2.2.7: what is named is for nobody else; and what is for this cache alone.
    fn nothing_leaks(&self, given: &Given, chain: &[&Exchange]) -> Verdict {
        for (name, value) in &given.fields {
            let by = || value.trim_start_matches("s=").parse::<u32>().ok();
            match &*name.to_ascii_lowercase() {
                "x-secret" => {
                    let by = by().expect("a number");
                    let until = chain.iter().position(|exchange| exchange.id == by);
                    let until = until.ok_or_else(|| "a secret of another answer".to_owned())?;
                    let named = (until + 1..=chain.len())
                        .any(|end| names_secret(Merged::of(&chain[..end], &self.rule).policy()));
                    ensure(!named || given.by == Some(by), || "it has a secret".to_owned())?;
                }
                "set-cookie" => {
                    let first = chain[0];
                    let public = Merged::of(&chain[..1], &self.rule).policy().public;
                    ensure(by() == Some(first.id) && public && !self.rule.ignores_cookies, || {
                        "it sets the cookie of another client".to_owned()
                    })?;
                }
                "doorward-cache-control" | "surrogate-key" | "doorward-purge" => {
                    return Err(format!("{name} is nobody else's business"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the bytes are those of what the head stands for, and those that were asked for.
    fn body_is_right(
        &self,
        given: &Given,
        request: &Request,
        chain: &[&Exchange],
        seen: &mut Seen,
    ) -> Verdict {
        let first = &chain[0].answer;
        let merged = Merged::of(chain, &self.rule);
        let whole = first.range.map_or(first.body.len() as u32, |(_, _, whole)| whole);
        let head_only = request.method == "HEAD";
        let came = chain[0];
        if came.answer.range.is_some()
            && chain.len() == 1
            && request.step <= came.ended.unwrap_or(usize::MAX)
            && request.range == self.request_of(came).range
            && given.status == 206
        {
            // Passed on as it comes to all who want the same.
            seen.parts += 1;
            return ensure(given.body == came.answer.body, || "other bytes than came".to_owned());
        }
        let field = |name: &str| given.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        let content_range = field("content-range").map(|(_, value)| value.as_str());
        let expected = match given.status {
            304 => {
                seen.not_modified += 1;
                ensure(given.body.is_empty(), || "a 304 with a body".to_owned())?;
                return merged.is_not_modified(request);
            }
            416 => {
                let beyond = request.range.is_some_and(|range| range.of(whole).is_none());
                let told = content_range == Some(&*format!("bytes */{whole}"));
                return ensure(beyond && told, || "the range is there".to_owned());
            }
            206 => {
                seen.parts += 1;
                let range = request.range.ok_or("a part that nobody asked for")?;
                let (from, to) = range.of(whole).ok_or("a part of nothing")?;
                let told = content_range == Some(&*format!("bytes {from}-{to}/{whole}"));
                ensure(told, || format!("bytes {from}-{to}/{whole} is {content_range:?}"))?;
                merged.if_range_holds(request)?;
                from..to + 1
            }
            _ if head_only => 0..0,
            _ => 0..whole,
        };
        let at: Vec<u32> = given.body.iter().map(|byte| byte.at).collect();
        ensure(at.iter().copied().eq(expected.clone()), || {
            format!("bytes {at:?} instead of {expected:?}")
        })?;
        for byte in &given.body {
            if byte.made != chain[0].id {
                let other = &self.exchange(byte.made).answer;
                let strong = other.tag.as_ref().is_some_and(|tag| !tag.weak);
                let same = strong && other.tag == first.tag;
                let length = |answer: &Answer| answer.range.map(|(_, _, whole)| whole);
                let same = same && length(other).is_none_or(|bytes| bytes == whole);
                ensure(same && !other.lies, || "bytes of another state".to_owned())?;
                seen.joined += 1;
            }
        }
        Ok(())
    }

    /// The other direction: whether the service need not have been asked, by `sent`, for a request that says
    /// nothing unusual.
    pub(crate) fn must_ask(&self, sent: &Exchange, now_ms: u64, seen: &mut Seen) -> Verdict {
        let request = self.request_of(sent);
        if !request.is_plain() || !matches!(request.method, "GET" | "HEAD") {
            return Ok(());
        }
        let same = |other: &&Exchange| other.url == sent.url && other.id != sent.id;
        let Some(newest) = self.exchanges.iter().rfind(same) else { return Ok(()) };
        let asked = self.request_of(newest);
        let alike = asked.is_plain()
            && asked.method == "GET"
            && asked.language == request.language
            && asked.kind == request.kind
            && newest.is_flight;
        // Others may have brought another variant, or taken this one away.
        let others = self.exchanges.iter().filter(same).rev().skip(1);
        let quiet = others.into_iter().all(|e| e.ended.is_some_and(|ended| ended < newest.sent));
        if !alike || !quiet || newest.sent > request.step {
            return Ok(());
        }
        let purged = self
            .purges
            .iter()
            .any(|purge| purge.step > newest.sent && self.touches(&purge.what, &[newest]));
        if purged {
            return Ok(());
        }
        let merged = Merged::of(&[newest], &self.rule);
        if newest.received.is_none() && newest.ended.is_none() && !newest.background {
            // Nobody knows yet which purges concern it.
            if self.purges.iter().any(|purge| purge.step > newest.sent) {
                return Ok(());
            }
            seen.must_reuse += 1;
            let recent = |e: &Exchange| e.received.is_some() && now_ms < e.received_ms + 10_000;
            let unknown = !self.exchanges.iter().filter(same).any(recent);
            return ensure(request.method == "HEAD" || !unknown || sent.background, || {
                format!("exchange {} was on its way", newest.id)
            });
        }
        let is_there = newest.ended.is_some_and(|ended| ended < request.step) && newest.is_whole;
        let (_, age_ms) = merged.age_ms(now_ms);
        let usable = is_there
            && newest.answer.status == 200
            && merged.may_be_stored(&newest.answer, asked, &self.rule).is_ok()
            && merged.policy().no_cache != Scope::All
            && age_ms < merged.lifetime_ms();
        seen.must_reuse += u64::from(is_there);
        ensure(!usable, || format!("exchange {} had brought it", newest.id))
    }
}

/// RFC 9111, 4.3.4: a 304 is about what has its validator.
fn is_about(update: &Exchange, stored: &Merged) -> Verdict {
    // The answer to a `HEAD` updates too.
    let (new, old) = (&update.answer, stored);
    let other_tag = match (&new.tag, old.tag()) {
        (Some(new), Some(old)) => new.text != old.text,
        _ => false,
    };
    ensure(!other_tag, || format!("exchange {} is about another state", update.id))
}

/// What `Accept-Language` says, as sets of equals: thousandths and languages, the most liked first.
fn liked(text: Option<&str>) -> Vec<(u32, String)> {
    let mut all: Vec<(u32, String)> = text
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .map(|member| {
            let (name, weight) = member.split_once(';').unwrap_or((member, "q=1"));
            let weight: f64 = weight.trim().trim_start_matches("q=").parse().expect("a weight");
            ((weight * 1000.0) as u32, name.trim().to_ascii_lowercase())
        })
        .collect();
    all.sort_by(|a, b| b.cmp(a));
    all
}

fn members(text: Option<&str>) -> Option<Vec<String>> {
    text.map(|text| text.split(',').map(|member| member.trim().to_owned()).collect())
}
