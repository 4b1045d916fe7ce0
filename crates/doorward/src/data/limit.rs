//! How long a request may take in all: the service's own limit, and what the client said.

use std::time::Duration;

use rules::{Fault, deadline};

use super::connection::Connection;
use super::scratch::Scratch;
use crate::control::snapshot::Service;

/// Makes the earlier one of the service's limit and the client's deadline the limit of every wait on
/// the way of the request.
///
/// # Errors
/// What the client said is no time.
pub(super) fn begin(
    connection: &Connection,
    scratch: &Scratch,
    service: &Service,
) -> Result<(), Fault> {
    let rules = &service.rules;
    let mut of_client = scratch.cx.grpc.as_ref().and_then(|call| call.timeout);
    if let Some(name) = &rules.deadline
        && let Some(value) = scratch.request.fields.get_named(name)
    {
        let timeout = deadline::read(value).ok_or(Fault::DeadlineMalformed)?;
        of_client = Some(of_client.map_or(timeout, |other| other.min(timeout)));
    }
    let Some(limit) = of_client.into_iter().chain(rules.timeouts.total).min() else {
        return Ok(());
    };
    let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    // Never early: who waits hears of it up to a sweep late.
    let at_ms = scratch.cx.now_ns.saturating_add(limit_ns).div_ceil(1_000_000);
    connection.watch.limit(at_ms, of_client == Some(limit));
    Ok(())
}

/// Tells the service how long there is still time.
pub(super) fn pass_on(connection: &Connection, scratch: &mut Scratch, service: &Service) {
    let Some(name) = &service.rules.deadline else { return };
    let Some(at_ms) = connection.watch.limit_ms() else { return };
    let now_ns = connection.worker.now_ns();
    let left = Duration::from_millis(at_ms).saturating_sub(Duration::from_nanos(now_ns));
    let text = deadline::write(left, scratch.request.fields.get_named(name));
    scratch.request.fields.set(name, text.as_bytes());
}

/// What it means that the limit is over.
pub(super) fn fault(connection: &Connection) -> Fault {
    match connection.watch.is_limit_of_client() {
        true => Fault::DeadlineExceeded,
        false => Fault::TotalTimeout,
    }
}

/// What `fault` is, if it is that limit which is over.
pub(super) fn or_limit(connection: &Connection, found: Fault) -> Fault {
    let waited = matches!(
        found,
        Fault::ConnectTimeout
            | Fault::SendTimeout
            | Fault::FirstByteTimeout
            | Fault::BetweenBytesTimeout
            | Fault::BodyIdle
            | Fault::BodyTooSlow
            | Fault::ClientStalled
    );
    match waited && connection.watch.is_limit_over() {
        true => fault(connection),
        false => found,
    }
}
