//! All rules of one configuration, and the one question they answer.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use config::{At, Place, Report, Share};
use wire::{Method, RequestHead, ResponseHead};

use crate::cache::{self, Invalid, invalidates};
use crate::chance::{Draw, is_drawn};
use crate::files::{Candidate, Files};
use crate::filter::Outcome;
use crate::route::{Action, Building, Found, Table};
use crate::service::Policy;
use crate::tcp::{Tcp, TcpText};
use crate::{Cx, Fault, Reply, Route, RouteId, Secure, Service, ServiceId};

/// The compiled routes, services and `[[tcp]]` entries of one configuration. Immutable.
#[derive(Clone, Debug)]
pub struct Rules {
    table: Table,
    routes: Box<[Arc<Route>]>,
    /// Where each route leads, by the index of the route.
    links: Box<[Link]>,
    services: Box<[Arc<Service>]>,
    tcp: Tcp,
    /// Which service gets copies of the requests of a route; sorted.
    mirrors: Box<[(RouteId, ServiceId)]>,
    /// Whether clients are led to HTTPS.
    pub secure: Secure,
    /// Whether any route has a cache.
    caches: bool,
}

/// Where a route leads, beyond what it knows itself.
#[derive(Clone, Debug)]
enum Link {
    Service(ServiceId),
    /// Each service with the millionths up to which it is chosen.
    Split(Box<[(u32, ServiceId)]>),
    /// To no service.
    Own,
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

impl Verdict<'_> {
    /// The route that says so, if it came to that.
    #[must_use]
    pub fn route(&self) -> Option<RouteId> {
        match self {
            Self::Forward { route, .. } | Self::Reply { route, .. } | Self::Files { route, .. } => {
                Some(*route)
            }
            Self::Fault { route, .. } => *route,
        }
    }
}

impl Rules {
    /// Puts compiled routes, services and what is not HTTP together, or reports what does not fit and
    /// returns `None`.
    ///
    /// Every route comes with the place of its text. A service that could not be built is `None`:
    /// it has been reported, and routes that name it are not reported for that.
    pub fn build(
        routes: &[(Place, Arc<Route>)],
        services: &[(At<String>, Option<Arc<Service>>)],
        tcp: &[TcpText],
        report: &mut Report,
    ) -> Option<Self> {
        let errors = report.has_errors();
        let mut linking = Linking::new(services);
        let mut table = Building::new(routes.len());
        let mut links = Vec::with_capacity(routes.len());
        let mut kept = Vec::with_capacity(routes.len());
        let mut mirrors = Vec::new();
        // One pass: fetching a route into the cache costs more than all that is done with it.
        for (id, (place, route)) in (0..).map(RouteId).zip(routes) {
            if let Some(mirror) = &route.mirror {
                mirrors.extend(linking.find(&mirror.to, *place, report).map(|to| (id, to)));
            }
            links.push(linking.link(*place, route, report));
            table.add(route);
            kept.push(Arc::clone(route));
        }
        linking.link_fallbacks(report);
        let texts = tcp;
        let tcp = Tcp::build(texts, report, |name, place, report| {
            linking.report_in_vain(name, place, report);
            linking.find(name, place, report)
        });
        report_tls_within_tls(texts, &tcp, services, report);
        if !errors {
            // Routes that could not be built may have led there.
            linking.report_unused(report);
        }
        let table = table.finish(routes, report);
        if errors || report.has_errors() {
            return None;
        }
        Some(Self {
            caches: kept.iter().any(|route| route.cache.is_some()),
            table,
            routes: kept.into(),
            links: links.into(),
            services: services.iter().filter_map(|(_, service)| service.clone()).collect(),
            tcp,
            mirrors: mirrors.into(),
            secure: Secure::default(),
        })
    }

