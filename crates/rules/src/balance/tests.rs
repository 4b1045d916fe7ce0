//! Who is picked, and why.

use std::collections::BTreeMap;
use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;

mod together;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// Endpoints as they are written in a test: a name and `key=value` each a line.
struct World {
    names: Vec<String>,
    standings: Vec<Standing>,
    balancer: Balancer,
    loads: Loads,
    random: u64,
}

impl World {
    fn new(policy: Policy, text: &str) -> Self {
        let mut loads = Loads::default();
        let (mut names, mut standings, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for (id, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
            let mut words = line.split(' ');
            let name = words.next().expect("a name").to_owned();
            let hash = hash(name.as_bytes());
            let id = id as u32;
            let mut member = Member { id, hash, weight: 1.0, tier: 0, is_near: true, since_ns: 0 };
            let mut standing = Standing::Well;
            let load = loads.at_mut(id);
            for word in words {
                let (key, value) = word.split_once('=').unwrap_or((word, ""));
                let number = || value.parse::<f32>().expect("a number");
                match key {
                    "weight" => member.weight = number(),
                    "tier" => member.tier = number() as u8,
                    "far" => member.is_near = false,
                    "since" => member.since_ns = number() as u64 * S,
                    "running" => (0..number() as u32).for_each(|_| load.begin(NOW)),
                    "takes" => (0..20).for_each(|_| {
                        load.begin(NOW - number() as u64 * MS);
                        load.end(NOW - number() as u64 * MS, NOW, Outcome::Answered);
                    }),
                    "fails" => (0..number() as u32).for_each(|_| {
                        load.begin(NOW);
                        load.end(NOW, NOW, Outcome::Failed);
                    }),
                    _ => {
                        standing = STANDINGS
                            .into_iter()
                            .find(|standing| standing.name() == key)
                            .unwrap_or_else(|| panic!("what is `{key}`?"));
                    }
                }
            }
            names.push(name);
            standings.push(standing);
            members.push(member);
        }
        let balancer = Balancer::new(policy, &members);
        let mut world = Self { names, standings, balancer, loads, random: 7 };
        world.renew(NOW);
        world
    }

    fn renew(&mut self, now_ns: u64) {
        let standings = &self.standings;
        self.balancer.renew(&mut self.loads, now_ns, |id| standings[id as usize]);
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ring::mix(self.random)
    }

    fn pick(&mut self, tried: &[u32]) -> Option<Pick> {
        let random = self.random();
        let ask = Ask { now_ns: NOW, random, tried, ..Ask::default() };
        self.balancer.pick(&self.loads, &ask)
    }
}

const NOW: u64 = 1_000 * S;

const STANDINGS: [Standing; 8] = [
    Standing::Well,
    Standing::OnTrial,
    Standing::Unproven,
    Standing::Ejected,
    Standing::Unwell,
    Standing::Refusing,
    Standing::Full,
    Standing::Leaving,
];

/// Asks 10,000 times and shows who was picked how often, and why.
#[track_caller]
fn check(policy: Policy, endpoints: &str, tried: &[u32], expect: Expect) {
    let mut world = World::new(policy, endpoints);
    let mut counts: BTreeMap<(String, &str), u32> = BTreeMap::new();
    let mut none = 0;
    for _ in 0..10_000 {
        match world.pick(tried) {
            Some(pick) => {
                let name = world.names[pick.at].clone();
                *counts.entry((name, pick.why)).or_default() += 1;
            }
            None => none += 1,
        }
    }
    let mut out = String::new();
    for ((name, why), count) in counts {
        writeln!(out, "{name} {:>3}% {why}", count.div_ceil(100)).expect("a string takes all");
    }
    if none > 0 {
        out += "none\n";
    }
    expect.assert_eq(&out);
}

fn by(algorithm: Algorithm) -> Policy {
    Policy { algorithm, ..Policy::default() }
}

#[test]
fn the_fastest_of_two_is_picked() {
    let policy = by(Algorithm::Fastest);
    check(
        policy,
        "a takes=10\n b takes=10\n c takes=10",
        &[],
        expect![[r#"
            a  34% likely the faster of two at random
            b  33% likely the faster of two at random
            c  34% likely the faster of two at random
        "#]],
    );
    // Slow, busy and failing endpoints get next to nothing; an unknown one is taken to be typical.
    check(
        policy,
        "a takes=10\n b takes=100",
        &[],
        expect![[r#"
        a 100% likely the faster of two at random
    "#]],
    );
    check(
        policy,
        "a takes=10\n b takes=10 running=3",
        &[],
        expect![[r#"
        a 100% likely the faster of two at random
    "#]],
    );
    check(
        policy,
        "a takes=10\n b takes=10 fails=10",
        &[],
        expect![[r#"
        a 100% likely the faster of two at random
    "#]],
    );
    check(
        policy,
        "a takes=10\n b\n c takes=20",
        &[],
        expect![[r#"
        a  67% likely the faster of two at random
        b  34% likely the faster of two at random
    "#]],
    );
    // Quick failures do not make an endpoint look fast.
    check(
        policy,
        "a takes=10\n b fails=5",
        &[],
        expect![[r#"
        a 100% likely the faster of two at random
    "#]],
    );
}

#[test]
fn weights_are_shares() {
    let endpoints = "a weight=1\n b weight=2\n c weight=5";
    check(
        by(Algorithm::RoundRobin),
        endpoints,
        &[],
        expect![[r#"
        a  13% next in turn
        b  25% next in turn
        c  63% next in turn
    "#]],
    );
    check(
        by(Algorithm::Fastest),
        endpoints,
        &[],
        expect![[r#"
        a  13% likely the faster of two at random
        b  26% likely the faster of two at random
        c  63% likely the faster of two at random
    "#]],
    );
    check(
        by(Algorithm::LeastRequest),
        "a weight=1 running=1\n b weight=4 running=5\n c weight=4 running=6",
        &[],
        expect![[r#"
            b 100% it has the fewest requests for its weight
        "#]],
    );
}

#[test]
fn turns_are_smooth() {
    let mut world = World::new(by(Algorithm::RoundRobin), "a weight=5\n b\n c");
    let turns: String = (0..7)
        .map(|_| {
            let at = world.pick(&[]).expect("all are well").at;
            world.names[at].clone()
        })
        .collect();
    expect![[r#"aabacaa"#]].assert_eq(&turns);
}

#[test]
fn nobody_is_asked_twice_while_another_is_there() {
    let endpoints = "a takes=1\n b takes=50\n c takes=900 tier=1";
    for algorithm in [Algorithm::Fastest, Algorithm::LeastRequest, Algorithm::RoundRobin] {
        let mut world = World::new(by(algorithm), endpoints);
        let mut tried = Vec::new();
        for _ in 0..3 {
            let pick = world.pick(&tried).expect("one is left");
            assert!(!pick.is_again && !tried.contains(&pick.id));
            tried.push(pick.id);
        }
        assert!(world.pick(&tried).expect("again, then").is_again);
    }
    check(
        by(Algorithm::Fastest),
        endpoints,
        &[0, 1],
        expect![[r#"
        c 100% those preferred were tried
    "#]],
    );
}

#[test]
fn tiers_and_zones_overflow() {
    let policy = by(Algorithm::RoundRobin);
    // A seventh less is carried by those that are left.
    check(
        policy,
        "a\n b\n c\n d unwell\n e tier=1\n f tier=1",
        &[],
        expect![[r#"
            a  34% next in turn
            b  34% next in turn
            c  34% next in turn
        "#]],
    );
    // Half of them carry 70 %.
    check(
        policy,
        "a\n b unwell\n c tier=1",
        &[],
        expect![[r#"
        a  71% next in turn
        c  30% those preferred cannot carry it all
    "#]],
    );
    check(
        policy,
        "a unwell\n b unwell\n c tier=1",
        &[],
        expect![[r#"
        c 100% it is the only one that may be used
    "#]],
    );
    check(
        policy,
        "a far\n b\n c unwell\n d tier=1",
        &[],
        expect![[r#"
        a  30% those preferred cannot carry it all
        b  71% next in turn
    "#]],
    );
}

#[test]
fn who_may_be_used_depends_on_the_others() {
    let policy = by(Algorithm::RoundRobin);
    check(
        policy,
        "a\n b unproven\n c refusing\n d full\n e leaving\n f ejected",
        &[],
        expect![[r#"
        a 100% it is the only one that may be used
    "#]],
    );
    check(
        policy,
        "a unproven\n b unproven\n c refusing",
        &[],
        expect![[r#"
        a  50% none has passed a check yet
        b  50% none has passed a check yet
    "#]],
    );
    check(
        policy,
        "a refusing\n b refusing",
        &[],
        expect![[r#"
        a  50% all refused a moment ago
        b  50% all refused a moment ago
    "#]],
    );
    // Fewer than 30 % are well, and the second tier can carry it all alone.
    check(
        policy,
        "a unwell\n b unwell\n c unwell\n d tier=1",
        &[],
        expect![[r#"
        d 100% it is the only one that may be used
    "#]],
    );
    // Fewer than 30 % are well: that is a panic.
    check(
        policy,
        "a\n b unwell\n c ejected\n d unwell",
        &[],
        expect![[r#"
        a  25% next in turn
        b  25% too few are well, so all are used
        c  25% too few are well, so all are used
        d  25% too few are well, so all are used
    "#]],
    );
    check(
        policy,
        "a unwell\n b refusing",
        &[],
        expect![[r#"
        a 100% too few are well, so all are used
    "#]],
    );
    // What is full is well.
    check(
        policy,
        "a full\n b full\n c unwell",
        &[],
        expect![[r#"
        none
    "#]],
    );
    check(
        policy,
        "a leaving",
        &[],
        expect![[r#"
        none
    "#]],
    );
    check(
        policy,
        "",
        &[],
        expect![[r#"
        none
    "#]],
    );
}

#[test]
fn endpoints_have_no_more_than_they_may_have() {
    let all = [Algorithm::Fastest, Algorithm::LeastRequest, Algorithm::RoundRobin];
    for algorithm in all {
        let mut world =
            World::new(Policy { running_max: 2, ..by(algorithm) }, "a running=2\n b\n c");
        for _ in 0..4 {
            let id = world.pick(&[]).expect("two are left").id;
            assert_ne!(id, 0);
            world.loads.at_mut(id).begin(NOW);
        }
        assert_eq!(world.pick(&[]), None);
        assert_eq!(world.pick(&[0, 1, 2]), None);
    }
}

#[test]
fn a_trial_is_one_request_a_second() {
    let mut world = World::new(by(Algorithm::Fastest), "a\n b\n c on-trial");
    let mut ask = |now_ns: u64, may_repeat: bool| {
        let ask = Ask { now_ns, may_repeat, ..Ask::default() };
        let pick = world.balancer.pick(&world.loads, &ask).expect("two are well");
        (pick.id == 2).then_some(pick.why)
    };
    let why = Some("it is on trial, and due for a request");
    assert_eq!(ask(NOW, true), why);
    assert_eq!(ask(NOW + S / 2, true), None);
    assert_eq!(ask(NOW + S, true), why);
    // What may not be repeated waits for others to be tried, but not for ever.
    assert_eq!(ask(NOW + 3 * S, false), None);
    assert_eq!(ask(NOW + 11 * S, false), why);
    world.loads.at_mut(2).begin(NOW);
    let ask = Ask { now_ns: NOW + 60 * S, may_repeat: true, ..Ask::default() };
    assert_ne!(world.balancer.pick(&world.loads, &ask).expect("two are well").id, 2);
}

#[test]
fn new_endpoints_begin_slowly() {
    let policy = by(Algorithm::RoundRobin);
    check(
        policy,
        "a\n b since=999",
        &[],
        expect![[r#"
        a  91% next in turn
        b  10% next in turn
    "#]],
    );
    check(
        policy,
        "a\n b since=995",
        &[],
        expect![[r#"
        a  67% next in turn
        b  34% next in turn
    "#]],
    );
    // And so do those that are well again.
    let mut world = World::new(policy, "a\n b ejected");
    world.standings[1] = Standing::Well;
    world.renew(NOW + S);
    let picks = (0..110).filter(|_| world.pick(&[]).expect("both are well").id == 1).count();
    assert_eq!(picks, 10);
    world.renew(NOW + 12 * S);
    let picks = (0..110).filter(|_| world.pick(&[]).expect("both are well").id == 1).count();
    assert_eq!(picks, 55);
}

#[test]
fn who_is_left_alone_is_better_than_who_broke_off() {
    for (endpoints, tried, expected) in [
        ("a\n b\n c ejected", &["a"][..], "b: it is the only one left"),
        (
            "a\n b\n c ejected",
            &["a", "b"],
            "c: all others broke off, and this one was only left alone",
        ),
        (
            "a\n b unwell\n c unproven",
            &["a"],
            "c: all others broke off, and this one was only left alone",
        ),
        (
            "a\n b unwell\n c unproven",
            &["a", "c"],
            "b: all others broke off, and this one was only left alone",
        ),
        // What is known not to be there is no better.
        ("a\n b refusing\n c leaving", &["a"], "a: it is the only one that may be used"),
    ] {
        let mut world = World::new(Policy::default(), endpoints);
        let id = |name: &&str| world.names.iter().position(|known| known == name).expect("one");
        let tried: Vec<u32> = tried.iter().map(|name| id(name) as u32).collect();
        let ask = Ask { now_ns: NOW, tried: &tried, broke_off: true, ..Ask::default() };
        let pick = world.balancer.pick(&world.loads, &ask).expect("one is there");
        assert_eq!(format!("{}: {}", world.names[pick.at], pick.why), expected, "{endpoints}");
    }
}

#[test]
fn keys_stay_where_they_are() {
    let endpoints = |count: usize| (0..count).map(|n| format!("e{n}\n")).collect::<String>();
    let owner = |world: &mut World, key: u64| {
        let ask = Ask { now_ns: NOW, key: Some(ring::mix(key)), ..Ask::default() };
        world.balancer.pick(&world.loads, &ask).expect("all are well").id
    };
    let policy = by(Algorithm::Hash);
    let mut ten = World::new(policy, &endpoints(10));
    let mut shares = [0_u32; 10];
    (0..10_000).for_each(|key| shares[owner(&mut ten, key) as usize] += 1);
    assert!(shares.iter().all(|share| (700..1_400).contains(share)), "{shares:?}");

    // Another endpoint takes its share, and nothing else moves.
    let mut eleven = World::new(policy, &endpoints(11));
    let moved = |to: &mut World, ten: &mut World| {
        let keys = (0..10_000).map(|key| (owner(ten, key), owner(to, key)));
        keys.filter(|(before, after)| before != after).collect::<Vec<_>>()
    };
    let changed = moved(&mut eleven, &mut ten);
    assert!(changed.iter().all(|(_, after)| *after == 10), "a key moved between old endpoints");
    assert!((600..1_300).contains(&changed.len()), "{}", changed.len());

    // One that is out gives its keys to many others, and gets them back.
    let mut nine = World::new(policy, &endpoints(10));
    nine.standings[4] = Standing::Ejected;
    nine.renew(NOW);
    let changed = moved(&mut nine, &mut ten);
    assert!(changed.iter().all(|(before, _)| *before == 4), "a key moved for no reason");
    let heirs: std::collections::BTreeSet<u32> = changed.iter().map(|(_, after)| *after).collect();
    assert!(heirs.len() >= 7, "{heirs:?}");
}

#[test]
fn a_key_that_all_want_is_shared() {
    let mut world = World::new(by(Algorithm::Hash), "a\n b\n c\n d");
    let mut counts = [0_u32; 4];
    let mut why = BTreeMap::new();
    for _ in 0..400 {
        let ask = Ask { now_ns: NOW, key: Some(1), ..Ask::default() };
        let pick = world.balancer.pick(&world.loads, &ask).expect("all are well");
        world.loads.at_mut(pick.id).begin(NOW);
        counts[pick.at] += 1;
        *why.entry(pick.why).or_insert(0) += 1;
    }
    counts.sort_unstable();
    assert!(counts[3] <= 126 && counts[0] > 0, "{counts:?}");
    expect![[r#"
        {
            "the key belongs to it": 125,
            "those that the key belongs to are busy or not to be used": 275,
        }
    "#]]
    .assert_debug_eq(&why);
    // What has no key goes anywhere.
    check(
        by(Algorithm::Hash),
        "a\n b",
        &[],
        expect![[r#"
        a  50% likely the faster of two at random
        b  51% likely the faster of two at random
    "#]],
    );
}

#[test]
fn sessions_stick_by_a_cookie() {
    let claim = Claim { endpoint: hash(b"b"), until_s: 1_000 };
    let mut world = World::new(by(Algorithm::Fastest), "a\n b takes=90\n c");
    let mut ask = Ask { now_ns: NOW, sticky: Some(claim.endpoint), ..Ask::default() };
    let pick = world.balancer.pick(&world.loads, &ask).expect("all are well");
    assert_eq!((pick.id, pick.why), (1, "the client's cookie names it"));
    // Unless it is out, or was just tried.
    ask.tried = &[1];
    assert_ne!(world.balancer.pick(&world.loads, &ask).expect("two are left").id, 1);
    // A session is no trial of another endpoint, and an endpoint on trial is none for a session.
    ask.tried = &[];
    world.standings[0] = Standing::OnTrial;
    world.renew(NOW);
    ask.may_repeat = true;
    assert_eq!(world.balancer.pick(&world.loads, &ask).expect("b is well").id, 1);
    world.standings[1] = Standing::Unwell;
    world.renew(NOW);
    assert_ne!(world.balancer.pick(&world.loads, &ask).expect("two are left").id, 1);
}

#[test]
fn latencies_rise_quickly_and_are_forgotten_slowly() {
    let mut load = Load::default();
    let mut at = NOW;
    let mut answer = |load: &mut Load, took_ms: u64, apart_ms: u64| {
        at += apart_ms * MS;
        load.begin(at - took_ms * MS);
        load.end(at - took_ms * MS, at, Outcome::Answered);
        load.latency_ms(at, 10.0).round() as u32
    };
    (0..50).for_each(|_| _ = answer(&mut load, 10, 10));
    let rise = [0; 5].map(|_| answer(&mut load, 100, 10));
    let fall = [0; 6].map(|_| answer(&mut load, 10, 2_000));
    expect!["([37, 56, 69, 78, 85], [73, 63, 55, 48, 43, 38])"]
        .assert_eq(&format!("{:?}", (rise, fall)));
}

#[test]
fn only_failures_of_the_endpoint_count_against_it() {
    let failures = (100..600).filter(|status| is_failure(*status)).collect::<Vec<_>>();
    assert_eq!(failures[..4], [500, 502, 503, 504]);
    assert!(!failures.contains(&501) && !failures.contains(&429) && !failures.contains(&505));
    // Who is left by its client is measured by the time that it took at least.
    let mut load = Load::default();
    load.begin(0);
    load.end(0, 50 * MS, Outcome::Abandoned);
    assert_eq!((load.running, load.failures_in_a_row), (0, 0));
    assert_eq!(load.latency_ms(50 * MS, 1.0), 50.0);
}
