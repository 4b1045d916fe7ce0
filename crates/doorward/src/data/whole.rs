//! Waits for all of a small answer before its head goes on to the client.
//!
//! Many servers write head and body one after the other. One that dies between the two would be seen by
//! the client, since nothing is repeated once a head has gone out; with the head still here, another
//! endpoint answers. Streams have no length that is known before, and are never waited for.

use std::future::poll_fn;
use std::task::{Context, Poll};

use rules::Fault;
use wire::h1::Framing;

use super::connection::Connection;
use super::end::End;
use super::scratch::Scratch;
use super::side::Side;
use super::upstream::Exchange;

/// The longest body that is waited for: pages and JSON of interfaces are shorter, and it fits into the
/// buffer that it is read into in any case.
const BODY_BYTES_MAX: u64 = 16 * 1024;

/// How long it is waited for at most: what takes longer is written bit by bit on purpose. It is in steps
/// of a sweep.
const WAIT_MS: u64 = 100;

/// How long the body is that is to be waited for; nothing if it is here or too long, or if it would be of no
/// use because the request could not be sent again.
#[inline]
pub(super) fn lacks(may_go_on: bool, exchange: &Exchange) -> Option<usize> {
    let End::H1(side) = &exchange.side else { return None };
    let Ok(framings) = exchange.framings else { return None };
    match framings.body {
        Framing::Length(bytes)
            if bytes <= BODY_BYTES_MAX && side.incoming.bytes().len() < bytes as usize =>
        {
            let is_of_use = may_go_on && exchange.is_sent() && exchange.request.can_rewind();
            is_of_use.then_some(bytes as usize)
        }
        _ => None,
    }
}

/// Waits until `bytes` of the body are here, but not for long.
///
/// # Errors
/// It broke off before.
pub(super) async fn wait(
    connection: &mut Connection,
    scratch: &mut Scratch,
    exchange: &mut Exchange,
    bytes: usize,
) -> Result<(), Fault> {
    connection.watch.set(WAIT_MS);
    let waited = poll_fn(|cx| {
        let End::H1(side) = &mut exchange.side else { return Poll::Ready(Ok(())) };
        match poll_bytes(side, bytes, cx) {
            Poll::Pending if connection.watch.is_over() => Poll::Ready(Ok(())),
            Poll::Pending if exchange.poll_client_gone(connection, cx).is_ready() => {
                Poll::Ready(Err(Fault::ClientGone))
            }
            polled => polled,
        }
    });
    let waited = waited.await;
    if let Err(fault) = waited {
        scratch.cx.record("upstream", "broken", "its head came, and its body did not");
        return Err(fault);
    }
    Ok(())
}

fn poll_bytes(side: &mut Side, bytes: usize, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
    while side.incoming.bytes().len() < bytes {
        match side.poll_fill(cx) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::UpstreamTruncated)),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(()))
}
