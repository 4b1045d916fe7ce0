//! What operators see of the cache, and how they purge it.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use rules::cache::tag;
use rules::store::{Receipt, Scope, url, url_prefix};
use rules::{Reply, Rules};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{json_reply, problem};
use crate::control::snapshot::Snapshot;
use crate::data::store::{By, Store};
use crate::metrics::{CacheResult, CacheSums, unix_ms};

/// How many objects of each kind are shown.
const SHOWN: usize = 10;

/// What is to be purged; everything that any of it names.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PurgeOrder {
    pub(crate) urls: Vec<String>,
    pub(crate) tags: Vec<String>,
    /// Beginnings of URLs.
    pub(crate) prefixes: Vec<String>,
    pub(crate) all: bool,
    /// What is purged may be served while a new one is fetched.
    pub(crate) soft: bool,
    /// How many responses at `urls` lie in memory is counted, which looks at all of them.
    pub(crate) count: bool,
}

/// The most things that one order may name; more is a purge of everything, or several orders.
const SCOPES_MAX: usize = 1000;

impl PurgeOrder {
    /// How many things it names.
    fn named(&self) -> usize {
        self.urls.len() + self.tags.len() + self.prefixes.len() + usize::from(self.all)
    }

    /// What the store is told, and the tags of the URLs in it. URLs are those that clients use: what the
    /// routes' caches make of their queries is purged.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    fn scopes(&self, rules: &Rules) -> Result<(Vec<Scope>, HashSet<u64>), String> {
        let read = |text: &String, url: Option<Vec<u8>>| {
            url.ok_or_else(|| format!("`{text}` is not a URL: it begins with http:// or https://"))
        };
        match self.named() {
            0 => return Err("name `urls`, `tags` or `prefixes`, or say `all`".to_owned()),
            1..=SCOPES_MAX => {}
            _ => return Err(format!("one order names at most {SCOPES_MAX} things")),
        }
        let mut urls = HashSet::new();
        for text in &self.urls {
            let stored = rules.stored_urls(read(text, url(text))?);
            urls.extend(stored.iter().map(|url| tag(url)));
        }
        let mut scopes: Vec<Scope> = urls.iter().map(|url| Scope::Tag(*url)).collect();
        scopes.extend(self.tags.iter().map(|name| Scope::Tag(tag(name.as_bytes()))));
        for text in &self.prefixes {
            scopes.push(Scope::Prefix(read(text, url_prefix(text))?.into()));
        }
        if self.all {
            scopes.push(Scope::All);
        }
        Ok((scopes, urls))
    }
}

/// Purges what `content` orders.
pub(super) async fn purge(store: &Arc<Store>, rules: &Rules, content: &[u8]) -> Reply {
    let order = serde_json::from_slice::<PurgeOrder>(content).map_err(|error| error.to_string());
    let read = order.and_then(|order| order.scopes(rules).map(|scopes| (order, scopes)));
    let (order, (scopes, urls)) = match read {
        Ok(read) => read,
        Err(why) => return json_reply(400, &problem(400, &why)),
    };
    let soft = order.soft;
    let (last, before) = scopes.split_last().expect("an order without a scope was refused");
    let mut receipts: Vec<Receipt> = before.iter().map(|scope| store.purge(scope, soft)).collect();
    // They are noted in order: with the last, all are.
    receipts.push(store.purge_durably(last, soft).await);
    let last = receipts.last().expect("it was pushed");
    let widened = receipts.iter().any(|receipt| receipt.widened);
    let mut this = json!({
        "node": node(),
        "generation": last.generation,
        "prefixes": last.prefixes,
        "widened": widened,
    });
    if order.count && !urls.is_empty() {
        let store = Arc::clone(store);
        let counted = tokio::task::spawn_blocking(move || store.count_purged(&urls)).await;
        this["responses"] = json!(counted.ok());
    }
    json_reply(200, &json!({ "purged": order.named(), "soft": soft, "nodes": [this] }))
}

/// The name of this machine.
fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What was done on the routes with a cache: all together, and each one that had requests, the busiest
/// first.
fn requests(snapshot: &Snapshot) -> (Value, Vec<Value>) {
    let mut all = CacheSums::default();
    let mut routes = Vec::new();
    for route in snapshot.route_metrics.all() {
        let mut sums = CacheSums::default();
        sums.add(route);
        all.add(route);
        if sums.all() > 0 {
            routes.push((&*route.label, sums));
        }
    }
    routes.sort_by_key(|(_, sums)| Reverse(sums.all()));
    let shown = |(label, sums): (&str, CacheSums)| {
        let mut shown = shown(&sums);
        shown["route"] = label.into();
        shown
    };
    (self::shown(&all), routes.into_iter().map(shown).collect())
}

fn shown(sums: &CacheSums) -> Value {
    let mut shown = json!({
        "requests": sums.all(),
        "hit-ratio": sums.hit_ratio(),
        "saved-seconds": sums.saved_ms as f64 / 1000.0,
    });
    for result in CacheResult::ALL {
        shown[result.name()] = sums.requests[result as usize].into();
    }
    shown
}

/// Sums, and the objects that matter most.
pub(super) async fn show(store: &Arc<Store>, snapshot: &Snapshot) -> Reply {
    let store = Arc::clone(store);
    let (requests, routes) = requests(snapshot);
    // It looks at every object, which takes a second if there are ten millions.
    let looked = tokio::task::spawn_blocking(move || {
        let now_ms = unix_ms();
        json!({
            "node": node(),
            "requests": requests,
            "routes": routes,
            "memory": store.stats(),
            "disk": store.disk_stats(),
            "largest": store.top(By::Bytes, SHOWN, now_ms),
            "hottest": store.top(By::Hits, SHOWN, now_ms),
            "stale": store.top(By::Staleness, SHOWN, now_ms),
        })
    });
    match looked.await {
        Ok(shown) => json_reply(200, &shown),
        Err(_) => json_reply(500, &problem(500, "Looking at the cache failed")),
    }
}
