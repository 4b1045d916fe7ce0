//! The admin side: a JSON API, metrics and health for operators.
//!
//! It is served by the same connection code as everything else, on the control thread.

mod cache;
mod endpoints;
mod prometheus;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rules::overload::Priority;
use rules::service::Rank;
use rules::{Fault, Reply};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use wire::h1::{BodyDecoder, BodyLimits, Framing};
use wire::{Known, Method};

pub(crate) use cache::PurgeOrder;

use crate::control::acme::KeeperStatus;
use crate::control::certificates::Certificates;
use crate::control::explain::{Facts, Question, Seen, explain};
use crate::control::process::Supervision;
use crate::control::run::{ConfigStatus, ControlHandle};
use crate::control::snapshot::{self, Published, Service, Snapshot, covers};
use crate::data::connection::Connection;
use crate::data::respond;
use crate::data::scratch::Scratch;
use crate::data::serve::{Body, Done};
use crate::data::store::Store;
use crate::metrics::{BreakerState, Counter, GateShard, Metrics};
use crate::observe::trails::Trails;

/// The largest request body of the API: a request to be explained.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The admin API of this process.
pub(crate) struct Admin {
    pub(crate) token: Arc<str>,
    pub(crate) control: ControlHandle,
    pub(crate) published: Arc<Published>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) supervision: Supervision,
    pub(crate) trails: Trails,
    pub(crate) store: Arc<Store>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) acme: watch::Receiver<KeeperStatus>,
    pub(crate) status: watch::Receiver<ConfigStatus>,
}

const INDEX: &str = "Doorward, the admin side.\n\n\
    GET  /livez              200 while the process works\n\
    GET  /readyz             200 while clients may connect\n\
    GET  /metrics            counters, for Prometheus\n\n\
    With `Authorization: Bearer TOKEN`:\n\
    GET  /api/status         configuration, services, instances\n\
    POST /api/reload         reads the configuration again\n\
    GET  /api/services/NAME/endpoints               where the service is\n\
    PUT  /api/services/NAME/endpoints/HOST:PORT     uses this endpoint too, or again\n\
    DELETE                                          sends it no new requests\n\
    POST /api/explain        {\"method\": \"GET\", \"url\": \"http://host/path\", \"headers\": [[\"name\", \"value\"]]}\n\
    GET  /api/cache          what is cached, and what that saves: sums, routes, the largest, the most used, what is stale\n\
    POST /api/purge          {\"urls\": [], \"tags\": [], \"prefixes\": [], \"all\": false, \"soft\": false, \"count\": false}\n\
    GET  /api/trails/ID      every decision about the request with that id, if it was sent with\n\
    \x20                        `Doorward-Explain: TOKEN`\n";

impl Admin {
    /// Answers a request to the admin listener.
    pub(crate) async fn answer(
        self: Rc<Self>,
        connection: &mut Connection,
        scratch: &mut Scratch,
        body: Body,
    ) -> Done {
        let content = match read_body(connection, body).await {
            Ok(content) => content,
            Err(fault) => return respond::fault(connection, scratch, None, fault, None).await,
        };
        let reply = self.reply(scratch, &content).await;
        let read = Body { framing: Framing::None, awaits_continue: false };
        respond::reply(connection, scratch, None, &reply, read).await
    }

    async fn reply(&self, scratch: &Scratch, content: &[u8]) -> Reply {
        let request = &scratch.request;
        let path = std::str::from_utf8(request.path()).unwrap_or_default();
        match path {
            "/" | "/livez" | "/readyz" | "/metrics" if !is_read(request.method) => {
                not_allowed("GET, HEAD")
            }
            "/" => text(200, INDEX),
            "/livez" => json_reply(200, &json!({ "live": true })),
            "/readyz" => self.readiness(),
            "/metrics" => {
                let rendered = prometheus::render(
                    &self.metrics,
                    &self.published.current(),
                    &self.store,
                    &self.certificates,
                    &self.acme.borrow(),
                );
                Reply::status(200)
                    .header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                    .body(rendered.into_bytes())
            }
            api if api.starts_with("/api/") => {
                if !self.is_authorized(scratch) {
                    return json_reply(401, &problem(401, "A token is needed"))
                        .header("WWW-Authenticate", "Bearer realm=\"doorward\"");
                }
                self.api(request.method, &api[5..], content).await
            }
            _ => json_reply(404, &problem(404, "There is nothing here; GET / lists what is")),
        }
    }

