//! What would be done with a request, and why: the very rules that serve it, with a trail open.

use std::net::{IpAddr, Ipv4Addr};

use rules::forward::Peer;
use rules::{Cx, Rules, Trail, Verdict};
use serde::{Deserialize, Serialize};
use wire::RequestHead;

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

/// What is known about the endpoints of the service at an index: each one's address, and whether
/// it is passed over at the moment.
pub(crate) type Endpoints<'a> = &'a dyn Fn(usize) -> Vec<(String, bool)>;

/// Decides about the request in `question` as the engine would.
///
/// # Errors
/// If it cannot be a request at all: the clause that says why.
pub(crate) fn explain(
    rules: &Rules,
    trusts: impl Fn(IpAddr) -> bool,
    endpoints: Endpoints<'_>,
    question: &Question,
) -> Result<Explanation, String> {
    let https = question.url.starts_with("https://");
    let mut head = head(question)?;
    let client = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut cx = Cx::new(client, https);
    cx.begin(0, 0);
    cx.trail = Some(Box::default());
    let peer = Peer { address: Some((client, 0).into()), trusted: trusts(client), https };
    rules::forward::receive(&mut head, peer, &mut cx, trusts);
    let request = format!("{} {}", question.method, question.url);
    let outcome = match rules.decide(&mut head, &mut cx) {
        Verdict::Forward { service, .. } => {
            let name = rules.service(service).name.to_string();
            let endpoints = endpoints(service.0 as usize);
            let resting = |at: usize| endpoints[at].1;
            match rules::balance::pick(endpoints.len(), 0, 0, resting) {
                Some((at, why)) => {
                    cx.note("endpoint", &endpoints[at].0);
                    cx.record("balance", "pick", why);
                    format!("forward to `{name}` at {}", endpoints[at].0)
                }
                None => {
                    cx.record("balance", "none", "the service has no endpoint at the moment");
                    format!("forward to `{name}`")
                }
            }
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
