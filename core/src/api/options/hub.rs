//! Options of the hub.

use super::shared::{LimitOptions, RuntimeOptions};
use super::volt_hub::VoltHubOptions;
use crate::base::secret::Secret;
use crate::{option_words, options};

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
        /// Names by which the hub may be asked, such as `hub.example`, beside those of loopback; empty lets every name pass beyond loopback, and none on it.
        allowed_hosts: Vec<String> = Vec::new(),
        /// Addresses and networks of reverse proxies, such as `10.0.0.0/8`: whoever asks through one is the last in its `X-Forwarded-For` that is none of them.
        trusted_proxies: Vec<String> = Vec::new(),
        /// The secret that workers must present to join a secured hub; empty leaves joining to an auth worker.
        join_secret: Secret = Secret::default(),
        /// The secret that lets a worker with the capability Authentication join; empty refuses it.
        auth_join_secret: Secret = Secret::default(),
        /// Users who may log in; empty leaves logins to an auth worker.
        users: Vec<User> = Vec::new(),
        /// Roles whose users may look at everything and change nothing, such as `reader`.
        reader_roles: Vec<String> = Vec::new(),
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
        /// The most bytes that the queue holds, some 900 for each item included; more are refused with 429.
        max_queued_bytes: u64 = 268_435_456; in 1_024..=1_099_511_627_776; unit "bytes",
        /// Requests to enqueue per second and client; 0 does not limit.
        enqueue_rate: u64 = 200; in 0..=1_000_000; unit "1/s",
        /// Requests to enqueue that a client may make at once.
        enqueue_burst: u64 = 500; in 1..=1_000_000,
        /// Workers that may log in per second, as after a restart of the hub; further ones are told when to come. 0 does not limit.
        readmission_rate: u64 = 600; in 0..=1_000_000; unit "1/s",
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
        /// The most connections; further ones wait, and one address gets three quarters until it registers.
        max_connections: u64 = 10_000; in 1..=1_000_000,
        /// The most bytes that all connections hold together, of messages and bodies under way and of answers unread; beyond, the one that holds most is ended.
        max_connection_bytes: u64 = 268_435_456; in 1_048_576..=1_099_511_627_776; unit "bytes",
        /// The most connections of one address that have asked nothing and not registered; further ones wait.
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

impl HubOptions {
    /// Tells whether workers and clients must show who they are.
    pub(crate) fn is_secured(&self) -> bool {
        self.access == HubAccess::Secured
    }
}
