//! Greets clients of HTTP/3, within the limits.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use quinn_proto::ServerConfig;
use tokio::sync::watch;

use super::server;
use crate::data::listen::{self, Listener, PerClient};
use crate::data::quic::{self, Arrivals, Crossing, Endpoint, Newcomer, terms};
use crate::data::worker::Worker;
use crate::observe::log;

/// Handshakes under way, on each worker, from which on a client has first to show that its address is
/// its own (RFC 9000, 8.1.2). It costs a round trip, and those who lie about their address cannot
/// answer. Browsers that come back bring a proof with them.
const HANDSHAKES_TRUSTED_MAX: usize = 64;

/// Handshakes under way, on each worker, from which on newcomers hear nothing: each costs a signature
/// and some kilobytes.
const HANDSHAKES_MAX: usize = 1024;

/// What a worker hands out to receive for one listener.
pub(crate) struct Place {
    pub(crate) socket: std::net::UdpSocket,
    pub(crate) crossing: Crossing,
    pub(crate) arrivals: Arrivals,
}

/// Receives until `stop` says so and the last connection has ended.
pub(crate) async fn accept(
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    place: Place,
    per_client: PerClient,
    mut stop: watch::Receiver<bool>,
) {
    let Place { socket, crossing, arrivals } = place;
    let address = listener.address;
    let index = worker.index;
    let host = Host { worker, listener, crossing, per_client, terms: RefCell::default() };
    // A reload opens sockets first; the certificates come with the snapshot behind them.
    let terms = tokio::select! {
        terms = host.worker.find(|| host.terms()) => terms,
        _ = stop.wait_for(|&stop| stop) => return,
    };
    let endpoint = terms.and_then(|terms| {
        let endpoint = Endpoint::new(socket, terms, host.crossing.clone(), index);
        endpoint.map_err(|error| error.to_string())
    });
    match endpoint {
        Ok(endpoint) => endpoint.run(arrivals, stop, &host).await,
        Err(error) => log::error("listen", format!("no HTTP/3 on {address}: {error}")),
    }
}

/// Who greets clients.
struct Host {
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    crossing: Crossing,
    per_client: PerClient,
    /// The newest terms, and the version of the snapshot that they are made from.
    terms: RefCell<Option<(u64, Arc<ServerConfig>)>>,
}

impl quic::Host for Host {
    fn greet(&self, endpoint: &Rc<Endpoint>, newcomer: Newcomer) {
        let counters = self.worker.counters();
        let unproven = endpoint.unproven();
        let terms = match self.terms() {
            Some(Ok(terms)) if unproven < HANDSHAKES_MAX && !endpoint.is_stopped() => terms,
            _ => {
                counters.refused_total.add(1);
                endpoint.ignore(newcomer);
                return;
            }
        };
        let is_proven = newcomer.remote_address_validated();
        if unproven >= HANDSHAKES_TRUSTED_MAX && !is_proven && newcomer.may_retry() {
            counters.retries.add(1);
            endpoint.ask_back(newcomer);
            return;
        }
        counters.accepted.add(1);
        let address = newcomer.remote_address();
        let entered = listen::enter(&self.worker, &self.listener, &self.per_client, address);
        let Some(open) = entered else {
            endpoint.refuse(newcomer);
            return;
        };
        let Some(link) = endpoint.accept(newcomer, terms) else { return };
        let (worker, listener) = (Rc::clone(&self.worker), Rc::clone(&self.listener));
        tokio::task::spawn_local(server::run(worker, listener, link, open));
    }

    fn lose(&self) {
        self.worker.counters().first_packets_lost.add(1);
    }

    fn complain(&self, error: io::Error) {
        let address = self.listener.address;
        log::error("listen", format!("cannot receive on {address} (UDP): {error}"));
    }
}

impl Host {
    /// The terms for clients that come now, if there are certificates.
    fn terms(&self) -> Option<Result<Arc<ServerConfig>, String>> {
        let snapshot = self.worker.pin();
        let mut known = self.terms.borrow_mut();
        if let Some((version, terms)) = &*known
            && *version == snapshot.version
        {
            return Some(Ok(Arc::clone(terms)));
        }
        let (config, _) = snapshot.tls.as_ref()?.at(self.listener.written);
        let terms = terms(config, &snapshot.limits, &self.crossing);
        if let Ok(terms) = &terms {
            *known = Some((snapshot.version, Arc::clone(terms)));
        }
        Some(terms)
    }
}
