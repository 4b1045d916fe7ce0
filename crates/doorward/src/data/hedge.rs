//! A second attempt beside one that takes unusually long: the first head of an answer wins.
//!
//! Dean and Barroso, "The Tail at Scale", 2013. Both are within the budget for retries; who loses is
//! cancelled, and its connection or stream with it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rules::Fault;
use rules::balance::Ask;
use wire::ResponseHead;
use wire::h1::{Framing, HeadScan};

use super::attempt::{self, Course, Reached, Sending};
use super::balance::Attempt;
use super::call;
use super::connection::Connection;
use super::deadline::Watch;
use super::end::Speech;
use super::limit;
use super::respond;
use super::scratch::Scratch;
use super::transfer::Transfer;
use super::upstream::Exchange;
use crate::control::snapshot::{Endpoint, Service};

/// The second attempt, which won.
pub(super) struct Won<'s> {
    pub(super) attempt: Attempt,
    pub(super) endpoint: &'s Endpoint,
    /// What became of the first, if it had failed by then.
    pub(super) first: Option<Fault>,
}

impl Won<'_> {
    /// Puts the attempt in the place of the first one.
    pub(super) fn replace(
        self,
        first: &mut Attempt,
        connection: &Connection,
        service: &Service,
        now_ns: u64,
    ) {
        let lost = std::mem::replace(first, self.attempt);
        if let Some(fault) = self.first {
            let outcome = attempt::outcome(connection, fault, fault.failure(false));
            lost.end(service, now_ns, outcome);
        }
    }
}

/// After how long a request gets a second attempt; never, if there is nothing.
pub(super) fn wait(
    connection: &Connection,
    sending: Sending<'_>,
    course: &Course<'_>,
) -> Option<Duration> {
    let policy = &sending.service.rules.policy.retry;
    let hedge = policy.hedge?;
    // A body would have to be kept twice, and reads have none.
    let may_be = course.may_go_on(policy)
        && !sending.body.framing.has_body()
        && course.attempts == 1
        && sending.service.endpoints.len() > 1;
    may_be.then(|| connection.worker.balances.hedge_wait(sending.service, hedge)).flatten()
}

/// Awaits the final head of the answer to the request in `slot`, and from `wait` on that of a second
/// attempt as well. Which one it is, `course` and `slot` tell.
///
/// # Errors
/// The fault of the first attempt, if none of the two has an answer.
pub(super) async fn final_head<'s>(
    connection: &mut Connection,
    scratch: &mut Scratch,
    sending: Sending<'s>,
    (course, slot): (&mut Course<'s>, &mut Option<Exchange>),
    wait: Duration,
) -> Result<(), Fault> {
    let first = slot.as_mut().expect("the request is on its way");
    if let Some(came) = within(first.head(connection, &mut scratch.response), wait).await {
        came?;
        if attempt::is_final(&scratch.response) {
            return Ok(());
        }
        // It is at work.
        respond::interim(connection, scratch).await?;
        return attempt::final_head(connection, scratch, first).await;
    }
    let begun = first.is_sent().then(|| begin(connection, scratch, sending, course)).flatten();
    let Some((attempt, endpoint)) = begun else {
        return attempt::final_head(connection, scratch, first).await;
    };
    // Whether or not the first is given up, the second goes on.
    connection.watch.expect_nobody();
    let watch = Watch::new(Rc::clone(&connection.worker.deadlines)).await;
    let worker = Rc::clone(&connection.worker);
    let service = sending.service;
    let connecting =
        async move { attempt::connect(&worker, &watch, service, endpoint, true).await };
    let mut race = Race {
        first,
        scan: HeadScan::of_response(),
        first_fault: None,
        second: Second::Connecting(Box::pin(connecting)),
        head: Box::default(),
    };
    let won = poll_fn(|cx| race.poll(connection, scratch, (sending, endpoint), cx)).await;
    let Race { first_fault, second, mut head, .. } = race;
    match (won, second) {
        (Ok(Winner::Second), Second::Asked(exchange, _)) => {
            std::mem::swap(&mut scratch.response, &mut head);
            *slot = Some(*exchange);
            scratch.cx.record("hedge", "won", "the second attempt answered first");
            let counters = &service.metrics.shards[connection.worker.index];
            counters.hedges_won.add(1);
            course.won = Some(Won { attempt, endpoint, first: first_fault });
            Ok(())
        }
        (Ok(_), _) => {
            scratch.cx.record("hedge", "lost", "the first attempt answered first");
            Ok(())
        }
        (Err(fault), second) => {
            if let Second::Failed(fault) = second {
                let outcome = attempt::outcome(connection, fault, fault.failure(false));
                attempt.end(service, connection.worker.now_ns(), outcome);
            }
            Err(fault)
        }
    }
}

