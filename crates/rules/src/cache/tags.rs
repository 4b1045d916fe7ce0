//! The names by which services let responses be purged.

use wire::Fields;

/// The fields in use: Fastly's, Cloudflare's and Akamai's, Varnish's. They are for caches in front of
/// the service, and go no further than here.
pub(super) const FIELDS: [&str; 3] = ["surrogate-key", "cache-tag", "xkey"];

/// In the answer to an unsafe request: the tags of what is not true any more, parted by blanks or commas.
pub(super) const PURGE: &str = "doorward-purge";

/// Calls `add` with each tag that the answer to an unsafe request purges.
pub(super) fn each_purged(fields: &Fields, add: &mut dyn FnMut(&[u8])) {
    for value in fields.all_named(PURGE) {
        let tags = value.split(|&byte| matches!(byte, b' ' | b'\t' | b','));
        tags.filter(|tag| !tag.is_empty()).for_each(&mut *add);
    }
}

/// Calls `add` with each tag in `fields`. `Surrogate-Key` and `xkey` part them by blanks, `Cache-Tag`
/// by commas; no tag has either in it.
pub(super) fn each(fields: &Fields, add: &mut dyn FnMut(&[u8])) {
    for (name, value) in fields.iter() {
        if FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())) {
            value.split(|&byte| matches!(byte, b' ' | b'\t' | b',')).for_each(&mut *add);
        }
    }
}
