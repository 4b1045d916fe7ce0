//! Durations, sizes and shares: strings with a unit, which cannot hold nonsense.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration, written as whole or fractional numbers with units: `"250ms"`, `"10m"`, `"1h30m"`.
/// Units: `ns`, `us`, `ms`, `s`, `m`, `h`, `d`. At most 36500 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    ns: u64,
}

/// A number of bytes, written with a unit: `"64KiB"`, `"2GiB"`, `"10MB"`, `"240B"`.
/// `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024; `kB`, `MB`, `GB`, `TB` are powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size {
    bytes: u64,
}

/// A share of a whole, written in percent: `"20%"`, `"0.5%"`. From `"0%"` to `"100%"`, in steps of a
/// ten-thousandth of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share {
    millionths: u32,
}

impl Period {
    /// No time at all.
    pub const ZERO: Self = Self { ns: 0 };
    /// The longest period: a hundred years.
    pub const MAX: Self = Self { ns: 36_500 * DAY_NS };

    /// That many seconds, at most [`Self::MAX`].
    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_ns(seconds.saturating_mul(1_000_000_000))
    }

    /// That many milliseconds, at most [`Self::MAX`].
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self::from_ns(milliseconds.saturating_mul(1_000_000))
    }

    /// That many nanoseconds, at most [`Self::MAX`].
    pub const fn from_ns(ns: u64) -> Self {
        if ns > Self::MAX.ns { Self::MAX } else { Self { ns } }
    }

    /// In nanoseconds.
    pub const fn as_ns(self) -> u64 {
        self.ns
    }

    /// In whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.ns / 1_000_000_000
    }

    /// Whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.ns == 0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        Self::from_nanos(period.ns)
    }
}

impl Size {
    /// The largest size: what a file offset can say.
    pub const MAX: Self = Self { bytes: i64::MAX as u64 };

    /// That many bytes, at most [`Self::MAX`].
    pub const fn from_bytes(bytes: u64) -> Self {
        if bytes > Self::MAX.bytes { Self::MAX } else { Self { bytes } }
    }

    /// That many times 1024 bytes.
    pub const fn from_kib(kib: u64) -> Self {
        Self::from_bytes(kib.saturating_mul(1 << 10))
    }

    /// That many times 1024 × 1024 bytes.
    pub const fn from_mib(mib: u64) -> Self {
        Self::from_bytes(mib.saturating_mul(1 << 20))
    }

    /// In bytes.
    pub const fn as_bytes(self) -> u64 {
        self.bytes
    }

    /// In bytes, for the length of something in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }
}

impl Share {
    /// Nothing.
    pub const ZERO: Self = Self { millionths: 0 };
    /// All of it.
    pub const ALL: Self = Self { millionths: MILLION };

    /// That many percent, at most 100.
    pub const fn from_percent(percent: u32) -> Self {
        if percent > 100 { Self::ALL } else { Self { millionths: percent * 10_000 } }
    }

    /// In millionths of the whole: exact, unlike [`Self::fraction`].
    pub const fn as_millionths(self) -> u32 {
        self.millionths
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.millionths) / f64::from(MILLION)
    }
}

const MILLION: u32 = 1_000_000;
const DAY_NS: u64 = 86_400_000_000_000;

/// Units of time, largest first, as compounds must be written.
const TIMES: [(&str, u64); 7] = [
    ("d", DAY_NS),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units of size; among those that divide a size, the one with the smallest number is written.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Splits a leading decimal number off `text`: its digits before and after the point.
fn number(text: &str) -> Option<(&str, &str, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    if whole.is_empty() {
        return None;
    }
    let Some(after) = rest.strip_prefix('.') else {
        return Some((whole, "", rest));
    };
    let (fraction, rest) = after.split_at(digits(after));
    (!fraction.is_empty()).then_some((whole, fraction, rest))
}

/// `whole.fraction` times `unit`, if that is a whole number; `None` also if it is too large.
fn times(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole: u64 = whole.parse().ok()?;
    let fraction = fraction.trim_end_matches('0');
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = u128::from(part) * u128::from(unit);
    let exact = part % u128::from(scale) == 0;
    let part = u64::try_from(part / u128::from(scale)).ok().filter(|_| exact)?;
    whole.checked_mul(unit)?.checked_add(part)
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || not_a_period(text);
        let mut ns: u64 = 0;
        let mut rest = text;
        let mut units = TIMES.as_slice();
        while !rest.is_empty() || units.len() == TIMES.len() {
            let (whole, fraction, after) = number(rest).ok_or_else(wrong)?;
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, after) = after.split_at(letters);
            // Later units are smaller, so "30m1h" and "1h1h" find none.
            let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let part = times(whole, fraction, units[at].1);
            ns = part
                .and_then(|part| ns.checked_add(part))
                .filter(|ns| *ns <= Self::MAX.ns)
                .ok_or_else(|| {
                    format!("`{text}` is too long or too fine: at most {}", Self::MAX)
                })?;
            units = &units[at + 1..];
            rest = after;
        }
        Ok(Self { ns })
    }
}