/// What comes of `future`, if it comes in time.
async fn within<T>(future: impl Future<Output = T>, time: Duration) -> Option<T> {
    let (mut future, mut sleeping) = (pin!(future), pin!(tokio::time::sleep(time)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => sleeping.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Chooses where the second attempt goes, if there may be one.
fn begin<'s>(
    connection: &Connection,
    scratch: &mut Scratch,
    sending: Sending<'s>,
    course: &mut Course<'s>,
) -> Option<(Attempt, &'s Endpoint)> {
    let (worker, service) = (&connection.worker, sending.service);
    let now_ns = worker.now_ns();
    let ask = Ask {
        now_ns,
        random: worker.draw(),
        tried: course.tried(),
        may_repeat: true,
        ..Ask::default()
    };
    let (attempt, pick) = Attempt::begin(worker, service, &ask)?;
    let counters = &service.metrics.shards[worker.index];
    if pick.is_again {
        scratch.cx.record("hedge", "no", "no other endpoint is left");
        return None;
    }
    if !worker.balances.take_retry(service, now_ns) {
        counters.retries_denied.add(1);
        scratch.cx.record("hedge", "no", "the budget for retries is spent");
        return None;
    }
    counters.hedges.add(1);
    let endpoint = &*service.endpoints[pick.at];
    scratch.cx.note("endpoint", &endpoint.text);
    scratch.cx.record("hedge", "send", "it takes longer than nearly all others");
    course.note(pick.id);
    Some((attempt, endpoint))
}

/// Two attempts at once.
struct Race<'e, C> {
    first: &'e mut Exchange,
    scan: HeadScan,
    first_fault: Option<Fault>,
    second: Second<C>,
    /// The head of the second one's answer.
    head: Box<ResponseHead>,
}

enum Second<C> {
    Connecting(Pin<Box<C>>),
    Asked(Box<Exchange>, HeadScan),
    Failed(Fault),
}

#[derive(Clone, Copy)]
enum Winner {
    First,
    Second,
}

impl<C: Future<Output = Result<Reached, Fault>>> Race<'_, C> {
    fn poll(
        &mut self,
        connection: &mut Connection,
        scratch: &mut Scratch,
        to: (Sending<'_>, &Endpoint),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Winner, Fault>> {
        if self.first_fault.is_none() {
            match poll_final(self.first, &mut self.scan, &mut scratch.response, cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(Winner::First)),
                Poll::Ready(Err(fault)) => self.first_fault = Some(fault),
                Poll::Pending => {}
            }
        }
        match self.poll_second(connection, scratch, to, cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(Winner::Second)),
            Poll::Ready(Err(fault)) => self.second = Second::Failed(fault),
            Poll::Pending => {}
        }
        match (self.first_fault, &self.second) {
            (Some(fault), Second::Failed(_)) => return Poll::Ready(Err(fault)),
            _ if connection.watch.is_over() => {
                let late = self.first.late(connection);
                return Poll::Ready(Err(self.first_fault.unwrap_or(late)));
            }
            _ => {}
        }
        self.first.poll_client_gone(connection, cx).map(|()| Err(Fault::ClientGone))
    }

    fn poll_second(
        &mut self,
        connection: &mut Connection,
        scratch: &mut Scratch,
        to: (Sending<'_>, &Endpoint),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        if let Second::Connecting(connecting) = &mut self.second {
            let reached = ready!(connecting.as_mut().poll(cx))?;
            let exchange = ask(connection, scratch, to, reached)?;
            self.second = Second::Asked(Box::new(exchange), HeadScan::of_response());
        }
        let Second::Asked(exchange, scan) = &mut self.second else { return Poll::Pending };
        if !exchange.is_sent() {
            ready!(exchange.poll_send(connection, cx))?;
        }
        poll_final(exchange, scan, &mut self.head, cx)
    }
}

/// Sends the request where it got a connection.
fn ask(
    connection: &Connection,
    scratch: &mut Scratch,
    (sending, endpoint): (Sending<'_>, &Endpoint),
    reached: Reached,
) -> Result<Exchange, Fault> {
    let Sending { snapshot, service, body_bytes_max, .. } = sending;
    let reused = reached.is_reused();
    call::pass_deadline_on(connection, scratch)?;
    limit::pass_on(connection, scratch, service);
    let (side, head) = attempt::begin(reached, scratch, service, endpoint, Framing::None)?;
    let limits = &snapshot.limits;
    let transfer =
        Transfer::new(Framing::None, &side, Framing::None, limits.body, body_bytes_max, head);
    let (pace, times) = call::patience(connection, scratch, limits, service.times);
    let mut exchange = Exchange::new(side, transfer, pace, times, reused);
    exchange.speech = Speech::of(&scratch.request, true);
    Ok(exchange)
}

/// The final head of the answer; the client does without those before.
fn poll_final(
    exchange: &mut Exchange,
    scan: &mut HeadScan,
    head: &mut ResponseHead,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    loop {
        ready!(exchange.poll_head(scan, head, cx))?;
        if attempt::is_final(head) {
            return Poll::Ready(Ok(()));
        }
        *scan = HeadScan::of_response();
    }
}
