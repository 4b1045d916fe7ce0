//! One random history: clients, the service, purges and time, in whatever order chance takes them.

use std::sync::Arc;

use config::{At, Place, Report};
use rules::cache::tag;
use rules::route::RouteConfig;
use rules::service::ServiceConfig;
use rules::store::Scope;
use rules::{Route, Rules};
use wire::{Known, RequestHead, ResponseHead};

use crate::chance::Chance;
use crate::door::Door;
use crate::flights::Effect;
use crate::oracle::{Exchange, History, Purge, Rule, Seen, What};
use crate::said::{ANY, Answer, Bytes, Date, Request, Tag};
use crate::service::{GROUPS, HOSTS, KINDS, LANGUAGES, Sent, Service, TAGS, TARGETS};

const NONE: Rule = Rule {
    text: "{}",
    fresh_ms: None,
    while_revalidate_ms: None,
    if_error_ms: None,
    only_x: false,
    by_authorization: false,
    by_kind: false,
    ignores_cookies: false,
    tag: None,
};

/// The routes whose histories are told.
pub(crate) const RULES: [Rule; 6] = [
    NONE,
    Rule {
        text: "{ fresh = '20s', stale-while-revalidate = '10s', stale-if-error = '60s' }",
        fresh_ms: Some(20_000),
        while_revalidate_ms: Some(10_000),
        if_error_ms: Some(60_000),
        ..NONE
    },
    Rule {
        text: "{ key = { query = ['x'] }, tags = ['route'] }",
        only_x: true,
        tag: Some("route"),
        ..NONE
    },
    Rule { text: "{ vary-by = ['X-Kind'] }", by_kind: true, ..NONE },
    Rule {
        text: "{ cookies = 'ignore', fresh = '5s' }",
        fresh_ms: Some(5_000),
        ignores_cookies: true,
        ..NONE
    },
    Rule { text: "{ key = { headers = ['Authorization'] } }", by_authorization: true, ..NONE },
];

/// The routes of [`RULES`], compiled once.
pub(crate) fn compile() -> Vec<Arc<Rules>> {
    let compile = |rule: &Rule| {
        let mut report = Report::new();
        let service = report.parse("doorward.toml", "endpoints = ['127.0.0.1:1']");
        let service = report.read::<ServiceConfig>(&service).expect("it is right");
        let name = At::from("service".to_owned());
        let service = rules::Service::build(&name, &service, &mut report);
        let text = format!("path = '/*'\nservice = 'service'\ncache = {}\n", rule.text);
        let value = report.parse("doorward.toml", &text);
        let config = report.read::<RouteConfig>(&value).expect("it is right");
        let route = Route::build(&config, &mut report).expect("it is right");
        let routes = [(Place::NONE, Arc::new(route))];
        let services = [(name, service.map(Arc::new))];
        let rules = Rules::build(&routes, &services, &[], &mut report);
        Arc::new(rules.unwrap_or_else(|| panic!("{report}")))
    };
    RULES.iter().map(compile).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sent,
    Answered,
    Received,
}

struct Pending {
    exchange: u32,
    sent: Sent,
    stage: Stage,
    response: ResponseHead,
}

struct Story<'s> {
    chance: Chance,
    service: Service,
    door: Door,
    history: History,
    pending: Vec<Pending>,
    now_ms: u64,
    /// What clients may have in mind.
    tags: Vec<Tag>,
    times_ms: Vec<u64>,
    /// Whether most clients want parts.
    in_parts: bool,
    seen: &'s mut Seen,
    wrong: Option<String>,
}

