//! The life of a request, on one page.
//!
//! listener -> connection -> **request -> route -> filters -> cache -> balancer -> upstream ->
//! response**. Rules decide; this file does what they decided and keeps account of it.

use std::rc::Rc;

use rules::fault::Unproven;
use rules::hops::{self, Hops};
use rules::{Fault, Reply, RouteId, Verdict};
use wire::h1::{self, Framing};
use wire::{Known, Method};

use super::connection::{After, Connection};
use super::end::End;
use super::scratch::Scratch;
use super::worker::Pinned;
use super::{account, cache, delay, encode, files, forward, late, respond};
use crate::control::snapshot::covers;

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) route: Option<RouteId>,
    pub(crate) status: u16,
    pub(crate) fault: Option<Fault>,
    pub(crate) after: After,
    /// Bytes of the bodies, as far as they were carried.
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

impl Done {
    pub(crate) fn new(route: Option<RouteId>, status: u16, after: After) -> Self {
        Self { route, status, fault: None, after, request_bytes: 0, response_bytes: 0 }
    }
}

/// What the client still has to send of the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Body {
    pub(crate) framing: Framing,
    /// It waits for `100 Continue` before it sends anything.
    pub(crate) awaits_continue: bool,
}

/// The methods that are carried at all, whatever routes say.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Answers the request in `scratch`.
pub(crate) async fn serve(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
) -> After {
    begin(connection, snapshot, scratch);
    let done = match check(connection, snapshot, scratch) {
        Ok(body) => answer(connection, snapshot, scratch, body).await,
        Err(fault) => {
            // RFC 9110, 15.5.6: a 405 must say which methods are allowed.
            let allow = (fault == Fault::MethodNotAllowed).then_some(ALLOWED);
            respond::fault(connection, scratch, None, fault, allow).await
        }
    };
    account::record(connection, snapshot, scratch, &done);
    done.after
}

/// Answers a request whose head could not be read.
pub(crate) async fn refuse(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    fault: Fault,
) -> After {
    // What could be read of it is not to be believed.
    scratch.request.clear();
    begin(connection, snapshot, scratch);
    let done = respond::fault(connection, scratch, None, fault, None).await;
    account::record(connection, snapshot, scratch, &done);
    done.after
}

async fn answer(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    body: Body,
) -> Done {
    if let Some(admin) = connection.listener.admin.clone() {
        return Box::pin(admin.answer(connection, scratch, body)).await;
    }
    if let Some(content) = authority_asks(connection, snapshot, scratch) {
        scratch.cx.record("acme", "reply", "an authority looks whether the name leads here");
        let reply = Reply::status(200).header("Content-Type", "text/plain").body(content);
        return respond::reply(connection, scratch, None, &reply, body).await;
    }
    match hops::count(&mut scratch.request) {
        Hops::GoOn => {}
        Hops::Last => {
            let reply = Reply::status(204).header("Allow", ALLOWED);
            return respond::reply(connection, scratch, None, &reply, body).await;
        }
        Hops::Circle => {
            return respond::fault(connection, scratch, None, Fault::Loop, None).await;
        }
    }
    let verdict = snapshot.rules.decide(&mut scratch.request, &mut scratch.cx);
    if let Some(fault) = late::refusal(connection, scratch) {
        return respond::fault(connection, scratch, verdict.route(), fault, None).await;
    }
    if let Some(time) = scratch.cx.delay
        && let Err(fault) = Box::pin(delay::hold_up(connection, scratch, time, body)).await
    {
        return respond::fault(connection, scratch, verdict.route(), fault, None).await;
    }
    match verdict {
        Verdict::Forward { route, service } if snapshot.rules.route(route).cache.is_some() => {
            cache::serve(connection, snapshot, scratch, route, service, body).await
        }
        Verdict::Forward { route, service } => {
            forward::forward(connection, snapshot, scratch, route, service, body).await
        }
        Verdict::Reply { route, reply: answer } => {
            reply(connection, snapshot, scratch, route, (&answer, body)).await
        }
        Verdict::Files { route, files, candidates } => {
            let serving =
                files::serve(connection, snapshot, scratch, (route, files, candidates), body);
            Box::pin(serving).await
        }
        Verdict::Fault { route, fault, allow } => {
            respond::fault(connection, scratch, route, fault, allow.as_deref()).await
        }
    }
}

