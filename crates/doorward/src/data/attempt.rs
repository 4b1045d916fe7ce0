//! Sends a request to one endpoint after the other until one answers, as far as rules allow.

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use rules::Fault;
use rules::balance::{Ask, Bond, Outcome, is_failure};
use rules::fault::Side as Doing;
use rules::grpc::{self, Pushback};
use rules::retry::{Facts, Failure, Policy, Verdict, rest_ms};
use rules::service::{HostField, Protocol};
use wire::h1::{self, Framing, ToUpstream};
use wire::{Known, ResponseHead, Version};

use super::balance::Attempt;
use super::call::{self, Recoding};
use super::connection::Connection;
use super::deadline::Watch;
use super::drain;
use super::end::{End, Speech};
use super::h2::client::{self, Link};
use super::hedge::{self, Won};
use super::limit;
use super::mirror;
use super::respond;
use super::scratch::Scratch;
use super::serve::Body;
use super::stream::Stream;
use super::transfer::{Side, Transfer};
use super::upstream::{self, Exchange};
use super::whole;
use super::worker::{Pinned, Worker};
use crate::control::snapshot::{Endpoint, Service};

/// The most endpoints that one request remembers to have been at. More attempts than that help
/// nobody, and the configuration allows no more.
const TRIED_MAX: usize = 8;

/// The most interim responses for one request. Early hints come once or twice.
const INTERIM_MAX: u32 = 16;

/// What is to be sent, beside what is in scratch.
#[derive(Clone, Copy)]
pub(super) struct Sending<'s> {
    pub(super) snapshot: &'s Pinned,
    pub(super) service: &'s Service,
    pub(super) body: Body,
    pub(super) body_bytes_max: u64,
    /// Where the service lies as it has become since, if it is tried again.
    pub(super) newest: &'s OnceCell<Arc<Service>>,
    pub(super) trials: &'s Trials,
}

/// What has been done for a request already, if nobody was there to take it and it was held.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// Whether it was held.
    pub(super) held: Cell<bool>,
    /// Whether some of its body may be gone.
    pub(super) has_begun: Cell<bool>,
}

/// What one request has been through.
pub(super) struct Course<'s> {
    tried: [u32; TRIED_MAX],
    pub(super) attempts: usize,
    /// Whether it may be done twice.
    pub(super) may_repeat: bool,
    /// What is to meet the same endpoint again.
    key: Option<u64>,
    /// Where the client's session is, if sessions have a place.
    bond: Option<Bond>,
    /// Whether all attempts so far broke off or came to no connection.
    broke_off: bool,
    /// Whether an idle connection may be used.
    pooled: bool,
    /// What was sent of it before.
    carried: Option<Transfer>,
    /// The attempt beside the last one, if that answered first.
    pub(super) won: Option<Won<'s>>,
}

impl Course<'_> {
    fn new(connection: &Connection, service: &Service, scratch: &Scratch) -> Self {
        // What is fetched for all is nobody's session.
        let ties = service.ties.as_ref().filter(|_| !matches!(connection.client, End::Fetch(_)));
        let hash = service.rules.policy.hash.as_ref();
        Self {
            tried: [0; TRIED_MAX],
            attempts: 0,
            may_repeat: scratch.request.method.is_idempotent() || has_key(service, scratch),
            key: hash.and_then(|by| by.key(&scratch.request, &scratch.cx)),
            bond: ties.map(|ties| ties.read(&scratch.request)),
            broke_off: true,
            pooled: true,
            carried: None,
            won: None,
        }
    }

    pub(super) fn tried(&self) -> &[u32] {
        &self.tried[..self.attempts.min(TRIED_MAX)]
    }

    /// Whether the request may be sent again if the attempt that is under way fails.
    pub(super) fn may_go_on(&self, policy: &Policy) -> bool {
        self.may_repeat && self.attempts < policy.attempts_max as usize
    }

    pub(super) fn note(&mut self, id: u32) {
        if let Some(place) = self.tried.get_mut(self.attempts) {
            *place = id;
        }
        self.attempts += 1;
    }
}

