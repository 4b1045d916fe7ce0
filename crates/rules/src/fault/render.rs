//! What a fault looks like to the client: a problem document, a page, or a line of text.

use crate::decision::Reply;

use super::Fault;

/// What the rendering may know of whoever asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// The value of `Accept`.
    pub accept: Option<&'a [u8]>,
    /// The id under which the log has this request; may be empty.
    pub request_id: &'a str,
    /// The value of `Allow`, for a method that is not allowed.
    pub allow: Option<&'a str>,
}

impl Fault {
    /// The whole response.
    #[must_use]
    pub fn reply(self, _asker: Asker<'_>) -> Reply {
        Reply::status(self.status())
    }
}

/// The value of `Proxy-Status` (RFC 9209), if the fault has one.
#[must_use]
pub fn proxy_status(_fault: Fault) -> Option<String> {
    None
}
