//! Answers that nobody is given: reads what is here of them, so that their connection can be used again.

use std::future::poll_fn;
use std::task::{Context, Poll};

use wire::h1::{self, BodyDecoder, BodyLimits, Framing};

use super::connection::Connection;
use super::forward;
use super::scratch::Scratch;
use super::transfer::Side;
use crate::control::snapshot::{Endpoint, Service};

/// The longest body that is read for it: an error page. To open a connection costs less than to read
/// more.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Keeps the connection to `endpoint` if all of the answer is here, whose head is in `scratch.response`.
/// Nothing is waited for: somebody waits for the next attempt.
pub(super) async fn keep_if_whole(
    connection: &Connection,
    scratch: &Scratch,
    service: &Service,
    endpoint: &Endpoint,
    mut side: Side,
) {
    let response = &scratch.response;
    if !response.connection.persists(response.version) {
        return;
    }
    let Ok(framings) = h1::response_framing(response, scratch.request.method) else { return };
    if poll_fn(|cx| Poll::Ready(is_whole(framings.body, &mut side, cx))).await {
        forward::keep(connection, service, endpoint, side);
    }
}

/// Reads what is here of a body that comes as `framing` says; whether that is all, and nothing else.
fn is_whole(framing: Framing, side: &mut Side, cx: &mut Context<'_>) -> bool {
    if framing == Framing::UntilClose {
        return false;
    }
    let mut decoder = BodyDecoder::new(framing, BodyLimits::default());
    let mut bytes = 0;
    while bytes <= BODY_BYTES_MAX {
        if let Some((mut buffer, range)) = side.incoming.take() {
            let Ok(decoded) = decoder.decode(&mut buffer[range.clone()]) else { return false };
            bytes += decoded.consumed;
            side.incoming.put(buffer, range.start + decoded.consumed..range.end);
        }
        if decoder.is_done() {
            return side.incoming.is_empty();
        }
        if !matches!(side.poll_fill(cx), Poll::Ready(Ok(1..))) {
            return false;
        }
    }
    false
}