/// Answers with `reply`, which the route's filters see.
pub(super) async fn reply(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    (reply, body): (&Reply, Body),
) -> Done {
    reply.fill(&mut scratch.response);
    see_response(snapshot, scratch, route);
    let encoded = scratch.cx.encode.map(|encode| encode::whole(encode, &reply.body));
    match encoded.transpose() {
        Ok(encoded) => {
            let content = encoded.as_deref().unwrap_or(&reply.body);
            respond::send(connection, scratch, Some(route), content, body).await
        }
        Err(_) => respond::fault(connection, scratch, Some(route), Fault::Bug, None).await,
    }
}

/// What an authority wants to be answered that looks whether a name leads here (RFC 8555, 8.3): before
/// any route, which may send all of plain HTTP elsewhere.
fn authority_asks(
    connection: &Connection,
    snapshot: &Pinned,
    scratch: &Scratch,
) -> Option<Vec<u8>> {
    let answers = snapshot.http_answers.as_ref().filter(|_| !connection.peer.https)?;
    answers.find(scratch.request.path()).map(String::into_bytes)
}

/// Lets the route's filters see the response, whoever made it.
pub(crate) fn see_response(snapshot: &Pinned, scratch: &mut Scratch, route: RouteId) {
    let Scratch { request, response, cx, .. } = scratch;
    snapshot.rules.on_response(route, response, request, cx);
}

/// Collects the facts that rules may know.
fn begin(connection: &mut Connection, snapshot: &Pinned, scratch: &mut Scratch) {
    let worker = &connection.worker;
    scratch.cx.begin(worker.now_ns(), worker.random());
    scratch.cx.shown = connection.tls.as_ref().map(|tls| Rc::clone(tls.proven.shown()));
    connection.watch.unlimit();
    let trusted = |address| covers(&snapshot.trust, address);
    rules::forward::receive(&mut scratch.request, connection.peer, &mut scratch.cx, trusted);
    if scratch.request.fields.has(Known::DoorwardExplain) {
        let asked = scratch.request.fields.get(Known::DoorwardExplain).unwrap_or_default();
        if snapshot.may_explain(asked) {
            scratch.cx.trail = Some(Box::default());
            if let Some(tls) = &connection.tls {
                tls.record(&mut scratch.cx);
            }
        }
        // It is a secret between the caller and us.
        scratch.request.fields.remove(Known::DoorwardExplain);
    }
}

/// Whether what the client showed when it came is still enough: certificates expire and are revoked.
fn check_client(connection: &Connection, snapshot: &Pinned) -> Result<(), Unproven> {
    let Some(tls) = &connection.tls else { return Ok(()) };
    let https = snapshot.tls.as_ref();
    let clients = https.and_then(|https| https.at(connection.listener.written).1);
    tls.proven.check(clients, connection.worker.deadlines.now_ms())
}

/// What HTTP itself says about the request, before any rule.
fn check(connection: &Connection, snapshot: &Pinned, scratch: &mut Scratch) -> Result<Body, Fault> {
    let request = &mut scratch.request;
    check_client(connection, snapshot).map_err(Fault::Unproven)?;
    if request.method == Method::Connect {
        return Err(Fault::Connect);
    }
    let announced = h1::request_framing(request).map_err(Fault::Malformed)?;
    let framing = match &connection.client {
        // Frames tell where a body ends, and whether there is one. What follows an extended CONNECT
        // belongs to another protocol.
        End::Stream(client) if client.is_received() || request.connection.upgrade => Framing::None,
        End::Stream(_) if announced == Framing::None => Framing::Chunked,
        _ => announced,
    };
    let awaits_continue = h1::wants_continue(request).map_err(Fault::Malformed)?;
    rules::grpc::receive(request, &mut scratch.cx)?;
    if connection.peer.trusted {
        rules::secure::check_early(request)?;
    }
    let schemes = [connection.peer.https, scratch.cx.https];
    if request.absolute_https().is_some_and(|https| !schemes.contains(&https)) {
        return Err(Fault::Malformed(h1::Malformed::Scheme));
    }
    if request.method == Method::Trace {
        // It would show a script the cookies that it may not read (cross-site tracing).
        return Err(Fault::MethodNotAllowed);
    }
    Ok(Body { framing, awaits_continue })
}