/// Tells the history of `seed`; what was wrong in it, if something was.
pub(crate) fn tell(seed: u64, rules: &[Arc<Rules>], seen: &mut Seen) -> Result<(), String> {
    let mut chance = Chance::new(seed);
    let number = chance.below(RULES.len());
    let in_parts = chance.is(30);
    let now_ms = 1_700_000_000_000 + chance.below(100_000) as u64;
    let mut story = Story {
        service: Service::random(&mut chance, in_parts, now_ms),
        chance,
        door: Door::new(Arc::clone(&rules[number])),
        history: History { rule: RULES[number], ..History::default() },
        pending: Vec::new(),
        now_ms,
        tags: vec![Tag { weak: false, text: "gone".to_owned() }],
        times_ms: vec![now_ms - 1_000],
        in_parts,
        seen,
        wrong: None,
    };
    story.seen.histories += 1;
    // Few pages, so that requests meet.
    let pages = 1 + story.chance.below(if in_parts { 2 } else { 4 });
    for _ in 0..STEPS {
        story.go_on(pages);
        if let Some(wrong) = story.wrong {
            let step = story.history.step;
            return Err(format!(
                "seed {seed}, step {step}, cache = {}: {wrong}\n{:#?}",
                RULES[number].text, story.history
            ));
        }
    }
    Ok(())
}

/// The state of a page of which a client has a part already.
fn known_state(tags: &[Tag], times_ms: &[u64], chance: &mut Chance) -> Result<Tag, u64> {
    let strong: Vec<&Tag> = tags.iter().filter(|tag| !tag.weak).collect();
    match chance.is(70) {
        // The newest is the likeliest.
        true if chance.is(50) => Ok(Tag::clone(strong[strong.len() - 1])),
        true => Ok(Tag::clone(chance.of(&strong))),
        false => Err(chance.of(times_ms)),
    }
}

/// Of one history.
const STEPS: usize = 60;

