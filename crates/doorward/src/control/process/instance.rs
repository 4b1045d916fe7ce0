//! One instance of a service as a state machine: what happened in, what to do out.
//!
//! It sees no process, socket or clock. One process after the other may serve it; each is one
//! `run`, and what comes late from an earlier run is ignored.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::failure::{Failure, spelled};
use super::journal::Level;
use super::news::{Effect, Event, Exit, Process, RunId, Signal, StateName, Time};
use super::spec::ServiceSpec;
use crate::control::health::UNPROVEN_CHECK_EVERY;

/// Ports tried at once when somebody else took the one that was free a moment ago.
const PORTS_TRIED_MAX: u32 = 5;

/// How long after SIGKILL the kernel may take. A process stuck in a driver never ends; Doorward
/// must.
const KILL_GRACE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Unproven { until: Time, passed: u32 },
    Ready { failed: u32 },
    Failing { passed: u32 },
    BackingOff { until: Time },
    Draining { until: Time },
    Stopping { until: Time, killed: bool, then: Then },
    Gone,
}

/// What follows when a process that is being stopped has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    Gone,
    Again(Failure),
}

/// How the last run ended.
#[derive(Clone, Debug)]
pub(super) struct LastExit {
    pub(super) reason: String,
    pub(super) last_lines: Vec<String>,
    pub(super) at: Time,
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: u64,
    /// The number that people see, from 1; a replacement has that of the replaced.
    pub(super) slot: u32,
    pub(super) spec: Arc<ServiceSpec>,
    pub(super) restarts: u32,
    pub(super) last_exit: Option<LastExit>,
    pub(super) process: Option<Process>,
    /// It was ready at least once, so its command is known to work.
    pub(super) proven: bool,
    pub(super) since: Time,
    state: State,
    run: u32,
    /// Since when this run is ready, if it ever was.
    ready_since: Option<Time>,
    next_probe: Time,
    probing: bool,
    /// How many were made.
    probes: u64,
    last_probe: String,
    ports_tried: u32,
    backoff: Backoff,
}

type Effects = Vec<Effect>;

impl Instance {
    /// An instance whose first process is started at once.
    pub(super) fn start(
        id: u64,
        slot: u32,
        spec: Arc<ServiceSpec>,
        now: Time,
        effects: &mut Effects,
    ) -> Self {
        let mut instance = Self {
            id,
            slot,
            spec,
            restarts: 0,
            last_exit: None,
            process: None,
            proven: false,
            since: now,
            state: State::Starting,
            run: 0,
            ready_since: None,
            next_probe: now,
            probing: false,
            probes: 0,
            last_probe: String::new(),
            ports_tried: 0,
            backoff: Backoff::new(id),
        };
        instance.launch(now, effects);
        instance
    }

    /// A second process beside this one, which stopped answering, to take its place. It has the
    /// same history, so a service that fails again and again is replaced ever more slowly.
    pub(super) fn replacement(&mut self, id: u64, now: Time) -> Self {
        let until = now + self.backoff.next();
        Self {
            id,
            slot: self.slot,
            spec: Arc::clone(&self.spec),
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
            process: None,
            proven: true,
            since: now,
            state: State::BackingOff { until },
            run: 0,
            ready_since: None,
            next_probe: now,
            probing: false,
            probes: 0,
            last_probe: String::new(),
            ports_tried: 0,
            backoff: self.backoff.clone(),
        }
    }

    pub(super) fn run_id(&self) -> RunId {
        RunId { instance: self.id, run: self.run }
    }

