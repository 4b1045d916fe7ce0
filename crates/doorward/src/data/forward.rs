//! Carries a request to a service and the answer back.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::task::Poll;

use rules::balance::is_failure;
use rules::{Fault, RouteId, ServiceId};
use wire::Version;
use wire::h1::{self, Framing};

use super::attempt::{self, Sending, Trials};
use super::breaker::{self, Passage};
use super::connection::{After, Connection};
use super::end::End;
use super::fallback;
use super::gate::{self, Admitted};
use super::hold;
use super::limit;
use super::pace::Pace;
use super::respond;
use super::scratch::Scratch;
use super::serve::{self, Body, Done};
use super::transfer::{Broken, Side, Transfer, Wait};
use super::tunnel;
use super::upstream::Exchange;
use super::worker::Pinned;
use super::{cache, call};
use crate::control::snapshot::{Endpoint, Service};

/// Forwards the request in `scratch` to `service_id`, and its answer to the client.
pub(crate) async fn forward(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    service_id: ServiceId,
    body: Body,
) -> Done {
    let service = &*snapshot.services[service_id.0 as usize];
    let trials = Trials::default();
    let done = match begin(connection, snapshot, scratch, route, service, body) {
        Err(fault) => Err(fault),
        Ok(body_bytes_max) => {
            let ready = Ready { route, body, or: None, body_bytes_max, trials: &trials };
            match ask(connection, snapshot, scratch, service, ready).await {
                Ok(done) => done,
                Err(fault) => {
                    let failed = (service, fault);
                    Box::pin(go_on(connection, snapshot, scratch, failed, ready)).await
                }
            }
        }
    };
    match done {
        Ok(done) => done,
        Err(fault) => respond::fault(connection, scratch, Some(route), fault, None).await,
    }
}

/// The same, but says nothing to the client if there is no answer. If something else may follow a failed
/// answer, there is `or` instead of one.
///
/// # Errors
/// There is no answer, and the client was told nothing.
pub(super) async fn try_forward(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    service_id: ServiceId,
    (body, or): (Body, Option<Fault>),
) -> Result<Done, Fault> {
    let service = &*snapshot.services[service_id.0 as usize];
    let body_bytes_max = begin(connection, snapshot, scratch, route, service, body)?;
    let trials = Trials::default();
    let ready = Ready { route, body, or, body_bytes_max, trials: &trials };
    match ask(connection, snapshot, scratch, service, ready).await {
        Ok(done) => done,
        Err(fault) => go_on(connection, snapshot, scratch, (service, fault), ready).await,
    }
}

/// A request that may be sent.
#[derive(Clone, Copy)]
struct Ready<'t> {
    route: RouteId,
    body: Body,
    body_bytes_max: u64,
    trials: &'t Trials,
    /// What it is if it fails and something else may follow.
    or: Option<Fault>,
}

/// Goes on where there was no answer of `service` by `fault`: waits for it if that is of use, or else lets
/// another one stand in.
async fn go_on(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    (first, mut fault): (&Service, Fault),
    ready: Ready<'_>,
) -> Result<Done, Fault> {
    let Ready { route, body, trials, .. } = ready;
    let mut newer = None;
    loop {
        let service = newer.as_deref().unwrap_or(first);
        let waited = if hold::is_due(service) {
            Box::pin(hold::until_ready(connection, scratch, service, body)).await
        } else if hold::is_for(service, fault, trials) {
            let held = (service, fault);
            Box::pin(hold::a_while(connection, scratch, held, body, trials)).await
        } else {
            Err(fault)
        };
        let now = match waited {
            Ok(now) => now,
            Err(fault) => {
                return refuse(connection, snapshot, scratch, route, (service, fault), body).await;
            }
        };
        match ask(connection, snapshot, scratch, newer.insert(now), ready).await {
            Ok(done) => return done,
            Err(again) => fault = again,
        }
    }
}

/// Asks `service`, and passes its answer on.
///
/// # Errors
/// There is no answer of the service.
async fn ask(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    service: &Service,
    ready: Ready<'_>,
) -> Result<Result<Done, Fault>, Fault> {
    if hold::is_due(service) {
        return Err(Fault::Starting);
    }
    let Ready { route, body, body_bytes_max, trials, or } = ready;
    let entry = enter(connection, scratch, service, body).await?;
    // Filled by `send` and used by `deliver` where it lies: it is too large to be handed around.
    let mut exchange = None;
    let newest = OnceCell::new();
    let sending = Sending { snapshot, service, body, body_bytes_max, newest: &newest, trials };
    let sent = attempt::send(connection, scratch, sending, &mut exchange).await;
    let counters = &service.metrics.shards[connection.worker.index];
    match sent {
        Ok((endpoint, head_ns)) => {
            let status = scratch.response.status;
            let judged = attempt::judged_status(scratch);
            entry.answered(service, head_ns, judged);
            counters.responses[usize::from(status / 100).saturating_sub(1)].add(1);
            counters.first_byte.record((head_ns - scratch.cx.sent_ns) / 1000);
            if let Some(fault) = or.filter(|_| is_failure(judged)) {
                return Ok(Err(fault));
            }
            let exchange = &mut exchange;
            Ok(deliver(connection, snapshot, scratch, route, service, endpoint, exchange).await)
        }
        Err(fault) => {
            let fault = limit::or_limit(connection, fault);
            entry.failed(service, fault);
            if let Some(exchange) = &mut exchange {
                call::note_reset(scratch, &mut exchange.side, fault);
            }
            Err(fault)
        }
    }
}

