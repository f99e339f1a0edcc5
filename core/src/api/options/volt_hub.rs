//! Options of the hub's side of the `volt` dialect.

use super::shared::VoltGeneration;
use crate::base::secret::Secret;
use crate::options;

options! {
    /// A VOLT daemon that needs no enrollment: its password is agreed beforehand.
    pub struct VoltCredential {
        /// The id under which the daemon registers.
        team_cluster_id: String = String::new(),
        /// The daemon's password.
        password: Secret = Secret::default(),
    }

    /// The hub as the control plane of VOLT daemons.
    pub struct VoltHubOptions {
        /// Whether VOLT daemons are served.
        enabled: bool = true,
        /// The HTTP path of the Socket.IO server.
        path: String = String::from("/socket.io/"),
        /// Whether daemons may use WebSocket; otherwise they stay on HTTP polling.
        websocket: bool = true,
        /// Whether to grant compression of WebSocket messages of 1,024 bytes and more; a connection keeps up to 64 KiB for it.
        compression: bool = false,
        /// How often to ping a daemon's session.
        ping_interval_ms: u64 = 25_000; in 100..=3_600_000; unit "ms",
        /// How long a daemon may take to answer a ping; later its session ends.
        ping_timeout_ms: u64 = 60_000; in 100..=3_600_000; unit "ms",
        /// The largest message that a daemon may send; a larger one ends its connection with 1009.
        max_message_bytes: u64 = 10_000_000; in 1_024..=268_435_456; unit "bytes",
        /// Time for a session to join the namespace; later it is closed.
        connect_timeout_ms: u64 = 45_000; in 100..=3_600_000; unit "ms",
        /// Time for a session to register once it has joined the namespace; later it is told so and closed.
        registration_timeout_ms: u64 = 30_000; in 100..=3_600_000; unit "ms",
        /// Time for an upgrade from polling to WebSocket; later the attempt is dropped.
        upgrade_timeout_ms: u64 = 10_000; in 100..=600_000; unit "ms",
        /// Time for the answer to a command when the call names none; of a stream, the time between two parts.
        command_timeout_ms: u64 = 30_000; in 1..=86_400_000; unit "ms",
        /// How long a command waits for its daemon to register, within the time of the call.
        registration_wait_ms: u64 = 30_000; in 0..=86_400_000; unit "ms",
        /// How long a daemon may go without a heartbeat before it counts as disconnected.
        heartbeat_timeout_ms: u64 = 60_000; in 100..=86_400_000; unit "ms",
        /// How often that is checked.
        presence_interval_ms: u64 = 15_000; in 100..=3_600_000; unit "ms",
        /// The most commands waiting for an answer; more are refused with OVERLOADED.
        max_calls: u64 = 65_536; in 1..=1_048_576,
        /// The most commands of daemons that handlers of the application work on; more are answered 503.
        max_commands: u64 = 1_024; in 1..=1_048_576,
        /// Time for a handler of the application to answer a daemon's command; later it is answered 504 and withdrawn.
        handler_timeout_ms: u64 = 30_000; in 1..=86_400_000; unit "ms",
        /// The most bytes of one streamed answer; beyond, the call fails with TOO_LARGE. 0 sets no limit.
        max_stream_bytes: u64 = 0; in 0..=1_099_511_627_776; unit "bytes",
        /// How long an enrollment token is good for when it names no time.
        token_ttl_ms: u64 = 86_400_000; in 1_000..=31_536_000_000; unit "ms",
        /// The most enrollment tokens kept, used ones included.
        max_tokens: u64 = 10_000; in 1..=1_000_000,
        /// The most daemons known.
        max_daemons: u64 = 10_000; in 1..=1_000_000,
        /// Enrollments that one address may try within enroll_window_ms; more are answered 429.
        enroll_limit: u64 = 30; in 1..=1_000_000,
        /// The time over which enrollments are counted.
        enroll_window_ms: u64 = 900_000; in 1_000..=86_400_000; unit "ms",
        /// Which generation of the protocol daemons speak.
        generation: VoltGeneration = VoltGeneration::Auto,
        /// Daemons whose password is agreed beforehand.
        daemons: Vec<VoltCredential> = Vec::new(),
    }
}
