//! Services that fail, slow down and come back, and clients that are to notice nothing.

mod balancing;
mod breaker;
mod endpoints;
mod failing;
mod halves;
mod health;
mod hedging;
mod holding;
mod injected;
mod killing;
mod leaving;
mod mirroring;
mod names;
mod overload;
mod ranks;
mod scaling;
mod sticky;
mod time;
mod tries;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::door::Door;
use crate::ops::{get, status, until};
use crate::wire::{Service, ok};

/// A service in this process that says its name, and whose health is as the test wants it.
pub(crate) struct Patient {
    service: Service,
    well: Arc<AtomicBool>,
}

impl Patient {
    pub(crate) fn new(name: &'static str, well: bool) -> Self {
        let well = Arc::new(AtomicBool::new(well));
        let state = Arc::clone(&well);
        let service = Service::new(move |request| match request.starts_with("GET /healthz ") {
            true if state.load(Ordering::Relaxed) => ok("fine"),
            true => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
            false => ok(name),
        });
        Self { service, well }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.service.address()
    }

    pub(crate) fn becomes(&self, well: bool) {
        self.well.store(well, Ordering::Relaxed);
    }
}

/// What `status` says about the endpoint at `address`.
#[track_caller]
pub(crate) fn endpoint(door: &Door, address: SocketAddr) -> Value {
    let status = status(door);
    let services = status["services"].as_array().expect("a list").iter();
    let mut endpoints = services.flat_map(|one| one["endpoints"].as_array().expect("a list"));
    let found = endpoints.find(|one| one["address"] == address.to_string());
    found.cloned().unwrap_or(Value::Null)
}

/// Waits until checks find the endpoint at `address` to be so.
#[track_caller]
pub(crate) fn until_found(door: &Door, address: SocketAddr, health: &str) {
    until(health, || (endpoint(door, address)["health"] == health).then_some(()));
}

/// The bodies of so many answers, each to a request of its own.
#[track_caller]
pub(crate) fn answers(door: &Door, count: usize) -> Vec<String> {
    let one = |_| {
        let (status, body) = get(door.http[0], "/");
        assert_eq!(status, 200, "{body}");
        body
    };
    (0..count).map(one).collect()
}
