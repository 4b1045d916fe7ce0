//! What the defaults promise, held to by short runs with several seeds.

use simulate::doorward::Settings;
use simulate::figures::Figures;
use simulate::scenario::{Scenario, Which};

const SEEDS: [u64; 3] = [1, 2, 3];

const SECONDS: u64 = 10;

fn doorward(scenario: Scenario, seed: u64) -> Figures {
    scenario.play(Which::Doorward(Settings::default()), seed, SECONDS)
}

/// One of ten endpoints fails, or is ten times slower: fewer than one error in ten thousand requests,
/// and a p99 within one and a half times of a healthy one.
#[test]
fn nobody_notices_one_bad_endpoint() {
    for seed in SEEDS {
        let healthy = doorward(Scenario::Healthy, seed);
        assert_eq!(healthy.errors, 0.0, "seed {seed}");
        for scenario in [
            Scenario::Slow,
            Scenario::Failing,
            Scenario::Dead,
            Scenario::Flapping,
            Scenario::BlackHole,
        ] {
            let figures = doorward(scenario, seed);
            let told = format!("{}, seed {seed}: {figures:?}", scenario.name());
            assert!(figures.errors < 0.0001, "{told}");
            assert!(figures.p99_ms < healthy.p99_ms * 1.5, "{told}");
        }
    }
}

/// At most a fifth of the requests, and ten a second, whatever happens.
#[test]
fn retries_keep_to_their_budget() {
    for seed in SEEDS {
        for scenario in Scenario::ALL {
            let figures = doorward(scenario, seed);
            let requests = figures.requests as f64;
            // What was saved up before counts as well: ten seconds of it.
            let saved = requests / SECONDS as f64 * 10.0 * 0.2;
            let most = requests * 0.2 + saved + 10.0 * (SECONDS as f64 + 10.0);
            let used = (figures.retries + figures.hedges) * requests;
            assert!(used <= most, "{}, seed {seed}: {figures:?}", scenario.name());
        }
    }
}

/// It is of no use to tell of figures that the next run does not show.
#[test]
fn a_seed_gives_the_same_run_every_time() {
    let figures = [0; 2].map(|_| doorward(Scenario::Flapping, 7));
    assert_eq!(figures[0], figures[1]);
    assert_ne!(figures[0], doorward(Scenario::Flapping, 8));
}
