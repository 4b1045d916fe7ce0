//! `grpc-timeout`: at most eight digits and a unit.

use std::time::Duration;

/// The text is no timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTimeout;

/// Units, from the finest, in nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

const DIGITS_MAX: usize = 8;

/// Reads the value of `grpc-timeout`. Nothing is a valid time: it is over already.
///
/// # Errors
/// It is none.
pub fn read_timeout(value: &[u8]) -> Result<Duration, NotTimeout> {
    let (&unit, digits) = value.split_last().ok_or(NotTimeout)?;
    let (_, unit_ns) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or(NotTimeout)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotTimeout);
    }
    let count = digits.iter().fold(0_u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    let total_ns = u128::from(count) * u128::from(*unit_ns);
    // 99999999 hours are more than 64 bits of nanoseconds, and no different from 500 years.
    Ok(Duration::from_nanos(u64::try_from(total_ns).unwrap_or(u64::MAX)))
}

/// Appends `time` in the finest unit that has room for it, rounded down: nobody may wait longer than
/// the client does. `None` if there is no time left.
#[must_use]
pub fn write_timeout(time: Duration, out: &mut Vec<u8>) -> Option<()> {
    let total_ns = time.as_nanos();
    if total_ns == 0 {
        return None;
    }
    let room = 10_u128.pow(DIGITS_MAX as u32);
    let fits = |unit_ns: u64| total_ns / u128::from(unit_ns) < room;
    // 2^64 nanoseconds are five million hours.
    let (letter, unit_ns) = UNITS.iter().find(|(_, unit_ns)| fits(*unit_ns))?;
    out.extend_from_slice((total_ns / u128::from(*unit_ns)).to_string().as_bytes());
    out.push(*letter);
    Some(())
}
