//! What a worker says: frames on a connection, requests over HTTP.

use crate::api::command::Outcome;
use bytestring::ByteString;

use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId};
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::dialect::beacon::wire::{
    Authorship, Page, cancel_heard, cancelled, farewell, heartbeat, login, outcome, poll, progress,
    registration,
};
use crate::machine::{DRIVER_SLACK_MS, Output};
use crate::net::origin::path;
use crate::net::target::{DialAddress, DialTarget};
use crate::net::{Frame, Headers, HttpRequest, Method};
use crate::parts::outbox::Entry;

use super::report::{MAX_HTTP_REPORTS, without_log};
use super::{Announcement, BeaconWorker, Carrier, Exchange, Purpose, size};

/// The largest frame that our hub takes of whoever has not registered.
const UNREGISTERED: usize = 65_536;

/// How many bytes of held items are listed with a registration: the first, and those after it.
const FIRST_PAGE: usize = 32_768;
const LATER_PAGE: usize = 524_288;

/// From so many bytes on, it is asked when they are handed on.
const MANY: usize = 65_536;

/// What one of them takes beside its name.
const LISTED: usize = 64;

impl BeaconWorker {
    pub(super) fn say_login(&mut self, now: Now) {
        let request = login(&self.origin, &self.credentials, Some(&self.options.name));
        self.ask(Purpose::Login, request, now);
    }

    pub(super) fn dial(&mut self) -> ConnId {
        self.last_conn += 2;
        let conn = ConnId(self.last_conn);
        let mut headers = Headers::new();
        if let Some(session) = &self.credentials.session {
            headers.push("cookie", session.expose());
        }
        let target = DialTarget {
            address: DialAddress::WebSocket {
                url: self.origin.web_socket(),
                headers,
                deflate: None,
            },
            timeout_ms: self.options.connect_timeout_ms,
            limits: (&self.options.limits).into(),
            pulses: &[],
        };
        self.outputs.push_back(Output::Dial { conn, target });
        conn
    }

    /// Announces what we offer, and which items we hold or have an outcome of: in pages, each of which
    /// waits until the one before it is confirmed.
    pub(super) fn announce(&mut self, carrier: Carrier, now: Now) {
        self.schedule.announce = None;
        let held = self.work.held();
        let held = held.chain(self.outbox.entries().map(|entry| (&entry.wire, entry.attempt)));
        let held = held.map(|(wire, attempt)| (wire.clone(), attempt)).collect();
        let first = Announcement { page: 0, held, is_brief: false };
        self.say_page(carrier, first, now);
    }

    /// Announces the next page.
    pub(super) fn say_page(&mut self, carrier: Carrier, mut next: Announcement, now: Now) {
        let size = |(wire, _): &(ByteString, u32)| wire.len() + LISTED;
        let most = if next.page == 0 { FIRST_PAGE } else { LATER_PAGE };
        let mut room = self.passage.said.map_or(FIRST_PAGE, |max| max / 2).min(most);
        let mut held = Vec::new();
        while let Some(entry) = next.held.pop_front_if(|entry| size(entry) <= room) {
            room -= size(&entry);
            held.push(entry);
        }
        // One with a very long name is nobody's that we know of.
        next.held.pop_front_if(|entry| held.is_empty() && size(entry) > room);
        let more = !next.held.is_empty();
        let mut page = Page { number: next.page, held, more, draining: self.drain.is_on() };
        let is_frame = carrier != Carrier::Requests;
        let write = |page: &Page, details| {
            let (options, id) = (&self.options, &self.id);
            registration(options, &self.host, &self.handlers, (is_frame, details), id, page)
        };
        // The details are said once.
        let mut text = write(&page, next.page == 0 || next.is_brief);
        next.is_brief = is_frame && next.page == 0 && text.len() > UNREGISTERED;
        if next.is_brief {
            page.more = true;
            text = write(&page, false);
        }
        next.page += 1;
        self.announcing = page.more.then_some(next);
        self.say(carrier, text, Purpose::Registration, &["Beacon", "Register"], now);
    }

    pub(super) fn say_poll(&mut self, now: Now) {
        let text = poll(&self.id);
        self.say(Carrier::Requests, text, Purpose::Poll, &["Beacon", "Work", "Poll"], now);
    }

    pub(super) fn say_heartbeat(&mut self, carrier: Carrier, now: Now) {
        let id = (carrier != Carrier::Requests).then_some(self.id.as_str());
        let running = self.work.running;
        let text = heartbeat(id, self.heartbeat.host_lag_ms, running, self.drain.is_on());
        let id = self.id.clone();
        self.say(carrier, text, Purpose::Heartbeat, &["Beacon", &id, "Heartbeat"], now);
    }

    /// Asks whether we are still known.
    pub(super) fn say_verify(&mut self, now: Now) {
        let path = path(&["Beacon", &self.id]);
        self.request(Purpose::Verify, Method::Get, &path, String::new(), now);
    }

    /// Reports progress of an item; `None` is a mere sign of life. What would fill the queue for sending
    /// further while much waits in it is dropped.
    ///
    /// # Errors
    /// `TOO_LARGE`.
    pub(super) fn say_progress(
        &mut self,
        carrier: Carrier,
        wire: &str,
        attempt: u32,
        report: Option<&Raw>,
        now: Now,
    ) -> Result<(), Error> {
        let text = progress(author(carrier, &self.id), wire, attempt, report);
        self.passes(&text).map_err(|problem| Error::new(ErrorCode::TooLarge, problem))?;
        let is_full = match carrier {
            Carrier::Connection(_) => {
                self.waiting.0 > size(self.options.limits.max_send_queue_bytes / 2)
            }
            // A sign of life is as rare as its interval.
            Carrier::Requests => {
                let is_progress = |purpose: &Purpose| matches!(purpose, Purpose::Progress(_));
                report.is_some() && self.under_way(is_progress) >= MAX_HTTP_REPORTS
            }
        };
        if is_full {
            return Ok(());
        }
        self.say(
            carrier,
            text,
            Purpose::Progress(wire.into()),
            &["Beacon", "Work", wire, "Progress"],
            now,
        );
        Ok(())
    }

