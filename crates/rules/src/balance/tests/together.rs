//! Who is picked behind a gate, and when all come back at once.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::*;

#[test]
fn a_slow_start_leans_on_others() {
    // Two of three came back from an outage: the third cannot carry it all, nor the first that came.
    check(
        by(Algorithm::RoundRobin),
        "a\n b since=999\n c since=993",
        &[],
        expect![[r#"
            a  34% next in turn
            b  34% next in turn
            c  34% next in turn
        "#]],
    );
}

#[test]
fn who_refuses_rests_for_longer_while_others_are_there() {
    for (endpoints, rest_ms) in [
        ("a\n b", 1_000),
        ("a\n b full", 1_000),
        ("a\n b refusing", 50),
        ("a\n b unwell\n c ejected", 50),
        ("a", 50),
    ] {
        let world = World::new(Policy::default(), endpoints);
        assert_eq!(world.balancer.rest_ms(0), rest_ms, "{endpoints}");
    }
}

/// Like [`check`], but the workers count requests together: so many at each.
#[track_caller]
fn check_together(endpoints: &str, counts: &[u32], expect: Expect) {
    let mut world = World::new(by(Algorithm::Fastest), endpoints);
    let count = |at: usize| counts[at];
    let mut out = BTreeMap::new();
    for _ in 0..10_000 {
        let random = world.random();
        let ask = Ask { now_ns: NOW, random, together: Some(Together(&count)), ..Ask::default() };
        let pick = world.balancer.pick(&world.loads, &ask).expect("one is free");
        *out.entry((world.names[pick.at].clone(), pick.why)).or_insert(0_u32) += 1;
    }
    let line = |((name, why), count): ((String, &str), u32)| {
        format!("{name} {:>3}% {why}\n", count.div_ceil(100))
    };
    expect.assert_eq(&out.into_iter().map(line).collect::<String>());
}

#[test]
fn who_has_nothing_to_do_is_found() {
    // Both that are drawn are busy in most draws, by what others sent there.
    check_together(
        "a\n b\n c\n d\n e",
        &[1, 1, 1, 1, 0],
        expect![[r#"
            e  81% it has nothing to do
            e  20% likely the faster of two at random
        "#]],
    );
    // Not one that is idle because it is slow or fails.
    check_together(
        "a takes=10\n b takes=10\n c takes=10\n d takes=100\n e takes=10 fails=200",
        &[1, 1, 1, 0, 0],
        expect![[r#"
            a  32% likely the faster of two at random
            b  29% likely the faster of two at random
            c  28% likely the faster of two at random
            d  12% likely the faster of two at random
        "#]],
    );
}