    async fn api(&self, method: Method, path: &str, content: &[u8]) -> Reply {
        match (method, path) {
            (Method::Get | Method::Head, "status") => json_reply(200, &self.full_status().await),
            (Method::Post, "reload") => match self.control.reload().await {
                Some(reloaded) => json_reply(if reloaded.applied { 200 } else { 422 }, &reloaded),
                None => json_reply(503, &problem(503, "The process is ending")),
            },
            (Method::Post, "explain") => self.explain(content),
            (Method::Get | Method::Head, "cache") => {
                cache::show(&self.store, &self.published.current()).await
            }
            (Method::Post, "purge") => {
                let snapshot = self.published.current();
                cache::purge(&self.store, &snapshot.rules, content).await
            }
            (Method::Get | Method::Head, trail) if trail.starts_with("trails/") => {
                match self.trails.find(&trail[7..]) {
                    Some(explained) => json_reply(200, &explained),
                    None => json_reply(404, &problem(404, "No explained request has this id")),
                }
            }
            (method, service) if service.starts_with("services/") => {
                endpoints::tell(&self.control, method, &service[9..], content).await
            }
            (_, "status" | "cache") => not_allowed("GET, HEAD"),
            (_, "reload" | "explain" | "purge") => not_allowed("POST"),
            (_, trail) if trail.starts_with("trails/") => not_allowed("GET, HEAD"),
            _ => json_reply(404, &problem(404, "There is nothing here; GET / lists what is")),
        }
    }

    fn explain(&self, content: &[u8]) -> Reply {
        let question: Question = match serde_json::from_slice(content) {
            Ok(question) => question,
            Err(error) => return json_reply(400, &problem(400, &error.to_string())),
        };
        let snapshot = self.published.current();
        let facts = Facts {
            trusts: &|address| covers(&snapshot.trust, address),
            endpoints: &|at| shown_endpoints(&snapshot.services[at], self.metrics.now_ms()),
            bond: &|at, head| snapshot.services[at].ties.as_ref().map(|ties| ties.read(head)),
            certificates: &self.certificates,
        };
        match explain(&snapshot.rules, &facts, &question) {
            Ok(explanation) => json_reply(200, &explanation),
            Err(why) => json_reply(400, &problem(400, &why)),
        }
    }

