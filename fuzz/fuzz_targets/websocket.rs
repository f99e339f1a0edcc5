#![no_main]

// The two modules alone: the rest of the driver would have to be built with counters, too.
#[allow(dead_code)]
#[path = "../../driver/src/ws/frames/mod.rs"]
mod frames;
#[path = "../../driver/src/ws/trial.rs"]
mod trial;

libfuzzer_sys::fuzz_target!(|data: &[u8]| trial::run(data));
