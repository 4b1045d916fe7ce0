//! The table against its specification: all routes that match, sorted by how specific they are.

use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::Arc;

use config::{Place, Report};
use wire::{Method, RequestHead};

use super::condition::Methods;
use super::pattern::{End, Segment};
use super::{Building, Found, Route, RouteConfig, Table};
use crate::harness::{cx, head};

/// xorshift: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// A route, as text: few names, so that many routes match one request.
    fn route(&mut self) -> String {
        let mut path = String::new();
        for index in 0..self.below(4) {
            match self.below(3) {
                0 => drop(write!(path, "/{{p{index}}}")),
                _ => drop(write!(path, "/{}", self.one(&["a", "b", "%61b"]))),
            }
        }
        path += self.one(&["/*", "/*", "/", ""]);
        if path.is_empty() {
            path.push('/');
        }
        let mut text = format!("path = '{path}'\nservice = 's'\n");
        text += self.one(&["", "", "host = 'x.y'\n", "host = '*.y'\n", "host = ['*.x.y', 'Y']\n"]);
        text += self.one(&[
            "",
            "",
            "method = 'GET'\n",
            "method = 'HEAD'\n",
            "method = ['POST', 'PURGE']\n",
        ]);
        text += self.one(&["", "", "header = { h = true }\n", "header = { h = '1', i = true }\n"]);
        text += self.one(&["", "", "query = { q = '1' }\n", "query = { q = true }\n"]);
        text
    }

    fn request(&mut self) -> String {
        let mut path = String::new();
        for _ in 0..self.below(5) {
            path += self.one(&["/", "/", "/", "//"]);
            path += self.one(&["a", "b", "%61", "ab", "%61%62", "a%2Fb", "c"]);
        }
        path += self.one(&["/", ""]);
        if path.is_empty() {
            path.push('/');
        }
        path += self.one(&["", "?q=1", "?%71=%31", "?q=2&q=1", "?q", "?r=q"]);
        format!(
            "{} {} {path} {}",
            self.one(&["GET", "HEAD", "POST", "PURGE", "BAN"]),
            self.one(&["x.y", "X.Y.", "a.x.y:80", "b.a.x.y", "y", "a.y", "z", "xx.y"]),
            self.one(&["", "H: 1", "h: 2", "h: 1; i: ", "h: 2; H: 1; i: 3"])
        )
    }
}

/// What the table must find.
fn specification(routes: &[(Place, Arc<Route>)], head: &RequestHead) -> Found {
    let mut others = Vec::new();
    let mut refused = Methods::NONE;
    let mut best = None;
    for (index, (_, route)) in routes.iter().enumerate() {
        let matching = &route.matching;
        let mut hosts = matching.hosts.iter().filter_map(|host| host.rank(head.host()));
        let host = if matching.hosts.is_empty() { Some(0) } else { hosts.by_ref().max() };
        let holds = matching.path.matches(head.path())
            && matching.headers.iter().all(|header| header.header_holds(head))
            && matching.queries.iter().all(|query| query.query_holds(head));
        let Some(host) = host.filter(|_| holds) else {
            continue;
        };
        let given = &matching.methods;
        let named = given.iter().any(|name| **name == *head.method_text());
        let implied = head.method == Method::Head && given.iter().any(|name| **name == *"GET");
        if !(given.is_empty() || named || implied) {
            refused = refused.and(Methods::named(given, &mut others).with_head());
            continue;
        }
        let mut path: Vec<u8> = matching
            .path
            .segments()
            .map(|segment| match segment {
                Segment::Literal(_) => 2,
                Segment::Parameter => 1,
            })
            .collect();
        path.push(if matching.path.end == End::Prefix { 0 } else { 3 });
        let rank = (host, path, matching.rank(), named, Reverse(index));
        if best.as_ref().is_none_or(|(other, _)| rank > *other) {
            best = Some((rank, index as u32));
        }
    }
    match best {
        Some((_, index)) => Found::Route(index),
        None if refused != Methods::NONE => Found::OtherMethods(refused),
        None => Found::Nothing,
    }
}

fn build(text: &str) -> Arc<Route> {
    let mut report = Report::new();
    let value = report.parse("route", text);
    let config: RouteConfig = report.read(&value).expect("a route");
    let route = Route::build(&config, &mut report);
    Arc::new(route.unwrap_or_else(|| panic!("{report}")))
}

fn table_of(routes: &[(Place, Arc<Route>)], report: &mut Report) -> Table {
    let mut building = Building::new(routes.len());
    for (_, route) in routes {
        building.add(route);
    }
    building.finish(routes, report)
}

#[test]
fn the_table_finds_what_a_look_at_all_routes_finds() {
    const SEED: u64 = 0x5eed_d002;
    for round in 0..300 {
        let seed = SEED + round;
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut routes: Vec<(Place, Arc<Route>)> = Vec::new();
        let mut table = table_of(&routes, &mut Report::new());
        let mut texts = Vec::new();
        for _ in 0..=random.below(16) {
            let text = random.route();
            routes.push((Place::NONE, build(&text)));
            let mut report = Report::new();
            let next = table_of(&routes, &mut report);
            if report.has_errors() {
                // A rival of one that is there: the report is right to refuse it.
                routes.pop();
            } else {
                table = next;
                texts.push(text);
            }
        }
        let plain: Vec<Arc<Route>> = routes.iter().map(|(_, route)| Arc::clone(route)).collect();
        for _ in 0..200 {
            let line = random.request();
            let request = head(&line);
            let expect = specification(&routes, &request);
            let (mut quiet, mut explained) = (cx(), cx());
            quiet.trail = None;
            let found = table.find(&request, &plain, &mut quiet);
            let story = || format!("seed {seed:#x}\n{line}\n{}", texts.join("\n"));
            assert_eq!(found, expect, "{}", story());
            assert_eq!(table.find(&request, &plain, &mut explained), expect, "{}", story());
        }
    }
}