    fn is_authorized(&self, scratch: &Scratch) -> bool {
        let mut values = scratch.request.fields.all(Known::Authorization);
        // Of two, nobody knows which one was meant.
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        value.split_first_chunk::<7>().is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && is_token(&self.token, token)
        })
    }

    fn readiness(&self) -> Reply {
        let status = self.status.borrow();
        let open = !status.listening.is_empty() || !status.listening_https.is_empty();
        let ready = open && !status.draining;
        let snapshot = self.published.current();
        let waiting: Vec<_> = snapshot
            .services
            .iter()
            .filter(|service| service.endpoints.is_empty())
            .map(|service| service.rules.name.to_string())
            .collect();
        let body = json!({
            "ready": ready,
            "draining": status.draining,
            "services-without-endpoints": waiting,
        });
        json_reply(if ready { 200 } else { 503 }, &body)
    }

    /// The entries of `[[tcp]]`, each with where it really listens and what is open.
    fn tcp(&self, snapshot: &Snapshot) -> Vec<Value> {
        let status = self.status.borrow();
        let entries = snapshot.rules.tcp().entries().iter().zip(&snapshot.tcp_metrics);
        entries
            .map(|(entry, metrics)| {
                let bound = status.tcp.iter().find(|(written, _)| *written == entry.listen);
                json!({
                    "listen": bound.map_or(entry.listen, |(_, bound)| *bound),
                    "sni": entry.sni,
                    "service": snapshot.rules.service(entry.service).name,
                    "connections": metrics.open.load(std::sync::atomic::Ordering::Relaxed),
                })
            })
            .collect()
    }

    /// The certificates that clients are shown.
    fn certificates(&self) -> Vec<Value> {
        let certificates = self.certificates.all();
        certificates
            .iter()
            .map(|one| {
                json!({
                    "names": one.names,
                    "issuer": one.issuer,
                    "not-before-unix": one.not_before_unix,
                    "not-after-unix": one.not_after_unix,
                    "from": one.origin,
                })
            })
            .collect()
    }

    /// What is wrong with certificates that are not used therefore.
    fn certificate_problems(&self) -> Vec<String> {
        self.certificates.problems().into_iter().map(|(_, problem)| problem).collect()
    }

    async fn full_status(&self) -> Value {
        let instances = self.supervision.status().await;
        let snapshot = self.published.current();
        let services: Vec<Value> = snapshot
            .services
            .iter()
            .map(|service| {
                let name = &*service.rules.name;
                let now_ms = self.metrics.now_ms();
                let endpoints = service.ranked();
                let endpoints: Vec<_> =
                    endpoints.map(|(one, rank)| endpoint(one, rank, now_ms)).collect();
                let started: Vec<_> =
                    instances.iter().filter(|instance| instance.service == name).collect();
                json!({
                    "name": name,
                    "started": service.is_started,
                    "endpoints": endpoints,
                    "instances": started,
                    "overload": overload(service),
                    "breaker": breaker(service),
                })
            })
            .collect();
        let open: u64 = self.metrics.client_workers().iter().map(|worker| worker.open.read()).sum();
        let requests: u64 =
            self.metrics.client_workers().iter().map(|worker| worker.requests.read()).sum();
        let workers = self.metrics.client_workers().iter();
        let late_us = workers.map(|worker| worker.late_us.read()).max().unwrap_or_default();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime-seconds": self.metrics.started.elapsed().as_secs(),
            "workers": self.metrics.client_workers().len(),
            "connections": open,
            "requests": requests,
            "loop-lag-ms": late_us / 1000,
            "config": *self.status.borrow(),
            "services": services,
            "tcp": self.tcp(&snapshot),
            "certificates": self.certificates(),
            "certificate-problems": self.certificate_problems(),
            "acme": *self.acme.borrow(),
        })
    }
}

/// The endpoints of `service`, each with how it stands.
fn shown_endpoints(service: &Service, now_ms: u64) -> Vec<Seen> {
    let seen = |(endpoint, rank): (&Arc<snapshot::Endpoint>, &Rank)| Seen {
        address: endpoint.shown(),
        standing: endpoint.standing(now_ms),
        rank: rank.clone(),
        is_near: rank.is_near(service.zone.as_deref()),
    };
    service.ranked().map(seen).collect()
}

/// How the gate before `service` stands, all workers together; null if it has none.
fn overload(service: &Service) -> Value {
    if service.rules.policy.overload.is_none() {
        return Value::Null;
    }
    let gates = || service.metrics.shards.iter().map(|shard| &shard.gate);
    let sum =
        |which: fn(&GateShard) -> &Counter| -> u64 { gates().map(|gate| which(gate).read()).sum() };
    let shed = Priority::ALL.map(|priority| {
        let counts = gates().map(|gate| gate.shed[priority as usize].read());
        (priority.name().to_owned(), Value::from(counts.sum::<u64>()))
    });
    json!({
        "limit": sum(|gate| &gate.limit),
        "running": sum(|gate| &gate.running),
        "waiting": sum(|gate| &gate.waiting),
        "shed": Value::Object(shed.into_iter().collect()),
    })
}

