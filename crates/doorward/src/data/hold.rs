//! Holds requests until the first instance of a service is ready, or until somebody is back.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rules::Fault;
use rules::retry::Held;
use rules::service::Source;

use super::attempt::{self, Trials};
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
struct Waits<'s>(&'s Service, usize);

impl Drop for Waits<'_> {
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
    let _waits = Waits(service, worker.index);
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
            Some(now) if !now.endpoints.is_empty() => {
                // It is not the instance that let the request wait.
                scratch.cx.sent_ns = worker.now_ns();
                return Ok(Arc::clone(now));
            }
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

/// Whether `fault` says that there is too much to do, as there is when all come back at once.
fn is_crowded(fault: Fault) -> bool {
    matches!(fault, Fault::UpstreamOverloaded { .. } | Fault::UpstreamBusy)
}

/// Whether the request may wait for `service`, which gave no answer by `fault`: nobody takes it at the
/// moment, and it can still be sent as a whole.
pub(super) fn is_for(service: &Service, fault: Fault, trials: &Trials) -> bool {
    service.rules.policy.retry.hold_ms.is_some()
        && (fault.is_absence() || is_crowded(fault))
        && !trials.has_begun.get()
}

/// Waits a moment for `service`, and returns it as it is then.
///
/// # Errors
/// The outage lasts for too long, too many wait already, or the client left.
pub(super) async fn a_while(
    connection: &mut Connection,
    scratch: &mut Scratch,
    (service, fault): (&Service, Fault),
    body: Body,
    trials: &Trials,
) -> Result<Arc<Service>, Fault> {
    let worker = std::rc::Rc::clone(&connection.worker);
    let held = &service.metrics.shards[worker.index].held;
    let others = held.read();
    let now_ns = worker.now_ns();
    let one = Held { now_ns, others, is_crowded: is_crowded(fault), random: worker.draw() };
    let wait_ms = worker.balances.hold_ms(service, &one);
    let is_in_time = |ms: &u64| connection.watch.left_ms().is_none_or(|left_ms| left_ms > *ms);
    let wait_ms = wait_ms.filter(is_in_time).filter(|_| others < HELD_MAX);
    let Some(wait_ms) = wait_ms else {
        // Too much to do without an outage is the gate's matter, which has said so.
        if fault.is_absence() {
            scratch.cx.record("hold", "no", "nobody is there, and it would wait for too long");
        }
        return Err(fault);
    };
    held.add(1);
    let _waits = Waits(service, worker.index);
    if !trials.held.replace(true) {
        scratch.cx.record("hold", "wait", "nobody is there to take it");
    }
    let speech = Speech::of(&scratch.request, !body.framing.has_body());
    attempt::pause(connection, (wait_ms, speech)).await?;
    // It is not the endpoint that let the request wait.
    scratch.cx.sent_ns = worker.now_ns();
    let snapshot = worker.pin();
    let now = snapshot.services.iter().find(|other| other.index == service.index);
    now.map(Arc::clone).ok_or(Fault::NoEndpoint)
}
