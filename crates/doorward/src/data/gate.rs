//! The gate before a service that is not to be asked for more than it can do.
//!
//! Rules decide (`rules::overload`): who goes on, who waits, who is told to come again. This keeps one
//! gate for each service at each worker, and those that wait. A request counts until the head of its
//! answer is here, or there will be none. What workers have to know together is in [`Common`]; a
//! service without limits has no gate and asks for nothing here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Poll, Waker};

use rules::balance::is_failure;
use rules::overload::{self, Admission, Called, Gate, Policy, Priority, Ticket};
use rules::{Cx, Fault};

use super::connection::Connection;
use super::deadline::SWEEP;
use super::end::Speech;
use super::limit;
use super::scratch::Scratch;
use super::serve::Body;
use super::worker::Worker;
use crate::control::snapshot::Service;
use crate::metrics::GateShard;
use crate::observe::log;

/// What all workers know together of how fast a service is. Two that write it in the same moment do no
/// harm.
#[derive(Debug, Default)]
pub(crate) struct Common {
    base_ms: AtomicU32,
    breather_ns: AtomicU64,
    breather_ms: AtomicU32,
}

impl Common {
    fn load(&self) -> overload::Common {
        overload::Common {
            base_ms: f32::from_bits(self.base_ms.load(Ordering::Relaxed)),
            breather_ns: self.breather_ns.load(Ordering::Relaxed),
            breather_ms: f32::from_bits(self.breather_ms.load(Ordering::Relaxed)),
        }
    }

    /// Writes what changed: most answers change nothing, and other workers read it all the time.
    fn store(&self, before: overload::Common, now: overload::Common) {
        if before.base_ms != now.base_ms {
            self.base_ms.store(now.base_ms.to_bits(), Ordering::Relaxed);
        }
        if before.breather_ns != now.breather_ns {
            self.breather_ms.store(now.breather_ms.to_bits(), Ordering::Relaxed);
            self.breather_ns.store(now.breather_ns, Ordering::Relaxed);
        }
    }
}

/// All gates of one worker.
#[derive(Default)]
pub(crate) struct Gates {
    /// By the index of the service.
    gates: RefCell<Vec<Option<Rc<ServiceGate>>>>,
}

impl Gates {
    /// The gate before `service`. Another policy is another gate: those that came in by the old one
    /// leave by it, and so do those that wait there.
    fn of(&self, worker: &Worker, service: &Service, policy: &Policy) -> Rc<ServiceGate> {
        let mut gates = self.gates.borrow_mut();
        if gates.len() <= service.index {
            gates.resize_with(service.index + 1, || None);
        }
        match &gates[service.index] {
            Some(gate) if gate.policy == *policy => Rc::clone(gate),
            _ => {
                let gate = Rc::new(ServiceGate::new(worker, service, *policy));
                gates[service.index] = Some(Rc::clone(&gate));
                gate
            }
        }
    }
}

/// The gate before one service, at one worker.
struct ServiceGate {
    policy: Policy,
    name: Box<str>,
    common: Arc<Common>,
    gate: RefCell<Gate>,
    waiting: RefCell<BTreeMap<Ticket, Rc<Waiting>>>,
    /// When somebody was last told to come again.
    shed_ns: Cell<u64>,
}

/// One that waits.
struct Waiting {
    called: Cell<Option<Called>>,
    waker: RefCell<Option<Waker>>,
}

/// Shedding that begins again within this is the same, for the log.
const SAID_AGAIN_NS: u64 = 10_000_000_000;

impl ServiceGate {
    fn new(worker: &Worker, service: &Service, policy: Policy) -> Self {
        let workers = worker.metrics.client_workers().len();
        Self {
            policy,
            name: service.rules.name.clone(),
            common: Arc::clone(&service.common),
            gate: RefCell::new(Gate::new(policy, workers)),
            waiting: RefCell::default(),
            shed_ns: Cell::new(0),
        }
    }

