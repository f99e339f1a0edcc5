//! Options of the `wsdaemon` dialect: client and server.

use crate::api::options::ConfigError;
use crate::api::options::shared::{LimitOptions, ReconnectOptions, RuntimeOptions, ScriptOptions};
use crate::base::secret::Secret;
use crate::net::origin::{Origin, Visitors, is_here};
use crate::net::target::FrameLimits;
use crate::{option_words, options};

options! {
    /// Where programs of this machine ask a daemon.
    pub struct LocalOptions {
        /// The file of a Unix socket; empty for none. While another daemon listens behind it, `NAME0.sock`, `NAME1.sock` and so on are tried.
        socket_path: String = String::new(),
        /// An address for programs that ask over TCP, such as `127.0.0.1:9007`; empty for none.
        tcp_address: String = String::new(),
        /// The most programs connected at once; further ones wait.
        max_connections: u64 = 64; in 1..=65_536,
    }

    /// What the other side may run: scripts and handlers alike.
    pub struct HandlerOptions {
        /// The most that run at once.
        max_concurrent: u64 = 16; in 1..=65_536,
        /// The most requests that wait for one that runs; further ones are answered with -5.
        max_waiting: u64 = 256; in 0..=65_536,
        /// The most bytes of the params and ids of such requests.
        max_waiting_bytes: u64 = 33_554_432; in 1_024..=1_073_741_824; unit "bytes",
        /// How long one may run; then it is ended and -3 is answered. 0 does not limit.
        timeout_ms: u64 = 300_000; in 0..=86_400_000; unit "ms",
        /// Whether a request for what is not offered is answered with -1; the original is silent.
        answer_unknown: bool = true,
    }

    /// Requests to the other side that wait for their status.
    pub struct AskOptions {
        /// How long a status is waited for; then -3 is answered.
        timeout_ms: u64 = 600_000; in 1..=86_400_000; unit "ms",
        /// The most requests that wait, their ids of at most max_queued_bytes together; further ones are answered with -5.
        max_pending: u64 = 4_096; in 1..=1_048_576,
        /// The most messages kept while the other side is away; further ones are answered with -5.
        max_queued: u64 = 1_000; in 1..=1_048_576,
        /// The most bytes of such messages.
        max_queued_bytes: u64 = 16_777_216; in 1_024..=1_073_741_824; unit "bytes",
    }
}

option_words! {
    /// What a daemon is towards others.
    pub enum DaemonMode {
        /// It connects to one that is a server.
        Client = "client",
        /// Others connect to it.
        Server = "server",
    }
}

options! {
    /// Options of a ws-daemon.
    pub struct DaemonOptions {
        /// What the daemon is towards others.
        mode: DaemonMode = DaemonMode::Client,
        /// A client's server: scheme, host and port; `wss:` for TLS.
        server_url: String = String::from("ws://localhost:80"),
        /// The address that a server listens on.
        listen: String = String::from("127.0.0.1:80"),
        /// The token that a client shows and a server wants to see, as `Authorization: Bearer TOKEN`; empty for none.
        token: Secret = Secret::default(),
        /// Lets a server listen beyond loopback without a token or without TLS, programs ask over TCP from there, and a client send its token in the clear.
        danger_open_network: bool = false,
        /// Names beside those of loopback by which a server may be asked; empty beyond loopback lets every name pass.
        allowed_hosts: Vec<String> = Vec::new(),
        /// Origins of pages that may connect to a server, such as `https://app.example`.
        allowed_origins: Vec<String> = Vec::new(),
        /// The most clients of a server; further ones wait.
        max_connections: u64 = 1_000; in 1..=1_000_000,
        /// The most connections of one address that a server has not let in; further ones wait.
        max_unadmitted_per_address: u64 = 64; in 1..=65_536,
        /// Whether the server may send a client away for a while.
        honor_pause: bool = true,
        /// Time for a connection: name look-up, TLS, upgrade.
        connect_timeout_ms: u64 = 4_000; in 100..=600_000; unit "ms",
        /// How often to ping each connection; two unanswered pings end it.
        ping_interval_ms: u64 = 10_000; in 100..=3_600_000; unit "ms",
        /// Delays between a client's connection attempts.
        reconnect: ReconnectOptions = ReconnectOptions {
            base_delay_ms: 3_000,
            max_delay_ms: 10_000,
            growth_percent: 130,
            jitter_percent: 66,
            stable_after_ms: 5_000,
            ..ReconnectOptions::default()
        },
        /// Where programs of this machine ask.
        local: LocalOptions = LocalOptions::default(),
        /// What the other side may run.
        handlers: HandlerOptions = HandlerOptions::default(),
        /// The scripts among it.
        scripts: ScriptOptions = ScriptOptions::default(),
        /// What waits for the other side.
        asks: AskOptions = AskOptions::default(),
        /// Limits of each connection.
        limits: LimitOptions = LimitOptions::default(),
        /// The driver's options.
        runtime: RuntimeOptions = RuntimeOptions::default(),
    }

    /// Options of one request to the other side.
    pub struct CallOptions {
        /// How long its status is waited for; 0 takes asks.timeout_ms.
        timeout_ms: u64 = 0; in 0..=86_400_000; unit "ms",
    }
}

