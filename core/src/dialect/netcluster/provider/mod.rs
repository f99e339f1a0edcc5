//! The provider: a WebSocket server that hands messages of many consumers to one application.
//!
//! ```text
//!   offered ──parameters──▶ asked ──admit──▶ joined ──end, strikes, silence──▶ gone
//!      └─ 404, 403, 503        └─ refuse 403, time over 503
//! ```
//!
//! One timer beats for all consumers: each is asked by a text, and has strikes for every beat that it
//! leaves unanswered. Another one listens for silence: who has sent nothing for long is pinged, then cut
//! off.
//!
//! Source: `src/components/Provider.js` of `network-cluster` 1.0.4.

mod door;
mod peers;

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use self::door::Asked;
use self::peers::Peer;
use super::options::ProviderOptions;
use crate::api::command::{Command, PeerCommand};
use crate::api::event::{CallEvent, Event};
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ConnId;
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Now, Why};
use crate::machine::{ConnInput, Endpoint, Input, Machine, Output, ServerInput};
use crate::net::origin::Visitors;
use crate::net::proxies::Networks;
use crate::net::target::{FrameLimits, HttpLimits, ListenTarget};
use crate::parts::admission::{Admission, Undecided};
use crate::parts::heartbeat::{Beat, Heartbeat};
use crate::parts::lifetime::Lifetime;
use crate::parts::listener::{Listener, NO_BODY};
use crate::parts::pacer::Rules;
use crate::parts::window::Window;

/// How often the connections are looked at for silence.
const ROUND_MS: u64 = 4_000;
/// What a connection may have on its way besides messages: pings and answers to pings.
const CONTROL_BYTES: u64 = 65_536;

/// The provider's machine.
#[derive(Debug)]
pub(crate) struct Provider {
    options: ProviderOptions,
    rules: Rules,
    /// After how many silent rounds a connection is pinged, and cut off.
    patience: (u16, u16),
    visitors: Visitors,
    proxies: Networks,
    life: Lifetime,
    listener: Listener,
    entropy: Entropy,
    out: VecDeque<Output>,
    admission: Admission,
    undecided: Undecided<Asked>,
    peers: BTreeMap<ConnId, Peer>,
    beat: Heartbeat,
    round: Heartbeat,
    warnings: Window,
    counters: Counters,
}

/// What has happened since the provider was opened.
#[derive(Debug, Default, Serialize)]
struct Counters {
    joined: u64,
    refused: u64,
    received: u64,
    sent: u64,
    dropped: u64,
}

impl Provider {
    /// Makes a provider.
    ///
    /// # Errors
    /// `CONFIG_INVALID`.
    pub(crate) fn new(options: ProviderOptions, seed: Seed) -> Result<Self, Error> {
        options.check()?;
        let ws = &options.ws;
        Ok(Self {
            rules: Rules {
                max: ws.max_backpressure,
                on_backlog: ws.on_backlog,
                max_waiting: ws.max_waiting,
                max_bytes: ws.max_send_bytes,
                notice: None,
            },
            patience: patience(options.heartbeat.interval),
            visitors: Visitors {
                is_secure: options.is_secure(),
                hosts: None,
                origins: options.allowed_origins.clone(),
            },
            proxies: options.trusted_proxies.iter().cloned().collect(),
            life: Lifetime::default(),
            listener: Listener::default(),
            entropy: Entropy::new(seed),
            out: VecDeque::new(),
            admission: Admission::new(options.max_connections, options.max_unadmitted_per_address),
            undecided: Undecided::new(options.auth.max_pending, options.auth.timeout_ms),
            peers: BTreeMap::new(),
            beat: Heartbeat::new(options.heartbeat.interval, 0),
            round: Heartbeat::new(ROUND_MS, 0),
            warnings: Window::of_warnings(),
            counters: Counters::default(),
            options,
        })
    }

    fn start(&mut self, now: Now) -> Result<(), Error> {
        self.life.start(now)?;
        let ProviderOptions { max_connections, max_unadmitted_per_address, .. } = self.options;
        let limits = HttpLimits::new(NO_BODY, max_connections, max_unadmitted_per_address);
        let (address, proxies) = (self.options.address(), self.proxies.clone());
        let target = ListenTarget::Http { address, limits, proxies, echoes_protocol: true };
        self.listener.open(target, &mut self.out);
        self.beat.arm(now.mono);
        Ok(())
    }

    /// Lets what was sent leave for a while, then ends.
    fn stop(&mut self, drain_ms: u64, now: Now) {
        self.listener.close(&mut self.out);
        self.life.stop(drain_ms, self.behind(), now, &mut self.out);
        self.advance_drain(now);
    }

    fn advance_drain(&mut self, now: Now) {
        // Who is behind is asked of every consumer: not with every message.
        if !self.life.is_draining() {
            return;
        }
        let is_behind = self.behind() > 0;
        if self.life.is_drained(is_behind, now) {
            let text = "consumers had not read what was sent";
            self.end(is_behind.then(|| Error::new(ErrorCode::DrainTimeout, text)), now);
        }
    }

    /// Counts the consumers that have not read what they were sent.
    fn behind(&self) -> usize {
        self.peers.values().filter(|peer| peer.outlet.is_behind()).count()
    }

