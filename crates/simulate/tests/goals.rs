//! What the defaults promise, held to by short runs with several seeds.

use simulate::figures::Figures;
use simulate::scenario::{CAPACITY_PER_S, Scenario, Which};

const SEEDS: [u64; 3] = [1, 2, 3];

const SECONDS: u64 = 8;

fn doorward(scenario: Scenario, seed: u64) -> Figures {
    scenario.play(Which::Doorward(Box::default()), seed, SECONDS)
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

/// Three times as much as can be done: all of it that can be done is done, and what is critical is
/// answered.
#[test]
fn overload_costs_only_what_is_sheddable() {
    for seed in SEEDS {
        let figures = doorward(Scenario::Overload, seed);
        let told = format!("seed {seed}: {figures:?}");
        assert!(figures.goodput_per_s >= CAPACITY_PER_S * 0.95, "{told}");
        assert!(figures.served[0] >= 0.999, "{told}");
        assert!(figures.served[2] < 0.1, "{told}");
        assert!(figures.errors < 0.0001, "{told}");
    }
}

/// What set off a storm of retries is over behind three seconds, and so is the storm.
#[test]
fn a_storm_ends_with_its_cause() {
    for seed in SEEDS {
        let calm = Scenario::RetryStorm.demand() * CAPACITY_PER_S;
        let figures = doorward(Scenario::RetryStorm, seed);
        let last = figures.by_second[SECONDS as usize] as f64;
        assert!(last > calm * 0.95, "seed {seed}: {figures:?}");
        assert!(figures.served[0] >= 0.999, "seed {seed}: {figures:?}");
        let plain = Scenario::RetryStorm.play(Which::Plain, seed, SECONDS);
        assert!(plain.by_second[SECONDS as usize] < 1_000, "the scenario is no storm: {plain:?}");
    }
}

/// At most a fifth of the requests, and ten a second, whatever happens.
#[test]
fn retries_keep_to_their_budget() {
    for seed in SEEDS {
        for scenario in [
            Scenario::Failing,
            Scenario::Flapping,
            Scenario::ErrorBurst,
            Scenario::Recovery,
            Scenario::RetryStorm,
        ] {
            let figures = doorward(scenario, seed);
            let requests = figures.arrived as f64;
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
