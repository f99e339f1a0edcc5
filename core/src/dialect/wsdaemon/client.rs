//! A daemon that connects to another: its link, and what waits while that is down.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::options::DaemonOptions;
use super::{Side, WsDaemon};
use crate::api::event::{SessionEvent, Transport};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ConnId;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::machine::{CloseCause, DRIVER_SLACK_MS, Output};
use crate::net::origin::Origin;
use crate::net::target::{DialAddress, DialTarget, FrameLimits};
use crate::net::{Frame, Headers};
use crate::parts::backoff::Backoff;
use crate::parts::link::{Link, Pace};
use crate::parts::liveness::Liveness;
use crate::parts::queue::{Overflow, Queue};

/// The line of a client: one daemon, whatever connection leads to it.
pub(super) const LINE: ConnId = ConnId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Dialing(ConnId),
    Ready(ConnId),
    Waiting,
    /// Somebody sent us away for a while.
    Paused,
}

/// The link of a client.
#[derive(Debug)]
pub(super) struct Client {
    target: DialTarget,
    link: Link<Stage>,
    last_conn: u64,
    liveness: Liveness,
    ping_at: Option<Instant>,
    queue: Queue<ByteString>,
}

impl Client {
    pub(super) fn new(options: &DaemonOptions, origin: &Origin) -> Self {
        let mut headers = Headers::new();
        if !options.token.is_empty() {
            headers.push("authorization", format!("Bearer {}", options.token.expose()));
        }
        let target = DialTarget {
            address: DialAddress::WebSocket { url: origin.web_socket(), headers, deflate: None },
            timeout_ms: options.connect_timeout_ms,
            limits: FrameLimits::from(&options.limits),
            pulses: &[],
        };
        let asks = &options.asks;
        Self {
            target,
            link: Link::new(Stage::Idle, Backoff::new(options.reconnect.clone())),
            last_conn: 0,
            liveness: Liveness::default(),
            ping_at: None,
            queue: Queue::new(asks.max_queued, asks.max_queued_bytes, Overflow::DropNewest),
        }
    }

    /// Sends a message, or keeps it for the next link; tells whether there was room.
    pub(super) fn say(&mut self, text: ByteString, outputs: &mut VecDeque<Output>) -> bool {
        if let Stage::Ready(conn) = self.link.stage() {
            outputs.push_back(Output::Send { conn, frame: Frame::Text(text) });
            return true;
        }
        let bytes = text.len() as u64;
        self.queue.push(text, bytes) == 0
    }

    /// Notes a frame; tells whether it is one of the link.
    pub(super) fn heard(&mut self, conn: ConnId) -> bool {
        let is_link = self.link.stage() == Stage::Ready(conn);
        if is_link {
            self.liveness.heard();
        }
        is_link
    }

    /// Leaves the link for good; returns its connection.
    pub(super) fn leave(&mut self) -> Option<ConnId> {
        let conn = self.conn();
        self.link.enter(Stage::Idle, None, Now::default());
        conn
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        let ping = self.ping_at.map(|at| Deadline { at, why: Why::Ping });
        [self.link.limit, ping].into_iter().flatten().min()
    }

    pub(super) fn state(&self) -> &'static str {
        match self.link.stage() {
            Stage::Idle => "idle",
            Stage::Dialing(_) => "dialing",
            Stage::Ready(_) => "ready",
            Stage::Waiting => "waiting",
            Stage::Paused => "paused",
        }
    }

    pub(super) fn describe(&self, snapshot: Object, now: Now) -> Object {
        let next = self.link.limit.map(|deadline| deadline.at.since(now.mono));
        snapshot
            .number("attempt", self.link.backoff.attempt)
            .value("next_attempt_ms", &next)
            .value("queued", &self.queue.len())
    }

    fn conn(&self) -> Option<ConnId> {
        match self.link.stage() {
            Stage::Dialing(conn) | Stage::Ready(conn) => Some(conn),
            Stage::Idle | Stage::Waiting | Stage::Paused => None,
        }
    }
}

impl WsDaemon {
    pub(super) fn dial(&mut self, now: Now) {
        let Side::Client(client) = &mut self.side else { return };
        client.last_conn += 2;
        let (conn, target) = (ConnId(client.last_conn), client.target.clone());
        let limit = target.timeout_ms + DRIVER_SLACK_MS;
        client.link.enter(Stage::Dialing(conn), Some((limit, Why::Connect)), now);
        self.outputs.push_back(Output::Dial { conn, target });
    }

