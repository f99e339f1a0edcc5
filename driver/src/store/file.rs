//! A store's file: whose it is, which version, who holds it; copies of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use moorline_core::{Error, ErrorCode};
use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode as SqlCode, OpenFlags};

/// Marks a SQLite file as a store of ours: "MOOR".
const APPLICATION: i32 = 0x4D4F_4F52;
/// The version of the schema.
const VERSION: i32 = 1;
/// How long to wait for another process that holds the file: one that is ending, or copies it.
const BUSY_WAIT: Duration = Duration::from_millis(500);
/// A copy takes all pages in one step: between two steps a commit of the hub would have it begin anew.
/// Within one, the hub goes on.
const PAGES: i32 = i32::MAX;
/// A larger store is checked for damage while it is used.
const CHECKED_AT_ONCE: u64 = 64 * 1024 * 1024;
/// What stands in the log beside the file before it goes into the file: about a megabyte.
const LOG_PAGES: i32 = 256;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS record (
        space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key)
    ) WITHOUT ROWID, STRICT;";

/// An open store. Nobody else opens it for writing meanwhile; anybody may read and copy it.
pub(super) struct StoreFile {
    pub(super) connection: Connection,
    _lock: File,
}

impl StoreFile {
    /// Opens the store at `path`, or makes it.
    ///
    /// # Errors
    /// `STORE_FAILED` for a file that is no store, is of a newer version, is damaged, in use or open to
    /// every user of the machine, or cannot be read or written.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let lock = lock(path)?;
        let is_new = !path.try_exists().map_err(|e| failed(path, &e.to_string()))?;
        if is_new {
            create(path, true).map_err(|e| failed(path, &e.to_string()))?;
        }
        let opened = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .and_then(|connection| prepare(path, connection, is_new));
        match opened {
            Ok(connection) => Ok(Self { connection, _lock: lock }),
            Err(error) => {
                if is_new {
                    // Whoever mends the cause does not find a file that is no store.
                    let _ = fs::remove_file(path);
                }
                Err(error)
            }
        }
    }
}

fn prepare(path: &Path, connection: Connection, is_new: bool) -> Result<Connection, Error> {
    let wrong = |e: rusqlite::Error| failed(path, &told(&e));
    if !is_new {
        identify(path, &connection)?;
        check_modes(path)?;
    }
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = {LOG_PAGES};
             BEGIN IMMEDIATE; {SCHEMA}
             PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
        ))
        .map_err(wrong)?;
    let length = fs::metadata(path).map_err(|e| failed(path, &e.to_string()))?.len();
    if length > CHECKED_AT_ONCE {
        check_beside(path.to_owned());
        return Ok(connection);
    }
    let health: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(wrong)?;
    if health == "ok" { Ok(connection) } else { Err(failed(path, &health)) }
}

