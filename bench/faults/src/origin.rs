//! Endpoints: each a port of its own, with places to work at, a queue before them, and a mood.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::script::{Mood, SERVICE_MS, Scenario, WARM_MS};

/// How long it takes at most until a thread that waits notices another mood.
const NOTICE: Duration = Duration::from_millis(20);

/// Threads do little here.
pub const STACK_BYTES: usize = 96 * 1024;

/// Time since the day began, from one place.
#[derive(Default)]
pub struct Clock(OnceLock<Instant>);

impl Clock {
    pub fn start(&self) {
        self.0.get_or_init(Instant::now);
    }

    pub fn began(&self) -> Instant {
        *self.0.get_or_init(Instant::now)
    }

    /// Milliseconds since counting began; below zero before.
    pub fn at_ms(&self) -> i64 {
        let elapsed = self.0.get().map_or(Duration::ZERO, Instant::elapsed);
        elapsed.as_millis() as i64 - WARM_MS
    }
}

struct Endpoint {
    scenario: &'static Scenario,
    number: u16,
    clock: Arc<Clock>,
    free: Mutex<usize>,
    freed: Condvar,
    random: Mutex<Random>,
}

/// Opens the endpoint `number` for as long as the process lives.
pub fn start(scenario: &'static Scenario, number: u16, base: u16, seed: u64, clock: &Arc<Clock>) {
    let endpoint = Arc::new(Endpoint {
        scenario,
        number,
        clock: Arc::clone(clock),
        free: Mutex::new(scenario.slots),
        freed: Condvar::new(),
        random: Mutex::new(Random::new(seed << 8 | u64::from(number))),
    });
    let port = base + number;
    let listener = listen(port);
    spawn(move || endpoint.accept(port, Some(listener)));
}

/// One endpoint that is a whole process.
pub fn instance(port: u16) {
    let scenario = crate::script::ALL.iter().find(|one| one.kills).expect("there is one");
    start(scenario, 0, port, u64::from(port), &Arc::default());
    loop {
        thread::park();
    }
}

pub fn spawn(work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread can be had")
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    // The option is the socket's, whoever sets it; the standard library knows it for streams only.
    let fd: OwnedFd = listener.try_clone().expect("a descriptor").into();
    TcpStream::from(fd).set_read_timeout(Some(NOTICE)).expect("a time-out can be set");
    listener
}

impl Endpoint {
    fn mood(&self) -> Mood {
        self.scenario.mood(self.number, self.clock.at_ms())
    }

    fn accept(self: Arc<Self>, port: u16, mut listener: Option<TcpListener>) {
        loop {
            match (&listener, self.mood()) {
                (Some(_), Mood::Dead) => listener = None,
                (None, Mood::Dead) => thread::sleep(NOTICE),
                (None, _) => listener = Some(listen(port)),
                (Some(open), _) => {
                    if let Ok((stream, _)) = open.accept() {
                        let endpoint = Arc::clone(&self);
                        spawn(move || endpoint.serve(stream));
                    }
                }
            }
        }
    }

    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(NOTICE));
        let mut heard = Vec::new();
        let mut room = [0; 4096];
        while self.mood() != Mood::Dead {
            match stream.read(&mut room) {
                Ok(0) => return,
                Ok(count) => heard.extend_from_slice(&room[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
            while let Some(end) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                heard.drain(..end + 4);
                if !self.answer(&mut stream) {
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }

    /// Answers a request; false if it died over it.
    fn answer(&self, stream: &mut TcpStream) -> bool {
        let (chance, time) = {
            let mut random = self.random.lock().expect("nobody panics");
            (random.unit(), random.lognormal() * SERVICE_MS)
        };
        match self.mood() {
            Mood::Silent => {
                while self.mood() == Mood::Silent {
                    thread::sleep(NOTICE);
                }
                return false;
            }
            Mood::Failing(share) if chance <= share => {
                let failed = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nbroken";
                return stream.write_all(failed).is_ok();
            }
            _ => {}
        }
        let free = self.free.lock().expect("nobody panics");
        let mut free = self.freed.wait_while(free, |free| *free == 0).expect("nobody panics");
        *free -= 1;
        drop(free);
        let factor = if let Mood::Slow(factor) = self.mood() { factor } else { 1.0 };
        let lives = self.mood() != Mood::Dead;
        if lives {
            thread::sleep(Duration::from_secs_f64(time * factor / 1000.0));
        }
        *self.free.lock().expect("nobody panics") += 1;
        self.freed.notify_one();
        let fine = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
        lives && self.mood() != Mood::Dead && stream.write_all(fine).is_ok()
    }
}
