//! Looks at sixteen bytes at once.
//!
//! The loops here have a fixed length and no branch inside, which is the shape that the compiler
//! turns into vector instructions of every target; this is why the crate needs no `unsafe`.

/// What is looked at in one step.
pub(crate) const BLOCK: usize = 16;

/// Where the first byte lies for which `is` holds.
#[inline(always)]
pub(crate) fn position(bytes: &[u8], is: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk::<BLOCK>() {
        if let Some(first) = first_in(block, &is) {
            return Some(at + first);
        }
        at += BLOCK;
    }
    let rest = bytes[at..].iter().position(|&byte| is(byte))?;
    Some(at + rest)
}

/// [`position`] in one block.
#[inline(always)]
pub(crate) fn first_in(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> Option<usize> {
    let mut marks = [0_u8; BLOCK];
    for (mark, &byte) in marks.iter_mut().zip(block) {
        *mark = if is(byte) { 0xff } else { 0 };
    }
    let marks = u128::from_le_bytes(marks);
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found() {
        for bytes in 0..70 {
            let mut text = vec![b'a'; bytes];
            assert_eq!(position(&text, |byte| byte == b'x'), None);
            for at in (0..bytes).rev() {
                text[at] = b'x';
                assert_eq!(position(&text, |byte| byte == b'x'), Some(at));
            }
        }
    }
}
