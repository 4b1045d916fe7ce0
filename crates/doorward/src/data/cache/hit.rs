//! Sends what is stored, or is just being stored, to a client.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rules::cache::{Answer, Stored, Told, hash};
use rules::{Fault, RouteId};
use tokio::task::JoinHandle;
use wire::h1::Framing;
use wire::{Fields, Known, Method};

use super::flight::{Reader, Shared};
use super::form::{self, Kept};
use crate::data::call;
use crate::data::connection::{After, Connection};
use crate::data::end::{End, Speech};
use crate::data::forward::client_framing;
use crate::data::pace::Pace;
use crate::data::respond;
use crate::data::scratch::Scratch;
use crate::data::serve::{self, Done};
use crate::data::store::{Body, CHUNK_BYTES, Object};
use crate::data::transfer::{Broken, Transfer, Wait};
use crate::data::worker::Pinned;

/// Where a body comes from that is not read from a connection.
pub(crate) enum Source {
    Nothing,
    Stored(Sending),
    Flight(Reader),
}

/// A stored body on its way.
pub(crate) struct Sending {
    body: Body,
    /// What is being read from the disk.
    reading: Option<JoinHandle<Option<Bytes>>>,
    chunk: usize,
    /// Which bytes of the body are still to be sent, and where the next chunk begins in it.
    bytes: Range<u64>,
    at: u64,
}

impl Source {
    /// The next piece; `None` at the end. What is stored is not copied.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        match self {
            Self::Nothing => Poll::Ready(Ok(None)),
            Self::Stored(sending) => sending.poll_next(cx),
            Self::Flight(reader) => reader.poll_data(cx),
        }
    }

    /// Where the body comes from, for the trail.
    fn reason(&self) -> &'static str {
        match self {
            Self::Nothing => "there is no body to be sent",
            Self::Stored(Sending { body: Body::Large(..), .. }) => "it is on the disk",
            Self::Stored(_) => "it is in memory",
            Self::Flight(_) => "it is passed on as it comes",
        }
    }

    /// What stands behind the body.
    pub(crate) fn trailers(&self) -> Option<Box<Fields>> {
        match self {
            Self::Flight(reader) => reader.trailers(),
            Self::Nothing | Self::Stored(_) => None,
        }
    }
}

impl Sending {
    /// Some bytes of `body`.
    fn of(body: Body, bytes: Range<u64>) -> Self {
        Self { body, reading: None, chunk: 0, bytes, at: 0 }
    }

    /// All of `body`.
    pub(super) fn whole(body: Body) -> Self {
        let bytes = 0..body.bytes();
        Self::of(body, bytes)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        let Body::Large(large, bytes) = &self.body else { return Poll::Ready(Ok(self.next())) };
        if self.bytes.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let number = self.bytes.start / CHUNK_BYTES;
        let reading = self.reading.get_or_insert_with(|| large.read(number, *bytes));
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        // The head has gone out: that bytes are missing is told by breaking off.
        let Ok(Some(mut data)) = read else { return Poll::Ready(Err(Fault::Bug)) };
        data.advance((self.bytes.start - number * CHUNK_BYTES) as usize);
        data.truncate(usize::try_from(self.bytes.end - self.bytes.start).unwrap_or(usize::MAX));
        self.bytes.start += data.len() as u64;
        Poll::Ready(Ok(Some(data)))
    }

    fn next(&mut self) -> Option<Bytes> {
        while !self.bytes.is_empty() {
            let chunk = self.body.chunks().get(self.chunk)?;
            let (start, end) = (self.at, self.at + chunk.len() as u64);
            (self.chunk, self.at) = (self.chunk + 1, end);
            if end <= self.bytes.start {
                continue;
            }
            let last = end.min(self.bytes.end);
            let within = (self.bytes.start - start) as usize..(last - start) as usize;
            self.bytes.start = last;
            return Some(chunk.slice(within));
        }
        None
    }
}

/// Answers with `object`, as it is at `now_ms`.
pub(crate) async fn send(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    (object, now_ms): (&Arc<Object>, u64),
    told: Told,
) -> Done {
    let stored = &object.stored;
    scratch.noted.tell(&told);
    scratch.noted.age(stored.age_ms(now_ms));
    scratch.noted.spare(stored);
    let answer = stored.answer(&scratch.request);
    let Some(answer) = answer else {
        // A part of which other bytes are wanted is not what was looked for.
        return respond::fault(connection, scratch, Some(route), Fault::Bug, None).await;
    };
    let is_whole = answer.content_range.is_none() && answer.status != 304;
    let (source, bytes) = fill(scratch, object, answer);
    let of = if is_whole { Of::Object(object) } else { Of::Nothing };
    deliver(connection, snapshot, scratch, route, Sent { source, bytes, of }).await
}

/// A body on its way to a client.
pub(super) struct Sent<'s> {
    pub(super) source: Source,
    /// How many bytes it has, if that is known.
    pub(super) bytes: Option<u64>,
    pub(super) of: Of<'s>,
}

/// What a body is the whole of.
pub(super) enum Of<'s> {
    Object(&'s Object),
    Shared(&'s Shared),
    Nothing,
}

impl Of<'_> {
    /// The forms that are kept of it.
    fn kept(&self) -> Option<Kept> {
        let (forms, stored) = match self {
            Self::Object(object) => (object.forms(), &object.stored),
            Self::Shared(shared) => (shared.forms.get_or_init(Arc::default), &shared.stored),
            Self::Nothing => return None,
        };
        Some(Kept { forms: Arc::clone(forms), hash: hash(&stored.key) })
    }
}

