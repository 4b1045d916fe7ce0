//! Changes the path and the query that the service sees.

use config::At;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::RequestHead;
use wire::h1::Malformed;

use super::{Filter, Phases};
use crate::decision::Decision;
use crate::percent;
use crate::template::{Into, Part, Scope, Template};
use crate::{Cx, Fault};

/// The compiled filter.
#[derive(Debug)]
pub(super) struct Rewrite {
    path: Option<PathChange>,
    /// Empty: no query.
    query: Option<Template>,
}

#[derive(Debug)]
enum PathChange {
    /// The decoded segments to cut off at the front.
    Strip(Box<[Box<[u8]>]>),
    Template(Template),
}

/// Changes the path and the query that the service sees. Paths are given by one of `strip-prefix`
/// and `path`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RewriteConfig {
    /// The segments to cut off at the front: with `"/api"`, `/api/users` becomes `/users`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<At<String>>,
    /// The new path, e.g. `"/v2/{path.rest}"` for a route with the path `/v1/{rest...}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<At<String>>,
    /// The new query, e.g. `"id={path.id}&{query}"`; `""` removes it. It stays as it is if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<At<String>>,
}

impl Filter for Rewrite {
    const NAME: &'static str = "rewrite";
    const ABOUT: &'static str = "changes the path and the query that the service sees";
    const PHASES: Phases = Phases::REQUEST;
    type Config = RewriteConfig;

    fn build(config: &At<RewriteConfig>, scope: &mut Scope<'_>) -> Option<Self> {
        let RewriteConfig { strip_prefix, path, query } = &**config;
        let path = match (strip_prefix, path) {
            (Some(strip), Some(path)) => {
                scope
                    .report
                    .error(path, "`path` and `strip-prefix` both give the new path")
                    .other(strip, "the other one is at")
                    .help("remove one of them");
                return None;
            }
            (Some(strip), None) => Some(PathChange::Strip(read_prefix(strip, scope)?)),
            (None, Some(path)) => Some(PathChange::Template(read_path(path, scope)?)),
            (None, None) if query.is_none() => {
                scope
                    .report
                    .error(config, "this rewrites nothing")
                    .help("give `strip-prefix`, `path` or `query`");
                return None;
            }
            (None, None) => None,
        };
        let query = match query {
            None => None,
            Some(query) => {
                if query.starts_with('?') {
                    scope
                        .report
                        .error(query, "the query begins with `?`")
                        .help("leave it out: Doorward writes it");
                    return None;
                }
                Some(Template::read(query, scope)?)
            }
        };
        Some(Self { path, query })
    }

    fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Decision {
        let mut scratch = std::mem::take(&mut cx.scratch);
        scratch.clear();
        let mut why = "the target is rewritten";
        // Both are made from the request as it came.
        scratch.push_with(|out| match &self.path {
            None => {}
            Some(PathChange::Strip(prefix)) => {
                let rest = stripped(head.path(), prefix);
                if rest.is_none() {
                    why = "the prefix is not there";
                }
                out.extend_from_slice(rest.unwrap_or(head.path()));
            }
            Some(PathChange::Template(path)) => path.render(head, cx, Into::Path, out),
        });
        scratch.push_with(|out| {
            if let Some(query) = &self.query {
                query.render(head, cx, Into::Query, out);
            }
        });
        let decision = self.change(head, scratch.at(0), scratch.at(1), cx, why);
        cx.scratch = scratch;
        decision
    }
}

impl Rewrite {
    fn change(
        &self,
        head: &mut RequestHead,
        path: &[u8],
        query: &[u8],
        cx: &mut Cx,
        why: &'static str,
    ) -> Decision {
        if self.path.is_some() {
            // What the template put together may be a way up that nobody sent.
            if path.split(|&byte| byte == b'/').any(is_dot_segment) {
                let fault = Fault::Malformed(Malformed::AmbiguousPath);
                return Decision::refuse("the new path has dot segments", fault);
            }
            head.set_path(path);
        }
        if self.query.is_some() {
            // An empty `{query}` leaves a `&` at an end.
            let start = query.iter().take_while(|byte| **byte == b'&').count();
            let end = query.iter().rev().take_while(|byte| **byte == b'&').count();
            let query = &query[start..query.len().saturating_sub(end).max(start)];
            head.set_query((!query.is_empty()).then_some(query));
        }
        if cx.trail.is_some() {
            let mut target = Vec::new();
            head.write_target(&mut target);
            cx.note("target", String::from_utf8_lossy(&target).into_owned());
        }
        Decision::pass(why)
    }
}

/// `path` without the segments `prefix` at its front, matched as routes are: decoded, and several
/// slashes as one. `None` if they do not stand there.
fn stripped<'p>(path: &'p [u8], prefix: &[Box<[u8]>]) -> Option<&'p [u8]> {
    let mut rest = path;
    for wanted in prefix {
        let start = rest.iter().position(|&byte| byte != b'/')?;
        let end = rest[start..].iter().position(|&byte| byte == b'/');
        let end = end.map_or(rest.len(), |at| start + at);
        if !percent::decoded(&rest[start..end]).eq(wanted.iter().copied()) {
            return None;
        }
        rest = &rest[end..];
    }
    Some(if rest.is_empty() { b"/" } else { rest })
}

fn is_dot_segment(segment: &[u8]) -> bool {
    let mut bytes = percent::decoded(segment);
    bytes.next() == Some(b'.')
        && matches!((bytes.next(), bytes.next()), (None, _) | (Some(b'.'), None))
}

fn read_prefix(text: &At<String>, scope: &mut Scope<'_>) -> Option<Box<[Box<[u8]>]>> {
    let bare = text.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let segments = bare.filter(|bare| !bare.is_empty() && !bare.contains(['*', '{', '?']));
    let Some(segments) = segments else {
        scope
            .report
            .error(text, format!("`{}` is not a prefix to strip", **text))
            .help("write the segments to cut off: \"/api\"");
        return None;
    };
    Some(segments.split('/').map(|part| percent::decoded(part.as_bytes()).collect()).collect())
}

fn read_path(text: &At<String>, scope: &mut Scope<'_>) -> Option<Template> {
    if !text.starts_with('/') && **text != "{path}" {
        scope
            .report
            .error(text, format!("the new path `{}` does not begin with `/`", **text))
            .help(format!("write \"/{}\"", **text));
        return None;
    }
    let template = Template::read(text, scope)?;
    let marked = |part: &Part| matches!(part, Part::Text(text) if text.contains(['?', '#']));
    if template.has_marked_query() || template.parts().iter().any(marked) {
        scope
            .report
            .error(text, format!("the new path `{}` has more than a path in it", **text))
            .help("the query stays as it is, or give `query` as a key of its own");
        return None;
    }
    Some(template)
}
