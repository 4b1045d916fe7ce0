//! See `wire::hello::exercise`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wire::hello::exercise::hello(bytes));
