//! All rules of one configuration, and the one question they answer.

use std::borrow::Cow;
use std::sync::Arc;

use wire::{RequestHead, ResponseHead};

use crate::files::{Candidate, Files};
use crate::{Cx, Fault, Reply, Route, RouteId, Service, ServiceId};

/// The compiled routes and services of one configuration. Immutable.
#[derive(Debug, Default)]
pub struct Rules {
    routes: Box<[Arc<Route>]>,
    services: Box<[Arc<Service>]>,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Verdict<'r> {
    /// Send it to a service.
    Forward {
        /// The route that says so.
        route: RouteId,
        /// The service.
        service: ServiceId,
    },
    /// Answer it at once.
    Reply {
        /// The route that says so.
        route: RouteId,
        /// The answer.
        reply: Cow<'r, Reply>,
    },
    /// Answer it with a file.
    Files {
        /// The route that says so.
        route: RouteId,
        /// Which files.
        files: &'r Files,
        /// Where to look, in this order; see [`Files::answer`].
        candidates: Vec<Candidate>,
    },
    /// Refuse it.
    Fault {
        /// The route, if it came to that.
        route: Option<RouteId>,
        /// Why.
        fault: Fault,
        /// The value of `Allow`, if the method is not allowed.
        allow: Option<Box<str>>,
    },
}

impl Rules {
    /// Decides what is to be done with a request: its route, then the route's filters, then its
    /// action.
    pub fn decide(&self, _head: &mut RequestHead, _cx: &mut Cx) -> Verdict<'_> {
        Verdict::Fault {
            route: None,
            fault: Fault::NoRoute,
            allow: None,
        }
    }

    /// Lets the route's filters see the response, in reverse order.
    pub fn on_response(
        &self,
        _route: RouteId,
        _head: &mut ResponseHead,
        _request: &RequestHead,
        _cx: &mut Cx,
    ) {
    }

    /// The routes, in the order of the configuration.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route at `id`.
    #[must_use]
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[id.0 as usize]
    }

    /// The services, in the order of their names.
    #[must_use]
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The service at `id`.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.0 as usize]
    }
}
