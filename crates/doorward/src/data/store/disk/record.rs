//! One stored response as bytes in a segment.
//!
//! ```text
//! header (52 bytes)   magic, lengths, hashes, where the record stands, and a sum over all that
//! head                what is known of the response, and its sum
//! body                chunks of 64 KiB, each with its sum
//! ```
//!
//! Every sum also covers the record's number and the chunk's place, so that bytes which are right in
//! themselves and stand where others belong are wrong. What is wrong is as if it were not there.

use flate2::Crc;
use rules::cache::{Stored, hash};

use super::super::object::Object;

pub(super) const HEADER_BYTES: usize = 52;

/// The data in a chunk; the last one of a body may have less.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

pub(super) const SUM_BYTES: usize = 4;

const MAGIC: u32 = u32::from_le_bytes(*b"DWR1");

/// The largest head: what a service may send, and what we know of it besides, with room.
const HEAD_BYTES_MAX: u32 = 1 << 20;

/// Larger than any disk: what is added to it cannot overflow.
const BODY_BYTES_MAX: u64 = 1 << 56;

/// Where the first chunk stands behind the beginning of a record whose head has so many bytes.
pub(super) const fn body_start(head_bytes: u32) -> u64 {
    (HEADER_BYTES + head_bytes as usize + SUM_BYTES) as u64
}

/// What stands in front of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) head_bytes: u32,
    pub(super) body_bytes: u64,
    /// Of the key.
    pub(super) hash: u64,
    /// Of what tells variants of one key apart.
    pub(super) variant: u32,
    /// Of the purges, when its fetch began.
    pub(super) generation: u64,
    /// The record's number: where it stands.
    pub(super) place: Place,
}

/// Where a record stands. No two ever stand in one place: segments are only appended to, and their
/// numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

impl Header {
    /// The bytes of the whole record.
    pub(super) fn record_bytes(&self) -> u64 {
        let chunks = self.body_bytes.div_ceil(CHUNK_BYTES as u64);
        body_start(self.head_bytes) + self.body_bytes + chunks * SUM_BYTES as u64
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC.to_le_bytes());
        put(&self.head_bytes.to_le_bytes());
        put(&self.body_bytes.to_le_bytes());
        put(&self.hash.to_le_bytes());
        put(&self.variant.to_le_bytes());
        put(&self.generation.to_le_bytes());
        put(&self.place.segment.to_le_bytes());
        put(&self.place.offset.to_le_bytes());
        let sum = sum(&[&out[..HEADER_BYTES - SUM_BYTES]]);
        out[HEADER_BYTES - SUM_BYTES..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the header that stands at `place`; `None` if there is none.
    pub(super) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("within it"));
        let long = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("within it"));
        let header = Self {
            head_bytes: word(4),
            body_bytes: long(8),
            hash: long(16),
            variant: word(24),
            generation: long(28),
            place: Place { segment: word(36), offset: word(40) },
        };
        let sound = word(0) == MAGIC
            && word(HEADER_BYTES - SUM_BYTES) == sum(&[&bytes[..HEADER_BYTES - SUM_BYTES]])
            && header.place == place
            && header.head_bytes <= HEAD_BYTES_MAX
            && header.body_bytes <= BODY_BYTES_MAX;
        sound.then_some(header)
    }
}

/// What tells the variants of one key apart, as a number: a newer record of the same takes the
/// older one's place.
pub(super) fn variant(stored: &Stored) -> u32 {
    stored.variant() as u32
}

/// The beginning of the record of an object that has `body_bytes` and is to stand at `place`: header and
/// head, up to its first chunk. `None` if it cannot be one.
pub(super) fn encode_start(stored: &Stored, place: Place) -> Option<(Header, Vec<u8>)> {
    let mut out = vec![0; HEADER_BYTES];
    stored.encode(&mut out);
    let head_bytes = u32::try_from(out.len() - HEADER_BYTES).ok()?;
    let header = Header {
        head_bytes,
        body_bytes: stored.body_bytes,
        hash: hash(&stored.key),
        variant: variant(stored),
        generation: stored.generation,
        place,
    };
    out[..HEADER_BYTES].copy_from_slice(&header.encode());
    let sum = part_sum(place, HEAD, &out[HEADER_BYTES..]);
    out.extend_from_slice(&sum.to_le_bytes());
    (head_bytes <= HEAD_BYTES_MAX).then_some((header, out))
}

