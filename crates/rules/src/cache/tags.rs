//! The names by which services let responses be purged.

use wire::Fields;

/// The fields in use: Fastly's, Cloudflare's and Akamai's, Varnish's. They are for caches in front of
/// the service, and go no further than here.
pub(super) const FIELDS: [&str; 3] = ["surrogate-key", "cache-tag", "xkey"];

/// Calls `add` with each tag in `fields`. `Surrogate-Key` and `xkey` part them by blanks, `Cache-Tag`
/// by commas; no tag has either in it.
pub(super) fn each(fields: &Fields, add: &mut dyn FnMut(&[u8])) {
    for (name, value) in fields.iter() {
        if FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())) {
            value.split(|&byte| matches!(byte, b' ' | b'\t' | b',')).for_each(&mut *add);
        }
    }
}
