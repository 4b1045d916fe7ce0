//! What is sent again, and what is not.

use expect_test::{Expect, expect};

use super::*;

const S: u64 = 1_000_000_000;

/// A failure of a `GET` whose first attempt it was, with another endpoint left.
const FACTS: Facts = Facts {
    failure: Failure::Status(503),
    attempts: 1,
    is_idempotent: true,
    has_idempotency_key: false,
    can_replay: true,
    is_other_left: true,
    retry_after_ms: None,
    is_unwanted: false,
    left_ms: None,
    random: u64::MAX,
};

#[track_caller]
fn check(facts: &[(&str, Facts)], expect: Expect) {
    let policy = Policy::default();
    let line = |(name, facts): &(&str, Facts)| match policy.judge(facts) {
        Verdict::Again { pause_ms, why } => format!("{name}: again in {pause_ms} ms, {why}\n"),
        Verdict::No { why } => format!("{name}: no, {why}\n"),
    };
    expect.assert_eq(&facts.iter().map(line).collect::<String>());
}

#[test]
fn what_could_be_done_twice_is_not_repeated() {
    let post = Facts { is_idempotent: false, ..FACTS };
    let reset = Facts { failure: Failure::Reset, ..FACTS };
    check(
        &[
            ("GET, 503", FACTS),
            ("GET, reset", reset),
            ("GET, time-out", Facts { failure: Failure::Timeout, ..FACTS }),
            ("GET, refused", Facts { failure: Failure::Unseen, ..FACTS }),
            ("GET, stale connection", Facts { failure: Failure::Stale, ..FACTS }),
            ("GET, 500", Facts { failure: Failure::Status(500), ..FACTS }),
            ("POST, 503", post),
            ("POST, reset", Facts { failure: Failure::Reset, ..post }),
            ("POST, refused", Facts { failure: Failure::Unseen, ..post }),
            ("POST, stale connection", Facts { failure: Failure::Stale, ..post }),
            ("POST with key, reset", Facts { has_idempotency_key: true, ..post }),
            ("PUT, body is gone", Facts { can_replay: false, ..reset }),
        ],
        expect![[r#"
            GET, 503: again in 10 ms, it may be repeated
            GET, reset: again in 10 ms, it may be repeated
            GET, time-out: again in 10 ms, it may be repeated
            GET, refused: again in 0 ms, nobody has looked at it
            GET, stale connection: again in 0 ms, the connection was closed as it was used again
            GET, 500: no, this status is not to be tried again
            POST, 503: no, it may have been done, and its method may not be repeated
            POST, reset: no, it may have been done, and its method may not be repeated
            POST, refused: again in 0 ms, nobody has looked at it
            POST, stale connection: no, it may have been done, and its method may not be repeated
            POST with key, reset: again in 10 ms, its idempotency key makes repeating safe
            PUT, body is gone: no, its body is gone
        "#]],
    );
}

#[test]
fn there_is_an_end_to_it() {
    let wait = |ms| Facts { retry_after_ms: Some(ms), ..FACTS };
    let alone = |ms| Facts { is_other_left: false, ..wait(ms) };
    check(
        &[
            ("second", Facts { attempts: 2, ..FACTS }),
            ("fourth", Facts { attempts: 4, ..FACTS }),
            ("fifth", Facts { attempts: 5, ..FACTS }),
            ("client leaves sooner", Facts { left_ms: Some(10), ..FACTS }),
            ("client has time", Facts { left_ms: Some(11), ..FACTS }),
            ("Retry-After, another is left", wait(5_000)),
            ("Retry-After, the only one", alone(500)),
            ("Retry-After, too long", alone(5_000)),
            ("not wanted again", Facts { is_unwanted: true, ..FACTS }),
            ("refused, the only one", Facts { failure: Failure::Unseen, ..alone(0) }),
        ],
        expect![[r#"
            second: again in 20 ms, it may be repeated
            fourth: again in 80 ms, it may be repeated
            fifth: no, it was sent as often as allowed
            client leaves sooner: no, the client will have left by then
            client has time: again in 10 ms, it may be repeated
            Retry-After, another is left: again in 10 ms, it may be repeated
            Retry-After, the only one: again in 500 ms, it may be repeated
            Retry-After, too long: no, it asks to be left alone
            not wanted again: no, the service does not want it again
            refused, the only one: again in 10 ms, nobody has looked at it
        "#]],
    );
}

#[test]
fn pauses_are_spread_over_a_doubling_bound() {
    let policy = Policy::default();
    let longest = [1, 2, 3, 4, 5, 6, 60].map(|attempts| policy.pause_ms(attempts, u64::MAX));
    assert_eq!(longest, [10, 20, 40, 80, 160, 250, 250]);
    assert_eq!(policy.pause_ms(3, 0), 0);
    assert_eq!(policy.pause_ms(3, u64::MAX / 2), 20);
}

#[test]
fn the_budget_is_a_share_of_the_traffic() {
    let policy = BudgetPolicy::default();
    let mut budget = Budget::default();
    let (mut retries, mut before) = (0, 0);
    // 1,000 requests a second for a minute, all of which fail.
    for n in 0..60_000_u64 {
        let now_ns = n * S / 1_000;
        budget.live(now_ns);
        retries += u64::from(budget.take(&policy, 1, now_ns));
        if n == 30_000 {
            before = retries;
        }
    }
    let steady = (retries - before) as f64 / 30.0;
    assert!((209.0..=210.5).contains(&steady), "200 by the share, and 10 by the floor: {steady}");
    assert!(budget.used(&policy, 1) > 0.99);

    // A quiet service has a few.
    let mut quiet = Budget::default();
    let granted = (0..200).filter(|_| quiet.take(&policy, 1, S)).count();
    assert_eq!(granted, 100);
    let granted = (0..200).filter(|_| quiet.take(&policy, 1, 2 * S)).count();
    assert_eq!(granted, 9);
    // The floor is the service's, not each worker's.
    let mut shared = Budget::default();
    let granted = (0..200).filter(|_| shared.take(&policy, 4, S)).count();
    assert_eq!(granted, 25);
    let none = BudgetPolicy { share: 0.0, floor_per_s: 0.0 };
    assert!(!Budget::default().take(&none, 1, S));
}

#[test]
fn a_percentile_is_known_to_an_eighth() {
    let mut p95 = Percentile::new(0.95);
    assert_eq!(p95.ms(), None);
    (1..=1_000).for_each(|ms| p95.record(ms as f32));
    let known = p95.ms().expect("a thousand are enough");
    assert!((940.0..1_080.0).contains(&known), "{known}");
    // It follows.
    (0..5_000).for_each(|n| p95.record(10.0 + (n % 10) as f32));
    let known = p95.ms().expect("a thousand are enough");
    assert!((18.0..=20.0).contains(&known), "{known}");
    // The ends.
    for (took_ms, up_to) in [(0.0, 0.141), (1e9, 131_072.0)] {
        let mut p50 = Percentile::new(0.5);
        (0..200).for_each(|_| p50.record(took_ms));
        assert!(p50.ms().is_some_and(|ms| ms <= up_to), "{took_ms}");
    }
    let hedge = HedgePolicy::default();
    let mut fast = Percentile::new(0.95);
    assert_eq!(hedge.wait_ms(&fast), None);
    (0..200).for_each(|_| fast.record(0.2));
    assert_eq!(hedge.wait_ms(&fast), Some(5.0));
}

#[test]
fn an_endpoint_that_asks_for_it_is_left_alone_for_a_while() {
    assert_eq!(rest_ms(503, Some(2_000)), Some(2_000));
    assert_eq!(rest_ms(503, Some(3_600_000)), Some(30_000));
    assert_eq!(rest_ms(503, Some(0)), None);
    assert_eq!(rest_ms(503, None), None);
    // That is about the client.
    assert_eq!(rest_ms(429, Some(2_000)), None);
}

#[test]
fn an_outage_is_waited_for_from_its_beginning() {
    const MS: u64 = 1_000_000;
    let one =
        |now_ms: u64| Held { now_ns: S + now_ms * MS, others: 0, is_crowded: false, random: 0 };
    let mut outage = Outage::default();
    // Too much to do is no outage.
    let crowded = |now_ms: u64| Held { is_crowded: true, ..one(now_ms) };
    assert_eq!(outage.wait_ms(2_000, &crowded(0)), None);

    assert_eq!(outage.wait_ms(2_000, &one(0)), Some(50));
    assert_eq!(outage.wait_ms(2_000, &Held { random: u64::MAX, ..one(1_000) }), Some(25));
    // Alone every 50 ms; a thousand of them once in a second each.
    assert_eq!(outage.wait_ms(2_000, &Held { others: 499, ..one(1_000) }), Some(500));
    assert_eq!(outage.wait_ms(2_000, &Held { others: 2_000, ..one(1_000) }), None);
    assert_eq!(outage.wait_ms(2_000, &one(1_950)), Some(50));
    // Whoever comes later does not wait at all.
    assert_eq!(outage.wait_ms(2_000, &one(1_951)), None);
    assert_eq!(outage.wait_ms(2_000, &one(9_000)), None);

    // When somebody is back, all are, and those who find no place wait for the others to be done.
    outage.over(S + 10_000 * MS);
    outage.over(S + 11_000 * MS);
    assert_eq!(outage.wait_ms(2_000, &crowded(11_950)), Some(50));
    assert_eq!(outage.wait_ms(2_000, &crowded(11_951)), None);
    // The next outage is another one.
    assert_eq!(outage.wait_ms(2_000, &one(20_000)), Some(50));
}
