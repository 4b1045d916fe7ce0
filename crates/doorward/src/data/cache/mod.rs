//! Serving from the cache: looks up, follows fetches, and sends what is stored.
//!
//! What may be stored and used is decided in `rules` (`cache/mod.rs`); where it lies is the business of
//! `data/store`. A hit is a look-up, a head and one write: it asks no balancer and starts no task.

mod direct;
mod fetch;
mod flight;
mod flights;
mod follow;
mod form;
pub(crate) mod hit;
mod spill;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rules::cache::{
    Because, KeyParts, Stored, Told, Use, Way, Why, Wishes, forget_conditions, hash, wants_range,
};
use rules::overload::Priority;
use rules::store::Purged;
use rules::{Cx, Fault, RouteId, ServiceId};
use wire::h1::write_decimal;
use wire::{Known, Method};

pub(crate) use direct::see_response;
pub(crate) use fetch::Fetch;
pub(crate) use flights::Flights;

use super::connection::Connection;
use super::errand::Errand;
use super::forward;
use super::respond;
use super::scratch::Scratch;
use super::serve::{Body, Done};
use super::store::Object;
use super::worker::Pinned;
use crate::metrics::CacheResult;
use direct::Direct;
use fetch::Job;
use follow::{Followed, Following};
pub(crate) use hit::Source;

/// How often a request looks again because what it waited for was not for it. The first time it learns
/// what the answer varies by, the second time it waits for its own variant.
const ROUNDS_MAX: u32 = 3;

/// All bodies on their way into the store may take so much of its memory beside it.
const ON_THEIR_WAY_SHARE: usize = 4;

/// What is stored for a request that goes directly and may stand in for a service that is down.
pub(crate) fn stale_of(scratch: &Scratch) -> Option<(Arc<Object>, Told)> {
    let direct = scratch.noted.direct.as_ref()?;
    let stale = direct.stale.as_ref()?;
    let may = stale.stored.may_stand_in(&Wishes::of(&scratch.request));
    may.then(|| (Arc::clone(stale), direct.told_stale(&stale.stored)))
}

/// What is noted of a request on a route with a cache; kept by its scratch memory.
#[derive(Default)]
pub(crate) struct Noted {
    /// The primary key, and what is behind one another in it.
    key: Vec<u8>,
    parts: KeyParts,
    hash: u64,
    /// Field lines that the response gets, with its `Age` and its `Cache-Status`.
    pub(crate) lines: Vec<u8>,
    /// What is counted.
    pub(crate) result: Option<CacheResult>,
    pub(crate) saved_ms: u64,
    /// What goes to the service and back without being kept.
    direct: Option<Direct>,
}

impl Noted {
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.result = None;
        self.saved_ms = 0;
        self.direct = None;
    }

    /// Under which those find what is public who told who they are; `None` if the client did not.
    fn shared_key(&self) -> Option<&[u8]> {
        let shared_bytes = self.parts.shared_bytes;
        (shared_bytes < self.key.len()).then(|| &self.key[..shared_bytes])
    }

    /// What the response says of the cache. A later word replaces an earlier one.
    fn tell(&mut self, told: &Told) {
        self.lines.clear();
        told.write(&mut self.lines);
        self.result = Some(result(told));
    }

    /// What the service took for `stored`, if it was not asked for this request.
    fn spare(&mut self, stored: &Stored) {
        if self.result.is_some_and(CacheResult::is_spared) {
            self.saved_ms = stored.received_ms.saturating_sub(stored.requested_ms);
        }
    }

    /// How old the answer is.
    fn age(&mut self, age_ms: u64) {
        self.lines.extend_from_slice(b"Age: ");
        write_decimal(age_ms / 1000, &mut self.lines);
        self.lines.extend_from_slice(b"\r\n");
    }
}

fn result(told: &Told) -> CacheResult {
    match told.way {
        Way::Hit if told.left_ms.is_none_or(|left_ms| left_ms > 0) => CacheResult::Hit,
        Way::Hit => CacheResult::Stale,
        Way::Forward { because: Because::Bypass | Because::Method, .. } => CacheResult::Bypass,
        _ if told.why == Some(Why::STALE_IF_ERROR) => CacheResult::Stale,
        Way::Forward { collapsed: true, .. } => CacheResult::Collapsed,
        Way::Forward { status: Some(304), .. } => CacheResult::Validated,
        Way::Forward { .. } | Way::Neither => CacheResult::Miss,
    }
}

