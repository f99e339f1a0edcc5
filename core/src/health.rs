//! Whether a session lives and is ready, and what it has done: what `runtime.health_listen` answers.
//!
//! A driver shows it every event and command of its endpoint and passes it the requests. It looks on from
//! outside: no machine knows of it, and recordings hold nothing of it.

use std::collections::BTreeMap;

use crate::api::command::{Command, Outcome, WorkCommand};
use crate::api::event::{CallEvent, Event, PeerEvent, SessionEvent, Withdrawal, WorkEvent};
use crate::api::metrics::{Amount, Metric};
use crate::api::metrics::{
    CALLS, HOST_LAG, Histogram, LINKS, LINKS_LOST, MESSAGES, MetricsPage, NOTICES, PEERS, WORK,
    WORK_RUNNING, WORK_SECONDS, WORK_WITHDRAWN,
};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::WorkId;
use crate::base::time::{Instant, Now, UnixMillis};
use crate::machine::Endpoint;
use crate::net::http::path;
use crate::net::origin::{Visitors, host_and_port};
use crate::net::target::{HttpLimits, ListenTarget};
use crate::net::{HttpRequest, HttpResponse, Method, Networks};

/// The largest body, the most connections and the most of one address that have asked nothing.
const MAX_BODY: u64 = 1_024;
const MAX_CONNECTIONS: u64 = 64;
const MAX_STRANGERS: u64 = 16;
const DRAINS: &str = "it drains";

/// Looks on at one endpoint.
#[derive(Debug)]
pub struct Health {
    dialect: String,
    role: String,
    address: String,
    visitors: Visitors,
    start: UnixMillis,
    /// Why it is not ready.
    away: Result<(), String>,
    /// A drain has begun, which no new link ends.
    drains: bool,
    links: u64,
    lost: u64,
    notices: BTreeMap<ErrorCode, u64>,
    peers: u64,
    messages: u64,
    calls: [u64; 2],
    settled: [u64; 3],
    withdrawn: [u64; Withdrawal::ALL.len()],
    running: BTreeMap<WorkId, Instant>,
    times: Histogram,
}

impl Health {
    /// Makes one that answers at `listen`: a port on loopback, or an address.
    ///
    /// # Errors
    /// `CONFIG_INVALID` if it is neither.
    pub fn new(dialect: &str, role: &str, listen: &str, now: Now) -> Result<Self, Error> {
        let address = address(listen).ok_or_else(|| {
            let text = "runtime.health_listen: must be a port such as 9464, or an address such as \
                        0.0.0.0:9464";
            Error::new(ErrorCode::ConfigInvalid, text)
        })?;
        Ok(Self {
            dialect: dialect.to_owned(),
            role: role.to_owned(),
            visitors: Visitors::of(&address, false, &[], &[]),
            address,
            start: now.unix,
            away: Err(String::from("it has not started")),
            drains: false,
            links: 0,
            lost: 0,
            notices: BTreeMap::new(),
            peers: 0,
            messages: 0,
            calls: [0; 2],
            settled: [0; 3],
            withdrawn: [0; Withdrawal::ALL.len()],
            running: BTreeMap::new(),
            times: Histogram::default(),
        })
    }

    /// Returns where to listen. Whoever asks there needs neither TLS nor a login.
    #[must_use]
    pub fn target(&self) -> ListenTarget {
        ListenTarget::Http {
            address: self.address.clone(),
            limits: HttpLimits::new(MAX_BODY, MAX_CONNECTIONS, MAX_STRANGERS),
            proxies: Networks::default(),
            echoes_protocol: false,
        }
    }

    /// Notes what the application is told.
    pub fn event(&mut self, event: &Event, now: Now) {
        match event {
            Event::Session(event) => self.session(event),
            Event::Call(CallEvent::Done { call, result }) if call.0 != 0 => {
                count(&mut self.calls, usize::from(result.is_err()));
            }
            Event::Call(CallEvent::Done { .. } | CallEvent::Part { .. }) => {}
            Event::Work(WorkEvent::Assigned { work, .. }) => {
                self.running.insert(*work, now.mono);
            }
            Event::Work(WorkEvent::Withdrawn { work, why }) => {
                if self.running.remove(work).is_some() {
                    let place = Withdrawal::ALL.iter().position(|it| it == why);
                    count(&mut self.withdrawn, place.unwrap_or_default());
                }
            }
            Event::Peer(PeerEvent::Message { .. } | PeerEvent::Received { .. }) => {
                self.messages += 1;
            }
            Event::Peer(PeerEvent::Joined { .. }) => self.peers += 1,
            Event::Peer(PeerEvent::Left { .. } | PeerEvent::Closed { peer: Some(_), .. }) => {
                self.peers = self.peers.saturating_sub(1);
            }
            Event::Work(WorkEvent::Drained { .. } | WorkEvent::BeatAsked { .. })
            | Event::Peer(
                PeerEvent::Closed { peer: None, .. }
                | PeerEvent::AdmissionAsked { .. }
                | PeerEvent::Backlog { .. }
                | PeerEvent::Heartbeat { .. },
            ) => {}
        }
    }

