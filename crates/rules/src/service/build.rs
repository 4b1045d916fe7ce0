//! From what a service's text says to a service that is ready, with all problems.

use config::{At, Period, Report};

use super::text::{Instances, ServiceConfig};
use super::{Health, HostField, Policy, Pool, Run, Service, Source, Timeouts};
use super::{balance, breaker, eject, endpoint, limits, overload, retry, scale, sticky, tls};

/// The most instances of one service on one machine; beyond that the number is a slip.
const INSTANCES_MAX: u32 = 256;

impl Service {
    /// Compiles a service, or reports all that is wrong with it and returns `None`.
    pub fn build(name: &At<String>, config: &ServiceConfig, report: &mut Report) -> Option<Self> {
        let named = check_name(name, report);
        let source = read_source(name, config, report);
        let scaling = match &config.endpoints {
            Some(_) => scale::elsewhere(config, report),
            None => Ok(None),
        };
        let timeouts = read_timeouts(config, report);
        let host = read_host(&config.host, report);
        let tls = tls::read(config, report);
        let health = match &config.health {
            None => Some(None),
            Some(health) => Health::build(health, &config.protocol, report).map(Some),
        };
        let balance = balance::build(config.balance.as_ref(), report);
        let sticky = sticky::build(name, config.sticky.as_ref(), report);
        let eject = eject::build(config.eject.as_ref(), report);
        let retry = retry::build(config.retry.as_ref(), report);
        let limits = limits::build(config.limits.as_ref(), config.overload.is_some(), report);
        let breaker = breaker::build(config.breaker.as_ref(), report);
        let overload = overload::build(config.overload.as_ref(), limits.as_ref(), report);
        let named =
            config.deadline.as_ref().is_none_or(|name| check_deadline(name, report)) && named;
        if !named {
            return None;
        }
        Some(Self {
            name: name.as_str().into(),
            source: source?,
            scaling: scaling.ok()?,
            protocol: *config.protocol,
            tls: tls.ok()?,
            timeouts: timeouts?,
            deadline: config.deadline.as_ref().map(|name| name.to_ascii_lowercase().into()),
            pool: Pool { idle: (*config.idle).into(), idle_connections: *config.idle_connections },
            host: host?,
            health: health?,
            sticky: sticky?,
            policy: Policy {
                overload: overload?,
                breaker: breaker?,
                connections_max: limits?.connections,
                ..balance?.with(eject?, retry?)
            },
        })
    }
}

fn check_name(name: &At<String>, report: &mut Report) -> bool {
    // Names are labels of metrics, parts of URLs of the admin API, and words in logs.
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fit = !name.is_empty() && name.len() <= 64 && name.bytes().all(valid);
    if !fit {
        report
            .error(name, format!("`{}` is not a name for a service", **name))
            .help("at most 64 letters, digits, `-`, `_` and `.`");
    }
    fit
}

fn read_source(name: &At<String>, config: &ServiceConfig, report: &mut Report) -> Option<Source> {
    match (&config.endpoints, &config.run) {
        (None, None) => {
            report.error(name, format!("the service `{}` is nowhere", **name)).help(
                "give `endpoints = [\"127.0.0.1:3000\"]` or `run = \"command --port {port}\"`",
            );
            None
        }
        (Some(endpoints), Some(run)) => {
            report
                .error(run, "a service that has `endpoints` runs already")
                .other(endpoints, "the endpoints are at")
                .help("remove one of them");
            None
        }
        (Some(endpoints), None) => {
            for (key, place) in only_for_run(config) {
                report
                    .error(place, format!("`{key}` means nothing beside `endpoints`"))
                    .help("it is for services that Doorward starts with `run`");
            }
            endpoint::build(endpoints, report).map(Source::Endpoints)
        }
        (None, Some(run)) => read_run(run, config, report).map(Source::Run),
    }
}

/// The keys that are there and mean nothing without `run`.
fn only_for_run(config: &ServiceConfig) -> impl Iterator<Item = (&'static str, config::Place)> {
    [
        ("build", config.build.as_ref().map(At::place)),
        ("environment", config.environment.as_ref().map(At::place)),
        ("directory", config.directory.as_ref().map(At::place)),
        ("stop-grace", config.stop_grace.as_ref().map(At::place)),
    ]
    .into_iter()
    .filter_map(|(key, place)| Some((key, place?)))
}