/// Readies the request to be sent, and returns how large its body may be.
fn begin(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    service: &Service,
    body: Body,
) -> Result<u64, Fault> {
    let bytes_max =
        snapshot.rules.route(route).body_bytes_max.unwrap_or(snapshot.limits.body_bytes_max);
    if matches!(body.framing, Framing::Length(bytes) if bytes > bytes_max) {
        return Err(Fault::BodyTooLarge);
    }
    scratch.lines.clear();
    rules::forward::append(&scratch.request, connection.peer, &scratch.cx, &mut scratch.lines);
    tunnel::complete_request(scratch, connection.worker.random());
    limit::begin(connection, scratch, service)?;
    Ok(bytes_max)
}

/// What let a request through to its service, and is to hear what became of it.
struct Entry {
    passage: Option<Passage>,
    admitted: Option<Admitted>,
}

impl Entry {
    fn answered(self, service: &Service, now_ns: u64, status: u16) {
        if let Some(admitted) = self.admitted {
            admitted.answered(now_ns, status);
        }
        if let Some(passage) = self.passage {
            passage.answered(service, now_ns, status);
        }
    }

    fn failed(self, service: &Service, fault: Fault) {
        if let Some(passage) = self.passage {
            passage.failed(service, fault);
        }
    }
}

/// Lets the request through to `service`, unless its breaker is open or it has too much to do.
async fn enter(
    connection: &mut Connection,
    scratch: &mut Scratch,
    service: &Service,
    body: Body,
) -> Result<Entry, Fault> {
    let policy = &service.rules.policy;
    let passage = match &policy.breaker {
        None => None,
        Some(guard) => {
            let (worker, cx) = (&connection.worker, &mut scratch.cx);
            Some(breaker::pass(worker, service, &guard.policy, cx)?)
        }
    };
    let admitted = match &policy.overload {
        None => None,
        Some(policy) => Some(gate::enter(connection, scratch, service, policy, body).await?),
    };
    Ok(Entry { passage, admitted })
}

/// There is no answer of `service`: another one stands in, if there is any.
async fn refuse(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    (service, fault): (&Service, Fault),
    body: Body,
) -> Result<Done, Fault> {
    service.metrics.shards[connection.worker.index].failures.add(1);
    let fault = limit::or_limit(connection, fault);
    if fallback::is_there(connection, service, fault) {
        let instead = (body, cache::stale_of(scratch));
        let failed = (service, fault);
        return Box::pin(fallback::answer(connection, snapshot, scratch, route, failed, instead))
            .await;
    }
    Err(fault)
}

/// Lets all who have a say in it see the head of the answer.
async fn see_response(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    framing: Framing,
) {
    if let End::Fetch(fetch) = &mut connection.client
        && let Some(cache) = &snapshot.rules.route(route).cache
    {
        // Filters see it when it goes to a client.
        return fetch.land(cache, scratch, framing);
    }
    if matches!(connection.client, End::Mirror(_)) {
        // It is nobody's answer, and says nothing of what is cached.
        return;
    }
    cache::see_response(connection, snapshot, scratch, route).await;
    serve::see_response(snapshot, scratch, route);
}