    /// Says farewell to everyone.
    fn end(&mut self, error: Option<Error>, now: Now) {
        while let Some((conn, asked)) = self.undecided.take_due(None) {
            self.put_off(conn, &asked, "the provider ends", now);
        }
        while let Some(conn) = self.peers.keys().next().copied() {
            self.end_peer(conn, None, String::new());
        }
        self.listener.close(&mut self.out);
        self.life.end(error, now, &mut self.out);
    }

    /// Limits of a connection that is let in. What is on its way is bounded by what is handed over.
    fn limits(&self) -> FrameLimits {
        let ws = &self.options.ws;
        let max_send_queue = match ws.max_backpressure {
            0 => u64::MAX,
            max => max + ws.max_send_bytes + CONTROL_BYTES,
        };
        FrameLimits {
            max_message: size(ws.max_payload_length),
            max_fragments: size(ws.max_fragments),
            max_send_queue: size(max_send_queue),
        }
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.out.push_back(Output::Event(event.into()));
    }
}

/// Returns after how many silent rounds a connection is pinged, and after how many it is cut off.
///
/// Peer: `max(round(interval_ms / 4000) * 4, 8)` seconds, of which the last 4, 8 or 16 come behind the ping.
fn patience(interval_ms: u64) -> (u16, u16) {
    let rounds = u16::try_from((interval_ms + ROUND_MS / 2) / ROUND_MS).unwrap_or(u16::MAX).max(2);
    let margin = match rounds {
        ..4 => 1,
        4..8 => 2,
        8.. => 4,
    };
    (rounds - margin, rounds)
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl Machine for Provider {
    fn handle_input(&mut self, input: Input, now: Now) {
        if self.life.is_ended() {
            return;
        }
        match input {
            Input::Conn(ConnInput::Received { conn, frame }) => self.received(conn, frame),
            Input::Conn(ConnInput::Sent { conn }) => self.sent(conn),
            Input::Conn(ConnInput::Held { conn }) => self.alive(conn),
            Input::Conn(ConnInput::Closed { conn, cause }) => self.closed(conn, &cause),
            Input::Server(ServerInput::Offered { conn, request, remote }) => {
                let remote = self.proxies.client(&request.headers, remote);
                self.offered(conn, &request, &remote, now);
            }
            Input::Server(ServerInput::Asked { http, request, .. }) => {
                let response = self.answer(&request, now);
                self.out.push_back(Output::HttpReply { http, response });
            }
            Input::Server(ServerInput::Listening { address, .. }) => {
                self.listener.bound(address, &mut self.out);
            }
            Input::Server(ServerInput::ListenFailed { error, .. }) => self.end(Some(error), now),
            // It dials nobody, asks nobody, stores nothing and takes no streams.
            Input::Conn(ConnInput::Opened { .. })
            | Input::Server(
                ServerInput::Accepted { .. }
                | ServerInput::Gone { .. }
                | ServerInput::Backlog { .. }
                | ServerInput::Exceeded { .. },
            )
            | Input::Http(_)
            | Input::Stored { .. }
            | Input::HostLag { .. } => {}
        }
        self.advance_drain(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.life.is_ended() {
            return;
        }
        while let Some((conn, asked)) = self.undecided.take_due(Some(now.mono)) {
            self.put_off(conn, &asked, "not decided about within auth.timeout_ms", now);
        }
        if self.round.take(now.mono) == Beat::Send {
            self.listen_for_silence();
        }
        if self.beat.take(now.mono) == Beat::Send {
            self.beat();
        }
        self.advance_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if !self.life.is_running() {
            return None;
        }
        let timers = [
            self.undecided.deadline(),
            self.round.next.map(|at| Deadline { at, why: Why::Ping }),
            self.beat.next.map(|at| Deadline { at, why: Why::Heartbeat }),
            self.life.deadline(),
        ];
        timers.into_iter().flatten().min()
    }
}

impl Endpoint for Provider {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if self.life.is_ended() && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        match command {
            Command::Start => return self.start(now),
            Command::Stop { drain_ms } => self.stop(drain_ms, now),
            Command::Peer(PeerCommand::Admit { peer }) => self.decide(peer, true, now),
            Command::Peer(PeerCommand::Refuse { peer }) => self.decide(peer, false, now),
            Command::Peer(PeerCommand::Greet { peer }) => self.greet(peer),
            Command::Peer(PeerCommand::Send { call, to, content, compress }) => {
                return self.send(call, &to, content, compress);
            }
            Command::Peer(PeerCommand::Ping { peer, payload }) => return self.ping(peer, payload),
            Command::Peer(PeerCommand::End { peer, code, reason }) => {
                return self.end_by_command(peer, code, reason);
            }
            Command::Peer(PeerCommand::Close { peer }) => self.cut_off(peer),
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.event(CallEvent::Done { call, result });
            }
            Command::Call(_) | Command::Work(_) | Command::Emit { .. } => {
                return Err(ErrorCode::Unsupported.into());
            }
        }
        Ok(())
    }

    fn snapshot(&self, now: Now) -> String {
        let object = Object::with_capacity(512);
        let object = object.text("dialect", "netcluster").text("role", "provider");
        self.life
            .describe(object, self.listener.state(), now)
            .text("address", self.listener.address())
            .value("connections", &self.peers.len())
            .value("pending", &self.undecided.len())
            .value("behind", &self.behind())
            .value("counters", &self.counters)
            .end()
    }
}
