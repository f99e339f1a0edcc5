//! Storage as data: the machine asks, the driver performs, the result comes back as an input.
//!
//! A store is a set of named spaces, each an ordered map from text keys to bytes. A commit is atomic.
//! A `disk` store answers a commit only after it is synced; commits waiting at the same time share
//! one sync.

use bytes::Bytes;

/// What a machine asks of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRequest {
    /// Read every record of a space, in key order.
    Load {
        /// The space.
        space: &'static str,
    },
    /// Read records of a space from a key on, in key order.
    Find {
        /// The space.
        space: &'static str,
        /// The first key that may be among them.
        from: String,
        /// The most records.
        limit: usize,
        /// The most bytes of each value; the rest is left out.
        bytes: usize,
    },
    /// Apply all writes or none.
    Commit {
        /// The writes, in order.
        writes: Vec<Write>,
    },
}

/// One write of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Insert or replace a record.
    Put {
        /// The space.
        space: &'static str,
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
    },
    /// Remove a record; no error if there is none.
    Delete {
        /// The space.
        space: &'static str,
        /// The key.
        key: String,
    },
}

/// What the store answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreReply {
    /// The records of a space that were asked for, in key order.
    Loaded(Vec<(String, Bytes)>),
    /// The commit holds as strongly as the store's mode promises.
    Committed,
}

/// What was loaded, by space.
pub(crate) type Loaded = std::collections::BTreeMap<&'static str, Vec<(String, Bytes)>>;

/// Reads the records of a space, and counts those that cannot be read.
pub(crate) fn read_all<T>(
    records: Vec<(String, Bytes)>,
    read: impl Fn(&str, &[u8]) -> Option<T>,
    unreadable: &mut usize,
) -> Vec<T> {
    let before = records.len();
    let found: Vec<T> = records.into_iter().filter_map(|(key, bytes)| read(&key, &bytes)).collect();
    *unreadable += before - found.len();
    found
}
