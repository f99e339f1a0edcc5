//! Options of the `volt` dialect: the daemon.

use crate::api::options::VoltGeneration;
use crate::api::options::shared::{LimitOptions, ReconnectOptions, RuntimeOptions};
use crate::base::secret::Secret;
use crate::{option_words, options};

option_words! {
    /// Which transports a daemon may use.
    pub enum DaemonTransport {
        /// WebSocket; HTTP polling when its handshake fails.
        Auto = "auto",
        /// HTTP polling first, then an upgrade to WebSocket, as Socket.IO clients do by default.
        Upgrade = "upgrade",
        /// WebSocket only.
        WebSocket = "websocket",
        /// HTTP polling only.
        Polling = "polling",
    }
}

option_words! {
    /// What a daemon does when its enrollment token was used before.
    pub enum OnAlreadyEnrolled {
        /// `error` when enrollment.url is given, else `use-password`.
        Auto = "auto",
        /// The start fails.
        Error = "error",
        /// The daemon registers with the password that it has; fails if it has none.
        UsePassword = "use-password",
    }
}

option_words! {
    /// How a heartbeat travels.
    pub enum BeatMode {
        /// As the command; as the message once the control plane answers the command 404, as the third generation does.
        Auto = "auto",
        /// As the command runtime.heartbeat, which the control plane answers.
        Command = "command",
        /// As a message of type runtime-heartbeat, which nobody answers.
        Message = "message",
    }
}

option_words! {
    /// What a daemon's connection is for, as it tells at its registration.
    pub enum DaemonChannel {
        /// Not told: the control plane takes it for control.
        None = "none",
        /// Commands, messages, tunnels.
        Control = "control",
        /// Heartbeats.
        Heartbeat = "heartbeat",
        /// Events and streams that the daemon opens.
        Events = "events",
        /// Tunnels to the daemon's object gateway.
        ObjectGateway = "object-gateway",
    }
}

options! {
    /// How a daemon turns its one-time token into a password.
    pub struct EnrollmentOptions {
        /// Whether to enroll when there is a token.
        enabled: bool = true,
        /// The whole URL of the enrollment; empty derives it from server_url and team_cluster_id.
        url: String = String::new(),
        /// What to do when the token was used before.
        on_already_enrolled: OnAlreadyEnrolled = OnAlreadyEnrolled::Auto,
        /// Time for the exchange, redirects included.
        timeout_ms: u64 = 30_000; in 100..=600_000; unit "ms",
        /// Whether to try again, with the delays of reconnect, when the control plane is not there or answers 429 or 5xx.
        retry: bool = false,
    }

    /// A daemon's heartbeats.
    pub struct VoltHeartbeatOptions {
        /// Whether to beat at all.
        enabled: bool = true,
        /// Time from the end of one beat to the next.
        interval_ms: u64 = 30_000; in 1..=86_400_000; unit "ms",
        /// The most that a random amount adds to each interval.
        jitter_ms: u64 = 0; in 0..=86_400_000; unit "ms",
        /// Whether the application makes each payload, asked by the event beat_asked.
        asks: bool = false,
        /// Whether to put teamClusterId, daemonPassword and installedVersion into the payload; the control plane refuses beats without them.
        include_credentials: bool = false,
        /// How a beat travels.
        mode: BeatMode = BeatMode::Auto,
    }

    /// A daemon's further connections, beside the one for control; each is registered with its channel.
    pub struct PlaneOptions {
        /// One for heartbeats, which then go over no other.
        heartbeat: bool = false,
        /// One for streams that the daemon opens.
        events: bool = false,
        /// One for tunnels to the daemon's object gateway.
        object_gateway: bool = false,
    }

    /// Options of a VOLT daemon.
    pub struct DaemonOptions {
        /// The control plane: scheme, host and port; where enrollment.url is derived from.
        server_url: String = String::new(),
        /// The control channel: a URL whose path is the Socket.IO namespace, such as `wss://volt.example`.
        control_socket_url: String = String::new(),
        /// The id under which the daemon registers.
        team_cluster_id: String = String::new(),
        /// The daemon's password; may be empty when it enrolls.
        daemon_password: Secret = Secret::default(),
        /// The one-time token that enrolls the daemon; empty does not enroll.
        enrollment_token: Secret = Secret::default(),
        /// The daemon's version, told when it enrolls; empty tells none.
        installed_version: String = String::new(),
        /// How the token becomes a password.
        enrollment: EnrollmentOptions = EnrollmentOptions::default(),
        /// Heartbeats.
        heartbeat: VoltHeartbeatOptions = VoltHeartbeatOptions::default(),
        /// Which generation of the protocol the control plane speaks.
        generation: VoltGeneration = VoltGeneration::Auto,
        /// What the connection is for; control planes of the first generation refuse a registration that tells it.
        channel: DaemonChannel = DaemonChannel::None,
        /// Further connections, as daemons of the third generation have them.
        planes: PlaneOptions = PlaneOptions::default(),
        /// Whether to ask the control plane to acknowledge the registration, so that a refusal is known at once.
        register_with_ack: bool = false,
        /// Time for the control plane to confirm the registration.
        registration_timeout_ms: u64 = 10_000; in 100..=600_000; unit "ms",
        /// Time for a connection: name look-up, TLS, transport, namespace.
        connect_timeout_ms: u64 = 20_000; in 100..=600_000; unit "ms",
        /// Time for one HTTP exchange of the polling transport that the control plane does not hold open.
        http_timeout_ms: u64 = 30_000; in 100..=600_000; unit "ms",
        /// Whether to connect again after a loss.
        reconnect_enabled: bool = true,
        /// Whether to connect again after the control plane itself ended the session, as it does before a restart.
        reconnect_on_server_disconnect: bool = true,
        /// The HTTP path of the Socket.IO server.
        path: String = String::from("/socket.io/"),
        /// Whether to offer compression of WebSocket messages of 1,024 bytes and more; a connection keeps up to 64 KiB for it.
        compression: bool = false,
        /// Which transports may be used.
        transport: DaemonTransport = DaemonTransport::Auto,
        /// The most messages that wait for a registration; beyond, the oldest is dropped with a notice.
        max_queued: u64 = 1_024; in 0..=1_048_576,
        /// The most bytes of messages that wait for a registration; beyond, the oldest are dropped with a notice.
        max_queued_bytes: u64 = 8_388_608; in 0..=1_073_741_824; unit "bytes",
        /// The most commands run at once; further ones are answered with status 503.
        max_concurrent: u64 = 4_096; in 1..=65_536,
        /// Delays between connection attempts.
        reconnect: ReconnectOptions = ReconnectOptions {
            base_delay_ms: 500,
            max_delay_ms: 30_000,
            jitter_percent: 30,
            stable_after_ms: 10_000,
            ..ReconnectOptions::default()
        },
        /// Limits of the link.
        limits: LimitOptions = LimitOptions {
            // What the original takes.
            max_message_bytes: 104_857_600,
            ..LimitOptions::default()
        },
        /// The driver's options.
        runtime: RuntimeOptions = RuntimeOptions::default(),
    }

    /// Options of one command of a daemon.
    pub struct CommandOptions {
        /// Time for the answer; 0 gives up at once.
        timeout_ms: u64 = 30_000; in 0..=9_007_199_254_740_991; unit "ms",
    }
}
