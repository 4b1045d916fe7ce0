//! Looks at eight bytes at once, as one number; this is why the crate needs no `unsafe`.
//!
//! A *mark* is the high bit of a byte that is looked for. Numbers work alike for every target and
//! compiler; vectors that a compiler finds by itself were faster for one and slower for the next.

/// What [`first_in`] looks at.
pub(crate) const BLOCK: usize = 16;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// Where the first control lies, tab and DEL among them.
#[inline(always)]
pub(crate) fn first_control(bytes: &[u8]) -> Option<usize> {
    // Signed, so that one comparison finds DEL too (0x7f + 1 is negative), and obs-text with it.
    let unusual = |byte: u8| byte.wrapping_add(1).cast_signed() < 0x21;
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk::<BLOCK>() {
        // "Any of sixteen" is what every target has an instruction for; "which" is not.
        if block.iter().fold(false, |any, &byte| any | unusual(byte))
            && let Some(first) = first_in(block, controls)
        {
            return Some(at + first);
        }
        at += BLOCK;
    }
    let rest = &bytes[at..];
    Some(at + rest.iter().position(|&byte| byte < b' ' || byte == 0x7f)?)
}

/// Marks the controls, tab and DEL among them, the first of them rightly.
#[inline(always)]
const fn controls(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    (bytes.wrapping_sub(0x20 * ONES) | (low + ONES)) & !bytes & HIGH
}

/// Marks the colons, the first of them rightly.
#[inline(always)]
pub(crate) const fn colons(bytes: u64) -> u64 {
    let other = bytes ^ (b':' as u64 * ONES);
    other.wrapping_sub(ONES) & !other & HIGH
}

/// Marks all but letters, digits and `-`, which is what nearly all names are made of.
#[inline(always)]
pub(crate) const fn not_plain(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    let small = low | (0x20 * ONES);
    let letter = (small + (0x80 - b'a' as u64) * ONES) & !(small + (0x7f - b'z' as u64) * ONES);
    let digit = (low + (0x80 - b'0' as u64) * ONES) & !(low + (0x7f - b'9' as u64) * ONES);
    let dash = !((low ^ (b'-' as u64 * ONES)) + 0x7f * ONES);
    (!(letter | digit | dash) | bytes) & HIGH
}

/// Marks all but small letters, digits and `-`: [`not_plain`] where names are in lower case.
#[inline(always)]
pub(crate) const fn not_small(bytes: u64) -> u64 {
    // Of what is plain, only capital letters have 0x40 without 0x20.
    not_plain(bytes) | (bytes << 1 & !(bytes << 2) & HIGH)
}

/// Where the first marked byte lies.
#[inline(always)]
pub(crate) fn position(bytes: &[u8], marks: impl Fn(u64) -> u64) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk::<8>() {
        let marked = marks(u64::from_le_bytes(*eight));
        if marked != 0 {
            return Some(at + first(marked));
        }
        at += 8;
    }
    let rest = bytes[at..].iter();
    let rest = rest.take_while(|&&byte| marks(u64::from(byte)) & 0x80 == 0);
    Some(at + rest.count()).filter(|&at| at < bytes.len())
}

/// Whether any byte is marked, if `-` is not.
#[inline(always)]
pub(crate) fn is_any(bytes: &[u8], marks: impl Fn(u64) -> u64) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        let mut block = [b'-'; 8];
        block[..bytes.len()].copy_from_slice(bytes);
        return marks(u64::from_le_bytes(block)) != 0;
    };
    let (eights, _) = bytes.as_chunks::<8>();
    // The last eight may have been looked at in part.
    eights.iter().chain([last]).any(|eight| marks(u64::from_le_bytes(*eight)) != 0)
}

/// [`position`] in one block.
#[inline(always)]
pub(crate) fn first_in(block: &[u8; BLOCK], marks: impl Fn(u64) -> u64) -> Option<usize> {
    let (eights, _) = block.as_chunks::<8>();
    let marked = marks(u64::from_le_bytes(eights[0]));
    if marked != 0 {
        return Some(first(marked));
    }
    let marked = marks(u64::from_le_bytes(eights[1]));
    (marked != 0).then(|| 8 + first(marked))
}

#[inline(always)]
fn first(marked: u64) -> usize {
    marked.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_marked_or_not_whatever_stands_before_it() {
        for byte in 0..=u8::MAX {
            let control = byte < b' ' || byte == 0x7f;
            let plain = byte.is_ascii_alphanumeric() || byte == b'-';
            for before in [b' ', b'-', b'a', b'~', 0x80, 0xc0, 0xff] {
                for place in 0..8 {
                    let mut bytes = [before; 8];
                    bytes[place] = byte;
                    let bytes = u64::from_le_bytes(bytes);
                    let marked = |marks: u64| marks >> (8 * place) & 0xff == 0x80;
                    assert_eq!(marked(not_plain(bytes)), !plain);
                    assert_eq!(marked(not_small(bytes)), !plain || byte.is_ascii_uppercase());
                    assert_eq!(marked(colons(bytes)), byte == b':');
                    assert_eq!(marked(controls(bytes)), control);
                }
            }
        }
    }

    #[test]
    fn every_place_is_found() {
        for bytes in 0..70 {
            let mut text = vec![b'a'; bytes];
            assert_eq!(position(&text, not_plain), None);
            assert!(!is_any(&text, not_small));
            for at in (0..bytes).rev() {
                text[at] = b':';
                assert_eq!(position(&text, not_plain), Some(at));
                assert!(is_any(&text, not_small));
                if let Some(block) = text.first_chunk() {
                    assert_eq!(first_in(block, not_plain), Some(at).filter(|&at| at < BLOCK));
                }
            }
        }
    }
}