    /// Notes what the application settles.
    pub fn command(&mut self, command: &Command, now: Now) {
        let Command::Work(WorkCommand::Complete { work, outcome }) = command else { return };
        let Some(since) = self.running.remove(work) else { return };
        self.times.add(now.mono.since(since));
        let place = match outcome {
            Outcome::Done { .. } => 0,
            Outcome::Failed { .. } => 1,
            Outcome::Cancelled => 2,
        };
        count(&mut self.settled, place);
    }

    /// Answers a request: `/live`, `/ready` or `/metrics`, to which `more` adds what the driver has
    /// counted. `lag_ms` is how long the application has not answered its doorbell.
    pub fn answer(
        &self,
        request: &HttpRequest,
        endpoint: &mut (dyn Endpoint + Send),
        lag_ms: u64,
        more: impl FnOnce(&mut MetricsPage),
        now: Now,
    ) -> HttpResponse {
        if let Err((status, reason)) = self.visitors.check(&request.headers) {
            return HttpResponse::text(status, format!("{reason}\n"));
        }
        let path = path(&request.url);
        if request.method != Method::Get && ["/live", "/ready", "/metrics"].contains(&path) {
            let mut response = HttpResponse::text(405, "Method not allowed.\n");
            response.headers.push("allow", "GET");
            return response;
        }
        let why_not = self.why_not_ready(endpoint);
        match (path, why_not) {
            ("/live", _) => HttpResponse::text(200, "live\n").uncached(),
            ("/ready", None) => HttpResponse::text(200, "ready\n").uncached(),
            ("/ready", Some(why)) => {
                HttpResponse::text(503, format!("not ready: {why}\n")).uncached()
            }
            ("/metrics", why_not) => {
                let mut page = self.page(why_not.is_none(), lag_ms);
                more(&mut page);
                endpoint.measure(&mut page, now);
                HttpResponse::typed(200, MetricsPage::CONTENT_TYPE, page.end()).uncached()
            }
            _ => HttpResponse::text(404, "Not found: /live, /ready and /metrics are here.\n"),
        }
    }

    fn why_not_ready<'a>(&'a self, endpoint: &(dyn Endpoint + Send)) -> Option<&'a str> {
        match &self.away {
            Err(why) => Some(why),
            Ok(()) if self.drains => Some(DRAINS),
            Ok(()) => endpoint.why_not_ready(),
        }
    }

    fn session(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Ready { .. } => {
                self.links += 1;
                self.away = Ok(());
            }
            SessionEvent::Lost { reason, .. } => {
                self.lost += 1;
                self.away = Err(format!("the link is lost: {}", reason.code()));
            }
            SessionEvent::Draining { .. } => self.drains = true,
            SessionEvent::Ended { .. } => self.away = Err(String::from("it has ended")),
            SessionEvent::Notice { error } => {
                *self.notices.entry(error.code()).or_default() += 1;
            }
            SessionEvent::Enrolled { .. } => {}
        }
    }

    fn page(&self, is_ready: bool, lag_ms: u64) -> MetricsPage {
        let mut page = MetricsPage::begin(&self.dialect, &self.role, self.start, is_ready);
        page.one(&LINKS, self.links);
        page.one(&LINKS_LOST, self.lost);
        page.many(&NOTICES, self.notices.iter().map(|(code, count)| ([code.name()], *count)));
        page.one(&PEERS, self.peers);
        page.one(&MESSAGES, self.messages);
        words(&mut page, &CALLS, ["done", "failed"], self.calls);
        words(&mut page, &WORK, ["done", "failed", "cancelled"], self.settled);
        let reasons = Withdrawal::ALL.iter().zip(self.withdrawn);
        page.many(&WORK_WITHDRAWN, reasons.map(|(why, count)| ([why.as_str()], count)));
        page.one(&WORK_RUNNING, self.running.len());
        page.times(&WORK_SECONDS, &self.times);
        page.one(&HOST_LAG, Amount::Millis(lag_ms));
        page
    }
}

/// Adds a value for each of a few words.
fn words<const N: usize>(
    page: &mut MetricsPage,
    metric: &Metric,
    words: [&str; N],
    counts: [u64; N],
) {
    page.many(metric, words.into_iter().zip(counts).map(|(word, count)| ([word], count)));
}

fn count(counts: &mut [u64], place: usize) {
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}

/// Reads a port of loopback, or an address.
fn address(text: &str) -> Option<String> {
    if text.parse::<u16>().is_ok() {
        return Some(format!("127.0.0.1:{text}"));
    }
    let (host, port) = host_and_port(text);
    let is_address = !host.is_empty() && port.is_some_and(|port| port.parse::<u16>().is_ok());
    is_address.then(|| text.to_owned())
}

#[cfg(test)]
#[cfg(feature = "full")]
mod tests {
    use super::*;
    use crate::api::event::Transport;
    use crate::base::ids::CallId;
    use crate::base::json::Raw;
    use crate::net::Headers;
    use bytes::Bytes;

