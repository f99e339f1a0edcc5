//! Connections of workers: the upgrade, their frames, and what each frame may do.

use bytestring::ByteString;

use super::auth::Caller;
use super::reports::Reporter;
use super::{Hub, Link};
use crate::base::error::ErrorCode;
use crate::base::ids::ConnId;
use crate::base::time::Now;
use crate::dialect::beacon::wire::coordinator::{self as wire, WorkerFrame, action};
use crate::machine::{Input, Machine as _, Output, ServerInput};
use crate::net::origin::is_foreign_page;
use crate::net::{Frame, Headers, HttpRequest, HttpResponse};
use crate::parts::accepted::Refusal;

impl Hub {
    /// Answers an upgrade request.
    pub(super) fn handle_offer(
        &mut self,
        conn: ConnId,
        request: HttpRequest,
        remote: &str,
        now: Now,
    ) {
        if !self.is_serving() {
            self.refuse(conn, self.unavailable());
            return;
        }
        if is_foreign_page(&request.headers, &self.options.allowed_origins) {
            self.refuse(conn, HttpResponse::json(403, wire::error("Origin not allowed.")));
            return;
        }
        if self.volt.claims(&request.url) {
            let room = self.has_room();
            if room {
                let remote = remote.to_owned();
                self.volt.handle_input(
                    Input::Server(ServerInput::Offered { conn, request, remote }),
                    now,
                );
            } else {
                let text = wire::error("Too many connections.");
                self.refuse(conn, HttpResponse::json(503, text).retry_later());
            }
            return;
        }
        let caller = self.caller(&request.headers, remote, now);
        match self.server.accept(conn, remote, now.mono) {
            Ok(limits) => {
                self.links.insert(conn, Link { caller, joining: None });
                self.out.push_back(Output::Admit { conn, limits });
            }
            Err(refusal) => {
                let text = match refusal {
                    Refusal::Full => "Too many connections.",
                    Refusal::TooManyUnregistered => "Too many unregistered connections.",
                };
                self.notice(ErrorCode::Overloaded, text);
                self.refuse(conn, HttpResponse::json(503, wire::error(text)).retry_later());
            }
        }
    }

    /// Tells whether another connection fits beside those of workers and daemons.
    fn has_room(&self) -> bool {
        ((self.server.len() + self.volt.len()) as u64) < self.options.max_connections
    }

    fn refuse(&mut self, conn: ConnId, response: HttpResponse) {
        self.out.push_back(Output::Refuse { conn, response });
    }

    /// Finds out who makes a request; `None` when a secured hub knows no session for it.
    pub(super) fn caller(&self, headers: &Headers, remote: &str, now: Now) -> Option<Caller> {
        if self.is_secured() {
            return self.auth.caller(headers.first("cookie"), now.mono);
        }
        Some(Caller {
            session: super::auth::ANONYMOUS.into(),
            user: "".into(),
            client: crate::parts::accepted::address(remote).to_owned(),
        })
    }

    /// Takes a frame of a worker.
    pub(super) fn handle_frame(&mut self, conn: ConnId, frame: Frame, now: Now) {
        if !self.server.is_open(conn) {
            return;
        }
        self.server.heard(conn);
        if let Some(worker) = self.registry.by_conn(conn)
            && self.registry.heard(worker, now.mono)
        {
            self.fill(worker, now);
        }
        match frame {
            Frame::Text(text) => self.handle_text(conn, &text, now),
            // Peer: a binary frame carries a result file, which this hub does not ask for.
            Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) => {}
        }
    }

    fn handle_text(&mut self, conn: ConnId, text: &ByteString, now: Now) {
        // Peer: what is not JSON, and unknown actions, are ignored.
        let Ok(frame) = serde_json::from_str::<WorkerFrame<'_>>(text) else { return };
        if frame.action == action::REGISTER {
            self.handle_registration(conn, text, now);
            return;
        }
        let Some(worker) = self.registry.by_conn(conn) else { return };
        let reporter = Reporter::Connection(conn);
        let hash = &*frame.work_item_hash;
        let attempt = wire::count(frame.attempt_number);
        match &*frame.action {
            action::HEARTBEAT => {
                let (lag, in_flight) = (frame.host_lag_ms, frame.in_flight);
                self.beat(worker, wire::count(lag), wire::count(in_flight), now);
                self.leaves(worker, wire::truthy(frame.draining));
            }
            action::PROGRESS => {
                if let Some(data) = wire::object(frame.progress_data) {
                    // Peer: progress of an unknown item is ignored.
                    let _ = self.report_progress(hash, data, attempt, &reporter, now);
                }
            }
            action::COMPLETE => {
                let (outputs, log) = (frame.outputs, frame.log);
                let result =
                    self.report_complete(hash, outputs, log, attempt, text, &reporter, now);
                self.send_verdict(conn, worker, hash, result);
            }
            action::ERROR => {
                let message = frame.error_message;
                let result = self.report_error(hash, message, frame.log, attempt, &reporter, now);
                self.send_verdict(conn, worker, hash, result);
            }
            action::DEREGISTER => {
                self.remove_worker(worker, "it said farewell", now);
                self.server.dismiss(conn, now.mono);
                self.send(conn, wire::deregistered());
            }
            _ => {}
        }
    }
}
