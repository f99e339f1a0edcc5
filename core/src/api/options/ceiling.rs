//! The memory that a hub may come to, from its options.

use super::hub::HubOptions;

/// One part of the memory that a hub may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTerm {
    /// What is held.
    pub what: &'static str,
    /// The options that it follows from; empty for what no option changes.
    pub options: &'static str,
    /// How much it may be, in bytes.
    pub bytes: u64,
}

const MIB: u64 = 1_048_576;
/// The program, its threads, certificates that are trusted, the store's cache.
const PROGRAM: u64 = 48 * MIB;
/// Logins, names, bindings, runs and what can be dispatched: each bounded in number.
const REMEMBERED: u64 = 64 * MIB;
/// A connection that holds no more than everybody may: its buffers, and what the hub knows of it.
const CONNECTION: u64 = 20 * 1_024;
/// What a connection keeps of what it said and heard, for compression to refer to.
const WINDOWS: u64 = 64 * 1_024;
/// A token or a daemon.
const DAEMON: u64 = 1_024;
/// How often one message stands in memory while it is read, kept and passed on.
const COPIES: u64 = 3;

impl HubOptions {
    /// Returns the parts of the memory that a hub with these options may come to. Under every load and
    /// attack it stays below 1.2 times their sum: what the system's allocator adds is in the fifth.
    #[must_use]
    pub fn memory_ceiling(&self) -> [MemoryTerm; 8] {
        let largest = self.limits.max_message_bytes.max(self.max_body_bytes);
        let largest = largest.max(if self.volt.enabled { self.volt.max_message_bytes } else { 0 });
        let daemons = self.volt.max_tokens.saturating_add(self.volt.max_daemons);
        let results = if self.max_results == 0 { 0 } else { self.max_result_bytes };
        let is_compressed = self.volt.enabled && self.volt.compression;
        let connection = CONNECTION + if is_compressed { WINDOWS } else { 0 };
        let term = |what, options, bytes| MemoryTerm { what, options, bytes };
        [
            term("the program", "", PROGRAM),
            term("logins, names, runs", "", REMEMBERED),
            term("the queue", "max_queued_bytes", self.max_queued_bytes),
            term("finished results", "max_result_bytes", results),
            term(
                "what connections hold: messages that come and answers that leave",
                "max_connection_bytes",
                self.max_connection_bytes,
            ),
            term(
                "connections by themselves",
                "max_connections, volt.compression",
                self.max_connections.saturating_mul(connection),
            ),
            term(
                "one message while it is worked on",
                "limits.max_message_bytes, max_body_bytes, volt.max_message_bytes",
                largest.saturating_mul(COPIES),
            ),
            term(
                "events, tokens and daemons",
                "runtime.max_event_bytes, volt.max_tokens, volt.max_daemons",
                self.runtime.max_event_bytes.saturating_add(daemons.saturating_mul(DAEMON)),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_of_the_defaults_is_one_that_a_machine_has() {
        let sum: u64 = HubOptions::default().memory_ceiling().iter().map(|term| term.bytes).sum();
        assert!((512 * MIB..1_536 * MIB).contains(&sum), "{} MiB", sum / MIB);
    }

    #[test]
    fn compression_costs_every_connection_its_windows() {
        let mut options = HubOptions::default();
        let sum = |options: &HubOptions| {
            options.memory_ceiling().iter().map(|term| term.bytes).sum::<u64>()
        };
        let before = sum(&options);
        options.volt.compression = true;
        assert_eq!(sum(&options) - before, options.max_connections * 65_536);
    }

    #[test]
    fn every_option_of_bytes_or_connections_is_in_a_term() {
        let terms = HubOptions::default().memory_ceiling();
        let named: Vec<&str> = terms.iter().flat_map(|term| term.options.split(", ")).collect();
        for field in HubOptions::fields() {
            let is_size = field.name.ends_with("_bytes") || field.name == "max_connections";
            assert!(!is_size || named.contains(&field.name), "{}", field.name);
        }
    }
}