/// Passes the answer on: its head from `scratch.response`, its body from `exchange`.
///
/// # Errors
/// It cannot be passed on, and the client was told nothing yet.
async fn deliver(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    service: &Service,
    endpoint: &Endpoint,
    slot: &mut Option<Exchange>,
) -> Result<Done, Fault> {
    if scratch.response.status == 101 {
        let exchange = slot.take().expect("`send` filled it");
        return Ok(Box::pin(tunnel::open(connection, snapshot, scratch, route, exchange)).await);
    }
    let exchange = slot.as_mut().expect("`send` filled it");
    let framings = exchange.framings.map_err(Fault::UpstreamMalformed)?;
    let h1::ResponseFraming { announced, body: framing } =
        exchange.framing(framings, connection.client.is_framed());
    if tunnel::would_mislead(scratch) {
        return Err(Fault::UpgradeFailed);
    }
    see_response(connection, snapshot, scratch, route, framing).await;
    call::note_status(scratch, None);
    let recoding = call::recoding_of_answer(scratch, framing).map_err(|_| Fault::Bug)?;
    // The answer to HEAD is announced as that to GET would be.
    let becomes_another = recoding.is_some() || scratch.cx.encode.is_some();
    let announced = if becomes_another { Framing::Chunked } else { announced };
    let to = client_framing(announced, scratch.request.version);
    let persist = exchange.is_sent()
        && to != Framing::UntilClose
        && respond::wants_to_persist(connection, scratch, &snapshot.limits);
    scratch.out = exchange.request.reclaim();
    respond::write_head(connection, scratch, to, framing.has_body(), persist);
    let head = std::mem::take(&mut scratch.out);
    let mut answer =
        Transfer::new(framing, &connection.client, to, snapshot.limits.body, u64::MAX, head);
    if let Some(recoding) = recoding {
        answer.recode(recoding);
    }
    let (pace, _) = call::patience(connection, scratch, &snapshot.limits, service.times);
    let relayed = relay(connection, pace, exchange, &mut answer).await;
    let relayed = relayed.map_err(|fault| limit::or_limit(connection, fault));

    let mut done = Done::new(Some(route), scratch.response.status, After::Persist);
    done.response_bytes = answer.bytes;
    done.request_bytes = exchange.request.bytes;
    call::note_status(scratch, answer.grpc_status);
    scratch.out = answer.reclaim();
    done.after = match relayed {
        Err(fault) if may_still_answer(connection, &answer, fault) => return Err(fault),
        Err(fault) => {
            scratch.cx.record("fault", fault.slug(), fault.reason());
            done.fault = Some(fault);
            call::note_reset(scratch, &mut exchange.side, fault);
            let told = call::end_by_trailers(connection, scratch, fault);
            return Ok(Done { after: if told { After::Close } else { After::Reset }, ..done });
        }
        Ok(()) if persist && exchange.is_sent() => After::Persist,
        Ok(()) => After::Close,
    };
    let reusable = exchange.is_sent()
        && framing != Framing::UntilClose
        && scratch.response.connection.persists(scratch.response.version)
        && matches!(&exchange.side, End::H1(side) if side.incoming.is_empty());
    if let Some(Exchange { side: End::H1(side), .. }) = slot.take().filter(|_| reusable) {
        keep(connection, service, endpoint, side);
    }
    Ok(done)
}

/// Keeps the connection to `endpoint` for another request.
pub(super) fn keep(connection: &Connection, service: &Service, endpoint: &Endpoint, side: Side) {
    connection.worker.pools.put(
        endpoint.index,
        side,
        connection.worker.deadlines.now_ms(),
        service.idle_ms,
        service.idle_connections_max,
    );
}

/// Whether not a byte of `answer` went out: then the client can still be told of `fault`. The head of
/// a stream has always gone.
fn may_still_answer(connection: &Connection, answer: &Transfer, fault: Fault) -> bool {
    let begun = answer.begun || connection.client.is_framed();
    !begun && fault.side() == rules::fault::Side::Upstream
}

/// How the body leaves, given how the answer announces it.
pub(super) fn client_framing(announced: Framing, version: Version) -> Framing {
    match (announced, version) {
        (Framing::Chunked | Framing::UntilClose, Version::Http10) => Framing::UntilClose,
        (Framing::Chunked | Framing::UntilClose, _) => Framing::Chunked,
        (framing, _) => framing,
    }
}

/// Moves the body of the answer to the client, and what is left of the request to the service.
async fn relay(
    connection: &mut Connection,
    mut pace: Pace,
    exchange: &mut Exchange,
    answer: &mut Transfer,
) -> Result<(), Fault> {
    let mut armed_at = None;
    poll_fn(|cx| {
        if !exchange.is_sent()
            && !exchange.refused_body
            && let Poll::Ready(Err(fault)) = exchange.poll_send(connection, cx)
        {
            return Poll::Ready(Err(fault));
        }
        let moved = answer.poll(&mut exchange.side, &mut connection.client, cx);
        match moved {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(broken)) => Poll::Ready(Err(answer_fault(&broken))),
            Poll::Pending => {
                let now_ms = connection.watch.now_ms();
                let stands = (answer.progress, exchange.request.progress);
                if armed_at != Some(stands) {
                    armed_at = Some(stands);
                    let wait_ms = match answer.wait {
                        Wait::Write => pace.wait(now_ms, answer.bytes),
                        Wait::Read => {
                            pace.go_on(now_ms);
                            exchange.times.between_bytes_ms
                        }
                    };
                    connection.watch.set(wait_ms);
                } else if connection.watch.is_over() {
                    return Poll::Ready(Err(match answer.wait {
                        Wait::Write => Fault::ClientStalled,
                        Wait::Read => Fault::BetweenBytesTimeout,
                    }));
                }
                if exchange.poll_client_gone(connection, cx).is_ready() {
                    return Poll::Ready(Err(Fault::ClientGone));
                }
                if connection.watch.is_limit_over() {
                    // However steadily it comes.
                    return Poll::Ready(Err(limit::fault(connection)));
                }
                Poll::Pending
            }
        }
    })
    .await
}

/// What it means that the answer could not be carried on.
fn answer_fault(broken: &Broken) -> Fault {
    match broken {
        Broken::Write => Fault::ClientGone,
        Broken::Read | Broken::TooLarge | Broken::Malformed(h1::Malformed::Truncated) => {
            Fault::UpstreamTruncated
        }
        Broken::Malformed(malformed) => Fault::UpstreamMalformed(*malformed),
    }
}
