//! HTTP long-polling, and the change from it to WebSocket.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::{
    DaemonTransport, Engine, EngineEvent, Headers, HttpBody, HttpId, HttpRequest, HttpResponse,
    Method, NO_HANDSHAKE, Output, PARSE_ERROR, Packet, Rank, State, TRANSPORT_ERROR, engineio,
    exceeded, hang_up,
};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ConnId;
use crate::base::time::{Instant, Now};
use crate::net::engineio::{PROBE, PayloadWriter};

/// How long a probe may take. Servers give it up after the same time.
const PROBE_MS: u64 = 10_000;
/// What a poll's body may have besides one message of the largest size.
const BODY_SLACK: usize = 1_048_576;
/// What a server that says no limit takes: the default of the reference server.
const DEFAULT_MAX_PAYLOAD: u64 = 1_000_000;

/// An open session on polling.
#[derive(Debug, Default)]
pub(super) struct Polling {
    get: Option<HttpId>,
    pub(super) post: Option<HttpId>,
    pub(super) upgrade: Option<Upgrade>,
    /// This side has closed the session: what waits is sent, nothing more is asked for.
    pub(super) is_closing: bool,
}

/// The change to WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade {
    pub(super) conn: ConnId,
    step: Step,
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Dialing,
    /// The probe was sent; polling goes on.
    Probing,
    /// The probe was answered: requests under way are waited for, none is begun.
    Pausing,
}

impl Polling {
    pub(super) fn abandon(self, out: &mut VecDeque<Output>) {
        for http in [self.get, self.post].into_iter().flatten() {
            out.push_back(Output::HttpCancel { http });
        }
        out.extend(self.upgrade.map(|upgrade| hang_up(upgrade.conn)));
    }

    /// Notes that an exchange is over; tells which.
    fn end(&mut self, http: HttpId) -> Option<Method> {
        if self.get.take_if(|get| *get == http).is_some() {
            return Some(Method::Get);
        }
        self.post.take_if(|post| *post == http).map(|_| Method::Post)
    }

    fn is_pausing(&self) -> bool {
        self.upgrade.as_ref().is_some_and(|upgrade| upgrade.step == Step::Pausing)
    }
}

impl Engine {
    pub(super) fn probe_deadline(&self) -> Option<Instant> {
        Some(self.polling()?.upgrade.as_ref()?.until)
    }

    /// A WebSocket is up: the one that is probed has no handshake of its own.
    pub(crate) fn opened(&mut self, conn: ConnId) {
        if self.conn() == Some(conn)
            && let Some(Polling { upgrade: Some(upgrade), .. }) = self.polling_mut()
        {
            upgrade.step = Step::Probing;
            let frame = Packet::Ping(ByteString::from_static(PROBE)).to_frame();
            self.out.push_back(Output::Send { conn, frame });
        }
    }

    /// Opens a session by polling.
    pub(super) fn ask(&mut self) {
        let http = self.request(Method::Get, String::new(), self.connect_timeout_ms);
        self.state = State::Asking(http);
    }

    /// An exchange ended.
    pub(crate) fn replied(&mut self, http: HttpId, result: Result<HttpResponse, Error>, now: Now) {
        let is_first = matches!(self.state, State::Asking(asked) if asked == http);
        let ended = self.polling_mut().and_then(|polling| polling.end(http));
        if !is_first && ended.is_none() {
            return;
        }
        let result = result.and_then(|response| {
            self.cookies.take(&response);
            accept(&response).map(|()| response)
        });
        let Some(method) = ended else {
            self.state = State::Idle;
            return match result {
                Ok(response) => self.answered_first(&response, now),
                Err(error) => self.failed("xhr poll error", &error),
            };
        };
        if self.is_posting_farewell() {
            if result.is_err() || !self.is_backed_up() {
                self.abandon();
                self.events.push_back(EngineEvent::Gone);
            } else {
                self.post();
            }
            return;
        }
        match result {
            Ok(response) if method == Method::Get => {
                match text(&response) {
                    Some(body) => self.packets(engineio::split(&body), now),
                    None => self.fail(PARSE_ERROR),
                }
                self.poll();
            }
            Ok(_) => {
                if self.pacer.sent_all() {
                    self.events.push_back(EngineEvent::Flushed);
                }
            }
            Err(error) if error.code() == ErrorCode::TooLarge => {
                return self.fail_for(TRANSPORT_ERROR, exceeded(&error));
            }
            Err(_) => return self.fail(TRANSPORT_ERROR),
        }
        self.finish_upgrade();
    }

    fn answered_first(&mut self, response: &HttpResponse, now: Now) {
        let Some(mut packets) = text(response).map(|body| engineio::split(&body)) else {
            let message = "the server's handshake is not UTF-8";
            return self.cannot_open(ErrorCode::PeerProtocol, message);
        };
        let Some(Ok(Packet::Open(handshake))) = packets.next() else {
            return self.cannot_open(ErrorCode::PeerProtocol, NO_HANDSHAKE);
        };
        let Some(handshake) = self.read_handshake(&handshake) else { return };
        let upgrades =
            handshake.upgrades_to_websocket() && self.transport == DaemonTransport::Upgrade;
        self.state = State::OnPolling(Polling::default());
        self.begin(handshake, now);
        self.packets(packets, now);
        if upgrades && let State::OnPolling(_) = self.state {
            self.probe(now);
        }
        self.poll();
    }

