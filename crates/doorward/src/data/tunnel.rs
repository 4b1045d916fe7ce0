//! An upgraded connection: bytes in both directions, until both sides have ended.

use std::future::poll_fn;
use std::task::{Context, Poll};

use rules::{Fault, RouteId};
use wire::h1::{self, BodyLimits, Framing, ToClient};

use super::connection::{After, Connection};
use super::forward;
use super::respond;
use super::scratch::Scratch;
use super::serve::Done;
use super::socket::Socket;
use super::transfer::{Side, Transfer};
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
    let upgrade = Some(protocol);
    let to = ToClient { version: scratch.request.version, upgrade, ..ToClient::default() };
    h1::encode_response(&scratch.response, &to, &mut head);
    let counters = connection.worker.counters();
    counters.upgraded.add(1);

    let idle_ms = snapshot.limits.upgrade_idle_ms;
    let mut upstream = exchange.side;
    let mut tunnel = Tunnel { up: Way::new(Vec::new()), down: Way::new(head) };
    let ended = tunnel.run(connection, &mut upstream, idle_ms).await;
    let mut done = Done::new(Some(route), 101, After::Drop);
    done.request_bytes = tunnel.up.transfer.bytes;
    done.response_bytes = tunnel.down.transfer.bytes;
    if !ended {
        // One side broke: the other is not to take it for an orderly end.
        upstream.socket.reset_on_close();
        done.after = After::Reset;
    }
    done
}

/// Whether the service was asked to switch to `protocol` (RFC 9110, 7.8: it must not switch to
/// another one). Not every wish of a client is passed on.
fn was_offered(scratch: &Scratch, protocol: &[u8]) -> bool {
    let framing = h1::request_framing(&scratch.request).unwrap_or_default();
    let offered = forward::upgrade(scratch, framing).unwrap_or_default();
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
    fn new(head: Vec<u8>) -> Self {
        let raw = Framing::UntilClose;
        let transfer = Transfer::new(raw, raw, BodyLimits::default(), u64::MAX, head);
        Self { transfer, state: State::Moving }
    }

    /// Ready with whether this direction is over in good order.
    fn poll(&mut self, from: &mut Side, to: &mut Socket, cx: &mut Context<'_>) -> Poll<bool> {
        if self.state == State::Moving {
            match self.transfer.poll(from, to, cx) {
                Poll::Ready(Ok(())) => self.state = State::Ending,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.state == State::Ending {
            match to.poll_shutdown(cx) {
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
    async fn run(
        &mut self,
        connection: &mut Connection,
        upstream: &mut Side,
        idle_ms: u64,
    ) -> bool {
        let mut moved = None;
        poll_fn(|cx| {
            let client = &mut connection.client;
            let up = self.up.poll(client, &mut upstream.socket, cx);
            let down = self.down.poll(upstream, &mut client.socket, cx);
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
