//! Cache groups (RFC 9875): names that responses of one origin share, and by which they go together.

use wire::Fields;

use super::structured;

/// RFC 9875, 2: the groups of a response.
pub(super) const GROUPS: &str = "cache-groups";

/// RFC 9875, 3: the groups that a response to an unsafe request invalidates.
pub(super) const INVALIDATION: &str = "cache-group-invalidation";

/// RFC 9875, 2: "implementations MUST support at least 32 groups in a field value, with up to at least
/// 32 characters in each member".
const GROUPS_MAX: usize = 64;

/// The groups in field `name`; none if it is no list of strings.
pub(super) fn of(fields: &Fields, name: &str) -> Vec<Vec<u8>> {
    if fields.get_named(name).is_none() {
        return Vec::new();
    }
    let mut groups = structured::strings(fields.all_named(name)).unwrap_or_default();
    groups.truncate(GROUPS_MAX);
    groups
}

/// The tag that stands for a group. RFC 9875, 2.1: two responses are in one group if the names are the
/// same, case and all, and "they both share the same URI origin".
pub(super) fn tag_name(origin: &[u8], group: &[u8]) -> Vec<u8> {
    // No tag that services give has a NUL in it.
    [b"group\0", origin, b"\0", group].concat()
}

/// Scheme and authority of a URL as keys have it.
pub(super) fn origin(url: &[u8]) -> &[u8] {
    let start = url.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let end = url[start..].iter().position(|&byte| byte == b'/');
    &url[..end.map_or(url.len(), |at| start + at)]
}
