//! Units: what is read, what is refused and how, and that what is written reads back the same.

use expect_test::{Expect, expect};

use super::*;

fn check<T: FromStr<Err = String> + fmt::Display>(texts: &[&str], expect: Expect) {
    let mut out = String::new();
    for text in texts {
        match text.parse::<T>() {
            Ok(value) => out += &format!("{text:?} is {value}\n"),
            Err(err) => out += &format!("{err}\n"),
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn periods() {
    check::<Period>(
        &[
            "250ms",
            "10m",
            "1h30m",
            "90s",
            "24h",
            "1.5s",
            "0s",
            "36500d",
            "0.000000001s",
            "5 minutes",
            "5",
            "",
            "m",
            "5x",
            "30m1h",
            "1h1h",
            "-5s",
            "1.s",
            ".5s",
            "5 s",
            "10 Sec",
            "36501d",
            "99999999999999999999d",
            "0.1ns",
            "1e3s",
            "5M",
            "１s",
        ],
        expect![[r#"
            "250ms" is 250ms
            "10m" is 10m
            "1h30m" is 90m
            "90s" is 90s
            "24h" is 1d
            "1.5s" is 1500ms
            "0s" is 0s
            "36500d" is 36500d
            "0.000000001s" is 1ns
            `5 minutes` is not a duration: write a number and a unit, e.g. "5m"
            `5` is not a duration: write a number and a unit, e.g. "5s"
            `` is not a duration: write a number and a unit, e.g. "5m"
            `m` is not a duration: write a number and a unit, e.g. "5m"
            `5x` is not a duration: write a number and a unit, e.g. "5m"
            `30m1h` is not a duration: write a number and a unit, e.g. "5m"
            `1h1h` is not a duration: write a number and a unit, e.g. "5m"
            `-5s` is not a duration: write a number and a unit, e.g. "5m"
            `1.s` is not a duration: write a number and a unit, e.g. "5m"
            `.5s` is not a duration: write a number and a unit, e.g. "5m"
            `5 s` is not a duration: write a number and a unit, e.g. "5s"
            `10 Sec` is not a duration: write a number and a unit, e.g. "10s"
            `36501d` is too long or too fine: at most 36500d
            `99999999999999999999d` is too long or too fine: at most 36500d
            `0.1ns` is too long or too fine: at most 36500d
            `1e3s` is not a duration: write a number and a unit, e.g. "5m"
            `5M` is not a duration: write a number and a unit, e.g. "5m"
            `１s` is not a duration: write a number and a unit, e.g. "5m"
        "#]],
    );
}

#[test]
fn sizes() {
    check::<Size>(
        &[
            "64KiB",
            "2GiB",
            "1024B",
            "1000B",
            "512000B",
            "1.5MiB",
            "0B",
            "2048MiB",
            "240B",
            "10",
            "10kb",
            "1 MB",
            "5K",
            "B",
            "0.3B",
            "9999999TiB",
            "10 bytes",
            "tiny",
        ],
        expect![[r#"
            "64KiB" is 64KiB
            "2GiB" is 2GiB
            "1024B" is 1KiB
            "1000B" is 1kB
            "512000B" is 500KiB
            "1.5MiB" is 1536KiB
            "0B" is 0B
            "2048MiB" is 2GiB
            "240B" is 240B
            `10` is not a size: write a number and a unit, e.g. "10B"
            `10kb` is not a size: write a number and a unit, e.g. "10KiB"
            `1 MB` is not a size: write a number and a unit, e.g. "1MiB"
            `5K` is not a size: write a number and a unit, e.g. "5KiB"
            `B` is not a size: write a number and a unit, e.g. "64KiB"
            `0.3B` is too large or no whole number of bytes
            `9999999TiB` is too large or no whole number of bytes
            `10 bytes` is not a size: write a number and a unit, e.g. "10B"
            `tiny` is not a size: write a number and a unit, e.g. "64KiB"
        "#]],
    );
}

#[test]
fn shares() {
    check::<Share>(
        &[
            "20%", "0.5%", "100%", "0%", "12.3450%", "0.0001%", "101%", "0.00001%", "20", "0.2",
            "x%",
        ],
        expect![[r#"
            "20%" is 20%
            "0.5%" is 0.5%
            "100%" is 100%
            "0%" is 0%
            "12.3450%" is 12.345%
            "0.0001%" is 0.0001%
            `101%` is not from 0% to 100% in steps of 0.0001%
            `0.00001%` is not from 0% to 100% in steps of 0.0001%
            `20` is not a share: write a number and `%`, e.g. "20%"
            `0.2` is not a share: write a number and `%`, e.g. "0%"
            `x%` is not a share: write a number and `%`, e.g. "20%"
        "#]],
    );
}

#[test]
fn what_is_written_reads_back() {
    let mut seed = 7_u64;
    for _ in 0..20_000 {
        // A linear congruence: the low bits are poor, so sizes of all magnitudes come from shifts.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let number = seed >> (seed >> 58);
        let period = Period::from_ns(number);
        assert_eq!(period.to_string().parse(), Ok(period));
        let size = Size::from_bytes(number);
        assert_eq!(size.to_string().parse(), Ok(size));
        let share = Share { millionths: (number % 1_000_001) as u32 };
        assert_eq!(share.to_string().parse(), Ok(share));
    }
}
