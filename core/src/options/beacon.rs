//! Options of the `beacon` dialect: worker, dispatcher, hub.

use crate::json::Raw;
use crate::options::shared::{LimitOptions, OutboxOptions, ReconnectOptions, RuntimeOptions};
use crate::options::table::{Field, TableRow};
use crate::options::volt_hub::{ResponseForm, VoltHubOptions};
use crate::secret::Secret;
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
        /// The worker's name; unique in the fleet.
        name: String = String::from("beacon-worker"),
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
}

options! {
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
}

options! {
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

option_words! {
    /// Who may use a hub.
    pub enum HubAccess {
        /// Whoever reaches the port. Loopback only, unless danger_open_network is set.
        Open = "open",
        /// Those who log in or know the join secret.
        Secured = "secured",
    }
}

options! {
    /// A user of a secured hub.
    pub struct User {
        /// The login name.
        name: String = String::new(),
        /// The password.
        password: Secret = Secret::default(),
        /// Roles, passed to whoever asks.
        roles: Vec<String> = Vec::new(),
    }
}

impl TableRow for User {
    const FIELDS: fn() -> Vec<Field> = Self::fields;
}

options! {
    /// Options of the hub.
    pub struct HubOptions {
        /// The address to listen on; port 0 takes a free one.
        listen: String = String::from("127.0.0.1:54321"),
        /// Who may use the hub.
        access: HubAccess = HubAccess::Open,
        /// Lets an open hub, or one without TLS, listen beyond loopback.
        danger_open_network: bool = false,
        /// Web origins whose pages may use the hub, such as `https://app.example`; pages of others are refused.
        allowed_origins: Vec<String> = Vec::new(),
        /// The secret that workers must present to join a secured hub; empty leaves joining to an auth worker.
        join_secret: Secret = Secret::default(),
        /// The secret that lets a worker with the capability Authentication join; empty refuses it.
        auth_join_secret: Secret = Secret::default(),
        /// Users who may log in; empty leaves logins to an auth worker.
        users: Vec<User> = Vec::new(),
        /// How long a login holds, counted from its beginning.
        session_ttl_ms: u64 = 86_400_000; in 100..=31_536_000_000; unit "ms",
        /// How long a worker may be silent before its leases end.
        lease_ms: u64 = 60_000; in 100..=86_400_000; unit "ms",
        /// How often to ping a worker's connection; two unanswered pings end it.
        ping_interval_ms: u64 = 20_000; in 100..=3_600_000; unit "ms",
        /// How often an item is handed out again after its worker was lost, before it fails.
        max_redeliveries: u64 = 10; in 0..=1_000_000,
        /// Time limit of an item that names none.
        work_timeout_ms: u64 = 300_000; in 1..=86_400_000; unit "ms",
        /// The most items in the queue; more are refused with 429.
        max_queued: u64 = 5_000; in 1..=1_000_000,
        /// The most bytes of settings in the queue; more are refused with 429.
        max_queued_bytes: u64 = 268_435_456; in 1_024..=1_099_511_627_776; unit "bytes",
        /// Requests to enqueue per second and client; 0 does not limit.
        enqueue_rate: u64 = 200; in 0..=1_000_000; unit "1/s",
        /// Requests to enqueue that a client may make at once.
        enqueue_burst: u64 = 500; in 1..=1_000_000,
        /// How long a key keeps drawing its work to the same worker.
        affinity_ttl_ms: u64 = 3_600_000; in 1_000..=86_400_000; unit "ms",
        /// The most finished results kept for look-up and idempotent retries.
        max_results: u64 = 10_000; in 0..=1_000_000,
        /// The most bytes of finished results kept.
        max_result_bytes: u64 = 268_435_456; in 0..=1_099_511_627_776; unit "bytes",
        /// How long a finished result is kept.
        result_ttl_ms: u64 = 3_600_000; in 1_000..=31_536_000_000; unit "ms",
        /// Time for a connection to register; later it is closed.
        registration_timeout_ms: u64 = 10_000; in 100..=600_000; unit "ms",
        /// The most connections.
        max_connections: u64 = 10_000; in 1..=1_000_000,
        /// The most connections of one address that have not registered.
        max_unadmitted_per_address: u64 = 64; in 1..=65_536,
        /// VOLT daemons.
        volt: VoltHubOptions = VoltHubOptions::default(),
        /// The largest HTTP request body.
        max_body_bytes: u64 = 16_777_216; in 1_024..=268_435_456; unit "bytes",
        /// Limits of each link.
        limits: LimitOptions = LimitOptions::default(),
        /// The driver's options.
        runtime: RuntimeOptions = RuntimeOptions::default(),
    }
}
