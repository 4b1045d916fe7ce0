//! Who is ejected, and who comes back.

use expect_test::expect;

use super::*;
use crate::balance::{Member, Outcome, Policy};

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const NOW: u64 = 1_000 * S;

/// Endpoints whose requests went as `text` says: for each a line of `<answers> <ms> <failures>`, and
/// `<running> <for ms>` if it owes some; `young` before it if it has just come.
fn endpoints(text: &str) -> (Balancer, Loads) {
    let (mut members, mut loads) = (Vec::new(), Loads::default());
    for (id, line) in text.lines().enumerate() {
        let id = id as u32;
        let (since_ns, line) = match line.strip_prefix("young ") {
            Some(line) => (NOW - S, line),
            None => (0, line),
        };
        members.push(Member { id, hash: 0, weight: 1.0, tier: 0, is_near: true, since_ns });
        let numbers: Vec<u64> =
            line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let load = loads.at_mut(id);
        for _ in 0..numbers[0] {
            let begun_ns = NOW - numbers[1] * MS;
            load.begin(begun_ns);
            load.end(begun_ns, NOW, Outcome::Answered);
        }
        for _ in 0..numbers[2] {
            load.begin(NOW);
            load.end(NOW, NOW, Outcome::Failed);
        }
        if let [.., running, waited_ms] = numbers[3..] {
            (0..running).for_each(|_| load.begin(NOW - waited_ms * MS));
        }
    }
    let mut balancer = Balancer::new(Policy::default(), &members);
    balancer.renew(&mut loads, NOW, |_| Standing::Well);
    (balancer, loads)
}

fn found(text: &str) -> Option<(u32, &'static str)> {
    let (balancer, loads) = endpoints(text);
    let found = Passive::default().compare(&balancer, &loads, NOW);
    found.map(|(id, suspicion)| (id, suspicion.reason()))
}

#[test]
fn an_endpoint_is_held_against_the_others() {
    let errors = Some((1, "it fails more often than the others"));
    assert_eq!(found("100 10 0\n60 10 40\n100 10 0"), errors);
    // When all of them fail, none is the cause; and chance is allowed for.
    assert_eq!(found("60 10 40\n55 10 45\n60 10 40"), None);
    assert_eq!(found("100 10 0\n80 10 15\n100 10 0"), None);
    assert_eq!(found("50 10 50\n30 10 70\n50 10 50"), None);
    assert_eq!(found("50 10 50\n0 10 100\n50 10 50"), errors);
    // Too few to say, and nobody beside it.
    assert_eq!(found("100 10 0\n5 10 10\n100 10 0"), None);
    assert_eq!(found("10 10 90"), None);

    let slow = Some((1, "it takes far longer than the others"));
    assert_eq!(found("50 10 0\n50 100 0\n50 10 0"), slow);
    assert_eq!(found("50 100 0\n50 400 0\n50 100 0"), None);
    // Ten times as long, and nobody notices.
    assert_eq!(found("50 1 0\n50 15 0\n50 1 0"), None);

    // Who has just come has hardly any requests yet, or is cold: neither says anything.
    assert_eq!(found("young 50 10 0\n50 100 0\nyoung 50 10 0"), None);
    assert_eq!(found("50 10 0\nyoung 50 100 0\n50 10 0"), None);
    assert_eq!(found("50 10 0\n50 100 0\nyoung 50 10 0"), slow);

    let silent = Some((1, "it does not answer at all, while the others do"));
    assert_eq!(found("50 10 0\n50 10 0 3 1100\n50 10 0"), silent);
    assert_eq!(found("50 10 0\n50 10 0 2 1100\n50 10 0"), None);
    assert_eq!(found("50 10 0\n50 10 0 3 900\n50 10 0"), None);
    // A second is nothing where answers take half of one; nor if nobody else was asked.
    assert_eq!(found("50 500 0\n50 500 0 3 5000\n50 500 0"), None);
    assert_eq!(found("2 10 0\n50 10 0 3 1100\n2 10 0"), None);
}

