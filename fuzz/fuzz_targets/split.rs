#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moorline_tests::codecs::split(data));
