//! A store in a SQLite file, on a thread of its own.
//!
//! Every commit is synced before it is answered. Commits that wait at the same time share one
//! transaction and one sync; if the shared transaction fails, each is tried alone, so that one bad
//! commit does not fail its neighbours.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use moorline_core::store::{StoreReply, StoreRequest, Write};
use moorline_core::{Error, Input, StoreId};
use rusqlite::{Connection, params};

use crate::counters::Counting;
use crate::inbox::{Arrival, Inbox};
use crate::store::file::{StoreFile, failed, told};
use crate::store::{Answer, Store};

/// The most requests that one transaction answers.
const MAX_GROUP: usize = 256;

/// After how long without a request the log goes into the file: what stands in it is the one thing
/// whose damage SQLite takes for an end, and not for an error.
const REST: Duration = Duration::from_secs(1);

type Question = (StoreId, StoreRequest);

/// The I/O thread's end of a SQLite store.
pub(crate) struct Sqlite {
    path: PathBuf,
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    thread: Option<Sender<Question>>,
}

impl Sqlite {
    /// Makes a store for the file at `path`. Opens nothing yet.
    pub(crate) fn new(path: &str, inbox: Arc<Inbox>, counting: Arc<Counting>) -> Self {
        Self { path: PathBuf::from(path), inbox, counting, thread: None }
    }

    fn start(&self) -> Result<Sender<Question>, Error> {
        let (sender, receiver) = channel();
        let keeper = Keeper {
            path: self.path.clone(),
            inbox: Arc::clone(&self.inbox),
            counting: Arc::clone(&self.counting),
            file: None,
            is_logged: false,
        };
        std::thread::Builder::new()
            .name(String::from("moorline-store"))
            .spawn(move || keeper.run(&receiver))
            .map_err(|e| failed(&self.path, &format!("no thread: {e}")))?;
        Ok(sender)
    }
}

impl Store for Sqlite {
    fn ask(&mut self, store: StoreId, request: StoreRequest) -> Answer {
        let thread = match self.thread.take().map_or_else(|| self.start(), Ok) {
            Ok(thread) => thread,
            Err(error) => return Some(Err(error)),
        };
        if thread.send((store, request)).is_err() {
            return Some(Err(failed(&self.path, "its thread has ended")));
        }
        self.thread = Some(thread);
        None
    }
}

/// The store's thread.
struct Keeper {
    path: PathBuf,
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    file: Option<StoreFile>,
    /// Commits stand in the log beside the file.
    is_logged: bool,
}

impl Keeper {
    fn run(mut self, questions: &Receiver<Question>) {
        loop {
            let asked = if self.is_logged {
                questions.recv_timeout(REST)
            } else {
                questions.recv().map_err(RecvTimeoutError::from)
            };
            let first = match asked {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.rest();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.rest(),
            };
            let mut group = vec![first];
            group.extend(questions.try_iter().take(MAX_GROUP - 1));
            self.answer(group);
        }
    }

    /// Puts what stands in the log into the file.
    fn rest(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.is_logged) else { return };
        self.is_logged = false;
        let moved = file.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = moved {
            tracing::debug!(%error, "the store's log stays beside its file");
        }
    }

    /// Answers in order: a load sees every commit that was asked for before it.
    fn answer(&mut self, group: Vec<Question>) {
        let mut commits = Vec::new();
        for (store, request) in group {
            let (space, from, limit, bytes) = match request {
                StoreRequest::Commit { writes } => {
                    commits.push((store, writes));
                    continue;
                }
                StoreRequest::Load { space } => (space, String::new(), usize::MAX, usize::MAX),
                StoreRequest::Find { space, from, limit, bytes } => (space, from, limit, bytes),
            };
            self.commit(std::mem::take(&mut commits));
            let result = self.load(space, &from, (limit, bytes));
            self.reply(store, result);
        }
        self.commit(commits);
    }

    fn commit(&mut self, commits: Vec<(StoreId, Vec<Write>)>) {
        if commits.is_empty() {
            return;
        }
        let all: Vec<&[Write]> = commits.iter().map(|(_, writes)| writes.as_slice()).collect();
        let together = self.apply(&all);
        for (store, writes) in &commits {
            let result = match &together {
                Ok(()) => Ok(()),
                Err(error) if commits.len() == 1 => Err(error.clone()),
                Err(_) => self.apply(&[writes]),
            };
            self.reply(*store, result.map(|()| StoreReply::Committed));
        }
    }

    fn apply(&mut self, commits: &[&[Write]]) -> Result<(), Error> {
        let path = self.path.clone();
        let outcome = write(self.file()?, commits);
        if outcome.is_ok() {
            self.counting.syncs.tick();
            self.is_logged = true;
        }
        outcome.map_err(|e| self.broken(&path, &e))
    }

    fn load(
        &mut self,
        space: &str,
        from: &str,
        limits: (usize, usize),
    ) -> Result<StoreReply, Error> {
        let path = self.path.clone();
        let outcome = read(self.file()?, space, from, limits);
        outcome.map(StoreReply::Loaded).map_err(|e| self.broken(&path, &e))
    }

    fn file(&mut self) -> Result<&mut Connection, Error> {
        if self.file.is_none() {
            self.file = Some(StoreFile::open(&self.path)?);
        }
        let file = self.file.as_mut().map(|file| &mut file.connection);
        file.ok_or_else(|| failed(&self.path, "not open"))
    }

    /// Closes the file, so that the next request opens and checks it anew.
    fn broken(&mut self, path: &Path, error: &rusqlite::Error) -> Error {
        self.file = None;
        failed(path, &told(error))
    }

    fn reply(&self, store: StoreId, result: Result<StoreReply, Error>) {
        if let Err(error) = &result {
            tracing::error!(%error, "store");
        }
        self.inbox.arrive(Arrival::Input(Input::Stored { store, result }));
    }
}

fn write(file: &mut Connection, commits: &[&[Write]]) -> rusqlite::Result<()> {
    let transaction = file.transaction()?;
    for change in commits.iter().copied().flatten() {
        match change {
            Write::Put { space, key, value } => transaction
                .prepare_cached("INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3)")?
                .execute(params![space, key, value.as_ref()])?,
            Write::Delete { space, key } => transaction
                .prepare_cached("DELETE FROM record WHERE space = ?1 AND key = ?2")?
                .execute(params![space, key])?,
        };
    }
    transaction.commit()
}

/// Reads records from a key on: how many at most, and how many bytes of each.
fn read(
    file: &Connection,
    space: &str,
    from: &str,
    limits: (usize, usize),
) -> rusqlite::Result<Vec<(String, Bytes)>> {
    let [limit, bytes] = [limits.0, limits.1].map(|most| i64::try_from(most).unwrap_or(i64::MAX));
    file.prepare_cached(
        "SELECT key, substr(value, 1, ?4) FROM record WHERE space = ?1 AND key >= ?2
         ORDER BY key LIMIT ?3",
    )?
    .query_map(params![space, from, limit, bytes], |row| {
        Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?.into()))
    })?
    .collect()
}
