//! What a route says about its cache, and what that compiles to.

use std::collections::BTreeMap;

use config::{At, Period, Report};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::RequestHead;

use crate::Cx;
use crate::route::{Condition, Wanted};
use crate::template::{Scope, Template, is_token};

/// Keeps answers and gives them again, to everybody who may have them: RFC 9111 and its family.
///
/// `cache = {}` does what the service says in `Cache-Control`, `Expires` and `Vary`, and in
/// `CDN-Cache-Control` or `Doorward-Cache-Control` before these. The keys override it. Every answer
/// tells in `Cache-Status` what was done and why.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CacheConfig {
    /// How long answers are fresh, whatever lifetime the service gives or does not give: those with
    /// status 200, 203, 204, 206, 300, 301 or 308. What says `no-store`, `no-cache` or `private` stays
    /// what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<At<Period>>,
    /// How long a stale answer is still given at once while a new one is fetched in the background
    /// (RFC 5861). What the service says if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<At<Period>>,
    /// How long a stale answer is still given if the service fails or answers 500, 502, 503 or 504
    /// (RFC 5861). What the service says if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<At<Period>>,
    /// What tells answers apart beside scheme, host and path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<At<KeyConfig>>,
    /// Header fields of requests that answers depend on though the service does not name them in
    /// `Vary`. They are added to `Vary`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vary_by: Vec<At<String>>,
    /// Names under which answers can be purged, beside those that the service gives in
    /// `Surrogate-Key`, `Cache-Tag` and `xkey`. May have facts of the request in them, as in
    /// `"article-{path.id}"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<At<String>>,
    /// Requests that go past the cache: one of these must be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass: Option<At<BypassConfig>>,
    /// What cookies mean for the cache; `"private"` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookies: Option<At<Cookies>>,
    /// Whether answers whose service gives no `ETag` get one, made from their bytes once they are stored
    /// whole, so that clients who have them already are told that with a 304.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub etag: bool,
}

/// What tells answers apart. Parameters and cookies that are left out here do not reach the service
/// either: what does not tell answers apart must not change them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KeyConfig {
    /// The query parameters that count, in any order; `"utm_*"` means all that begin so. All of them
    /// as they stand if left out; none with `[]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<At<Vec<At<String>>>>,
    /// The query parameters that do not count; all others do, in any order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_except: Vec<At<String>>,
    /// Header fields whose values count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<At<String>>,
    /// Cookies whose values count. No other reaches the service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<At<String>>,
}

/// Requests that go past the cache.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BypassConfig {
    /// Header fields: `true` for any value, or the value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<At<String>, At<Wanted>>,
    /// Query parameters: `true` for any value, or the value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<At<String>, At<Wanted>>,
    /// Cookies: `true` for any value, or the value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cookie: BTreeMap<At<String>, At<Wanted>>,
}

/// What cookies mean for the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cookies {
    /// Answers that set cookies are not shared, unless they say `public`. Requests with cookies are
    /// given what the service itself calls cacheable, and go past the cache where only `fresh` says
    /// so.
    #[default]
    Private,
    /// The route knows no cookies: those of requests do not reach the service, those of answers do
    /// not reach clients.
    Ignore,
    /// Cookies change nothing: answers are shared with the cookies that they set.
    Share,
}

/// A route's cache, ready to be used.
#[derive(Debug)]
pub struct Cache {
    pub(super) fresh_ms: Option<u64>,
    pub(super) stale_while_revalidate_ms: Option<u64>,
    pub(super) stale_if_error_ms: Option<u64>,
    pub(super) query: QueryRule,
    /// In lower case.
    pub(super) headers: Box<[Box<str>]>,
    pub(super) cookie_names: Box<[Box<str>]>,
    /// In lower case.
    pub(super) vary_by: Box<[Box<str>]>,
    pub(super) tags: Box<[Template]>,
    pub(super) bypass: Bypass,
    pub(super) cookies: Cookies,
    pub(super) etag: bool,
    /// Tells this route's answers from those of others at the same URL.
    pub(super) route: u64,
}

/// Which parameters of the query tell answers apart.
#[derive(Debug, Default)]
pub(super) enum QueryRule {
    /// All, as they stand.
    #[default]
    AsSent,
    Only(Box<[Names]>),
    Except(Box<[Names]>),
}

/// A name, or the beginning of names.
#[derive(Debug)]
pub(super) struct Names {
    text: Box<str>,
    prefix: bool,
}