/// Says what to write instead of `text`, if its unit can be guessed.
fn not_a_period(text: &str) -> String {
    let example = number(text.trim()).and_then(|(whole, fraction, unit)| {
        let point = if fraction.is_empty() { "" } else { "." };
        let unit = match unit.trim().to_lowercase().trim_end_matches('s') {
            "" if unit.trim().is_empty() => "s",
            "" | "sec" | "second" => "s",
            "m" | "min" | "minute" => "m",
            "h" | "hr" | "hour" => "h",
            "d" | "day" => "d",
            "milli" | "msec" | "millisecond" => "ms",
            "µ" | "usec" | "microsecond" => "us",
            "nsec" | "nanosecond" => "ns",
            _ => return None,
        };
        Some(format!("{whole}{point}{fraction}{unit}"))
    });
    let example = example.as_deref().unwrap_or("5m");
    format!("`{text}` is not a duration: write a number and a unit, e.g. \"{example}\"")
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || not_a_size(text);
        let (whole, fraction, unit) = number(text).ok_or_else(wrong)?;
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        times(whole, fraction, *factor)
            .filter(|bytes| *bytes <= Self::MAX.bytes)
            .map(|bytes| Self { bytes })
            .ok_or_else(|| format!("`{text}` is too large or no whole number of bytes"))
    }
}

/// Says what to write instead of `text`, if its unit can be guessed.
fn not_a_size(text: &str) -> String {
    let example = number(text.trim()).and_then(|(whole, fraction, unit)| {
        let point = if fraction.is_empty() { "" } else { "." };
        let unit = match unit.trim().to_lowercase().as_str() {
            "" | "byte" | "bytes" | "b" => "B",
            "k" | "kb" | "kib" => "KiB",
            "m" | "mb" | "mib" => "MiB",
            "g" | "gb" | "gib" => "GiB",
            "t" | "tb" | "tib" => "TiB",
            _ => return None,
        };
        Some(format!("{whole}{point}{fraction}{unit}"))
    });
    let example = example.as_deref().unwrap_or("64KiB");
    format!("`{text}` is not a size: write a number and a unit, e.g. \"{example}\"")
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let example = number(text.trim()).map_or("20", |(whole, _, _)| whole);
            format!("`{text}` is not a share: write a number and `%`, e.g. \"{example}%\"")
        };
        let (whole, fraction, unit) = number(text).ok_or_else(wrong)?;
        if unit != "%" {
            return Err(wrong());
        }
        times(whole, fraction, 10_000)
            .and_then(|millionths| u32::try_from(millionths).ok())
            .filter(|millionths| *millionths <= MILLION)
            .map(|millionths| Self { millionths })
            .ok_or_else(|| format!("`{text}` is not from 0% to 100% in steps of 0.0001%"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = TIMES.iter().find(|(_, factor)| self.ns.is_multiple_of(*factor));
        match whole.filter(|_| self.ns > 0) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.ns / factor),
            None => f.write_str("0s"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortest = SIZES
            .iter()
            .filter(|(_, factor)| self.bytes.is_multiple_of(*factor))
            .min_by_key(|(_, factor)| self.bytes / factor);
        match shortest.filter(|_| self.bytes > 0) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.bytes / factor),
            None => f.write_str("0B"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.millionths / 10_000, self.millionths % 10_000);
        if part == 0 {
            return write!(f, "{whole}%");
        }
        let part = format!("{part:04}");
        write!(f, "{whole}.{}%", part.trim_end_matches('0'))
    }
}

/// Reading, writing and describing a unit: the same for all three.
macro_rules! unit {
    ($Unit:ident, $what:literal, $example:literal, $pattern:literal, $about:literal) => {
        impl Serialize for $Unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $Unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $Unit;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!($what, " in quotes, e.g. \"", $example, "\""))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$Unit, E> {
                        text.parse().map_err(E::custom)
                    }

                    // A bare number is the usual mistake: say what it lacks.
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$Unit, E> {
                        Err(match number.to_string().parse::<$Unit>() {
                            Err(advice) => E::custom(advice),
                            Ok(_) => E::invalid_type(Unexpected::Unsigned(number), &self),
                        })
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$Unit, E> {
                        match u64::try_from(number) {
                            Ok(number) => self.visit_u64(number),
                            Err(_) => Err(E::invalid_type(Unexpected::Signed(number), &self)),
                        }
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }

        impl JsonSchema for $Unit {
            fn schema_name() -> Cow<'static, str> {
                stringify!($Unit).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": $about,
                    "examples": [$example],
                })
            }
        }
    };
}

unit!(
    Period,
    "a duration",
    "10s",
    r"^(\d+(\.\d+)?d)?(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s)?(\d+(\.\d+)?ms)?(\d+(\.\d+)?us)?(\d+(\.\d+)?ns)?$",
    "A number and a unit of time: ns, us, ms, s, m, h or d."
);
unit!(
    Size,
    "a size",
    "64KiB",
    r"^\d+(\.\d+)?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$",
    "A number and a unit of size: B, kB, MB, GB, TB, or KiB, MiB, GiB, TiB (powers of 1024)."
);
unit!(
    Share,
    "a share",
    "20%",
    r"^(100(\.0+)?|\d{1,2}(\.\d+)?)%$",
    "A share in percent, from 0% to 100%."
);

#[cfg(test)]
mod tests;