/// Checks a large store while it is used, and says so in the log if it is damaged: to read all of it
/// first would hold the start up.
fn check_beside(path: PathBuf) {
    let check = move || {
        let checked = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|connection| {
            let check = "PRAGMA quick_check(1)";
            let health = connection.query_row(check, [], |row| row.get::<_, String>(0));
            health.map_err(|e| failed(&path, &told(&e)))
        });
        match checked {
            Ok(health) if health == "ok" => {}
            Ok(health) => tracing::error!(path = %path.display(), health, "the store is damaged"),
            Err(error) => tracing::error!(%error, "the store cannot be checked"),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("moorline-check".into()).spawn(check) {
        tracing::warn!(%error, "the store is not checked");
    }
}

/// Sees that a file is a store that this version understands. Changes nothing.
fn identify(path: &Path, connection: &Connection) -> Result<(), Error> {
    let wrong = |e: rusqlite::Error| failed(path, &told(&e));
    let length = fs::metadata(path).map_err(|e| failed(path, &e.to_string()))?.len();
    if length == 0 {
        let message = "it is empty, not a store; restore a backup, or remove it for a new store";
        return Err(failed(path, message));
    }
    let number = |name: &str| -> rusqlite::Result<i32> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let application = number("application_id").map_err(wrong)?;
    let version = number("user_version").map_err(wrong)?;
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .and_then(|mut all| all.query_map([], |row| row.get(0))?.collect())
        .map_err(wrong)?;
    // Stores of the first builds carry no mark.
    let is_ours = application == APPLICATION || (application == 0 && version == 0);
    if application == APPLICATION && version > VERSION {
        let message = format!(
            "it was written by a newer version of Moorline (its version is {version}, this one \
             knows up to {VERSION}); update, or name another file"
        );
        return Err(failed(path, &message));
    }
    if !is_ours || tables != ["record"] {
        return Err(failed(path, "it is a database of another program, not a store"));
    }
    Ok(())
}

/// Sees that not everybody may read a store, or what stands beside it: it holds passwords and results.
fn check_modes(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    for file in [path.to_owned(), beside(path, "-wal")] {
        let mode = fs::metadata(&file).map_or(0, |it| std::os::unix::fs::MetadataExt::mode(&it));
        if mode & 0o007 != 0 {
            let text = "it is open to every user of the machine; chmod 600";
            return Err(failed(path, &format!("{text} {}", file.display())));
        }
    }
    Ok(())
}

/// Copies a store, which may be in use, to a new file that only its owner can read.
///
/// # Errors
/// `STORE_FAILED` if `from` is no store or `to` is there already, or one of them cannot be read or
/// written.
pub fn backup(from: &Path, to: &Path) -> Result<(), Error> {
    if !from.try_exists().map_err(|e| failed(from, &e.to_string()))? {
        return Err(failed(from, "it is not there"));
    }
    let source = connect(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    identify(from, &source)?;
    create(to, true).map_err(|e| failed(to, &e.to_string()))?;
    copy(&source, to).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// Puts a copy in the place of a store that nobody uses. What stood there is kept beside it, with
/// `.before-restore` at its end, and a number from the second time on; returns where.
///
/// # Errors
/// `STORE_FAILED` if `from` is no store, or `to` is in use or cannot be written.
pub fn restore(from: &Path, to: &Path) -> Result<Option<PathBuf>, Error> {
    if !from.try_exists().map_err(|e| failed(from, &e.to_string()))? {
        return Err(failed(from, "it is not there"));
    }
    let source = connect(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    identify(from, &source)?;
    let wrong = |e: io::Error| failed(to, &e.to_string());
    let _lock = lock(to)?;
    let fresh = beside(to, ".restoring");
    let _ = fs::remove_file(&fresh);
    create(&fresh, true).map_err(wrong)?;
    copy(&source, &fresh).inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })?;
    // What stands in its log belongs to the old file.
    let parts = ["-wal", "-shm", ""];
    let is_free = |kept: &PathBuf| parts.iter().all(|end| !beside(kept, end).exists());
    let names = (2..).map(|n| format!(".before-restore-{n}"));
    let names = std::iter::once(".before-restore".to_owned()).chain(names);
    let kept = if to.try_exists().map_err(wrong)? {
        names.map(|name| beside(to, &name)).find(is_free)
    } else {
        None
    };
    if let Some(kept) = &kept {
        for end in parts {
            match fs::rename(beside(to, end), beside(kept, end)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(wrong(e)),
                Ok(()) | Err(_) => {}
            }
        }
    }
    fs::rename(&fresh, to).map_err(wrong)?;
    sync_folder(to).map_err(wrong)?;
    Ok(kept)
}

/// Has the system write down which files a folder holds.
fn sync_folder(file: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = Path::new(".").join(file).parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Copies while others write, and checks the copy.
fn copy(source: &Connection, to: &Path) -> Result<(), Error> {
    let wrong = |e: rusqlite::Error| failed(to, &told(&e));
    let mut copy = connect(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Backup::new(source, &mut copy)
        .and_then(|backup| backup.run_to_completion(PAGES, Duration::ZERO, None))
        .map_err(wrong)?;
    // One file is easier to carry than one with a log beside it.
    copy.execute_batch("PRAGMA journal_mode = DELETE").map_err(wrong)?;
    let health: String =
        copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(wrong)?;
    if health != "ok" {
        return Err(failed(to, &health));
    }
    File::open(to).and_then(|file| file.sync_all()).map_err(|e| failed(to, &e.to_string()))
}

/// Opens a file by its path: names that mean something to SQLite mean nothing here.
fn connect(path: &Path, access: OpenFlags) -> Result<Connection, Error> {
    let place = Path::new(".").join(path);
    let connection = Connection::open_with_flags(place, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| failed(path, &told(&e)))?;
    connection.busy_timeout(BUSY_WAIT).map_err(|e| failed(path, &told(&e)))?;
    Ok(connection)
}

/// Takes a store for this process alone. The lock is on a file beside it, which stays: to open and close
/// the store's own would drop the locks that SQLite has on it in this process.
fn lock(path: &Path) -> Result<File, Error> {
    let place = beside(path, "-lock");
    let file = create(&place, false).map_err(|e| failed(path, &e.to_string()))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < BUSY_WAIT => {
                std::thread::sleep(BUSY_WAIT / 20);
            }
            Err(TryLockError::WouldBlock) => return Err(failed(path, IN_USE)),
            Err(TryLockError::Error(e)) => return Err(failed(path, &e.to_string())),
        }
    }
}

/// Names a file beside another.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Opens a file, which is readable by its owner alone if it is made here.
fn create(path: &Path, must_be_new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).create_new(must_be_new).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

const IN_USE: &str = "another process uses it";

/// Says what went wrong in words that help.
pub(super) fn told(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(SqlCode::DatabaseBusy | SqlCode::DatabaseLocked) => String::from(IN_USE),
        Some(SqlCode::NotADatabase) => String::from("it is not a store"),
        Some(SqlCode::DatabaseCorrupt) => format!("it is damaged: {error}"),
        Some(_) | None => error.to_string(),
    }
}

pub(super) fn failed(path: &Path, message: &str) -> Error {
    Error::new(ErrorCode::StoreFailed, format!("{}: {message}", path.display()))
}
