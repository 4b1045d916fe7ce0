//! The three forms of a date (RFC 9110, 5.6.7), and nothing that only looks like one.

/// Milliseconds since 1970 of `text`; `None` if it is no date. `now_ms` tells the century of a year
/// of two digits.
pub(crate) fn read(text: &[u8], now_ms: u64) -> Option<u64> {
    let mut parts = Parts(text);
    let weekday = parts.letters()?;
    if parts.literal(b", ") {
        if weekday.len() == 3 {
            return fixdate(weekday, parts);
        }
        return rfc850(weekday, parts, now_ms);
    }
    asctime(weekday, parts)
}

/// The date of `ms` milliseconds since 1970, in the form that is sent.
pub(crate) fn text(ms: u64) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn fixdate(weekday: &[u8], mut parts: Parts<'_>) -> Option<u64> {
    index(weekday, &WEEKDAYS, 3)?;
    let day = parts.number(2)?;
    parts.expect(b" ")?;
    let month = index(parts.letters()?, &MONTHS, 3)?;
    parts.expect(b" ")?;
    let year = parts.number(4)?;
    parts.expect(b" ")?;
    let time = parts.time()?;
    parts.zone()?;
    seconds(year, month + 1, day, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850(weekday: &[u8], mut parts: Parts<'_>, now_ms: u64) -> Option<u64> {
    index(weekday, &WEEKDAYS, usize::MAX)?;
    let day = parts.number(2)?;
    parts.expect(b"-")?;
    let month = index(parts.letters()?, &MONTHS, 3)?;
    parts.expect(b"-")?;
    let short_year = parts.number(2)?;
    parts.expect(b" ")?;
    let time = parts.time()?;
    parts.zone()?;
    // RFC 9110, 5.6.7: "Recipients of a timestamp value in rfc850-date format ... MUST interpret a
    // timestamp that appears to be more than 50 years in the future as representing the most recent
    // year in the past that had the same last two digits."
    let this_year = 1970 + now_ms / 31_556_952_000;
    let mut year = this_year / 100 * 100 + short_year;
    if year > this_year + 50 {
        year -= 100;
    }
    seconds(year, month + 1, day, time)
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(weekday: &[u8], mut parts: Parts<'_>) -> Option<u64> {
    index(weekday, &WEEKDAYS, 3)?;
    parts.expect(b" ")?;
    let month = index(parts.letters()?, &MONTHS, 3)?;
    parts.expect(b" ")?;
    let day = if parts.literal(b" ") { parts.number(1)? } else { parts.number(2)? };
    parts.expect(b" ")?;
    let time = parts.time()?;
    parts.expect(b" ")?;
    let year = parts.number(4)?;
    parts.0.is_empty().then_some(())?;
    seconds(year, month + 1, day, time)
}

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Which of `names`, each cut to `letters`, is `text`. Case is overlooked: no two dates differ by it.
fn index(text: &[u8], names: &[&str], letters: usize) -> Option<u64> {
    let is = |name: &&str| {
        let name = name.as_bytes();
        name[..letters.min(name.len())].eq_ignore_ascii_case(text)
    };
    names.iter().position(is).map(|at| at as u64)
}

struct Parts<'t>(&'t [u8]);

impl<'t> Parts<'t> {
    fn literal(&mut self, text: &[u8]) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.literal(text).then_some(())
    }

    fn letters(&mut self) -> Option<&'t [u8]> {
        let end =
            self.0.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(self.0.len());
        let (letters, rest) = self.0.split_at(end);
        self.0 = rest;
        (!letters.is_empty()).then_some(letters)
    }

    fn number(&mut self, digits: usize) -> Option<u64> {
        let (text, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        text.iter().try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
        })
    }

    /// Seconds of the day.
    fn time(&mut self) -> Option<u64> {
        let hour = self.number(2)?;
        self.expect(b":")?;
        let minute = self.number(2)?;
        self.expect(b":")?;
        let second = self.number(2)?;
        // 60 is a leap second.
        let sound = hour < 24 && minute < 60 && second <= 60;
        sound.then_some(hour * 3600 + minute * 60 + second)
    }

    fn zone(&mut self) -> Option<()> {
        self.expect(b" ")?;
        self.0.eq_ignore_ascii_case(b"GMT").then_some(())
    }
}

fn seconds(year: u64, month: u64, day: u64, time: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_in = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || day == 0 || day > days_in {
        // What was before 1970 is as long ago as can be told.
        return (year < 1970 && day > 0 && day <= days_in).then_some(0);
    }
    // Days since the first of March of the year 0, whose years end with February.
    let (shifted_year, shifted_month) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = shifted_year * 365 + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + (shifted_month * 153 + 2) / 5
        + day
        - 1;
    const DAYS_TO_1970: u64 = 719_468;
    Some(((days - DAYS_TO_1970) * 86_400 + time) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In 2026.
    const NOW_MS: u64 = 1_795_000_000_000;

    #[test]
    fn every_day_is_as_another_reader_has_it() {
        for day in (0..200 * 365_u64).step_by(7) {
            let second = day * 86_400 + day % 86_400;
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(second);
            let text = httpdate::fmt_http_date(time);
            assert_eq!(read(text.as_bytes(), NOW_MS), Some(second * 1000), "{text}");
        }
    }

    #[test]
    fn three_forms_and_their_cases() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("SUN, 06 NOV 1994 08:49:37 gmt", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Thursday, 18-Aug-50 02:01:18 GMT", 2_544_400_878),
            ("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
            ("Wed, 01 Jan 1969 00:00:00 GMT", 0),
        ] {
            assert_eq!(read(text.as_bytes(), NOW_MS), Some(seconds * 1000), "{text}");
        }
    }

    #[test]
    fn what_is_nearly_a_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "foo",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 30 Feb 2024 00:00:00 GMT",
            "Thu, 00 Feb 2024 00:00:00 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT ",
            "Thu, 18 Aug 2050 02:01:18",
            "Xyz, 18 Aug 2050 02:01:18 GMT",
            "Thurs, 18-Aug-50 02:01:18 GMT",
        ] {
            assert_eq!(read(text.as_bytes(), NOW_MS), None, "{text}");
        }
    }
}
