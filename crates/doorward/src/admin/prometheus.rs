//! The counters as Prometheus text (version 0.0.4).

pub(super) mod gates;

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rules::flood::Flood;

use rules::balance::TieResult;
use rules::grpc::Status;
use rules::health::Suspicion;

use crate::control::acme::{CertificateState, KeeperStatus};
use crate::control::certificates::{Certificates, Source};
use crate::control::health::Standing;
use crate::control::snapshot::{Endpoint, Service, Snapshot};
use crate::data::store::Store;
use crate::data::tls::Refused;
use crate::metrics::{
    CacheResult, Counter, DURATION_BOUNDS_US, Durations, Metrics, Mirrored, RouteMetrics,
    RouteShard, ServiceShard, TcpMetrics, TcpShard, WorkerMetrics,
};

/// Everything that is counted, under the labels of `snapshot`.
pub(crate) fn render(
    metrics: &Metrics,
    snapshot: &Snapshot,
    store: &Store,
    certificates: &Certificates,
    keeper: &KeeperStatus,
) -> String {
    let mut out = String::with_capacity(64 * 1024);
    process(&mut out, metrics);
    connections(&mut out, metrics);
    if snapshot.tls.is_some() {
        tls(&mut out, metrics, certificates);
    }
    acme(&mut out, keeper);
    routes(&mut out, snapshot);
    services(&mut out, metrics, snapshot);
    gates::connections(&mut out, &snapshot.services);
    gates::services(&mut out, &snapshot.services);
    gates::breakers(&mut out, &snapshot.services);
    gates::workers(&mut out, metrics);
    tcp(&mut out, snapshot);
    cache(&mut out, store);
    out
}

