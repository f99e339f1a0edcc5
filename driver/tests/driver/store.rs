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
fn without_a_file_requests_are_answered_in_order_and_nothing_is_kept() {
    let rig = Rig::new();
    rig.perform([put(1, "b", "2"), put(2, "a", "1"), load(3)]);
    assert_eq!(stored(&rig), (1, Ok(StoreReply::Committed)));
    assert_eq!(stored(&rig), (2, Ok(StoreReply::Committed)));
    assert!(records(&rig).is_empty());
}

#[test]
fn records_are_found_from_a_key_on_and_cut() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&folder.path().join("hub.db"));
    let find = |from: &str, limit: usize, bytes: usize| Output::Store {
        store: StoreId(9),
        request: StoreRequest::Find { space: "work", from: from.to_owned(), limit, bytes },
    };
    rig.perform([put(1, "a", "one"), put(2, "b", "two"), put(3, "c", "three")]);
    for number in 1..=3 {
        assert_eq!(stored(&rig).0, number);
    }
    let found = |request: Output| {
        rig.perform([request]);
        let found = records(&rig).into_iter();
        found
            .map(|(key, value)| format!("{key}={}", str::from_utf8(&value).unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(find("", 2, usize::MAX)), ["a=one", "b=two"]);
    assert_eq!(found(find("b\0", 9, 3)), ["c=thr"]);
    assert_eq!(found(find("b", 1, usize::MAX)), ["b=two"]);
    assert!(found(find("d", 1, 1)).is_empty());
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

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_store_that_everybody_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let first = rig(&path);
    first.perform([put(1, "a", "1")]);
    stored(&first).1.unwrap();
    drop(first);
    for (mode, is_open) in [(0o644, true), (0o602, true), (0o640, false)] {
        set_mode(&path, mode);
        let rig = rig(&path);
        rig.perform([load(1)]);
        let result = stored(&rig).1;
        assert_eq!(result.is_err(), is_open, "{mode:o}");
        let Err(error) = result else { continue };
        assert_eq!(error.code(), ErrorCode::StoreFailed);
        assert!(
            error.message().contains("chmod 600") && error.message().contains("hub.db"),
            "{error}"
        );
    }
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
fn a_path_is_a_path_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x.db?mode=memory", "file:y.db"] {
        let path = folder.path().join(name);
        let rig = rig(&path);
        rig.perform([put(1, "a", "1")]);
        stored(&rig).1.unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 0, "{name}");
    }
}

#[test]
fn what_is_no_store_of_ours_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, make: &dyn Fn(&Path), why: &str| {
        let path = folder.path().join(name);
        make(&path);
        let before = std::fs::read(&path).unwrap();
        let rig = rig(&path);
        rig.perform([load(1)]);
        let error = stored(&rig).1.unwrap_err();
        assert_eq!(error.code(), ErrorCode::StoreFailed);
        assert!(error.message().contains(why), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{name}");
    };
    let sql = |text: &'static str| {
        move |path: &Path| {
            rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap();
        }
    };
    let table = "CREATE TABLE record (space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, \
                 PRIMARY KEY (space, key)) WITHOUT ROWID, STRICT;";
    refused("empty.db", &|path| std::fs::write(path, "").unwrap(), "it is empty");
    refused("other.db", &sql("CREATE TABLE song (title TEXT)"), "another program");
    refused("more.db", &sql("CREATE TABLE record (a); CREATE TABLE b (c)"), "another program");
    let newer = |path: &Path| {
        let text = format!(
            "{table} PRAGMA application_id = 0x4D4F4F52; PRAGMA user_version = 2; \
             CREATE TABLE later (a)"
        );
        rusqlite::Connection::open(path).unwrap().execute_batch(&text).unwrap();
    };
    refused("newer.db", &newer, "newer version");
    let stolen = sql("CREATE TABLE record (a); PRAGMA application_id = 7");
    refused("stolen.db", &stolen, "another program");
    // A store of the first builds has no mark, and gets one.
    let old = folder.path().join("old.db");
    rusqlite::Connection::open(&old).unwrap().execute_batch(table).unwrap();
    #[cfg(unix)]
    set_mode(&old, 0o600);
    let rig = rig(&old);
    rig.perform([put(1, "a", "1"), load(2)]);
    stored(&rig).1.unwrap();
    assert_eq!(records(&rig).len(), 1);
}

#[test]
fn a_store_is_copied_while_it_is_used_and_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("hub.db"), folder.path().join("copy.db"));
    let first = rig(&path);
    first.perform([put(1, "a", "1")]);
    stored(&first).1.unwrap();
    moorline_driver::backup_store(&path, &copy).unwrap();
    let error = moorline_driver::backup_store(&path, &copy).unwrap_err();
    assert!(error.message().contains("exists"), "{error}");
    first.perform([put(2, "b", "2"), load(3)]);
    stored(&first).1.unwrap();
    assert_eq!(records(&first).len(), 2);
    let error = moorline_driver::restore_store(&copy, &path).unwrap_err();
    assert!(error.message().contains("another process uses it"), "{error}");
    drop(first);
    let kept = moorline_driver::restore_store(&copy, &path).unwrap().unwrap();
    for (file, count) in [(&path, 1), (&kept, 2)] {
        let rig = rig(file);
        rig.perform([load(1)]);
        assert_eq!(records(&rig).len(), count, "{}", file.display());
    }
    let again = moorline_driver::restore_store(&copy, &path).unwrap().unwrap();
    assert!(again.ends_with("hub.db.before-restore-2"), "{}", again.display());
    for (file, count) in [(&kept, 2), (&again, 1)] {
        let rig = rig(file);
        rig.perform([load(1)]);
        assert_eq!(records(&rig).len(), count, "nothing that was kept is lost");
    }
    let nowhere = folder.path().join("nowhere.db");
    assert!(moorline_driver::restore_store(&nowhere, &path).is_err());
    assert!(moorline_driver::backup_store(&nowhere, &copy).is_err());
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
