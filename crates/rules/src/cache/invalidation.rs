//! What the answer to an unsafe request makes invalid (RFC 9111, 4.4; RFC 9875, 3).

use wire::{Known, RequestHead, ResponseHead};

use super::{groups, key, tag};
use crate::Cx;

/// The tags to purge: those of the URL itself, of `Location` and `Content-Location`, of the groups
/// that the service names, and the tags in its `Doorward-Purge`. None if the request was safe, or failed.
#[must_use]
pub fn invalidates(request: &RequestHead, cx: &Cx, response: &ResponseHead) -> Vec<u64> {
    // RFC 9111, 4.4: "A non-error response is one with a 2xx (Successful) or 3xx (Redirection) status
    // code."
    if request.method.is_safe() || !(200..400).contains(&response.status) {
        return Vec::new();
    }
    let url = key::url(request, cx);
    let mut tags = vec![tag(&url)];
    let content_location = response.fields.get_named("content-location");
    let locations = [response.fields.get(Known::Location), content_location];
    for location in locations.into_iter().flatten() {
        if let Some(url) = key::resolve(location, request, cx) {
            tags.push(tag(&url));
        }
    }
    for group in groups::of(&response.fields, groups::INVALIDATION) {
        tags.push(tag(&groups::tag_name(groups::origin(&url), &group)));
    }
    super::tags::each_purged(&response.fields, &mut |name| tags.push(tag(name)));
    tags.sort_unstable();
    tags.dedup();
    tags
}
