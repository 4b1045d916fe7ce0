//! What is known of a stored response: all that decisions need, found out once when it is stored.

use wire::ResponseHead;

use super::directives::TARGETS;
use crate::siphash;
use crate::store::allocated;

/// A stored response but for its body. Immutable: an update makes a new one.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The whole primary key. It begins with the URL.
    pub key: Box<[u8]>,
    /// How long the URL is.
    pub url_bytes: u32,
    /// What goes to clients, but for what changes with each answer or concerns one hop; and what the
    /// service says to this cache alone of how long it may be used.
    pub head: ResponseHead,
    /// The request fields that selected this variant, with their values as normalised; sorted by
    /// name.
    pub vary: Box<[Varied]>,
    /// When the request left, in milliseconds since 1970.
    pub requested_ms: u64,
    /// When the answer's head came, in milliseconds since 1970.
    pub received_ms: u64,
    /// How long it may be used.
    pub freshness: Freshness,
    /// The names by which it is purged, hashed by [`tag`]; the URL is the first.
    pub tags: Box<[u64]>,
    /// The generation of the store when the request left. A purge since then is for it too.
    pub generation: u64,
    /// How many bytes its body has here.
    pub body_bytes: u64,
    /// Which bytes of the representation the body is, if not all.
    pub part: Option<StoredPart>,
    /// It says `public`: it is for clients who told who they are, too.
    pub public: bool,
    /// Its `ETag` was made here: the service does not know it.
    pub made_tag: bool,
}

/// A field of the request that the response depends on, with its value as normalised; `None` if
/// the request had none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Varied {
    /// In lower case.
    pub name: Box<str>,
    /// As normalised.
    pub value: Option<Box<[u8]>>,
}

/// Where a partial body belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// The first byte's place.
    pub first: u64,
    /// How long the whole is.
    pub whole_bytes: u64,
}

/// How long a response may be used, as far as it and the configuration say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// How old it was when it came (RFC 9111, 4.2.3: `corrected_initial_age`).
    pub initial_age_ms: u64,
    /// How long it is fresh from its making on (RFC 9111, 4.2.1).
    pub lifetime_ms: u64,
    /// How long after that it may be used while it is validated in the background (RFC 5861, 3).
    pub stale_while_revalidate_ms: u64,
    /// How long after that it may be used if the origin fails (RFC 5861, 4).
    pub stale_if_error_ms: u64,
    /// It is validated before each use (RFC 9111, 5.2.2.4).
    pub no_cache: bool,
    /// It is never used stale (RFC 9111, 5.2.2.2, 5.2.2.8 and 5.2.2.10).
    pub must_revalidate: bool,
    /// Its lifetime is a guess (RFC 9111, 4.2.2).
    pub heuristic: bool,
}

impl Stored {
    /// The URL: scheme, host, path and query, as in `http://example.com/a?b`.
    #[must_use]
    pub fn url(&self) -> &[u8] {
        &self.key[..self.url_bytes as usize]
    }

    /// How old it is.
    ///
    /// RFC 9111, 4.2.3: `current_age = corrected_initial_age + resident_time`.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        let resident_ms = now_ms.saturating_sub(self.received_ms);
        self.freshness.initial_age_ms.saturating_add(resident_ms)
    }

    /// How long it is still fresh; negative once it is not.
    #[must_use]
    pub fn left_ms(&self, now_ms: u64) -> i64 {
        let lifetime_ms = i64::try_from(self.freshness.lifetime_ms).unwrap_or(i64::MAX);
        let age_ms = i64::try_from(self.age_ms(now_ms)).unwrap_or(i64::MAX);
        lifetime_ms.saturating_sub(age_ms)
    }

    /// A number for what tells the variants of one key apart.
    #[must_use]
    pub fn variant(&self) -> u64 {
        let mut hash = siphash::SipHash::default();
        for varied in &self.vary {
            hash.write(varied.name.as_bytes());
            hash.write(if varied.value.is_some() { b"=" } else { b"\0" });
            hash.write(varied.value.as_deref().unwrap_or_default());
            hash.write(b"\0");
        }
        hash.write(&[u8::from(self.part.is_some())]);
        hash.finish()
    }

    /// Writes its head as clients get it: without what the service says to this cache alone.
    pub fn write_head(&self, out: &mut ResponseHead) {
        out.copy_from(&self.head);
        if out.fields.may_have_unknown(wire::fields::initial(TARGETS[0].as_bytes()[0])) {
            out.fields.remove_named(TARGETS[0]);
        }
    }

    /// Whether both are stored in one place: the newer takes it.
    #[must_use]
    pub fn same_variant(&self, other: &Self) -> bool {
        self.key == other.key
            && self.vary == other.vary
            && self.part.is_some() == other.part.is_some()
    }

    /// The memory that it holds beside itself, in bytes, as the allocator counts.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let varied = |varied: &Varied| {
            allocated(varied.name.len()) + allocated(varied.value.as_ref().map_or(0, |v| v.len()))
        };
        let (text_bytes, list_bytes) = self.head.fields.heap_bytes();
        allocated(self.key.len())
            + allocated(text_bytes)
            + allocated(list_bytes)
            + allocated(size_of_val(&*self.vary))
            + self.vary.iter().map(varied).sum::<usize>()
            + allocated(size_of_val(&*self.tags))
    }
}

/// The hash of a primary key. The same in every process and on every machine, so that it can be
/// written to disk; two keys of one hash are told apart by the keys themselves.
#[must_use]
pub fn hash(key: &[u8]) -> u64 {
    siphash::hash(key)
}

/// The hash of a tag's name. Two names of one hash are purged together, which is rare and safe.
#[must_use]
pub fn tag(name: &[u8]) -> u64 {
    hash(name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cache) fn stored() -> Stored {
        let mut head = ResponseHead::new(200);
        head.fields.push("ETag", b"\"1\"");
        head.fields.push("X-Empty", b"");
        Stored {
            key: b"http://a/b?c\0news"[..].into(),
            url_bytes: 12,
            head,
            vary: [Varied { name: "foo".into(), value: None }].into(),
            requested_ms: 1,
            received_ms: 2,
            freshness: Freshness { lifetime_ms: 60_000, no_cache: true, ..Freshness::default() },
            tags: [1, 2].into(),
            generation: 7,
            body_bytes: 9,
            part: Some(StoredPart { first: 3, whole_bytes: 100 }),
            public: true,
            made_tag: false,
        }
    }
}
