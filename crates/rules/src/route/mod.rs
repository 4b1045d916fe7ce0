//! Routes: a match plus what happens.

mod action;
mod condition;
mod explain;
mod mirror;
mod pattern;
#[cfg(test)]
mod property;
mod search;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::sync::Arc;

use config::{At, Place, Report};
use wire::RequestHead;

use crate::Cx;
use crate::cache::Cache;
use crate::filter::Pipeline;
use crate::template::{Scope, is_token};

pub(crate) use action::Action;
pub use action::{RedirectConfig, RespondConfig};
pub(crate) use condition::Condition;
use mirror::Mirror;
pub use mirror::MirrorConfig;
use pattern::{HostPattern, PathPattern};
pub(crate) use search::Found;
use search::Unwatched;
pub(crate) use table::{Building, Table};
pub use text::{OneOrMany, RouteConfig, Wanted};

/// The place of a route in [`Rules::routes`](crate::Rules::routes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);

/// A route, ready to be used. It knows nothing of other routes, so a reload keeps those whose text
/// did not change.
#[derive(Debug)]
pub struct Route {
    /// Its name in the configuration, or its match in words.
    pub name: Box<str>,
    /// The most bytes that a request body may have; the engine's default if there is none.
    pub body_bytes_max: Option<u64>,
    /// Whether clients need a certificate.
    pub wants_certificate: bool,
    /// Keeps the answers, if the route says so.
    pub cache: Option<Box<Cache>>,
    /// Sends copies of its requests elsewhere, if it says so.
    pub(crate) mirror: Option<Box<Mirror>>,
    pub(crate) pipeline: Pipeline,
    pub(crate) action: Action,
    matching: Matching,
    /// Whether anything uses the path parameters.
    wants_params: bool,
}

impl Route {
    /// The hosts that it is for, wildcards as in `*.example.com`; none for every host.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.matching.hosts.iter().map(ToString::to_string)
    }
}

/// Which requests a route is for.
#[derive(Debug)]
struct Matching {
    /// None: every host.
    hosts: Box<[HostPattern]>,
    path: PathPattern,
    path_text: Box<str>,
    /// None: every method.
    methods: Box<[Box<str>]>,
    headers: Box<[Condition]>,
    queries: Box<[Condition]>,
}

/// How specific a match is beside host and path; more is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    method: bool,
    headers: usize,
    header_values: usize,
    queries: usize,
    query_values: usize,
}

impl Route {
    /// Compiles a route, or reports all that is wrong with it and returns `None`.
    pub fn build(config: &RouteConfig, report: &mut Report) -> Option<Self> {
        let matching = Matching::build(config, report);
        let none = [];
        let params = matching.as_ref().map_or(&none[..], |matching| &matching.path.params);
        let errors = count_errors(report);
        let mut scope = Scope { report, params, params_used: false };
        let pipeline = Pipeline::build(config, &mut scope);
        let action = Action::build(config, &mut scope);
        if let (Some(compress), Some(_)) = (&config.compress, &config.files) {
            scope
                .report
                .error(compress, "`compress` is for answers of services, and this route has files")
                .help("compress them beforehand, and write `precompressed = [\"br\", \"gzip\"]`");
        }
        let cache = build_cache(config, matching.as_ref(), &mut scope);
        let mirror = Mirror::build(config, &mut scope).map(Box::new);
        let wants_params = scope.params_used;
        if count_errors(report) > errors {
            return None;
        }
        let matching = matching?;
        Some(Self {
            name: match &config.name {
                Some(name) => name.as_str().into(),
                None => matching.to_string().into(),
            },
            body_bytes_max: config.body_limit.as_ref().map(|size| size.as_bytes()),
            wants_certificate: config.client_certificate.is_some(),
            cache,
            mirror,
            pipeline,
            action: action?,
            matching,
            wants_params,
        })
    }
}

