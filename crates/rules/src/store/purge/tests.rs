//! Purges against a list of all that ever happened.

use super::*;

/// What really happened.
#[derive(Default)]
struct History(Vec<(u64, Scope, bool)>);

impl History {
    fn look(&self, since: u64, url: &[u8], tags: &[u64]) -> Purged {
        let touches = |scope: &Scope| match scope {
            Scope::Tag(tag) => tags.contains(tag),
            Scope::Prefix(text) => url.starts_with(text),
            Scope::All => true,
        };
        let later =
            self.0.iter().filter(|(generation, scope, _)| *generation > since && touches(scope));
        later
            .map(|(_, _, soft)| if *soft { Purged::Soft } else { Purged::Hard })
            .max()
            .unwrap_or(Purged::No)
    }
}

/// A small generator: the seed is in the message of whatever fails.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn url(number: u64) -> Box<[u8]> {
    format!("http://h/{}/{}", number % 5, number / 5).into_bytes().into()
}

fn scope(chance: &mut Chance, tags: u64) -> Scope {
    match chance.below(12) {
        0 => Scope::All,
        1..=3 => Scope::Prefix(url(chance.below(40))),
        4 => Scope::Prefix(format!("http://h/{}/", chance.below(5)).into_bytes().into()),
        _ => Scope::Tag(1 + chance.below(tags)),
    }
}

#[test]
fn what_is_purged_is_what_every_purge_says() {
    for seed in 0..200 {
        let mut chance = Chance(seed);
        let (purges, mut history) = (Purges::default(), History::default());
        for _ in 0..200 {
            let (scope, soft) = (scope(&mut chance, 50), chance.below(2) == 0);
            let receipt = purges.purge(&scope, soft);
            assert_eq!(receipt.generation, purges.generation());
            history.0.push((receipt.generation, scope, soft));
            let since = chance.below(receipt.generation + 1);
            let (url, tags) = (url(chance.below(60)), [1 + chance.below(60), 1 + chance.below(60)]);
            assert_eq!(
                purges.look(since, &url, &tags),
                history.look(since, &url, &tags),
                "seed {seed}, since {since}"
            );
        }
    }
}

#[test]
fn forgetting_purges_too_much_and_never_too_little() {
    for seed in 0..5 {
        let mut chance = Chance(seed);
        let (purges, mut history) = (Purges::default(), History::default());
        let mut widened = false;
        for step in 0..4_000_u64 {
            // All tags in two buckets, and more prefixes than there is room for.
            let scope = match step % 2 {
                0 => Scope::Tag(chance.below(64) * BUCKETS as u64 / 2),
                _ => Scope::Prefix(format!("http://h/{}/", chance.below(600)).into_bytes().into()),
            };
            let soft = chance.below(3) == 0;
            let receipt = purges.purge(&scope, soft);
            widened |= receipt.widened;
            assert!(receipt.prefixes <= PREFIXES_MAX);
            history.0.push((receipt.generation, scope, soft));
            let since = receipt.generation.saturating_sub(chance.below(300));
            let url = format!("http://h/{}/a", chance.below(600));
            let tags = [chance.below(64) * BUCKETS as u64 / 2];
            let (is, was) = (
                purges.look(since, url.as_bytes(), &tags),
                history.look(since, url.as_bytes(), &tags),
            );
            assert!(is >= was, "seed {seed}: {is:?} where {was:?} happened");
        }
        assert!(widened, "the test must reach what it tests");
    }
}

#[test]
fn a_fetch_that_began_before_a_purge_is_touched_whenever_it_ends() {
    let purges = Purges::default();
    let began = purges.generation();
    purges.purge(&Scope::Tag(7), false);
    assert_eq!(purges.look(began, b"http://h/", &[7]), Purged::Hard);
    let began = purges.generation();
    assert_eq!(purges.look(began, b"http://h/", &[7]), Purged::No);
    purges.purge(&Scope::Tag(7), true);
    assert_eq!(purges.look(began, b"http://h/", &[7]), Purged::Soft);
}

#[test]
fn a_replayed_purge_has_the_generation_that_it_had() {
    let purges = Purges::default();
    purges.replay(&Scope::Prefix(b"http://h/a".as_slice().into()), 40, false);
    purges.replay(&Scope::Tag(3), 17, true);
    assert_eq!(purges.generation(), 40);
    assert_eq!(purges.look(39, b"http://h/ab", &[]), Purged::Hard);
    assert_eq!(purges.look(16, b"http://h/b", &[3]), Purged::Soft);
    assert_eq!(purges.look(17, b"http://h/b", &[3]), Purged::No);
    assert_eq!(purges.purge(&Scope::All, false).generation, 41);
}

#[test]
fn threads_never_see_an_old_answer_after_a_purge_was_answered() {
    let purges = Purges::default();
    let told = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..20_000_u64 {
                // Many tags of one bucket: slots are taken over all the time.
                let tag = round % 20 * BUCKETS as u64 + 5;
                let receipt = purges.purge(&Scope::Tag(tag), false);
                if tag == 5 {
                    told.store(receipt.generation, Ordering::Release);
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while told.load(Ordering::Acquire) < 19_900 {
                    let newest = told.load(Ordering::Acquire);
                    let before = newest.saturating_sub(1);
                    let purged = purges.look(before, b"", &[5]);
                    assert!(newest == 0 || purged == Purged::Hard, "purge {newest} was not seen");
                }
            });
        }
    });
}
