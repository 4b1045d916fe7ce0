//! Clear words for what went wrong: nearest names, kinds of values, bounds of numbers.

use std::fmt::Display;

/// Advice for a name that is not one of `known`: the nearest of them, or all.
pub(crate) fn suggest(name: &str, known: &[impl AsRef<str>]) -> Option<String> {
    match nearest(name, known) {
        Some(nearest) => Some(format!("did you mean `{nearest}`?")),
        None => (!known.is_empty()).then(|| format!("known: {}", list(known))),
    }
}

/// The one of `known` that was probably meant by `name`.
pub(crate) fn nearest<'k>(name: &str, known: &'k [impl AsRef<str>]) -> Option<&'k str> {
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let wanted = plain(name);
    // A third of the letters may differ; beyond that the "nearest" name is noise.
    let tolerance = (wanted.chars().count() / 3).max(1);
    known
        .iter()
        .map(|known| (distance(&plain(known.as_ref()), &wanted), known.as_ref()))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, nearest)| nearest)
}

/// The names, cut where a person stops reading.
fn list(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 40;
    let mut list: Vec<&str> = names.iter().map(AsRef::as_ref).take(SHOWN).collect();
    if names.len() > SHOWN {
        list.push("...");
    }
    list.join(", ")
}

/// A value as it is written in the file: numbers plain, all else (units, text) in quotes.
pub(crate) fn spell(value: &impl Display) -> String {
    let text = value.to_string();
    if text.parse::<f64>().is_ok() { text } else { format!("\"{text}\"") }
}

/// The number of letters to insert, remove, change or swap with the next one; names are short.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let changed = above[j] + usize::from(a[i] != b[j]);
            let mut least = changed.min(row[j] + 1).min(above[j + 1] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// What serde says it expects, in the words of TOML.
pub(crate) fn wanted(expected: &str) -> &str {
    match expected {
        "a map" => "a table",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a borrowed string" | "string or map" | "variant identifier" => "a string",
        "f32" | "f64" => "a number",
        "a character" => "one character",
        _ if bounds(expected).is_some() => "a whole number",
        _ if expected.starts_with("struct ") || expected.starts_with("struct variant ") => {
            "a table"
        }
        _ if expected.starts_with("enum ") => "a string",
        _ if expected.starts_with("tuple ") => "an array",
        _ => expected,
    }
}

/// The least and the greatest value of a number type of Rust.
pub(crate) fn bounds(name: &str) -> Option<(i128, i128)> {
    Some(match name {
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" | "usize" => (0, u64::MAX.into()),
        "i8" => (i8::MIN.into(), i8::MAX.into()),
        "i16" => (i16::MIN.into(), i16::MAX.into()),
        "i32" => (i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => (i64::MIN.into(), i64::MAX.into()),
        "a nonzero u8" => (1, u8::MAX.into()),
        "a nonzero u16" => (1, u16::MAX.into()),
        "a nonzero u32" => (1, u32::MAX.into()),
        "a nonzero u64" | "a nonzero usize" => (1, u64::MAX.into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest_name_and_nothing_far() {
        let known = ["path", "service", "stale-if-error", "cache"];
        assert_eq!(suggest("pth", &known).as_deref(), Some("did you mean `path`?"));
        assert_eq!(suggest("servcie", &known).as_deref(), Some("did you mean `service`?"));
        assert_eq!(
            suggest("stale_if_error", &known).as_deref(),
            Some("did you mean `stale-if-error`?")
        );
        assert_eq!(
            suggest("xyz", &known).as_deref(),
            Some("known: path, service, stale-if-error, cache")
        );
        assert_eq!(suggest("x", &[] as &[&str]), None);
    }
}
