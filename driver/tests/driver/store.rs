//! Stores: commits, reopening, damage, two owners.

use std::path::Path;

use bytes::Bytes;
use moorline_driver::core::options::RuntimeOptions;
use moorline_driver::core::store::{StoreReply, StoreRequest, Write};
use moorline_driver::core::{Error, ErrorCode, Input, Output, StoreId};

use crate::rig::Rig;

fn rig(path: &Path) -> Rig {
    let mut runtime = RuntimeOptions::default();
    runtime.store_path = path.to_str().unwrap().to_owned();
    Rig::with(runtime)
}

fn put(store: u64, key: &str, value: &'static str) -> Output {
    let value = Bytes::from_static(value.as_bytes());
    let write = Write::Put { space: "work", key: key.to_owned(), value };
    Output::Store { store: StoreId(store), request: StoreRequest::Commit { writes: vec![write] } }
}

fn load(store: u64) -> Output {
    Output::Store { store: StoreId(store), request: StoreRequest::Load { space: "work" } }
}

fn stored(rig: &Rig) -> (u64, Result<StoreReply, Error>) {
    match rig.input() {
        Input::Stored { store, result } => (store.0, result),
        other => panic!("{other:?}"),
    }
}

fn records(rig: &Rig) -> Vec<(String, Bytes)> {
    match stored(rig).1.unwrap() {
        StoreReply::Loaded(records) => records,
        StoreReply::Committed => panic!("committed"),
    }
}

#[test]
fn memory_answers_in_order() {
    let rig = Rig::new();
    rig.perform([put(1, "b", "2"), put(2, "a", "1"), load(3)]);
    assert_eq!(stored(&rig), (1, Ok(StoreReply::Committed)));
    assert_eq!(stored(&rig), (2, Ok(StoreReply::Committed)));
    let keys: Vec<_> = records(&rig).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn a_file_outlives_its_process_without_a_farewell() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let first = rig(&path);
    let gone = Write::Delete { space: "work", key: String::from("k3") };
    let mut outputs: Vec<_> = (0..50).map(|n| put(n, &format!("k{n}"), "v")).collect();
    outputs.push(Output::Store {
        store: StoreId(50),
        request: StoreRequest::Commit { writes: vec![gone] },
    });
    first.perform(outputs);
    for n in 0..=50 {
        assert_eq!(stored(&first), (n, Ok(StoreReply::Committed)));
    }
    first.rest();
    let syncs = first.handle.counters().syncs;
    assert!(syncs <= 25, "{syncs} syncs for 51 commits");
    // What a crash leaves behind is the files as they are: take them before anything is closed.
    let copy = folder.path().join("copy.db");
    for ending in ["", "-wal"] {
        let from = folder.path().join(format!("hub.db{ending}"));
        std::fs::copy(from, folder.path().join(format!("copy.db{ending}"))).unwrap();
    }
    let second = rig(&copy);
    second.perform([load(1)]);
    assert_eq!(records(&second).len(), 49);
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let rig = rig(&path);
    rig.perform([put(1, "a", "1")]);
    stored(&rig).1.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn two_owners_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let (first, second) = (rig(&path), rig(&path));
    first.perform([put(1, "a", "1")]);
    stored(&first).1.unwrap();
    second.perform([load(1)]);
    let error = stored(&second).1.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    assert!(error.message().contains("another process uses it"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    std::fs::write(&path, "this is a letter, not a store, and long enough to be read").unwrap();
    let rig = rig(&path);
    rig.perform([load(1)]);
    let error = stored(&rig).1.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    assert!(error.message().contains("hub.db: it is not a store"), "{error}");
}

#[test]
fn a_missing_folder_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&folder.path().join("nowhere/hub.db"));
    rig.perform([put(1, "a", "1")]);
    let error = stored(&rig).1.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    assert!(error.message().contains("nowhere"), "{error}");
}
