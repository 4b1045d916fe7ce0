//! See `wire::h3::exercise`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wire::h3::exercise::streams(bytes));
