//! One fetch that any number of requests wait for.
//!
//! A fetch is nobody's: it is a task of its own that writes into a [`Flight`], and the client that
//! caused it follows the flight as all others do. So nothing has to be handed over when that client
//! leaves, and a slow one slows nobody down. Flights are shared between workers.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use rules::cache::{Stored, Why};
use rules::{Fault, Trail};
use tokio::task::JoinHandle;
use wire::{Fields, ResponseHead};

use super::spill::{self, Spill};
use crate::data::store::{CHUNK_BYTES, Forms, Object};

/// How much of a body that is not kept waits for its readers at most. What is kept waits for nobody.
const WINDOW_BYTES: usize = 256 * 1024;

/// The most interim responses that followers are told of: as many as a service may send.
const INTERIM_MAX: usize = 16;

/// What a fetch came to, as soon as its head is here.
#[derive(Clone)]
pub(crate) enum Landed {
    /// A response that may be stored, so it is for all whose request it is for.
    Shared(Arc<Shared>),
    /// One that is for the client that caused it alone.
    Own(Arc<Own>),
    /// What was stored is still so.
    Updated(Arc<Object>),
    /// The service fails with this status, and what is stale may stand in; or what it said is of no use.
    Failing(u16),
    /// There is no answer.
    Failed(Fault),
}

/// A response that may be stored.
pub(crate) struct Shared {
    pub(crate) stored: Stored,
    pub(crate) why: Why,
    /// How long its body is, if that is known.
    pub(crate) bytes: Option<u64>,
    /// What the service was asked for: its status, if it is not that of the response.
    pub(crate) status: u16,
    /// What is made of its body, if anybody wants that.
    pub(crate) forms: OnceLock<Arc<Forms>>,
}

/// A response that is not stored.
pub(crate) struct Own {
    pub(crate) head: ResponseHead,
    pub(crate) why: Why,
    pub(crate) bytes: Option<u64>,
}

/// A fetch on its way.
pub(crate) struct Flight {
    /// The store's generation when it began.
    pub(crate) generation: u64,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    interim: Vec<ResponseHead>,
    landed: Option<Landed>,
    /// What the fetch decided, for the trail of the client that caused it.
    trail: Option<Box<Trail>>,
    chunks: VecDeque<Bytes>,
    /// Chunks that are not there any more: all readers had them.
    gone: usize,
    waiting_bytes: usize,
    /// Whether the body stays whole until the end.
    keeps: bool,
    /// If it does so on the disk.
    pub(super) spill: Option<Spill>,
    ended: Option<Result<Option<Box<Fields>>, Fault>>,
    readers: Vec<Option<Seat>>,
    writer: Option<Waker>,
}

/// Where one reader is.
#[derive(Default)]
struct Seat {
    /// The next chunk.
    at: usize,
    /// How many of its bytes the reader had already.
    skip: usize,
    waker: Option<Waker>,
}

/// What a reader sees next.
pub(crate) enum Next {
    Interim(ResponseHead),
    Landed(Landed),
}