impl DaemonOptions {
    /// Checks what no single option can be blamed for; returns where a client's server is.
    pub(super) fn check(&self) -> Result<Option<Origin>, ConfigError> {
        let mut problems = ConfigError::default();
        let origin = match self.mode {
            DaemonMode::Client => self.check_client(&mut problems),
            DaemonMode::Server => self.check_server(&mut problems),
        };
        let local = &self.local.tcp_address;
        if !local.is_empty() && !self.danger_open_network && !is_here(local) {
            problems.add(
                "local.tcp_address",
                "is beyond loopback, where anyone could ask; use a loopback address, or \
                 danger_open_network if the network is trusted",
            );
        }
        problems.compare(&self.limits.pairs());
        let most = ("handlers.max_waiting_bytes", self.handlers.max_waiting_bytes);
        problems.compare(&[[("limits.max_message_bytes", self.limits.max_message_bytes), most]]);
        problems.compare(&[[
            ("max_unadmitted_per_address", self.max_unadmitted_per_address),
            ("max_connections", self.max_connections),
        ]]);
        problems.check(origin)
    }

    /// Returns the limits of each connection. What waits to be sent waits on its line, by
    /// `max_send_queue_bytes`: what is on its way comes to half of that and one message.
    pub(super) fn frame_limits(&self) -> FrameLimits {
        let limits = FrameLimits::from(&self.limits);
        FrameLimits { max_send_queue: limits.max_send_queue.saturating_mul(2), ..limits }
    }

    fn check_client(&self, problems: &mut ConfigError) -> Option<Origin> {
        problems.compare(&[[
            ("limits.max_message_bytes", self.limits.max_message_bytes),
            ("asks.max_queued_bytes", self.asks.max_queued_bytes),
        ]]);
        let origin = Origin::parse(&self.server_url);
        let origin = origin.map_err(|problem| problems.add("server_url", problem)).ok()?;
        if !self.token.is_empty() && !origin.is_private() && !self.danger_open_network {
            problems.add(
                "token",
                "would be sent in the clear; use a wss: URL, or danger_open_network if the network \
                 is trusted",
            );
        }
        Some(origin)
    }

    fn check_server(&self, problems: &mut ConfigError) -> Option<Origin> {
        let is_guarded = !self.token.is_empty() && !self.runtime.cert_file.is_empty();
        if !is_here(&self.listen) && !is_guarded && !self.danger_open_network {
            problems.add(
                "listen",
                "is beyond loopback, where anyone could run the scripts; set token, \
                 runtime.cert_file and runtime.key_file, or danger_open_network if the network is \
                 trusted",
            );
        }
        None
    }

    /// Returns by which names a server may be asked, and for which pages.
    pub(super) fn visitors(&self) -> Visitors {
        let is_secure = !self.runtime.cert_file.is_empty();
        Visitors::of(&self.listen, is_secure, &self.allowed_hosts, &self.allowed_origins)
    }
}
