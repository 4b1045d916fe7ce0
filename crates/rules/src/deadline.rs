//! How long a client of HTTP still waits, in a header that the configuration names: seconds, or a
//! number with `s` or `ms`.

use std::time::Duration;

/// A thousand years are as good as no deadline; more would overflow somewhere.
const SECONDS_MAX: f64 = 3.2e10;

/// Reads `"1.5"`, `"2s"` or `"500ms"`; `None` if it is no time.
#[must_use]
pub fn read(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (number, unit_s) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 0.001),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1.0),
    };
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if number.is_empty() || !number.bytes().all(plain) {
        return None;
    }
    let seconds = number.parse::<f64>().ok()? * unit_s;
    Some(Duration::from_secs_f64(seconds.min(SECONDS_MAX)))
}

/// Writes `left`, rounded down to milliseconds, in the unit of `like`; in seconds if there is none.
#[must_use]
pub fn write(left: Duration, like: Option<&[u8]>) -> String {
    let ms = left.as_millis();
    let like = like.unwrap_or_default().trim_ascii();
    if like.ends_with(b"ms") {
        return format!("{ms}ms");
    }
    let unit = if like.ends_with(b"s") { "s" } else { "" };
    format!("{}.{:03}{unit}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        let read = |text: &str| read(text.as_bytes()).map(|time| time.as_millis());
        assert_eq!(
            ["1.5", "2s", " 500ms ", "0", "0.0004"].map(read),
            [1500, 2000, 500, 0, 0].map(Some)
        );
        assert_eq!(["", "s", "-1", "1h", "1e3", "1.2.3", "inf", "NaN"].map(read), [None; 8]);
        assert!(read("99999999999999999999").is_some());
    }

    #[test]
    fn what_is_left_is_written_as_it_was_read() {
        let write =
            |like: Option<&str>| write(Duration::from_micros(1_234_999), like.map(str::as_bytes));
        assert_eq!(
            [Some("5"), Some("5s"), Some("5000ms"), None].map(write),
            ["1.234", "1.234s", "1234ms", "1.234"]
        );
    }
}
