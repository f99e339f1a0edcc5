//! Connections of workers: the upgrade, their frames, and what each frame may do.

use bytestring::ByteString;

use super::reports::{Reporter, Told};
use super::wire::{self, Report, action};
use super::{Caller, Connection, Coordinator, PROVEN_FRAME};
use crate::base::error::ErrorCode;
use crate::base::ids::ConnId;
use crate::base::time::Now;
use crate::machine::Output;
use crate::net::origin::is_loopback;
use crate::net::{Frame, HttpResponse};
use crate::parts::admission::{Refusal, address};

impl Coordinator {
    /// Answers an upgrade request of someone whom the hub lets in; `caller` is who logged in.
    pub(crate) fn offer(&mut self, conn: ConnId, remote: &str, caller: Option<Caller>, now: Now) {
        let is_here = is_loopback(address(remote).trim_matches(['[', ']']));
        match self.accepted.accept(conn, remote, now.mono) {
            Ok(mut limits) => {
                if caller.as_ref().is_some_and(|_| self.options.is_secured()) || is_here {
                    limits.max_message = PROVEN_FRAME;
                }
                self.conns.insert(conn, Connection { caller, joining: None, said_since: None });
                self.out.push_back(Output::Admit { conn, limits, pulses: &[], deflate: None });
            }
            Err(refusal) => {
                let text = match refusal {
                    Refusal::Full => "Too many connections.",
                    Refusal::TooManyUnregistered => "Too many unregistered connections.",
                };
                self.warn(ErrorCode::Overloaded, remote, text, now);
                let response = HttpResponse::json(503, wire::error(text)).retry_later();
                self.out.push_back(Output::Refuse { conn, response });
            }
        }
    }

    /// Takes a frame of a worker.
    pub(super) fn handle_frame(&mut self, conn: ConnId, frame: Frame, now: Now) {
        if !self.accepted.is_open(conn) {
            return;
        }
        self.alive(conn, now);
        match frame {
            Frame::Text(text) => self.handle_text(conn, &text, now),
            // Peer: a binary frame carries a result file, which this hub does not ask for.
            Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) => {}
        }
    }

    /// A connection lives, and whoever speaks over it.
    pub(super) fn alive(&mut self, conn: ConnId, now: Now) {
        self.accepted.heard(conn);
        if let Some(worker) = self.registry.by_conn(conn) {
            self.hear(worker, now);
        }
    }

    fn handle_text(&mut self, conn: ConnId, text: &ByteString, now: Now) {
        // Peer: what is not JSON, and unknown actions, are ignored.
        let Ok(report) = serde_json::from_str::<Report<'_>>(text) else { return };
        if report.action.as_str() == action::REGISTER {
            self.handle_registration(conn, text, now);
            return;
        }
        let Some(worker) = self.registry.by_conn(conn) else { return };
        let (hash, reporter) = (&*report.work_item_hash, Reporter::Connection(conn));
        let told = Told { hash, report: &report, text, reporter };
        match report.action.as_str() {
            action::HEARTBEAT => self.beat(worker, &report, now),
            action::PROGRESS => {
                if let Some(data) = wire::object(report.progress_data) {
                    // Peer: progress of an unknown item is ignored.
                    let _ = self.report_progress(&told, data, now);
                }
            }
            ending @ (action::COMPLETE | action::ERROR) => {
                let result = if ending == action::COMPLETE {
                    self.report_complete(&told, now)
                } else {
                    self.report_error(&told, now)
                };
                self.free_overdue(worker, hash, now);
                self.send_verdict(worker, hash, result);
            }
            action::CANCELLED => {
                // What it stopped may have been given away.
                let _ = self.report_cancelled(&told, now);
                self.free_overdue(worker, hash, now);
            }
            action::CANCEL_HEARD => self.registry.forget_cancel(worker, hash),
            action::DEREGISTER => {
                self.dismiss(worker, "it said farewell", now);
            }
            _ => {}
        }
    }
}
