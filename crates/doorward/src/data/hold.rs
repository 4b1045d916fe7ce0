//! Holds requests until the first instance of a service is ready.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rules::Fault;
use rules::service::Source;

use super::connection::Connection;
use super::end::Speech;
use super::scratch::Scratch;
use super::serve::Body;
use crate::control::snapshot::Service;

/// How long a request waits for an instance at most: as long as an instance may take to start.
const HOLD_MS: u64 = 60_000;

/// The most requests of one service that wait so, in each worker. Each holds its connection and its
/// head; who comes behind so many would be late in any case.
const HELD_MAX: u64 = 10_000;

/// Whether requests wait for an instance of `service`, which has none at the moment.
pub(super) fn is_due(service: &Service) -> bool {
    service.endpoints.is_empty()
        && matches!(&service.rules.source, Source::Run(run) if run.scale.min == 0)
}

/// Counts a request that waits, for as long as it does.
struct Held<'s>(&'s Service, usize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.metrics.shards[self.1].held.sub(1);
    }
}

/// Waits until `service` has an instance, and returns it as it is then.
///
/// # Errors
/// It took too long, or the client left.
pub(super) async fn until_ready(
    connection: &mut Connection,
    scratch: &mut Scratch,
    service: &Service,
    body: Body,
) -> Result<Arc<Service>, Fault> {
    let worker = std::rc::Rc::clone(&connection.worker);
    let held = &service.metrics.shards[worker.index].held;
    if held.read() >= HELD_MAX {
        return Err(Fault::Starting);
    }
    held.add(1);
    let _held = Held(service, worker.index);
    worker.want();
    scratch.cx.record("scale", "hold", "no instance runs, and one is being started");
    connection.watch.set(HOLD_MS);
    let speech = Speech::of(&scratch.request, !body.framing.has_body());
    loop {
        let mut changed = pin!(worker.changed());
        changed.as_mut().enable();
        let snapshot = worker.pin();
        let now = snapshot.services.iter().find(|other| other.index == service.index);
        match now {
            None => return Err(Fault::NoEndpoint),
            Some(now) if !now.endpoints.is_empty() => return Ok(Arc::clone(now)),
            Some(_) => {}
        }
        poll_fn(|cx| {
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if connection.watch.is_over() {
                return Poll::Ready(Err(Fault::Starting));
            }
            connection.client.poll_gone(speech, cx).map(|()| Err(Fault::ClientGone))
        })
        .await?;
    }
}
