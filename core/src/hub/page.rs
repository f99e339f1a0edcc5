//! The operator's page: what `GET /` answers, and the stream that keeps it up to date.
//!
//! The files are the same for everybody and say nothing of the hub, so they need no login. What the page
//! shows comes by one stream of server-sent events, which is a view like others. Once a second those who
//! watch are told what has changed; while nobody does, nothing is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::Hub;
use crate::base::ids::HttpId;
use crate::base::json::object::{Object, list, text_list};
use crate::base::time::{Instant, Now};
use crate::dialect::beacon::coordinator::wire;
use crate::dialect::beacon::coordinator::{Caller, Rows};
use crate::machine::Output;
use crate::net::http::path;
use crate::net::{Headers, HttpBody, HttpRequest, HttpResponse, Method};

/// The files of the page: path, media type, text.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("../../page/index.html")),
    ("/Moorline/page.css", "text/css; charset=utf-8", include_str!("../../page/page.css")),
    ("/Moorline/page.js", "text/javascript; charset=utf-8", include_str!("../../page/page.js")),
    ("/Moorline/icon.svg", "image/svg+xml", include_str!("../../page/icon.svg")),
];

/// What the page may do: nothing but its own files and this hub, and no text ever becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The most that watch at once.
const MAX_VIEWERS: usize = 32;

/// How often those who watch are told what has changed, and how long nothing is said to them at most.
const TICK_MS: u64 = 1_000;
const QUIET_MS: u64 = 15_000;

/// The most rows of one event.
const MAX_ROWS: usize = 400;

/// Those who watch, and what they have been told.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    /// The session of each.
    viewers: BTreeMap<HttpId, Arc<str>>,
    rows: Rows,
    state: String,
    /// What whoever comes is told of all, for those who come before it changes.
    whole: Option<Bytes>,
    /// When it is looked again for what has changed; nothing is kept without it.
    pub(super) due: Option<Instant>,
    said: Instant,
}

impl Viewers {
    pub(super) fn remove(&mut self, http: HttpId) {
        self.viewers.remove(&http);
    }

    /// Returns all that is shown, as events.
    fn whole(&mut self) -> Bytes {
        let whole = self.whole.get_or_insert_with(|| {
            let mut text = String::new();
            event(&mut text, "state", &self.state);
            let all: Vec<_> = self.rows.iter().collect();
            rows(&mut text, &all);
            event(&mut text, "whole", "{}");
            text.into()
        });
        whole.clone()
    }
}

/// Returns a file of the page.
pub(super) fn file(request: &HttpRequest) -> Option<HttpResponse> {
    if request.method != Method::Get {
        return None;
    }
    let path = path(&request.url);
    let (_, content_type, text) = FILES.iter().find(|(name, ..)| *name == path)?;
    let mut response = HttpResponse::typed(200, content_type, Bytes::from_static(text.as_bytes()));
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("content-security-policy", POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        response.headers.push(name, value);
    }
    Some(response)
}

impl Hub {
    /// Lets somebody watch; an answer is a refusal.
    pub(super) fn watch(
        &mut self,
        http: HttpId,
        caller: &Caller,
        now: Now,
    ) -> Option<HttpResponse> {
        if self.viewers.viewers.len() >= MAX_VIEWERS {
            let text = wire::error("Too many watch the hub already.");
            return Some(HttpResponse::json(503, text).retry_later());
        }
        if self.viewers.due.is_none() {
            self.refresh(now);
            self.viewers.due = Some(now.mono.after(TICK_MS));
        }
        let headers = Headers::new().with("content-type", "text/event-stream");
        let response = HttpResponse { status: 200, headers, body: HttpBody::Streaming };
        self.reply(http, response.uncached());
        let you = Object::new()
            .text("User", &caller.user)
            .flag("Secured", self.options.is_secured())
            .flag("MayAct", !caller.reads_only)
            .plain("At", now.unix)
            .end();
        let mut text = String::from("retry: 2000\n\n");
        event(&mut text, "you", &you);
        let whole = self.viewers.whole();
        self.viewers.viewers.insert(http, caller.session.clone());
        let parts = [text.into(), whole].map(|bytes| Output::HttpPart { http, bytes });
        self.out.extend(parts);
        None
    }

