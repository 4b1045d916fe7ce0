//! A strict reader of the Prometheus text format, version 0.0.4.

use std::collections::{BTreeMap, BTreeSet};

/// A family of series, as announced.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    /// By name and labels.
    pub(crate) samples: BTreeMap<(String, Labels), f64>,
}

pub(crate) type Labels = BTreeMap<String, String>;

/// The families in `text`, by name; panics where a scraper could stumble.
#[track_caller]
pub(crate) fn read(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut helped, mut current) = (BTreeSet::new(), String::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, about) = help.split_once(' ').expect("a name and a text");
            assert!(helped.insert(name.to_owned()), "HELP twice: {line}");
            assert!(!about.is_empty() && !about.contains('\\'), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a kind");
            assert!(helped.contains(name), "TYPE without HELP: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(is_name(name), "{line}");
            let family = Family { kind: kind.to_owned(), ..Family::default() };
            // A family must stand together.
            assert!(families.insert(name.to_owned(), family).is_none(), "TYPE twice: {line}");
            name.clone_into(&mut current);
        } else {
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).expect("a TYPE comes first");
            let suffix =
                name.strip_prefix(&current).unwrap_or_else(|| panic!("{line} in {current}"));
            match family.kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                "counter" => assert!(suffix.is_empty() && name.ends_with("_total"), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            assert!(value >= 0.0, "{line}");
            let twice = family.samples.insert((name, labels), value);
            assert_eq!(twice, None, "the same series twice: {line}");
        }
    }
    for (name, family) in &families {
        if family.kind == "histogram" {
            check_histogram(name, family);
        }
    }
    families
}

/// Buckets grow, and the last one holds everything.
fn check_histogram(name: &str, family: &Family) {
    let mut all: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for ((sample, labels), value) in &family.samples {
        if *sample == format!("{name}_bucket") {
            let mut labels = labels.clone();
            let bound = labels.remove("le").expect("a bucket has a bound");
            let bound = bound.replace("+Inf", "inf").parse().expect("a number");
            all.entry(labels).or_default().push((bound, *value));
        }
    }
    for (labels, mut buckets) in all {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{name} {labels:?}: {buckets:?}");
        let (bound, total) = buckets[buckets.len() - 1];
        assert_eq!(bound, f64::INFINITY, "{name} {labels:?}");
        let of = |suffix: &str| family.samples.get(&(format!("{name}{suffix}"), labels.clone()));
        assert_eq!(of("_count"), Some(&total), "{name} {labels:?}");
        assert!(of("_sum").is_some(), "{name} {labels:?}");
    }
}

fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(key), "{line}");
            let (mut value, mut characters) = (String::new(), after.char_indices());
            let end = loop {
                let (at, character) = characters.next().unwrap_or_else(|| panic!("{line}"));
                match character {
                    '"' => break at,
                    '\\' => value.push(match characters.next() {
                        Some((_, '\\')) => '\\',
                        Some((_, '"')) => '"',
                        Some((_, 'n')) => '\n',
                        _ => panic!("a wrong escape: {line}"),
                    }),
                    other => value.push(other),
                }
            };
            assert!(labels.insert(key.to_owned(), value).is_none(), "{line}");
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}
