//! Option groups that several roles share.

use crate::base::secret::Secret;
use crate::{option_words, options};

options! {
    /// The ladder of delays between connection attempts.
    pub struct ReconnectOptions {
        /// The first delay. A beacon worker that lost its link waits for anything up to 15 of it, at most 3.75 s: a whole fleet may have lost the same hub.
        base_delay_ms: u64 = 250; in 1..=3_600_000; unit "ms",
        /// The largest delay.
        max_delay_ms: u64 = 30_000; in 1..=86_400_000; unit "ms",
        /// What a delay is multiplied by after each failed attempt, in hundredths: 200 doubles it. Above 100 it grows by 1 ms at least.
        growth_percent: u64 = 200; in 100..=1_000; unit "%",
        /// How far a delay is spread at random: up and down, but never beyond max_delay_ms.
        jitter_percent: u64 = 20; in 0..=100; unit "%",
        /// Attempts before the session gives up; 0 never gives up.
        max_attempts: u64 = 0; in 0..=1_000_000,
        /// How long a link must have been up for the ladder to start anew.
        stable_after_ms: u64 = 30_000; in 0..=3_600_000; unit "ms",
    }

    /// Limits of one link. What exceeds one gets a clear error; nothing grows without bound.
    pub struct LimitOptions {
        /// The largest message accepted; a larger one closes the connection with 1009.
        max_message_bytes: u64 = 16_777_216; in 1_024..=268_435_456; unit "bytes",
        /// The most fragments of one message; more close the connection with 1008.
        max_fragments: u64 = 1_024; in 1..=1_048_576,
        /// The most bytes waiting to be sent; more fail the connection with OVERLOADED.
        max_send_queue_bytes: u64 = 33_554_432; in 65_536..=1_073_741_824; unit "bytes",
        /// The most calls waiting for a reply; more are refused with OVERLOADED.
        max_pending_calls: u64 = 65_536; in 1..=1_048_576,
    }
}

impl LimitOptions {
    /// Returns the numbers that belong together, for [`ConfigError::compare`](super::ConfigError).
    pub(crate) const fn pairs(&self) -> [[(&'static str, u64); 2]; 1] {
        [[
            ("limits.max_message_bytes", self.max_message_bytes),
            ("limits.max_send_queue_bytes", self.max_send_queue_bytes),
        ]]
    }
}

options! {
    /// Where finished outcomes wait until the control plane has taken them.
    pub struct OutboxOptions {
        /// The most outcomes kept; beyond, new work is not taken until there is room.
        max_items: u64 = 10_000; in 1..=1_000_000,
        /// The most bytes kept; beyond, new work is not taken until there is room.
        max_bytes: u64 = 67_108_864; in 1_024..=8_589_934_592; unit "bytes",
        /// Whether a store that cannot be opened ends the start with STORE_FAILED; else outcomes are kept in memory only, which a notice says.
        require_store: bool = true,
    }

    /// What the driver needs from the machine it runs on. The core only declares it.
    pub struct RuntimeOptions {
        /// A SQLite file that survives the process; empty keeps everything in memory.
        store_path: String = String::new(),
        /// A PEM file of certificates to trust beside those of the operating system; empty for none.
        ca_file: String = String::new(),
        /// A PEM file with the certificate chain to present: client identity, or a listener's own.
        cert_file: String = String::new(),
        /// The PEM file with the private key of cert_file.
        key_file: String = String::new(),
        /// The passphrase of key_file, if it is encrypted; beside a plain one it is ignored.
        key_passphrase: Secret = Secret::default(),
        /// The name that a TLS server is asked for and must have in its certificate; empty for the host that is dialed.
        server_name: String = String::new(),
        /// `environment` honours HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; `none` ignores them; else a proxy URL.
        proxy: Secret = Secret::new("environment"),
        /// Accept any certificate; works only with MOORLINE_DANGER_ACCEPT_INVALID_CERTS=1 set too.
        danger_accept_invalid_certs: bool = false,
        /// A file that records inputs and outputs, secrets redacted, for replay; empty for none.
        trace_file: String = String::new(),
        /// The most bytes of trace_file; the recording ends before the line that would exceed them.
        max_trace_bytes: u64 = 1_073_741_824; in 65_536..=1_099_511_627_776; unit "bytes",
        /// Where `/live`, `/ready` and `/metrics` are answered over plain HTTP to whoever asks: a port on loopback such as `9464`, or an address such as `0.0.0.0:9464`; empty answers nowhere.
        health_listen: String = String::new(),
        /// The most bytes of events waiting for the application; more delay reading from peers.
        max_event_bytes: u64 = 67_108_864; in 65_536..=1_073_741_824; unit "bytes",
    }

    /// Scripts that the driver offers as handlers and runs itself: each gets its payload as one argument of JSON text, and its exit status is the outcome.
    pub struct ScriptOptions {
        /// The folder whose executable files are offered under their names, as they are at the start; empty for none.
        folder: String = String::new(),
        /// The most bytes of each output stream of a run that are logged.
        output_limit_bytes: u64 = 65_536; in 0..=67_108_864; unit "bytes",
        /// Variables of this process that scripts see beside PATH.
        environment: Vec<String> = Vec::new(),
    }
}

option_words! {
    /// The form in which a daemon answers a command.
    pub enum ResponseForm {
        /// A JSON value.
        Json = "json",
        /// Bytes at once.
        Buffer = "buffer",
        /// Bytes in parts.
        Stream = "stream",
    }
}

option_words! {
    /// What becomes of a message while more than allowed has not left.
    pub enum WhenFull {
        /// It is dropped, and its outcome says so.
        Drop = "drop",
        /// It is dropped, and the connection is closed with 1013.
        Close = "close",
        /// It waits until what is before it has left.
        Block = "block",
    }
}

option_words! {
    /// Which generation of the VOLT protocol the other side speaks: how it puts bytes into messages.
    pub enum VoltGeneration {
        /// Learnt from what the other side says.
        Auto = "auto",
        /// As base64 text.
        First = "1",
        /// As attachments.
        Second = "2",
        /// As attachments, each in an envelope.
        Third = "3",
    }
}
