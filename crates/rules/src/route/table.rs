//! The routes as a table that is quick to search and quick to build.
//!
//! Every host has a trie of path segments. The tries share flat arrays, and all literal edges (and
//! the hosts themselves) share one hash table, so that building is a few pushes a route and a
//! search is a few probes a segment. A search goes down the most specific edge first and comes back
//! up when nothing fits there; a trie has one way to each node, so no search visits a node twice.

use std::sync::Arc;

use config::{Place, Report};

use super::Route;
use super::condition::{Methods, OTHER_METHODS_MAX, compatible};
use super::pattern::{End, HostPattern, Segment};

/// "There is none" among indices.
pub(super) const NONE: u32 = u32::MAX;
/// The parents of the hosts' tries.
pub(super) const EXACT_HOSTS: u32 = u32::MAX - 1;
pub(super) const WILDCARD_HOSTS: u32 = u32::MAX - 2;
/// The trie of the routes without a host.
pub(super) const NO_HOST: u32 = 0;

/// The compiled matches of all routes.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(super) nodes: Vec<Node>,
    edges: Edges,
    /// The literals of all nodes.
    text: Vec<u8>,
    /// Where the candidates of each leaf begin; one more than there are leaves.
    starts: Vec<u32>,
    candidates: Vec<Candidate>,
    /// Unregistered methods that routes name.
    pub(super) methods: Vec<Box<str>>,
    pub(super) has_hosts: bool,
}

/// A node of a trie. Fields that name a node or a leaf are [`NONE`] if there is none.
#[derive(Clone, Debug)]
pub(super) struct Node {
    parent: u32,
    text_start: u32,
    text_bytes: u16,
    /// Whether literal edges lead on.
    pub(super) literals: bool,
    /// The node behind a parameter.
    pub(super) parameter: u32,
    /// The leaf of paths that end here, that end with a slash here, and that go on.
    pub(super) exact: u32,
    pub(super) slash: u32,
    pub(super) prefix: u32,
}

/// A route at a leaf: what is left to be looked at when host and path match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) route: u32,
    /// How many captured parameters the route wants to know.
    pub(super) captures: u8,
    /// Whether it asks for header fields or query parameters.
    pub(super) conditional: bool,
    pub(super) methods: Methods,
}

