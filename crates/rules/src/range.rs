//! Byte ranges (RFC 9110, 14).

use std::ops::Range;

/// The most ranges of one request that are answered as such. Many small ones cost more than the
/// file (CVE-2011-3192); video players and download managers ask for one to four.
const RANGES_MAX: usize = 16;

/// What a `Range` field asks of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing that is understood, or more than is good: answer with the whole file (14.2).
    Whole,
    Ranges(Vec<Range<u64>>),
    /// Only what lies behind the end: 416.
    Unsatisfiable,
}

/// Reads the value of `Range` for a file of `bytes` bytes.
pub(crate) fn read(value: &[u8], bytes: u64) -> Asked {
    let Some(list) = list_of(value) else {
        return Asked::Whole;
    };
    let mut ranges = Vec::new();
    let (mut count, mut sum) = (0, 0_u64);
    for spec in list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        if spec.is_empty() {
            continue;
        }
        count += 1;
        match read_one(spec, bytes) {
            None => return Asked::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => {
                sum = sum.saturating_add(range.end - range.start);
                ranges.push(range);
            }
        }
    }
    // Ranges that overlap make an answer larger than the file out of a small request.
    if count == 0 || count > RANGES_MAX || sum > bytes {
        return Asked::Whole;
    }
    if ranges.is_empty() { Asked::Unsatisfiable } else { Asked::Ranges(ranges) }
}

fn list_of(value: &[u8]) -> Option<&[u8]> {
    let (unit, list) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(list)
}

/// One range, empty if it lies behind the end; `None` if it is not a range at all.
fn read_one(spec: &[u8], bytes: u64) -> Option<Range<u64>> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => Some(first.min(bytes)..bytes),
        (Some(first), Some(last)) if first <= last => {
            Some(first.min(bytes)..last.saturating_add(1).min(bytes))
        }
        (None, Some(suffix)) if first.is_empty() => {
            // RFC 9110, 14.1.2: a suffix of an empty file is satisfiable, and no `Content-Range` can
            // say so; the whole file says the same.
            if bytes == 0 && suffix > 0 {
                return None;
            }
            Some(bytes - suffix.min(bytes)..bytes)
        }
        _ => None,
    }
}

/// Numbers beyond 64 bits are beyond every file.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        let one = |range| Asked::Ranges(vec![range]);
        for (value, expect) in [
            ("bytes=0-0", one(0..1)),
            ("bytes=0-9", one(0..10)),
            ("Bytes=2-", one(2..10)),
            ("bytes=2-99", one(2..10)),
            ("bytes=2-99999999999999999999999", one(2..10)),
            ("bytes=-3", one(7..10)),
            ("bytes=-30", one(0..10)),
            ("bytes=0-1, 4-5", Asked::Ranges(vec![0..2, 4..6])),
            ("bytes=,0-1,,", one(0..2)),
            ("bytes=0-1,20-30", one(0..2)),
            ("bytes=10-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=20-30,40-", Asked::Unsatisfiable),
            ("bytes=5-2", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=--1", Asked::Whole),
            ("bytes=1", Asked::Whole),
            ("bytes=0-1,x", Asked::Whole),
            ("bytes 0-1", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("bytes=0-9,0-9", Asked::Whole),
        ] {
            assert_eq!(read(value.as_bytes(), 10), expect, "{value}");
        }
        let many = format!("bytes={}", "0-0,".repeat(17));
        assert_eq!(read(many.as_bytes(), 1000), Asked::Whole);
        assert_eq!(read(b"bytes=0-", 0), Asked::Unsatisfiable);
        assert_eq!(read(b"bytes=-1", 0), Asked::Whole);
    }
}
