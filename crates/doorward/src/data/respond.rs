//! Responses of Doorward's own: fixed ones, redirects, faults.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use rules::fault::Asker;
use rules::{Fault, Reply, RouteId};
use wire::h1::{self, BodyDecoder, BodyLimits, Framing, ToClient};
use wire::{Known, Method, Version};

use super::connection::{After, Connection};
use super::end::End;
use super::pace::Pace;
use super::piece::Piece;
use super::scratch::Scratch;
use super::serve::{Body, Done};
use crate::control::snapshot::Limits;

/// How much of an unread request body is worth reading to keep the connection. Beyond it a new
/// connection is cheaper for both sides.
const DISCARD_BYTES_MAX: u64 = 64 * 1024;

/// Answers with `reply`.
pub(crate) async fn reply(
    connection: &mut Connection,
    scratch: &mut Scratch,
    route: Option<RouteId>,
    reply: &Reply,
    body: Body,
) -> Done {
    reply.fill(&mut scratch.response);
    send(connection, scratch, route, &reply.body, body).await
}

/// Answers with the head in `scratch.response` and `content`.
pub(crate) async fn send(
    connection: &mut Connection,
    scratch: &mut Scratch,
    route: Option<RouteId>,
    content: &[u8],
    body: Body,
) -> Done {
    let persist = may_persist(connection, scratch, body);
    let with_body = !scratch.response.is_bodiless() && scratch.request.method != Method::Head;
    // What is all of an answer of gRPC says by its frame that nothing follows.
    let trailers_only =
        scratch.cx.grpc.is_some() && content.is_empty() && connection.client.is_framed();
    let framing = match scratch.response.is_bodiless() || trailers_only {
        true => Framing::None,
        false => Framing::Length(content.len() as u64),
    };
    let bytes = if with_body { content } else { &[] };
    write_head(connection, scratch, framing, !bytes.is_empty(), persist);
    let head = std::mem::take(&mut scratch.out);
    let written = write_all(connection, &[&head, bytes]).await;
    scratch.out = head;
    let after = match (written, persist) {
        (Err(_), _) => After::Drop,
        (Ok(()), false) => After::Close,
        (Ok(()), true) => discard_body(connection, body).await,
    };
    let mut done = Done::new(route, scratch.response.status, after);
    done.response_bytes = bytes.len() as u64;
    done
}

/// Answers with what the client may know about `fault`. The connection ends unless the request was
/// sound and whole.
pub(crate) async fn fault(
    connection: &mut Connection,
    scratch: &mut Scratch,
    route: Option<RouteId>,
    fault: Fault,
    allow: Option<&str>,
) -> Done {
    scratch.cx.note("status", fault.status());
    scratch.cx.record("fault", fault.slug(), fault.reason());
    let silent = Fault::Malformed(h1::Malformed::NotHttp);
    let told_otherwise = matches!(connection.client, End::Fetch(_) | End::Mirror(_));
    if fault == Fault::InjectedReset {
        let mut done = Done::new(route, fault.status(), After::Reset);
        done.fault = Some(fault);
        return done;
    }
    if matches!(fault, Fault::ClientGone | Fault::ClientStalled)
        || fault == silent
        || told_otherwise
    {
        let mut done = Done::new(route, fault.status(), After::Drop);
        done.fault = Some(fault);
        return done;
    }
    // What is left to say may take longer than the client wanted to wait.
    connection.watch.unlimit();
    let reply_of_fault = fault.reply(Asker {
        accept: scratch.request.fields.get(Known::Accept),
        request_id: scratch.cx.request_id.as_str(),
        allow,
        grpc: scratch.cx.grpc.as_deref(),
    });
    let framing = h1::request_framing(&scratch.request);
    let sound = !matches!(
        fault,
        Fault::Malformed(_)
            | Fault::BodyMalformed(_)
            | Fault::HeadTimeout
            | Fault::BodyTooLarge
            | Fault::BodyIdle
            | Fault::BodyTooSlow
            | Fault::Connect
            | Fault::Draining
            | Fault::Bug
    );
    let framing = framing.ok().filter(|_| sound).unwrap_or(Framing::UntilClose);
    let body = left_of(connection, framing);
    let mut done = reply(connection, scratch, route, &reply_of_fault, body).await;
    done.fault = Some(fault);
    done
}

/// What is left of a body that was perhaps being sent: in HTTP/1 it cannot be told from the next request any
/// more.
pub(super) fn left_of(connection: &Connection, framing: Framing) -> Body {
    match framing.has_body() && !connection.client.is_framed() {
        true => Body { framing: Framing::UntilClose, awaits_continue: true },
        false => Body::default(),
    }
}

/// Whether the connection can go on behind this response.
pub(crate) fn may_persist(connection: &Connection, scratch: &Scratch, body: Body) -> bool {
    let body_is_short = match body.framing {
        Framing::None => true,
        Framing::Length(bytes) => {
            bytes == 0 || (bytes <= DISCARD_BYTES_MAX && !body.awaits_continue)
        }
        Framing::Chunked | Framing::UntilClose => false,
    };
    body_is_short && wants_to_persist(connection, scratch, &connection.worker.pin().limits)
}

/// Whether client and configuration let the connection go on.
pub(crate) fn wants_to_persist(
    connection: &Connection,
    scratch: &Scratch,
    limits: &Limits,
) -> bool {
    scratch.request.connection.persists(scratch.request.version)
        && !connection.worker.draining.get()
        && connection.served < limits.requests_per_connection_max
}

