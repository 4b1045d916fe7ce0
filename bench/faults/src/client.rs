//! Clients: requests are due at times that know nothing of the answers, and latency counts from then.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::origin::{Clock, STACK_BYTES};
use crate::random::Random;
use crate::script::{Scenario, WARM_MS};

pub struct Load {
    pub scenario: &'static Scenario,
    pub target: SocketAddr,
    pub seed: u64,
    pub clock: Arc<Clock>,
}

/// How important a request is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    Critical,
    Normal,
    Sheddable,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Critical, Self::Normal, Self::Sheddable];

    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Sheddable => "sheddable",
        }
    }
}

/// How a request ended for its client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Good,
    /// It was told at once to come again (503, 429).
    Refused,
    /// It had another answer than it wanted, a broken one, or none in time.
    Failed,
}

pub struct Outcome {
    pub priority: Priority,
    pub end: End,
    pub latency_us: u64,
}

struct Due {
    after: Duration,
    priority: Priority,
}

fn plan(load: &Load) -> Vec<Due> {
    let mut random = Random::new(load.seed.wrapping_mul(977));
    let whole_s = (load.scenario.counted_ms + WARM_MS) as f64 / 1000.0;
    // The load comes when nothing else is new: not all at once on cold connections.
    let ramp = |at_s: f64| (at_s / 1.5).clamp(0.2, 1.0);
    let (mut at_s, mut plan) = (0.0, Vec::new());
    loop {
        at_s += random.gap() / (load.scenario.rate * ramp(at_s));
        if at_s >= whole_s {
            return plan;
        }
        let priority = match random.unit() {
            ..0.2 => Priority::Critical,
            ..0.5 => Priority::Normal,
            _ => Priority::Sheddable,
        };
        plan.push(Due { after: Duration::from_secs_f64(at_s), priority });
    }
}

/// The outcomes of all requests that were due while it counted.
pub fn run(load: &Load) -> Vec<Outcome> {
    let scenario = load.scenario;
    let plan = plan(load);
    // Everybody who may be waiting at once, and some more.
    let patience_s = scenario.wait_ms as f64 / 1000.0 * f64::from(scenario.attempts);
    let clients = (scenario.rate * patience_s * 1.2) as usize + 64;
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let began = load.clock.began();
    thread::scope(|scope| {
        for _ in 0..clients.min(plan.len()) {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            let work = || {
                let mut connection = None;
                while let Some(due) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let at = began + due.after;
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    let end = ask(load, due.priority, &mut connection);
                    if due.after.as_millis() as i64 >= WARM_MS {
                        let latency_us = at.elapsed().as_micros() as u64;
                        let outcome = Outcome { priority: due.priority, end, latency_us };
                        outcomes.lock().expect("nobody panics").push(outcome);
                    }
                }
            };
            builder.spawn_scoped(scope, work).expect("a thread can be had");
        }
    });
    outcomes.into_inner().expect("nobody panics")
}

fn ask(load: &Load, priority: Priority, connection: &mut Option<TcpStream>) -> End {
    let mut end = End::Failed;
    for _ in 0..load.scenario.attempts {
        let deadline = Instant::now() + Duration::from_millis(load.scenario.wait_ms);
        end = attempt(load.target, priority, connection, deadline);
        if end == End::Good {
            break;
        }
        if end == End::Failed {
            // Nothing is known of what else it may bring.
            *connection = None;
        }
    }
    end
}

fn attempt(
    target: SocketAddr,
    priority: Priority,
    connection: &mut Option<TcpStream>,
    deadline: Instant,
) -> End {
    let status = (|| {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => TcpStream::connect_timeout(&target, left(deadline)?).ok()?,
        };
        stream.set_nodelay(true).ok()?;
        let name = priority.name();
        let head = format!("GET / HTTP/1.1\r\nHost: bench\r\nX-Priority: {name}\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let (status, keeps) = read(&mut stream, deadline)?;
        *connection = keeps.then_some(stream);
        Some(status)
    })();
    match status {
        Some(200) => End::Good,
        Some(503 | 429) => End::Refused,
        _ => End::Failed,
    }
}

fn left(deadline: Instant) -> Option<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// Reads a whole answer: its status, and whether the connection goes on.
fn read(stream: &mut TcpStream, deadline: Instant) -> Option<(u16, bool)> {
    let mut heard = Vec::new();
    let mut room = [0; 4096];
    loop {
        if let Some(end) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
            let status = head.split(' ').nth(1)?.parse().ok()?;
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let length = field("content-length:").and_then(|value| value.trim().parse().ok());
            let closes = field("connection:").is_some_and(|value| value.contains("close"));
            let Some(length) = length else { return Some((status, false)) };
            let length: usize = length;
            if heard.len() >= end + 4 + length {
                return Some((status, !closes));
            }
        }
        stream.set_read_timeout(Some(left(deadline)?)).ok()?;
        match stream.read(&mut room) {
            Ok(count @ 1..) => heard.extend_from_slice(&room[..count]),
            _ => return None,
        }
    }
}