    pub(super) fn state(&self) -> StateName {
        match self.state {
            State::Starting => StateName::Starting,
            State::Unproven { .. } => StateName::Unproven,
            State::Ready { .. } => StateName::Ready,
            State::Failing { .. } => StateName::Failing,
            State::BackingOff { .. } => StateName::BackingOff,
            State::Draining { .. } => StateName::Draining,
            State::Stopping { .. } => StateName::Stopping,
            State::Gone => StateName::Gone,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        let process = self.process?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, process.port)))
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let probe = (self.is_watched() && !self.probing).then_some(self.next_probe);
        let own = match self.state {
            State::Unproven { until, .. }
            | State::BackingOff { until }
            | State::Draining { until }
            | State::Stopping { until, .. } => Some(until),
            State::Starting | State::Ready { .. } | State::Failing { .. } | State::Gone => None,
        };
        probe.into_iter().chain(own).min()
    }

    fn is_watched(&self) -> bool {
        matches!(self.state, State::Unproven { .. } | State::Ready { .. } | State::Failing { .. })
    }

    pub(super) fn event(&mut self, event: Event, now: Time, effects: &mut Effects) {
        match event {
            Event::Spawned(process) => self.spawned(process, now, effects),
            Event::NotSpawned(failure) => self.ended(
                Exit { failure, last_lines: Vec::new(), port_taken: false },
                now,
                effects,
            ),
            Event::Exited(exit) => self.ended(exit, now, effects),
            Event::Probed(result) => self.probed(result, now, effects),
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Time, effects: &mut Effects) {
        if let Some(process) = self.process
            && self.is_watched()
            && !self.probing
            && self.next_probe <= now
        {
            self.probing = true;
            effects.push(Effect::Probe {
                id: self.run_id(),
                port: process.port,
                checked: self.spec.checked.clone(),
            });
        }
        match self.state {
            State::Unproven { until, .. } if until <= now => {
                let failure = Failure::NeverReady {
                    limit: self.spec.start_limit,
                    last: self.last_probe.clone(),
                };
                self.terminate(Then::Again(failure), now, effects);
            }
            State::BackingOff { until } if until <= now => {
                self.restarts += 1;
                self.launch(now, effects);
            }
            State::Draining { until } if until <= now => self.terminate(Then::Gone, now, effects),
            State::Stopping { until, .. } if until <= now => self.overdue(now, effects),
            _ => {}
        }
    }

    /// Leaves: drained first if it ever had requests, then stopped.
    pub(super) fn retire(&mut self, now: Time, effects: &mut Effects) {
        match self.state {
            State::Ready { .. } | State::Failing { .. } => {
                let until = now + self.spec.drain_limit;
                self.turn(State::Draining { until }, now);
            }
            State::Draining { .. } => {}
            _ => self.stop(now, effects),
        }
    }

    /// No request is on its way to it any more.
    pub(super) fn drained(&mut self, now: Time, effects: &mut Effects) {
        if matches!(self.state, State::Draining { .. }) {
            self.terminate(Then::Gone, now, effects);
        }
    }

    /// Stops without waiting for requests.
    pub(super) fn stop(&mut self, now: Time, effects: &mut Effects) {
        match &mut self.state {
            State::Gone => {}
            State::Stopping { then, .. } => *then = Then::Gone,
            State::BackingOff { .. } => self.turn(State::Gone, now),
            _ => self.terminate(Then::Gone, now, effects),
        }
    }

    /// Stops a process that no longer answers and starts it again, as there is no better one.
    pub(super) fn restart(&mut self, now: Time, effects: &mut Effects) {
        if matches!(self.state, State::Failing { .. }) {
            let failure = self.silence();
            self.terminate(Then::Again(failure), now, effects);
        }
    }

    fn launch(&mut self, now: Time, effects: &mut Effects) {
        self.run += 1;
        self.ready_since = None;
        self.process = None;
        self.turn(State::Starting, now);
        effects.push(Effect::Spawn {
            id: self.run_id(),
            slot: self.slot,
            spec: Arc::clone(&self.spec),
        });
    }

    fn spawned(&mut self, process: Process, now: Time, effects: &mut Effects) {
        self.process = Some(process);
        if self.state == State::Starting {
            let until = now + self.spec.start_limit;
            self.turn(State::Unproven { until, passed: 0 }, now);
            (self.next_probe, self.probing) = (now, false);
            "it was not asked yet".clone_into(&mut self.last_probe);
            let Process { pid, port } = process;
            let text = format!("started as process {pid} on port {port}");
            self.say(Level::Info, text, effects);
        } else if matches!(self.state, State::Stopping { .. }) {
            self.signal(Signal::Terminate, effects);
        }
    }

    fn probed(&mut self, result: Result<(), String>, now: Time, effects: &mut Effects) {
        self.probing = false;
        let health = &self.spec.checked.health;
        let (rise, fall) = (health.healthy_after.max(1), health.unhealthy_after.max(1));
        let pause = self.pause();
        self.next_probe = now
            + match self.state {
                State::Unproven { .. } => UNPROVEN_CHECK_EVERY.min(pause),
                _ => pause,
            };
        match (&mut self.state, &result) {
            (State::Unproven { passed, .. } | State::Failing { passed }, Ok(())) => {
                *passed += 1;
                if *passed >= rise {
                    self.became_ready(now, effects);
                }
            }
            (State::Unproven { passed, .. } | State::Failing { passed }, Err(_)) => *passed = 0,
            (State::Ready { failed }, Ok(())) => *failed = 0,
            (State::Ready { failed }, Err(_)) => {
                *failed += 1;
                if *failed >= fall {
                    self.last_probe = result.err().unwrap_or_default();
                    return self.fell_silent(now, effects);
                }
            }
            _ => {}
        }
        if let Err(why) = result {
            self.last_probe = why;
        }
    }

    fn became_ready(&mut self, now: Time, effects: &mut Effects) {
        let text = match self.state {
            State::Failing { .. } => format!("{}answers again", self.subject()),
            _ => format!("{}is ready after {}", self.subject(), spelled(now - self.since)),
        };
        self.ready_since = Some(now);
        self.proven = true;
        self.ports_tried = 0;
        self.next_probe = now + self.pause();
        self.turn(State::Ready { failed: 0 }, now);
        self.say(Level::Info, text, effects);
    }

    fn fell_silent(&mut self, now: Time, effects: &mut Effects) {
        let reason = self.silence().to_string();
        self.forget_old_failures(now);
        self.turn(State::Failing { passed: 0 }, now);
        self.say(
            Level::Error,
            format!("{}{reason}; it gets no more requests and is being replaced", self.subject()),
            effects,
        );
        self.last_exit = Some(LastExit { reason, last_lines: Vec::new(), at: now });
    }

    /// The time to the next check.
    fn pause(&mut self) -> Duration {
        self.probes += 1;
        // Instances of one service must not be asked all at once.
        let random = (self.id ^ self.probes << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.spec.checked.health.pause(random)
    }

    fn silence(&self) -> Failure {
        Failure::Silent {
            checks: self.spec.checked.health.unhealthy_after.max(1),
            last: self.last_probe.clone(),
        }
    }

    /// Asks the process to end, or notes that it must as soon as there is one.
    fn terminate(&mut self, then: Then, now: Time, effects: &mut Effects) {
        let until = now + self.spec.stop_grace;
        self.turn(State::Stopping { until, killed: false, then }, now);
        if self.process.is_some() {
            self.signal(Signal::Terminate, effects);
        }
    }

    /// The time to stop is over.
    fn overdue(&mut self, now: Time, effects: &mut Effects) {
        let State::Stopping { until, killed, then } = &mut self.state else {
            return;
        };
        if !*killed {
            *killed = true;
            *until = now + KILL_GRACE;
            let grace = spelled(self.spec.stop_grace);
            self.signal(Signal::Kill, effects);
            let text = format!("{}did not stop within {grace}: killed", self.subject());
            return self.say(Level::Warn, text, effects);
        }
        let then = then.clone();
        let text = format!("{}cannot be killed and is left behind", self.subject());
        self.say(Level::Error, text, effects);
        self.finished(then, Vec::new(), now, effects);
    }

    fn ended(&mut self, exit: Exit, now: Time, effects: &mut Effects) {
        match self.state.clone() {
            State::Stopping { then, .. } => self.finished(then, exit.last_lines, now, effects),
            State::Draining { .. } => self.finished(Then::Gone, Vec::new(), now, effects),
            State::Gone | State::BackingOff { .. } => {}
            _ if exit.port_taken
                && self.ready_since.is_none()
                && self.ports_tried < PORTS_TRIED_MAX =>
            {
                self.ports_tried += 1;
                let text = format!("{}lost its port to another: trying again", self.subject());
                self.say(Level::Info, text, effects);
                self.launch(now, effects);
            }
            _ => self.fail(&exit.failure, exit.last_lines, now, effects),
        }
    }

    fn finished(&mut self, then: Then, lines: Vec<String>, now: Time, effects: &mut Effects) {
        match then {
            Then::Gone => {
                let text = format!("{}stopped", self.subject());
                self.say(Level::Info, text, effects);
                self.process = None;
                self.turn(State::Gone, now);
            }
            Then::Again(failure) => self.fail(&failure, lines, now, effects),
        }
    }

    /// Notes why the run ended and waits before the next.
    fn fail(
        &mut self,
        failure: &Failure,
        last_lines: Vec<String>,
        now: Time,
        effects: &mut Effects,
    ) {
        self.forget_old_failures(now);
        let wait = self.backoff.next();
        let subject = self.subject();
        self.process = None;
        self.turn(State::BackingOff { until: now + wait }, now);
        let reason = failure.to_string();
        let times = self.backoff.in_a_row();
        let known = self.last_exit.as_ref().is_some_and(|last| last.reason == reason);
        let mut text = format!("{subject}{reason}; next try in {}", spelled(wait));
        if times > 1 {
            text += &format!(", failure {times} in a row");
        }
        // The same words again would only hide the first.
        if !known || times == 1 {
            for line in &last_lines {
                text += "\n    ";
                text += line;
            }
        }
        self.say(Level::Error, text, effects);
        self.last_exit = Some(LastExit { reason, last_lines, at: now });
    }

    fn forget_old_failures(&mut self, now: Time) {
        if let Some(since) = self.ready_since {
            self.backoff.prove(now - since);
        }
    }

    fn turn(&mut self, state: State, now: Time) {
        self.state = state;
        self.since = now;
    }

    /// What a sentence about the running process begins with.
    fn subject(&self) -> String {
        let process = self.process.map(|process| format!("process {} ", process.pid));
        process.unwrap_or_default()
    }

    fn signal(&self, signal: Signal, effects: &mut Effects) {
        effects.push(Effect::Signal { id: self.run_id(), signal });
    }

    fn say(&self, level: Level, text: String, effects: &mut Effects) {
        effects.push(Effect::Say {
            service: Arc::clone(&self.spec.name),
            instance: Some(self.slot),
            level,
            text,
        });
    }
}
