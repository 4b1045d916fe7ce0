//! The search for the route of a request.

use std::ops::ControlFlow;
use std::sync::Arc;

use wire::RequestHead;

use super::Route;
use super::condition::Methods;
use super::pattern::{HOST_BYTES_MAX, LITERAL_BYTES_MAX, PARAMS_MAX};
use super::table::{Candidate, EXACT_HOSTS, NO_HOST, NONE, Table, WILDCARD_HOSTS};
use crate::Texts;
use crate::percent;

/// Whoever watches a search: nobody, or the trail.
pub(super) trait Watch {
    /// A route matches host and path and is not taken, for this reason; `None`: it is only less
    /// specific.
    fn lost(&mut self, route: u32, why: Option<&'static str>);
    /// This route is taken.
    fn won(&mut self, route: u32);
    /// Whether the search is to go on behind the winner, for more that lost.
    fn goes_on(&self) -> bool;
}

/// Nobody.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    #[inline]
    fn lost(&mut self, _route: u32, _why: Option<&'static str>) {}
    #[inline]
    fn won(&mut self, _route: u32) {}
    #[inline]
    fn goes_on(&self) -> bool {
        false
    }
}

/// Whoever wants to know all routes that a request could take by its host and path.
#[derive(Default)]
struct All(Vec<u32>);

impl Watch for All {
    fn lost(&mut self, route: u32, _why: Option<&'static str>) {
        self.0.push(route);
    }
    fn won(&mut self, route: u32) {
        self.0.push(route);
    }
    fn goes_on(&self) -> bool {
        true
    }
}

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Route(u32),
    /// Routes match but for their methods, which are these.
    OtherMethods(Methods),
    Nothing,
}

impl Table {
    /// All routes whose host and path match, whatever else they ask for.
    pub(crate) fn all(&self, head: &RequestHead, routes: &[Arc<Route>]) -> Vec<u32> {
        let mut all = All::default();
        self.search(head, routes, &mut Texts::default(), &mut all);
        all.0
    }

    /// Finds the most specific route that matches and puts what its parameters stand for into
    /// `params`.
    #[inline]
    pub(super) fn search<W: Watch>(
        &self,
        head: &RequestHead,
        routes: &[Arc<Route>],
        params: &mut Texts,
        watch: &mut W,
    ) -> Found {
        // RFC 9112, 3.2.4: `*` is the server as a whole, and so is its root.
        let path = if head.is_asterisk() { b"/" } else { head.path() };
        let mut search = Search {
            table: self,
            head,
            routes,
            path,
            encoded: memchr::memchr(b'%', path).is_some(),
            method: Methods::of(head, &self.methods),
            captures: [(0, 0); PARAMS_MAX],
            params,
            won: NONE,
            others: Methods::NONE,
            watch,
        };
        let _ = if self.has_hosts { search.hosts() } else { search.below(NO_HOST, 0, 0) };
        if search.won != NONE {
            Found::Route(search.won)
        } else if search.others != Methods::NONE {
            Found::OtherMethods(search.others)
        } else {
            Found::Nothing
        }
    }
}

struct Search<'s, W> {
    table: &'s Table,
    head: &'s RequestHead,
    routes: &'s [Arc<Route>],
    path: &'s [u8],
    /// Whether anything in the path is percent-encoded.
    encoded: bool,
    method: Methods,
    captures: [(u32, u32); PARAMS_MAX],
    params: &'s mut Texts,
    won: u32,
    /// The methods of the routes that match but for their methods.
    others: Methods,
    watch: &'s mut W,
}

/// Whether to stop the search.
type Flow = ControlFlow<()>;
const GO_ON: Flow = ControlFlow::Continue(());

