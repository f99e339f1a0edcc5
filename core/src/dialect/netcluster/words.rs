//! Words of the wire that applications spell too.

use crate::api::words::WordTable;

/// What a provider asks for a sign of life by.
pub(crate) const PING: &str = "PING";
/// What a consumer answers.
pub(crate) const PONG: &str = "PONG";
/// What an announcement of the heartbeat begins with.
pub(crate) const ANNOUNCEMENT: &str = "PROVIDER_HEARTBEAT|";

/// Every set of constants of the dialect.
pub(crate) const WORDS: &[WordTable] = &[
    WordTable {
        dialect: "netcluster",
        name: "ReservedText",
        doc: "Messages that the protocol keeps for itself: the first two to consumers, of which the second is a beginning, the last to providers.",
        members: &[("Ping", PING), ("Announcement", ANNOUNCEMENT), ("Pong", PONG)],
    },
    WordTable {
        dialect: "netcluster",
        name: "Compressors",
        doc: "Presets of compression, with their numbers.",
        members: &[
            ("DISABLED", "0"),
            ("SHARED_COMPRESSOR", "1"),
            ("DEDICATED_COMPRESSOR", "3848"),
            ("DEDICATED_COMPRESSOR_3KB", "2305"),
            ("DEDICATED_COMPRESSOR_4KB", "2306"),
            ("DEDICATED_COMPRESSOR_8KB", "2563"),
            ("DEDICATED_COMPRESSOR_16KB", "2820"),
            ("DEDICATED_COMPRESSOR_32KB", "3077"),
            ("DEDICATED_COMPRESSOR_64KB", "3334"),
            ("DEDICATED_COMPRESSOR_128KB", "3591"),
            ("DEDICATED_COMPRESSOR_256KB", "3848"),
        ],
    },
];
