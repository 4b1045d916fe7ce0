//! What is kept of a request when it is over: counters, the trail, a line in the access log.

use rules::Fault;

use super::connection::Connection;
use super::scratch::Scratch;
use super::serve::Done;
use super::worker::Pinned;
use crate::observe::access::{AccessFormat, Entry};

/// Counts the request, and writes it down if that is configured.
pub(crate) fn record(
    connection: &Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    done: &Done,
) {
    let worker = &connection.worker;
    let duration_us = (worker.now_ns() - scratch.cx.now_ns) / 1000;
    let counters = worker.counters();
    counters.requests.add(1);
    if let Some(fault) = done.fault {
        counters.faults[worker.metrics.fault_index(fault.slug())].add(1);
    }
    if let Some(route) = done.route {
        let shard = &snapshot.route_metrics.of(route).shards[worker.index];
        shard.responses[usize::from(done.status / 100).clamp(1, 5) - 1].add(1);
        shard.request_body_bytes.add(done.request_bytes);
        shard.response_body_bytes.add(done.response_bytes);
        shard.durations.record(duration_us);
        if let Some(result) = scratch.noted.result {
            shard.cache[result as usize].add(1);
            shard.cache_saved_ms.add(scratch.noted.saved_ms);
        }
        if scratch.cx.delay.is_some() {
            shard.injected[0].add(1);
        }
        if matches!(done.fault, Some(Fault::Injected(_) | Fault::InjectedReset)) {
            shard.injected[1].add(1);
        }
        if let Some(call) = &scratch.cx.grpc {
            shard.grpc[call.ended(done.status, done.fault) as usize].add(1);
        }
    }
    if let Some(trail) = scratch.cx.trail.take() {
        worker.trails.keep(scratch.cx.request_id.as_str(), done.status, duration_us, *trail);
    }
    if snapshot.access != AccessFormat::Off && connection.listener.admin.is_none() {
        let route = done.route.map_or("-", |route| &snapshot.rules.route(route).name);
        worker.access_log.write(
            snapshot.access,
            &Entry {
                request: &scratch.request,
                cx: &scratch.cx,
                tls: connection.tls.as_deref(),
                nth: connection.served,
                done,
                duration_us,
                route,
            },
        );
    }
}
