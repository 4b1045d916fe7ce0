//! What stays, what leaves, and that the sums are right.

use std::collections::HashMap;

use super::*;

type Objects = Fifo<(u64, u32)>;

fn insert(objects: &mut Objects, key: u64, variant: u32, bytes: usize) -> Vec<(u64, u32)> {
    let mut left = Vec::new();
    let same = |value: &(u64, u32)| *value == (key, variant);
    let _ = objects.insert(hash(key), bytes, (key, variant), same, &mut left);
    left
}

fn hash(key: u64) -> u64 {
    key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn has(objects: &mut Objects, key: u64) -> bool {
    objects.find(hash(key), |value| value.0 == key).is_some()
}

#[test]
fn a_scan_does_not_drive_out_what_is_used() {
    let mut objects = Objects::new(200_000);
    for key in 0..100 {
        insert(&mut objects, key, 0, 1000);
        assert!(has(&mut objects, key));
    }
    for key in 1000..20_000 {
        insert(&mut objects, key, 0, 1000);
    }
    let stayed = (0..100).filter(|key| has(&mut objects, *key)).count();
    assert_eq!(stayed, 100);
}

#[test]
fn what_comes_again_soon_after_it_left_stays() {
    let mut objects = Objects::new(200_000);
    for key in 0..150 {
        insert(&mut objects, key, 0, 1000);
        has(&mut objects, key);
    }
    insert(&mut objects, 5000, 0, 1000);
    let mut next = 6000;
    while has_silently(&objects, 5000) {
        insert(&mut objects, next, 0, 1000);
        next += 1;
    }
    insert(&mut objects, 5000, 0, 1000);
    for key in 10_000..10_100 {
        insert(&mut objects, key, 0, 1000);
    }
    assert!(has_silently(&objects, 5000));
}

fn has_silently(objects: &Objects, key: u64) -> bool {
    let mut seen = objects.look(0, usize::MAX).into_iter().flatten();
    seen.any(|seen| seen.value.0 == key)
}

#[test]
fn variants_lie_side_by_side_newest_first_and_are_bounded() {
    let mut objects = Objects::new(1 << 20);
    for variant in 0..100 {
        insert(&mut objects, 1, variant, 100);
    }
    assert_eq!(objects.len(), VARIANTS_MAX);
    assert_eq!(objects.find(hash(1), |_| true), Some(&(1, 99)));
    assert_eq!(objects.find(hash(1), |value| value.1 == 80), Some(&(1, 80)));
    // Replaced, it is the newest.
    insert(&mut objects, 1, 80, 100);
    assert_eq!(objects.find(hash(1), |_| true), Some(&(1, 80)));
    assert_eq!(objects.remove(hash(1), |value| value.1 == 80), Some((1, 80)));
    assert_eq!(objects.find(hash(1), |_| true), Some(&(1, 99)));
    assert_eq!(objects.bytes(), (VARIANTS_MAX - 1) * 100);
}

#[test]
fn what_is_too_large_is_given_back() {
    let mut objects = Objects::new(1000);
    let refused = objects.insert(1, 600, (1, 1), |_| false, &mut Vec::new());
    assert_eq!(refused, Err((1, 1)));
}

/// Random steps against a plain map of what must be there.
#[test]
fn the_sums_are_right_whatever_happens() {
    for seed in 0..40_u64 {
        let mut state = seed;
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % end
        };
        let mut objects = Objects::new(60_000);
        let mut model: HashMap<(u64, u32), usize> = HashMap::new();
        for step in 0..5_000 {
            let (key, variant) = (below(400), below(3) as u32);
            match below(10) {
                0 => {
                    let gone = objects.remove(hash(key), |value| *value == (key, variant));
                    assert_eq!(gone.is_some(), model.remove(&(key, variant)).is_some());
                }
                1..=4 => {
                    let found = objects.find(hash(key), |value| *value == (key, variant));
                    assert_eq!(found.is_some(), model.contains_key(&(key, variant)));
                }
                _ => {
                    let bytes = 10 + below(900) as usize;
                    let replaced = model.insert((key, variant), bytes).is_some();
                    let mut left = insert(&mut objects, key, variant, bytes);
                    if replaced {
                        assert_eq!(left.remove(0), (key, variant));
                    }
                    for gone in left {
                        assert!(model.remove(&gone).is_some(), "{gone:?} left twice");
                    }
                }
            }
            if step == 2_500 {
                let mut left = Vec::new();
                objects.resize(40_000, &mut left);
                for gone in left {
                    model.remove(&gone);
                }
            }
            assert_eq!(objects.len(), model.len(), "seed {seed}");
            assert_eq!(objects.bytes(), model.values().sum::<usize>(), "seed {seed}");
            assert!(objects.bytes() + objects.overhead_bytes() <= 60_000);
        }
    }
}
