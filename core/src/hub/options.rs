//! Options of the hub.

use crate::api::options::ConfigError;
use crate::api::options::shared::{LimitOptions, RuntimeOptions};
use crate::base::secret::Secret;
use crate::dialect::beacon::coordinator::CoordinatorOptions;
use crate::dialect::volt::server::options::VoltHubOptions;
use crate::net::origin::{Visitors, host_and_port, is_loopback};
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
        /// Names by which the hub may be asked, such as `hub.example`, beside those of loopback; empty lets every name pass beyond loopback, and none on it.
        allowed_hosts: Vec<String> = Vec::new(),
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
        /// The most bytes that the queue holds, some 900 for each item included; more are refused with 429.
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
        /// The most connections; further ones wait, and one address gets three quarters until it registers.
        max_connections: u64 = 10_000; in 1..=1_000_000,
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

/// Checks what no single option can be blamed for.
pub(super) fn check(options: &HubOptions) -> Result<(), ConfigError> {
    let mut problems = ConfigError::default();
    let is_open = options.access == HubAccess::Open;
    let secrets = [&options.join_secret, &options.auth_join_secret];
    if !is_open && options.users.is_empty() && secrets.iter().all(|secret| secret.is_empty()) {
        problems.add(
            "access",
            "is secured, but nobody could join or log in: set users, join_secret or \
             auth_join_secret",
        );
    }
    for (index, host) in options.allowed_hosts.iter().enumerate() {
        if host.is_empty() || host_and_port(host) != (host, None) {
            problems.add(
                &format!("allowed_hosts[{index}]"),
                "must be a name such as hub.example, without scheme and port",
            );
        }
    }
    if !options.is_on_loopback() && !options.danger_open_network {
        if is_open {
            problems.add(
                "listen",
                "is beyond loopback, where an open hub lets anyone run work on its workers; \
                 set access to secured, or danger_open_network if the network is trusted",
            );
        } else if options.runtime.cert_file.is_empty() {
            problems.add(
                "listen",
                "is beyond loopback, where passwords would be sent in the clear; set \
                 runtime.cert_file and runtime.key_file, or danger_open_network",
            );
        }
    }
    problems.compare(&options.limits.pairs());
    let message = ("limits.max_message_bytes", options.limits.max_message_bytes);
    let results = if options.max_results == 0 { u64::MAX } else { options.max_result_bytes };
    problems.compare(&[
        [message, ("max_queued_bytes", options.max_queued_bytes)],
        [message, ("max_result_bytes", results)],
        [
            ("max_unadmitted_per_address", options.max_unadmitted_per_address),
            ("max_connections", options.max_connections),
        ],
    ]);
    for (index, user) in options.users.iter().enumerate() {
        if user.name.is_empty() || user.password.is_empty() {
            problems.add(&format!("users[{index}]"), "needs a name and a password");
        }
    }
    for (index, daemon) in options.volt.daemons.iter().enumerate() {
        if daemon.team_cluster_id.trim().is_empty() || daemon.password.expose().trim().is_empty() {
            problems
                .add(&format!("volt.daemons[{index}]"), "needs a team_cluster_id and a password");
        }
    }
    if options.volt.path.trim_matches('/').is_empty() || !options.volt.path.starts_with('/') {
        problems
            .add("volt.path", "must begin with a slash and name something, such as /socket.io/");
    }
    problems.check(())
}

impl HubOptions {
    fn is_on_loopback(&self) -> bool {
        is_loopback(host_and_port(&self.listen).0)
    }

    /// Returns by which names the hub may be asked, and for which pages.
    pub(super) fn visitors(&self) -> Visitors {
        let is_limited = self.is_on_loopback() || !self.allowed_hosts.is_empty();
        let listen = host_and_port(&self.listen).0.to_owned();
        let hosts = self.allowed_hosts.iter().cloned().chain([listen]).collect();
        Visitors {
            is_secure: !self.runtime.cert_file.is_empty(),
            hosts: is_limited.then_some(hosts),
            origins: self.allowed_origins.clone(),
        }
    }

    /// Returns what the coordinator of beacon workers needs to know.
    pub(super) fn coordinator(&self) -> CoordinatorOptions {
        CoordinatorOptions {
            is_secured: self.access == HubAccess::Secured,
            has_users: !self.users.is_empty(),
            join_secret: self.join_secret.clone(),
            auth_join_secret: self.auth_join_secret.clone(),
            lease_ms: self.lease_ms,
            ping_interval_ms: self.ping_interval_ms,
            max_redeliveries: self.max_redeliveries,
            work_timeout_ms: self.work_timeout_ms,
            max_queued: self.max_queued,
            max_queued_bytes: self.max_queued_bytes,
            affinity_ttl_ms: self.affinity_ttl_ms,
            max_results: self.max_results,
            max_result_bytes: self.max_result_bytes,
            result_ttl_ms: self.result_ttl_ms,
            registration_timeout_ms: self.registration_timeout_ms,
            max_connections: self.max_connections,
            max_unadmitted_per_address: self.max_unadmitted_per_address,
            max_body_bytes: self.max_body_bytes,
            limits: self.limits.clone(),
        }
    }
}
