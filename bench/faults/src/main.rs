//! Bad days with real sockets: endpoints that misbehave by a script, and clients that notice.
//!
//! `bench-faults SCENARIO TARGET BASE-PORT SEED` opens its endpoints from BASE-PORT on, says `ready`, waits
//! for a line, sends requests to TARGET (the proxy in between), and prints what came of them as JSON.
//! `bench-faults instance PORT` is one endpoint, to be killed.

mod client;
mod figures;
mod instances;
mod origin;
mod random;
mod script;

use std::io::{BufRead, stdin};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use client::Load;
use instances::Instances;
use origin::Clock;
use script::Scenario;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words {
        ["instance", port] => origin::instance(port.parse().expect("a port")),
        ["endpoints", name] => println!("{}", scenario(name).endpoints),
        [name, target, base_port, seed] => play(
            scenario(name),
            target.parse().expect("an address"),
            base_port.parse().expect("a port"),
            seed.parse().expect("a number"),
        ),
        _ => panic!("bench-faults SCENARIO TARGET BASE-PORT SEED"),
    }
}

fn scenario(name: &str) -> &'static Scenario {
    let found = script::ALL.iter().find(|one| one.name == name);
    found.unwrap_or_else(|| panic!("there is no scenario {name}"))
}

fn play(scenario: &'static Scenario, target: SocketAddr, base_port: u16, seed: u64) {
    let clock = Arc::new(Clock::default());
    let instances = scenario.kills.then(|| Instances::start(base_port, scenario.endpoints));
    if !scenario.kills {
        for endpoint in 0..scenario.endpoints {
            origin::start(scenario, endpoint, base_port, seed, &clock);
        }
    }
    println!("ready");
    stdin().lock().read_line(&mut String::new()).expect("a line that says go");
    clock.start();
    let done = Arc::new(AtomicBool::new(false));
    let killing = instances.map(|instances| instances.kill_until(Arc::clone(&done)));
    let outcomes = client::run(&Load { scenario, target, seed, clock: Arc::clone(&clock) });
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let killed = killing.map_or(0, |killing| killing.join().expect("it ends"));
    println!("{}", figures::json(scenario, &outcomes, killed));
    std::process::exit(0);
}
