//! What goes on, what waits, and what is shed.

use std::collections::BinaryHeap;
use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// A gate that lets one through at a time, has room for three, and is told a story: at which
/// millisecond who comes (`critical`, `normal`, `sheddable`), that one is done (`end`), or that time
/// passes (`look`).
#[track_caller]
fn check(story: &str, expect: Expect) {
    let limit = LimitPolicy { first: 1, least: 1, most: 1, ..LimitPolicy::default() };
    let queue = QueuePolicy { most: 3, ..QueuePolicy::default() };
    let mut gate = Gate::new(Policy { limit, queue }, 1);
    // Answers usually take a millisecond.
    let mut common = Common { base_ms: 1.0, ..Common::default() };
    let mut out = String::new();
    for line in story.lines().map(str::trim) {
        let (ms, what) = line.split_once(' ').expect("a time and an event");
        let now_ns = ms.parse::<u64>().expect("a time") * MS;
        write!(out, "{line}:").expect("a string takes all");
        match Priority::named(what.as_bytes()) {
            Some(priority) => {
                let admission = gate.arrive(&common, now_ns, priority, 0);
                let told = match admission {
                    Admission::Go => "goes on".to_owned(),
                    Admission::Wait { ticket, most_ns } => {
                        format!("{} waits for {} ms", ticket.0, most_ns / MS)
                    }
                    Admission::Shed { retry_after_s, why } => {
                        format!("shed, Retry-After: {retry_after_s}, {why}")
                    }
                };
                write!(out, " {told}").expect("a string takes all");
            }
            None if what == "end" => gate.end(&mut common, 0, now_ns, false),
            None => assert_eq!(what, "look"),
        }
        while let Some(called) = gate.next(&common, now_ns, 0) {
            let told = match called {
                Called::Go(ticket) => format!("; {} goes on", ticket.0),
                Called::Shed { ticket, why, .. } => format!("; {} shed, {why}", ticket.0),
            };
            out += &told;
        }
        out.push('\n');
    }
    expect.assert_eq(&out);
}

