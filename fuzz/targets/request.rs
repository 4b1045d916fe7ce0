//! See `wire::h1::exercise::request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wire::h1::exercise::request(bytes));
