//! Requests that go to a service without their client: each in a task of its own.

use std::rc::Rc;

use rules::forward::Peer;
use rules::{Cx, RouteId, ServiceId};
use wire::RequestHead;

use super::connection::Connection;
use super::deadline::Watch;
use super::end::End;
use super::forward;
use super::listen::Listener;
use super::scratch::Scratch;
use super::serve::{Body, Done};
use super::worker::{Pinned, Worker};

/// Everything that a request needs that outlives its client.
pub(crate) struct Errand {
    pub(crate) worker: Rc<Worker>,
    listener: Rc<Listener>,
    peer: Peer,
    pub(crate) snapshot: Pinned,
    pub(crate) route: RouteId,
    service: ServiceId,
    pub(crate) request: RequestHead,
    pub(crate) cx: Cx,
}

/// How an errand ended.
pub(crate) struct Ended {
    pub(crate) done: Done,
    /// Where the answer went.
    pub(crate) client: End,
    pub(crate) scratch: Box<Scratch>,
}

impl Errand {
    /// To `service`, as the request in `scratch` would go.
    pub(crate) fn new(
        connection: &Connection,
        snapshot: &Pinned,
        scratch: &Scratch,
        (route, service): (RouteId, ServiceId),
    ) -> Self {
        Self {
            worker: Rc::clone(&connection.worker),
            listener: Rc::clone(&connection.listener),
            peer: connection.peer,
            snapshot: Pinned::clone(snapshot),
            route,
            service,
            request: scratch.request.clone(),
            cx: scratch.cx.clone(),
        }
    }

    /// Goes there, and brings the answer to `client`, from where its body comes. It may take `limit_ms`,
    /// unless the service has a limit of its own.
    pub(crate) async fn run(self, client: End, body: Body, limit_ms: Option<u64>) -> Ended {
        let Self { worker, listener, peer, snapshot, route, service, request, cx } = self;
        let watch = Watch::new(Rc::clone(&worker.deadlines)).await;
        let mut scratch = worker.take_scratch();
        scratch.request = request;
        scratch.cx = cx;
        scratch.cx.now_ns = worker.now_ns();
        scratch.cx.sent_ns = scratch.cx.now_ns;
        if let Some(limit_ms) = limit_ms {
            watch.limit(scratch.cx.now_ns / 1_000_000 + limit_ms, false);
        }
        let mut connection =
            Connection { worker, listener, client, peer, watch, served: 1, tls: None };
        let forwarding =
            forward::forward(&mut connection, &snapshot, &mut scratch, route, service, body);
        let done = forwarding.await;
        Ended { done, client: connection.client, scratch }
    }
}
