//! Writes what fuzzing begins with: `fuzz_seeds FOLDER` makes a folder per codec, a file per input.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use moorline_tests::codecs::Seeds;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).unwrap_or_else(|| "target/fuzz/seeds".into()));
    let mut all = Seeds::default();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/volt"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let seeds = Seeds::read(&fs::read_to_string(path)?);
            all.json.extend(seeds.json);
            all.engineio.extend(seeds.engineio);
            all.socketio.extend(seeds.socketio);
            all.split.extend(seeds.split);
        }
    }
    write(&folder.join("json"), all.json)?;
    write(&folder.join("engineio"), all.engineio)?;
    write(&folder.join("socketio"), all.socketio)?;
    write(&folder.join("split"), all.split)
}

fn write(folder: &Path, seeds: Vec<Vec<u8>>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let distinct: BTreeSet<Vec<u8>> = seeds.into_iter().collect();
    for (index, seed) in distinct.iter().enumerate() {
        fs::write(folder.join(format!("{index:04}")), seed)?;
    }
    Ok(())
}
