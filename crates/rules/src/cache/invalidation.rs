//! What the answer to an unsafe request makes invalid (RFC 9111, 4.4; RFC 9875, 3).

use wire::{Known, RequestHead, ResponseHead};

use super::{groups, key, tag};
use crate::Cx;

/// What is not true any more.
#[derive(Debug, Default)]
pub(crate) struct Invalid {
    /// The URL itself, and those of `Location` and `Content-Location`.
    pub(crate) urls: Vec<Vec<u8>>,
    /// Those of the groups that the service names, and the tags in its `Doorward-Purge`.
    pub(crate) tags: Vec<u64>,
}

/// What the answer to a request makes invalid: nothing if the request was safe, or failed.
pub(crate) fn invalidates(request: &RequestHead, cx: &Cx, response: &ResponseHead) -> Invalid {
    // RFC 9111, 4.4: "A non-error response is one with a 2xx (Successful) or 3xx (Redirection) status
    // code."
    if request.method.is_safe() || !(200..400).contains(&response.status) {
        return Invalid::default();
    }
    let url = key::url(request, cx);
    let content_location = response.fields.get_named("content-location");
    let locations = [response.fields.get(Known::Location), content_location];
    let located = locations.into_iter().flatten();
    let located = located.filter_map(|location| key::resolve(location, request, cx));
    let mut tags = Vec::new();
    for group in groups::of(&response.fields, groups::INVALIDATION) {
        tags.push(tag(&groups::tag_name(groups::origin(&url), &group)));
    }
    super::tags::each_purged(&response.fields, &mut |name| tags.push(tag(name)));
    Invalid { urls: std::iter::once(url.clone()).chain(located).collect(), tags }
}