/// Milliseconds since 1970. By the calendar and not by a clock that only goes on: dates of others are
/// compared with it, and what is stored outlives the process.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a look-up comes to.
enum Found {
    /// The answer is here.
    Hit { object: Arc<Object>, why: Why, refresh: bool, now_ms: u64 },
    /// The service must be asked.
    Ask(Question),
}

/// What the service is to be asked.
struct Question {
    because: Because,
    why: Why,
    /// What is asked whether it is still so, or stands in if the service fails.
    stale: Option<Arc<Object>>,
    part: Option<Arc<Object>>,
    /// Who may wait for one answer together.
    destination: Vec<u8>,
}

/// Answers a request on a route with a cache.
pub(crate) async fn serve(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    service: ServiceId,
    body: Body,
) -> Done {
    let Some(cache) = snapshot.rules.route(route).cache.as_deref() else {
        return forward::forward(connection, snapshot, scratch, route, service, body).await;
    };
    let wishes = Wishes::of(&scratch.request);
    let has_body = body.framing.has_body();
    if let Some(why) = cache.passes_by(&scratch.request, &scratch.cx, &wishes, has_body) {
        let because = match why {
            Why::SAFE_METHOD | Why::UNSAFE_METHOD => Because::Method,
            Why::REQUEST_NO_STORE => Because::Request,
            _ => Because::Bypass,
        };
        cache.record_bypass(why, &scratch.request, &mut scratch.cx);
        let serving = direct::serve(connection, snapshot, scratch, (route, service), body, {
            Direct::new(because, why)
        });
        return Box::pin(serving).await;
    }
    let name = &snapshot.services[service.0 as usize].rules.name;
    let noted = &mut scratch.noted;
    noted.parts = cache.write_key(&scratch.request, &scratch.cx, name, &mut noted.key);
    noted.hash = hash(&noted.key);
    // From here on the request is what tells answers apart, and nothing else.
    cache.strip(&mut scratch.request);
    if scratch.cx.trail.is_some() {
        let url = String::from_utf8_lossy(&scratch.noted.key[..scratch.noted.parts.url_bytes]);
        scratch.cx.note("key", url.into_owned());
    }
    let mut found = look_up(connection, scratch, &wishes, None);
    if let Found::Ask(Question { stale: None, .. }) = found
        && connection.worker.store.has_disk()
        && Box::pin(is_on_disk(connection, scratch)).await
    {
        scratch.cx.record("cache", "read", "it lies on the disk");
        found = look_up(connection, scratch, &wishes, None);
    }
    match found {
        Found::Hit { object, why, refresh, now_ms } => {
            if refresh {
                let errand = errand(connection, snapshot, scratch, (route, service));
                refresh_soon(errand, scratch, &object);
            }
            let told = Told {
                way: Way::Hit,
                left_ms: Some(object.stored.left_ms(now_ms)),
                why: (why != Why::FRESH).then_some(why),
            };
            hit::send(connection, snapshot, scratch, route, (&object, now_ms), told).await
        }
        Found::Ask(question) => {
            let asking = ask(connection, snapshot, scratch, (route, service), &wishes, question);
            Box::pin(asking).await
        }
    }
}

/// What lies under a key, for one request.
#[derive(Default)]
struct Seen {
    /// For the request.
    found: Option<Arc<Object>>,
    /// For the request, but for its range.
    part: Option<Arc<Object>>,
    /// For other request headers.
    varied: Option<Arc<Object>>,
}

fn seek(connection: &Connection, scratch: &Scratch) -> Seen {
    let (request, noted) = (&scratch.request, &scratch.noted);
    let store = &connection.worker.store;
    let mut seen = Seen::default();
    let mut choose = |object: &Arc<Object>| {
        let other = match () {
            () if !object.body.is_there() => return false,
            () if !object.stored.is_for(request) => &mut seen.varied,
            () if object.stored.is_of_other_bytes(request) => &mut seen.part,
            () => return true,
        };
        *other = Some(Arc::clone(object));
        false
    };
    let mut found = store.find(noted.hash, &noted.key, &mut choose);
    if found.is_none()
        && let Some(key) = noted.shared_key()
    {
        let mut choose = |object: &Arc<Object>| object.stored.public && choose(object);
        found = store.find(hash(key), key, &mut choose);
    }
    seen.found = found;
    seen
}

/// Whether it lies on the disk; then it is in memory from now on.
async fn is_on_disk(connection: &Connection, scratch: &Scratch) -> bool {
    let (request, noted) = (&scratch.request, &scratch.noted);
    let choose = |stored: &Stored| stored.is_for(request) && !stored.is_of_other_bytes(request);
    let store = &connection.worker.store;
    if store.find_on_disk(noted.hash, &noted.key, choose).await.is_some() {
        return true;
    }
    let Some(key) = noted.shared_key() else { return false };
    let choose = |stored: &Stored| stored.public && choose(stored);
    store.find_on_disk(hash(key), key, choose).await.is_some()
}

