//! The front door of a backend.

mod admin;
mod control;
mod data;
mod metrics;
mod observe;

fn main() {}