fn build_cache(
    config: &RouteConfig,
    matching: Option<&Matching>,
    scope: &mut Scope<'_>,
) -> Option<Box<Cache>> {
    let cache = config.cache.as_ref()?;
    if config.service.is_none() && config.split.is_none() {
        scope
            .report
            .error(cache, "only answers of services are kept in the cache")
            .help("remove `cache`: what the route answers itself costs nothing to answer again");
        return None;
    }
    let text = matching.map(Matching::to_string).unwrap_or_default();
    Cache::build(cache, &text, scope).map(Box::new)
}

/// A filter that could not be built is left out of its pipeline; the report knows.
fn count_errors(report: &Report) -> usize {
    let is_error = |problem: &&config::Problem| problem.severity() == config::Severity::Error;
    report.problems().iter().filter(is_error).count()
}

impl Matching {
    fn build(config: &RouteConfig, report: &mut Report) -> Option<Self> {
        let path = PathPattern::read(&config.path, report);
        let mut whole = true;
        let mut hosts = Vec::new();
        for host in config.host.iter().flat_map(OneOrMany::placed) {
            match HostPattern::read(&host, report) {
                Some(host) if hosts.contains(&host) => {}
                Some(host) => hosts.push(host),
                None => whole = false,
            }
        }
        let mut methods: Vec<Box<str>> = Vec::new();
        for method in config.method.iter().flat_map(OneOrMany::placed) {
            whole &= check_method(&method, report);
            methods.push(method.as_str().into());
        }
        let mut headers = Vec::new();
        for (name, wanted) in &config.header {
            if !is_token(name) {
                report.error(name, format!("`{}` is not a header name", **name));
                whole = false;
            }
            headers.push(Condition::new(name.to_ascii_lowercase(), wanted));
        }
        let queries = config.query.iter();
        let queries = queries.map(|(name, wanted)| Condition::new((**name).clone(), wanted));
        Some(Self {
            hosts: hosts.into(),
            path: path.filter(|_| whole)?,
            path_text: config.path.as_str().into(),
            methods: methods.into(),
            headers: headers.into(),
            queries: queries.collect(),
        })
    }

    fn rank(&self) -> Rank {
        let values =
            |list: &[Condition]| list.iter().filter(|condition| condition.value.is_some()).count();
        Rank {
            method: !self.methods.is_empty(),
            headers: self.headers.len(),
            header_values: values(&self.headers),
            queries: self.queries.len(),
            query_values: values(&self.queries),
        }
    }
}

/// In words: `GET example.com/a/* x-beta=1 ?q`.
impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(","))?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{host}")?;
        }
        f.write_str(&self.path_text)?;
        for (mark, conditions) in [("", &self.headers), ("?", &self.queries)] {
            for Condition { name, value } in conditions {
                write!(f, " {mark}{name}")?;
                if let Some(value) = value {
                    write!(f, "={value}")?;
                }
            }
        }
        Ok(())
    }
}

fn check_method(method: &At<String>, report: &mut Report) -> bool {
    if !is_token(method) {
        report.error(method, format!("`{}` is not a method", **method));
        return false;
    }
    let upper = method.to_ascii_uppercase();
    if *upper != **method && wire::Method::of(upper.as_bytes()) != wire::Method::Other {
        report
            .error(method, format!("`{}` is not the method `{upper}`", **method))
            .help("methods are told apart by case (RFC 9110, 9.1)");
        return false;
    }
    if upper == "CONNECT" {
        report.error(method, "Doorward opens no tunnels, so no route sees `CONNECT`");
        return false;
    }
    true
}

impl Table {
    /// Finds the route of a request and puts its parameters into `cx.params`.
    #[inline]
    pub(crate) fn find(&self, head: &RequestHead, routes: &[Arc<Route>], cx: &mut Cx) -> Found {
        cx.params.clear();
        if cx.trail.is_some() {
            return self.find_explained(head, routes, cx);
        }
        self.search(head, routes, &mut cx.params, &mut Unwatched)
    }

    /// The value of `Allow` for the methods that a search found.
    pub(crate) fn allow(&self, found: condition::Methods) -> Box<str> {
        found.allow(&self.methods).into()
    }
}

/// A route with the place of its text.
pub type Placed<T> = (Place, Arc<T>);
