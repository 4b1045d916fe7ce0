//! See `config::exercise`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| config::exercise(bytes));
