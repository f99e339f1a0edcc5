//! What the fuzz targets check, on the inputs that they begin with: the recorded transcripts.

use std::fs;

use moorline_tests::codecs::{self, Seeds};

#[test]
fn the_invariants_of_the_codecs_hold_on_the_transcripts() {
    let folder = format!("{}/vectors/volt", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the vectors") {
        let path = entry.expect("a vector").path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let seeds = Seeds::read(&fs::read_to_string(path).expect("text"));
            seeds.json.iter().for_each(|seed| codecs::json(seed));
            seeds.engineio.iter().for_each(|seed| codecs::engineio(seed));
            seeds.socketio.iter().for_each(|seed| codecs::socketio(seed));
            seeds.split.iter().for_each(|seed| codecs::split(seed));
            count +=
                seeds.json.len() + seeds.engineio.len() + seeds.socketio.len() + seeds.split.len();
        }
    }
    assert!(count > 1_000, "{count} seeds");
}
