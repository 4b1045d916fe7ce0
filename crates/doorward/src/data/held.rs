//! The connections to endpoints that a worker holds: counted, and no more than the configuration allows.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rules::Fault;

use super::worker::Worker;
use crate::control::snapshot::{Endpoint, Service};
use crate::metrics::ServiceMetrics;

/// How many connections one worker holds, by the index of the endpoint.
#[derive(Default)]
pub(crate) struct Connections(RefCell<Vec<Rc<Cell<u32>>>>);

impl Connections {
    fn to(&self, endpoint: &Endpoint) -> Rc<Cell<u32>> {
        let mut counts = self.0.borrow_mut();
        if counts.len() <= endpoint.index {
            counts.resize_with(endpoint.index + 1, Rc::default);
        }
        Rc::clone(&counts[endpoint.index])
    }

    /// Whether there are as many connections to `endpoint` as may be.
    pub(super) fn are_enough(&self, service: &Service, endpoint: &Endpoint) -> bool {
        match service.connections_max {
            u32::MAX => false,
            most => self.to(endpoint).get() >= most,
        }
    }
}

/// A connection to an endpoint: it counts until this is gone.
pub(crate) struct Held {
    count: Rc<Cell<u32>>,
    metrics: Arc<ServiceMetrics>,
    worker: usize,
}

impl Held {
    /// Counts another connection to `endpoint`.
    ///
    /// # Errors
    /// There are as many as may be.
    pub(super) fn new(
        worker: &Worker,
        service: &Service,
        endpoint: &Endpoint,
    ) -> Result<Box<Self>, Fault> {
        if worker.connections.are_enough(service, endpoint) {
            return Err(Fault::UpstreamConnections);
        }
        let count = worker.connections.to(endpoint);
        count.set(count.get() + 1);
        let (metrics, worker) = (Arc::clone(&service.metrics), worker.index);
        metrics.shards[worker].open.add(1);
        Ok(Box::new(Self { count, metrics, worker }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.set(self.count.get().saturating_sub(1));
        self.metrics.shards[self.worker].open.sub(1);
    }
}