impl Flight {
    pub(super) fn new(generation: u64) -> Arc<Self> {
        Arc::new(Self { generation, state: Mutex::new(State { keeps: true, ..State::default() }) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request follow; `None` if that is too late.
    pub(crate) fn board(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.lock();
        let is_over = match &state.ended {
            // On the disk all of it is still there.
            Some(Ok(_)) => state.spill.is_none(),
            Some(Err(_)) => true,
            None => false,
        };
        if !state.keeps || is_over {
            return None;
        }
        Some(state.seat(self))
    }

    /// What is known of the answer yet.
    pub(crate) fn landed(&self) -> Option<Landed> {
        self.lock().landed.clone()
    }

    pub(super) fn interim(&self, head: &ResponseHead) {
        let mut state = self.lock();
        if state.interim.len() < INTERIM_MAX {
            state.interim.push(head.clone());
        }
        state.wake_all();
    }

    pub(super) fn land(&self, landed: Landed, trail: Option<Box<Trail>>) {
        let mut state = self.lock();
        state.keeps &= matches!(landed, Landed::Shared(_));
        if !matches!(landed, Landed::Shared(_) | Landed::Own(_)) {
            state.ended.get_or_insert(Ok(None));
        }
        state.landed = Some(landed);
        state.trail = trail;
        state.wake_all();
    }

    /// There is no head: this is what was decided.
    pub(super) fn leave_trail(&self, trail: Option<Box<Trail>>) {
        let mut state = self.lock();
        if state.landed.is_none() {
            state.trail = trail;
        }
    }

    /// The body is not to stay whole.
    pub(super) fn stop_keeping(&self) {
        let mut state = self.lock();
        state.keeps = false;
        state.trim();
    }

    /// Ready when another piece of the body may be written.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let has_room = match &state.spill {
            Some(_) => state.waiting_bytes < spill::WINDOW_BYTES,
            None => state.keeps || state.waiting_bytes < WINDOW_BYTES || state.is_empty(),
        };
        if has_room {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether nobody wants the body, and it is not to stay.
    pub(super) fn is_deserted(&self) -> bool {
        let state = self.lock();
        !state.keeps && state.is_empty()
    }

    /// Ready when nobody wants the body.
    pub(super) fn poll_deserted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.landed.is_some() && !state.keeps && state.is_empty() {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes a piece of the body; what is to be written to the disk now is handed to `write`.
    pub(super) fn push(&self, piece: &[u8], write: impl FnMut(Bytes)) {
        let mut state = self.lock();
        if !state.keeps && state.is_empty() {
            return;
        }
        state.take(piece, write);
        state.wake_all();
    }

    /// From now on the body goes to the disk; what is to be written is handed to `write`.
    pub(super) fn begin_spill(&self, mut write: impl FnMut(Bytes)) {
        let mut state = self.lock();
        let pieces = std::mem::take(&mut state.chunks);
        let ends: Vec<usize> = pieces
            .iter()
            .scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            })
            .collect();
        for seat in state.readers.iter_mut().flatten() {
            let had = if seat.at == 0 { 0 } else { ends[seat.at - 1] };
            (seat.at, seat.skip) = (had / CHUNK_BYTES as usize, had % CHUNK_BYTES as usize);
        }
        state.waiting_bytes = 0;
        state.spill = Some(Spill::default());
        for piece in pieces {
            state.take(&piece, &mut write);
        }
    }

    /// The whole body came: the last chunk, which may be empty, and the bytes of all; `None` if it is not
    /// on the disk.
    pub(super) fn end_spill(&self) -> Option<(Bytes, u64)> {
        let mut state = self.lock();
        let spill = state.spill.as_mut()?;
        let (last, bytes) = (spill.take_tail(), spill.bytes);
        if !last.is_empty() {
            state.waiting_bytes += last.len();
            state.chunks.push_back(last.clone());
        }
        Some((last, bytes))
    }

    /// The whole body, if it was kept.
    pub(super) fn whole(&self) -> Option<Vec<Bytes>> {
        let state = self.lock();
        let is_here = state.keeps && state.gone == 0 && state.spill.is_none();
        is_here.then(|| state.chunks.iter().cloned().collect())
    }

    pub(super) fn end(&self, ended: Result<Option<Box<Fields>>, Fault>) {
        let mut state = self.lock();
        if let (None, Err(fault)) = (&state.landed, &ended) {
            state.landed = Some(Landed::Failed(*fault));
        }
        state.ended.get_or_insert(ended);
        state.wake_all();
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.readers.iter().all(Option::is_none)
    }

    pub(super) fn seat(&mut self, flight: &Arc<Flight>) -> Reader {
        let free = self.readers.iter().rposition(Option::is_none);
        let seat = free.unwrap_or_else(|| {
            self.readers.push(None);
            self.readers.len() - 1
        });
        self.readers[seat] = Some(Seat::default());
        Reader { flight: Arc::clone(flight), seat, interim: 0, reading: None }
    }

    fn wake_all(&mut self) {
        for seat in self.readers.iter_mut().flatten() {
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
        }
    }

    fn take(&mut self, piece: &[u8], mut write: impl FnMut(Bytes)) {
        let Self { spill, chunks, waiting_bytes, .. } = self;
        let Some(spill) = spill else {
            *waiting_bytes += piece.len();
            return chunks.push_back(Bytes::copy_from_slice(piece));
        };
        spill.append(piece, |chunk| {
            *waiting_bytes += chunk.len();
            chunks.push_back(chunk.clone());
            write(chunk);
        });
    }

    /// The disk takes no more: those who are not behind go on, and nobody else follows.
    pub(super) fn stop_spilling(&mut self) {
        let Some(mut spill) = self.spill.take() else { return };
        let tail = spill.take_tail();
        if !tail.is_empty() {
            self.waiting_bytes += tail.len();
            self.chunks.push_back(tail);
        }
        self.keeps = false;
        self.trim();
        self.wake_all();
        self.wake_writer();
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Forgets what all readers had, or what is on the disk, unless it stays.
    pub(super) fn trim(&mut self) {
        let first = match &self.spill {
            Some(spill) => spill.written,
            None if self.keeps => return,
            None => {
                let first = self.readers.iter().flatten().map(|seat| seat.at).min();
                first.unwrap_or(self.gone + self.chunks.len())
            }
        };
        while self.gone < first
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.gone += 1;
            self.waiting_bytes -= chunk.len();
        }
    }
}

/// A request that follows a flight.
pub(crate) struct Reader {
    flight: Arc<Flight>,
    seat: usize,
    interim: usize,
    /// What is being read from the disk.
    reading: Option<JoinHandle<Option<Bytes>>>,
}

impl Reader {
    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// The next interim response, or what the fetch came to.
    pub(crate) fn poll_landed(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.flight.lock();
        if let Some(head) = state.interim.get(self.interim) {
            self.interim += 1;
            return Poll::Ready(Next::Interim(head.clone()));
        }
        if let Some(landed) = &state.landed {
            return Poll::Ready(Next::Landed(landed.clone()));
        }
        self.register(&mut state, cx);
        Poll::Pending
    }

    /// What the fetch decided; only the first one who asks is told.
    pub(crate) fn take_trail(&self) -> Option<Box<Trail>> {
        self.flight.lock().trail.take()
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        if self.reading.is_some() {
            return self.poll_disk(cx);
        }
        let mut state = self.flight.lock();
        let State { readers, chunks, gone, spill, .. } = &mut *state;
        let Some(seat) = readers[self.seat].as_mut() else { return Poll::Ready(Ok(None)) };
        if seat.at < *gone {
            let spill = spill.as_ref();
            let Some((large, bytes)) =
                spill.and_then(|spill| Some((spill.large.as_ref()?, spill.written_bytes())))
            else {
                // The disk failed, and it is nowhere else.
                return Poll::Ready(Err(Fault::UpstreamTruncated));
            };
            self.reading = Some(large.read(seat.at as u64, bytes));
            drop(state);
            return self.poll_disk(cx);
        }
        if let Some(chunk) = chunks.get(seat.at - *gone) {
            let chunk = chunk.slice(seat.skip.min(chunk.len())..);
            (seat.at, seat.skip) = (seat.at + 1, 0);
            state.trim();
            if !state.keeps && state.waiting_bytes < WINDOW_BYTES {
                state.wake_writer();
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        if let Some(piece) = spill.as_ref().and_then(|spill| spill.piece(seat.skip)) {
            seat.skip += piece.len();
            return Poll::Ready(Ok(Some(piece)));
        }
        match &state.ended {
            Some(Ok(_)) => Poll::Ready(Ok(None)),
            Some(Err(fault)) => Poll::Ready(Err(*fault)),
            None => {
                self.register(&mut state, cx);
                Poll::Pending
            }
        }
    }

    fn poll_disk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let Ok(Some(mut data)) = read else {
            return Poll::Ready(Err(Fault::UpstreamTruncated));
        };
        let mut state = self.flight.lock();
        let Some(seat) = state.readers[self.seat].as_mut() else { return Poll::Ready(Ok(None)) };
        seat.at += data.len().div_ceil(CHUNK_BYTES as usize);
        data.advance(std::mem::take(&mut seat.skip).min(data.len()));
        Poll::Ready(Ok(Some(data)))
    }

    /// The trailers, at the end of a body that is not stored.
    pub(crate) fn trailers(&self) -> Option<Box<Fields>> {
        match &self.flight.lock().ended {
            Some(Ok(trailers)) => trailers.clone(),
            _ => None,
        }
    }

    fn register(&self, state: &mut State, cx: &Context<'_>) {
        if let Some(seat) = state.readers[self.seat].as_mut() {
            match &mut seat.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        state.readers[self.seat] = None;
        state.trim();
        // It may wait for this very reader.
        state.wake_writer();
    }
}
