//! What `doorward.toml` may say: one typed model, whose comments are the reference manual.
//!
//! Left out is what is the default. The same model as JSON is the machine spelling.

mod acme;
mod admin;
mod cache;
mod dns;
mod limits;
mod listen;
mod tcp;
mod tls;

use std::collections::BTreeMap;

use config::{At, Network, Period, Report};
use rules::route::RouteConfig;
use rules::service::{ServiceConfig, ZONE_ADVICE, is_zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use acme::{Acme, KeyKind, eab_key};
pub(crate) use admin::Admin;
pub(crate) use cache::Cache;
#[cfg(test)]
pub(crate) use cache::CacheDisk;
pub(crate) use dns::Dns;
pub(crate) use limits::Limits;
pub(crate) use listen::{Listen, Listener};
pub(crate) use tcp::Tcp;
pub(crate) use tls::{ClientCertificate, Tls, TlsVersion};

/// The configuration of a front door.
///
/// A string may name variables of the environment: `${NAME}`, or `${NAME:-default}` for when it is
/// unset or empty; `$$` is a dollar.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Config {
    /// More files, relative to this one, put together with it: `["routes/*.toml"]`. `*` and `?` may
    /// stand in the name of the file. Each file may add routes, services and whole tables, and include
    /// others; nothing may be defined twice.
    #[serde(skip_serializing)]
    pub(crate) include: Vec<String>,
    /// Where clients connect.
    pub(crate) listen: Listen,
    /// TLS with clients: certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<At<Tls>>,
    /// The side for operators: API, dashboard, metrics.
    pub(crate) admin: Admin,
    /// The process itself.
    pub(crate) runtime: Runtime,
    /// What is written down.
    pub(crate) log: Log,
    /// What one client may ask of the front door. A route may set lower ones for itself.
    pub(crate) limits: Limits,
    /// Where cached responses lie.
    pub(crate) cache: Cache,
    /// What services are told about clients.
    pub(crate) forwarding: Forwarding,
    /// Whom to ask for the addresses of names.
    pub(crate) dns: Dns,
    /// The services, by name.
    pub(crate) service: BTreeMap<At<String>, ServiceConfig>,
    /// The routes: among those that match a request, the most specific one wins, in whatever order
    /// they stand.
    pub(crate) route: Vec<RouteConfig>,
    /// Connections that are not HTTP: plain TCP, or TLS that the service itself ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tcp: Vec<Tcp>,
}

/// The process itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Runtime {
    /// How many threads serve clients, from 1 to 1024. Default: one for each core. Changing it needs a
    /// restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workers: Option<At<u16>>,
    /// How long requests may take to end when the process is told to; then they are cut off. At most
    /// `"1d"`.
    pub(crate) drain: At<Period>,
    /// The zone that this front door is in, such as a data centre: endpoints of the same `zone` are
    /// used first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<At<String>>,
}

impl Default for Runtime {
    fn default() -> Self {
        Self { workers: None, drain: Period::from_secs(30).into(), zone: None }
    }
}

/// What is written down.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Log {
    /// One line for each request, on standard output.
    pub(crate) access: Access,
    /// What the process says about itself, on standard error: this, and what matters more.
    pub(crate) level: Level,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Access {
    /// No lines.
    #[default]
    Off,
    /// A JSON object.
    Json,
    /// Words, for people.
    Text,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub(crate) enum Level {
    /// Something is broken.
    Error,
    /// Something may break.
    Warn,
    /// Something happened.
    #[default]
    Info,
}

/// What services are told about clients.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Forwarding {
    /// The peers, such as a load balancer, that are believed when they say in `Forwarded` or
    /// `X-Forwarded-*` who the client is: ranges of addresses, `["10.0.0.0/8"]`. What anyone else says
    /// is dropped, since any client can write it.
    pub(crate) trust: Vec<Network>,
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To look at it.
    #[default]
    Look,
    /// To run it on the machine of a developer, who has an authority of their own.
    Develop,
    /// To run it in production.
    Run,
}

impl Config {
    /// Reports what is wrong with well-formed values, each for itself.
    pub(crate) fn check(&self, report: &mut Report) {
        self.listen.check(report);
        if let Some(tls) = &self.tls {
            tls.check(report);
        }
        self.admin.check(report);
        if let Some(acme) = self.tls.as_ref().and_then(|tls| tls.acme.as_ref()) {
            Acme::check(acme, report);
        }
        if let Some(workers) = &self.runtime.workers {
            report.within("workers", workers, 1..=1024);
        }
        if let Some(zone) = self.runtime.zone.as_ref().filter(|zone| !is_zone(zone)) {
            report
                .error(zone, format!("`zone = \"{}\"` is no name for a zone", **zone))
                .help(ZONE_ADVICE);
        }
        report.within("drain", &self.runtime.drain, Period::ZERO..=Period::from_secs(86_400));
        self.limits.check(report);
        self.cache.check(report);
        tcp::check(&self.tcp, report);
    }

    /// Reports what is wrong with values beside each other. Not to be asked while one is left out for
    /// being wrong: the default in its stead would be blamed.
    pub(crate) fn check_together(&self, purpose: Purpose, report: &mut Report) {
        self.listen.check_together(report);
        tls::check_together(self.tls.as_ref(), &self.listen, purpose, report);
        self.admin.check_together(&self.listen, report);
        self.limits.check_together(report);
        self.cache.check_together(report);
        tcp::check_together(&self.tcp, &self.listen, &self.admin.listen, report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_right_and_need_no_file() {
        let mut report = Report::new();
        let read: Config = {
            let value = report.parse("doorward.toml", "");
            report.read(&value).expect("all keys may be left out")
        };
        read.check(&mut report);
        read.check_together(Purpose::Run, &mut report);
        assert!(report.is_clean(), "{report}");
        assert_eq!(serde_json::json!(read), serde_json::json!(Config::default()));
    }

    #[test]
    fn the_machine_spelling_reads_back() {
        let config = serde_json::json!(Config::default());
        let read: Config = serde_json::from_value(config.clone()).expect("the same model");
        assert_eq!(serde_json::json!(read), config);
    }
}