/// Appends the record of `object`, which is to stand at `place`, to `out`. `None` if it cannot be one.
pub(super) fn encode(object: &Object, place: Place, out: &mut Vec<u8>) -> Option<Header> {
    let (header, start) = encode_start(&object.stored, place)?;
    out.extend_from_slice(&start);
    let mut number = 0;
    let mut filled = 0;
    for piece in object.body.chunks() {
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let (fits, behind) = rest.split_at(rest.len().min(CHUNK_BYTES - filled));
            out.extend_from_slice(fits);
            (rest, filled) = (behind, filled + fits.len());
            if filled == CHUNK_BYTES {
                end_chunk(place, number, filled, out);
                (number, filled) = (number + 1, 0);
            }
        }
    }
    if filled > 0 {
        end_chunk(place, number, filled, out);
    }
    Some(header)
}

fn end_chunk(place: Place, number: u32, bytes: usize, out: &mut Vec<u8>) {
    let sum = part_sum(place, number, &out[out.len() - bytes..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The number of the head among the parts of a record; chunks count from 0.
const HEAD: u32 = u32::MAX;

/// Reads the head that `bytes` begins with.
pub(super) fn decode_head(header: &Header, bytes: &[u8]) -> Option<Stored> {
    let (head, behind) = bytes.split_at_checked(header.head_bytes as usize)?;
    let said = u32::from_le_bytes(*behind.first_chunk()?);
    let stored = Stored::decode(head).filter(|_| part_sum(header.place, HEAD, head) == said)?;
    let agrees = stored.body_bytes == header.body_bytes
        && stored.generation == header.generation
        && hash(&stored.key) == header.hash;
    agrees.then_some(stored)
}

/// Reads the body of `header`, whose chunks are `bytes`, and hands each chunk's data to `take`; false if
/// anything is wrong.
pub(super) fn decode_body<'b>(
    header: &Header,
    mut bytes: &'b [u8],
    mut take: impl FnMut(&'b [u8]),
) -> bool {
    let mut left = header.body_bytes;
    let mut number = 0;
    while left > 0 {
        let count = left.min(CHUNK_BYTES as u64) as usize;
        let Some((data, behind)) = bytes.split_at_checked(count) else {
            return false;
        };
        let Some((said, behind)) = behind.split_first_chunk() else {
            return false;
        };
        if u32::from_le_bytes(*said) != part_sum(header.place, number, data) {
            return false;
        }
        take(data);
        (bytes, left, number) = (behind, left - count as u64, number + 1);
    }
    true
}

pub(super) fn part_sum(place: Place, number: u32, data: &[u8]) -> u32 {
    sum(&[&place.segment.to_le_bytes(), &place.offset.to_le_bytes(), &number.to_le_bytes(), data])
}

/// CRC-32. It finds every change of up to 32 bits in a row, and of others all but one in four
/// thousand millions.
pub(super) fn sum(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::object;
    use super::*;

    fn read(bytes: &[u8], place: Place) -> Option<(Stored, Vec<u8>)> {
        let header = Header::decode(bytes, place)?;
        let stored = decode_head(&header, &bytes[HEADER_BYTES..])?;
        let chunks = bytes.get(HEADER_BYTES + header.head_bytes as usize + SUM_BYTES..)?;
        let mut body = Vec::new();
        decode_body(&header, chunks, |data| body.extend_from_slice(data)).then_some((stored, body))
    }

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        let place = Place { segment: 3, offset: 4096 };
        let body: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        for bytes in [0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 200_000] {
            let object = object("a", "de", 7, &body[..bytes]);
            let mut record = Vec::new();
            let header = encode(&object, place, &mut record).expect("its head is small");
            assert_eq!(record.len() as u64, header.record_bytes());
            let (stored, read_body) = read(&record, place).expect("it is what was written");
            assert_eq!((&*stored.key, stored.generation), (&b"http://h/a"[..], 7));
            assert!(read_body == body[..bytes]);
            let elsewhere = Place { segment: 3, offset: 4097 };
            assert!(read(&record, elsewhere).is_none());
            // Cut at every kind of place, and changed at every byte of the small ones.
            for cut in (0..record.len()).step_by(1 + record.len() / 499) {
                assert!(read(&record[..cut], place).is_none(), "cut at {cut}");
            }
            for at in (0..record.len()).step_by(1 + record.len() / 997) {
                record[at] ^= 1 << (at % 8);
                assert!(read(&record, place).is_none(), "byte {at} was changed");
                record[at] ^= 1 << (at % 8);
            }
        }
    }

    #[test]
    fn a_chunk_of_another_record_is_none_of_this_one() {
        let body = vec![7; 3 * CHUNK_BYTES];
        let object = object("a", "de", 0, &body);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let here = Place { segment: 1, offset: 0 };
        encode(&object, here, &mut one).expect("its head is small");
        encode(&object, Place { segment: 2, offset: 0 }, &mut two).expect("its head is small");
        let last = one.len() - CHUNK_BYTES - SUM_BYTES;
        one[last..].copy_from_slice(&two[last..]);
        assert!(read(&one, here).is_none());
    }
}
