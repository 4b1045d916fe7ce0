//! The last explained requests, for whoever asked to have them explained.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rules::Trail;
use serde::Serialize;

/// How many are kept; each holds a few kilobytes.
const KEPT_MAX: usize = 256;

/// One explained request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Explained {
    pub(crate) request_id: String,
    pub(crate) status: u16,
    pub(crate) duration_us: u64,
    #[serde(flatten)]
    pub(crate) trail: Trail,
}

/// Shared by all workers; only explained requests touch it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trails(Arc<Mutex<VecDeque<Explained>>>);

impl Trails {
    pub(crate) fn keep(&self, request_id: &str, status: u16, duration_us: u64, trail: Trail) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Explained { request_id: request_id.to_owned(), status, duration_us, trail });
    }

    /// The newest one of that request id.
    pub(crate) fn find(&self, request_id: &str) -> Option<Explained> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|explained| explained.request_id == request_id).cloned()
    }
}
