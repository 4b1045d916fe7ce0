//! Does what the fleet decides: the only place here that starts, asks, signals and sleeps.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::child::{self, Launch, Running};
use super::failure::Failure;
use super::fleet::{Fleet, InstanceStatus};
use super::journal::Sink;
use super::news::{Effect, Event, Exit, Process, RunId, Signal};
use super::output::{Tail, Voice};
use super::spec::ServiceSpec;
use crate::control::snapshot::Address;

/// How long no process is given the port of one that ended: who still holds its address must not
/// reach another service there.
const PORT_REST: Duration = Duration::from_secs(60);

/// The ready instances of `service` are now these. What is missing gets no new requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointsChanged {
    pub(crate) service: Arc<str>,
    pub(crate) ready: Vec<SocketAddr>,
}

/// Tells the supervisor what is wanted; from any thread. When all are gone, everything is stopped.
#[derive(Clone, Debug)]
pub(crate) struct Supervision(mpsc::UnboundedSender<Order>);

#[derive(Debug)]
enum Order {
    Apply(Vec<ServiceSpec>),
    Drained(SocketAddr),
    Scale(Box<str>, u32),
    Status(oneshot::Sender<Vec<InstanceStatus>>),
    Stop(oneshot::Sender<()>),
}

/// Starts and watches processes while [`Self::run`] is polled. Dropped, it kills them all.
#[derive(Debug)]
pub(crate) struct Supervisor {
    fleet: Fleet,
    orders: mpsc::UnboundedReceiver<Order>,
    endpoints: mpsc::UnboundedSender<EndpointsChanged>,
    sink: Sink,
    /// The runs that live, with the port that each was given.
    runs: HashMap<RunId, Run>,
    /// Ports of runs that ended, and when.
    resting: Vec<(Instant, u16)>,
    tasks: JoinSet<()>,
    news: (mpsc::UnboundedSender<News>, mpsc::UnboundedReceiver<News>),
    began: Instant,
    epoch: Duration,
    waiting_for_stop: Vec<oneshot::Sender<()>>,
}

type News = (RunId, Event);

#[derive(Debug)]
struct Run {
    port: u16,
    signals: mpsc::UnboundedSender<Signal>,
}

/// A new supervisor, and what speaks to it and hears from it.
pub(crate) fn supervisor(
    sink: Sink,
) -> (Supervision, mpsc::UnboundedReceiver<EndpointsChanged>, Supervisor) {
    let (order, orders) = mpsc::unbounded_channel();
    let (endpoints, changes) = mpsc::unbounded_channel();
    let supervisor = Supervisor {
        fleet: Fleet::default(),
        orders,
        endpoints,
        sink,
        runs: HashMap::new(),
        resting: Vec::new(),
        tasks: JoinSet::new(),
        news: mpsc::unbounded_channel(),
        began: Instant::now(),
        epoch: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        waiting_for_stop: Vec::new(),
    };
    (Supervision(order), changes, supervisor)
}

impl Supervision {
    /// Wants exactly `specs` from now on.
    pub(crate) fn apply(&self, specs: Vec<ServiceSpec>) {
        self.send(Order::Apply(specs));
    }

    /// No request is on its way to `address`, which is no longer among the endpoints: it may be
    /// stopped before its drain limit.
    pub(crate) fn drained(&self, address: SocketAddr) {
        self.send(Order::Drained(address));
    }

    /// Wants so many instances of `service`, as far as its configuration allows.
    pub(crate) fn scale(&self, service: &str, count: u32) {
        self.send(Order::Scale(service.into(), count));
    }

    /// Every instance, as it is now.
    pub(crate) async fn status(&self) -> Vec<InstanceStatus> {
        let (reply, status) = oneshot::channel();
        self.send(Order::Status(reply));
        status.await.unwrap_or_default()
    }

    /// Stops all services, within their grace, and ends [`Supervisor::run`].
    pub(crate) async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        self.send(Order::Stop(reply));
        // An error says that the supervisor is gone, and all processes with it.
        let _ = stopped.await;
    }

    fn send(&self, order: Order) {
        // A supervisor that ended has stopped everything: no order is of use to it.
        let _ = self.0.send(order);
    }
}

