//! A client of what h2load of Debian has not: TLS connections that come and go, and HTTP/3.
//!
//! One thread, bounded in time, on the loopback interface only. The result is one line of JSON.
//! Everybody is asked for the same cipher and the same key exchange, so that what differs is the
//! server: TLS 1.3, AES-128-GCM, X25519.

mod args;
mod handshakes;
mod quic;
mod tally;
mod trust;

use std::process::ExitCode;

use args::{Args, What};
use tally::Tally;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("dialer: {message}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, measure(&args)));
    match result {
        Ok(tally) => {
            println!("{}", tally.into_json());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("dialer: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<Tally, String> {
    match args.what {
        What::Handshakes { resumed } => handshakes::run(args, resumed).await,
        What::Quic => quic::run(args).await,
    }
}
