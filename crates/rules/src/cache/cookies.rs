//! The cookies of a request (RFC 6265, 4.2), as far as caches look at them.

use wire::{Fields, Known};

/// All cookies as name and value, in order.
pub(super) fn all(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.all(Known::Cookie).flat_map(|line| line.split(|&byte| byte == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|&byte| byte == b'=')?;
        Some((&pair[..at], &pair[at + 1..]))
    })
}

/// Leaves only the cookies called by one of `names`.
pub(super) fn keep(fields: &mut Fields, names: &[Box<str>]) {
    if !fields.has(Known::Cookie) {
        return;
    }
    let mut kept = Vec::new();
    let is_named = |name: &[u8]| names.iter().any(|kept| kept.as_bytes() == name);
    for (name, value) in all(fields).filter(|(name, _)| is_named(name)) {
        if !kept.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(name);
        kept.push(b'=');
        kept.extend_from_slice(value);
    }
    fields.remove(Known::Cookie);
    if !kept.is_empty() {
        fields.push("cookie", &kept);
    }
}