#[test]
fn the_important_ones_are_in_front() {
    check(
        "0 normal\n1 sheddable\n2 normal\n3 critical\n4 end\n5 end\n6 end\n7 end",
        expect![[r#"
            0 normal: goes on
            1 sheddable: 1 waits for 100 ms
            2 normal: 2 waits for 100 ms
            3 critical: 3 waits for 100 ms
            4 end:; 3 goes on
            5 end:; 2 goes on
            6 end:; 1 goes on
            7 end:
        "#]],
    );
}

#[test]
fn the_least_important_leaves_for_another() {
    check(
        "0 normal\n1 sheddable\n1 normal\n2 normal\n3 critical\n4 sheddable\n5 critical\n\
         6 critical\n7 critical\n8 normal",
        expect![[r#"
            0 normal: goes on
            1 sheddable: 1 waits for 100 ms
            1 normal: 2 waits for 100 ms
            2 normal: 3 waits for 100 ms
            3 critical: 4 waits for 100 ms; 1 shed, a more important one came
            4 sheddable: shed, Retry-After: 1, as many wait as can be answered in time
            5 critical: 5 waits for 100 ms; 2 shed, a more important one came
            6 critical: 6 waits for 100 ms; 3 shed, a more important one came
            7 critical: shed, Retry-After: 1, as many wait as can be answered in time
            8 normal: shed, Retry-After: 1, as many wait as can be answered in time
        "#]],
    );
}

#[test]
fn a_standing_queue_is_cut_short_and_turned_around() {
    // A burst may wait, and is served in order.
    check(
        "0 normal\n1 normal\n2 normal\n90 end\n95 look",
        expect![[r#"
        0 normal: goes on
        1 normal: 1 waits for 100 ms
        2 normal: 2 waits for 100 ms
        90 end:; 1 goes on
        95 look:
    "#]],
    );
    // What never empties is no burst: who came last is served first, and nobody waits for longer
    // than five milliseconds, unless it is critical.
    check(
        "0 normal\n1 critical\n50 normal\n99 sheddable\n100 end\n102 normal\n103 normal\n104 end\n\
         107 look\n110 look\n150 critical\n240 look",
        expect![[r#"
            0 normal: goes on
            1 critical: 1 waits for 100 ms
            50 normal: 2 waits for 100 ms
            99 sheddable: 3 waits for 100 ms
            100 end:; 1 goes on
            102 normal: 4 waits for 100 ms; 2 shed, it waited for longer than is of use
            103 normal: 5 waits for 100 ms
            104 end:; 5 goes on
            107 look:; 3 shed, it waited for longer than is of use
            110 look:; 4 shed, it waited for longer than is of use
            150 critical: 6 waits for 100 ms
            240 look:
        "#]],
    );
}

#[test]
fn who_leaves_by_itself_is_not_called() {
    let policy = Policy {
        limit: LimitPolicy { first: 1, least: 1, most: 1, ..LimitPolicy::default() },
        ..Policy::default()
    };
    let mut gate = Gate::new(policy, 1);
    let mut common = Common::default();
    assert_eq!(gate.arrive(&common, 0, Priority::Normal, 0), Admission::Go);
    let Admission::Wait { ticket, .. } = gate.arrive(&common, 0, Priority::Normal, 0) else {
        panic!("there is room")
    };
    assert!(gate.leave(ticket) && !gate.leave(ticket));
    gate.end(&mut common, 0, MS, false);
    assert_eq!(gate.next(&common, MS, 0), None);
    assert_eq!((gate.load(), gate.limit()), ((0, 0), 1));
}

#[test]
fn clients_are_told_when_it_is_worth_to_come_again() {
    let mut gate = Gate::new(Policy::default(), 1);
    let mut told = Vec::new();
    for tenth in 0..600 {
        let now_ns = 10 * S + tenth * S / 10;
        let seconds = gate.retry_after_s(now_ns, 0);
        if told.last() != Some(&seconds) {
            told.push(seconds);
        }
    }
    // As long as it has lasted, and no longer than can be foreseen.
    assert_eq!(told, (1..=20).collect::<Vec<_>>());
    // Not all at once.
    let spread: std::collections::BTreeSet<u32> =
        (0..100).map(|random| gate.retry_after_s(70 * S, random)).collect();
    assert_eq!(spread.into_iter().collect::<Vec<_>>(), (20..=30).collect::<Vec<_>>());
    // Behind a second of peace it is over.
    assert_eq!(gate.retry_after_s(72 * S, 0), 1);
}

/// A service with so many places, each taking `took_ms`, asked by as many requests at once as the
/// gate allows. Shows the limit and the latency each second.
fn saturate(
    (gate, common): (&mut Gate, &mut Common),
    (from_s, seconds): (u64, u64),
    places: usize,
    took_ms: u64,
) -> String {
    let mut free: Vec<u64> = vec![from_s * S; places];
    let mut busy: BinaryHeap<std::cmp::Reverse<(u64, u64)>> = BinaryHeap::new();
    let (mut now_ns, mut out) = (from_s * S, String::new());
    let mut second = from_s;
    while now_ns < (from_s + seconds) * S {
        while gate.arrive(common, now_ns, Priority::Sheddable, 0) == Admission::Go {
            let place = free.iter_mut().min().expect("there are places");
            // Not all in the same moment.
            let took_ns = took_ms * MS + (now_ns / 1_000) % MS;
            *place = (*place).max(now_ns) + took_ns;
            busy.push(std::cmp::Reverse((*place, now_ns)));
        }
        // Nobody waits here: ten seconds later all are too late.
        while gate.next(common, now_ns + 10 * S, 0).is_some() {}
        let std::cmp::Reverse((done_ns, begun_ns)) = busy.pop().expect("something is under way");
        now_ns = done_ns;
        let latest_ms = (done_ns - begun_ns) / MS;
        gate.end(common, begun_ns, now_ns, true);
        if now_ns / S > second {
            second = now_ns / S;
            write!(out, "{}/{latest_ms}ms ", gate.limit()).expect("a string takes all");
        }
    }
    // What is still under way is over before the next part.
    for _ in 0..busy.len() {
        gate.end(common, 0, now_ns, false);
    }
    out
}

#[test]
fn the_limit_finds_what_a_service_can_do() {
    let mut gate = Gate::new(Policy::default(), 1);
    let mut common = Common::default();
    let mut out = String::new();
    for (from_s, places, took_ms) in [(0, 20, 10), (25, 200, 10), (50, 40, 10), (75, 40, 40)] {
        let told = saturate((&mut gate, &mut common), (from_s, 25), places, took_ms);
        writeln!(out, "{places} places, {took_ms} ms: {told}").expect("a string takes all");
    }
    expect![[r#"
        20 places, 10 ms: 98/21ms 62/42ms 46/30ms 45/30ms 45/22ms 45/29ms 45/29ms 45/23ms 45/29ms 46/29ms 45/23ms 46/10ms 39/21ms 39/21ms 39/21ms 39/21ms 39/21ms 39/21ms 39/21ms 39/21ms 39/21ms 39/20ms 36/21ms 36/21ms 36/21ms 
        200 places, 10 ms: 62/10ms 95/10ms 136/10ms 183/10ms 238/21ms 293/20ms 300/21ms 301/21ms 301/20ms 301/20ms 301/20ms 301/20ms 301/20ms 301/20ms 301/20ms 301/20ms 302/20ms 304/20ms 304/12ms 304/20ms 304/20ms 304/12ms 303/20ms 303/20ms 303/19ms 
        40 places, 10 ms: 124/43ms 68/21ms 67/21ms 67/21ms 67/21ms 67/12ms 67/21ms 67/21ms 67/20ms 66/21ms 67/21ms 67/21ms 67/21ms 67/21ms 67/21ms 66/21ms 67/21ms 66/21ms 67/21ms 67/21ms 67/21ms 68/12ms 67/21ms 67/21ms 67/21ms 
        40 places, 40 ms: 51/81ms 54/80ms 54/80ms 54/80ms 54/80ms 54/80ms 54/80ms 54/80ms 54/80ms 54/80ms 56/81ms 64/81ms 64/81ms 64/81ms 64/81ms 64/81ms 64/81ms 64/81ms 64/81ms 64/81ms 64/81ms 66/81ms 66/41ms 66/81ms 66/81ms 
    "#]].assert_eq(&out);
}

#[test]
fn a_start_is_no_overload() {
    let limit = LimitPolicy { first: 1, ..LimitPolicy::default() };
    let mut gate = Gate::new(Policy { limit, ..Policy::default() }, 1);
    let common = Common::default();
    let admissions = (0..5).map(|_| gate.arrive(&common, 0, Priority::Sheddable, 0));
    assert_eq!(admissions.filter(|one| *one == Admission::Go).count(), 4);
    // Nobody knows yet what an answer takes.
    assert_eq!(gate.next(&common, 999 * MS, 0), None);
    assert!(gate.next(&common, 1_001 * MS, 0).is_some());
}

#[test]
fn a_limit_that_cannot_grow_is_questioned_too() {
    let limit = LimitPolicy { most: 80, ..LimitPolicy::default() };
    let mut gate = Gate::new(Policy { limit, ..Policy::default() }, 1);
    let mut common = Common::default();
    let told = saturate((&mut gate, &mut common), (0, 25), 20, 10);
    let last = told.trim_end().rsplit(' ').next().and_then(|last| last.split('/').next());
    let last: u32 = last.expect("it is shown").parse().expect("a limit");
    // Each breather goes a part of the way.
    assert!(last < 50, "{told}");
}

#[test]
fn a_late_loop_sheds_by_importance() {
    let mut lag = LoopLag::default();
    let mut out = String::new();
    for late_ms in [0, 400, 400, 400, 2_000, 2_000, 2_000, 2_000, 100, 0, 0, 0, 0, 0] {
        lag.turned(50 * MS, (50 + late_ms) * MS);
        let taken: Vec<&str> = Priority::ALL
            .into_iter()
            .filter(|priority| lag.admits(*priority))
            .map(Priority::name)
            .collect();
        writeln!(out, "{:.0} ms late: {}", lag.late_ms(), taken.join(" "))
            .expect("a string takes all");
    }
    expect![[r#"
        0 ms late: critical normal sheddable
        0 ms late: critical normal sheddable
        120 ms late: critical normal
        204 ms late: critical normal
        263 ms late: critical normal
        784 ms late: critical
        1149 ms late: 
        1404 ms late: 
        1013 ms late: 
        709 ms late: 
        496 ms late: critical
        347 ms late: critical
        243 ms late: critical
        170 ms late: critical
    "#]]
    .assert_eq(&out);
}

#[test]
fn priorities_have_names() {
    for priority in Priority::ALL {
        assert_eq!(Priority::named(priority.name().as_bytes()), Some(priority));
    }
    assert_eq!(Priority::named(b"urgent"), None);
}
