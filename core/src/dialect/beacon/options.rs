//! Options of the `beacon` dialect: worker, dispatcher, hub.

use crate::api::options::shared::{
    LimitOptions, OutboxOptions, ReconnectOptions, ResponseForm, RuntimeOptions,
};
use crate::base::json::Raw;
use crate::base::secret::Secret;
use crate::{option_words, options};

option_words! {
    /// Which transports a worker may use.
    pub enum WorkerTransport {
        /// WebSocket; HTTP polling while the upgrade fails; back to WebSocket when it works.
        Auto = "auto",
        /// WebSocket only.
        WebSocket = "websocket",
        /// HTTP polling only.
        Polling = "polling",
    }
}

options! {
    /// Options of a beacon worker.
    pub struct WorkerOptions {
        /// The control plane: scheme, host and port; the rest of the URL is ignored.
        server_url: String = String::from("http://localhost:54321"),
        /// The worker's name; unique in the fleet. Empty takes host, process and four digits, such as `edge-7-4711-09af`.
        name: String = String::new(),
        /// Who logs in; empty logs in as the worker's name.
        user_name: String = String::new(),
        /// The password of the login.
        password: Secret = Secret::default(),
        /// The secret that lets this worker join a secured control plane.
        join_secret: Secret = Secret::default(),
        /// The most work items run at once.
        max_concurrent: u64 = 1; in 1..=65_536,
        /// The most items kept waiting when the control plane pushes more than max_concurrent; further ones are answered with an error.
        max_waiting: u64 = 64; in 0..=65_536,
        /// Which transports may be used.
        transport: WorkerTransport = WorkerTransport::Auto,
        /// How often to ask for work over HTTP while there is none.
        poll_interval_ms: u64 = 5_000; in 10..=3_600_000; unit "ms",
        /// How often to try WebSocket again while on HTTP.
        upgrade_interval_ms: u64 = 60_000; in 100..=86_400_000; unit "ms",
        /// How often to send a heartbeat.
        heartbeat_interval_ms: u64 = 30_000; in 100..=3_600_000; unit "ms",
        /// How often to ping the connection; two unanswered pings end it.
        ping_interval_ms: u64 = 20_000; in 100..=3_600_000; unit "ms",
        /// How often a running item sends a sign of life, for control planes that forget silent ones.
        life_sign_interval_ms: u64 = 30_000; in 100..=3_600_000; unit "ms",
        /// Heartbeats stop when the application has not read its events for so long; 0 never stops them.
        max_stall_ms: u64 = 0; in 0..=86_400_000; unit "ms",
        /// Whether a lost link withdraws running items from their handlers, so that the control plane hands them out again; else they run on and their outcome goes over the next link.
        withdraw_on_loss: bool = false,
        /// Time for a connection: name look-up, TLS, upgrade.
        connect_timeout_ms: u64 = 10_000; in 100..=600_000; unit "ms",
        /// Time for the control plane to confirm the registration.
        registration_timeout_ms: u64 = 10_000; in 100..=600_000; unit "ms",
        /// Time for one HTTP exchange.
        http_timeout_ms: u64 = 15_000; in 100..=600_000; unit "ms",
        /// Labels, as a JSON object.
        tags: Raw = Raw::empty_object(),
        /// Named folders that universal addresses refer to, as a JSON object.
        contexts: Raw = Raw::empty_object(),
        /// Operation graphs to publish, as a JSON list.
        operations: Raw = Raw::empty_list(),
        /// Addresses where this worker serves HTTP, as a JSON list of {IP, Port, Protocol}.
        bind_addresses: Raw = Raw::empty_list(),
        /// The host's identity; empty takes the operating system's host name.
        host_id: String = String::new(),
        /// Mounts shared with other hosts, as a JSON list of {MountID, Root}.
        shared_mounts: Raw = Raw::empty_list(),
        /// Delays between connection attempts.
        reconnect: ReconnectOptions = ReconnectOptions::default(),
        /// Finished outcomes that wait for the control plane.
        outbox: OutboxOptions = OutboxOptions::default(),
        /// Limits of the link.
        limits: LimitOptions = LimitOptions::default(),
        /// The driver's options.
        runtime: RuntimeOptions = RuntimeOptions::default(),
    }

    /// Options of a beacon dispatcher.
    pub struct DispatcherOptions {
        /// The control plane: scheme, host and port; the rest of the URL is ignored.
        server_url: String = String::from("http://localhost:54321"),
        /// Who logs in; empty does not log in.
        user_name: String = String::new(),
        /// The password of the login.
        password: Secret = Secret::default(),
        /// Time for a call when it names none; covers queueing, work and retries.
        call_timeout_ms: u64 = 300_000; in 1..=86_400_000; unit "ms",
        /// Time for one HTTP exchange that is not a call.
        http_timeout_ms: u64 = 15_000; in 100..=600_000; unit "ms",
        /// Delays between attempts of a call whose control plane is away.
        reconnect: ReconnectOptions = ReconnectOptions {
            base_delay_ms: 250,
            max_delay_ms: 5_000,
            ..ReconnectOptions::default()
        },
        /// Limits.
        limits: LimitOptions = LimitOptions::default(),
        /// The driver's options.
        runtime: RuntimeOptions = RuntimeOptions::default(),
    }

    /// Options of one call of a dispatcher.
    pub struct CallOptions {
        /// Time for the call, from queueing to result; 0 takes the dispatcher's call_timeout_ms.
        timeout_ms: u64 = 0; in 0..=86_400_000; unit "ms",
        /// Calls with the same key run once and share their result; empty makes up a key.
        idempotency_key: String = String::new(),
        /// Calls with the same key go to the same worker while it lives; empty for none.
        affinity_key: String = String::new(),
        /// Wait for the worker that affinity_key names instead of taking another.
        require_affinity: bool = false,
        /// Report progress while the call runs.
        stream: bool = false,
        /// Calls a command of this VOLT daemon instead of the action of a worker; empty calls a worker.
        team_cluster_id: String = String::new(),
        /// The form in which a VOLT daemon answers.
        response_type: ResponseForm = ResponseForm::Json,
    }
}

impl CallOptions {
    /// Returns the idempotency key, if one is given.
    pub(crate) fn key(&self) -> Option<&str> {
        Some(self.idempotency_key.as_str()).filter(|key| !key.is_empty())
    }
}
