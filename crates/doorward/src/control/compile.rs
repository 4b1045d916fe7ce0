//! From the typed model to what workers use.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::Network;
use rules::Rules;
use rules::service::Source;
use wire::h1::{BodyLimits, HeadLimits};

use super::acme;
use super::health::Checked;
use super::listeners::{ListenSpec, Speaks};
use super::load::Compiled;
use super::model::{Access, Config, Listener};
use super::process::{BuildSpec, CommandLine, ServiceSpec};
use super::registry::milliseconds;
use super::resolve::Dns;
use super::snapshot::Limits;
use super::trust::ByService;
use crate::observe::access::AccessFormat;

/// The limits as workers compare them.
pub(crate) fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    let size = |size: config::Size| usize::try_from(size.as_bytes()).unwrap_or(usize::MAX);
    let period = |period: config::Period| milliseconds(Duration::from(period));
    Limits {
        head: HeadLimits {
            head_bytes_max: size(*limits.header_bytes),
            fields_max: usize::from(*limits.headers),
            request_line_bytes_max: size(*limits.request_line),
        },
        body: BodyLimits {
            chunk_extension_bytes_max: size(*limits.chunk_extension_bytes),
            trailer_bytes_max: size(*limits.trailer_bytes),
        },
        body_bytes_max: limits.body.as_bytes(),
        header_ms: period(*limits.header_time),
        handshake_ms: period(*limits.handshake_time),
        handshakes_max: *limits.handshakes as usize,
        body_idle_ms: period(*limits.body_idle),
        body_rate: limits.body_rate.as_bytes(),
        keep_alive_idle_ms: period(*limits.keep_alive_idle),
        upgrade_idle_ms: period(*limits.upgrade_idle),
        requests_per_connection_max: *limits.requests_per_connection,
        streams_max: *limits.streams,
        connections_max: *limits.connections as usize,
        connections_per_client_max: *limits.connections_per_client,
    }
}

/// Where to listen.
pub(crate) fn listen_specs(config: &Config) -> Vec<ListenSpec> {
    let spec = |listener: &Listener, speaks| ListenSpec {
        address: listener.address.0,
        proxy_protocol: listener.proxy_protocol.as_ref().map(|peers| Arc::from(&***peers)),
        speaks,
        http3: speaks == Speaks::Https
            && listener.proxy_protocol.is_none()
            && listener.http3.as_ref().is_none_or(|http3| **http3),
    };
    let http = config.listen.http.0.iter().map(|listener| spec(listener, Speaks::Http));
    let https = config.listen.https.iter().flat_map(|https| &https.0);
    let https = https.map(|listener| spec(listener, Speaks::Https));
    let mut specs: Vec<ListenSpec> = http.chain(https).collect();
    for entry in &config.tcp {
        // Entries that differ by `sni` share their listener.
        let shared = |other: &ListenSpec| {
            other.speaks == Speaks::Tcp && other.address == entry.listen.address.0
        };
        if !specs.iter().any(shared) {
            specs.push(spec(&entry.listen, Speaks::Tcp));
        }
    }
    specs
}

/// Whom to ask about names.
pub(crate) fn dns(config: &Config) -> Dns {
    Dns { servers: config.dns.servers.iter().map(|server| server.0).collect() }
}

/// The zone that this front door is in.
pub(crate) fn zone(config: &Config) -> Option<&str> {
    config.runtime.zone.as_ref().map(|zone| zone.as_str())
}

/// What is wanted of an authority. In `dev` nothing is: Doorward has one of its own there.
pub(crate) fn acme(compiled: &Compiled, folder: &Path, dev: bool) -> Option<acme::Settings> {
    let settings = acme::Settings::of(&compiled.config, &compiled.rules, folder);
    settings.filter(|_| !dev)
}

/// The names that the local authority of a developer certifies besides this machine's own.
pub(crate) fn local_names(compiled: &Compiled) -> Vec<String> {
    let hosts = compiled.rules.routes().iter().flat_map(|route| route.hosts());
    let mut hosts: Vec<String> = hosts.collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// The addresses that clients call over TLS.
pub(crate) fn local_addresses(compiled: &Compiled) -> Vec<IpAddr> {
    let listeners = compiled.config.listen.https.iter().flat_map(|https| &https.0);
    let addresses = listeners.map(|listener| listener.address.0.ip());
    addresses.filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).collect()
}

/// The peers whose word about others is taken.
pub(crate) fn trust(config: &Config) -> Arc<[Network]> {
    config.forwarding.trust.as_slice().into()
}

/// How the access log looks; `dev` shows it unless the file says otherwise.
pub(crate) fn access(config: &Config, dev: bool) -> AccessFormat {
    match config.log.access {
        Access::Off if dev && io::stdout().is_terminal() => AccessFormat::Terminal,
        Access::Off if dev => AccessFormat::Text,
        Access::Off => AccessFormat::Off,
        Access::Json => AccessFormat::Json,
        Access::Text => AccessFormat::Text,
    }
}

/// Where started services on this machine find the listener at `bound`.
pub(crate) fn door_url(bound: Option<SocketAddr>) -> String {
    let Some(bound) = bound else {
        return String::new();
    };
    let host = match bound.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    format!("http://{host}:{}", bound.port())
}

/// The processes that `rules` wants, as the supervisor takes them.
pub(crate) fn processes(
    rules: &Rules,
    tls: &ByService,
    folder: &Path,
    door_url: &str,
) -> Vec<ServiceSpec> {
    let started = rules.services().iter().filter_map(|service| match &service.source {
        Source::Run(run) => Some((service, run)),
        Source::Endpoints(_) => None,
    });
    started
        .map(|(service, run)| {
            let mut spec = ServiceSpec::new(&service.name, command(&run.command));
            spec.environment = environment(&run.environment);
            spec.directory = directory(folder, run.directory.as_deref());
            door_url.clone_into(&mut spec.door_url);
            spec.instances = run.scale.min;
            spec.instances_max = run.scale.max;
            spec.stop_grace = run.stop_grace;
            spec.checked = Checked::connections(service.protocol);
            if let Some(health) = &service.health {
                spec.checked.health.clone_from(health);
            }
            spec.checked.tls = tls.get(&service.name).map(|tls| tls.endpoint("127.0.0.1"));
            spec.checked.directory.clone_from(&spec.directory);
            spec
        })
        .collect()
}

/// What `dev` builds before it starts anything.
pub(crate) fn builds(rules: &Rules, folder: &Path) -> Vec<BuildSpec> {
    let services = rules.services().iter().filter_map(|service| match &service.source {
        Source::Run(run) => run.build.as_ref().map(|build| (service, run, build)),
        Source::Endpoints(_) => None,
    });
    services
        .map(|(service, run, build)| BuildSpec {
            service: service.name.as_ref().into(),
            command: command(build),
            environment: environment(&run.environment),
            directory: directory(folder, run.directory.as_deref()),
        })
        .collect()
}

fn command(words: &[Box<str>]) -> CommandLine {
    CommandLine::of(words.iter().map(ToString::to_string).collect())
}

fn environment(variables: &[(Box<str>, Box<str>)]) -> std::collections::BTreeMap<String, String> {
    variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn directory(folder: &Path, relative: Option<&Path>) -> std::path::PathBuf {
    relative.map_or_else(|| folder.to_owned(), |relative| folder.join(relative))
}