/// Sends the request until an endpoint answers with a final head, which is then in
/// `scratch.response`. Also when that came.
pub(super) async fn send<'s>(
    connection: &mut Connection,
    scratch: &mut Scratch,
    mut sending: Sending<'s>,
    slot: &mut Option<Exchange>,
) -> Result<(&'s Endpoint, u64), Fault> {
    let mut service = sending.service;
    let worker = Rc::clone(&connection.worker);
    if !sending.trials.held.get() {
        worker.balances.arrive(service, scratch.cx.sent_ns);
    }
    let mut course = Course::new(connection, service, scratch);
    let mut now_ns = scratch.cx.sent_ns;
    loop {
        let ask = Ask {
            now_ns,
            random: worker.draw(),
            tried: course.tried(),
            broke_off: course.attempts > 0 && course.broke_off,
            key: course.key,
            sticky: course.bond.as_ref().and_then(Bond::endpoint),
            may_repeat: course.may_repeat,
            together: None,
        };
        let (mut attempt, pick) =
            Attempt::begin(&worker, service, &ask).ok_or_else(|| nobody(service))?;
        let mut endpoint = &*service.endpoints[pick.at];
        scratch.cx.note("endpoint", &endpoint.text);
        scratch.cx.record("balance", "pick", pick.why);
        course.note(pick.id);
        if let Some(per_try_ms) = service.rules.policy.retry.per_try_ms {
            connection.watch.begin_try(per_try_ms);
        }
        let tried = try_once(connection, scratch, sending, endpoint, &mut course, slot).await;
        connection.watch.expect_nobody();
        connection.watch.end_try();
        now_ns = worker.now_ns();
        if let Some(won) = course.won.take() {
            endpoint = won.endpoint;
            won.replace(&mut attempt, connection, service, now_ns);
        }
        let ended = (attempt, endpoint, now_ns);
        let Some(failure) =
            learn(connection, scratch, service, &course, (ended, tried), slot.as_ref())?
        else {
            return Ok((endpoint, now_ns));
        };
        if failure == Failure::Stale {
            // It was no attempt that the endpoint could have known of.
            course.attempts -= 1;
        }
        let again = judge(connection, scratch, service, &course, failure, slot.as_ref());
        let Some(pause_ms) = again else {
            return tried.map(|()| (endpoint, now_ns));
        };
        course.pooled = false;
        course.broke_off &= matches!(failure, Failure::Unseen | Failure::Reset | Failure::Stale);
        if let Some(Exchange { side, request, .. }) = slot.take() {
            course.carried = Some(request);
            if let (End::H1(side), Failure::Status(_)) = (side, failure) {
                drain::keep_if_whole(connection, scratch, service, endpoint, side).await;
            }
        }
        if pause_ms > 0 {
            let was_read = match &course.carried {
                Some(carried) => carried.has_read_all(),
                None => !sending.body.framing.has_body(),
            };
            let speech = Speech::of(&scratch.request, was_read);
            Box::pin(pause(connection, (pause_ms, speech))).await?;
            now_ns = worker.now_ns();
        }
        // All that were there when the request came may be dead by now, and others have come.
        if let Some(newest) = worker.newest(service) {
            service = sending.newest.get_or_init(|| newest);
            sending.service = service;
        }
    }
}

/// Takes notice of how an attempt ended: what it failed by, if it failed.
///
/// # Errors
/// It failed by what is nothing to try again.
#[inline]
fn learn(
    connection: &Connection,
    scratch: &mut Scratch,
    service: &Service,
    course: &Course<'_>,
    ((attempt, endpoint, now_ns), tried): ((Attempt, &Endpoint, u64), Result<(), Fault>),
    exchange: Option<&Exchange>,
) -> Result<Option<Failure>, Fault> {
    if let Err(fault) = tried {
        scratch.cx.record("upstream", "failed", fault.reason());
        // Once is chance; a second time it is the endpoint.
        let is_stale = course.pooled && exchange.is_some_and(|one| one.reused && !one.answered);
        let failure = fault.failure(is_stale);
        attempt.end(service, now_ns, outcome(connection, fault, failure));
        return failure.ok_or(fault).map(Some);
    }
    let status = judged_status(scratch);
    if !is_failure(status) {
        attempt.end(service, now_ns, Outcome::Answered);
        if let Some((ties, bond)) = service.ties.as_ref().zip(course.bond.as_ref()) {
            ties.tie(connection, scratch, service, (bond, endpoint));
        }
        return Ok(None);
    }
    let at = attempt.at;
    attempt.end(service, now_ns, Outcome::Failed);
    if let Some(rest_ms) = rest_ms(status, comeback(scratch).0) {
        connection.worker.balances.rest(service, at, now_ns, rest_ms);
        scratch.cx.record("upstream", "rest", "the endpoint asks to be left alone");
    }
    Ok(Some(Failure::Status(status)))
}