/// Writes the head of `answer` into `scratch.response`, and returns its body.
fn fill(scratch: &mut Scratch, object: &Arc<Object>, answer: Answer) -> (Source, Option<u64>) {
    let stored = &object.stored;
    if answer.status == 304 {
        fill_not_modified(scratch, stored);
        return (Source::Nothing, Some(0));
    }
    stored.write_head(&mut scratch.response);
    scratch.response.status = answer.status;
    if let Some(range) = &answer.content_range {
        scratch.response.fields.set("Content-Range", range.as_bytes());
    }
    let bytes = answer.bytes.end - answer.bytes.start;
    (Source::Stored(Sending::of(object.body.clone(), answer.bytes)), Some(bytes))
}

/// RFC 9110, 15.4.5: what a 200 would say to caches is said; what only describes the body is not.
pub(super) fn fill_not_modified(scratch: &mut Scratch, stored: &Stored) {
    let response = &mut scratch.response;
    stored.write_head(response);
    response.status = 304;
    response.fields.remove_if(|name, _, known| {
        matches!(
            known,
            Known::ContentType | Known::ContentEncoding | Known::ContentRange | Known::SetCookie
        ) || name.eq_ignore_ascii_case(b"content-language")
    });
}

/// Sends the head in `scratch.response` and the body.
pub(super) async fn deliver(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    sent: Sent<'_>,
) -> Done {
    scratch.cx.note("status", scratch.response.status);
    scratch.cx.record("cache", "answer", sent.source.reason());
    if let Some(bytes) = sent.bytes.filter(|_| scratch.cx.coding.is_some()) {
        // What is small is not made smaller.
        scratch.response.fields.set("Content-Length", bytes.to_string().as_bytes());
    }
    serve::see_response(snapshot, scratch, route);
    let (source, bytes) = in_form(connection, scratch, sent);
    let announced = match (scratch.response.is_bodiless(), bytes) {
        (true, _) => Framing::None,
        (false, Some(bytes)) => Framing::Length(bytes),
        (false, None) => Framing::Chunked,
    };
    let framing = match announced {
        _ if scratch.request.method == Method::Head => Framing::None,
        Framing::Length(0) => Framing::None,
        announced => announced,
    };
    let Ok(recoding) = call::recoding_of_answer(scratch, framing) else {
        return respond::fault(connection, scratch, Some(route), Fault::Bug, None).await;
    };
    // The answer to HEAD is announced as that to GET would be.
    let becomes_another = recoding.is_some() || scratch.cx.encode.is_some();
    let announced = if becomes_another { Framing::Chunked } else { announced };
    let to = client_framing(announced, scratch.request.version);
    let persist = to != Framing::UntilClose
        && respond::wants_to_persist(connection, scratch, &snapshot.limits);
    respond::write_head(connection, scratch, to, framing.has_body(), persist);
    let head = std::mem::take(&mut scratch.out);
    let limits = &snapshot.limits;
    let mut answer = Transfer::new(framing, &connection.client, to, limits.body, u64::MAX, head);
    if let Some(recoding) = recoding {
        answer.recode(recoding);
    }
    let mut from = End::Cached(source);
    let pace = Pace::new(limits.body_idle_ms, limits.body_rate);
    let speech = Speech::of(&scratch.request, true);
    let sent = relay(connection, (pace, speech), &mut from, &mut answer).await;
    let mut done = Done::new(Some(route), scratch.response.status, After::Persist);
    done.response_bytes = answer.bytes;
    scratch.out = answer.reclaim();
    done.after = match sent {
        Ok(()) if persist => After::Persist,
        Ok(()) => After::Close,
        Err(fault) => {
            scratch.cx.record("fault", fault.slug(), fault.reason());
            done.fault = Some(fault);
            if fault == Fault::ClientGone { After::Drop } else { After::Reset }
        }
    };
    done
}

/// The body in the form in which the client is to have it, if that can be kept for others.
fn in_form(
    connection: &Connection,
    scratch: &mut Scratch,
    sent: Sent<'_>,
) -> (Source, Option<u64>) {
    let Sent { source, bytes, of } = sent;
    let Some((encode, kept)) = scratch.cx.encode.and_then(|encode| Some((encode, of.kept()?)))
    else {
        return (source, bytes);
    };
    if scratch.request.method == Method::Head {
        // Nothing is made for it, but it tells what there is.
        let made = kept.forms.get(encode.coding).map(Body::bytes);
        if made.is_some() {
            scratch.cx.encode = None;
        }
        return (source, made.or(bytes));
    }
    scratch.cx.encode = None;
    form::encoded(&connection.worker, kept, source, encode)
}

/// Moves the body to the client, at the client's pace.
async fn relay(
    connection: &mut Connection,
    (mut pace, speech): (Pace, Speech),
    from: &mut End,
    answer: &mut Transfer,
) -> Result<(), Fault> {
    let mut armed_at = None;
    poll_fn(|cx| match answer.poll(from, &mut connection.client, cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
        Poll::Ready(Err(Broken::Write)) => Poll::Ready(Err(Fault::ClientGone)),
        Poll::Ready(Err(_)) => Poll::Ready(Err(Fault::UpstreamTruncated)),
        Poll::Pending => {
            let now_ms = connection.watch.now_ms();
            if armed_at != Some(answer.progress) {
                armed_at = Some(answer.progress);
                connection.watch.set(match answer.wait {
                    Wait::Write => pace.wait(now_ms, answer.bytes),
                    Wait::Read => {
                        // The fetch has deadlines of its own.
                        pace.go_on(now_ms);
                        u64::MAX
                    }
                });
            } else if connection.watch.is_over() {
                return Poll::Ready(Err(Fault::ClientStalled));
            }
            if connection.client.poll_gone(speech, cx).is_ready() {
                return Poll::Ready(Err(Fault::ClientGone));
            }
            Poll::Pending
        }
    })
    .await
}
