//! The Rust half of the newsroom: one binary, one subcommand for each service.

mod answer;
mod articles;
mod contract;
mod dice;
mod front;
mod options;
mod serve;

use std::process::ExitCode;

use options::{Options, Role};

fn main() -> ExitCode {
    let options = match Options::build(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("newsroom: {problem}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let ended = match options.role {
        Role::Articles => articles::run(&options),
        Role::Front => front::run(&options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{}: {problem}", options.role.name());
            ExitCode::FAILURE
        }
    }
}