/// Whether a key in the request makes sure that the service does it once.
fn has_key(service: &Service, scratch: &Scratch) -> bool {
    let name = service.rules.policy.retry.idempotency_key.as_ref();
    let value = name.and_then(|name| scratch.request.fields.get_named(name));
    value.is_some_and(|value| !value.is_empty())
}

/// What it means that none of the endpoints may be used.
pub(super) fn nobody(service: &Service) -> Fault {
    match service.is_started {
        // All that are there are full, or none is.
        _ if service.rules.policy.requests_max.is_some() && !service.endpoints.is_empty() => {
            Fault::UpstreamBusy
        }
        true => Fault::Starting,
        false => Fault::NoEndpoint,
    }
}

/// Sends the request to `endpoint`, and reads the head of its answer.
async fn try_once<'s>(
    connection: &mut Connection,
    scratch: &mut Scratch,
    sending: Sending<'s>,
    endpoint: &Endpoint,
    course: &mut Course<'s>,
    slot: &mut Option<Exchange>,
) -> Result<(), Fault> {
    let Sending { snapshot, service, body, body_bytes_max, .. } = sending;
    let policy = &service.rules.policy.retry;
    // Who still has to hear of the client's body has to be waited for.
    if course.may_go_on(policy) && !body.framing.has_body() {
        connection.watch.expect(endpoint.id());
    }
    let Connection { worker, watch, .. } = &*connection;
    let reached = connect(worker, watch, service, endpoint, course.pooled).await?;
    let reused = reached.is_reused();
    call::pass_deadline_on(connection, scratch)?;
    limit::pass_on(connection, scratch, service);
    let recoding = Recoding::of_request(scratch.cx.grpc.as_deref());
    let to = if recoding.is_some() { Framing::Chunked } else { body.framing };
    let (side, head) = begin(reached, scratch, service, endpoint, to)?;
    let limits = &snapshot.limits;
    let transfer = match course.carried.take() {
        Some(transfer) => transfer.rewind(head),
        None => {
            let framing = body.framing;
            sending.trials.has_begun.set(framing.has_body());
            let mut transfer = Transfer::new(framing, &side, to, limits.body, body_bytes_max, head);
            // A stream may be refused whatever the method.
            if side.is_framed() || course.may_repeat {
                transfer.keep_copy(policy.replay_bytes_max);
            }
            if let Some(recoding) = recoding {
                transfer.recode(recoding);
            }
            mirror::follow(connection, scratch, &sending, &mut transfer);
            transfer
        }
    };
    let (pace, times) = call::patience(connection, scratch, limits, service.times);
    let exchange = slot.insert(Exchange::new(side, transfer, pace, times, reused));
    exchange.awaits_continue = body.awaits_continue;
    exchange.speech = Speech::of(&scratch.request, true);
    match hedge::wait(connection, sending, course) {
        None => final_head(connection, scratch, exchange).await?,
        Some(wait) => {
            let both = (&mut *course, &mut *slot);
            Box::pin(hedge::final_head(connection, scratch, sending, both, wait)).await?;
        }
    }
    scratch.cx.note("status", scratch.response.status);
    scratch.cx.note("connection", if reused { "reused" } else { "new" });
    scratch.cx.record("upstream", "answer", "the endpoint answered");
    let exchange = slot.as_mut().expect("whose head came is there");
    exchange.framings = h1::response_framing(&scratch.response, scratch.request.method);
    match whole::lacks(course.may_go_on(policy), exchange) {
        None => Ok(()),
        Some(bytes) => Box::pin(whole::wait(connection, scratch, exchange, bytes)).await,
    }
}

