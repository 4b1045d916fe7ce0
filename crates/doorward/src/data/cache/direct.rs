//! Requests that go to the service and back without anything being kept, on routes with a cache; and
//! what their answers make invalid.

use std::sync::Arc;

use rules::cache::{Asked, Because, Stored, Times, Told, Way, Why, is_for_us};
use rules::store::Scope;
use rules::{RouteId, ServiceId};
use wire::{Method, ResponseHead};

use super::now_ms;
use crate::data::connection::Connection;
use crate::data::forward;
use crate::data::scratch::Scratch;
use crate::data::serve::{Body, Done};
use crate::data::store::Object;
use crate::data::worker::Pinned;

/// What is known of a request that goes directly.
pub(super) struct Direct {
    because: Because,
    why: Why,
    /// Whether the answer tells if such answers are stored.
    pub(super) learns: bool,
    /// What the answer to a `HEAD` says something of.
    pub(super) stale: Option<Arc<Object>>,
    generation: u64,
    requested_ms: u64,
}

impl Direct {
    pub(super) fn new(because: Because, why: Why) -> Self {
        Self { because, why, learns: false, stale: None, generation: 0, requested_ms: 0 }
    }
}

impl Direct {
    /// What is told of the service's answer.
    fn told(&self, why: Why) -> Told {
        let way =
            Way::Forward { because: self.because, status: None, stored: false, collapsed: false };
        Told { way, left_ms: None, why: Some(why) }
    }

    /// What is told of `stored`, which stands in.
    pub(super) fn told_stale(&self, stored: &Stored) -> Told {
        let way =
            Way::Forward { because: self.because, status: None, stored: false, collapsed: false };
        let left_ms = Some(stored.left_ms(now_ms()));
        Told { way, left_ms, why: Some(Why::STALE_IF_ERROR) }
    }
}

/// Forwards the request, and tells in the answer why it went past the cache.
pub(super) async fn serve(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    (route, service): (RouteId, ServiceId),
    body: Body,
    mut direct: Direct,
) -> Done {
    scratch.noted.tell(&direct.told(direct.why));
    direct.generation = connection.worker.store.generation();
    direct.requested_ms = now_ms();
    scratch.noted.direct = Some(direct);
    forward::forward(connection, snapshot, scratch, route, service, body).await
}

/// Looks at the head of a service's answer before the client sees it: what it makes invalid is invalid
/// from now on, whoever reads next.
pub(crate) async fn see_response(
    connection: &Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
) {
    let store = &connection.worker.store;
    if !scratch.request.method.is_safe() && snapshot.rules.has_caches() {
        for tag in snapshot.rules.invalidates(&scratch.request, &scratch.cx, &scratch.response) {
            // No restart may undo it either.
            store.purge_durably(&Scope::Tag(tag), false).await;
            scratch.cx.record("cache", "purge", "the answer to an unsafe request was no error");
        }
        strip(&mut scratch.response);
    }
    let Some(cache) = snapshot.rules.route(route).cache.as_deref() else { return };
    let Some(direct) = scratch.noted.direct.take() else { return strip(&mut scratch.response) };
    let received_ms = now_ms();
    let times = Times { requested_ms: direct.requested_ms, received_ms };
    if let Some(stale) = &direct.stale
        && scratch.request.method == Method::Head
    {
        let response = &scratch.response;
        match cache.update_by_head(&stale.stored, response, times, direct.generation) {
            Some(stored) => {
                // Refused is as if the answer had said nothing.
                let _ = store.insert(Arc::new(stale.updated(stored)));
            }
            None if response.status < 500 => store.remove(stale),
            None => {}
        }
    }
    if direct.learns && scratch.request.method == Method::Get {
        let asked = Asked {
            head: &scratch.request,
            cx: &scratch.cx,
            key: &scratch.noted.key,
            parts: scratch.noted.parts,
            generation: direct.generation,
        };
        let refused = cache.store(&asked, &scratch.response, times).err();
        let is_stored = refused.is_none();
        if let Some(why) = refused {
            scratch.cx.record("cache", "pass", why.clause);
            scratch.noted.tell(&direct.told(why));
        }
        if is_stored || scratch.response.status < 500 {
            connection.worker.flights.note(scratch.noted.hash, is_stored, received_ms);
        }
    }
    strip(&mut scratch.response);
}

/// Takes out what the service says to this cache alone.
pub(super) fn strip(response: &mut ResponseHead) {
    response.fields.remove_if(|name, _, _| is_for_us(name));
}
