//! Load generator and origin in one epoll loop.
//!
//! Both ends of the proxy live in one thread, so that one core can keep a fast proxy on another
//! core busy: there is no context switch between client and origin, only the proxy's own work.
//!
//! Three ways of running:
//! - closed loop (default): every connection sends its next request as soon as it has its answer;
//! - paced (`--rate`): requests start at given times, whatever the proxy does, and latency counts
//!   from the time a request was due, so that a proxy that stalls cannot hide it;
//! - `--verify`: every request names a different body, every byte and header is compared.
//!
//! Every run is bounded in time. The result is one line of JSON.

mod args;
mod client;
mod histogram;
mod origin;
mod pace;
mod run;
mod sys;
mod wire;

fn main() {
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("loader: {message}\n\n{}", args::USAGE);
            std::process::exit(2);
        }
    };
    match run::run(&args) {
        Ok(report) => println!("{}", report.to_json()),
        Err(message) => {
            eprintln!("loader: {message}");
            std::process::exit(1);
        }
    }
}