/// Looks for a stored response. From `learned` it is known what the answer varies by.
fn look_up(
    connection: &Connection,
    scratch: &mut Scratch,
    wishes: &Wishes,
    learned: Option<&Stored>,
) -> Found {
    let store = &connection.worker.store;
    let seen = seek(connection, scratch);
    let Some(object) = seen.found else { return miss(connection, scratch, seen, learned) };
    let now_ms = now_ms();
    let cx = &mut scratch.cx;
    let random = cx.random as u64;
    if cx.trail.is_some() {
        cx.note("age", format_args!("{}ms", object.stored.age_ms(now_ms)));
        cx.note("left", format_args!("{}ms", object.stored.left_ms(now_ms)));
    }
    let used = object.stored.judge(store.purged(&object), wishes, now_ms, random);
    let (step, why) = match used {
        Use::Serve(why) | Use::ServeAndRefresh(why) => ("hit", why),
        Use::Validate(why) => ("stale", why),
        Use::Ignore(why) => ("miss", why),
    };
    cx.record("cache", step, why.clause);
    match used {
        Use::Serve(_) => Found::Hit { object, why, refresh: false, now_ms },
        Use::ServeAndRefresh(_) => Found::Hit { object, why, refresh: true, now_ms },
        Use::Validate(_) => {
            let because = match why {
                Why::STALE | Why::NO_CACHE => Because::Stale,
                _ => Because::Request,
            };
            let destination = destination(scratch, Some(&object.stored));
            Found::Ask(Question { because, why, stale: Some(object), part: None, destination })
        }
        Use::Ignore(_) => {
            let because = Because::UriMiss;
            let destination = destination(scratch, Some(&object.stored));
            Found::Ask(Question { because, why, stale: None, part: None, destination })
        }
    }
}

/// Nothing that is stored is for the request.
fn miss(
    connection: &Connection,
    scratch: &mut Scratch,
    seen: Seen,
    learned: Option<&Stored>,
) -> Found {
    let stands = |object: &Arc<Object>| connection.worker.store.purged(object) == Purged::No;
    let part = seen.part.filter(stands);
    let (because, why) = match (&part, &seen.varied) {
        (Some(_), _) => (Because::Partial, Why::OTHER_RANGE),
        (None, Some(_)) => (Because::VaryMiss, Why::OTHER_VARIANT),
        (None, None) => (Because::UriMiss, Why::ABSENT),
    };
    if let (None, Some(varied)) = (&part, &seen.varied) {
        note_vary(&mut scratch.cx, &varied.stored);
    }
    scratch.cx.record("cache", "miss", why.clause);
    let known = part.as_ref().or(seen.varied.as_ref()).map(|object| &object.stored);
    let destination = destination(scratch, learned.or(known));
    let now_ms = now_ms();
    let part = part.filter(|part| {
        let is_fresh = part.stored.left_ms(now_ms) > 0 && !part.stored.freshness.no_cache;
        is_fresh && !wants_range(&scratch.request) && part.stored.rest().is_some()
    });
    Found::Ask(Question { because, why, stale: None, part, destination })
}

/// Notes by which fields of requests `stored` was chosen, for the trail.
fn note_vary(cx: &mut Cx, stored: &Stored) {
    if cx.trail.is_some() && !stored.vary.is_empty() {
        let names: Vec<&str> = stored.vary.iter().map(|varied| &*varied.name).collect();
        cx.note("vary", names.join(","));
    }
}

/// Who may wait for one answer together: those with one key who have, as far as it is known what the
/// answer varies by, the same in these fields; and who want the same part of it.
fn destination(scratch: &Scratch, varies: Option<&Stored>) -> Vec<u8> {
    let request = &scratch.request;
    let mut destination = scratch.noted.key.clone();
    if let Some(stored) = varies {
        stored.write_variant(request, &mut destination);
    }
    if wants_range(request) {
        for known in [Known::Range, Known::IfRange] {
            destination.push(0);
            destination.extend_from_slice(request.fields.get(known).unwrap_or_default());
        }
    }
    destination
}

