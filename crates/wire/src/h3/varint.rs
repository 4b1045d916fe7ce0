//! Integers of one, two, four or eight bytes (RFC 9000, 16).

/// The largest that there is.
pub const VARINT_MAX: u64 = (1 << 62) - 1;

/// The integer at the front of `input` and how many bytes it takes; `None` if it is not all there.
#[must_use]
pub fn read_varint(input: &[u8]) -> Option<(u64, usize)> {
    let first = *input.first()?;
    let bytes = 1 << (first >> 6);
    let rest = input.get(1..bytes)?;
    let number =
        rest.iter().fold(u64::from(first & 0x3f), |number, &byte| number << 8 | u64::from(byte));
    Some((number, bytes))
}

/// Appends `number` in as few bytes as it takes. What is above [`VARINT_MAX`] is cut to it.
pub fn write_varint(number: u64, out: &mut Vec<u8>) {
    let number = number.min(VARINT_MAX);
    match number {
        0..0x40 => out.push(number as u8),
        0x40..0x4000 => out.extend_from_slice(&(number as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => {
            out.extend_from_slice(&(number as u32 | 0x8000_0000).to_be_bytes());
        }
        _ => out.extend_from_slice(&(number | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_read_and_write() {
        // RFC 9000, appendix A.1.
        for (bytes, number) in [
            (&b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c"[..], 151_288_809_941_952_652),
            (b"\x9d\x7f\x3e\x7d", 494_878_333),
            (b"\x7b\xbd", 15_293),
            (b"\x25", 37),
        ] {
            assert_eq!(read_varint(bytes), Some((number, bytes.len())));
            assert_eq!(read_varint(&bytes[..bytes.len() - 1]), None);
            let mut out = Vec::new();
            write_varint(number, &mut out);
            assert_eq!(out, bytes);
        }
        // "The two-byte sequence 4025 also decodes to 37."
        assert_eq!(read_varint(b"\x40\x25"), Some((37, 2)));
    }
}