    fn packets(
        &mut self,
        packets: impl Iterator<Item = Result<Packet, engineio::Malformed>>,
        now: Now,
    ) {
        for packet in packets {
            if !self.is_open() {
                return;
            }
            match packet {
                Ok(packet) => self.packet(packet, now),
                Err(_) => self.fail(PARSE_ERROR),
            }
        }
    }

    /// Keeps one GET under way, unless the session is about to leave polling.
    fn poll(&mut self) {
        if self.polling().is_none_or(|it| it.get.is_some() || it.is_pausing() || it.is_closing) {
            return;
        }
        // The server holds it until it has something to say, which is a ping at the latest.
        let hold = self.silence_ms().unwrap_or(0);
        let timeout_ms = hold.saturating_add(self.http_timeout_ms);
        let http = self.request(Method::Get, String::new(), timeout_ms);
        if let Some(polling) = self.polling_mut() {
            polling.get = Some(http);
        }
    }

    /// Sends what waits, as much as one body may hold and one packet at least.
    pub(super) fn post(&mut self) {
        let is_busy = self.polling().is_none_or(|it| it.post.is_some() || it.is_pausing());
        if self.pacer.is_empty() || is_busy {
            return;
        }
        let body = self.batch();
        let http = self.request(Method::Post, body, self.http_timeout_ms);
        if let Some(polling) = self.polling_mut() {
            polling.post = Some(http);
        }
    }

    fn batch(&mut self) -> String {
        let max = self.max_payload().unwrap_or(DEFAULT_MAX_PAYLOAD);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut body = PayloadWriter::new();
        // Peer: the server handles messages a turn later than a close behind them in one body, and so
        // takes them for those of a session that is gone.
        let close = Packet::Close.to_frame();
        while let Some(frame) = self.pacer.front() {
            let full = *frame == close || body.len() + body.would_grow_by(frame) > max;
            if !body.is_empty() && full {
                break;
            }
            body.push(frame);
            self.pacer.pop();
        }
        body.finish()
    }

    /// Says all that waits and goodbye.
    pub(super) fn close_polling(&mut self) {
        let State::OnPolling(polling) = &mut self.state else { return };
        polling.is_closing = true;
        self.out.extend(polling.upgrade.take().map(|upgrade| hang_up(upgrade.conn)));
        self.pacer.push([Packet::Close.to_frame()], Rank::InTurn);
        self.post();
    }

    fn request(&mut self, method: Method, body: String, timeout_ms: u64) -> HttpId {
        let http = HttpId(self.next_id());
        let mut headers = Headers::new();
        if method == Method::Post {
            headers.push("content-type", "text/plain;charset=UTF-8");
        }
        headers.push("accept", "*/*");
        for (name, value) in self.cookies.headers().iter() {
            headers.push(name, value.expose());
        }
        let url = self.address.polling(self.sid());
        let request = HttpRequest { method, url, headers, body: body.into() };
        // Bytes are longer in a body, and not alone.
        let max_body = (self.limits.max_message / 3 * 4).saturating_add(BODY_SLACK);
        let call = Output::HttpCall { http, request, timeout_ms, max_body, streams: false };
        self.out.push_back(call);
        http
    }

    fn probe(&mut self, now: Now) {
        let conn = ConnId(self.next_id());
        let target = self.target(PROBE_MS);
        let until = now.mono.after(PROBE_MS);
        if let State::OnPolling(polling) = &mut self.state {
            polling.upgrade = Some(Upgrade { conn, step: Step::Dialing, until });
            self.out.push_back(Output::Dial { conn, target });
        }
    }

    /// A packet came on the WebSocket that is probed.
    pub(super) fn probed(&mut self, packet: Result<Packet, engineio::Malformed>) {
        let Some(Polling { upgrade: Some(upgrade), .. }) = self.polling_mut() else { return };
        match packet {
            Ok(Packet::Pong(content)) if content == PROBE && upgrade.step == Step::Probing => {
                upgrade.step = Step::Pausing;
            }
            Ok(_) | Err(_) => self.probe_failed(),
        }
    }

    /// Stays on polling, and tells nobody.
    pub(super) fn probe_failed(&mut self) {
        if let State::OnPolling(polling) = &mut self.state
            && let Some(upgrade) = polling.upgrade.take()
        {
            self.out.push_back(hang_up(upgrade.conn));
            self.poll();
        }
    }

    /// Changes over when the last request is through.
    fn finish_upgrade(&mut self) {
        let is_through = |it: &&Polling| it.is_pausing() && it.get.is_none() && it.post.is_none();
        let polling = self.polling().filter(is_through);
        let Some(conn) = polling.and_then(|it| Some(it.upgrade.as_ref()?.conn)) else { return };
        self.state = State::OnWebSocket(conn);
        self.out.push_back(Output::Send { conn, frame: Packet::Upgrade.to_frame() });
        self.hand_over(conn);
    }
}

fn text(response: &HttpResponse) -> Option<ByteString> {
    let HttpBody::Full(bytes) = &response.body else { return None };
    ByteString::try_from(bytes.clone()).ok()
}

/// Peer: any status but 200 is a failure; the body may say why.
fn accept(response: &HttpResponse) -> Result<(), Error> {
    if response.status == 200 {
        return Ok(());
    }
    let said = text(response).and_then(|body| engineio::RequestError::parse(&body));
    let said = said.map_or_else(String::new, |error| format!(": {}", error.as_str()));
    let message = format!("the server answered with status {}{said}", response.status);
    Err(Error::new(ErrorCode::ConnectFailed, message))
}
