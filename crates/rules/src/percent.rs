//! Percent-encoding (RFC 3986, 2.1): reading, comparing and writing.

/// The bytes that `text` stands for, one by one. A `%` without two hex digits stands for itself.
pub(crate) fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        if first == b'%'
            && let [high, low, ..] = *tail
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            rest = &tail[2..];
            return Some(high << 4 | low);
        }
        rest = tail;
        Some(first)
    })
}

/// Decodes `text` into `out`; `None` if it does not fit.
pub(crate) fn decode_into<'o>(text: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let mut bytes = 0;
    for byte in decoded(text) {
        *out.get_mut(bytes)? = byte;
        bytes += 1;
    }
    Some(&out[..bytes])
}

/// Whether a name or value of a query stands for `plain`. A `+` may stand for a space there.
pub(crate) fn query_part_is(text: &[u8], plain: &[u8]) -> bool {
    // The `+` is exchanged before decoding, so that `%2B` stays a plus.
    let mut decoded = QueryPart(text);
    plain.iter().all(|&byte| decoded.next() == Some(byte)) && decoded.next().is_none()
}

/// The bytes of a name or value in a query.
pub(crate) struct QueryPart<'t>(pub(crate) &'t [u8]);

impl Iterator for QueryPart<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, tail) = self.0.split_first()?;
        if let [b'%', high, low, ..] = *self.0
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            self.0 = &self.0[3..];
            return Some(high << 4 | low);
        }
        self.0 = tail;
        Some(if first == b'+' { b' ' } else { first })
    }
}

/// Appends `byte`, percent-encoded unless `keep` says that it may stand for itself.
pub(crate) fn encode(byte: u8, keep: fn(u8) -> bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if keep(byte) {
        out.push(byte);
    } else {
        out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// RFC 3986, 2.3: the bytes that mean the same encoded or not.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once_and_leaves_nonsense_alone() {
        for (text, expect) in [
            ("a%62c", "abc"),
            ("%2541", "%41"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("a+b", "a+b"),
            ("%C3%a4", "ä"),
        ] {
            let plain: Vec<u8> = decoded(text.as_bytes()).collect();
            assert_eq!(plain, expect.as_bytes(), "{text}");
        }
        assert!(query_part_is(b"a+b%2B%20", b"a b+ "));
        assert!(!query_part_is(b"a", b"ab") && !query_part_is(b"ab", b"a"));
        assert_eq!(decode_into(b"%61b", &mut [0; 2]), Some(&b"ab"[..]));
        assert_eq!(decode_into(b"abc", &mut [0; 2]), None);
    }
}
