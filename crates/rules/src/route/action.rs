//! What happens to the requests of a route.

use std::collections::BTreeMap;

use config::{At, Report, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::RequestHead;
use wire::h1::Malformed;

use super::RouteConfig;
use crate::files::Files;
use crate::template::{Fact, Into, Part, Scope, Template, is_token};
use crate::{Cx, Fault, Reply};

/// What happens to the requests of a route.
#[derive(Debug)]
pub(crate) enum Action {
    /// They go to one of these services, by chance; the shares sum up to the whole.
    Services(Box<[(At<String>, Share)]>),
    Respond(Reply),
    Redirect(Redirect),
    Files(Files),
}

/// A whole answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RespondConfig {
    /// The status; 200 if left out.
    #[serde(default = "ok")]
    pub status: At<u16>,
    /// The body; none if left out.
    #[serde(default)]
    pub body: String,
    /// The media type of the body.
    #[serde(default = "plain_text", rename = "type")]
    pub media_type: At<String>,
    /// Header fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<At<String>, At<String>>,
}

fn ok() -> At<u16> {
    At::from(200)
}

fn plain_text() -> At<String> {
    At::from("text/plain; charset=utf-8".to_owned())
}

/// A way elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedirectConfig {
    /// Where to: a path, or a whole URL. May have facts of the request in it, as in
    /// `"https://example.com{path}?{query}"`.
    pub to: At<String>,
    /// 301, 302, 303, 307 or 308; 308 if left out.
    #[serde(default = "permanent")]
    pub status: At<u16>,
}

fn permanent() -> At<u16> {
    At::from(308)
}

/// A compiled redirect.
#[derive(Debug)]
pub(crate) struct Redirect {
    status: u16,
    to: Template,
    /// Whether the target names scheme and host.
    absolute: bool,
}

impl Action {
    /// Reads what `config` says, or reports what is wrong with it.
    pub(super) fn build(config: &RouteConfig, scope: &mut Scope<'_>) -> Option<Self> {
        let given = [
            ("service", config.service.as_ref().map(At::place)),
            ("split", config.split.as_ref().map(At::place)),
            ("respond", config.respond.as_ref().map(At::place)),
            ("redirect", config.redirect.as_ref().map(At::place)),
            ("files", config.files.as_ref().map(At::place)),
        ];
        let mut given = given.into_iter().filter_map(|(key, place)| Some((key, place?)));
        let Some((first, place)) = given.next() else {
            scope
                .report
                .error(&config.path, "nothing happens on this route")
                .help("give `service`, `split`, `respond`, `redirect` or `files`");
            return None;
        };
        if let Some((second, other)) = given.next() {
            scope
                .report
                .error(other, format!("`{second}` and `{first}` cannot both happen"))
                .other(place, format!("`{first}` is at"))
                .help("remove one of them, or make two routes");
            return None;
        }
        match config {
            RouteConfig { service: Some(name), .. } => {
                Some(Self::Services([(name.clone(), Share::ALL)].into()))
            }
            RouteConfig { split: Some(split), .. } => read_split(split, scope),
            RouteConfig { respond: Some(respond), .. } => {
                respond.read(scope.report).map(Self::Respond)
            }
            RouteConfig { redirect: Some(redirect), .. } => {
                Redirect::build(redirect, config.host.is_some(), scope).map(Self::Redirect)
            }
            RouteConfig { files: Some(files), .. } => {
                Files::build(files, scope.report).map(Self::Files)
            }
            _ => None,
        }
    }
}

fn read_split(
    split: &At<BTreeMap<At<String>, At<Share>>>,
    scope: &mut Scope<'_>,
) -> Option<Action> {
    let sum: u64 = split.values().map(|share| u64::from(share.as_millionths())).sum();
    let whole = u64::from(Share::ALL.as_millionths());
    if sum != whole {
        let percent = sum as f64 / 10_000.0;
        scope
            .report
            .error(split, format!("the shares sum up to {percent}%"))
            .help("they must sum up to 100%");
        return None;
    }
    let shares = split.iter().map(|(name, share)| (name.clone(), **share));
    Some(Action::Services(shares.collect()))
}

