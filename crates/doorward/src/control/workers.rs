//! Starts the worker threads and tells them what to do.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, watch};

use super::listeners::{ListenSpec, Sockets};
use super::snapshot::Published;
use crate::data::cache::Flights;
use crate::data::h3::{self, listen::Place};
use crate::data::listen::{self, Listener, PerClient};
use crate::data::quic::Crossing;
use crate::data::store::Store;
use crate::data::worker::Worker;
use crate::metrics::Metrics;
use crate::observe::access::{AccessLog, AccessSink};
use crate::observe::{log, trails::Trails};

/// What all workers are made of.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) published: Arc<Published>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access: AccessSink,
    pub(crate) trails: Trails,
    pub(crate) per_client: PerClient,
    pub(crate) store: Arc<Store>,
    pub(crate) flights: Arc<Flights>,
}

impl Shared {
    /// The worker at `index`; it belongs to the thread that calls this.
    pub(crate) fn worker(&self, index: usize) -> Rc<Worker> {
        Worker::new(
            index,
            Arc::clone(&self.published),
            Arc::clone(&self.metrics),
            AccessLog::new(self.access.clone(), Arc::clone(&self.metrics), index),
            self.trails.clone(),
            Arc::clone(&self.store),
            Arc::clone(&self.flights),
        )
    }
}

/// What a worker can be told.
enum Command {
    Listen {
        socket: std::net::TcpListener,
        address: SocketAddr,
        spec: ListenSpec,
        stop: watch::Receiver<bool>,
        http3: Option<Place>,
    },
    /// No new requests; end when the last one has.
    Drain,
    /// End now.
    CutOff,
}

/// How often to look whether the threads have ended: nothing announces it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// All worker threads.
pub(crate) struct Workers {
    commands: Vec<mpsc::UnboundedSender<Command>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be had.
    pub(crate) fn start(count: usize, shared: &Shared) -> io::Result<Self> {
        let (mut commands, mut threads) = (Vec::new(), Vec::new());
        for index in 0..count {
            let runtime_shared = shared.clone();
            let (sender, receiver) = mpsc::unbounded_channel();
            let runtime = move || match runtime() {
                Ok(runtime) => {
                    runtime.block_on(work(index, runtime_shared, receiver));
                }
                Err(error) => log::error("worker", format!("cannot start: {error}")),
            };
            let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(runtime)?;
            commands.push(sender);
            threads.push(thread);
        }
        Ok(Self { commands, threads })
    }

    pub(crate) fn count(&self) -> usize {
        self.commands.len()
    }

    /// Hands each worker its own socket of one address.
    pub(crate) fn listen(
        &self,
        sockets: Sockets,
        address: SocketAddr,
        spec: &ListenSpec,
        stop: &watch::Receiver<bool>,
    ) {
        let Sockets { tcp, udp } = sockets;
        let (crossing, arrivals) = Crossing::new(self.count());
        let mut places = udp.into_iter().zip(arrivals).map(|(socket, arrivals)| {
            let crossing = crossing.clone();
            Place { socket, crossing, arrivals }
        });
        for (worker, socket) in self.commands.iter().zip(tcp) {
            // A worker that is gone has ended the process, or will.
            let _ = worker.send(Command::Listen {
                socket,
                address,
                spec: spec.clone(),
                stop: stop.clone(),
                http3: places.next(),
            });
        }
    }

    /// Tells all workers to end when their connections have.
    pub(crate) fn drain(&self) {
        for worker in &self.commands {
            let _ = worker.send(Command::Drain);
        }
    }

    /// Tells all workers to end at once, with whatever they are doing.
    pub(crate) fn cut_off(&self) {
        for worker in &self.commands {
            let _ = worker.send(Command::CutOff);
        }
    }

    /// Waits until all workers have ended.
    pub(crate) async fn ended(&self) {
        while !self.threads.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// How many sockets a worker hears of at a time, and how many tasks it runs before it listens again.
/// What a hundred streams read in one turn would be out of the CPU's cache before the connection that
/// they share gets its turn to send it: with 1,024 and 61, tokio's own choice, a response of 16 KiB
/// cost 10 % more over HTTP/2, and with 16 and 16 small ones did.
const EVENTS_PER_TURN_MAX: usize = 32;
const TASKS_PER_TURN_MAX: u32 = 31;

/// The runtime of one worker or of the control thread.
///
/// # Errors
/// If the kernel gives no epoll instance.
pub(crate) fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(EVENTS_PER_TURN_MAX)
        .event_interval(TASKS_PER_TURN_MAX)
        .build_local(LocalOptions::default())
}

async fn work(index: usize, shared: Shared, mut commands: mpsc::UnboundedReceiver<Command>) {
    let worker = shared.worker(index);
    tokio::task::spawn_local(Rc::clone(&worker).keep_time());
    let mut draining = false;
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            () = worker.drained(), if draining => break,
        };
        match command {
            Some(Command::Listen { socket, address, spec, stop, http3 }) => {
                let listener = Rc::new(Listener::new(address, spec));
                if let Some(place) = http3 {
                    let (worker, listener) = (Rc::clone(&worker), Rc::clone(&listener));
                    let per_client = shared.per_client.clone();
                    let receiving =
                        h3::listen::accept(worker, listener, place, per_client, stop.clone());
                    tokio::task::spawn_local(receiving);
                }
                match TcpListener::from_std(socket) {
                    Ok(socket) => {
                        let accepting = listen::accept(
                            Rc::clone(&worker),
                            listener,
                            socket,
                            shared.per_client.clone(),
                            stop,
                        );
                        tokio::task::spawn_local(accepting);
                    }
                    Err(error) => log::error("listen", format!("{address}: {error}")),
                }
            }
            Some(Command::Drain) => {
                worker.drain();
                draining = true;
            }
            Some(Command::CutOff) | None => break,
        }
    }
}
