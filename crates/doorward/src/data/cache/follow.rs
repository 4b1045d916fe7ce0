//! A request that waits for a fetch and passes on what it brings.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rules::cache::{Stored, Told, Way, Why, Wishes};
use rules::store::Purged;
use rules::{Fault, RouteId, ServiceId};

use super::flight::{Landed, Next, Own, Reader, Shared};
use super::hit::{self, Of, Sent, Source};
use super::{Question, now_ms};
use crate::data::connection::Connection;
use crate::data::end::Speech;
use crate::data::fallback;
use crate::data::respond;
use crate::data::scratch::Scratch;
use crate::data::serve::{Body, Done};
use crate::data::store::Object;
use crate::data::worker::{Pinned, Worker};

/// How long a request waits for a fetch at most. Each wait of the fetch itself has a limit of the
/// service's; together they stay below this. A shorter limit would let all who wait loose on a
/// service that is slow already.
const WAIT_MS: u64 = 120_000;

/// What following came to.
pub(super) enum Followed {
    Answered(Done),
    /// What was fetched is not for this request; it is known what the answer varies by, if that is why.
    Alone(Option<Arc<Shared>>),
}

/// How a request follows: whether it caused the fetch, and the generation at which it came.
pub(super) struct Following<'a> {
    pub(super) service: ServiceId,
    pub(super) reader: Reader,
    pub(super) leads: bool,
    pub(super) arrived: u64,
    pub(super) wishes: &'a Wishes,
    pub(super) question: &'a Question,
}

/// Follows a flight to its end.
pub(super) async fn follow(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    following: Following<'_>,
) -> Followed {
    let waiting = Waiting::new(&connection.worker);
    let followed = follow_to_end(connection, snapshot, scratch, route, following).await;
    drop(waiting);
    followed
}

/// Counts a request that follows, until it is dropped.
struct Waiting(Rc<Worker>);

impl Waiting {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.counters().cache_waiting.add(1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.counters().cache_waiting.sub(1);
    }
}

async fn follow_to_end(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    mut following: Following<'_>,
) -> Followed {
    let landed = wait(connection, scratch, &mut following.reader).await;
    if following.leads
        && let Some(trail) = following.reader.take_trail()
        && let Some(ours) = &mut scratch.cx.trail
    {
        ours.append(*trail);
    }
    if !following.leads {
        scratch.cx.record("cache", "follow", "another request had asked already");
    }
    let because = following.question.because;
    let way =
        |status, stored| Way::Forward { because, status, stored, collapsed: !following.leads };
    match landed {
        Err(fault) => {
            let failing = (connection, snapshot, scratch, route);
            Followed::Answered(fail(failing, &following, fault).await)
        }
        Ok(Landed::Failed(fault)) => {
            let failing = (connection, snapshot, scratch, route);
            Followed::Answered(fail(failing, &following, fault).await)
        }
        Ok(Landed::Failing(status)) => match stand_in(&following, Ok(status)) {
            Some((stale, told)) => {
                scratch.cx.record("cache", "hit", Why::STALE_IF_ERROR.clause);
                let stale = (&stale, now_ms());
                let done = hit::send(connection, snapshot, scratch, route, stale, told).await;
                Followed::Answered(done)
            }
            None => Followed::Alone(None),
        },
        Ok(Landed::Updated(object)) => {
            if !is_for(connection, scratch, &following, &object.stored) {
                return Followed::Alone(None);
            }
            let now_ms = now_ms();
            let left_ms = Some(object.stored.left_ms(now_ms));
            let told = Told { way: way(Some(304), true), left_ms, why: None };
            let object = (&object, now_ms);
            Followed::Answered(hit::send(connection, snapshot, scratch, route, object, told).await)
        }
        Ok(Landed::Shared(shared)) => {
            if !is_for(connection, scratch, &following, &shared.stored) {
                return Followed::Alone(Some(shared));
            }
            scratch.noted.tell(&Told {
                way: way(
                    (shared.status != shared.stored.head.status).then_some(shared.status),
                    true,
                ),
                left_ms: Some(shared.stored.left_ms(now_ms())),
                why: (shared.why != Why::STORED).then_some(shared.why),
            });
            scratch.noted.spare(&shared.stored);
            let reader = following.reader;
            let done = share(connection, snapshot, scratch, route, (reader, &shared)).await;
            Followed::Answered(done)
        }
        Ok(Landed::Own(own)) if following.leads => {
            scratch.noted.tell(&Told { way: way(None, false), left_ms: None, why: Some(own.why) });
            let reader = following.reader;
            let done = pass(connection, snapshot, scratch, route, (reader, &own)).await;
            Followed::Answered(done)
        }
        Ok(Landed::Own(_)) => Followed::Alone(None),
    }
}

