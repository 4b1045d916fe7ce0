//! What would be done with a request, and why: the very rules that serve it, with a trail open.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use rules::balance::{Ask, Balancer, Bond, Loads, Member, Standing};
use rules::forward::Peer;
use rules::service::Rank;
use rules::tcp::Beginning;
use rules::{Cx, Fault, Identity, Rules, Service, Shown, Trail, Verdict};
use serde::{Deserialize, Serialize};
use wire::RequestHead;
use wire::hello::NotHello;

use super::certificates::Certificates;

/// A request to be explained.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Question {
    #[serde(default = "get")]
    pub(crate) method: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    /// Whom the request would come from.
    pub(crate) client: Option<IpAddr>,
    /// What its certificate calls it, such as `spiffe://example.org/web`.
    #[serde(default)]
    pub(crate) client_identity: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// Every decision about a request, in order.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Explanation {
    pub(crate) request: String,
    pub(crate) outcome: String,
    pub(crate) decisions: Trail,
}

/// An endpoint as far as its choice depends on it.
pub(crate) struct Seen {
    pub(crate) address: String,
    pub(crate) standing: Standing,
    pub(crate) rank: Rank,
    pub(crate) is_near: bool,
}

/// What decisions depend on beside the rules.
pub(crate) struct Facts<'a> {
    /// Whether a peer at this address is believed.
    pub(crate) trusts: &'a dyn Fn(IpAddr) -> bool,
    /// What is known about the endpoints of the service at an index.
    pub(crate) endpoints: &'a dyn Fn(usize) -> Vec<Seen>,
    /// What the cookies of a request say to the service at an index; `None` if only a running process
    /// could tell.
    pub(crate) bond: &'a dyn Fn(usize, &RequestHead) -> Option<Bond>,
    pub(crate) certificates: &'a Certificates,
}

/// Decides about the request in `question`, or the connection, as the engine would.
///
/// # Errors
/// If it cannot be a request at all: the clause that says why.
pub(crate) fn explain(
    rules: &Rules,
    facts: &Facts<'_>,
    question: &Question,
) -> Result<Explanation, String> {
    if let Some(connection) = Connection::of_url(&question.url) {
        return explain_connection(rules, facts, question, &connection?);
    }
    let https = question.url.starts_with("https://");
    let mut head = head(question)?;
    let client = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut cx = Cx::new(client, https);
    cx.begin(0, 0);
    cx.trail = Some(Box::default());
    let identity = question.client_identity.as_deref().map(Identity::named);
    cx.shown = Some(Rc::new(Shown { server_name: None, identity }));
    let peer = Peer { address: Some((client, 0).into()), trusted: (facts.trusts)(client), https };
    if https && let Some(trail) = cx.trail.as_mut() {
        certificate(trail, facts.certificates, &question.url);
    }
    rules::forward::receive(&mut head, peer, &mut cx, facts.trusts);
    let request = format!("{} {}", question.method, question.url);
    let outcome = match rules.decide(&mut head, &mut cx) {
        Verdict::Forward { route, service } => {
            let service_rules = rules.service(service);
            if let Some(cache) = &rules.route(route).cache {
                cache.explain(&head, &mut cx, &service_rules.name);
            }
            if service_rules.policy.breaker.is_some() {
                cx.record("breaker", "pass", "while it is closed");
            }
            if let Some(policy) = &service_rules.policy.overload {
                cx.note("priority", cx.priority.name());
                cx.note("most", policy.limit.most);
                cx.record(
                    "overload",
                    "pass",
                    "while no more is asked of the service than it can do",
                );
            }
            let key = service_rules.policy.hash.as_ref().and_then(|by| by.key(&head, &cx));
            let at = service.0 as usize;
            let trail = cx.trail.as_mut().expect("it was just put there");
            let bound = service_rules.sticky.as_ref();
            let bound = bound.and_then(|_| bound_to((facts.bond)(at, &head), trail));
            let ask = Ask { key, sticky: bound, ..Ask::default() };
            balance(trail, service_rules, &(facts.endpoints)(at), &ask)
        }
        Verdict::Reply { reply, .. } => format!("answer {}", reply.status),
        Verdict::Files { files, candidates, .. } => {
            let names: Vec<_> = candidates.iter().map(|candidate| &*candidate.path).collect();
            format!("serve a file of {}: {}", files.root().display(), names.join(", or "))
        }
        Verdict::Fault { fault, .. } => {
            cx.record("fault", fault.slug(), fault.reason());
            format!("answer {}: {}", fault.status(), fault.title())
        }
    };
    let decisions = cx.trail.take().map(|trail| *trail).unwrap_or_default();
    Ok(Explanation { request, outcome, decisions })
}

