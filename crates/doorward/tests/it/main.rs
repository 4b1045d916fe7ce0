//! The program as its users meet it: one binary of tests, since each extra one links the world again.

mod acme;
mod cache;
mod config;
#[allow(dead_code, reason = "each topic takes what it needs")]
mod door;
#[allow(dead_code, reason = "each topic takes what it needs")]
mod frames;
mod grpc;
#[allow(dead_code, reason = "each topic takes what it needs")]
mod http;
mod manual;
mod ops;
mod paths;
#[allow(dead_code, reason = "each topic takes what it needs")]
mod quic;
mod resilience;
mod tcp;
mod tidy;
#[allow(dead_code, reason = "each topic takes what it needs")]
mod tls;
mod trust;
#[allow(dead_code, reason = "each topic takes what it needs")]
mod wire;
