//! Holds requests up on purpose, for as long as the `fault` of their route says.

use std::time::Duration;

use rules::Fault;

use super::attempt;
use super::connection::Connection;
use super::end::Speech;
use super::scratch::Scratch;
use super::serve::Body;
use crate::metrics::Counter;

/// The most requests that are held up at once, in each worker: each keeps its connection and its head.
/// Those beyond it go on at once, so that an experiment cannot take the door down.
const DELAYED_MAX: u64 = 10_000;

/// Counts a request that is held up, for as long as it is.
struct Delayed<'w>(&'w Counter);

impl Drop for Delayed<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// Holds the request in `scratch` up for `time`.
///
/// # Errors
/// The client left.
pub(super) async fn hold_up(
    connection: &mut Connection,
    scratch: &mut Scratch,
    time: Duration,
    body: Body,
) -> Result<(), Fault> {
    let worker = std::rc::Rc::clone(&connection.worker);
    let delayed = &worker.counters().delayed;
    if delayed.read() >= DELAYED_MAX {
        scratch.cx.delay = None;
        scratch.cx.record("fault", "pass", "as many requests are held up as may be");
        return Ok(());
    }
    delayed.add(1);
    let _delayed = Delayed(delayed);
    let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let speech = Speech::of(&scratch.request, !body.framing.has_body());
    attempt::pause(connection, (time_ms, speech)).await?;
    scratch.cx.sent_ns = worker.now_ns();
    Ok(())
}
