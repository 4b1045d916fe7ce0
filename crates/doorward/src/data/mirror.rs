//! Sends copies of requests to another service, off the path of their clients.
//!
//! What is copied is what the service itself is sent, when it has been read from the client: a copy is
//! never ahead of its original, and holds nobody up.

use std::rc::Rc;

use bytes::Bytes;
use rules::overload::Priority;
use wire::Fields;

use super::attempt::Sending;
use super::connection::Connection;
use super::end::End;
use super::errand::Errand;
use super::scratch::Scratch;
use super::serve::Body;
use super::transfer::Transfer;
use super::worker::Worker;
use crate::metrics::Mirrored;

/// The most copies under way at once, in each worker. Each holds a head, a body up to
/// [`BODY_BYTES_MAX`] and a connection: about 30 MiB at the worst. A service that does not keep up with
/// its copies misses some.
const COPIES_MAX: u64 = 256;

/// The largest body that is copied: what is sent again in a retry by default, too.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a copy may take in all, unless its service says so itself: none may hold its place for ever.
const COPY_MS: u64 = 60_000;

/// The client's end of a copy: the body is read from here, and what is written is gone.
#[derive(Default)]
pub(crate) struct Mirror {
    data: Option<Bytes>,
    trailers: Option<Box<Fields>>,
}

impl Mirror {
    /// The body, and nothing behind it.
    pub(crate) fn take_data(&mut self) -> Option<Bytes> {
        self.data.take()
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.trailers.take()
    }
}

/// A copy whose body is on its way to the service.
pub(crate) struct Copy(Option<(Errand, Body)>);

/// Counts a copy that is under way, for as long as it is.
struct Running(Rc<Worker>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.counters().mirrored.sub(1);
    }
}

/// Has the request in `scratch`, whose body `transfer` carries, copied if that was drawn.
pub(super) fn follow(
    connection: &Connection,
    scratch: &mut Scratch,
    sending: &Sending<'_>,
    transfer: &mut Transfer,
) {
    let Some(at) = scratch.cx.mirror.take() else { return };
    // What follows an upgrade is no request.
    if scratch.request.connection.upgrade {
        scratch.cx.record("mirror", "pass", "the request wants another protocol");
        return;
    }
    let mut errand = Errand::new(connection, sending.snapshot, scratch, at);
    errand.cx.trail = None;
    // Nobody waits for it.
    errand.cx.priority = Priority::Sheddable;
    errand.request.fields.set(rules::forward::MIRRORED, b"?1");
    let body = Body { framing: sending.body.framing, awaits_continue: false };
    let copy = Copy(Some((errand, body)));
    match transfer.has_read_all() {
        true => copy.go(Bytes::new(), None),
        false => transfer.copy_to(copy),
    }
}

impl Copy {
    /// Goes on its way with the whole body.
    pub(super) fn go(mut self, data: Bytes, trailers: Option<Box<Fields>>) {
        if data.len() > BODY_BYTES_MAX {
            return;
        }
        let Some((errand, body)) = self.0.take() else { return };
        let worker = Rc::clone(&errand.worker);
        if worker.counters().mirrored.read() >= COPIES_MAX {
            count(&errand, Mirrored::Busy);
            return;
        }
        worker.counters().mirrored.add(1);
        let running = Running(worker);
        let data = Some(data).filter(|data| !data.is_empty());
        let client = End::Mirror(Box::new(Mirror { data, trailers }));
        tokio::task::spawn_local(run(errand, client, body, running));
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some((errand, _)) = &self.0 {
            count(errand, Mirrored::Body);
        }
    }
}

async fn run(errand: Errand, client: End, body: Body, running: Running) {
    let worker = Rc::clone(&errand.worker);
    let (snapshot, route) = (Rc::clone(&errand.snapshot), errand.route);
    let ended = errand.run(client, body, Some(COPY_MS)).await;
    let how = match ended.done.fault {
        None => Mirrored::Answered,
        Some(_) => Mirrored::Failed,
    };
    snapshot.route_metrics.of(route).shards[worker.index].mirrored[how as usize].add(1);
    worker.return_scratch(ended.scratch);
    drop(running);
}

fn count(errand: &Errand, how: Mirrored) {
    let counters = errand.snapshot.route_metrics.of(errand.route);
    counters.shards[errand.worker.index].mirrored[how as usize].add(1);
}
