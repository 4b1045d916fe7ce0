//! The front door of a backend.

mod admin;
mod cli;
mod control;
mod data;
mod metrics;
mod observe;

use std::process::ExitCode;

/// Requests reuse their memory, so the allocator matters little to them; it is here for the bursts
/// around them, which it serves and gives back faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