    /// Decides what is to be done with a request: its route, then whether it may come without TLS, then
    /// the route's filters, then its action.
    pub fn decide(&self, head: &mut RequestHead, cx: &mut Cx) -> Verdict<'_> {
        let index = match self.table.find(head, &self.routes, cx) {
            Found::Route(index) => index,
            Found::OtherMethods(methods) => {
                return Verdict::Fault {
                    route: None,
                    fault: Fault::MethodNotAllowed,
                    allow: Some(self.table.allow(methods)),
                };
            }
            Found::Nothing => return fault(None, Fault::NoRoute),
        };
        let (id, route) = (RouteId(index), &*self.routes[index as usize]);
        match self.secure.redirect(head, cx) {
            None => {}
            Some(Ok(reply)) => return Verdict::Reply { route: id, reply: Cow::Owned(reply) },
            Some(Err(refused)) => return fault(Some(id), refused),
        }
        match route.pipeline.on_request(head, cx) {
            Outcome::Pass => {}
            Outcome::Reply(reply) => {
                return Verdict::Reply { route: id, reply: Cow::Owned(*reply) };
            }
            Outcome::Refuse(refused) => return fault(Some(id), refused),
        }
        match &self.links[index as usize] {
            Link::Service(service) => self.forward(id, *service, "the route names it", cx),
            Link::Split(shares) => {
                // The shares are millionths; the chance of each is off by less than 2^-44.
                let drawn = ((cx.random >> 64) * 1_000_000) >> 64;
                let (_, service) = shares
                    .iter()
                    .find(|(end, _)| drawn < u128::from(*end))
                    .expect("the shares sum up to the whole");
                self.forward(id, *service, "its share of the split was drawn", cx)
            }
            Link::Own => own(id, route, head, cx),
        }
    }

    fn forward(
        &self,
        route: RouteId,
        service: ServiceId,
        why: &'static str,
        cx: &mut Cx,
    ) -> Verdict<'_> {
        cx.note("name", &self.service(service).name);
        cx.record("service", "choose", why);
        if let Some(mirror) = &self.route(route).mirror {
            self.mirror(route, mirror.share, cx);
        }
        Verdict::Forward { route, service }
    }

    /// Draws whether a copy of the request goes elsewhere.
    #[cold]
    fn mirror(&self, route: RouteId, share: Share, cx: &mut Cx) {
        let found = self.mirrors.binary_search_by_key(&route, |(route, _)| *route);
        let Ok(at) = found else { return };
        let (_, to) = self.mirrors[at];
        cx.note("name", &self.service(to).name);
        cx.note("share", share);
        if is_drawn(cx, Draw::Mirror, share) {
            cx.mirror = Some((route, to));
            cx.record("mirror", "copy", "its share was drawn");
        } else {
            cx.record("mirror", "pass", "its share was not drawn");
        }
    }

    /// Lets the route's filters see the response, in reverse order.
    #[inline]
    pub fn on_response(
        &self,
        route: RouteId,
        head: &mut ResponseHead,
        request: &RequestHead,
        cx: &mut Cx,
    ) {
        self.route(route).pipeline.on_response(head, request, cx);
    }

    /// The routes, in the order of the configuration.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The URLs under which answers to `url`, which is normal, may be stored: itself, and what the caches
    /// of routes that it may lead to make of its query.
    #[must_use]
    pub fn stored_urls(&self, url: Vec<u8>) -> Vec<Vec<u8>> {
        let text = String::from_utf8_lossy(&url);
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Ok(head) = RequestHead::new("GET", authority, target) else { return vec![url] };
        let caches = self.table.all(&head, &self.routes).into_iter();
        let caches = caches.filter_map(|route| self.routes[route as usize].cache.as_deref());
        let mut urls: Vec<Vec<u8>> = caches.map(|cache| cache.stored_url(&url)).collect();
        urls.push(url);
        urls.sort_unstable();
        urls.dedup();
        urls
    }

    /// Whether any route has a cache, so that answers to unsafe requests make something invalid.
    #[must_use]
    pub fn has_caches(&self) -> bool {
        self.caches
    }

    /// What the answer to a request makes invalid, as tags to purge; none if the request was safe, or
    /// failed.
    #[must_use]
    pub fn invalidates(&self, request: &RequestHead, cx: &Cx, response: &ResponseHead) -> Vec<u64> {
        let Invalid { urls, mut tags } = invalidates(request, cx, response);
        let stored = urls.into_iter().flat_map(|url| self.stored_urls(url));
        tags.extend(stored.map(|url| cache::tag(&url)));
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// The route at `id`.
    #[must_use]
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[id.0 as usize]
    }

    /// What is not HTTP.
    #[must_use]
    pub fn tcp(&self) -> &Tcp {
        &self.tcp
    }

    /// The services, in the order in which they were given.
    #[must_use]
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The services, to be changed by whoever has rules of their own: others keep what they have.
    pub fn services_mut(&mut self) -> impl Iterator<Item = &mut Service> {
        self.services.iter_mut().map(Arc::make_mut)
    }

    /// The service at `id`.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.0 as usize]
    }
}

/// Reports entries whose clients' TLS, which is passed on as it is, would be put into another one.
fn report_tls_within_tls(
    texts: &[TcpText],
    tcp: &Tcp,
    services: &[(At<String>, Option<Arc<Service>>)],
    report: &mut Report,
) {
    let known: Vec<_> = services.iter().filter_map(|(_, service)| service.as_ref()).collect();
    for (text, entry) in texts.iter().zip(tcp.entries()) {
        let service = known.get(entry.service.0 as usize);
        if let Some(sni) = &text.sni
            && service.is_some_and(|service| service.tls.is_some())
        {
            report
                .error(sni, "the client's TLS is passed on as it is, and the service has `tls`")
                .help("remove `tls` from the service, or `sni` here to pass plain TCP on by TLS");
        }
    }
}

fn fault(route: Option<RouteId>, fault: Fault) -> Verdict<'static> {
    Verdict::Fault { route, fault, allow: None }
}

