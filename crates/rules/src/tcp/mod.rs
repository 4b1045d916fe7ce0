//! Connections that are not HTTP: which service one is for.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use config::{At, Place, Report};
use wire::hello::is_host_name;

use crate::{Fault, ServiceId};

/// What a `[[tcp]]` says.
#[derive(Clone, Debug)]
pub struct TcpText {
    /// Where it stands.
    pub place: Place,
    /// Where clients connect; entries with the same address share one listener.
    pub listen: SocketAddr,
    /// The server name that clients ask for.
    pub sni: Option<At<String>>,
    /// The service.
    pub service: At<String>,
    /// Whether the service is told who the client is.
    pub proxy_protocol: bool,
    /// How long both directions may be silent, if it is not as long as elsewhere.
    pub idle: Option<Duration>,
    /// The most connections that may be open at once.
    pub connections_max: Option<u32>,
}

/// The place of an entry in [`Tcp::entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpId(pub u32);

/// One `[[tcp]]`, ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpEntry {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The server name that it is for, in lower case, perhaps with `*.` before it.
    pub sni: Option<Box<str>>,
    /// The service.
    pub service: ServiceId,
    /// Whether the service is told who the client is.
    pub proxy_protocol: bool,
    /// How long both directions may be silent, if it is not as long as elsewhere.
    pub idle: Option<Duration>,
    /// The most connections that may be open at once.
    pub connections_max: Option<u32>,
}

/// All entries of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    entries: Box<[TcpEntry]>,
    listeners: HashMap<SocketAddr, Names>,
}

/// The entries of one listener.
#[derive(Clone, Debug, Default)]
struct Names {
    exact: HashMap<Box<str>, TcpId>,
    /// By what follows `*.`.
    below: HashMap<Box<str>, TcpId>,
    fallback: Option<TcpId>,
}

/// How a connection began, as far as anybody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning<'a> {
    /// It was not looked at, or is not TLS.
    Plain,
    /// TLS, for the server of this name, if the client named one.
    Tls(Option<&'a str>),
}

impl TcpEntry {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.sni {
            Some(sni) => format!("{sni} on {}", self.listen),
            None => self.listen.to_string(),
        }
    }
}

impl Tcp {
    /// Puts entries together, or reports what does not fit. `find` finds their services.
    pub(crate) fn build(
        texts: &[TcpText],
        report: &mut Report,
        mut find: impl FnMut(&At<String>, Place, &mut Report) -> Option<ServiceId>,
    ) -> Self {
        let mut tcp = Self::default();
        let mut entries = Vec::with_capacity(texts.len());
        for (id, text) in (0..).map(TcpId).zip(texts) {
            let service = find(&text.service, text.place, report);
            let sni = text.sni.as_ref().map(|sni| read_sni(sni, report));
            let names = tcp.listeners.entry(text.listen).or_default();
            let before = match &sni {
                None => names.fallback.replace(id),
                Some(None) => None,
                Some(Some(sni)) => match sni.strip_prefix("*.") {
                    None => names.exact.insert(sni.clone(), id),
                    Some(below) => names.below.insert(below.into(), id),
                },
            };
            if let Some(TcpId(before)) = before {
                report_twice(text, &texts[before as usize], report);
            }
            entries.push(TcpEntry {
                listen: text.listen,
                sni: sni.flatten(),
                // What has no service is reported, and never used.
                service: service.unwrap_or(ServiceId(0)),
                proxy_protocol: text.proxy_protocol,
                idle: text.idle,
                connections_max: text.connections_max,
            });
        }
        tcp.entries = entries.into();
        tcp
    }

    /// The entries, in the order of the configuration.
    #[must_use]
    pub fn entries(&self) -> &[TcpEntry] {
        &self.entries
    }

    /// The entry at `id`.
    #[must_use]
    pub fn entry(&self, id: TcpId) -> &TcpEntry {
        &self.entries[id.0 as usize]
    }

    /// Where clients connect, each address once.
    #[must_use]
    pub fn listeners(&self) -> Vec<SocketAddr> {
        let mut listeners: Vec<_> = self.listeners.keys().copied().collect();
        listeners.sort_unstable();
        listeners
    }

    /// Whether the listener has to know the server name: if not, not even a byte is waited for, since
    /// in many protocols the server speaks first.
    #[must_use]
    pub fn wants_name(&self, listen: SocketAddr) -> bool {
        let names = self.listeners.get(&listen);
        names.is_some_and(|names| !names.exact.is_empty() || !names.below.is_empty())
    }

    /// The most specific entry for a connection to `listen`, and why it is that.
    ///
    /// # Errors
    /// The fault that there is none.
    pub fn find(
        &self,
        listen: SocketAddr,
        beginning: Beginning<'_>,
    ) -> Result<(TcpId, &'static str), Fault> {
        let names = self.listeners.get(&listen).ok_or(Fault::UnrecognizedName)?;
        let fallback = |why| names.fallback.map(|id| (id, why)).ok_or(Fault::UnrecognizedName);
        let name = match beginning {
            Beginning::Plain => return fallback("the entry takes every connection"),
            Beginning::Tls(None) => return fallback("the client names no server"),
            Beginning::Tls(Some(name)) => name,
        };
        if let Some(&id) = names.exact.get(name) {
            return Ok((id, "the entry has this very name"));
        }
        // The longest part behind a dot is the most specific wildcard.
        let mut tails = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
        match tails.find_map(|tail| names.below.get(tail)) {
            Some(&id) => Ok((id, "the entry has the longest wildcard for the name")),
            None => fallback("no entry has the name"),
        }
    }
}

/// The name in lower case, if it is one.
fn read_sni(sni: &At<String>, report: &mut Report) -> Option<Box<str>> {
    let lower = sni.to_ascii_lowercase();
    let name = lower.strip_prefix("*.").unwrap_or(&lower);
    // An address is never sent as a server name (RFC 6066, 3), so it would wait in vain.
    let is_address = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_host_name(name) && !is_address {
        return Some(lower.into());
    }
    report
        .error(sni, format!("`{}` is not a server name", **sni))
        .help("write a host name such as \"db.example.com\", or \"*.example.com\"");
    None
}

fn report_twice(text: &TcpText, before: &TcpText, report: &mut Report) {
    let problem = match &text.sni {
        Some(sni) => {
            let message = format!("`{}` has an entry for `{}` already", text.listen, **sni);
            report.error(sni, message)
        }
        None => {
            let message = format!("`{}` has an entry without `sni` already", text.listen);
            report.error(text.place, message).help("give one of them an `sni`")
        }
    };
    let first = before.sni.as_ref().map_or(before.place, At::place);
    problem.other(first, "the first one is at");
}