    /// Lets in who is called, and tells those that waited for too long.
    fn call(&self, worker: &Worker, now_ns: u64) {
        let common = self.common.load();
        loop {
            let called = self.gate.borrow_mut().next(&common, now_ns, worker.draw());
            let Some(called) = called else { return };
            let (Called::Go(ticket) | Called::Shed { ticket, .. }) = called;
            let waiting = self.waiting.borrow_mut().remove(&ticket);
            let waiting = waiting.expect("who is called waits");
            waiting.called.set(Some(called));
            if let Some(waker) = waiting.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    fn end(&self, worker: &Worker, begun_ns: u64, now_ns: u64, is_measured: bool) {
        let before = self.common.load();
        let mut common = before;
        self.gate.borrow_mut().end(&mut common, begun_ns, now_ns, is_measured);
        self.common.store(before, common);
        self.call(worker, now_ns);
    }

    fn shed(
        &self,
        shard: &GateShard,
        now_ns: u64,
        priority: Priority,
        retry_after_s: u32,
    ) -> Fault {
        shard.shed[priority as usize].add(1);
        let before_ns = self.shed_ns.replace(now_ns);
        if before_ns == 0 || now_ns.saturating_sub(before_ns) > SAID_AGAIN_NS {
            let (running, waiting) = self.gate.borrow().load();
            log::warn(
                "overload",
                format!(
                    "`{}` is asked for more than it can do: requests are shed, the least important \
                     first ({running} run and {waiting} wait at one worker)",
                    self.name
                ),
            );
        }
        Fault::UpstreamOverloaded { retry_after_s }
    }

    /// Notes how it stands, for the trail.
    fn note(&self, cx: &mut Cx) {
        let gate = self.gate.borrow();
        let (running, waiting) = gate.load();
        cx.note("priority", cx.priority.name());
        cx.note("limit", gate.limit());
        cx.note("running", running);
        cx.note("waiting", waiting);
    }

    /// Shows how it stands.
    fn show(&self, shard: &GateShard) {
        let gate = self.gate.borrow();
        let (running, waiting) = gate.load();
        shard.limit.set(u64::from(gate.limit()));
        shard.running.set(u64::from(running));
        shard.waiting.set(waiting as u64);
    }
}

/// A request that was let in. It counts until this is gone.
pub(super) struct Admitted {
    gate: Rc<ServiceGate>,
    worker: Rc<Worker>,
    metrics: Arc<crate::metrics::ServiceMetrics>,
    begun_ns: u64,
    /// When its answer came, if that says how long answers take.
    answered_ns: Option<u64>,
}

impl Admitted {
    /// The head of its answer is here.
    pub(super) fn answered(mut self, now_ns: u64, status: u16) {
        // A failure comes sooner or later than an answer would.
        self.answered_ns = Some(now_ns).filter(|_| !is_failure(status));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let now_ns = self.answered_ns.unwrap_or_else(|| self.worker.now_ns());
        self.gate.end(&self.worker, self.begun_ns, now_ns, self.answered_ns.is_some());
        self.gate.show(&self.metrics.shards[self.worker.index].gate);
    }
}

/// Lets the request through to `service`, at once or when it is its turn.
///
/// # Errors
/// There is too much to do, or its client left.
pub(super) async fn enter(
    connection: &mut Connection,
    scratch: &mut Scratch,
    service: &Service,
    policy: &Policy,
    body: Body,
) -> Result<Admitted, Fault> {
    let worker = Rc::clone(&connection.worker);
    let gate = worker.gates.of(&worker, service, policy);
    let (mut now_ns, priority) = (worker.now_ns(), scratch.cx.priority);
    let common = gate.common.load();
    let admission = gate.gate.borrow_mut().arrive(&common, now_ns, priority, worker.draw());
    if scratch.cx.trail.is_some() {
        gate.note(&mut scratch.cx);
    }
    let shard = &service.metrics.shards[worker.index].gate;
    let shed = match admission {
        Admission::Go => {
            scratch.cx.record("overload", "pass", "the service can do it now");
            None
        }
        Admission::Wait { ticket, most_ns } => {
            scratch.cx.record("overload", "wait", "as much is asked of the service as it can do");
            shard.waits.add(1);
            let seat = Seat::take(Rc::clone(&gate), Rc::clone(&worker), ticket);
            gate.call(&worker, now_ns);
            gate.show(shard);
            let called = Box::pin(wait(connection, scratch, &seat, body, most_ns)).await;
            drop(seat);
            gate.show(shard);
            now_ns = worker.now_ns();
            match called? {
                Called::Go(_) => {
                    scratch.cx.record("overload", "pass", "its turn has come");
                    None
                }
                Called::Shed { retry_after_s, why, .. } => Some((retry_after_s, why)),
            }
        }
        Admission::Shed { retry_after_s, why } => Some((retry_after_s, why)),
    };
    gate.show(shard);
    if let Some((retry_after_s, why)) = shed {
        scratch.cx.record("overload", "shed", why);
        return Err(gate.shed(shard, now_ns, priority, retry_after_s));
    }
    // It is not the service that let the request wait.
    scratch.cx.sent_ns = now_ns;
    let metrics = Arc::clone(&service.metrics);
    Ok(Admitted { gate, worker, metrics, begun_ns: now_ns, answered_ns: None })
}

/// The place of one that waits; whatever becomes of it, it is not waited for.
struct Seat {
    gate: Rc<ServiceGate>,
    worker: Rc<Worker>,
    ticket: Ticket,
    waiting: Rc<Waiting>,
}

impl Seat {
    fn take(gate: Rc<ServiceGate>, worker: Rc<Worker>, ticket: Ticket) -> Self {
        let waiting = Rc::new(Waiting { called: Cell::new(None), waker: RefCell::new(None) });
        gate.waiting.borrow_mut().insert(ticket, Rc::clone(&waiting));
        Self { gate, worker, ticket, waiting }
    }

    /// It waited for as long as it may.
    fn is_too_late(&self) -> Called {
        let now_ns = self.worker.now_ns();
        let random = self.worker.draw();
        let retry_after_s = self.gate.gate.borrow_mut().retry_after_s(now_ns, random);
        let why = "it waited for longer than is of use";
        Called::Shed { ticket: self.ticket, retry_after_s, why }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        match self.waiting.called.take() {
            // Its client left in the moment when it was called.
            Some(Called::Go(_)) => {
                let now_ns = self.worker.now_ns();
                self.gate.end(&self.worker, now_ns, now_ns, false);
            }
            Some(Called::Shed { .. }) => {}
            None => {
                if self.gate.waiting.borrow_mut().remove(&self.ticket).is_some() {
                    self.gate.gate.borrow_mut().leave(self.ticket);
                }
            }
        }
    }
}

/// Waits until it is called, or has waited for too long.
async fn wait(
    connection: &mut Connection,
    scratch: &Scratch,
    seat: &Seat,
    body: Body,
    most_ns: u64,
) -> Result<Called, Fault> {
    // The clock of deadlines may be a sweep old.
    let sweep_ms = u64::try_from(SWEEP.as_millis()).unwrap_or(u64::MAX);
    connection.watch.set((most_ns / 1_000_000).saturating_add(sweep_ms));
    let speech = Speech::of(&scratch.request, !body.framing.has_body());
    poll_fn(|cx| {
        if let Some(called) = seat.waiting.called.take() {
            return Poll::Ready(Ok(called));
        }
        if connection.watch.is_limit_over() {
            return Poll::Ready(Err(limit::fault(connection)));
        }
        if connection.watch.is_over() {
            return Poll::Ready(Ok(seat.is_too_late()));
        }
        if connection.client.poll_gone(speech, cx).is_ready() {
            return Poll::Ready(Err(Fault::ClientGone));
        }
        *seat.waiting.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}
