//! The loop: both ends of the proxy, and the clock.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::client::{Client, Progress};
use crate::histogram::Histogram;
use crate::origin::OriginConnection;
use crate::pace::Pace;
use crate::sys::{Epoll, Interest, Ready, Socket};
use crate::wire::Wire;

const LISTENER: u64 = u64::MAX;
/// Bigger than any single read of a proxy, so that the loader does few of them.
const SCRATCH: usize = 512 * 1024;
/// How long answers to requests already sent are waited for.
const DRAIN: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_millis(50);
/// Reading the clock in every turn of a busy loop would be a cost of its own.
const TURNS_PER_CLOCK: u32 = 16;

pub struct Report {
    verified: bool,
    requests: u64,
    seconds: f64,
    bad: u64,
    first_fault: Option<String>,
    origin_connections: u64,
    behind: usize,
    latency: Histogram,
}

impl Report {
    pub fn to_json(&self) -> String {
        let Self { verified, requests, seconds, bad, origin_connections, behind, .. } = self;
        let micros = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let [p50, p90, p99, p999] =
            [0.5, 0.9, 0.99, 0.999].map(|share| micros(self.latency.quantile(share)));
        let fault = match &self.first_fault {
            Some(text) => format!("{text:?}"),
            None => "null".into(),
        };
        format!(
            "{{\"verified\":{verified},\"requests\":{requests},\"seconds\":{seconds:.3},\
             \"rps\":{:.0},\"bad\":{bad},\"fault\":{fault},\
             \"origin_connections\":{origin_connections},\"behind\":{behind},\
             \"latency_us\":{{\"p50\":{p50:.1},\"p90\":{p90:.1},\"p99\":{p99:.1},\
             \"p999\":{p999:.1},\"max\":{:.1}}}}}",
            *requests as f64 / seconds,
            micros(self.latency.max()),
        )
    }
}

enum Connection {
    Client(Client),
    Origin(OriginConnection),
}

struct Loop<'a> {
    args: &'a Args,
    wire: Wire,
    request: Vec<u8>,
    response: Rc<Vec<u8>>,
    epoll: Epoll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    /// Client connections that could send, least recently used first.
    idle: VecDeque<usize>,
    clients: usize,
    /// With `--rate`: when requests arrive, and those that found no idle connection.
    pace: Option<Pace>,
    backlog: VecDeque<u64>,
    begin: Instant,
    /// No more requests are started.
    closing: bool,
    started: u64,
    report: Report,
}

pub fn run(args: &Args) -> Result<Report, String> {
    let mut this = Loop::new(args)?;
    this.connect()?;
    this.begin = Instant::now();
    this.turn_until_done()?;
    Ok(this.report)
}

impl<'a> Loop<'a> {
    fn new(args: &'a Args) -> Result<Self, String> {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, args.origin_port);
        let listener =
            TcpListener::bind(address).map_err(|error| format!("origin: {address}: {error}"))?;
        listener.set_nonblocking(true).map_err(|error| format!("origin: {error}"))?;
        let epoll = Epoll::new().map_err(|error| format!("epoll: {error}"))?;
        epoll
            .add(&listener, Interest::Read, LISTENER)
            .map_err(|error| format!("epoll: {error}"))?;
        let wire = Wire::new(args);
        Ok(Self {
            args,
            request: wire.request(0),
            response: Rc::new(wire.response(0)),
            wire,
            epoll,
            listener,
            connections: Vec::new(),
            idle: VecDeque::new(),
            clients: 0,
            pace: args.rate.map(|rate| Pace::new(rate, args.arrivals)),
            backlog: VecDeque::new(),
            begin: Instant::now(),
            closing: false,
            started: 0,
            report: Report {
                verified: args.verify,
                requests: 0,
                seconds: 0.0,
                bad: 0,
                first_fault: None,
                origin_connections: 0,
                behind: 0,
                latency: Histogram::new(),
            },
        })
    }

    fn connect(&mut self) -> Result<(), String> {
        for _ in 0..self.args.connections {
            let socket = Socket::connect(self.args.port)
                .map_err(|error| format!("client: port {}: {error}", self.args.port))?;
            let index = self.connections.len();
            self.register(Connection::Client(Client::new(socket)))?;
            self.idle.push_back(index);
            self.clients += 1;
        }
        Ok(())
    }

    fn register(&mut self, connection: Connection) -> Result<(), String> {
        let token = self.connections.len() as u64;
        match &connection {
            Connection::Client(client) => self.epoll.add(client, Interest::Read, token),
            Connection::Origin(origin) => self.epoll.add(origin, Interest::ReadWrite, token),
        }
        .map_err(|error| format!("epoll: {error}"))?;
        self.connections.push(Some(connection));
        Ok(())
    }