impl Supervisor {
    /// Runs until [`Supervision::stop`].
    pub(crate) async fn run(mut self) {
        let mut ordered = true;
        while !self.fleet.is_stopped() {
            let deadline = self.fleet.deadline().map(|time| self.began + time);
            let due = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let effects = tokio::select! {
                order = self.orders.recv(), if ordered => match order {
                    Some(order) => self.order(order),
                    None => {
                        ordered = false;
                        self.fleet.stop(self.began.elapsed())
                    }
                },
                Some((id, event)) = self.news.1.recv() => {
                    if matches!(event, Event::Exited(_)) {
                        let run = self.runs.remove(&id);
                        self.resting.extend(run.map(|run| (Instant::now(), run.port)));
                    }
                    self.fleet.event(id, &event, self.began.elapsed())
                }
                Some(_) = self.tasks.join_next() => Vec::new(),
                () = due => self.fleet.tick(self.began.elapsed()),
            };
            self.perform(effects);
        }
        for stopped in self.waiting_for_stop {
            let _ = stopped.send(());
        }
    }

    fn order(&mut self, order: Order) -> Vec<Effect> {
        let now = self.began.elapsed();
        match order {
            Order::Apply(specs) => self.fleet.apply(specs, now),
            Order::Scale(service, count) => self.fleet.scale(&service, count as usize, now),
            Order::Drained(address) => self.fleet.drained(address, now),
            Order::Status(reply) => {
                let _ = reply.send(self.fleet.status(self.epoch));
                Vec::new()
            }
            Order::Stop(reply) => {
                self.waiting_for_stop.push(reply);
                self.fleet.stop(now)
            }
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Spawn { id, slot, spec } => {
                    let event = match self.spawn(id, slot, &spec) {
                        Ok(process) => Event::Spawned(process),
                        Err(failure) => Event::NotSpawned(failure),
                    };
                    effects.extend(self.fleet.event(id, &event, self.began.elapsed()));
                }
                Effect::Probe { id, port, checked } => {
                    let news = self.news.0.clone();
                    self.tasks.spawn(async move {
                        let address = Address::Tcp((Ipv4Addr::LOCALHOST, port).into());
                        let result = checked.check(&address).await;
                        let _ = news.send((id, Event::Probed(result)));
                    });
                }
                Effect::Signal { id, signal } => {
                    if let Some(run) = self.runs.get(&id) {
                        let _ = run.signals.send(signal);
                    }
                }
                Effect::Publish { service, ready } => {
                    let _ = self.endpoints.send(EndpointsChanged { service, ready });
                }
                Effect::Say { service, instance, level, text } => {
                    self.sink.event(&service, instance, level, text);
                }
            }
        }
    }

    /// Finds a port, starts a process and a task that stays with it.
    fn spawn(&mut self, id: RunId, slot: u32, spec: &ServiceSpec) -> Result<Process, Failure> {
        self.resting.retain(|(since, _)| since.elapsed() < PORT_REST);
        let used = self.runs.values().map(|run| run.port);
        let taken: Vec<u16> = used.chain(self.resting.iter().map(|(_, port)| *port)).collect();
        let port = child::free_port(&taken)
            .map_err(|error| Failure::Unstarted { why: format!("no port is free: {error}") })?;
        let launch = Launch {
            words: spec.words(port),
            variables: spec.variables(slot, port),
            directory: &spec.directory,
        };
        let running = launch.spawn()?;
        let pid = running.pid();
        let voice = Voice {
            sink: self.sink.clone(),
            service: Arc::clone(&spec.name),
            instance: Some(slot),
        };
        let (signals, received) = mpsc::unbounded_channel();
        let last_word = LastWord {
            id,
            news: self.news.0.clone(),
            exit: Exit { failure: Failure::Unknown, last_lines: Vec::new(), port_taken: false },
        };
        self.tasks.spawn(attend(running, received, voice, port, last_word));
        self.runs.insert(id, Run { port, signals });
        Ok(Process { pid, port })
    }
}

async fn attend(
    running: Running,
    signals: mpsc::UnboundedReceiver<Signal>,
    voice: Voice,
    port: u16,
    mut last_word: LastWord,
) {
    let (stdout, stderr) = (Tail::default(), Tail::default());
    let ended = running.attend(signals, &voice, (&stdout, &stderr)).await;
    // What is wrong stands in stderr; but some write their errors to stdout only.
    let last_lines = match stderr.lines() {
        lines if lines.is_empty() => stdout.lines(),
        lines => lines,
    };
    last_word.exit = Exit {
        port_taken: !ended.success && child::port_is_taken(port, &last_lines),
        failure: ended.failure,
        last_lines,
    };
}

/// Says that a run has ended, even if its task panics.
struct LastWord {
    id: RunId,
    news: mpsc::UnboundedSender<News>,
    exit: Exit,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        let _ = self.news.send((self.id, Event::Exited(self.exit.clone())));
    }
}
