//! Carries a request to a service and the answer back.

use std::future::poll_fn;
use std::task::Poll;

use rules::fault::Retry;
use rules::service::{HostField, Protocol};
use rules::{Fault, RouteId, ServiceId};
use wire::Version;
use wire::h1::{self, Framing, ToUpstream};

use super::call::{self, Recoding};
use super::connection::{After, Connection};
use super::end::End;
use super::h2::client::{self, Link};
use super::pace::Pace;
use super::respond;
use super::scratch::Scratch;
use super::serve::{self, Body, Done};
use super::stream::Stream;
use super::transfer::{Broken, Side, Transfer, Wait};
use super::tunnel;
use super::upstream::{self, Exchange};
use super::worker::Pinned;
use crate::control::snapshot::{Endpoint, Service};

/// The most endpoints that are tried for one request: more would let one request wait for several
/// connect time-outs on end.
pub(super) const ENDPOINTS_TRIED_MAX: usize = 3;

/// How long an endpoint that refused a connection is passed over while others are there.
pub(super) const REST_MS: u64 = 1_000;

/// How often one request is sent again because a connection ended, or a stream was refused, before
/// anybody looked at it.
const REPEATS_MAX: u32 = 2;

/// The most interim responses for one request. Early hints come once or twice.
const INTERIM_MAX: u32 = 16;

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
    let bytes_max =
        snapshot.rules.route(route).body_bytes_max.unwrap_or(snapshot.limits.body_bytes_max);
    if matches!(body.framing, Framing::Length(bytes) if bytes > bytes_max) {
        return respond::fault(connection, scratch, Some(route), Fault::BodyTooLarge, None).await;
    }
    scratch.lines.clear();
    rules::forward::append(&scratch.request, connection.peer, &scratch.cx, &mut scratch.lines);
    tunnel::complete_request(scratch, connection.worker.random());
    call::limit(connection, scratch);
    let index = service_id.0 as usize;
    // Filled by `send` and used by `deliver` where it lies: it is too large to be handed around.
    let mut exchange = None;
    let sent =
        send(connection, snapshot, scratch, (service, index), (body, bytes_max), &mut exchange)
            .await;
    let counters = &service.metrics.shards[connection.worker.index];
    match sent {
        Ok(endpoint) => {
            let status = scratch.response.status;
            counters.responses[usize::from(status / 100).saturating_sub(1)].add(1);
            let waited_ns = connection.worker.now_ns() - scratch.cx.now_ns;
            counters.first_byte.record(waited_ns / 1000);
            let exchange = &mut exchange;
            deliver(connection, snapshot, scratch, route, service, endpoint, exchange).await
        }
        Err(fault) => {
            counters.failures.add(1);
            let fault = call::or_deadline(connection, fault);
            if let Some(exchange) = &mut exchange {
                call::note_reset(scratch, &mut exchange.side, fault);
            }
            respond::fault(connection, scratch, Some(route), fault, None).await
        }
    }
}

/// Sends the request until an endpoint answers with a final head, which is then in
/// `scratch.response`.
async fn send<'s>(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    (service, service_index): (&'s Service, usize),
    (Body { framing, awaits_continue }, bytes_max): (Body, u64),
    slot: &mut Option<Exchange>,
) -> Result<&'s Endpoint, Fault> {
    let counters = &service.metrics.shards[connection.worker.index];
    let limits = &snapshot.limits;
    let turn = connection.worker.turn(service_index);
    let now_ms = connection.worker.deadlines.now_ms();
    let (mut tried, mut repeats) = (0, 0);
    let mut pooled = true;
    let mut carried: Option<Transfer> = None;
    let mut last = if service.is_started { Fault::Starting } else { Fault::NoEndpoint };
    while tried < ENDPOINTS_TRIED_MAX {
        let passed_over = service.passed_over(now_ms);
        let (at, why) =
            rules::balance::pick(service.endpoints.len(), turn, tried, passed_over).ok_or(last)?;
        let endpoint = &*service.endpoints[at];
        scratch.cx.note("endpoint", &endpoint.text);
        scratch.cx.record("balance", "pick", why);
        let reached = match connect(connection, service, endpoint, pooled).await {
            Ok(reached) => reached,
            Err(fault) => {
                scratch.cx.record("upstream", "failed", fault.reason());
                (last, tried) = (fault, tried + 1);
                continue;
            }
        };
        let reused = reached.is_reused();
        call::pass_deadline_on(connection, scratch)?;
        let recoding = Recoding::of_request(scratch.cx.grpc.as_deref());
        let to = if recoding.is_some() { Framing::Chunked } else { framing };
        let (side, head) = begin(reached, scratch, service, endpoint, to)?;
        let transfer = match carried.take() {
            Some(transfer) => transfer.rewind(head),
            None => {
                let mut transfer = Transfer::new(framing, &side, to, limits.body, bytes_max, head);
                // A stream may be refused whatever the method.
                if side.is_framed() || (reused && scratch.request.method.is_idempotent()) {
                    transfer.keep_copy();
                }
                if let Some(recoding) = recoding {
                    transfer.recode(recoding);
                }
                transfer
            }
        };
        let (pace, times) = call::patience(connection, scratch, limits, service.times);
        let exchange = slot.insert(Exchange::new(side, transfer, pace, times, reused));
        exchange.awaits_continue = awaits_continue;
        match final_head(connection, scratch, exchange).await {
            Ok(()) => {
                scratch.cx.note("status", scratch.response.status);
                scratch.cx.note("connection", if reused { "reused" } else { "new" });
                scratch.cx.record("upstream", "answer", "the endpoint answered");
                return Ok(endpoint);
            }
            Err(fault) => {
                scratch.cx.record("upstream", "failed", fault.reason());
                if repeats == REPEATS_MAX || !may_repeat(exchange, scratch, fault) {
                    return Err(fault);
                }
                counters.retries.add(1);
                repeats += 1;
                (last, pooled) = (fault, false);
                carried = slot.take().map(|exchange| exchange.request);
            }
        }
    }
    Err(last)
}