fn read_run(run: &At<String>, config: &ServiceConfig, report: &mut Report) -> Option<Run> {
    let command = read_command(run, report);
    let build = match &config.build {
        None => Some(None),
        Some(build) => read_command(build, report).map(Some),
    };
    if !run.contains("{port}") && !run.contains("$PORT") {
        report
            .warning(run, "the command does not say on which port to listen")
            .help("pass `{port}` to it, or have it read the variable `PORT`");
    }
    let instances = read_instances(config.instances.as_ref(), report);
    let mut environment = Vec::new();
    let mut valid = true;
    for (name, value) in config.environment.iter().flat_map(|all| all.iter()) {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            report.error(name, format!("`{}` is not a variable", **name));
            valid = false;
        }
        environment.push(((**name).as_str().into(), value.as_str().into()));
    }
    let scale = instances.and_then(|all| scale::build(config.scale.as_ref(), all, true, report));
    let (command, build, scale) = (command?, build?, scale?);
    valid.then(|| Run {
        command,
        build,
        scale,
        environment: environment.into(),
        directory: config.directory.as_ref().map(|directory| directory.as_str().into()),
        stop_grace: config
            .stop_grace
            .as_ref()
            .map_or(Period::from_secs(10), |grace| **grace)
            .into(),
    })
}

pub(super) fn read_instances(
    instances: Option<&At<Instances>>,
    report: &mut Report,
) -> Option<Instances> {
    let Some(instances) = instances else {
        return Some(Instances { min: 1, max: 1 });
    };
    let Instances { min, max } = **instances;
    if max == 0 {
        report.error(instances, "a service needs at least one instance").help("write at least 1");
    } else if min > max {
        report.error(instances, format!("`min = {min}` is more than `max = {max}`"));
    } else if max > INSTANCES_MAX {
        report.error(instances, format!("{max} instances are more than {INSTANCES_MAX}"));
    } else {
        return Some(**instances);
    }
    None
}

pub(super) fn read_command(text: &At<String>, report: &mut Report) -> Option<Box<[Box<str>]>> {
    let Some(words) = shlex::split(text) else {
        report.error(text, "a quote in the command is not closed");
        return None;
    };
    if words.is_empty() {
        report.error(text, "the command is empty");
        return None;
    }
    const SHELL: [&str; 6] = ["&&", "||", "|", ";", ">", "<"];
    if let Some(word) = words.iter().find(|word| SHELL.contains(&word.as_str())) {
        report
            .error(text, format!("`{word}` is for a shell, and no shell runs here"))
            .help("write `sh -c '...'` around it");
        return None;
    }
    Some(words.into_iter().map(Into::into).collect())
}

fn read_timeouts(config: &ServiceConfig, report: &mut Report) -> Option<Timeouts> {
    let mut whole = true;
    for (key, period) in [
        ("connect", &config.connect),
        ("send", &config.send),
        ("first-byte", &config.first_byte),
        ("between-bytes", &config.between_bytes),
    ]
    .into_iter()
    .chain(config.total.as_ref().map(|total| ("total", total)))
    {
        if period.is_zero() {
            report
                .error(period, format!("`{key} = \"0s\"` refuses every request"))
                .help("write the longest time that is still of use to the client");
            whole = false;
        }
    }
    whole.then(|| Timeouts {
        connect: (*config.connect).into(),
        send: (*config.send).into(),
        first_byte: (*config.first_byte).into(),
        between_bytes: (*config.between_bytes).into(),
        total: config.total.as_ref().map(|total| (**total).into()),
    })
}

fn check_deadline(name: &At<String>, report: &mut Report) -> bool {
    if name.is_empty() || !name.bytes().all(wire::fields::is_token_byte) {
        report
            .error(name, format!("`{}` is not the name of a header", **name))
            .help("write one such as \"Request-Timeout\"");
        return false;
    }
    true
}

fn read_host(host: &At<String>, report: &mut Report) -> Option<HostField> {
    match host.as_str() {
        "preserve" => Some(HostField::Preserve),
        "endpoint" => Some(HostField::Endpoint),
        literal => {
            // The head's own reader says what a host may be.
            if literal.is_empty() || wire::RequestHead::new("GET", literal, "/").is_err() {
                report
                    .error(host, format!("`{literal}` is not a host"))
                    .help("write \"preserve\", \"endpoint\" or a host such as \"example.com\"");
                return None;
            }
            Some(HostField::Literal(literal.into()))
        }
    }
}
