//! Why a route was taken, and others were not.

use std::sync::Arc;

use wire::RequestHead;

use super::search::{Found, Watch};
use super::table::Table;
use super::{Matching, Route};
use crate::Cx;

/// The most routes that are named as having lost; more are noise.
const LOST_MAX: usize = 5;

/// How many routes are looked at for near misses, one by one: about a tenth of a millisecond.
const NEAR_MAX: usize = 5_000;

/// The trail's watch over a search.
#[derive(Default)]
struct Watched {
    /// With the reason, unless they only are less specific.
    lost: Vec<(u32, Option<&'static str>)>,
    won: Option<u32>,
}

impl Watch for Watched {
    fn lost(&mut self, route: u32, why: Option<&'static str>) {
        if self.lost.len() < LOST_MAX {
            self.lost.push((route, why));
        }
    }

    fn won(&mut self, route: u32) {
        self.won = Some(route);
    }

    fn goes_on(&self) -> bool {
        self.lost.len() < LOST_MAX
    }
}

impl Table {
    pub(super) fn find_explained(
        &self,
        head: &RequestHead,
        routes: &[Arc<Route>],
        cx: &mut Cx,
    ) -> Found {
        let mut watched = Watched::default();
        let found = self.search(head, routes, &mut cx.params, &mut watched);
        let winner = watched.won.map(|index| &routes[index as usize]);
        if let Some(winner) = winner {
            note_winner(winner, cx);
            let alone = watched.lost.iter().all(|(_, objection)| objection.is_some());
            let why = if alone { "the only match" } else { "the most specific match" };
            cx.record("route", "match", why);
        }
        for (index, objection) in &watched.lost {
            let lost = &routes[*index as usize];
            let why = match (objection, winner) {
                (Some(why), _) => why,
                (None, Some(winner)) => less_specific(head, &winner.matching, &lost.matching),
                (None, None) => unreachable!("only behind a winner is a match less specific"),
            };
            cx.note("route", &lost.name);
            cx.record("route", "lost", why);
        }
        match &found {
            Found::Route(_) => {}
            Found::OtherMethods(_) => {
                cx.record("route", "refuse", "the routes that match have other methods");
            }
            Found::Nothing => {
                let is_listed = |route: &Arc<Route>| {
                    let mut lost = watched.lost.iter().map(|(index, _)| &routes[*index as usize]);
                    lost.any(|lost| Arc::ptr_eq(lost, route))
                };
                let near = routes.iter().take(NEAR_MAX).filter(|route| !is_listed(route));
                let near = near.filter_map(|route| Some((route, near_miss(head, route)?)));
                for (route, why) in near.take(LOST_MAX) {
                    cx.note("route", &route.name);
                    cx.record("route", "lost", why);
                }
                cx.record("route", "refuse", "no route matches");
            }
        }
        found
    }
}

/// Why a route does not match whose path does, or nearly does.
fn near_miss(head: &RequestHead, route: &Route) -> Option<&'static str> {
    let path = head.path();
    if route.matching.path.matches(path) {
        return Some("its host is another");
    }
    let other = match path.strip_suffix(b"/") {
        Some(bare) => bare.to_vec(),
        None => [path, b"/"].concat(),
    };
    let matches = route.matching.path.matches(&other);
    matches.then_some("a slash at the end makes another path")
}

fn note_winner(winner: &Route, cx: &mut Cx) {
    cx.note("route", &winner.name);
    if winner.wants_params && cx.trail.is_some() {
        let names = winner.matching.path.params.iter().enumerate();
        let params: Vec<String> = names
            .map(|(at, name)| format!("{name}:{}", String::from_utf8_lossy(cx.params.at(at))))
            .collect();
        cx.note("params", params.join(","));
    }
}

/// In what a match that lost is less specific than the winner.
fn less_specific(head: &RequestHead, winner: &Matching, lost: &Matching) -> &'static str {
    let host = |matching: &Matching| {
        let ranks = matching.hosts.iter().filter_map(|host| host.rank(head.host()));
        ranks.max().unwrap_or(0)
    };
    if host(winner) != host(lost) {
        return "its host is less specific";
    }
    if !winner.path.is_same(&lost.path) {
        return "its path is less specific";
    }
    let (winner, lost) = (winner.rank(), lost.rank());
    if winner.method != lost.method {
        "it names no method"
    } else if (winner.headers, winner.header_values) != (lost.headers, lost.header_values) {
        "it asks for fewer headers"
    } else if (winner.queries, winner.query_values) != (lost.queries, lost.query_values) {
        "it asks for fewer query parameters"
    } else {
        "another names the method itself"
    }
}
