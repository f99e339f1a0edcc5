//! Options of the `netcluster` dialect: the provider and its consumers.

use super::words::WORDS;
use crate::api::options::ConfigError;
use crate::api::options::shared::{LimitOptions, ReconnectOptions, RuntimeOptions, WhenFull};
use crate::base::secret::Secret;
use crate::net::origin::{host_and_port, is_loopback};
use crate::net::target::Deflate;
use crate::options;
use crate::parts::listener::check_proxies;

options! {
    /// A parameter of the query that consumers come with.
    pub struct ParameterOption {
        /// Its name.
        name: String = String::new(),
        /// Its value.
        value: Secret = Secret::default(),
    }

    /// A provider's connections.
    pub struct ProviderWsOptions {
        /// The preset of compression by its number among COMPRESSORS; 0 disables it.
        compressor: u64 = 0; in 0..=4_095,
        /// The most bytes sent to a consumer that have not left; 0 does not limit.
        max_backpressure: u64 = 1_048_576; in 0..=1_073_741_824; unit "bytes",
        /// The largest message accepted; a larger one ends the connection.
        max_payload_length: u64 = 32_768; in 0..=268_435_456; unit "bytes",
        /// What becomes of a message while more than max_backpressure has not left.
        on_backlog: WhenFull = WhenFull::Drop,
        /// The most messages of a consumer that wait if on_backlog is block; more are dropped.
        max_waiting: u64 = 1_024; in 0..=1_048_576,
        /// The largest message sent, and the most bytes that wait if on_backlog is block.
        max_send_bytes: u64 = 67_108_864; in 1_024..=1_073_741_824; unit "bytes",
        /// The most fragments of one message; more close the connection with 1008.
        max_fragments: u64 = 1_024; in 1..=1_048_576,
    }

    /// Whom a provider lets in.
    pub struct ProviderAuthOptions {
        /// Parameters that a consumer must come with, each once and with this value.
        parameters: Vec<ParameterOption> = Vec::new(),
        /// Whether the application decides, asked by the event admission_asked.
        asks: bool = false,
        /// Time for the application to decide; later the consumer is answered 503.
        timeout_ms: u64 = 10_000; in 1..=600_000; unit "ms",
        /// The most consumers that wait for the application; more are answered 503.
        max_pending: u64 = 1_024; in 1..=65_536,
    }

    /// A provider's heartbeats.
    pub struct ProviderHeartbeatOptions {
        /// How often consumers are asked for a sign of life.
        interval: u64 = 30_000; in 100..=86_400_000; unit "ms",
        /// How many intervals a consumer may leave a heartbeat unanswered besides the first.
        max_strikes: u64 = 2; in 0..=1_000_000,
        /// Whether heartbeats are told by the event heartbeat.
        tells: bool = false,
        /// Whether the announcement waits for the command greet, at most 4 s.
        awaits_greet: bool = false,
    }

    /// A provider's TLS.
    pub struct ProviderSslOptions {
        /// A PEM file with the private key, encrypted or not; with cert it makes the provider speak TLS.
        key: String = String::new(),
        /// A PEM file with the certificate chain.
        cert: String = String::new(),
        /// The passphrase of an encrypted key; beside a plain one it is ignored.
        passphrase: Secret = Secret::default(),
        /// Not supported: the key exchange is by elliptic curves.
        dh_params: String = String::new(),
    }

    /// Options of a provider.
    pub struct ProviderOptions {
        /// The address to bind; beyond loopback it takes TLS or allow_plaintext.
        host: String = String::from("127.0.0.1"),
        /// The port; 0 takes a free one.
        port: u64 = 8_080; in 0..=65_535,
        /// The path that consumers ask for.
        path: String = String::from("/connect"),
        /// Connections.
        ws: ProviderWsOptions = ProviderWsOptions::default(),
        /// Who is let in.
        auth: ProviderAuthOptions = ProviderAuthOptions::default(),
        /// TLS.
        ssl: ProviderSslOptions = ProviderSslOptions::default(),
        /// Heartbeats.
        heartbeat: ProviderHeartbeatOptions = ProviderHeartbeatOptions::default(),
        /// Lets a provider without TLS listen beyond loopback.
        allow_plaintext: bool = false,
        /// Whether pages of other origins are refused.
        strict: bool = false,
        /// Origins that strict lets pass, such as `https://app.example`.
        allowed_origins: Vec<String> = Vec::new(),
        /// Whether `GET /alive` is answered.
        alive: bool = true,
        /// Whether messages that the protocol keeps for itself may be sent all the same.
        allow_reserved: bool = false,
        /// Addresses and networks of reverse proxies, such as `10.0.0.0/8`: who comes through one is the last in its `X-Forwarded-For` that is none of them.
        trusted_proxies: Vec<String> = Vec::new(),
        /// The most connections; further consumers are answered 503.
        max_connections: u64 = 10_000; in 1..=1_000_000,
        /// The most connections of one address that have asked nothing or wait to be let in.
        max_unadmitted_per_address: u64 = 64; in 1..=65_536,
        /// The driver's options.
        runtime: RuntimeOptions = RuntimeOptions::default(),
    }

    /// Options of a consumer.
    pub struct ConsumerOptions {
        /// Whether to speak TLS.
        ssl: bool = false,
        /// The provider's host.
        host: String = String::new(),
        /// The provider's port.
        port: u64 = 8_080; in 1..=65_535,
        /// The path to ask for.
        path: String = String::from("/connect"),
        /// Parameters to come with.
        parameters: Vec<ParameterOption> = Vec::new(),
        /// Whether to connect again after a loss.
        reconnect_enabled: bool = true,
        /// Delays between connection attempts.
        reconnect: ReconnectOptions = ReconnectOptions {
            base_delay_ms: 1_000,
            growth_percent: 100,
            jitter_percent: 0,
            max_attempts: 10,
            stable_after_ms: 0,
            ..ReconnectOptions::default()
        },
        /// Time for a connection: name look-up, TLS, upgrade.
        connect_timeout_ms: u64 = 10_000; in 100..=600_000; unit "ms",
        /// The most bytes sent that have not left; 0 does not limit.
        max_backpressure: u64 = 33_554_432; in 0..=1_073_741_824; unit "bytes",
        /// What becomes of a message while more than max_backpressure has not left.
        on_backlog: WhenFull = WhenFull::Drop,
        /// Whether every heartbeat is told by the event heartbeat; announcements always are.
        tells_heartbeats: bool = false,
        /// Whether messages that the protocol keeps for itself may be sent all the same.
        allow_reserved: bool = false,
        /// Whether to offer compression; it is used for messages of 1,024 bytes and more.
        compression: bool = true,
        /// Limits of the link; max_pending_calls messages wait if on_backlog is block.
        limits: LimitOptions = LimitOptions {
            max_message_bytes: 104_857_600,
            max_send_queue_bytes: 134_217_728,
            ..LimitOptions::default()
        },
        /// The driver's options.
        runtime: RuntimeOptions = RuntimeOptions::default(),
    }
}

