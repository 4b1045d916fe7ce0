//! What stands before services and before Doorward itself, when there is too much to do.

use std::fmt::Write;
use std::sync::Arc;

use rules::overload::Priority;

use super::{family, line};
use crate::control::snapshot::Service;
use crate::metrics::{BreakerShard, BreakerState, Counter, FallbackTo, GateShard, Metrics};

/// The connections to services.
pub(super) fn connections(out: &mut String, services: &[Arc<Service>]) {
    let name = "doorward_upstream_open_connections";
    family(out, name, "gauge", "Open connections to a service, idle ones included.");
    for service in services {
        let sum = service.metrics.shards.iter().map(|shard| shard.open.read()).sum();
        line(out, name, &[("service", &service.metrics.label)], sum);
    }
}

/// The gates before services; nothing if no service has one.
pub(super) fn services(out: &mut String, services: &[Arc<Service>]) {
    let gated: Vec<_> =
        services.iter().filter(|service| service.rules.policy.overload.is_some()).collect();
    if gated.is_empty() {
        return;
    }
    type Which = fn(&GateShard) -> &Counter;
    let families: [(&str, &str, &str, Which); 4] = [
        ("doorward_overload_limit_requests", "gauge", "Requests that may run at once.", |gate| {
            &gate.limit
        }),
        ("doorward_overload_running_requests", "gauge", "Requests that run.", |gate| &gate.running),
        ("doorward_overload_waiting_requests", "gauge", "Requests that wait.", |gate| {
            &gate.waiting
        }),
        ("doorward_overload_waits_total", "counter", "Requests that had to wait.", |gate| {
            &gate.waits
        }),
    ];
    for (name, kind, about, which) in families {
        family(out, name, kind, about);
        for service in &gated {
            let shards = service.metrics.shards.iter();
            let sum = shards.map(|shard| which(&shard.gate).read()).sum();
            line(out, name, &[("service", &service.metrics.label)], sum);
        }
    }
    let name = "doorward_overload_shed_total";
    family(out, name, "counter", "Requests that were told to come again, by their priority.");
    for service in &gated {
        for priority in Priority::ALL {
            let shards = service.metrics.shards.iter();
            let sum = shards.map(|shard| shard.gate.shed[priority as usize].read()).sum();
            let labels = [("service", &*service.metrics.label), ("priority", priority.name())];
            line(out, name, &labels, sum);
        }
    }
}

/// The breakers before services; nothing if no service has one.
pub(super) fn breakers(out: &mut String, services: &[Arc<Service>]) {
    let guarded: Vec<_> =
        services.iter().filter(|service| service.rules.policy.breaker.is_some()).collect();
    if guarded.is_empty() {
        return;
    }
    let name = "doorward_breaker_workers";
    family(out, name, "gauge", "Workers by the state of their breaker.");
    for service in &guarded {
        for (state, count) in BreakerState::ALL.into_iter().zip(states(service)) {
            let labels = [("service", &*service.metrics.label), ("state", state.name())];
            line(out, name, &labels, count);
        }
    }
    type Which = fn(&BreakerShard) -> &Counter;
    let families: [(&str, &str, Which); 2] = [
        ("doorward_breaker_opens_total", "How often a breaker opened.", |one| &one.opens),
        ("doorward_breaker_refused_total", "Requests that found one open.", |one| &one.refused),
    ];
    for (name, about, which) in families {
        family(out, name, "counter", about);
        for service in &guarded {
            let shards = service.metrics.shards.iter();
            let sum = shards.map(|shard| which(&shard.breaker).read()).sum();
            line(out, name, &[("service", &service.metrics.label)], sum);
        }
    }
    let name = "doorward_breaker_fallbacks_total";
    family(out, name, "counter", "What their clients got instead.");
    for service in &guarded {
        for to in FallbackTo::ALL {
            let shards = service.metrics.shards.iter();
            let sum = shards.map(|shard| shard.breaker.fallbacks[to as usize].read()).sum();
            let labels = [("service", &*service.metrics.label), ("to", to.name())];
            line(out, name, &labels, sum);
        }
    }
}

/// How many workers' breakers are in each state; the last shard is of the control thread, which sends
/// no request of clients.
pub(in crate::admin) fn states(service: &Service) -> [u64; BreakerState::ALL.len()] {
    let shards = &service.metrics.shards;
    let mut counts = [0; BreakerState::ALL.len()];
    for shard in &shards[..shards.len().saturating_sub(1)] {
        counts[shard.breaker.state.read() as usize] += 1;
    }
    counts
}

/// How late the workers come, and what they did not take for it.
pub(super) fn workers(out: &mut String, metrics: &Metrics) {
    let name = "doorward_worker_loop_lag_seconds";
    family(out, name, "gauge", "How late a worker's loop comes.");
    for (index, worker) in metrics.client_workers().iter().enumerate() {
        let seconds = worker.late_us.read() as f64 / 1e6;
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name}{{worker=\"{index}\"}} {seconds}");
    }
    let name = "doorward_worker_shed_total";
    family(out, name, "counter", "Requests that were not taken because a worker's loop came late.");
    for priority in Priority::ALL {
        let workers = metrics.client_workers().iter();
        let sum = workers.map(|worker| worker.shed[priority as usize].read()).sum();
        line(out, name, &[("priority", priority.name())], sum);
    }
}
