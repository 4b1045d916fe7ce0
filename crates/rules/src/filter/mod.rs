//! The filters, their one registry, and the pipeline that runs them.
//!
//! To add a filter: write `filter/<name>.rs`, add one line to `registry!` below, and its key to
//! [`RouteConfig`]; the compiler asks for what is forgotten.

use config::At;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::{RequestHead, ResponseHead};

use crate::decision::{Decision, Reply, Step};
use crate::route::RouteConfig;
use crate::template::Scope;
use crate::{Cx, Fault};

/// One policy on a route, compiled from its config.
///
/// Hooks are synchronous and see no clock and no socket.
trait Filter: Sized {
    /// The config key, the `explain` label and the metric label.
    const NAME: &'static str;
    /// One clause for the CLI, the dashboard and the docs.
    const ABOUT: &'static str;
    /// The phases this filter takes part in; it is absent from all others.
    const PHASES: Phases;
    type Config: DeserializeOwned + Serialize + JsonSchema;

    /// Compiles `config`, or reports what is wrong with it and returns `None`.
    fn build(config: &At<Self::Config>, scope: &mut Scope<'_>) -> Option<Self>;

    fn on_request(&self, _head: &mut RequestHead, _cx: &mut Cx) -> Decision {
        unreachable!("{} takes no part in requests", Self::NAME)
    }

    /// `request` is the request as it was sent to the service. The reason is for the trail.
    fn on_response(
        &self,
        _head: &mut ResponseHead,
        _request: &RequestHead,
        _cx: &mut Cx,
    ) -> &'static str {
        unreachable!("{} takes no part in responses", Self::NAME)
    }
}

pub mod headers;

macro_rules! registry {
    ($($module:ident :: $Type:ident),* $(,)?) => {
        $(pub mod $module;)*

        /// Any configured filter. Closed on purpose: the compiler checks every match.
        #[derive(Debug)]
        enum AnyFilter { $($Type($module::$Type)),* }

        impl AnyFilter {
            /// Builds the filters that `config` asks for, in the order of the registry.
            fn build_all(config: &RouteConfig, scope: &mut Scope<'_>) -> Vec<Self> {
                let mut built = Vec::new();
                $(if let Some(config) = &config.$module {
                    built.extend($module::$Type::build(config, scope).map(Self::$Type));
                })*
                built
            }

            const fn phases(&self) -> Phases {
                match self { $(Self::$Type(_) => <$module::$Type as Filter>::PHASES),* }
            }

            const fn name(&self) -> &'static str {
                match self { $(Self::$Type(_) => <$module::$Type as Filter>::NAME),* }
            }

            #[inline]
            fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Decision {
                match self { $(Self::$Type(filter) => filter.on_request(head, cx)),* }
            }

            #[inline]
            fn on_response(
                &self,
                head: &mut ResponseHead,
                request: &RequestHead,
                cx: &mut Cx,
            ) -> &'static str {
                match self { $(Self::$Type(filter) => filter.on_response(head, request, cx)),* }
            }
        }

        /// Every filter's name and what it is for, in the order they run.
        pub const ALL: &[(&str, &str)] =
            &[$((<$module::$Type as Filter>::NAME, <$module::$Type as Filter>::ABOUT)),*];
    };
}

// The order here is the order on the request path. Responses run it backwards. Who may not come is
// turned away before anything is done. Rewriting is last, so that all others see the path that the
// client asked for.
registry! {
    client_certificate::ClientCertificate,
    fault::Injection,
    priority::Prioritize,
    request_headers::RequestHeaders,
    response_headers::ResponseHeaders,
    grpc_web::GrpcWeb,
    compress::Compress,
    rewrite::Rewrite,
}

/// A set of phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Phases(u8);

impl Phases {
    const REQUEST: Self = Self(1);
    const RESPONSE: Self = Self(2);

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where the filters left a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Pass,
    Reply(Box<Reply>),
    Refuse(Fault),
}

/// One route's configured filters. An empty phase costs one length check.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    filters: Box<[AnyFilter]>,
    /// Which of them take part in each phase, in the order they run.
    request: Box<[u8]>,
    response: Box<[u8]>,
}

impl Pipeline {
    pub(crate) fn build(config: &RouteConfig, scope: &mut Scope<'_>) -> Self {
        let filters = AnyFilter::build_all(config, scope);
        let taking_part = |phase| {
            let all = (0_u8..).zip(&filters);
            all.filter(move |(_, filter)| filter.phases().has(phase)).map(|(at, _)| at)
        };
        let request = taking_part(Phases::REQUEST).collect();
        let mut response: Box<[u8]> = taking_part(Phases::RESPONSE).collect();
        response.reverse();
        Self { request, response, filters: filters.into() }
    }

    /// Runs the request through the filters; a reply ends the run.
    #[inline]
    pub(crate) fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Outcome {
        for &at in &self.request {
            let filter = &self.filters[usize::from(at)];
            let decision = filter.on_request(head, cx);
            match decision.step {
                Step::Pass => cx.record(filter.name(), "pass", decision.why),
                Step::Reply(reply) => {
                    cx.note("status", reply.status);
                    cx.record(filter.name(), "reply", decision.why);
                    return Outcome::Reply(reply);
                }
                Step::Refuse(fault) => {
                    cx.note("status", fault.status());
                    cx.record(filter.name(), "refuse", decision.why);
                    return Outcome::Refuse(fault);
                }
            }
        }
        Outcome::Pass
    }

    /// Runs the response through the filters, backwards.
    #[inline]
    pub(crate) fn on_response(&self, head: &mut ResponseHead, request: &RequestHead, cx: &mut Cx) {
        for &at in &self.response {
            let filter = &self.filters[usize::from(at)];
            let why = filter.on_response(head, request, cx);
            cx.record(filter.name(), "pass", why);
        }
    }
}

#[cfg(test)]
mod tests;
