//! Changes the header fields that the service sees.

use config::At;
use wire::RequestHead;

use super::headers::{Changes, HeadersConfig, Message};
use super::{Filter, Phases};
use crate::Cx;
use crate::decision::Decision;
use crate::template::Scope;

/// The compiled filter.
#[derive(Debug)]
pub(super) struct RequestHeaders(Changes);

impl Filter for RequestHeaders {
    const NAME: &'static str = "request-headers";
    const ABOUT: &'static str = "changes the header fields that the service sees";
    const PHASES: Phases = Phases::REQUEST;
    type Config = HeadersConfig;

    fn build(config: &At<HeadersConfig>, scope: &mut Scope<'_>) -> Option<Self> {
        Changes::build(config, Message::Request, scope).map(Self)
    }

    fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Decision {
        self.0.render(head, cx);
        self.0.make(&mut head.fields, cx);
        self.0.note(cx);
        Decision::pass("the headers are changed")
    }
}
