//! What clients get instead of an answer of a service whose breaker is open.

use std::sync::Arc;

use rules::balance::Standing;
use rules::cache::Told;
use rules::fault::Side;
use rules::service::Fallback;
use rules::{Fault, RouteId, ServiceId};

use super::cache::{self, hit};
use super::connection::Connection;
use super::end::End;
use super::forward;
use super::hold;
use super::respond;
use super::scratch::Scratch;
use super::serve::{self, Body, Done};
use super::store::Object;
use super::worker::Pinned;
use crate::control::snapshot::Service;
use crate::metrics::FallbackTo;

/// Something stored, and what is told of it.
pub(super) type Stale = (Arc<Object>, Told);

/// Whether `service` has something for clients that `fault` befell.
pub(super) fn is_there(connection: &Connection, service: &Service, fault: Fault) -> bool {
    // A fetch is told of the fault, and so are all who wait for it: what stands in is not stored.
    let asks_for_itself = !matches!(connection.client, End::Fetch(_));
    let guard = service.rules.policy.breaker.as_ref();
    asks_for_itself
        && matches!(fault, Fault::BreakerOpen { .. })
        && guard.is_some_and(|guard| !guard.fallback.is_empty())
}

/// Answers with the first of the fallbacks of `service` that there is.
///
/// # Errors
/// There is none: `fault` is what the client is to be told.
pub(super) async fn answer(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    (service, fault): (&Service, Fault),
    (mut body, mut stale): (Body, Option<Stale>),
) -> Result<Done, Fault> {
    let counters = &service.metrics.shards[connection.worker.index].breaker;
    let guard = service.rules.policy.breaker.as_ref();
    let mut left = guard.map_or(&[][..], |guard| &guard.fallback);
    // Whether its body has gone to one that had no answer.
    let mut is_spent = false;
    while let Some((one, rest)) = left.split_first() {
        left = rest;
        match one {
            Fallback::Stale => {
                let Some((object, told)) = stale.take() else {
                    scratch.cx.record("fallback", "pass", "nothing that is stored may stand in");
                    continue;
                };
                counters.fallbacks[FallbackTo::Stale as usize].add(1);
                scratch.cx.record("fallback", "stale", "it is what the cache has");
                let object = (&object, cache::now_ms());
                return Ok(hit::send(connection, snapshot, scratch, route, object, told).await);
            }
            Fallback::Service(name) => {
                let mut services = snapshot.services.iter();
                let Some(at) = services.position(|other| *other.rules.name == ***name) else {
                    continue;
                };
                scratch.cx.note("name", &**name);
                if is_spent || !may_stand_in(connection, &snapshot.services[at]) {
                    let why = match is_spent {
                        true => "the body of the request is gone",
                        false => "that service is down, too",
                    };
                    scratch.cx.record("fallback", "pass", why);
                    continue;
                }
                counters.fallbacks[FallbackTo::Service as usize].add(1);
                scratch.cx.record("fallback", "service", "it stands in");
                let id = ServiceId(u32::try_from(at).unwrap_or(u32::MAX));
                let or = Some(fault).filter(|_| !left.is_empty());
                let forwarding =
                    forward::try_forward(connection, snapshot, scratch, route, id, (body, or));
                match Box::pin(forwarding).await {
                    Err(fault) if !is_of_service(fault) => return Err(fault),
                    Err(_) => {}
                    answered => return answered,
                }
                scratch.cx.record("fallback", "pass", "that service has no answer either");
                is_spent = body.framing.has_body();
                body = respond::left_of(connection, body.framing);
                // What that service was given, or its answer was to become, is nothing to the next one.
                connection.watch.unlimit();
                scratch.cx.encode = None;
            }
            Fallback::Answer { .. } if scratch.cx.grpc.is_some() => {
                scratch.cx.record("fallback", "pass", "no fixed answer is one of gRPC");
            }
            Fallback::Answer { reply, .. } => {
                counters.fallbacks[FallbackTo::Answer as usize].add(1);
                scratch.cx.note("status", reply.status);
                scratch.cx.record("fallback", "reply", "the service has a fixed answer for it");
                let mut reply = reply.clone();
                if let Some(seconds) = fault.retry_after_s().filter(|_| reply.status == 503) {
                    reply = reply.header("retry-after", seconds.to_string());
                }
                let replying = serve::reply(connection, snapshot, scratch, route, (&reply, body));
                return Ok(replying.await);
            }
        }
    }
    Err(fault)
}

/// Whether somebody else may have an answer where `fault` befell a service.
fn is_of_service(fault: Fault) -> bool {
    fault.side() != Side::Client && fault != Fault::DeadlineExceeded
}

/// Whether `service` has an endpoint that may answer, as far as anybody knows, or can be started.
fn may_stand_in(connection: &Connection, service: &Service) -> bool {
    let now_ms = connection.worker.metrics.now_ms();
    let is_down =
        |standing| matches!(standing, Standing::Refusing | Standing::Unwell | Standing::Ejected);
    let mut endpoints = service.endpoints.iter();
    hold::is_due(service) || endpoints.any(|endpoint| !is_down(endpoint.standing(now_ms)))
}

/// Whether what the cache has is one of the fallbacks of `service`.
pub(super) fn has_stale(service: &Service) -> bool {
    let guard = service.rules.policy.breaker.as_ref();
    guard.is_some_and(|guard| guard.fallback.contains(&Fallback::Stale))
}