/// Which certificate the client is shown; nothing if TLS ends elsewhere.
fn certificate(trail: &mut Trail, certificates: &Certificates, url: &str) {
    let authority = url.trim_start_matches("https://").split(['/', '?', '#']).next();
    let authority = authority.unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    };
    let Some((certificate, is_named)) = certificates.find(&host.to_ascii_lowercase()) else {
        return;
    };
    trail.note("from", certificate.origin.to_string());
    trail.note("names", certificate.names.join(", "));
    match is_named {
        true => trail.record("certificate", "choose", "it is for the name"),
        false => trail.record("certificate", "odd", "none is for the name: this is the first"),
    }
}

/// The endpoint that the session would prefer.
fn bound_to(bond: Option<Bond>, trail: &mut Trail) -> Option<u64> {
    match bond {
        None => trail.record("sticky", "unknown", "its cookies are signed by the running process"),
        Some(Bond::None) => trail.record("sticky", "begin", "it has no cookie"),
        Some(Bond::Vain(why)) => trail.record("sticky", "begin", why),
        Some(Bond::To(_)) => trail.record("sticky", "find", "its cookie names an endpoint"),
    }
    bond.as_ref().and_then(Bond::endpoint)
}

/// Which endpoint of `service` would be taken.
fn balance(trail: &mut Trail, service: &Service, endpoints: &[Seen], ask: &Ask<'_>) -> String {
    let name = &service.name;
    let members = (0_u32..).zip(endpoints).map(|(id, seen)| Member {
        id,
        hash: rules::balance::hash(seen.address.as_bytes()),
        weight: seen.rank.weight as f32,
        tier: seen.rank.tier,
        is_near: seen.is_near,
        since_ns: 0,
    });
    let members: Vec<Member> = members.collect();
    let mut balancer = Balancer::new(service.policy.balance, &members);
    let mut loads = Loads::default();
    balancer.renew(&mut loads, 0, |id| endpoints[id as usize].standing);
    for seen in endpoints.iter().filter(|seen| seen.standing != Standing::Well) {
        trail.note("passed-over", format!("{} ({})", seen.address, seen.standing.name()));
    }
    match balancer.pick(&loads, ask) {
        Some(pick) => {
            let Seen { address, rank, .. } = &endpoints[pick.at];
            trail.note("endpoint", address.clone());
            if endpoints.iter().any(|seen| seen.rank.tier != rank.tier) {
                trail.note("tier", rank.tier.to_string());
            }
            if let Some(zone) = &rank.zone {
                trail.note("zone", zone.to_string());
            }
            trail.record("balance", "pick", pick.why);
            format!("forward to `{name}` at {address}")
        }
        None => {
            trail.record("balance", "none", "the service has no endpoint at the moment");
            format!("forward to `{name}`")
        }
    }
}

/// A connection that is not HTTP.
struct Connection<'u> {
    tls: bool,
    host: &'u str,
    port: u16,
}