impl RespondConfig {
    pub(crate) fn read(&self, report: &mut Report) -> Option<Reply> {
        let status = *self.status;
        if !report.within("status", &self.status, 200..=599) {
            return None;
        }
        if matches!(status, 204 | 304) && !self.body.is_empty() {
            report
                .error(&self.status, format!("an answer with status {status} has no body"))
                .help("remove `body`, or take another status (RFC 9110, 15.3.5 and 15.4.5)");
            return None;
        }
        let mut reply = Reply::status(status).body(self.body.as_bytes());
        if !self.body.is_empty() {
            reply = reply.header("content-type", self.media_type.as_bytes());
        }
        for (name, value) in &self.headers {
            if !is_token(name) {
                report.error(name, format!("`{}` is not a header name", **name));
                return None;
            }
            if FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)) {
                report
                    .error(name, format!("`{}` cannot be set here", **name))
                    .help("Doorward writes it from what it sends");
                return None;
            }
            reply = reply.header((**name).clone(), value.as_bytes());
        }
        Some(reply)
    }
}

/// What a response says of its own framing; `type` is a key of its own.
const FRAMING: [&str; 6] =
    ["connection", "content-length", "content-type", "keep-alive", "transfer-encoding", "upgrade"];

impl Redirect {
    fn build(config: &RedirectConfig, has_host: bool, scope: &mut Scope<'_>) -> Option<Self> {
        if !matches!(*config.status, 301 | 302 | 303 | 307 | 308) {
            scope
                .report
                .error(&config.status, format!("{} redirects nobody", *config.status))
                .help("write 301, 302, 303, 307 or 308");
            return None;
        }
        let to = Template::read(&config.to, scope)?;
        let absolute = match to.parts() {
            [Part::Text(text), ..] if text.starts_with('/') && !text.starts_with("//") => false,
            [Part::Fact(Fact::Path), ..] => false,
            [Part::Text(text), ..] if is_http(text) => true,
            [Part::Fact(Fact::Scheme), Part::Text(text), ..] if text.starts_with("://") => true,
            _ => {
                scope
                    .report
                    .error(&config.to, format!("`{}` may lead anywhere", *config.to))
                    .help("begin it with `/`, `http://`, `https://` or `{scheme}://`");
                return None;
            }
        };
        if absolute {
            check_authority(&to, &config.to, has_host, scope)?;
        }
        Some(Self { status: *config.status, to, absolute })
    }

    /// The answer for one request.
    pub(crate) fn reply(&self, head: &RequestHead, cx: &Cx) -> Result<Reply, Fault> {
        let mut location = Vec::new();
        self.to.render(head, cx, Into::Url, &mut location);
        if self.absolute {
            let names_host = location
                .split(|&byte| byte == b'/')
                .nth(2)
                .is_some_and(|authority| !authority.is_empty());
            // A request of HTTP/1.0 may have no host to put in.
            if !names_host {
                return Err(Fault::Malformed(Malformed::HostMissing));
            }
        } else {
            // `//evil.example/` would be a whole URL without its scheme, and browsers read `\` as `/`.
            let slashes = location.iter().take_while(|byte| b"/\\".contains(byte)).count();
            location.drain(1..slashes.max(1));
        }
        Ok(Reply::status(self.status).header("location", location))
    }
}

fn is_http(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Checks that clients cannot choose the host of the target, or warns where only whoever sends the
/// request can choose it.
fn check_authority(
    to: &Template,
    at: &At<String>,
    has_host: bool,
    scope: &mut Scope<'_>,
) -> Option<()> {
    for (index, part) in to.parts().iter().enumerate() {
        match part {
            Part::Text(text) => {
                let rest = text.split_once("://").map_or(&**text, |(_, rest)| rest);
                if rest.contains(['/', '?', '#']) {
                    return Some(());
                }
            }
            Part::Fact(Fact::Scheme) if index == 0 => {}
            Part::Fact(Fact::Path | Fact::MarkedQuery) => return Some(()),
            Part::Fact(Fact::Host) => {
                if !has_host {
                    scope
                        .report
                        .warning(at, "the target's host is whatever the request says it is")
                        .help("give the route a `host`, or write the host out");
                }
            }
            Part::Fact(_) => {
                scope
                    .report
                    .error(at, "whoever makes a link can choose the host of this target")
                    .help("put a `/` behind the host");
                return None;
            }
        }
    }
    Some(())
}