impl Table {
    /// The candidates of a leaf, the most specific first.
    pub(super) fn leaf(&self, leaf: u32) -> &[Candidate] {
        let at = leaf as usize;
        &self.candidates[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// The node behind the edge `literal` of `parent`.
    #[inline]
    pub(super) fn child(&self, parent: u32, literal: &[u8]) -> Option<u32> {
        let hash = hash(parent, literal);
        self.edges.find(hash, |child| {
            let node = &self.nodes[child as usize];
            node.parent == parent && self.literal(node) == literal
        })
    }

    fn literal(&self, node: &Node) -> &[u8] {
        let start = node.text_start as usize;
        &self.text[start..start + usize::from(node.text_bytes)]
    }
}

/// A table while it is built, route by route.
pub(crate) struct Building {
    table: Table,
    /// Each leaf's candidates, unsorted: the leaf and the candidate.
    placed: Vec<(u32, Candidate)>,
    routes: u32,
    leaves: u32,
}

impl Building {
    /// A table for about so many routes.
    pub(crate) fn new(routes: usize) -> Self {
        let mut building = Self {
            table: Table {
                nodes: Vec::with_capacity(routes + 1),
                // Routes share most segments but the last; where they do not, the table grows.
                edges: Edges::with_capacity(routes),
                text: Vec::new(),
                starts: Vec::new(),
                candidates: Vec::new(),
                methods: Vec::new(),
                has_hosts: false,
            },
            placed: Vec::with_capacity(routes),
            routes: 0,
            leaves: 0,
        };
        building.node(NONE, b"");
        building
    }

    /// Adds a route; their order is that of their indices.
    pub(crate) fn add(&mut self, route: &Route) {
        let index = self.routes;
        self.routes += 1;
        let matching = &route.matching;
        let methods = match &*matching.methods {
            [] => Methods::ANY,
            names => Methods::named(names, &mut self.table.methods),
        };
        let candidate = Candidate {
            route: index,
            captures: if route.wants_params { matching.path.params.len() as u8 } else { 0 },
            conditional: !(matching.headers.is_empty() && matching.queries.is_empty()),
            methods,
        };
        if matching.hosts.is_empty() {
            self.path(NO_HOST, route, candidate);
        }
        for host in &matching.hosts {
            self.table.has_hosts = true;
            let root = match host {
                HostPattern::Exact(name) => self.edge(EXACT_HOSTS, name.as_bytes()),
                HostPattern::Wildcard(rest) => self.edge(WILDCARD_HOSTS, rest.as_bytes()),
            };
            self.path(root, route, candidate);
        }
    }

    fn path(&mut self, root: u32, route: &Route, candidate: Candidate) {
        let mut at = root;
        for segment in route.matching.path.segments() {
            at = match segment {
                Segment::Literal(literal) => {
                    self.table.nodes[at as usize].literals = true;
                    self.edge(at, literal)
                }
                Segment::Parameter => self.parameter(at),
            };
        }
        let node = &mut self.table.nodes[at as usize];
        let leaf = match route.matching.path.end {
            End::Exact => &mut node.exact,
            End::Slash => &mut node.slash,
            End::Prefix => &mut node.prefix,
        };
        if *leaf == NONE {
            *leaf = self.leaves;
            self.leaves += 1;
        }
        self.placed.push((*leaf, candidate));
    }

    fn node(&mut self, parent: u32, literal: &[u8]) -> u32 {
        let table = &mut self.table;
        let index = table.nodes.len() as u32;
        table.nodes.push(Node {
            parent,
            text_start: table.text.len() as u32,
            // A literal has at most 255 bytes.
            text_bytes: literal.len() as u16,
            literals: false,
            parameter: NONE,
            exact: NONE,
            slash: NONE,
            prefix: NONE,
        });
        table.text.extend_from_slice(literal);
        index
    }

    fn parameter(&mut self, at: u32) -> u32 {
        let known = self.table.nodes[at as usize].parameter;
        if known != NONE {
            return known;
        }
        let child = self.node(at, b"");
        self.table.nodes[at as usize].parameter = child;
        child
    }

    fn edge(&mut self, parent: u32, literal: &[u8]) -> u32 {
        if let Some(child) = self.table.child(parent, literal) {
            return child;
        }
        let child = self.node(parent, literal);
        let table = &mut self.table;
        table.edges.insert(hash(parent, literal), child);
        child
    }

    /// Sorts the candidates into their leaves, and reports routes that could match one request with
    /// equal right.
    pub(crate) fn finish(mut self, routes: &[(Place, Arc<Route>)], report: &mut Report) -> Table {
        let mut table = self.table;
        if table.methods.len() > OTHER_METHODS_MAX {
            let place = routes.first().map_or(Place::NONE, |(place, _)| *place);
            report.error(
                place,
                format!("the routes name more than {OTHER_METHODS_MAX} unregistered methods"),
            );
        }
        table.starts = vec![0; self.leaves as usize + 1];
        for (leaf, _) in &self.placed {
            table.starts[*leaf as usize + 1] += 1;
        }
        for leaf in 1..table.starts.len() {
            table.starts[leaf] += table.starts[leaf - 1];
        }
        let rank = |candidate: &Candidate| {
            let route = &routes[candidate.route as usize].1;
            std::cmp::Reverse((route.matching.rank(), candidate.methods.names_head()))
        };
        // Leaves are numbered as their first routes come, so this is nearly sorted already.
        self.placed.sort_by_key(|(leaf, _)| *leaf);
        table.candidates = self.placed.into_iter().map(|(_, candidate)| candidate).collect();
        for at in 1..table.starts.len() {
            let range = table.starts[at - 1] as usize..table.starts[at] as usize;
            let leaf = &mut table.candidates[range];
            if leaf.len() > 1 {
                leaf.sort_by_key(rank);
                report_rivals(leaf, routes, report);
            }
        }
        for candidate in &mut table.candidates {
            candidate.methods = candidate.methods.with_head();
        }
        table
    }
}

/// Reports the routes of a leaf that one request could match with equal right.
fn report_rivals(leaf: &[Candidate], routes: &[(Place, Arc<Route>)], report: &mut Report) {
    let route = |candidate: &Candidate| &routes[candidate.route as usize];
    let same_rank =
        |a: &Candidate, b: &Candidate| route(a).1.matching.rank() == route(b).1.matching.rank();
    for rivals in leaf.chunk_by(same_rank) {
        for (at, second) in rivals.iter().enumerate() {
            let first = rivals[..at].iter().find(|first| {
                let (a, b) = (&route(first).1.matching, &route(second).1.matching);
                first.route != second.route
                    && first.methods.has(second.methods)
                    && compatible(&a.headers, &b.headers)
                    && compatible(&a.queries, &b.queries)
            });
            if let Some(first) = first {
                let ((first_place, _), (place, rival)) = (route(first), route(second));
                report
                    .error(
                        *place,
                        format!("two routes could match the same request: {}", rival.matching),
                    )
                    .other(*first_place, "the other one is at")
                    .help("order does not decide: make one more specific, or remove it");
            }
        }
    }
}

/// All literal edges of all tries: an open hash table of the nodes they lead to.
#[derive(Clone, Debug)]
struct Edges {
    /// The hash and the node; [`NONE`] if the slot is free. At most half are taken, so that a search
    /// for what is not there ends soon.
    slots: Vec<(u32, u32)>,
    used: usize,
}

impl Edges {
    fn with_capacity(edges: usize) -> Self {
        let slots = (edges.max(4) * 2).next_power_of_two();
        Self { slots: vec![(0, NONE); slots], used: 0 }
    }

    #[inline]
    fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (slot_hash, child) = self.slots[at];
            if child == NONE {
                return None;
            }
            if slot_hash == hash && is(child) {
                return Some(child);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, hash: u32, child: u32) {
        if (self.used + 1) * 2 > self.slots.len() {
            let doubled = vec![(0, NONE); self.slots.len() * 2];
            for (hash, child) in std::mem::replace(&mut self.slots, doubled) {
                if child != NONE {
                    self.put(hash, child);
                }
            }
        }
        self.used += 1;
        self.put(hash, child);
    }

    fn put(&mut self, hash: u32, child: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].1 != NONE {
            at = (at + 1) & mask;
        }
        self.slots[at] = (hash, child);
    }
}

/// A hash of an edge. The keys are the configuration's, so nobody can choose them to collide.
#[inline]
fn hash(parent: u32, literal: &[u8]) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = u64::from(parent) ^ (literal.len() as u64) << 32;
    let mut rest = literal;
    while let Some((word, behind)) = rest.split_first_chunk::<8>()
        && !behind.is_empty()
    {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(K).rotate_left(29);
        rest = behind;
    }
    hash = (hash ^ last_word(rest)).wrapping_mul(K);
    ((hash ^ hash >> 32).wrapping_mul(K) >> 32) as u32
}

/// At most eight bytes as a number. Reads that overlap are quicker than a copy of so few bytes.
#[inline]
fn last_word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
        return first | last << 32;
    }
    match *bytes {
        [] => 0,
        [one] => u64::from(one),
        [one, two] => u64::from(one) | u64::from(two) << 8,
        [one, two, .., last] => u64::from(one) | u64::from(two) << 8 | u64::from(last) << 16,
    }
}