/// Whether the request of `exchange` may be sent again behind `fault`.
fn may_repeat(exchange: &Exchange, scratch: &Scratch, fault: Fault) -> bool {
    !exchange.answered
        && exchange.request.can_rewind()
        && match fault.retry() {
            // An idle connection may be closed by the service just as it is used again (RFC 9112,
            // 9.3.1). That says nothing about the request, if it may be repeated.
            Retry::IfReused => exchange.reused && scratch.request.method.is_idempotent(),
            Retry::Safe => true,
            Retry::Never => false,
        }
}

/// A connection that takes a request.
enum Reached {
    /// An idle one, which had been used.
    Idle(Side),
    New(Side),
    /// One for many requests, and whether it had been there.
    Link(Link, bool),
}

impl Reached {
    fn is_reused(&self) -> bool {
        matches!(self, Self::Idle(_) | Self::Link(_, true))
    }
}

/// A connection to `endpoint`: an idle one, a new one, or a shared one.
async fn connect(
    connection: &mut Connection,
    service: &Service,
    endpoint: &Endpoint,
    pooled: bool,
) -> Result<Reached, Fault> {
    let worker = &*connection.worker;
    let counters = &service.metrics.shards[worker.index];
    let reached = if service.rules.protocol == Protocol::H2 {
        let linking = client::link(worker, service, endpoint, &connection.watch);
        Box::pin(linking).await.map(|(link, reused)| Reached::Link(link, reused))
    } else if pooled && let Some(side) = worker.pools.take(endpoint.index) {
        Ok(Reached::Idle(side))
    } else {
        let connecting = upstream::connect(endpoint, service.times.connect_ms, &connection.watch);
        // Rare and large: kept out of every connection's future.
        Box::pin(connecting).await.map(Reached::New)
    };
    match &reached {
        Ok(reached) if reached.is_reused() => counters.reuses.add(1),
        Ok(_) => counters.connects.add(1),
        Err(_) => {
            counters.connect_failures.add(1);
            endpoint.rest_until(worker.deadlines.now_ms() + REST_MS);
        }
    }
    reached
}

/// Begins the request there: sends its head, or returns it to be sent with the body.
fn begin(
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
            let stream = client::ask(link, &scratch.request, &to, false)?;
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

/// Reads heads into `scratch.response` until one is final; passes the others on.
async fn final_head(
    connection: &mut Connection,
    scratch: &mut Scratch,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    for _ in 0..=INTERIM_MAX {
        exchange.head(connection, &mut scratch.response).await?;
        if scratch.response.status >= 200 || scratch.response.status == 101 {
            return Ok(());
        }
        respond::interim(connection, scratch).await?;
    }
    Err(Fault::UpstreamMalformed(h1::Malformed::StatusLine))
}

/// Passes the answer on: its head from `scratch.response`, its body from `exchange`.
async fn deliver(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    service: &Service,
    endpoint: &Endpoint,
    slot: &mut Option<Exchange>,
) -> Done {
    if scratch.response.status == 101 {
        let exchange = slot.take().expect("`send` filled it");
        return Box::pin(tunnel::open(connection, snapshot, scratch, route, exchange)).await;
    }
    let exchange = slot.as_mut().expect("`send` filled it");
    let h1::ResponseFraming { announced, body: framing } =
        match h1::response_framing(&scratch.response, scratch.request.method) {
            Ok(framings) => exchange.framing(framings, connection.client.is_framed()),
            Err(malformed) => {
                let fault = Fault::UpstreamMalformed(malformed);
                return respond::fault(connection, scratch, Some(route), fault, None).await;
            }
        };
    if tunnel::would_mislead(scratch) {
        return respond::fault(connection, scratch, Some(route), Fault::UpgradeFailed, None).await;
    }
    serve::see_response(snapshot, scratch, route);
    call::note_status(scratch, None);
    let Ok(recoding) = call::recoding_of_answer(scratch, framing) else {
        return respond::fault(connection, scratch, Some(route), Fault::Bug, None).await;
    };
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
    let relayed = relayed.map_err(|fault| call::or_deadline(connection, fault));

    let mut done = Done::new(Some(route), scratch.response.status, After::Persist);
    done.response_bytes = answer.bytes;
    done.request_bytes = exchange.request.bytes;
    call::note_status(scratch, answer.grpc_status);
    scratch.out = answer.reclaim();
    done.after = match relayed {
        Err(fault) if may_still_answer(connection, &answer, fault) => {
            return respond::fault(connection, scratch, Some(route), fault, None).await;
        }
        Err(fault) => {
            scratch.cx.record("fault", fault.slug(), fault.reason());
            done.fault = Some(fault);
            call::note_reset(scratch, &mut exchange.side, fault);
            let told = call::end_by_trailers(connection, scratch, fault);
            return Done { after: if told { After::Close } else { After::Reset }, ..done };
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
    done
}

/// Keeps the connection to `endpoint` for another request.
fn keep(connection: &Connection, service: &Service, endpoint: &Endpoint, side: Side) {
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
fn client_framing(announced: Framing, version: Version) -> Framing {
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
                if connection.client.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Fault::ClientGone));
                }
                if connection.watch.is_limit_over() {
                    // However steadily it comes.
                    return Poll::Ready(Err(Fault::DeadlineExceeded));
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
