//! Endpoints that are processes: two of them are killed again and again, and started again by
//! somebody who watches them.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often two are killed.
const EVERY: Duration = Duration::from_secs(2);

/// How long a process takes to start.
const START: Duration = Duration::from_millis(300);

pub struct Instances {
    running: Vec<(u16, Child)>,
}

fn start(port: u16) -> Child {
    let program = std::env::current_exe().expect("we run");
    let mut command = Command::new(program);
    command.args(["instance", &port.to_string()]).stdin(Stdio::null());
    command.spawn().expect("it can be started")
}

fn wait_for(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        thread::sleep(Duration::from_millis(5));
    }
}

impl Instances {
    pub fn start(base_port: u16, count: u16) -> Self {
        let running: Vec<_> =
            (0..count).map(|at| (base_port + at, start(base_port + at))).collect();
        running.iter().for_each(|(port, _)| wait_for(*port));
        Self { running }
    }

    /// Kills until `done`; the number of the killed.
    pub fn kill_until(mut self, done: Arc<AtomicBool>) -> thread::JoinHandle<usize> {
        thread::spawn(move || {
            let mut killed = 0;
            let mut next = Instant::now() + EVERY;
            while !done.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
                if Instant::now() < next {
                    continue;
                }
                next += EVERY;
                for at in [killed, killed + 1] {
                    let at = at % self.running.len();
                    let (_, child) = &mut self.running[at];
                    let _ = child.kill();
                    let _ = child.wait();
                }
                thread::sleep(START);
                for at in [killed, killed + 1] {
                    let at = at % self.running.len();
                    self.running[at].1 = start(self.running[at].0);
                }
                killed += 2;
            }
            for (_, child) in &mut self.running {
                let _ = child.kill();
                let _ = child.wait();
            }
            killed
        })
    }
}