    fn turn_until_done(&mut self) -> Result<(), String> {
        let stop = Duration::from_secs_f64(self.args.seconds);
        let mut scratch = vec![0; SCRATCH];
        let mut ready: Vec<Ready> = Vec::new();
        let mut turns = 0_u32;
        // A paced run never sleeps: it has to start requests on time, and a client that has to
        // be woken up would charge that to the proxy that sends to it.
        let wait = if self.pace.is_some() { Duration::ZERO } else { NAP };
        loop {
            if turns.is_multiple_of(TURNS_PER_CLOCK) || ready.is_empty() {
                let elapsed = self.begin.elapsed();
                self.closing |= elapsed >= stop;
                let under_way = self.started - self.report.requests - self.report.bad;
                let none_left = self.closing || self.started == self.args.requests;
                let nobody_left = self.clients == 0 && !self.args.origin_only;
                if none_left && under_way == 0 || nobody_left || elapsed >= stop + DRAIN {
                    break;
                }
            }
            turns = turns.wrapping_add(1);
            self.start_requests();
            self.epoll.wait(&mut ready, wait).map_err(|error| format!("epoll: {error}"))?;
            for event in &ready {
                self.handle(*event, &mut scratch)?;
            }
        }
        let unanswered = self.started - self.report.requests - self.report.bad;
        if unanswered > 0 {
            self.fault(format!("client: {unanswered} requests never answered"));
            self.report.bad += unanswered - 1;
        }
        Ok(())
    }

    fn handle(&mut self, event: Ready, scratch: &mut [u8]) -> Result<(), String> {
        if event.token == LISTENER {
            return self.accept();
        }
        let index = event.token as usize;
        match &mut self.connections[index] {
            None => {}
            Some(Connection::Client(client)) => {
                let was_waiting = client.is_waiting();
                match client.read(&self.wire, scratch) {
                    Ok(Progress::Waiting) => {}
                    Ok(Progress::Answered) => self.answered(index),
                    Err(text) => {
                        self.connections[index] = None;
                        self.idle.retain(|&other| other != index);
                        self.clients -= 1;
                        // An idle connection lost is a fault too, but of no request.
                        self.started += u64::from(!was_waiting);
                        self.fault(text);
                    }
                }
            }
            Some(Connection::Origin(origin)) => {
                let open = if event.readable {
                    match origin.read(&self.wire, &self.response, scratch) {
                        Ok(open) => open,
                        Err(text) => {
                            // The client of that request will see the connection closed.
                            self.report.first_fault.get_or_insert(text);
                            false
                        }
                    }
                } else {
                    true
                };
                if !open || origin.write().is_err() {
                    self.connections[index] = None;
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<(), String> {
        while let Some(socket) =
            Socket::accept(&self.listener).map_err(|error| format!("accept: {error}"))?
        {
            self.register(Connection::Origin(OriginConnection::new(socket)))?;
            self.report.origin_connections += 1;
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn answered(&mut self, index: usize) {
        let now = self.now();
        let Some(Connection::Client(client)) = &self.connections[index] else {
            return;
        };
        self.report.latency.add(now.saturating_sub(client.due));
        self.report.requests += 1;
        self.report.seconds = now as f64 / 1e9;
        self.idle.push_back(index);
        // Closed loop: the next request at once, while the connection is warm in the cache.
        if self.pace.is_none() {
            self.start_requests();
        }
    }

    /// Starts what is due, as far as there are idle connections.
    fn start_requests(&mut self) {
        if self.pace.is_none() {
            while !self.idle.is_empty() && self.may_start() {
                let now = self.now();
                self.start(now);
            }
            return;
        }
        let now = self.now();
        if !self.closing
            && let Some(pace) = &mut self.pace
        {
            self.backlog.extend(std::iter::from_fn(|| pace.take(now)));
        }
        while !self.idle.is_empty() && self.may_start() {
            let Some(due) = self.backlog.pop_front() else {
                break;
            };
            self.start(due);
        }
        self.report.behind = self.report.behind.max(self.backlog.len());
    }

    fn may_start(&self) -> bool {
        !self.closing && self.started < self.args.requests
    }

    fn start(&mut self, due: u64) {
        let Some(index) = self.idle.pop_front() else {
            return;
        };
        let body = self.started as usize;
        self.started += 1;
        let Some(Connection::Client(client)) = &mut self.connections[index] else {
            return;
        };
        let sent = if self.args.verify {
            client.start(&self.wire.request(body), body, due)
        } else {
            client.start(&self.request, 0, due)
        };
        if let Err(text) = sent {
            self.connections[index] = None;
            self.clients -= 1;
            self.fault(text);
        }
    }

    /// A request that failed.
    fn fault(&mut self, text: String) {
        self.report.bad += 1;
        self.report.first_fault.get_or_insert(text);
    }
}