/// What `fault` says about the endpoint.
pub(super) fn outcome(connection: &Connection, fault: Fault, failure: Option<Failure>) -> Outcome {
    match failure {
        // It goes away in good order, or lost a race.
        Some(Failure::Stale) => Outcome::Abandoned,
        Some(Failure::Unseen)
            if matches!(fault, Fault::StreamRefused | Fault::UpstreamConnections) =>
        {
            Outcome::Abandoned
        }
        Some(Failure::Unseen) => Outcome::Refused,
        // The client's time is over, not the endpoint's.
        Some(Failure::Timeout) if connection.watch.is_limit_over() => Outcome::Abandoned,
        Some(Failure::Reset | Failure::Timeout | Failure::Status(_)) => Outcome::Failed,
        None if fault.side() == Doing::Upstream && !connection.watch.is_limit_over() => {
            Outcome::Failed
        }
        None => Outcome::Abandoned,
    }
}

/// After which pause the request is sent again, if it may be.
fn judge(
    connection: &Connection,
    scratch: &mut Scratch,
    service: &Service,
    course: &Course<'_>,
    failure: Failure,
    exchange: Option<&Exchange>,
) -> Option<u64> {
    let worker = &connection.worker;
    let policy = &service.rules.policy.retry;
    let (retry_after_ms, is_unwanted) = match failure {
        Failure::Status(_) => comeback(scratch),
        _ => (None, false),
    };
    let facts = Facts {
        failure,
        attempts: u32::try_from(course.attempts).unwrap_or(u32::MAX),
        is_idempotent: scratch.request.method.is_idempotent(),
        has_idempotency_key: course.may_repeat,
        can_replay: exchange.is_none_or(|exchange| exchange.request.can_rewind()),
        is_other_left: course.tried().len() < service.endpoints.len(),
        retry_after_ms,
        is_unwanted,
        left_ms: connection.watch.left_ms(),
        random: worker.draw(),
    };
    let counters = &service.metrics.shards[worker.index];
    let (pause_ms, why) = match policy.judge(&facts) {
        Verdict::Again { pause_ms, why } => (pause_ms, why),
        Verdict::No { why } => {
            scratch.cx.record("retry", "no", why);
            return None;
        }
    };
    // A connection that was closed while it was idle is no failure that an outage could multiply.
    if failure != Failure::Stale && !worker.balances.take_retry(service, worker.now_ns()) {
        counters.retries_denied.add(1);
        scratch.cx.record("retry", "no", "the budget for retries is spent");
        return None;
    }
    counters.retries.add(1);
    scratch.cx.note("pause", format_args!("{pause_ms} ms"));
    scratch.cx.record("retry", "again", why);
    Some(pause_ms)
}

/// The status by which the answer is judged.
#[inline]
pub(super) fn judged_status(scratch: &Scratch) -> u16 {
    match scratch.cx.grpc {
        None => scratch.response.status,
        Some(_) => grpc::judged_status(&scratch.response),
    }
}

/// What the answer says of when to come again, and whether not at all.
fn comeback(scratch: &Scratch) -> (Option<u64>, bool) {
    let pushback = scratch.cx.grpc.as_ref().and_then(|_| grpc::pushback(&scratch.response.fields));
    match pushback {
        None => (retry_after_ms(scratch), false),
        Some(Pushback::After(ms)) => (Some(ms), false),
        Some(Pushback::Never) => (None, true),
    }
}