/// Passes the interim response in `scratch.response` on, to clients that know such.
pub(crate) async fn interim(
    connection: &mut Connection,
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    match &mut connection.client {
        End::Stream(client) => {
            return client.send_interim(&scratch.response).map_err(|_| Fault::ClientGone);
        }
        End::Fetch(fetch) => {
            fetch.interim(&scratch.response);
            return Ok(());
        }
        End::Mirror(_) => return Ok(()),
        _ => {}
    }
    if scratch.request.version == Version::Http10 {
        // RFC 9110, 15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
        return Ok(());
    }
    let to = ToClient { version: Version::Http11, persist: true, ..ToClient::default() };
    let mut head = Vec::new();
    h1::encode_response(&scratch.response, &to, &mut head);
    write_all(connection, &[&head]).await
}

/// Writes the response head in `scratch.response` into `scratch.out`, or sends it where heads are
/// no bytes. With `body`, bytes follow it.
pub(crate) fn write_head(
    connection: &mut Connection,
    scratch: &mut Scratch,
    framing: Framing,
    body: bool,
    persist: bool,
) {
    scratch.lines.clear();
    if !scratch.response.fields.has(Known::Date) {
        connection.worker.write_date(&mut scratch.lines);
    }
    // A service that says where else it can be reached knows better.
    if let Some(line) = &connection.listener.alt_svc
        && scratch.request.version != Version::Http3
        && scratch.response.fields.get_named("Alt-Svc").is_none()
    {
        scratch.lines.extend_from_slice(line.as_bytes());
    }
    let snapshot = connection.worker.pin();
    snapshot.rules.secure.append(&scratch.response, &scratch.cx, &mut scratch.lines);
    scratch.lines.append(&mut scratch.noted.lines);
    let to = ToClient {
        version: scratch.request.version,
        framing,
        persist,
        upgrade: None,
        extra: &[&scratch.lines],
    };
    scratch.out.clear();
    match &mut connection.client {
        // A client that is gone is noticed by whoever writes the body or awaits its end.
        End::Stream(client) => drop(client.send_head(&scratch.response, &to, !body)),
        // It was told of the head already, or need not hear of it.
        End::Fetch(_) | End::Mirror(_) => {}
        _ => h1::encode_response(&scratch.response, &to, &mut scratch.out),
    }
}

/// Writes all `parts` to the client, at the client's pace.
pub(crate) async fn write_all(connection: &mut Connection, parts: &[&[u8]]) -> Result<(), Fault> {
    let limits = connection.worker.pin().limits;
    let mut pace = Pace::new(limits.body_idle_ms, limits.body_rate);
    if connection.client.is_framed() {
        return write_frames(connection, parts, pace).await;
    }
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut written = 0;
    let mut joined = Vec::new();
    // One write, one segment: the copy costs less than a second system call.
    let bytes = if let [one] = parts {
        *one
    } else {
        joined.reserve(total);
        for part in parts {
            joined.extend_from_slice(part);
        }
        &joined
    };
    let mut armed_at = None;
    poll_fn(|cx| {
        while written < total {
            match connection.client.side().socket.poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(count)) if count > 0 => written += count,
                Poll::Ready(_) => return Poll::Ready(Err(Fault::ClientGone)),
                Poll::Pending if armed_at != Some(written) => {
                    armed_at = Some(written);
                    connection.watch.set(pace.wait(connection.watch.now_ms(), written as u64));
                    return Poll::Pending;
                }
                Poll::Pending if connection.watch.is_over() => {
                    return Poll::Ready(Err(Fault::ClientStalled));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// As [`write_all`], in frames; the last byte that was announced ends the stream.
async fn write_frames(
    connection: &mut Connection,
    parts: &[&[u8]],
    mut pace: Pace,
) -> Result<(), Fault> {
    let mut written = 0;
    for part in parts {
        let mut piece = Piece::Owned(Bytes::copy_from_slice(part));
        let mut armed_at = None;
        poll_fn(|cx| {
            let End::Stream(client) = &mut connection.client else {
                return Poll::Ready(Err(Fault::ClientGone));
            };
            while !piece.is_empty() {
                match client.poll_room(cx, piece.len()) {
                    Poll::Ready(Ok(room)) => {
                        let ends = client.is_last(room);
                        let sent = client.send_data(piece.split_to(room), ends);
                        sent.map_err(|_| Fault::ClientGone)?;
                        written += room as u64;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::ClientGone)),
                    Poll::Pending if armed_at != Some(written) => {
                        armed_at = Some(written);
                        connection.watch.set(pace.wait(connection.watch.now_ms(), written));
                        return Poll::Pending;
                    }
                    Poll::Pending if connection.watch.is_over() => {
                        return Poll::Ready(Err(Fault::ClientStalled));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
    }
    Ok(())
}

/// Reads a short request body that nobody wants, so that the next request can be read.
async fn discard_body(connection: &mut Connection, body: Body) -> After {
    if !body.framing.has_body() || connection.client.is_framed() {
        return After::Persist;
    }
    let limits = connection.worker.pin().limits;
    let mut decoder = BodyDecoder::new(body.framing, BodyLimits::default());
    connection.watch.set(limits.body_idle_ms);
    poll_fn(|cx| {
        loop {
            if let Some((mut buffer, range)) = connection.client.side().incoming.take() {
                match decoder.decode(&mut buffer[range.clone()]) {
                    Ok(decoded) => {
                        let rest = range.start + decoded.consumed..range.end;
                        connection.client.side().incoming.put(buffer, rest);
                    }
                    Err(_) => return Poll::Ready(After::Close),
                }
            }
            if decoder.is_done() {
                return Poll::Ready(After::Persist);
            }
            match connection.client.side().poll_fill(cx) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(After::Drop),
                Poll::Pending if connection.watch.is_over() => return Poll::Ready(After::Close),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