/// At how many workers the breaker before `service` is in each state; null if it has none.
fn breaker(service: &Service) -> Value {
    if service.rules.policy.breaker.is_none() {
        return Value::Null;
    }
    let states = BreakerState::ALL.into_iter().zip(prometheus::gates::states(service));
    Value::Object(states.map(|(state, count)| (state.name().to_owned(), count.into())).collect())
}

/// How `endpoint` is.
fn endpoint(endpoint: &snapshot::Endpoint, rank: &Rank, now_ms: u64) -> Value {
    let (passed, failed) = endpoint.health.counts();
    let ejections = endpoint.ejections();
    json!({
        "address": endpoint.shown(),
        "standing": endpoint.standing(now_ms).name(),
        "weight": rank.weight,
        "tier": rank.tier,
        "zone": rank.zone,
        "ejected-ms": ejections.until_ms.saturating_sub(now_ms),
        "ejections": ejections.times,
        "health": endpoint.health.standing(),
        "checks": { "passed": passed, "failed": failed },
        "last-failure": endpoint.health.why(),
    })
}

/// Reads the whole body of a request to the API.
async fn read_body(connection: &mut Connection, body: Body) -> Result<Vec<u8>, Fault> {
    let mut decoder = BodyDecoder::new(body.framing, BodyLimits::default());
    let mut content = Vec::new();
    if matches!(body.framing, Framing::Length(bytes) if bytes > BODY_BYTES_MAX as u64) {
        return Err(Fault::BodyTooLarge);
    }
    if body.awaits_continue {
        respond::write_all(connection, &[b"HTTP/1.1 100 Continue\r\n\r\n"]).await?;
    }
    let idle_ms = connection.worker.pin().limits.body_idle_ms;
    connection.watch.set(idle_ms);
    poll_fn(|cx| {
        loop {
            if let Some((mut buffer, range)) = connection.client.side().incoming.take() {
                match decoder.decode(&mut buffer[range.clone()]) {
                    Ok(decoded) => {
                        content.extend_from_slice(&buffer[range.clone()][decoded.data]);
                        let rest = range.start + decoded.consumed..range.end;
                        connection.client.side().incoming.put(buffer, rest);
                    }
                    Err(malformed) => return Poll::Ready(Err(Fault::BodyMalformed(malformed))),
                }
            }
            if content.len() > BODY_BYTES_MAX {
                return Poll::Ready(Err(Fault::BodyTooLarge));
            }
            if decoder.is_done() {
                return Poll::Ready(Ok(()));
            }
            match connection.client.side().poll_fill(cx) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Err(Fault::ClientGone)),
                Poll::Pending if connection.watch.is_over() => {
                    return Poll::Ready(Err(Fault::BodyIdle));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await?;
    Ok(content)
}

fn text(status: u16, text: &str) -> Reply {
    Reply::status(status)
        .header("Content-Type", "text/plain; charset=utf-8")
        .body(text.as_bytes().to_vec())
}

fn is_read(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

fn not_allowed(allow: &'static str) -> Reply {
    let title = format!("This takes {allow} only");
    json_reply(405, &problem(405, &title)).header("Allow", allow)
}

fn problem(status: u16, title: &str) -> Value {
    json!({ "type": "about:blank", "title": title, "status": status })
}

fn json_reply(status: u16, body: &impl Serialize) -> Reply {
    let mut text = serde_json::to_vec_pretty(body).unwrap_or_default();
    text.push(b'\n');
    let kind = if status < 400 { "application/json" } else { "application/problem+json" };
    Reply::status(status)
        .header("Content-Type", kind)
        .header("Cache-Control", "no-store")
        .body(text)
}

/// Compares a presented token with the real one, in a time that tells nothing about either.
pub(crate) fn is_token(real: &str, presented: &[u8]) -> bool {
    real.len() == presented.len()
        && real.bytes().zip(presented).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