impl ProviderOptions {
    /// Returns the driver's options, with the certificate.
    pub(crate) fn runtime(&self) -> RuntimeOptions {
        let mut runtime = self.runtime.clone();
        if !self.ssl.key.is_empty() {
            runtime.key_file.clone_from(&self.ssl.key);
            runtime.cert_file.clone_from(&self.ssl.cert);
            runtime.key_passphrase.clone_from(&self.ssl.passphrase);
        }
        runtime
    }

    /// Tells whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        !self.runtime().cert_file.is_empty()
    }

    /// Returns the address to bind.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }

    /// Checks what no single option can be blamed for.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = ConfigError::default();
        check_path(&self.path, &mut problems);
        check_proxies(&self.trusted_proxies, &mut problems);
        if self.ssl.key.is_empty() != self.ssl.cert.is_empty() {
            problems.add("ssl", "needs both key and cert, or neither");
        }
        if self.ssl.key.is_empty() && !self.ssl.passphrase.is_empty() {
            problems.add("ssl.passphrase", "is given without key and cert");
        }
        if !self.ssl.dh_params.is_empty() {
            problems.add("ssl.dh_params", "is not supported: leave it out, curves need none");
        }
        if self.ws.compressor != 0 && deflate(self.ws.compressor).is_none() {
            problems.add("ws.compressor", "must be one of the numbers of Compressors");
        }
        if !is_loopback(host_and_port(&self.address()).0)
            && !self.is_secure()
            && !self.allow_plaintext
        {
            problems.add(
                "host",
                "is beyond loopback, where parameters and messages would be sent in the clear; \
                 set ssl.key and ssl.cert, or allow_plaintext if the network is trusted",
            );
        }
        for (index, parameter) in self.auth.parameters.iter().enumerate() {
            if self.auth.parameters.iter().take(index).any(|other| other.name == parameter.name) {
                problems.add(&format!("auth.parameters[{index}]"), "has the name of another one");
            }
        }
        problems.check(())
    }
}

impl ConsumerOptions {
    /// Checks what no single option can be blamed for.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = ConfigError::default();
        check_path(&self.path, &mut problems);
        let authority = format!("{}:1", bracketed(&self.host));
        let is_plain = |c: char| c.is_ascii_graphic() && !"/?#@\\".contains(c);
        if host_and_port(&authority).0.is_empty() || !self.host.chars().all(is_plain) {
            problems.add("host", "must be a host name or an address");
        }
        problems.compare(&self.limits.pairs());
        problems.check(())
    }
}

/// Returns what a preset of compression grants; `None` for none.
///
/// Peer: its high byte is the window of a dedicated compressor, its low byte the memory. A shared one
/// forgets each message. Consumers always forget theirs.
pub(super) fn deflate(preset: u64) -> Option<Deflate> {
    let is_shared = preset == 1;
    let known = WORDS.iter().flat_map(|table| table.members);
    let mut known = known.filter_map(|(_, number)| number.parse::<u64>().ok());
    (preset > 0 && known.any(|number| number == preset)).then_some(Deflate {
        server_max_window_bits: if is_shared { 15 } else { (preset >> 8) as u8 },
        client_max_window_bits: 15,
        server_no_context_takeover: is_shared,
        client_no_context_takeover: true,
        threshold: None,
    })
}

fn check_path(path: &str, problems: &mut ConfigError) {
    if !path.starts_with('/') || path.contains(['?', '#']) {
        problems.add("path", "must begin with a slash and have neither query nor fragment");
    }
}

/// Returns a host as it stands before a port: an IPv6 address in brackets.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}