/// The action of a route that leads to no service.
fn own<'r>(id: RouteId, route: &'r Route, head: &RequestHead, cx: &mut Cx) -> Verdict<'r> {
    match &route.action {
        Action::Respond(reply) => {
            cx.note("status", reply.status);
            cx.record("respond", "reply", "the route has the answer");
            Verdict::Reply { route: id, reply: Cow::Borrowed(reply) }
        }
        Action::Redirect(redirect) => match redirect.reply(head, cx) {
            Ok(reply) => {
                cx.note("status", reply.status);
                cx.record("redirect", "reply", "the route leads elsewhere");
                Verdict::Reply { route: id, reply: Cow::Owned(reply) }
            }
            Err(refused) => {
                cx.record("redirect", "refuse", refused.reason());
                fault(Some(id), refused)
            }
        },
        Action::Files(files) => {
            if !matches!(head.method, Method::Get | Method::Head) {
                cx.record("files", "refuse", "files are only read");
                return Verdict::Fault {
                    route: Some(id),
                    fault: Fault::MethodNotAllowed,
                    allow: Some("GET, HEAD".into()),
                };
            }
            let candidates = files.candidates(head);
            if candidates.is_empty() {
                cx.record("files", "refuse", "the path cannot be that of a file");
                return fault(Some(id), Fault::FileNotFound);
            }
            Verdict::Files { route: id, files, candidates }
        }
        Action::Services(_) => unreachable!("routes that lead to services have links"),
    }
}

/// Finds the services that routes name.
struct Linking<'a> {
    services: &'a [(At<String>, Option<Arc<Service>>)],
    /// The index in `services`, the id, and whether a route names it.
    known: HashMap<&'a str, (usize, Option<ServiceId>, bool)>,
}

impl<'a> Linking<'a> {
    fn new(services: &'a [(At<String>, Option<Arc<Service>>)]) -> Self {
        let mut ids = (0..).map(ServiceId);
        let known = services.iter().enumerate().map(|(index, (name, service))| {
            let id = service.as_ref().and_then(|_| ids.next());
            (name.as_str(), (index, id, false))
        });
        Self { services, known: known.collect() }
    }

    fn link(&mut self, place: Place, route: &Route, report: &mut Report) -> Link {
        let Action::Services(shares) = &route.action else {
            return Link::Own;
        };
        if let [(name, _)] = &**shares {
            let found = self.find(name, place, report);
            return found.map_or(Link::Own, Link::Service);
        }
        let mut ends = Vec::new();
        let mut end = 0;
        for (name, share) in shares {
            end += share.as_millionths();
            if let Some(id) = self.find(name, place, report) {
                ends.push((end, id));
            }
        }
        Link::Split(ends.into())
    }

    fn find(&mut self, name: &At<String>, route: Place, report: &mut Report) -> Option<ServiceId> {
        if let Some((_, id, used)) = self.known.get_mut(name.as_str()) {
            *used = true;
            return *id;
        }
        let known: Vec<&str> = self.services.iter().map(|(name, _)| name.as_str()).collect();
        let problem = report.unknown(name.place().within(route), "service", name, &known);
        if known.is_empty() {
            problem.help(format!("there is none yet: add `[service.{}]`", **name));
        }
        None
    }

    /// Reports what the service `name` says about requests, if connections are all that it gets. To be asked
    /// before they are linked to it.
    fn report_in_vain(&self, name: &At<String>, place: Place, report: &mut Report) {
        let Some((index, _, false)) = self.known.get(name.as_str()) else { return };
        let Some(service) = &self.services[*index].1 else { return };
        let keys: Vec<_> = service.for_requests().map(|key| format!("`{key}`")).collect();
        if !keys.is_empty() {
            let text = format!(
                "`{}` only gets connections, and these keys of it are for requests: {}",
                **name,
                keys.join(", ")
            );
            report
                .warning(name.place().within(place), text)
                .help("remove them; docs/tcp.md says what holds for connections");
        }
    }

    /// Finds the services that stand in for others, and circles of them.
    fn link_fallbacks(&mut self, report: &mut Report) {
        let services = self.services;
        let leads_to = |at: usize| {
            let policy = services[at].1.as_ref().map(|service| &service.policy);
            policy.into_iter().flat_map(Policy::stand_ins)
        };
        for at in 0..services.len() {
            for name in leads_to(at) {
                self.find(name, Place::NONE, report);
                let (mut seen, mut next) = (vec![false; services.len()], vec![name.as_str()]);
                while let Some((index, _, _)) = next.pop().and_then(|name| self.known.get(name)) {
                    if !std::mem::replace(&mut seen[*index], true) {
                        next.extend(leads_to(*index).map(|name| name.as_str()));
                    }
                }
                if seen[at] {
                    report
                        .error(name, format!("`{}` cannot stand in for itself", *services[at].0))
                        .help("a request would go in a circle while all of them are down");
                }
            }
        }
    }

    fn report_unused(&self, report: &mut Report) {
        for (index, _, used) in self.known.values() {
            let (name, _) = &self.services[*index];
            if !used {
                report
                    .warning(name, format!("nothing leads to the service `{}`", **name))
                    .help("give it a route, or remove it");
            }
        }
    }
}
