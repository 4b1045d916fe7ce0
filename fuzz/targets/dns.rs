//! See `wire::dns::exercise`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wire::dns::exercise(bytes));