    /// Tells those who watch what has changed, if it is time, and lets those go whose login has ended.
    pub(super) fn tell_viewers(&mut self, now: Now) {
        if self.viewers.due.is_none_or(|due| due > now.mono) {
            return;
        }
        let accounts = &self.accounts;
        let ended = |session: &str| !accounts.holds(session, now.mono);
        let viewers = &mut self.viewers.viewers;
        let gone = viewers.iter().filter(|(_, session)| ended(session));
        let gone: Vec<HttpId> = gone.map(|(http, _)| *http).collect();
        for http in gone {
            viewers.remove(&http);
            self.out.push_back(Output::HttpEnd { http });
        }
        if self.viewers.viewers.is_empty() {
            self.viewers = Viewers::default();
            return;
        }
        self.viewers.due = Some(now.mono.after(TICK_MS));
        self.refresh(now);
    }

    /// Ends the stream of one who reads it too slowly: a page comes back by itself, and is told all anew.
    pub(super) fn let_go(&mut self, http: HttpId) {
        if self.viewers.viewers.remove(&http).is_some() {
            self.out.push_back(Output::HttpEnd { http });
        }
    }

    /// Ends every stream.
    pub(super) fn end_viewers(&mut self) {
        let viewers = std::mem::take(&mut self.viewers).viewers;
        self.out.extend(viewers.into_keys().map(|http| Output::HttpEnd { http }));
    }

    /// Finds out what has changed, and tells those who watch.
    fn refresh(&mut self, now: Now) {
        let mut new = Rows::new();
        let loads = self.coordinator.board(&mut new);
        self.volt.board(&mut new);
        let state = self.state(&loads);
        let mut text = String::new();
        if state != self.viewers.state {
            event(&mut text, "state", &state);
            self.viewers.state = state;
        }
        let old = std::mem::replace(&mut self.viewers.rows, new);
        let new = &self.viewers.rows;
        let changed: Vec<_> = new.iter().filter(|(key, row)| old.get(key) != Some(row)).collect();
        rows(&mut text, &changed);
        let gone = old.keys().filter(|key| !new.contains_key(key));
        let gone: Vec<String> = gone.map(|(kind, key)| text_list([*kind, key.as_str()])).collect();
        for gone in gone.chunks(MAX_ROWS) {
            event(&mut text, "gone", &list(gone));
        }
        if text.is_empty() && now.mono.since(self.viewers.said) >= QUIET_MS {
            text.push_str(":\n\n");
        }
        if text.is_empty() {
            return;
        }
        self.viewers.said = now.mono;
        self.viewers.whole = None;
        let bytes = Bytes::from(text);
        let viewers = self.viewers.viewers.keys();
        self.out.extend(viewers.map(|http| Output::HttpPart { http: *http, bytes: bytes.clone() }));
    }

    /// Writes what is shown beside the rows.
    fn state(&self, loads: &str) -> String {
        let is_kept = !self.options.runtime.store_path.is_empty();
        let hub = Object::new()
            .text("Version", env!("CARGO_PKG_VERSION"))
            .text("State", self.phase.name())
            .text_or_null("Address", self.address.as_deref())
            .plain("StartedAt", self.started.unix)
            .text("Access", self.options.access.as_str())
            .text("Store", if is_kept { "disk" } else { "memory" })
            .number("Connections", self.connections() as u64)
            .end();
        Object::new()
            .raw("Hub", &hub)
            .raw("Queue", &self.coordinator.show_numbers())
            .number("Failed", self.coordinator.failed())
            .raw("Loads", loads)
            .end()
    }
}

/// Writes rows as events: of each its kind, its key and what it shows.
fn rows(text: &mut String, rows: &[(&(&'static str, String), &String)]) {
    for rows in rows.chunks(MAX_ROWS) {
        let rows = rows.iter().map(|((kind, key), row)| {
            let mut text = text_list([*kind, key.as_str()]);
            text.pop();
            text.push(',');
            text.push_str(row);
            text.push(']');
            text
        });
        event(text, "rows", &list(rows));
    }
}

/// Writes one event. What workers report is JSON, which may hold line breaks between its parts; here they
/// would end the event.
fn event(text: &mut String, name: &str, json: &str) {
    // Writing to a text cannot fail.
    let _ = write!(text, "event: {name}\ndata: ");
    text.extend(json.chars().map(|sign| if matches!(sign, '\n' | '\r') { ' ' } else { sign }));
    text.push_str("\n\n");
}
