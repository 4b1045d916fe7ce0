//! Idle connections to services, per worker and endpoint.

use std::cell::RefCell;

use super::transfer::Side;

/// All idle upstream connections of one worker.
#[derive(Default)]
pub(crate) struct Pools(RefCell<Vec<Pool>>);

/// The idle connections to one endpoint, the last used one at the end.
#[derive(Default)]
struct Pool {
    idle: Vec<Idle>,
}

struct Idle {
    side: Side,
    until_ms: u64,
}

impl Pools {
    /// The most recently used connection to `endpoint` that is still quiet. One that has something
    /// to say without being asked (an end, an error, stray bytes) is closed instead.
    #[inline]
    pub(crate) fn take(&self, endpoint: usize) -> Option<Side> {
        let mut pools = self.0.borrow_mut();
        let pool = pools.get_mut(endpoint)?;
        while let Some(mut idle) = pool.idle.pop() {
            if idle.side.socket.is_quiet() {
                return Some(idle.side);
            }
        }
        None
    }

    /// Keeps a connection for `idle_ms`, unless `count_max` are kept already.
    #[inline]
    pub(crate) fn put(
        &self,
        endpoint: usize,
        side: Side,
        now_ms: u64,
        idle_ms: u64,
        count_max: usize,
    ) {
        let mut pools = self.0.borrow_mut();
        if pools.len() <= endpoint {
            pools.resize_with(endpoint + 1, Pool::default);
        }
        let pool = &mut pools[endpoint];
        if pool.idle.len() < count_max {
            pool.idle.push(Idle { side, until_ms: now_ms.saturating_add(idle_ms) });
        }
    }

    /// Closes what has been idle for too long, or was closed by the service.
    pub(crate) fn close_idle(&self, now_ms: u64) {
        for pool in &mut *self.0.borrow_mut() {
            pool.idle.retain_mut(|idle| {
                idle.side.socket.forget_waiter();
                idle.until_ms > now_ms && idle.side.socket.is_quiet()
            });
        }
    }

    /// Whether no connection is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().iter().all(|pool| pool.idle.is_empty())
    }
}