    fn at(millis: u64) -> Now {
        Now::new(millis, 1_795_000_000_000 + millis)
    }

    fn health() -> Health {
        Health::new("beacon", "worker", "9464", at(0)).unwrap()
    }

    fn asked(health: &Health, method: Method, url: &str, host: &str) -> (u16, String) {
        let opened = crate::open("beacon", "worker", r#"{"name":"w"}"#, "h", [1; 32]).unwrap();
        let mut endpoint = opened.endpoint;
        let headers = Headers::new().with("host", host);
        let request = HttpRequest { method, url: url.to_owned(), headers, body: Bytes::new() };
        let answer = health.answer(&request, &mut *endpoint, 1_500, |_| {}, at(9));
        (answer.status, String::from_utf8(answer.bytes().to_vec()).unwrap())
    }

    fn get(health: &Health, url: &str) -> (u16, String) {
        asked(health, Method::Get, url, "127.0.0.1:9464")
    }

    fn ready() -> Event {
        let id = String::from("bcn-1");
        SessionEvent::Ready { id, transport: Transport::WebSocket, max_message: None }.into()
    }

    #[test]
    fn it_is_ready_while_the_link_is_up_and_alive_all_the_time() {
        let mut health = health();
        let lost = Event::from(SessionEvent::Lost {
            reason: Error::new(ErrorCode::ConnectFailed, "http://hub.secret.example refused"),
            retry_ms: 1,
            attempt: 1,
        });
        let draining = Event::from(SessionEvent::Draining { in_flight: 0, outbox: 0 });
        let not = |why: &str| (503, format!("not ready: {why}\n"));
        for (event, expected) in [
            (None, not("it has not started")),
            (Some(ready()), (200, String::from("ready\n"))),
            (Some(lost.clone()), not("the link is lost: CONNECT_FAILED")),
            (Some(ready()), (200, String::from("ready\n"))),
            (Some(draining), not("it drains")),
            (Some(lost), not("the link is lost: CONNECT_FAILED")),
            (Some(ready()), not("it drains")),
        ] {
            event.iter().for_each(|event| health.event(event, at(1)));
            assert_eq!(get(&health, "/ready?verbose"), expected);
            assert_eq!(get(&health, "/live"), (200, String::from("live\n")));
        }
    }

    #[test]
    fn what_comes_and_is_settled_is_counted_once() {
        let mut health = health();
        let assigned = |work| {
            Event::from(WorkEvent::Assigned {
                work: WorkId(work),
                key: "Echo/Say".into(),
                payload: Raw::empty_object(),
                timeout_ms: None,
                meta: Raw::empty_object(),
            })
        };
        let complete = |work, outcome| Command::Work(WorkCommand::Complete { work, outcome });
        for work in 1..=4 {
            health.event(&assigned(work), at(0));
        }
        let withdrawn = WorkEvent::Withdrawn { work: WorkId(3), why: Withdrawal::LinkLost };
        health.event(&withdrawn.into(), at(5));
        let failed = || Outcome::Failed { message: "no".into() };
        for (work, outcome) in
            [(1, failed()), (1, failed()), (2, Outcome::Cancelled), (3, failed())]
        {
            health.command(&complete(WorkId(work), outcome), at(20));
        }
        for (call, result) in [(0, Ok(Raw::empty_object())), (1, Ok(Raw::empty_object()))] {
            health.event(&CallEvent::Done { call: CallId(call), result }.into(), at(21));
        }
        health.event(&ready(), at(22));
        let (status, text) = get(&health, "/metrics");
        assert_eq!(status, 200);
        for line in [
            "moorline_build_info{version=\"0.1.0\",dialect=\"beacon\",role=\"worker\"} 1",
            "moorline_start_time_seconds 1795000000.000",
            "moorline_ready 1",
            "moorline_calls_total{outcome=\"done\"} 1",
            "moorline_work_total{outcome=\"failed\"} 1",
            "moorline_work_total{outcome=\"cancelled\"} 1",
            "moorline_work_withdrawn_total{why=\"link_lost\"} 1",
            "moorline_work_running 1",
            "moorline_work_seconds_count 2",
            "moorline_host_lag_seconds 1.500",
            "moorline_outbox_items 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn loopback_unless_told_and_no_page_of_another_site() {
        assert_eq!(health().target().address(), "127.0.0.1:9464");
        let there = Health::new("beacon", "hub", "[::]:9464", at(0)).unwrap();
        assert_eq!(there.target().address(), "[::]:9464");
        for wrong in ["", "localhost", ":9464", "70000", "host:port", "-1"] {
            let error = Health::new("beacon", "hub", wrong, at(0)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{wrong}");
        }
        assert_eq!(asked(&health(), Method::Get, "/metrics", "evil.example").0, 403);
        assert_eq!(asked(&health(), Method::Post, "/live", "localhost").0, 405);
        assert_eq!(get(&health(), "/").0, 404);
        assert_eq!(get(&health(), "/live/../metrics").0, 404);
    }
}
