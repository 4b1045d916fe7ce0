//! The cache against an oracle, over random histories of requests, answers, time and purges.
//!
//! [`door`] is a cache without sockets that asks the rules what the program asks them; [`oracle`] knows
//! everything that ever happened, and says of each answer whether it was allowed, and of each request to
//! the service whether it was needed.
//!
//! `DOORWARD_TEST_HISTORIES=1000000 cargo test --release -p rules --test histories -- --nocapture` tells a
//! million of them. `DOORWARD_TEST_HISTORY=SEED` tells one again.
#![allow(
    clippy::disallowed_methods,
    reason = "how many are told is not a matter of the rules, and many are told side by side"
)]

mod chance;
mod door;
mod flights;
mod merged;
mod oracle;
mod said;
mod service;
mod story;

use oracle::Seen;

/// What a debug build tells in some seconds.
const HISTORIES: u64 = 3_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_answer_is_served_that_was_not_allowed_and_none_is_asked_for_that_was_there() {
    if let Some(seed) = number("DOORWARD_TEST_HISTORY") {
        let told = story::tell(seed, &story::compile(), &mut Seen::default());
        return told.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let all = number("DOORWARD_TEST_HISTORIES").unwrap_or(HISTORIES);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let tell_share = |thread: u64| {
        let (rules, mut seen) = (story::compile(), Seen::default());
        for seed in (thread..all).step_by(threads as usize) {
            story::tell(seed, &rules, &mut seen).unwrap_or_else(|wrong| panic!("{wrong}"));
        }
        seen
    };
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let tell_share = &tell_share;
        let tellers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || tell_share(thread))).collect();
        for teller in tellers {
            seen.add(teller.join().expect("all were allowed"));
        }
    });
    eprintln!("{seen:#?}");
    seen.has_all();
}
