//! The header of the PROXY protocol, which a proxy in front of us sends before anything else.

use std::future::poll_fn;
use std::task::Poll;

use wire::proxy_protocol::{self, ProxyHeader};

use super::deadline::Watch;
use super::transfer::Side;

/// Takes the header off `client`, until the deadline of `watch`; `None` if there is none, or it is
/// broken.
pub(crate) async fn read_header(client: &mut Side, watch: &Watch) -> Option<ProxyHeader> {
    let header = poll_fn(|cx| {
        loop {
            match proxy_protocol::read(client.incoming.bytes()) {
                Ok(Some(header)) => return Poll::Ready(Some(header)),
                Ok(None) => {}
                Err(_) => return Poll::Ready(None),
            }
            match client.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if watch.is_over() => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await?;
    client.incoming.consume(header.bytes);
    Some(header)
}
