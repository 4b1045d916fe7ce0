//! SipHash-1-3 without a key: a hash that is the same in every process, on every machine, and whatever
//! compiler made the program, so that it can be written to disk.
//!
//! std's own hasher is the same function today and promises nothing of tomorrow. One that is faster for
//! long texts can be inverted: somebody could make addresses that collide with a page's.

/// What was taken so far.
#[derive(Clone, Debug)]
pub(crate) struct SipHash {
    state: [u64; 4],
    /// Bytes that do not fill a word yet, the first one lowest.
    tail: u64,
    bytes: u64,
}

impl Default for SipHash {
    fn default() -> Self {
        // "somepseudorandomlygeneratedbytes", as the paper has it.
        let state = [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, WORD_3];
        Self { state, tail: 0, bytes: 0 }
    }
}

const WORD_3: u64 = 0x7465_6462_7974_6573;

impl SipHash {
    /// Takes `text`; in how many pieces a whole comes makes no difference.
    #[inline]
    pub(crate) fn write(&mut self, text: &[u8]) {
        let filled = (self.bytes % 8) as usize;
        self.bytes += text.len() as u64;
        let (first, rest) = text.split_at(text.len().min((8 - filled) % 8));
        for (at, byte) in first.iter().enumerate() {
            self.tail |= u64::from(*byte) << (8 * (filled + at));
        }
        if filled > 0 {
            if filled + first.len() < 8 {
                return;
            }
            let word = std::mem::take(&mut self.tail);
            self.word(word);
        }
        let (words, last) = rest.as_chunks();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for (at, byte) in last.iter().enumerate() {
            self.tail |= u64::from(*byte) << (8 * at);
        }
    }

    /// The hash of what was taken.
    #[must_use]
    #[inline]
    pub(crate) fn finish(mut self) -> u64 {
        self.word(self.bytes << 56 | self.tail);
        self.state[2] ^= 0xff;
        (0..3).for_each(|_| self.round());
        let [a, b, c, d] = self.state;
        a ^ b ^ c ^ d
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.state[3] ^= word;
        self.round();
        self.state[0] ^= word;
    }

    #[inline]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.state;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*b);
        *a = a.wrapping_add(*d);
        *b = b.rotate_left(17) ^ *c;
        *d = d.rotate_left(21) ^ *a;
        *c = c.rotate_left(32);
    }
}

/// The hash of `text`.
#[must_use]
#[inline]
pub(crate) fn hash(text: &[u8]) -> u64 {
    let mut hash = SipHash::default();
    hash.write(text);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies on disks was written with these. They are SipHash-1-3's for a key of zeros, as std's
    /// hasher and others have them.
    #[test]
    fn hashes_stay_what_they_are() {
        for (text, expect) in [
            ("", 0xd1fb_a762_150c_532c),
            ("a", 0x4074_48d2_b89b_1813),
            ("doorward", 0xc40a_3e06_537e_e84c),
            ("http://example.com/articles/7?page=2", 0x2475_f187_5ba4_5f01),
        ] {
            assert_eq!(hash(text.as_bytes()), expect, "{text}: {:#018x}", hash(text.as_bytes()));
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        let text: Vec<u8> = (0..64).collect();
        for bytes in 0..=text.len() {
            let whole = hash(&text[..bytes]);
            for first in 0..=bytes {
                for second in first..=bytes {
                    let mut pieces = SipHash::default();
                    pieces.write(&text[..first]);
                    pieces.write(&text[first..second]);
                    pieces.write(&text[second..bytes]);
                    assert_eq!(pieces.finish(), whole, "{first}, {second}, {bytes}");
                }
            }
        }
    }
}
