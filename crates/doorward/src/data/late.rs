//! A worker whose loop comes late has more to do than it can: it takes less, the important part first.
//!
//! How late it is, its own sweep sees (`Worker::keep_time`): a sleep of one sweep that takes longer has
//! waited behind everything else that was to be done. Rules decide what that means
//! (`rules::overload::LoopLag`); a request pays one look at a flag for it. What has begun is always
//! ended.

use std::cell::Cell;
use std::time::Duration;

use rules::Fault;
use rules::overload::{LoopLag, Priority};

use super::connection::Connection;
use super::deadline::SWEEP;
use super::scratch::Scratch;
use super::worker::Worker;
use crate::metrics::WorkerMetrics;
use crate::observe::log;

/// How late one worker's loop comes, and what it takes no more of therefore.
#[derive(Default)]
pub(crate) struct Late {
    lag: Cell<LoopLag>,
    sheds: Cell<bool>,
}

impl Late {
    /// A sleep of one sweep took so long at the worker of this number.
    pub(crate) fn turned(&self, worker: usize, metrics: &WorkerMetrics, took_ns: u64) {
        let before = self.lag.get();
        let mut lag = before;
        lag.turned(nanoseconds(SWEEP), took_ns);
        self.set(metrics, lag);
        let least = |lag: &LoopLag| Priority::ALL.into_iter().find(|one| !lag.admits(*one));
        if least(&before) != least(&lag) {
            let late_ms = lag.late_ms();
            let what = match least(&lag) {
                None => "takes everything again".to_owned(),
                Some(Priority::Sheddable) => "takes nothing that is sheddable".to_owned(),
                Some(Priority::Normal) => "takes only what is critical".to_owned(),
                Some(Priority::Critical) => "takes nothing new".to_owned(),
            };
            log::warn("overload", format!("worker {worker} comes {late_ms:.0} ms late: it {what}"));
        }
    }

    /// Nothing is to be done, so nothing is late.
    pub(crate) fn rests(&self, metrics: &WorkerMetrics) {
        self.set(metrics, LoopLag::default());
    }

    fn set(&self, metrics: &WorkerMetrics, lag: LoopLag) {
        self.sheds.set(!lag.admits(Priority::Sheddable));
        metrics.late_us.set((lag.late_ms() * 1000.0) as u64);
        self.lag.set(lag);
    }

    /// Whether not even what is critical is taken, and so no new connection.
    pub(crate) fn takes_nothing(&self) -> bool {
        self.sheds.get() && !self.lag.get().admits(Priority::Critical)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Why the request in `scratch` is not taken now, if it is not.
#[inline]
pub(super) fn refusal(connection: &Connection, scratch: &mut Scratch) -> Option<Fault> {
    match connection.worker.late.sheds.get() {
        false => None,
        true => judge(&connection.worker, scratch),
    }
}

#[cold]
fn judge(worker: &Worker, scratch: &mut Scratch) -> Option<Fault> {
    let (lag, priority) = (worker.late.lag.get(), scratch.cx.priority);
    if lag.admits(priority) {
        return None;
    }
    worker.counters().shed[priority as usize].add(1);
    scratch.cx.note("priority", priority.name());
    scratch.cx.note("late", format_args!("{:.0} ms", lag.late_ms()));
    scratch.cx.record("overload", "shed", "Doorward's own loop comes late");
    // It is measured anew within a second; who comes again is spread over some.
    let retry_after_s = 1 + (worker.draw() % RETRY_AFTER_SPREAD_S) as u32;
    Some(Fault::Overloaded { retry_after_s })
}

/// Over so many seconds those come again that were shed in the same moment.
const RETRY_AFTER_SPREAD_S: u64 = 3;
