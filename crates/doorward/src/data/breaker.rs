//! The breaker before a service that is bad as a whole.
//!
//! Rules decide (`rules::breaker`): when it opens, for how long, and who tries whether the service is
//! well again. This keeps one for each service at each worker, and tells what it turns to. What clients
//! get while it is open is the business of `fallback.rs`; a service without a breaker asks for nothing
//! here.

use std::cell::RefCell;
use std::rc::Rc;

use rules::balance::is_failure;
use rules::breaker::{Breaker, Pass, Policy, Turned};
use rules::fault::Side;
use rules::{Cx, Fault};

use super::worker::Worker;
use crate::control::snapshot::Service;
use crate::metrics::{BreakerShard, BreakerState};
use crate::observe::log;

/// All breakers of one worker.
#[derive(Default)]
pub(crate) struct Breakers {
    /// By the index of the service; what it opens by, and how it stands.
    breakers: RefCell<Vec<Option<(Policy, Breaker)>>>,
}

impl Breakers {
    fn with<T>(
        &self,
        service: &Service,
        policy: &Policy,
        shard: &BreakerShard,
        act: impl FnOnce(&mut Breaker) -> T,
    ) -> T {
        let mut breakers = self.breakers.borrow_mut();
        if breakers.len() <= service.index {
            breakers.resize_with(service.index + 1, || None);
        }
        let known = &mut breakers[service.index];
        // What was seen by another policy says nothing.
        if known.as_ref().is_none_or(|(other, _)| other != policy) {
            *known = Some((*policy, Breaker::default()));
        }
        let (_, breaker) = known.as_mut().expect("it was just put there");
        let done = act(breaker);
        shard.state.set(BreakerState::named(breaker.name()) as u64);
        done
    }
}

/// A request that may go to its service. What becomes of it is noted; if nothing is, it says nothing.
pub(super) struct Passage {
    worker: Rc<Worker>,
    /// The index of the service.
    service: usize,
    pass: Pass,
    begun_ns: u64,
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.pass == Pass::Probe
            && let Some(Some((_, breaker))) =
                self.worker.breakers.breakers.borrow_mut().get_mut(self.service)
        {
            breaker.forget();
        }
    }
}

/// Lets the request pass to `service`, if its breaker does.
///
/// # Errors
/// It is open.
pub(super) fn pass(
    worker: &Rc<Worker>,
    service: &Service,
    policy: &Policy,
    cx: &mut Cx,
) -> Result<Passage, Fault> {
    let now_ns = worker.now_ns();
    let shard = &service.metrics.shards[worker.index].breaker;
    let breakers = &worker.breakers;
    let pass =
        breakers.with(service, policy, shard, |breaker| breaker.pass(policy, now_ns / 1_000_000));
    match pass {
        Pass::Closed => cx.record("breaker", "pass", "it is closed"),
        Pass::Probe => cx.record("breaker", "probe", "it shows whether the service is well again"),
        Pass::Open { retry_after_s } => {
            shard.refused.add(1);
            cx.record("breaker", "refuse", "it is open");
            return Err(Fault::BreakerOpen { retry_after_s });
        }
    }
    Ok(Passage { worker: Rc::clone(worker), service: service.index, pass, begun_ns: now_ns })
}

impl Passage {
    /// An answer of this status came.
    pub(super) fn answered(self, service: &Service, now_ns: u64, status: u16) {
        self.note(service, now_ns, is_failure(status));
    }

    /// There is no answer, by `fault`.
    pub(super) fn failed(self, service: &Service, fault: Fault) {
        let says_nothing = match fault {
            // What the client wanted too soon might have come in time.
            Fault::DeadlineExceeded => true,
            // It is on its way.
            Fault::Starting => true,
            fault => fault.side() != Side::Upstream,
        };
        if !says_nothing {
            let now_ns = self.worker.now_ns();
            self.note(service, now_ns, true);
        }
    }

    fn note(mut self, service: &Service, now_ns: u64, failed: bool) {
        // What is noted is not forgotten.
        let pass = std::mem::replace(&mut self.pass, Pass::Closed);
        // A reload may have taken it away.
        let Some(guard) = &service.rules.policy.breaker else { return };
        let (worker, policy) = (&self.worker, &guard.policy);
        let shard = &service.metrics.shards[worker.index].breaker;
        let times = (now_ns / 1_000_000, worker.metrics.client_workers().len());
        let took_ms = now_ns.saturating_sub(self.begun_ns) as f32 / 1e6;
        let turned = worker.breakers.with(service, policy, shard, |breaker| {
            breaker.note(policy, times, pass, (failed, took_ms))
        });
        if let Some(turned) = turned {
            say(worker, service, shard, turned);
        }
    }
}

fn say(worker: &Worker, service: &Service, shard: &BreakerShard, turned: Turned) {
    let (name, index) = (&service.rules.name, worker.index);
    let what = match turned {
        Turned::Open { for_ms, why } => {
            shard.opens.add(1);
            format!("opens for {:.1} s: {why}", for_ms as f32 / 1000.0)
        }
        Turned::Closed => "closes: its probes were answered well".to_owned(),
    };
    log::warn("breaker", format!("`{name}`: the breaker of worker {index} {what}"));
}