/// Asks the service, alone or with others.
async fn ask(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    (route, service): (RouteId, ServiceId),
    wishes: &Wishes,
    mut question: Question,
) -> Done {
    let worker = Rc::clone(&connection.worker);
    // Before this the client may have changed what an older flight still brings.
    let arrived = worker.store.generation();
    for round in 0..ROUNDS_MAX {
        if wishes.only_stored() {
            scratch.noted.tell(&Told {
                way: Way::Neither,
                left_ms: None,
                why: Some(Why::ONLY_IF_CACHED),
            });
            let fault = Fault::OnlyIfCached;
            return respond::fault(connection, scratch, Some(route), fault, None).await;
        }
        let hash = scratch.noted.hash;
        let alone = scratch.request.method == Method::Head
            || round + 1 == ROUNDS_MAX
            || worker.flights.is_uncacheable(hash, now_ms());
        if alone {
            return ask_alone(connection, snapshot, scratch, (route, service), question).await;
        }
        let (reader, leads) =
            worker.flights.board(hash, &question.destination, arrived, |flight| {
                match flight.landed() {
                    Some(flight::Landed::Shared(shared)) => {
                        let purged = worker.store.purged_since(&shared.stored);
                        shared.stored.is_for(&scratch.request)
                            && shared.stored.may_be_joined(purged, wishes, now_ms())
                    }
                    _ => true,
                }
            });
        if leads {
            let errand = errand(connection, snapshot, scratch, (route, service));
            let flight = Arc::clone(reader.flight());
            fetch::fly(errand, job(flight, scratch, &question));
        }
        let following = Following { service, reader, leads, arrived, wishes, question: &question };
        let followed = follow::follow(connection, snapshot, scratch, route, following).await;
        let learned = match followed {
            Followed::Answered(done) => return done,
            Followed::Alone(learned) => learned,
        };
        let learned = learned.as_ref().map(|shared| &shared.stored);
        match look_up(connection, scratch, wishes, learned) {
            Found::Hit { object, why, now_ms, .. } => {
                let told = Told {
                    way: Way::Forward {
                        because: question.because,
                        status: None,
                        stored: false,
                        collapsed: true,
                    },
                    left_ms: Some(object.stored.left_ms(now_ms)),
                    why: (why != Why::FRESH).then_some(why),
                };
                let hit = (&object, now_ms);
                return hit::send(connection, snapshot, scratch, route, hit, told).await;
            }
            Found::Ask(next) => question = next,
        }
    }
    unreachable!("the last round asks alone")
}

/// Asks the service for this client alone, and keeps nothing.
async fn ask_alone(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    (route, service): (RouteId, ServiceId),
    question: Question,
) -> Done {
    let why = match scratch.request.method {
        Method::Head => question.why,
        _ => Why::UNCACHEABLE,
    };
    if why == Why::UNCACHEABLE {
        scratch.cx.record("cache", "alone", why.clause);
    }
    let mut direct = Direct::new(question.because, why);
    direct.learns = true;
    direct.stale = question.stale;
    direct::serve(connection, snapshot, scratch, (route, service), Body::default(), direct).await
}

/// A fetch of what the request in `scratch` asks for.
fn errand(
    connection: &Connection,
    snapshot: &Pinned,
    scratch: &Scratch,
    at: (RouteId, ServiceId),
) -> Errand {
    let mut errand = Errand::new(connection, snapshot, scratch, at);
    if errand.cx.trail.is_some() {
        errand.cx.trail = Some(Box::default());
    }
    errand
}

fn job(flight: Arc<flight::Flight>, scratch: &Scratch, question: &Question) -> Job {
    let noted = &scratch.noted;
    Job {
        flight,
        destination: question.destination.as_slice().into(),
        hash: noted.hash,
        key: noted.key.as_slice().into(),
        parts: noted.parts,
        stale: question.stale.clone(),
        part: question.part.clone(),
    }
}

/// Fetches `object` anew without anybody waiting for it.
fn refresh_soon(mut errand: Errand, scratch: &Scratch, object: &Arc<Object>) {
    let noted = &scratch.noted;
    let worker = &errand.worker;
    forget_conditions(&mut errand.request);
    errand.request.set_get();
    // Nobody waits for it.
    errand.cx.priority = Priority::Sheddable;
    let mut destination = noted.key.clone();
    object.stored.write_variant(&errand.request, &mut destination);
    let generation = worker.store.generation();
    let Some(flight) = worker.flights.depart(noted.hash, &destination, generation) else { return };
    let job = Job {
        flight,
        destination: destination.into(),
        hash: noted.hash,
        key: noted.key.as_slice().into(),
        parts: noted.parts,
        stale: Some(Arc::clone(object)),
        part: None,
    };
    fetch::fly(errand, job);
}