    /// Says that the cancellation of an item was heard.
    pub(super) fn say_cancel_heard(&mut self, carrier: Carrier, wire: &str, now: Now) {
        let text = cancel_heard(author(carrier, &self.id), wire, &self.id);
        let to = ["Beacon", "Work", wire, "CancelAck"];
        self.say(carrier, text, Purpose::Progress(wire.into()), &to, now);
    }

    /// Says that an item was stopped, as it was asked for.
    pub(super) fn say_cancelled(&mut self, carrier: Carrier, wire: &str, attempt: u32, now: Now) {
        let text = cancelled(author(carrier, &self.id), wire, attempt);
        let to = ["Beacon", "Work", wire, "Canceled"];
        self.say(carrier, text, Purpose::Progress(wire.into()), &to, now);
    }

    /// Reports the oldest outcome that was not sent; tells whether `window` had room for one. One that
    /// cannot pass fails its item instead.
    pub(super) fn say_outcome(&mut self, carrier: Carrier, window: usize, now: Now) -> bool {
        let Some(entry) = self.outbox.send(window) else { return false };
        let Entry { wire, attempt, outcome: what, .. } = entry;
        let author = author(carrier, &self.id);
        let mut text = outcome(author, wire, *attempt, what);
        let max = self.passage.max(size(self.options.limits.max_message_bytes)).0;
        if text.len() > max
            && let Some(shorter) = without_log(what)
        {
            text = outcome(author, wire, *attempt, &shorter);
        }
        let wire = wire.clone();
        let verb = match what {
            Outcome::Done { .. } => "Complete",
            Outcome::Failed { .. } | Outcome::Cancelled => "Error",
        };
        if let Err(problem) = self.passes(&text) {
            self.too_large(&wire, &problem, now);
            return true;
        }
        let purpose = Purpose::Outcome(wire.clone());
        self.say(carrier, text, purpose, &["Beacon", "Work", &wire, verb], now);
        true
    }

    /// Tells whether a message can pass, or why not.
    pub(super) fn passes(&self, text: &str) -> Result<(), String> {
        let (max, why) = self.passage.max(size(self.options.limits.max_message_bytes));
        let bytes = text.len();
        if bytes <= max {
            return Ok(());
        }
        Err(format!("its message of {bytes} bytes is larger than the {max} {why}"))
    }

    /// Says goodbye, if the peer knows us.
    pub(super) fn say_farewell(&mut self, carrier: Carrier, now: Now) {
        if self.id.is_empty() {
            return;
        }
        match carrier {
            Carrier::Connection(conn) => self.send(conn, farewell(&self.id)),
            Carrier::Requests => {
                let path = path(&["Beacon", &self.id]);
                self.request(Purpose::Farewell, Method::Delete, &path, String::new(), now);
            }
        }
    }

    /// Sends a ping whose answer proves what has arrived, unless one is on its way.
    pub(super) fn say_ping(&mut self) {
        if let Some(Carrier::Connection(conn)) = self.carrier()
            && let Some(payload) = self.outbox.ping()
        {
            self.outputs.push_back(Output::Send { conn, frame: Frame::Ping(payload) });
        }
    }

    fn send(&mut self, conn: ConnId, text: String) {
        self.passage.sent(text.len());
        self.waiting.0 += text.len();
        let asks = self.waiting.0 > MANY && !std::mem::replace(&mut self.waiting.1, true);
        self.outputs.push_back(Output::Send { conn, frame: Frame::Text(text.into()) });
        if asks {
            self.outputs.push_back(Output::AskSent { conn });
        }
    }

    /// Says a text in a frame, or posts it to a path.
    fn say(&mut self, carrier: Carrier, text: String, purpose: Purpose, to: &[&str], now: Now) {
        match carrier {
            Carrier::Connection(conn) => self.send(conn, text),
            Carrier::Requests => {
                self.request(purpose, Method::Post, &path(to), text, now);
            }
        }
    }

    fn request(&mut self, purpose: Purpose, method: Method, path: &str, body: String, now: Now) {
        let request = self.origin.request(method, path, self.credentials.session.as_ref(), body);
        self.ask(purpose, request, now);
    }

    /// Makes an HTTP call and remembers what it is for.
    fn ask(&mut self, purpose: Purpose, request: HttpRequest, now: Now) {
        self.last_http += 2;
        let http = HttpId(self.last_http);
        let timeout_ms = self.options.http_timeout_ms;
        let until = now.mono.after(timeout_ms + DRIVER_SLACK_MS);
        self.exchanges.insert(http, Exchange { purpose, until });
        let max_body = size(self.options.limits.max_message_bytes);
        let streams = false;
        self.outputs.push_back(Output::HttpCall { http, request, timeout_ms, max_body, streams });
    }
}

const fn author(carrier: Carrier, id: &str) -> Authorship<'_> {
    match carrier {
        Carrier::Connection(_) => Authorship::Frame,
        Carrier::Requests => Authorship::Body(id),
    }
}