fn process(out: &mut String, metrics: &Metrics) {
    let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    family(out, "doorward_build_info", "gauge", "The running program; always 1.");
    line(out, "doorward_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    family(out, "doorward_process_uptime_seconds", "gauge", "Since the process started.");
    line(out, "doorward_process_uptime_seconds", &[], metrics.started.elapsed().as_secs());
    family(out, "doorward_bugs_total", "counter", "Panics: each ended one connection.");
    line(out, "doorward_bugs_total", &[], load(&metrics.bugs));
    family(
        out,
        "doorward_config_version",
        "gauge",
        "1 at the start, one more with each reload that was applied.",
    );
    line(out, "doorward_config_version", &[], metrics.config_version());
    family(out, "doorward_config_refused", "gauge", "1 while the newest configuration is refused.");
    line(out, "doorward_config_refused", &[], load(&metrics.config_refused));
    family(out, "doorward_config_reloads_total", "counter", "Reloads by their result.");
    line(out, "doorward_config_reloads_total", &[("result", "applied")], load(&metrics.reloads));
    let refused = load(&metrics.reload_failures);
    line(out, "doorward_config_reloads_total", &[("result", "refused")], refused);
}

fn connections(out: &mut String, metrics: &Metrics) {
    let sum = |which: fn(&WorkerMetrics) -> &Counter| -> u64 {
        metrics.client_workers().iter().map(|worker| which(worker).read()).sum()
    };
    family(out, "doorward_client_connections", "gauge", "Open client connections.");
    line(out, "doorward_client_connections", &[], sum(|worker| &worker.open));
    family(out, "doorward_client_accepted_total", "counter", "Connections that were accepted.");
    line(out, "doorward_client_accepted_total", &[], sum(|worker| &worker.accepted));
    let name = "doorward_client_refused_total";
    family(out, name, "counter", "Connections that were refused, by the limit.");
    line(out, name, &[("limit", "connections")], sum(|worker| &worker.refused_total));
    let per_client = sum(|worker| &worker.refused_per_client);
    line(out, name, &[("limit", "connections-per-client")], per_client);
    let name = "doorward_quic_retries_total";
    family(out, name, "counter", "Clients of QUIC that had to show their address first.");
    line(out, name, &[], sum(|worker| &worker.retries));
    let name = "doorward_quic_first_packets_lost_total";
    family(out, name, "counter", "First packets of QUIC that were not looked at, being too many.");
    line(out, name, &[], sum(|worker| &worker.first_packets_lost));
    let name = "doorward_client_floods_total";
    family(
        out,
        name,
        "counter",
        "HTTP/2 and HTTP/3 connections that were ended for a flood of frames.",
    );
    for flood in Flood::ALL {
        let count =
            metrics.client_workers().iter().map(|worker| worker.floods[flood as usize].read());
        line(out, name, &[("kind", flood.name())], count.sum::<u64>());
    }
    family(out, "doorward_client_requests_total", "counter", "Requests, refused ones included.");
    line(out, "doorward_client_requests_total", &[], sum(|worker| &worker.requests));
    family(out, "doorward_client_upgrades_total", "counter", "Connections that were upgraded.");
    line(out, "doorward_client_upgrades_total", &[], sum(|worker| &worker.upgraded));
    let name = "doorward_cache_waiting_requests";
    family(out, name, "gauge", "Requests that follow a fetch for the cache at the moment.");
    line(out, name, &[], sum(|worker| &worker.cache_waiting));
    let name = "doorward_client_delayed_requests";
    family(out, name, "gauge", "Requests that are held up on purpose at the moment.");
    line(out, name, &[], sum(|worker| &worker.delayed));
    let name = "doorward_client_mirrored_requests";
    family(out, name, "gauge", "Copies of requests that are under way at the moment.");
    line(out, name, &[], sum(|worker| &worker.mirrored));
    let name = "doorward_log_lines_dropped_total";
    family(out, name, "counter", "Lines of the access log that nobody took in time.");
    line(out, name, &[], sum(|worker| &worker.log_lines_dropped));
    family(out, "doorward_faults_total", "counter", "Requests gone wrong, by kind.");
    for (index, slug) in metrics.faults() {
        let count = metrics.client_workers().iter().map(|worker| worker.faults[index].read()).sum();
        line(out, "doorward_faults_total", &[("fault", slug)], count);
    }
}

fn tls(out: &mut String, metrics: &Metrics, certificates: &Certificates) {
    let sum = |which: &dyn Fn(&WorkerMetrics) -> &Counter| -> u64 {
        metrics.client_workers().iter().map(|worker| which(worker).read()).sum()
    };
    let name = "doorward_tls_handshakes_total";
    family(out, name, "counter", "TLS handshakes with clients, by version.");
    for (version, of_version) in ["1.2", "1.3"].into_iter().enumerate() {
        for (resumed, of_resumed) in ["no", "yes"].into_iter().enumerate() {
            let count = sum(&|worker| &worker.handshakes[version][resumed]);
            line(out, name, &[("version", of_version), ("resumed", of_resumed)], count);
        }
    }
    let name = "doorward_tls_handshake_failures_total";
    family(out, name, "counter", "Connections of clients that came to no TLS, by reason.");
    for refused in Refused::ALL {
        let count = sum(&|worker| &worker.handshake_failures[refused as usize]);
        line(out, name, &[("reason", refused.slug())], count);
    }
    let name = "doorward_tls_certificate_problems";
    family(out, name, "gauge", "Certificates that are wrong now; what was there before is in use.");
    let problems = certificates.problems();
    for source in Source::ALL {
        let count = problems.iter().filter(|(of, _)| *of == source).count() as u64;
        line(out, name, &[("from", source.name())], count);
    }
    let name = "doorward_tls_certificate_not_after_seconds";
    family(out, name, "gauge", "When a certificate expires, in seconds since 1970.");
    for certificate in certificates.all() {
        let first = certificate.names.first().map_or("", |name| name);
        let labels = [("name", first), ("from", &*certificate.origin)];
        line(out, name, &labels, certificate.not_after_unix.max(0).cast_unsigned());
    }
}

fn acme(out: &mut String, keeper: &KeeperStatus) {
    if keeper.certificates.is_empty() && keeper.trouble.is_none() {
        return;
    }
    let name = "doorward_acme_orders_total";
    family(out, name, "counter", "Certificates ordered from an authority, by how it went.");
    line(out, name, &[("result", "issued")], keeper.issued);
    line(out, name, &[("result", "failed")], keeper.failed);
    let name = "doorward_acme_stuck";
    family(out, name, "gauge", "1 while nothing can be ordered at all: the log says why.");
    line(out, name, &[], u64::from(keeper.trouble.is_some()));
    let name = "doorward_acme_failures";
    family(out, name, "gauge", "Attempts in vain since a certificate was last issued.");
    let first = |one: &CertificateState| one.names.first().cloned().unwrap_or_default();
    for certificate in &keeper.certificates {
        let failures = u64::from(certificate.failures);
        line(out, name, &[("name", &first(certificate))], failures);
    }
    let name = "doorward_acme_next_order_seconds";
    family(out, name, "gauge", "When a certificate is ordered next, in seconds since 1970.");
    for certificate in &keeper.certificates {
        line(out, name, &[("name", &first(certificate))], certificate.next_unix);
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

fn routes(out: &mut String, snapshot: &Snapshot) {
    let mut routes = snapshot.route_metrics.all();
    // A thousand routes that nobody asked for would be a scrape of a megabyte.
    routes.retain(|route| {
        let mut responses = route.shards.iter().flat_map(|shard| &shard.responses);
        responses.any(|count| count.read() > 0)
    });
    let sum = |shards: &[RouteShard], which: &dyn Fn(&RouteShard) -> &Counter| -> u64 {
        shards.iter().map(|shard| which(shard).read()).sum()
    };
    let name = "doorward_route_requests_total";
    family(out, name, "counter", "Requests by route and status.");
    for route in &routes {
        for (class, text) in CLASSES.iter().enumerate() {
            let count = sum(&route.shards, &|shard| &shard.responses[class]);
            if count > 0 {
                line(out, name, &[("route", &route.label), ("status", text)], count);
            }
        }
    }
    let name = "doorward_route_grpc_calls_total";
    family(out, name, "counter", "Calls of gRPC by route and status.");
    for route in &routes {
        for status in Status::ALL {
            let count = sum(&route.shards, &|shard| &shard.grpc[status as usize]);
            if count > 0 {
                line(out, name, &[("route", &route.label), ("status", status.name())], count);
            }
        }
    }
    experiments(out, &routes, &sum);
    let name = "doorward_route_body_bytes_total";
    family(out, name, "counter", "Bytes of bodies by route and direction.");
    for route in &routes {
        let label = ("route", &*route.label);
        let request = sum(&route.shards, &|shard| &shard.request_body_bytes);
        let response = sum(&route.shards, &|shard| &shard.response_body_bytes);
        line(out, name, &[label, ("direction", "request")], request);
        line(out, name, &[label, ("direction", "response")], response);
    }
    let name = "doorward_cache_requests_total";
    family(out, name, "counter", "Requests on routes with a cache, by route and result.");
    for route in &routes {
        for result in CacheResult::ALL {
            let count = sum(&route.shards, &|shard| &shard.cache[result as usize]);
            if count > 0 {
                line(out, name, &[("route", &route.label), ("result", result.name())], count);
            }
        }
    }
    let name = "doorward_cache_saved_seconds_total";
    family(out, name, "counter", "What the service had taken for the answers given again.");
    for route in &routes {
        let saved_ms = sum(&route.shards, &|shard| &shard.cache_saved_ms);
        if saved_ms > 0 {
            line_of(out, name, &[("route", &route.label)], saved_ms as f64 / 1e3);
        }
    }
    let name = "doorward_route_duration_seconds";
    family(out, name, "histogram", "From the request's head to the last byte of the response.");
    for route in &routes {
        let durations = route.shards.iter().map(|shard| &shard.durations);
        histogram(out, name, ("route", &route.label), durations);
    }
}

/// A way to sum something up over the shards of a route.
type Sum<'s> = &'s dyn Fn(&[RouteShard], &dyn Fn(&RouteShard) -> &Counter) -> u64;

/// What is done with requests on purpose, and with copies of them.
fn experiments(out: &mut String, routes: &[&RouteMetrics], sum: Sum<'_>) {
    let name = "doorward_route_injected_faults_total";
    family(out, name, "counter", "Requests that were held up or failed on purpose.");
    for route in routes {
        for (kind, text) in ["delay", "abort"].into_iter().enumerate() {
            let count = sum(&route.shards, &|shard| &shard.injected[kind]);
            if count > 0 {
                line(out, name, &[("route", &route.label), ("kind", text)], count);
            }
        }
    }
    let name = "doorward_route_mirrored_requests_total";
    family(out, name, "counter", "Copies of requests that went to another service.");
    for route in routes {
        for how in Mirrored::ALL {
            let count = sum(&route.shards, &|shard| &shard.mirrored[how as usize]);
            if count > 0 {
                line(out, name, &[("route", &route.label), ("result", how.name())], count);
            }
        }
    }
}

/// What hooks are told, which have instances run on other machines.
fn hooks(out: &mut String, services: &[Arc<Service>]) {
    let hooked = || services.iter().filter(|service| service.rules.scaling.is_some());
    let name = "doorward_scale_wanted_instances";
    family(out, name, "gauge", "Instances that the hook of a service is to have run.");
    for service in hooked() {
        let wanted = service.metrics.instances_wanted.load(Ordering::Relaxed);
        line(out, name, &[("service", &service.metrics.label)], wanted);
    }
    let name = "doorward_scale_hook_calls_total";
    family(out, name, "counter", "Calls of the hook that has instances run.");
    for service in hooked() {
        for (result, calls) in ["failed", "taken"].into_iter().zip(&service.metrics.hook_calls) {
            let labels = [("service", &*service.metrics.label), ("result", result)];
            line(out, name, &labels, calls.load(Ordering::Relaxed));
        }
    }
}

/// How many endpoints stand so.
fn standings(out: &mut String, services: &[Arc<Service>], now_ms: u64) {
    let name = "doorward_balance_endpoints";
    family(out, name, "gauge", "Endpoints by how they stand.");
    for service in services {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::from([("well", 0)]);
        for endpoint in &service.endpoints {
            *counts.entry(endpoint.standing(now_ms).name()).or_default() += 1;
        }
        for (standing, count) in counts {
            let labels = [("service", &*service.metrics.label), ("standing", standing)];
            line(out, name, &labels, count);
        }
    }
}

/// What became of sessions that have a place.
fn ties(out: &mut String, services: &[Arc<Service>]) {
    let name = "doorward_balance_sessions_total";
    family(out, name, "counter", "Answers to sessions that stay at an endpoint, by what became.");
    for service in services.iter().filter(|service| service.ties.is_some()) {
        for result in TieResult::ALL {
            let shards = service.metrics.shards.iter();
            let count = shards.map(|shard| shard.ties[result as usize].read()).sum();
            let labels = [("service", &*service.metrics.label), ("result", result.name())];
            line(out, name, &labels, count);
        }
    }
}

/// Requests that wait for an instance, or for somebody to be back.
fn held(out: &mut String, services: &[Arc<Service>]) {
    let name = "doorward_upstream_held_requests";
    family(out, name, "gauge", "Requests that wait for an endpoint to be there at the moment.");
    for service in services {
        let count = service.metrics.shards.iter().map(|shard| shard.held.read()).sum();
        line(out, name, &[("service", &service.metrics.label)], count);
    }
}

/// How often endpoints were left alone, and why.
fn ejections(out: &mut String, services: &[Arc<Service>]) {
    let name = "doorward_balance_ejections_total";
    family(out, name, "counter", "Endpoints that were left alone, by why.");
    for service in services {
        for suspicion in Suspicion::ALL {
            let shards = service.metrics.shards.iter();
            let count = shards.map(|shard| shard.ejections[suspicion as usize].read()).sum();
            if count > 0 {
                let labels = [("service", &*service.metrics.label), ("reason", suspicion.name())];
                line(out, name, &labels, count);
            }
        }
    }
}

fn services(out: &mut String, metrics: &Metrics, snapshot: &Snapshot) {
    type Which = fn(&ServiceShard) -> &Counter;
    let services = &snapshot.services;
    let sum = |shards: &[ServiceShard], which: Which| -> u64 {
        shards.iter().map(|shard| which(shard).read()).sum()
    };
    let families: [(&str, &str, Which); 10] = [
        ("doorward_upstream_connects_total", "Connections that were opened.", |s| &s.connects),
        ("doorward_upstream_connect_failures_total", "Connections that failed.", |s| {
            &s.connect_failures
        }),
        ("doorward_upstream_tls_handshake_failures_total", "Handshakes of TLS that failed.", |s| {
            &s.handshake_failures
        }),
        ("doorward_upstream_reuses_total", "Requests on a used connection.", |s| &s.reuses),
        ("doorward_upstream_retries_total", "Requests that were sent again.", |s| &s.retries),
        ("doorward_upstream_hedges_total", "Second attempts beside slow ones.", |s| &s.hedges),
        ("doorward_upstream_hedges_won_total", "Those that answered first.", |s| &s.hedges_won),
        ("doorward_balance_spilled_total", "Requests to less preferred tiers or zones.", |s| {
            &s.spilled
        }),
        ("doorward_upstream_failures_total", "Requests without a usable answer.", |s| &s.failures),
        ("doorward_upstream_retries_denied_total", "Retries that the budget forbade.", |s| {
            &s.retries_denied
        }),
    ];
    for (name, about, which) in families {
        family(out, name, "counter", about);
        for service in services {
            let count = sum(&service.metrics.shards, which);
            line(out, name, &[("service", &service.metrics.label)], count);
        }
    }
    held(out, services);
    ejections(out, services);
    ties(out, services);
    standings(out, services, metrics.now_ms());
    hooks(out, services);
    let name = "doorward_upstream_tls_handshakes_total";
    family(out, name, "counter", "Handshakes of TLS, by whether an earlier session went on.");
    for service in services.iter().filter(|service| service.rules.tls.is_some()) {
        let label = &service.metrics.label;
        let resumed: [(&str, Which); 2] =
            [("no", |s| &s.handshakes[0]), ("yes", |s| &s.handshakes[1])];
        for (resumed, which) in resumed {
            let count = sum(&service.metrics.shards, which);
            line(out, name, &[("service", label), ("resumed", resumed)], count);
        }
    }
    let name = "doorward_upstream_endpoints";
    family(out, name, "gauge", "Endpoints that may be used.");
    for service in services {
        let count = service.endpoints.len() as u64;
        line(out, name, &[("service", &service.metrics.label)], count);
    }
    checks(out, snapshot);
    let name = "doorward_upstream_responses_total";
    family(out, name, "counter", "Answers by service and status.");
    for service in services {
        for (class, text) in CLASSES.iter().enumerate() {
            let shards = &service.metrics.shards;
            let count: u64 = shards.iter().map(|shard| shard.responses[class].read()).sum();
            if count > 0 {
                line(out, name, &[("service", &service.metrics.label), ("status", text)], count);
            }
        }
    }
    let name = "doorward_upstream_first_byte_seconds";
    family(out, name, "histogram", "From the request's head to the answer's.");
    for service in services {
        let durations = service.metrics.shards.iter().map(|shard| &shard.first_byte);
        histogram(out, name, ("service", &service.metrics.label), durations);
    }
}

/// What checks find; nothing if no endpoint is asked.
fn checks(out: &mut String, snapshot: &Snapshot) {
    let asked = snapshot.services.iter().flat_map(|service| {
        let asked = |endpoint: &&Arc<Endpoint>| endpoint.health.standing() != Standing::Unasked;
        let endpoints = service.endpoints.iter().filter(asked);
        endpoints.map(|endpoint| (&*service.metrics.label, endpoint.shown(), &endpoint.health))
    });
    let asked: Vec<_> = asked.collect();
    if asked.is_empty() {
        return;
    }
    let name = "doorward_health_endpoint_well";
    family(out, name, "gauge", "1 while checks find the endpoint well.");
    for (service, endpoint, health) in &asked {
        let well = u64::from(health.standing() == Standing::Well);
        line(out, name, &[("service", service), ("endpoint", endpoint)], well);
    }
    let name = "doorward_health_checks_total";
    family(out, name, "counter", "Checks of an endpoint by their result.");
    for (service, endpoint, health) in &asked {
        let labels = [("service", *service), ("endpoint", endpoint)];
        let (passed, failed) = health.counts();
        for (result, count) in [("passed", passed), ("failed", failed)] {
            line(out, name, &[labels[0], labels[1], ("result", result)], count);
        }
    }
}

/// What is not HTTP; nothing if there is none.
fn tcp(out: &mut String, snapshot: &Snapshot) {
    let entries = &snapshot.tcp_metrics;
    if entries.is_empty() {
        return;
    }
    let sum = |entry: &TcpMetrics, which: fn(&TcpShard) -> &Counter| -> u64 {
        entry.shards.iter().map(|shard| which(shard).read()).sum()
    };
    let name = "doorward_tcp_open_connections";
    family(out, name, "gauge", "Open connections of a TCP entry.");
    for entry in entries {
        let open = entry.open.load(Ordering::Relaxed) as u64;
        line(out, name, &[("listen", &entry.listen), ("sni", &entry.sni)], open);
    }
    let name = "doorward_tcp_connections_total";
    family(out, name, "counter", "Connections that were for a TCP entry.");
    for entry in entries {
        let count = sum(entry, |shard| &shard.accepted);
        line(out, name, &[("listen", &entry.listen), ("sni", &entry.sni)], count);
    }
    let name = "doorward_tcp_failures_total";
    family(out, name, "counter", "Connections of a TCP entry that ended in a fault.");
    for entry in entries {
        let count = sum(entry, |shard| &shard.failures);
        line(out, name, &[("listen", &entry.listen), ("sni", &entry.sni)], count);
    }
    let name = "doorward_tcp_bytes_total";
    family(out, name, "counter", "Bytes of a TCP entry, from clients (up) and to them (down).");
    for entry in entries {
        let labels = [("listen", &*entry.listen), ("sni", &*entry.sni)];
        for (direction, count) in [
            ("up", sum(entry, |shard| &shard.up_bytes)),
            ("down", sum(entry, |shard| &shard.down_bytes)),
        ] {
            line(out, name, &[labels[0], labels[1], ("direction", direction)], count);
        }
    }
}

/// What lies in the store.
fn cache(out: &mut String, store: &Store) {
    let stats = store.stats();
    for (name, kind, about, value) in [
        ("doorward_cache_objects", "gauge", "Responses that are kept in memory.", stats.objects),
        ("doorward_cache_memory_bytes", "gauge", "What they take, with all overhead.", stats.bytes),
        ("doorward_cache_memory_limit_bytes", "gauge", "What they may take.", stats.limit_bytes),
        ("doorward_cache_stored_total", "counter", "Responses that were stored.", stats.stored),
        ("doorward_cache_evictions_total", "counter", "Responses that made room.", stats.evicted),
        ("doorward_cache_swept_total", "counter", "Purged responses taken out.", stats.swept),
        ("doorward_cache_purges_total", "counter", "Purges, each of one thing.", stats.purges),
        ("doorward_cache_generation", "gauge", "The newest purge's number.", stats.generation),
    ] {
        family(out, name, kind, about);
        line(out, name, &[], value);
    }
    let name = "doorward_cache_refused_total";
    family(out, name, "counter", "Responses that might have been stored, and were not.");
    line(out, name, &[("reason", "too-large")], stats.refused_too_large);
    line(out, name, &[("reason", "purged-on-the-way")], stats.refused_purged);
    let Some(disk) = store.disk_stats() else {
        return;
    };
    for (name, kind, about, value) in [
        ("doorward_cache_disk_up", "gauge", "1 while the disk is in use.", u64::from(disk.up)),
        ("doorward_cache_disk_objects", "gauge", "Responses on the disk.", disk.objects),
        ("doorward_cache_disk_bytes", "gauge", "What the files take.", disk.bytes),
        ("doorward_cache_disk_limit_bytes", "gauge", "What they may take.", disk.limit_bytes),
        ("doorward_cache_disk_hits_total", "counter", "Responses that were read.", disk.hits),
        (
            "doorward_cache_disk_written_total",
            "counter",
            "Responses that were written.",
            disk.written,
        ),
        (
            "doorward_cache_disk_dropped_total",
            "counter",
            "Not written: it was too slow.",
            disk.dropped,
        ),
        ("doorward_cache_disk_corrupt_total", "counter", "Records that were wrong.", disk.corrupt),
        ("doorward_cache_disk_errors_total", "counter", "Errors of the disk.", disk.errors),
    ] {
        family(out, name, kind, about);
        line(out, name, &[], value);
    }
}

fn histogram<'d>(
    out: &mut String,
    name: &str,
    label: (&str, &str),
    durations: impl Iterator<Item = &'d Durations>,
) {
    let mut total = [0; DURATION_BOUNDS_US.len() + 1];
    let mut sum_us = 0;
    for shard in durations {
        sum_us += shard.sum_us();
        total.iter_mut().zip(shard.buckets()).for_each(|(sum, count)| *sum += count);
    }
    let mut below = 0;
    for (at, count) in total.iter().enumerate() {
        below += count;
        let bound = DURATION_BOUNDS_US.get(at);
        let bound = bound.map_or("+Inf".to_owned(), |&bound| (bound as f64 / 1e6).to_string());
        line(out, &format!("{name}_bucket"), &[label, ("le", &bound)], below);
    }
    line_of(out, &format!("{name}_sum"), &[label], sum_us as f64 / 1e6);
    line(out, &format!("{name}_count"), &[label], below);
}

fn family(out: &mut String, name: &str, kind: &str, about: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {about}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    line_of(out, name, labels, value);
}

fn line_of(out: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) {
    out.push_str(name);
    for (at, (key, value)) in labels.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        let _ = write!(out, "{key}=\"{}\"", escape(value));
    }
    if !labels.is_empty() {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