impl<'u> Connection<'u> {
    /// The one that `tcp://HOST:PORT` or `tls://NAME:PORT` means, if `url` is one of these.
    fn of_url(url: &'u str) -> Option<Result<Self, String>> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            "tcp" => false,
            "tls" => true,
            _ => return None,
        };
        let parts = rest.trim_end_matches('/').rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        Some(match parts {
            Some((host, port)) => Ok(Self { tls, host, port }),
            None => Err(format!("`{url}` names no port")),
        })
    }

    /// Where it arrives: at the address it names, or else at the one listener with its port.
    fn listener(&self, rules: &Rules) -> Result<SocketAddr, String> {
        let mut listeners = rules.tcp().listeners();
        listeners.retain(|address| address.port() == self.port);
        let ip = self.host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let exact = ip.ok().map(|ip| SocketAddr::new(ip, self.port));
        match (&*listeners, exact.filter(|exact| listeners.contains(exact))) {
            (_, Some(exact)) => Ok(exact),
            ([one], None) => Ok(*one),
            ([], None) => Err(format!("no `[[tcp]]` listens on port {}", self.port)),
            (_, None) => Err(format!("several `[[tcp]]` listen on port {}", self.port)),
        }
    }
}

/// Decides about a connection as the engine would.
fn explain_connection(
    rules: &Rules,
    facts: &Facts<'_>,
    question: &Question,
    connection: &Connection<'_>,
) -> Result<Explanation, String> {
    let listen = connection.listener(rules)?;
    let name = connection.host.to_ascii_lowercase();
    // An address is never sent as a server name (RFC 6066, 3).
    let name = Some(&*name).filter(|name| wire::hello::is_host_name(name) && !is_ip(name));
    let beginning = match connection.tls && rules.tcp().wants_name(listen) {
        true => Beginning::Tls(name),
        false => Beginning::Plain,
    };
    let mut trail = Trail::default();
    trail.note("listen", listen.to_string());
    let found = match (connection.tls, rules.tcp().wants_name(listen)) {
        (false, true) => Err(Fault::HelloMalformed(NotHello::NotTls)),
        _ => rules.tcp().find(listen, beginning),
    };
    let outcome = match found {
        Ok((id, why)) => {
            let entry = rules.tcp().entry(id);
            trail.note("entry", entry.name());
            trail.record("tcp", "choose", why);
            let service = rules.service(entry.service);
            let client = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let key = service.policy.hash.as_ref().and_then(|by| by.key_of_connection(client));
            let endpoints = (facts.endpoints)(entry.service.0 as usize);
            balance(&mut trail, service, &endpoints, &Ask { key, ..Ask::default() })
        }
        Err(fault) => {
            trail.record("fault", fault.slug(), fault.reason());
            format!("close: {}", fault.title())
        }
    };
    Ok(Explanation { request: question.url.clone(), outcome, decisions: trail })
}

fn is_ip(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

/// The head that a client would send for the URL in `question`.
fn head(question: &Question) -> Result<RequestHead, String> {
    let rest = question
        .url
        .strip_prefix("http://")
        .or_else(|| question.url.strip_prefix("https://"))
        .ok_or_else(|| format!("`{}` does not begin with http:// or https://", question.url))?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(at);
    if authority.is_empty() {
        return Err(format!("`{}` names no host", question.url));
    }
    // What follows `#` never leaves the client.
    let target = target.split('#').next().unwrap_or_default();
    let target = match target {
        "" => "/".to_owned(),
        query if query.starts_with('?') => format!("/{query}"),
        path => path.to_owned(),
    };
    let is_host = |name: &str| name.eq_ignore_ascii_case("host");
    let mut hosts = question.headers.iter().filter(|(name, _)| is_host(name));
    let authority = hosts.next().map_or(authority, |(_, host)| host);
    let mut head = RequestHead::new(&question.method, authority, &target)
        .map_err(|malformed| malformed.reason().to_owned())?;
    for (name, value) in &question.headers {
        if name.is_empty() || !name.bytes().all(wire::fields::is_token_byte) {
            return Err(format!("`{name}` is not a header name"));
        }
        if !value.bytes().all(wire::fields::is_value_byte) {
            return Err(format!("the value of `{name}` has a control character"));
        }
        if !is_host(name) {
            head.fields.push(name, value.as_bytes());
        }
    }
    Ok(head)
}
