//! Connections that are not HTTP.

use std::time::Duration;

use config::{At, Period, Report};
use rules::tcp::TcpText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listen::{Address, Listen, Listener};

/// Connections that are not HTTP: plain TCP, or TLS that the service itself ends.
///
/// Several entries may listen on one address if they differ by `sni`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Tcp {
    /// Where clients connect.
    pub(crate) listen: At<Listener>,
    /// The server name that clients of this entry ask for at the start of TLS: `"db.example.com"`, or
    /// `"*.example.com"` for all names below it. The most specific entry is taken; the one without
    /// `sni` takes what no other does. The service ends TLS: Doorward passes the bytes on as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sni: Option<At<String>>,
    /// The service that connections lead to.
    pub(crate) service: At<String>,
    /// Tells the service who the client is: each connection to it begins with a header of the PROXY
    /// protocol. Nothing if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxy_protocol: Option<At<ProxyVersion>>,
    /// How long a connection may be silent in both directions; `[limits] upgrade-idle` if left out.
    /// Then it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-least" = "1s", "x-most" = "30d"))]
    pub(crate) idle: Option<At<Period>>,
    /// Connections of this entry that may be open at once, over all workers; more are closed at once.
    /// As many as `[limits] connections` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) connections: Option<At<u32>>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProxyVersion {
    /// Version 2, the binary one.
    V2,
}

impl Tcp {
    /// What rules need of it.
    pub(crate) fn text(&self) -> TcpText {
        TcpText {
            place: self.service.place(),
            listen: self.listen.address.0,
            sni: self.sni.clone(),
            service: self.service.clone(),
            proxy_protocol: self.proxy_protocol.is_some(),
            idle: self.idle.as_ref().map(|idle| Duration::from(**idle)),
            connections_max: self.connections.as_ref().map(|connections| **connections),
        }
    }
}

pub(super) fn check(entries: &[Tcp], report: &mut Report) {
    for entry in entries {
        super::listen::check_peers(&entry.listen, report);
        super::listen::check_no_http3(&entry.listen, report);
        super::listen::check_no_certificate(&entry.listen, report);
        if let Some(idle) = &entry.idle {
            report.within("idle", idle, Period::from_secs(1)..=Period::from_secs(30 * 86_400));
        }
        if let Some(connections) = &entry.connections {
            report.within("connections", connections, 1..=10_000_000);
        }
    }
}

pub(super) fn check_together(
    entries: &[Tcp],
    listen: &Listen,
    admin: &At<Address>,
    report: &mut Report,
) {
    for (at, entry) in entries.iter().enumerate() {
        let address = entry.listen.address;
        if let Some(other) = listen.http.0.iter().find(|other| address.clashes(other.address)) {
            report
                .error(&entry.listen, format!("`{address}` is for HTTP and for TCP"))
                .other(other, "HTTP is at")
                .help("give one of them another port");
        }
        if address.clashes(**admin) {
            report
                .error(&entry.listen, format!("`{address}` is for TCP and for operators"))
                .help("give one of them another port");
        }
        let same = |other: &&Tcp| other.listen.address == address;
        if let Some(first) = entries[..at].iter().find(same)
            && first.listen.proxy_protocol != entry.listen.proxy_protocol
        {
            report
                .error(
                    &entry.listen,
                    format!("`{address}` takes the PROXY protocol in one entry only"),
                )
                .other(&first.listen, "the first one is at")
                .help("write the same `proxy-protocol` in both");
        }
    }
}
