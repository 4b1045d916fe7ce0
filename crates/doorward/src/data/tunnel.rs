//! An upgraded connection: bytes in both directions, until both sides have ended.

use std::future::poll_fn;
use std::task::{Context, Poll};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rules::{Fault, RouteId};
use wire::Known;
use wire::h1::{self, BodyLimits, Framing, ToClient};

use super::attempt;
use super::connection::{After, Connection};
use super::end::End;
use super::respond;
use super::scratch::Scratch;
use super::serve::Done;
use super::transfer::Transfer;
use super::upstream::Exchange;
use super::worker::Pinned;

/// Passes the 101 in `scratch.response` on and carries what follows.
pub(crate) async fn open(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    exchange: Exchange,
) -> Done {
    let response = &scratch.response;
    let protocol = response.connection.upgrade_protocol(&response.fields);
    let protocol = protocol.filter(|protocol| exchange.is_sent() && was_offered(scratch, protocol));
    let Some(protocol) = protocol else {
        return respond::fault(connection, scratch, Some(route), Fault::UpgradeFailed, None).await;
    };
    let mut head = Vec::new();
    let to = ToClient { version: scratch.request.version, ..ToClient::default() };
    if let End::Stream(client) = &mut connection.client {
        // RFC 8441, 5: a status of 2xx opens it; the handshake of HTTP/1.1 is not for this client.
        scratch.response.status = 200;
        scratch.response.fields.remove_named("Sec-WebSocket-Accept");
        // A client that is gone is noticed at the first byte for it.
        let _ = client.send_head(&scratch.response, &to, false);
    } else {
        let accept = accept(scratch);
        let extra: &[&[u8]] = &[accept.as_bytes()];
        let to = ToClient { upgrade: Some(protocol), extra, ..to };
        h1::encode_response(&scratch.response, &to, &mut head);
    }
    let counters = connection.worker.counters();
    counters.upgraded.add(1);

    let idle_ms = snapshot.limits.upgrade_idle_ms;
    let mut upstream = exchange.side;
    let mut tunnel =
        Tunnel { up: Way::new(&upstream, Vec::new()), down: Way::new(&connection.client, head) };
    let ended = tunnel.run(connection, &mut upstream, idle_ms).await;
    let after = if connection.client.is_framed() { After::Close } else { After::Drop };
    let mut done = Done::new(Some(route), scratch.response.status, after);
    done.request_bytes = tunnel.up.transfer.bytes;
    done.response_bytes = tunnel.down.transfer.bytes;
    if !ended {
        // One side broke: the other is not to take it for an orderly end.
        upstream.break_off();
        done.after = After::Reset;
    }
    done
}

/// Adds to `scratch.lines` what a WebSocket needs that was asked for by an extended CONNECT: there
/// the handshake has no key (RFC 8441, 5), and a service of HTTP/1.1 insists on one.
pub(super) fn complete_request(scratch: &mut Scratch, random: u128) {
    let request = &scratch.request;
    if !request.version.is_framed()
        || !request
            .fields
            .get(Known::Upgrade)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
        || request.fields.get_named(KEY).is_some()
    {
        return;
    }
    // The key is no secret: it shows that the answer belongs to this request.
    let key = BASE64_STANDARD.encode(random.to_be_bytes());
    for part in [KEY, ": ", &key, "\r\n"] {
        scratch.lines.extend_from_slice(part.as_bytes());
    }
}

const KEY: &str = "Sec-WebSocket-Key";

/// The line by which a WebSocket client of HTTP/1.1 knows that its handshake was understood, if a
/// service that has no such handshake opened the tunnel (RFC 6455, 4.2.2).
fn accept(scratch: &Scratch) -> String {
    let key = scratch.request.fields.get_named(KEY);
    let Some(key) = key.filter(|_| scratch.response.version.is_framed()) else {
        return String::new();
    };
    let text = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text);
    format!("Sec-WebSocket-Accept: {}\r\n", BASE64_STANDARD.encode(sum))
}

/// Whether the answer in `scratch.response` would look like an open tunnel to a client that asked
/// for one by an extended CONNECT, and is none.
pub(super) fn would_mislead(scratch: &Scratch) -> bool {
    let (request, response) = (&scratch.request, &scratch.response);
    request.version.is_framed()
        && request.connection.upgrade
        && matches!(response.status, 200..=299)
}

/// Whether the service was asked to switch to `protocol` (RFC 9110, 7.8: it must not switch to
/// another one). Not every wish of a client is passed on.
fn was_offered(scratch: &Scratch, protocol: &[u8]) -> bool {
    let framing = h1::request_framing(&scratch.request).unwrap_or_default();
    let offered = attempt::upgrade(scratch, framing).unwrap_or_default();
    offered
        .split(|&byte| byte == b',')
        .any(|offered| offered.trim_ascii().eq_ignore_ascii_case(protocol))
}

struct Tunnel {
    up: Way,
    down: Way,
}

/// One direction.
struct Way {
    transfer: Transfer,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Moving,
    /// The sender has ended; the receiver is being told.
    Ending,
    Ended,
}

impl Way {
    fn new(to: &End, head: Vec<u8>) -> Self {
        let raw = Framing::UntilClose;
        let transfer = Transfer::new(raw, to, raw, BodyLimits::default(), u64::MAX, head);
        Self { transfer, state: State::Moving }
    }

    /// Ready with whether this direction is over in good order.
    fn poll(&mut self, from: &mut End, to: &mut End, cx: &mut Context<'_>) -> Poll<bool> {
        if self.state == State::Moving {
            match self.transfer.poll(from, to, cx) {
                Poll::Ready(Ok(())) => self.state = State::Ending,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.state == State::Ending {
            let shut = match to {
                End::H1(side) => side.socket.poll_shutdown(cx),
                // The last frame said so.
                _ => Poll::Ready(Ok(())),
            };
            match shut {
                Poll::Ready(Ok(())) => self.state = State::Ended,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(true)
    }
}

impl Tunnel {
    /// Moves bytes until both directions have ended (true), or one broke or nothing moved for too
    /// long (false). A direction that has ended leaves the other one open: half-closed is a state
    /// that protocols use.
    async fn run(&mut self, connection: &mut Connection, upstream: &mut End, idle_ms: u64) -> bool {
        let mut moved = None;
        poll_fn(|cx| {
            let client = &mut connection.client;
            let up = self.up.poll(client, upstream, cx);
            let down = self.down.poll(upstream, client, cx);
            match (up, down) {
                (Poll::Ready(true), Poll::Ready(true)) => return Poll::Ready(true),
                (Poll::Ready(false), _) | (_, Poll::Ready(false)) => return Poll::Ready(false),
                _ => {}
            }
            let progress = (self.up.transfer.progress, self.down.transfer.progress);
            if moved != Some(progress) {
                moved = Some(progress);
                connection.watch.set(idle_ms);
            } else if connection.watch.is_over() {
                return Poll::Ready(false);
            }
            Poll::Pending
        })
        .await
    }
}