/// Waits for the final head; interim ones are passed on.
async fn wait(
    connection: &mut Connection,
    scratch: &mut Scratch,
    reader: &mut Reader,
) -> Result<Landed, Fault> {
    let speech = Speech::of(&scratch.request, true);
    loop {
        connection.watch.set(WAIT_MS);
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = reader.poll_landed(cx) {
                return Poll::Ready(Ok(next));
            }
            if connection.watch.is_over() {
                return Poll::Ready(Err(Fault::FirstByteTimeout));
            }
            if connection.client.poll_gone(speech, cx).is_ready() {
                return Poll::Ready(Err(Fault::ClientGone));
            }
            Poll::Pending
        });
        match next.await? {
            Next::Landed(landed) => return Ok(landed),
            Next::Interim(head) => {
                scratch.response.copy_from(&head);
                respond::interim(connection, scratch).await?;
            }
        }
    }
}

/// Whether what was fetched is for this request too: by its head, and because nothing was purged
/// between the fetch's beginning and the request.
fn is_for(
    connection: &Connection,
    scratch: &Scratch,
    following: &Following<'_>,
    stored: &Stored,
) -> bool {
    let store = &connection.worker.store;
    following.leads
        || (stored.is_for(&scratch.request)
            && (following.reader.flight().generation >= following.arrived
                || store.purged_since(stored) == Purged::No))
}

/// What is stale and may stand in for a service that answers with this status, or not at all.
fn stand_in(following: &Following<'_>, failed: Result<u16, Fault>) -> Option<(Arc<Object>, Told)> {
    let stale = following.question.stale.as_ref()?;
    let now_ms = now_ms();
    let status = failed.unwrap_or_else(Fault::status);
    let stands_in = stale.stored.stands_in(following.wishes, status, now_ms);
    stands_in.then(|| (Arc::clone(stale), told(&stale.stored, failed.ok(), following)))
}

/// What is told of `stored`, which stands in for an answer of this status, or for none.
fn told(stored: &Stored, status: Option<u16>, following: &Following<'_>) -> Told {
    let (because, collapsed) = (following.question.because, !following.leads);
    let way = Way::Forward { because, status, stored: false, collapsed };
    Told { way, left_ms: Some(stored.left_ms(now_ms())), why: Some(Why::STALE_IF_ERROR) }
}

/// There is no answer: something stale may stand in.
async fn fail(
    (connection, snapshot, scratch, route): (&mut Connection, &Pinned, &mut Scratch, RouteId),
    following: &Following<'_>,
    fault: Fault,
) -> Done {
    let by_service = fault.side() == rules::fault::Side::Upstream;
    let service = &*snapshot.services[following.service.0 as usize];
    let has_fallback = fallback::is_there(connection, service, fault);
    // In which order is for the service to say, if it names what is stored.
    let by_service = by_service && !(has_fallback && fallback::has_stale(service));
    if let Some((stale, told)) = stand_in(following, Err(fault)).filter(|_| by_service) {
        scratch.cx.record("fault", fault.slug(), fault.reason());
        scratch.cx.record("cache", "hit", Why::STALE_IF_ERROR.clause);
        let stale = (&stale, now_ms());
        return hit::send(connection, snapshot, scratch, route, stale, told).await;
    }
    scratch.noted.tell(&Told {
        way: Way::Forward {
            because: following.question.because,
            status: None,
            stored: false,
            collapsed: !following.leads,
        },
        left_ms: None,
        why: None,
    });
    if has_fallback {
        let stale = following.question.stale.as_ref();
        let stale = stale.filter(|stale| stale.stored.may_stand_in(following.wishes));
        let stale = stale.map(|stale| (Arc::clone(stale), told(&stale.stored, None, following)));
        let (failed, instead) = ((service, fault), (Body::default(), stale));
        let answering = fallback::answer(connection, snapshot, scratch, route, failed, instead);
        if let Ok(done) = Box::pin(answering).await {
            return done;
        }
    }
    respond::fault(connection, scratch, Some(route), fault, None).await
}

/// Passes on what is being stored.
async fn share(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    (reader, shared): (Reader, &Shared),
) -> Done {
    let stored = &shared.stored;
    let not_modified = stored.part.is_none()
        && stored.answer(&scratch.request).is_some_and(|answer| answer.status == 304);
    if not_modified {
        hit::fill_not_modified(scratch, stored);
        let nothing = Sent { source: Source::Nothing, bytes: Some(0), of: Of::Nothing };
        return hit::deliver(connection, snapshot, scratch, route, nothing).await;
    }
    stored.write_head(&mut scratch.response);
    let age_ms = stored.age_ms(now_ms());
    if age_ms >= 1000 {
        scratch.noted.age(age_ms);
    }
    let is_whole = stored.part.is_none();
    let of = if is_whole { Of::Shared(shared) } else { Of::Nothing };
    let sent = Sent { source: Source::Flight(reader), bytes: shared.bytes, of };
    hit::deliver(connection, snapshot, scratch, route, sent).await
}

/// Passes on what is not stored.
async fn pass(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    (reader, own): (Reader, &Own),
) -> Done {
    scratch.response.copy_from(&own.head);
    super::direct::strip(&mut scratch.response);
    let sent = Sent { source: Source::Flight(reader), bytes: own.bytes, of: Of::Nothing };
    hit::deliver(connection, snapshot, scratch, route, sent).await
}