#[test]
fn failures_in_a_row_count_as_far_as_they_are_not_chance() {
    let after = |text: &str| {
        let (balancer, loads) = endpoints(text);
        Passive::default().after_failure(1, &balancer, &loads)
    };
    assert_eq!(after("50 10 0\n50 10 4"), None);
    assert_eq!(after("50 10 0\n50 10 5"), Some(Suspicion::FailsInARow));
    // Everything fails everywhere.
    assert_eq!(after("50 10 9\n50 10 9"), None);
    assert_eq!(after("50 10 9\n50 10 90"), Some(Suspicion::FailsInARow));
}

#[test]
fn times_out_grow_and_are_forgiven() {
    let passive = Passive::default();
    let mut story = String::new();
    let mut now_ms = 100_000;
    let mut state = Ejections::default();
    for well_ms in [0, 0, 0, 1_000, 100_000, 0] {
        state = passive.eject(state, (0, 4), now_ms, 0).expect("few are out");
        let out_s = (state.until_ms - now_ms) / 1000;
        now_ms = state.until_ms;
        assert_eq!(state.standing(now_ms - 1), Standing::Ejected);
        assert_eq!(state.standing(now_ms), Standing::OnTrial);
        story += &format!("out for {out_s} s, ");
        if well_ms > 0 {
            state = passive.acquit(state, now_ms);
            assert_eq!(state.standing(now_ms), Standing::Well);
            now_ms += well_ms;
            story += &format!("well for {} s, ", well_ms / 1000);
        }
    }
    let long = Ejections { until_ms: 1, times: 40, acquitted_ms: 0 };
    let long = passive.eject(long, (0, 4), now_ms, 0).expect("few are out").until_ms - now_ms;
    story += &format!("at most {} s", long / 1000);
    expect!["out for 5 s, out for 10 s, out for 20 s, out for 40 s, well for 1 s, out for 80 s, well for 100 s, out for 5 s, at most 300 s"].assert_eq(&story);
    // Several nodes do not come back in the same moment.
    let until_ms = |random| passive.eject(Ejections::default(), (0, 4), 0, random);
    assert_ne!(until_ms(1), until_ms(500));
}

#[test]
fn most_stay_in() {
    let may = |out, count| {
        Passive::default().eject(Ejections::default(), (out, count), 1_000, 0).is_some()
    };
    assert!(!may(0, 1));
    assert!(may(0, 2) && !may(1, 2));
    assert!(may(0, 3) && !may(1, 3));
    assert!(may(4, 10) && !may(5, 10));
    let out = Ejections { until_ms: 2_000, times: 1, acquitted_ms: 0 };
    assert_eq!(Passive::default().eject(out, (1, 10), 1_000, 0), None);
}

#[test]
fn a_trial_ends_with_a_failure_or_with_three_answers() {
    let (mut balancer, mut loads) = endpoints("50 10 0\n0 0 0\n50 10 0");
    let passive = Passive::default();
    let on_trial = |id| if id == 1 { Standing::OnTrial } else { Standing::Well };
    balancer.renew(&mut loads, NOW, on_trial);
    for _ in 0..3 {
        assert!(!passive.is_acquitted(1, &balancer, &loads));
        loads.at_mut(1).begin(NOW);
        loads.at_mut(1).end(NOW, NOW, Outcome::Answered);
    }
    assert!(passive.is_acquitted(1, &balancer, &loads));
    loads.at_mut(1).begin(NOW);
    loads.at_mut(1).end(NOW, NOW, Outcome::Failed);
    assert_eq!(passive.after_failure(1, &balancer, &loads), Some(Suspicion::FailedTrial));
    // One that is not answered fails as well.
    loads.at_mut(1).begin(NOW);
    let found = passive.compare(&balancer, &loads, NOW + 2 * S);
    assert_eq!(found, Some((1, Suspicion::FailedTrial)));
    // While all others fail, too, a trial proves nothing.
    for id in [0, 2] {
        for _ in 0..5 {
            loads.at_mut(id).begin(NOW);
            loads.at_mut(id).end(NOW, NOW, Outcome::Failed);
        }
    }
    assert_eq!(passive.after_failure(1, &balancer, &loads), None);
    assert!(passive.is_acquitted(1, &balancer, &loads));
}
