//! Changes the header fields that the client sees.

use config::At;
use wire::{RequestHead, ResponseHead};

use super::headers::{Changes, HeadersConfig, Message};
use super::{Filter, Phases};
use crate::Cx;
use crate::template::Scope;

/// The compiled filter.
#[derive(Debug)]
pub(super) struct ResponseHeaders(Changes);

impl Filter for ResponseHeaders {
    const NAME: &'static str = "response-headers";
    const ABOUT: &'static str = "changes the header fields that the client sees";
    const PHASES: Phases = Phases::RESPONSE;
    type Config = HeadersConfig;

    fn build(config: &At<HeadersConfig>, scope: &mut Scope<'_>) -> Option<Self> {
        Changes::build(config, Message::Response, scope).map(Self)
    }

    fn on_response(
        &self,
        head: &mut ResponseHead,
        request: &RequestHead,
        cx: &mut Cx,
    ) -> &'static str {
        self.0.render(request, cx);
        self.0.make(&mut head.fields, cx);
        self.0.note(cx);
        "the headers are changed"
    }
}