impl Names {
    fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(beginning) => Self { text: beginning.into(), prefix: true },
            None => Self { text: text.into(), prefix: false },
        }
    }

    /// Whether `name`, decoded, is meant.
    pub(super) fn cover(&self, name: &[u8]) -> bool {
        match self.prefix {
            true => name.starts_with(self.text.as_bytes()),
            false => name == self.text.as_bytes(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Bypass {
    headers: Box<[Condition]>,
    queries: Box<[Condition]>,
    cookies: Box<[Condition]>,
}

impl Bypass {
    /// The name of the first condition that holds for `head`.
    pub(super) fn find(&self, head: &RequestHead) -> Option<&str> {
        let cookie_holds = |condition: &&Condition| {
            let mut cookies = super::cookies::all(&head.fields);
            let wanted = condition.name.as_bytes();
            cookies.any(|(name, value)| name == wanted && condition.accepts(value))
        };
        let mut headers = self.headers.iter().filter(|condition| condition.header_holds(head));
        let mut queries = self.queries.iter().filter(|condition| condition.query_holds(head));
        let mut cookies = self.cookies.iter().filter(cookie_holds);
        let found = headers.next().or_else(|| queries.next()).or_else(|| cookies.next());
        found.map(|condition| &*condition.name)
    }
}

impl Cache {
    /// Compiles what `config` says, or reports what is wrong with it. `matching` tells the route from
    /// all others.
    pub(crate) fn build(
        config: &CacheConfig,
        matching: &str,
        scope: &mut Scope<'_>,
    ) -> Option<Self> {
        let whole = check(config, scope.report);
        let tags: Vec<_> =
            config.tags.iter().filter_map(|text| Template::read(text, scope)).collect();
        if !whole || tags.len() < config.tags.len() {
            return None;
        }
        let none = KeyConfig::default();
        let key = config.key.as_deref().unwrap_or(&none);
        let milliseconds =
            |period: &Option<At<Period>>| period.as_ref().map(|period| period.as_ns() / 1_000_000);
        Some(Self {
            fresh_ms: milliseconds(&config.fresh),
            stale_while_revalidate_ms: milliseconds(&config.stale_while_revalidate),
            stale_if_error_ms: milliseconds(&config.stale_if_error),
            query: match &key.query {
                Some(names) => QueryRule::Only(names.iter().map(|name| Names::new(name)).collect()),
                None if !key.query_except.is_empty() => {
                    let names = key.query_except.iter();
                    QueryRule::Except(names.map(|name| Names::new(name)).collect())
                }
                None => QueryRule::AsSent,
            },
            headers: lower(&key.headers),
            cookie_names: key.cookies.iter().map(|name| name.as_str().into()).collect(),
            vary_by: lower(&config.vary_by),
            tags: tags.into(),
            bypass: config.bypass.as_deref().map(Bypass::new).unwrap_or_default(),
            cookies: config.cookies.as_deref().copied().unwrap_or_default(),
            etag: config.etag,
            route: super::hash(matching.as_bytes()),
        })
    }

    /// The tags that the configuration gives the answer to a request.
    pub(super) fn tags<'c>(
        &'c self,
        head: &'c RequestHead,
        cx: &'c Cx,
    ) -> impl Iterator<Item = Vec<u8>> + 'c {
        self.tags.iter().map(move |tag| {
            let mut text = Vec::new();
            tag.render(head, cx, crate::template::Into::Field, &mut text);
            text
        })
    }
}

impl Bypass {
    fn new(config: &BypassConfig) -> Self {
        let conditions = |wanted: &BTreeMap<At<String>, At<Wanted>>, lower: bool| {
            let new = |(name, wanted): (&At<String>, &At<Wanted>)| {
                let name = if lower { name.to_ascii_lowercase() } else { (**name).clone() };
                Condition::new(name, wanted)
            };
            wanted.iter().map(new).collect()
        };
        Self {
            headers: conditions(&config.header, true),
            queries: conditions(&config.query, false),
            cookies: conditions(&config.cookie, false),
        }
    }
}

fn lower(names: &[At<String>]) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> =
        names.iter().map(|name| name.to_ascii_lowercase().into()).collect();
    names.sort_unstable();
    names.dedup();
    names.into()
}

fn check(config: &CacheConfig, report: &mut Report) -> bool {
    let mut whole = true;
    let key = config.key.as_deref();
    let bypass = config.bypass.as_deref();
    let headers = config
        .vary_by
        .iter()
        .chain(key.iter().flat_map(|key| &key.headers))
        .chain(bypass.iter().flat_map(|bypass| bypass.header.keys()));
    for name in headers {
        if !is_token(name) {
            report.error(name, format!("`{}` is not a header name", **name));
            whole = false;
        }
    }
    let cookies = key.iter().flat_map(|key| &key.cookies);
    for name in cookies.chain(bypass.iter().flat_map(|bypass| bypass.cookie.keys())) {
        if !is_token(name) {
            report.error(name, format!("`{}` is not the name of a cookie", **name));
            whole = false;
        }
    }
    for name in &config.vary_by {
        if name.eq_ignore_ascii_case("cookie") {
            report
                .error(name, "hardly two clients have the same cookies")
                .help("name the cookies that count: `key = { cookies = [\"theme\"] }`");
            whole = false;
        }
    }
    if let Some(key) = key
        && let Some(query) = &key.query
        && let Some(except) = key.query_except.first()
    {
        report
            .error(except, "`query-except` leaves out of all parameters, and `query` names some")
            .other(query.place(), "`query` is at")
            .help("remove one of them");
        whole = false;
    }
    if let Some(key) = key
        && let (Some(name), Some(cookies)) = (key.cookies.first(), &config.cookies)
        && **cookies == Cookies::Ignore
    {
        report
            .error(name, "the route ignores cookies, and this one is to count")
            .other(cookies.place(), "`cookies` is at")
            .help("remove one of them");
        whole = false;
    }
    whole
}