/// The same, as all of HTTP says it (RFC 9110, 10.2.3).
fn retry_after_ms(scratch: &Scratch) -> Option<u64> {
    let value = std::str::from_utf8(scratch.response.fields.get(Known::RetryAfter)?).ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let left = until.duration_since(SystemTime::now()).unwrap_or_default();
    Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

/// Waits before the next attempt, as long as the client does.
pub(super) async fn pause(
    connection: &mut Connection,
    (pause_ms, speech): (u64, Speech),
) -> Result<(), Fault> {
    // The sweep is too coarse for it, and this is rare enough for a timer.
    let mut sleeping = pin!(tokio::time::sleep(Duration::from_millis(pause_ms)));
    connection.watch.set(u64::MAX);
    poll_fn(|cx| {
        if sleeping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if connection.client.poll_gone(speech, cx).is_ready() {
            return Poll::Ready(Err(Fault::ClientGone));
        }
        if connection.watch.is_limit_over() {
            return Poll::Ready(Err(limit::fault(connection)));
        }
        Poll::Pending
    })
    .await
}

/// A connection that takes a request.
pub(super) enum Reached {
    /// An idle one, which had been used.
    Idle(Side),
    New(Side),
    /// One for many requests, and whether it had been there.
    Link(Link, bool),
}

impl Reached {
    pub(super) fn is_reused(&self) -> bool {
        matches!(self, Self::Idle(_) | Self::Link(_, true))
    }
}

/// A connection to `endpoint`: an idle one, a new one, or a shared one.
pub(super) async fn connect(
    worker: &Worker,
    watch: &Watch,
    service: &Service,
    endpoint: &Endpoint,
    pooled: bool,
) -> Result<Reached, Fault> {
    let counters = &service.metrics.shards[worker.index];
    let reached = if service.rules.protocol == Protocol::H2 {
        let linking = client::link(worker, service, endpoint, watch);
        Box::pin(linking).await.map(|(link, reused)| Reached::Link(link, reused))
    } else if (pooled || worker.connections.are_enough(service, endpoint))
        && let Some(side) = worker.pools.take(endpoint.index)
    {
        Ok(Reached::Idle(side))
    } else {
        let connecting = upstream::connect(worker, service, endpoint, watch);
        // Rare and large: kept out of every connection's future.
        Box::pin(connecting).await.map(Reached::New)
    };
    match &reached {
        Ok(reached) if reached.is_reused() => counters.reuses.add(1),
        Ok(_) => counters.connects.add(1),
        // It was not tried.
        Err(Fault::UpstreamConnections) => {}
        Err(_) => counters.connect_failures.add(1),
    }
    reached
}

/// Begins the request there: sends its head, or returns it to be sent with the body.
pub(super) fn begin(
    reached: Reached,
    scratch: &mut Scratch,
    service: &Service,
    endpoint: &Endpoint,
    framing: Framing,
) -> Result<(End, Vec<u8>), Fault> {
    let mut out = std::mem::take(&mut scratch.out);
    out.clear();
    let authority = match &service.rules.host {
        HostField::Preserve if !scratch.request.authority().is_empty() => {
            scratch.request.authority()
        }
        HostField::Preserve | HostField::Endpoint => endpoint.text.as_bytes(),
        HostField::Literal(text) => text.as_bytes(),
    };
    let to = ToUpstream {
        authority,
        framing,
        upgrade: upgrade(scratch, framing),
        but: rules::forward::REWRITTEN,
        extra: &[&scratch.lines],
    };
    match reached {
        Reached::Idle(side) | Reached::New(side) => {
            h1::encode_request(&scratch.request, &to, &mut out);
            Ok((End::H1(side), out))
        }
        Reached::Link(link, _) => {
            let stream = client::ask(link, &scratch.request, &to, endpoint.tls.is_some())?;
            Ok((End::Stream(Box::new(Stream::H2(stream))), out))
        }
    }
}

/// The protocol that the request asks for. One with a body asks in vain: a server may always
/// ignore `Upgrade` (RFC 9110, 7.8).
pub(super) fn upgrade(scratch: &Scratch, framing: Framing) -> Option<&[u8]> {
    let request = &scratch.request;
    let possible = !framing.has_body() && request.version != Version::Http10;
    request.connection.upgrade_protocol(&request.fields).filter(|_| possible)
}

/// Whether no other head follows this one.
pub(super) fn is_final(head: &ResponseHead) -> bool {
    head.status >= 200 || head.status == 101
}

/// Reads heads into `scratch.response` until one is final; passes the others on.
pub(super) async fn final_head(
    connection: &mut Connection,
    scratch: &mut Scratch,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    for _ in 0..=INTERIM_MAX {
        exchange.head(connection, &mut scratch.response).await?;
        if is_final(&scratch.response) {
            return Ok(());
        }
        respond::interim(connection, scratch).await?;
    }
    Err(Fault::UpstreamMalformed(h1::Malformed::StatusLine))
}