impl<W: Watch> Search<'_, W> {
    /// Searches the tries of the exact host, of the wildcards, the longest first, and of no host.
    fn hosts(&mut self) -> Flow {
        let host = self.head.host();
        let host = host.strip_suffix(b".").unwrap_or(host);
        // Of a longer host only what a wildcard could stand before, with its dot, is of interest.
        let tail = &host[host.len().saturating_sub(HOST_BYTES_MAX + 1)..];
        let mut lower = [0; HOST_BYTES_MAX + 1];
        let lower = &mut lower[..tail.len()];
        lower.copy_from_slice(tail);
        lower.make_ascii_lowercase();
        if tail.len() == host.len()
            && let Some(trie) = self.table.child(EXACT_HOSTS, lower)
        {
            self.below(trie, 0, 0)?;
        }
        for (at, _) in lower.iter().enumerate().filter(|(_, byte)| **byte == b'.') {
            if let Some(trie) = self.table.child(WILDCARD_HOSTS, &lower[at + 1..]) {
                self.below(trie, 0, 0)?;
            }
        }
        self.below(NO_HOST, 0, 0)
    }

    /// Searches below `node`, whose path ends at `at` and has `captured` parameters so far.
    fn below(&mut self, node: u32, at: usize, captured: usize) -> Flow {
        let id = node;
        let node = &self.table.nodes[id as usize];
        // Several slashes count as one: `//admin` is no way around a rule for `/admin`.
        let slashes = self.path[at..].iter().take_while(|byte| **byte == b'/').count();
        let start = at + slashes;
        if start == self.path.len() {
            let leaf = if slashes > 0 { node.slash } else { node.exact };
            self.leaf(leaf)?;
        } else if node.literals || node.parameter != NONE {
            let rest = &self.path[start..];
            let end = start + memchr::memchr(b'/', rest).unwrap_or(rest.len());
            if node.literals
                && let Some(child) = self.literal(id, start, end)
            {
                self.below(child, end, captured)?;
            }
            if node.parameter != NONE {
                self.captures[captured] = (start as u32, end as u32);
                self.below(node.parameter, end, captured + 1)?;
            }
        }
        if node.prefix != NONE {
            // `captured` can be at its end only if no leaf here has a rest to capture.
            if let Some(rest) = self.captures.get_mut(captured) {
                *rest = (start as u32, self.path.len() as u32);
            }
            self.leaf(node.prefix)?;
        }
        GO_ON
    }

    #[inline]
    fn literal(&self, node: u32, start: usize, end: usize) -> Option<u32> {
        let segment = &self.path[start..end];
        if !self.encoded {
            if segment.len() > LITERAL_BYTES_MAX {
                return None;
            }
            return self.table.child(node, segment);
        }
        let mut buffer = [0; LITERAL_BYTES_MAX];
        self.table.child(node, percent::decode_into(segment, &mut buffer)?)
    }

    #[inline]
    fn leaf(&mut self, leaf: u32) -> Flow {
        if leaf == NONE {
            return GO_ON;
        }
        for candidate in self.table.leaf(leaf) {
            if let Some(why) = self.objection(candidate) {
                self.watch.lost(candidate.route, Some(why));
                continue;
            }
            if self.won == NONE {
                self.won = candidate.route;
                self.watch.won(candidate.route);
                for &(start, end) in &self.captures[..usize::from(candidate.captures)] {
                    self.params.push(&self.path[start as usize..end as usize]);
                }
            } else {
                self.watch.lost(candidate.route, None);
            }
            if !self.watch.goes_on() {
                return ControlFlow::Break(());
            }
        }
        GO_ON
    }

    /// Why a route whose host and path match is not for this request.
    #[inline]
    fn objection(&mut self, candidate: &Candidate) -> Option<&'static str> {
        if candidate.conditional {
            let matching = &self.routes[candidate.route as usize].matching;
            if !matching.headers.iter().all(|header| header.header_holds(self.head)) {
                return Some("a header that it asks for is missing or another");
            }
            if !matching.queries.iter().all(|query| query.query_holds(self.head)) {
                return Some("a query parameter that it asks for is missing or another");
            }
        }
        if !candidate.methods.has(self.method) {
            self.others = self.others.and(candidate.methods);
            return Some("its method is another");
        }
        None
    }
}
