#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| twitcher::internals::fuzz::settings(bytes));