    pub(super) fn opened(&mut self, conn: ConnId, now: Now) {
        let Side::Client(client) = &mut self.side else { return };
        if client.link.stage() != Stage::Dialing(conn) {
            return self.close(conn);
        }
        client.link.enter_ready(Stage::Ready(conn), now);
        client.liveness = Liveness::default();
        client.ping_at = Some(now.mono.after(self.options.ping_interval_ms));
        let id = client.target.address.url().into_owned();
        let queued: Vec<_> = client.queue.drain().collect();
        let transport = Transport::WebSocket;
        self.event(SessionEvent::Ready { id, transport, max_message: None });
        for text in queued {
            self.send(conn, text);
        }
    }

    pub(super) fn link_closed(&mut self, conn: ConnId, cause: &CloseCause, now: Now) {
        let Side::Client(client) = &self.side else { return };
        if client.conn() != Some(conn) {
            return;
        }
        let was_ready = client.link.was_ready;
        match cause {
            CloseCause::Refused { status: 401 | 403 } => {
                let text = "the other daemon does not accept token, or the name it was asked by";
                let error = Error::new(ErrorCode::AuthenticationFailed, text);
                if was_ready {
                    self.lose(error, Pace::Longest, now)
                } else {
                    self.end(Some(error), now)
                }
            }
            CloseCause::Refused { .. }
            | CloseCause::Remote { .. }
            | CloseCause::Local
            | CloseCause::Failed(_)
            | CloseCause::Exceeded { .. } => self.lose(cause.to_error(), Pace::Ladder, now),
        }
    }

    fn lose(&mut self, reason: Error, pace: Pace, now: Now) {
        let Side::Client(client) = &mut self.side else { return };
        client.ping_at = None;
        let Some(retry_ms) = client.link.lose(pace, &mut self.entropy, now.mono) else {
            return self.end(Some(reason), now);
        };
        client.link.enter(Stage::Waiting, Some((retry_ms, Why::Backoff)), now);
        let attempt = client.link.backoff.attempt;
        self.event(SessionEvent::Lost { reason, retry_ms, attempt });
    }

    /// Goes away for so many milliseconds; what was asked before is forgotten.
    pub(super) fn pause_asked(&mut self, millis: Option<u64>, is_local: bool, now: Now) {
        // Peer: a server ignores it.
        let Side::Client(client) = &mut self.side else { return };
        let Some(retry_ms) = millis else {
            return self.notice(
                ErrorCode::PeerProtocol,
                "a PAUSE was ignored: its data is no number from 0 to 2147483647",
            );
        };
        if !is_local && !self.options.honor_pause {
            return self.notice(ErrorCode::PeerProtocol, "a PAUSE was ignored: see honor_pause");
        }
        let conn = client.conn();
        client.ping_at = None;
        client.link.ended(now.mono);
        client.link.enter(Stage::Paused, Some((retry_ms, Why::Retry)), now);
        let attempt = client.link.backoff.attempt;
        if let Some(conn) = conn {
            self.close(conn);
        }
        let reason = Error::new(ErrorCode::ConnectionLost, format!("paused for {retry_ms} ms"));
        self.event(SessionEvent::Lost { reason, retry_ms, attempt });
    }

    pub(super) fn link_due(&mut self, now: Now) {
        let Side::Client(client) = &mut self.side else { return };
        if client.link.is_due(now.mono) {
            match client.link.stage() {
                Stage::Dialing(conn) => {
                    self.close(conn);
                    self.lose(ErrorCode::ConnectTimeout.into(), Pace::Ladder, now);
                }
                Stage::Waiting | Stage::Paused => self.dial(now),
                Stage::Idle | Stage::Ready(_) => {}
            }
            return;
        }
        let Stage::Ready(conn) = client.link.stage() else { return };
        if client.ping_at.is_none_or(|at| at > now.mono) {
            return;
        }
        if let Some(next_ms) = client.liveness.ping(self.options.ping_interval_ms) {
            client.ping_at = Some(now.mono.after(next_ms));
            let frame = Frame::Ping(bytes::Bytes::new());
            self.outputs.push_back(Output::Send { conn, frame });
        } else {
            self.close(conn);
            self.lose(ErrorCode::PeerSilent.into(), Pace::Ladder, now);
        }
    }
}