impl Story<'_> {
    fn go_on(&mut self, pages: usize) {
        self.now_ms += self.chance.of(&[0, 0, 1, 50, 400, 1_100]);
        self.door.now_ms = self.now_ms;
        match self.chance.below(100) {
            0..42 => self.ask(pages),
            42..85 if !self.pending.is_empty() => {
                let at = self.chance.below(self.pending.len());
                self.advance(at);
            }
            85..90 => self.purge(),
            90..94 => self.service.change(&mut self.chance, self.now_ms),
            94..97 => self.now_ms += self.chance.of(&[2_000, 10_000, 60_000, 600_000]),
            // Whatever is on its way comes to its end.
            _ => (0..self.pending.len() * 3).for_each(|_| self.advance(0)),
        }
    }

    fn step(&mut self) -> usize {
        self.history.step += 1;
        self.history.step
    }

    fn ask(&mut self, pages: usize) {
        let step = self.step();
        let chance = &mut self.chance;
        let at = chance.below(pages);
        let unsafe_method = chance.is(6);
        let method = match chance.below(100) {
            _ if unsafe_method => chance.of(&["POST", "PUT", "DELETE", "PATCH"]),
            0..8 => "HEAD",
            _ => "GET",
        };
        let mut request = Request {
            id: self.history.requests.len(),
            method,
            host: HOSTS[at / 3 % 2],
            target: TARGETS[at * 2 % TARGETS.len()].to_owned(),
            language: chance.maybe(50, &LANGUAGES),
            kind: chance.maybe(30, &KINDS),
            step,
            ..Request::default()
        };
        // Few languages on most days.
        if chance.is(60) {
            request.language = request.language.map(|_| LANGUAGES[0]);
            request.kind = request.kind.map(|_| KINDS[0]);
        }
        if method == "GET" && self.in_parts && chance.is(60) {
            request.range = Some(Bytes::random(chance));
            if chance.is(20) {
                request.if_range = Some(known_state(&self.tags, &self.times_ms, chance));
            }
        } else if !unsafe_method && chance.is(35) {
            self.add_wishes(&mut request);
        }
        let mut head = RequestHead::new(request.method, request.host, &request.target)
            .unwrap_or_else(|error| panic!("{}: {error:?}", request.target));
        for (name, value) in request.fields() {
            head.fields.push(name, value.as_bytes());
        }
        let id = request.id;
        self.history.requests.push(request);
        self.door.ask(id, head);
        self.drain(None);
    }

    fn add_wishes(&mut self, request: &mut Request) {
        let chance = &mut self.chance;
        let seconds = [0, 1, 5, 30];
        match chance.below(14) {
            0 => request.no_cache = true,
            1 => (request.no_cache, request.pragma) = (true, true),
            2 => request.no_store = true,
            3 => request.only_if_cached = true,
            4 => request.max_age = chance.maybe(100, &seconds),
            5 => request.min_fresh = chance.maybe(100, &seconds),
            6 => request.max_stale = Some(chance.of(&[0, 1, 5, 30, ANY, ANY])),
            7 => {
                request.max_age = chance.maybe(100, &seconds);
                request.max_stale = Some(chance.of(&[0, 1, 5, 30, ANY, ANY]));
            }
            8 => request.if_error = chance.maybe(100, &[5, 100]),
            9 => request.authorization = chance.maybe(100, &["Basic a", "Basic b"]),
            10 => request.cookie = chance.maybe(100, &["s=1", "s=2; t=3"]),
            11 => request.if_none_match = Some(chance.of(&self.tags)),
            12 => request.if_modified_since = Some(chance.of(&self.times_ms)),
            _ => {
                request.range = Some(Bytes::random(chance));
                if chance.is(40) {
                    request.if_range = Some(known_state(&self.tags, &self.times_ms, chance));
                }
            }
        }
    }

    /// One exchange goes on.
    fn advance(&mut self, at: usize) {
        let Some(pending) = self.pending.get(at) else { return };
        let (exchange, stage) = (pending.exchange, pending.stage);
        let index = exchange as usize - 1;
        match stage {
            Stage::Sent if self.chance.is(4) => {
                let step = self.step();
                self.history.exchanges[index].ended = Some(step);
                self.pending.remove(at);
                self.door.end(exchange, &[], false);
            }
            Stage::Sent => {
                let answer = self.answer(at);
                let mut response = ResponseHead::new(answer.status);
                for (name, value) in answer.fields(exchange, &mut self.chance) {
                    response.fields.push(&name, value.as_bytes());
                }
                self.tags.extend(answer.tag.clone());
                self.times_ms.extend(answer.modified.and_then(Date::ms));
                self.history.exchanges[index].answer = answer;
                let pending = &mut self.pending[at];
                (pending.response, pending.stage) = (response, Stage::Answered);
            }
            Stage::Answered => {
                let step = self.step();
                let noted = &mut self.history.exchanges[index];
                (noted.received, noted.received_ms) = (Some(step), self.now_ms);
                let pending = &mut self.pending[at];
                pending.stage = Stage::Received;
                let response = pending.response.clone();
                self.door.head(exchange, &response);
            }
            Stage::Received => {
                let (step, whole) = (self.step(), self.chance.is(95));
                let noted = &mut self.history.exchanges[index];
                (noted.ended, noted.is_whole) = (Some(step), whole);
                let body = noted.answer.body.clone();
                self.pending.remove(at);
                self.door.end(exchange, &body, whole);
            }
        }
        self.drain(Some(exchange));
    }

    fn answer(&mut self, at: usize) -> Answer {
        let pending = &self.pending[at];
        let exchange = self.history.exchange(pending.exchange);
        let request = &self.history.requests[exchange.request];
        let is_safe = matches!(request.method, "GET" | "HEAD");
        if !is_safe {
            return self.service.write(request, &mut self.chance, self.now_ms);
        }
        let asked = (pending.exchange, request, &pending.sent);
        // In the background a `HEAD` is a `GET`.
        if exchange.is_flight && request.method == "HEAD" {
            let get = Request { method: "GET", ..request.clone() };
            let asked = (pending.exchange, &get, &pending.sent);
            return self.service.read(asked, &mut self.chance, self.now_ms);
        }
        self.service.read(asked, &mut self.chance, self.now_ms)
    }

    /// Sees to all that the door did.
    fn drain(&mut self, current: Option<u32>) {
        for effect in std::mem::take(&mut self.door.effects) {
            let verdict = match effect {
                Effect::Send { exchange, request, background, is_flight, head } => {
                    self.send(exchange, (request, background, is_flight), &head)
                }
                Effect::Give(given) => {
                    let verdict = self.history.judge(&given, self.seen);
                    verdict.map_err(|wrong| format!("{wrong}\nby {given:#?}"))
                }
                Effect::Purged => {
                    let exchange = current.expect("an answer came");
                    self.note_invalid(exchange);
                    Ok(())
                }
            };
            if let Err(wrong) = verdict {
                self.wrong.get_or_insert(wrong);
            }
        }
    }

    fn send(
        &mut self,
        id: u32,
        (request, background, is_flight): (usize, bool, bool),
        head: &RequestHead,
    ) -> Result<(), String> {
        let text = |known: Known| {
            head.fields.get(known).map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let mut target = Vec::new();
        head.write_target(&mut target);
        let sent = Sent {
            target: String::from_utf8_lossy(&target).into_owned(),
            if_none_match: text(Known::IfNoneMatch),
            if_modified_since: text(Known::IfModifiedSince),
            range: text(Known::Range),
            if_range: text(Known::IfRange),
        };
        let asked = &self.history.requests[request];
        let url = self.history.rule.url(asked.host, &asked.target);
        let step = self.step();
        self.history.exchanges.push(Exchange {
            id,
            request,
            background,
            is_flight,
            url,
            sent_ms: self.now_ms,
            sent: step,
            answer: Answer::default(),
            received_ms: self.now_ms,
            received: None,
            ended: None,
            is_whole: false,
        });
        let (stage, response) = (Stage::Sent, ResponseHead::default());
        self.pending.push(Pending { exchange: id, sent, stage, response });
        let exchange = &self.history.exchanges[id as usize - 1];
        let verdict = self.history.must_ask(exchange, self.now_ms, self.seen);
        verdict.map_err(|wrong| format!("exchange {id} need not have been: {wrong}"))
    }

    /// RFC 9111, 4.4; RFC 9875, 3; and `Doorward-Purge`.
    fn note_invalid(&mut self, exchange: u32) {
        let exchange = self.history.exchange(exchange);
        let request = &self.history.requests[exchange.request];
        let answer = &exchange.answer;
        if !(200..400).contains(&answer.status) {
            return;
        }
        let origin = format!("http://{}", request.host);
        let resolve = |reference: &String| match reference {
            absolute if absolute.starts_with("http://") => {
                absolute.starts_with(&format!("{origin}/")).then(|| absolute.clone())
            }
            path if path.starts_with('/') => Some(format!("{origin}{path}")),
            relative => Some(format!("{origin}/{}", relative.trim_start_matches(['.', '/']))),
        };
        let mut all = Vec::new();
        let others = [&answer.location, &answer.content_location].into_iter().flatten();
        for url in others.filter_map(resolve).chain([request.url()]) {
            // What is stored for it, and the same as it was said.
            let target = &url[url.find('/').map_or(0, |at| at + 2)..];
            let (host, target) = target.split_at(target.find('/').expect("a path"));
            let stored = self.history.rule.url(host, target);
            all.extend([What::Url(stored), What::Url(url)]);
        }
        let origin = format!("{origin}/");
        let group = |name: &&'static str| What::Group { origin: origin.clone(), name };
        all.extend(answer.purged_groups.iter().map(group));
        all.extend(answer.purged_tags.iter().map(|tag| What::Tag(tag)));
        let step = self.step();
        self.history.purges.extend(all.into_iter().map(|what| Purge { step, what, soft: false }));
    }

    fn purge(&mut self) {
        let (step, soft) = (self.step(), self.chance.is(40));
        let chance = &mut self.chance;
        let url = format!("http://{}{}", chance.of(&HOSTS), chance.of(&TARGETS));
        let (what, scope) = match chance.below(10) {
            0 => (What::All, Scope::All),
            1..3 => {
                let text = url[..url.len() - chance.below(3)].to_owned();
                let scope = Scope::Prefix(text.as_bytes().into());
                (What::Prefix(text), scope)
            }
            3..5 => {
                let name = chance.of(&[TAGS[0], TAGS[1], TAGS[2], "route", GROUPS[0]]);
                (What::Tag(name), Scope::Tag(tag(name.as_bytes())))
            }
            _ => {
                let scope = Scope::Tag(tag(url.as_bytes()));
                (What::Url(url), scope)
            }
        };
        self.door.purge(&scope, soft);
        self.history.purges.push(Purge { step, what, soft });
    }
}
