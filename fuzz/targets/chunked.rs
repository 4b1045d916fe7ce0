//! See `wire::h1::exercise::chunked`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wire::h1::exercise::chunked(bytes));
