//! One stored response with its body.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use rules::cache::Stored;
use rules::coding::Coding;
use rules::store::{Purged, allocated};

use super::disk::Large;

/// A stored response: what is known of it, and its body.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) stored: Stored,
    pub(crate) body: Body,
    /// What was made of the body, if anybody wanted that.
    forms: OnceLock<Arc<Forms>>,
    /// Up to which generation it is known whether a purge touched it, times two; plus one if a soft
    /// one did.
    seen: AtomicU64,
}

/// Up to where the purges are known that concern an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) generation: u64,
    soft: bool,
}

impl Seen {
    pub(super) fn purged(self) -> Purged {
        if self.soft { Purged::Soft } else { Purged::No }
    }
}

impl Object {
    pub(crate) fn new(stored: Stored, body: Body) -> Self {
        let seen = AtomicU64::new(stored.generation << 1);
        Self { stored, body, forms: OnceLock::new(), seen }
    }

    /// It with what is made of its body.
    pub(crate) fn with(mut self, forms: Option<Arc<Forms>>) -> Self {
        self.forms = forms.map(OnceLock::from).unwrap_or_default();
        self
    }

    /// Its body with another head.
    pub(crate) fn updated(&self, stored: Stored) -> Self {
        Self::new(stored, self.body.clone()).with(self.forms.get().cloned())
    }

    /// What was made of its body.
    pub(crate) fn forms(&self) -> &Arc<Forms> {
        self.forms.get_or_init(Arc::default)
    }

    /// Whether `forms` are those of its body.
    pub(super) fn has(&self, forms: &Arc<Forms>) -> bool {
        self.forms.get().is_some_and(|own| Arc::ptr_eq(own, forms))
    }

    #[inline]
    pub(super) fn seen(&self) -> Seen {
        let seen = self.seen.load(Ordering::Relaxed);
        Seen { generation: seen >> 1, soft: seen & 1 == 1 }
    }

    /// Notes what is known of the purges up to `generation`. Of two that ask at once, the one that
    /// knows less may be the last: then the next one asks again.
    pub(super) fn note_seen(&self, generation: u64, purged: Purged) {
        let soft = u64::from(purged == Purged::Soft);
        self.seen.store(generation << 1 | soft, Ordering::Relaxed);
    }

    /// The memory that it takes, as the allocator counts.
    pub(super) fn heap_bytes(&self) -> usize {
        allocated(size_of::<Self>() + COUNTS_BYTES)
            + self.stored.heap_bytes()
            + self.body.heap_bytes()
            + self.forms.get().map_or(0, |forms| forms.heap_bytes())
    }
}

/// What a body is in each coding, as far as anybody wanted it.
#[derive(Debug, Default)]
pub(crate) struct Forms([OnceLock<Body>; Coding::ALL.len()]);

impl Forms {
    pub(crate) fn get(&self, coding: Coding) -> Option<&Body> {
        self.0[coding as usize].get()
    }

    /// Keeps `body`; of two that were made, the first.
    pub(crate) fn set(&self, coding: Coding, body: Body) {
        let _ = self.0[coding as usize].set(body);
    }

    fn heap_bytes(&self) -> usize {
        let made = self.0.iter().filter_map(OnceLock::get);
        allocated(size_of::<Self>() + COUNTS_BYTES) + made.map(Body::heap_bytes).sum::<usize>()
    }
}

/// What an `Arc` keeps beside the value.
const COUNTS_BYTES: usize = 16;

/// What `Bytes` keeps of an allocation that is shared.
const SHARED_BYTES: usize = 32;

/// What is written with one call when an object is large, and the unit in which its memory is taken, and
/// in which it lies on the disk.
const CHUNK_BYTES: usize = 64 * 1024;

/// The bytes of a body. Cloning one copies nothing.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// In memory.
    Here(Arc<[Bytes]>),
    /// On the disk, and how many there are.
    Large(Arc<Large>, u64),
}

impl Body {
    /// The body in `chunks`, each with an allocation of its own.
    pub(crate) fn of(chunks: Vec<Bytes>) -> Self {
        Self::Here(chunks.into())
    }

    /// The body of so many bytes that is read from the disk as it is sent.
    pub(super) fn on_disk(large: Arc<Large>, bytes: u64) -> Self {
        Self::Large(large, bytes)
    }

    /// Whether it can still be had.
    #[inline]
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Here(_) => true,
            Self::Large(large, _) => large.is_there(),
        }
    }

    /// A body of its own memory: what it is made of may be small parts of large buffers.
    pub(crate) fn copy_of(parts: &[Bytes]) -> Self {
        let mut left: usize = parts.iter().map(Bytes::len).sum();
        let mut chunks = Vec::with_capacity(left.div_ceil(CHUNK_BYTES));
        let mut chunk = BytesMut::with_capacity(left.min(CHUNK_BYTES));
        for part in parts {
            let mut rest = &part[..];
            while !rest.is_empty() {
                let (fits, behind) = rest.split_at(rest.len().min(CHUNK_BYTES - chunk.len()));
                chunk.extend_from_slice(fits);
                (rest, left) = (behind, left - fits.len());
                if chunk.len() == CHUNK_BYTES {
                    let next = BytesMut::with_capacity(left.min(CHUNK_BYTES));
                    chunks.push(std::mem::replace(&mut chunk, next).freeze());
                }
            }
        }
        if !chunk.is_empty() {
            chunks.push(chunk.freeze());
        }
        Self::Here(chunks.into())
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Here(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            Self::Large(_, bytes) => *bytes,
        }
    }

    /// What of it is in memory: all or nothing.
    pub(crate) fn chunks(&self) -> &[Bytes] {
        match self {
            Self::Here(chunks) => chunks,
            Self::Large(..) => &[],
        }
    }

    fn heap_bytes(&self) -> usize {
        let chunks = match self {
            Self::Here(chunks) => chunks,
            Self::Large(..) => return allocated(size_of::<Large>() + COUNTS_BYTES),
        };
        let each = |chunk: &Bytes| allocated(chunk.len()) + SHARED_BYTES;
        allocated(size_of_val(&**chunks) + COUNTS_BYTES) + chunks.iter().map(each).sum::<usize>()
    }
}
