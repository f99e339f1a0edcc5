//! Start, load, drain, end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::children::Child;
use super::item::{ItemId, Waiter};
use super::{Deferred, Hub, SWEEP_MS, Timer, records};
use crate::api::event::Event;
use crate::api::event::{CallEvent, SessionEvent};
use crate::api::options::ConfigError;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, ListenId, StoreId};
use crate::base::store::{StoreReply, StoreRequest};
use crate::base::time::{Instant, Now};
use crate::dialect::beacon::wire::coordinator as wire;
use crate::dialect::volt::server as volt_server;
use crate::hub::options::{HubAccess, HubOptions};
use crate::machine::{Input, Machine as _, Output};
use crate::net::HttpResponse;
use crate::net::binary_frames::{self, Kind};
use crate::net::target::HttpLimits;

/// The only listener of a hub.
const LISTENER: ListenId = ListenId(0);

/// The largest request head, and the most header fields.
const MAX_HEAD: (usize, usize) = (16_384, 64);

/// Time to receive a whole request.
const REQUEST_TIMEOUT_MS: u64 = 30_000;

/// Where a hub is in its life.
#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    /// It waits for the listener and the store.
    Loading {
        waiting: BTreeMap<StoreId, &'static str>,
        loaded: BTreeMap<&'static str, Vec<(String, Bytes)>>,
    },
    Serving,
    /// It gives out no work, and waits for what runs.
    Draining {
        until: Instant,
    },
    Ended,
}

/// Checks what no single option can be blamed for.
pub(super) fn check(options: &HubOptions) -> Result<(), ConfigError> {
    let mut problems = ConfigError::default();
    match options.access {
        HubAccess::Open => {
            if !is_loopback(&options.listen) && !options.danger_open_network {
                problems.add(
                    "listen",
                    "is beyond loopback, where an open hub lets anyone run work on its workers; \
                     set access to secured, or danger_open_network if the network is trusted",
                );
            }
        }
        HubAccess::Secured => {
            if options.users.is_empty()
                && options.join_secret.is_empty()
                && options.auth_join_secret.is_empty()
            {
                problems.add(
                    "access",
                    "is secured, but nobody could join or log in: set users, join_secret or \
                     auth_join_secret",
                );
            }
            let tls = !options.runtime.cert_file.is_empty();
            if !is_loopback(&options.listen) && !tls && !options.danger_open_network {
                problems.add(
                    "listen",
                    "is beyond loopback, where passwords would be sent in the clear; set \
                     runtime.cert_file and runtime.key_file, or danger_open_network",
                );
            }
        }
    }
    for (index, user) in options.users.iter().enumerate() {
        if user.name.is_empty() || user.password.is_empty() {
            problems.add(&format!("users[{index}]"), "needs a name and a password");
        }
    }
    for (index, daemon) in options.volt.daemons.iter().enumerate() {
        if daemon.team_cluster_id.trim().is_empty() || daemon.password.expose().trim().is_empty() {
            problems
                .add(&format!("volt.daemons[{index}]"), "needs a team_cluster_id and a password");
        }
    }
    if options.volt.path.trim_matches('/').is_empty() || !options.volt.path.starts_with('/') {
        problems
            .add("volt.path", "must begin with a slash and name something, such as /socket.io/");
    }
    problems.check(())
}

fn is_loopback(listen: &str) -> bool {
    if let Ok(address) = listen.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Hub {
    pub(super) fn start(&mut self, now: Now) -> Result<(), Error> {
        match self.phase {
            Phase::Idle => {}
            Phase::Ended => return Err(ErrorCode::Stopped.into()),
            Phase::Loading { .. } | Phase::Serving | Phase::Draining { .. } => {
                return Err(ErrorCode::AlreadyStarted.into());
            }
        }
        self.started = now;
        let mut waiting = BTreeMap::new();
        for space in records::SPACES.into_iter().chain(volt_server::SPACES) {
            let store = self.stores.next_id();
            waiting.insert(store, space);
            self.out.push_back(Output::Store { store, request: StoreRequest::Load { space } });
        }
        let limit = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        self.out.push_back(Output::Listen {
            listen: LISTENER,
            address: self.options.listen.clone(),
            limits: HttpLimits {
                max_head: MAX_HEAD.0,
                max_headers: MAX_HEAD.1,
                max_body: limit(self.options.max_body_bytes),
                request_timeout_ms: REQUEST_TIMEOUT_MS,
                max_connections: limit(self.options.max_connections),
                max_unadmitted_per_address: limit(self.options.max_unadmitted_per_address),
            },
        });
        self.phase = Phase::Loading { waiting, loaded: BTreeMap::new() };
        Ok(())
    }

    pub(super) fn handle_listening(&mut self, address: String) {
        self.address = Some(address);
        self.announce();
    }

    pub(super) fn handle_stored(
        &mut self,
        store: StoreId,
        result: Result<StoreReply, Error>,
        now: Now,
    ) {
        match (&mut self.phase, result) {
            (Phase::Loading { waiting, loaded }, Ok(StoreReply::Loaded(records))) => {
                let Some(space) = waiting.remove(&store) else { return };
                loaded.insert(space, records);
                if waiting.is_empty() {
                    let loaded = std::mem::take(loaded);
                    self.phase = Phase::Serving;
                    self.restore(loaded, now);
                    self.arm(now.mono.after(SWEEP_MS), Timer::Sweep);
                    self.volt.start(now);
                    self.announce();
                }
            }
            (Phase::Loading { .. }, Err(error)) => self.end(Some(error), now),
            (Phase::Ended, _) => {}
            (_, result) => match self.stores.take(store) {
                Some((Child::Volt, store)) => {
                    self.volt.handle_input(Input::Stored { store, result }, now);
                }
                Some((Child::Beacon, store)) => {
                    match self.journal.stored(store, result, now.mono) {
                        Ok(held) => held.into_iter().for_each(|what| self.perform(what)),
                        Err(error) => self.event(Event::Session(SessionEvent::Notice { error })),
                    }
                }
                None => {}
            },
        }
    }

    fn announce(&mut self) {
        if let (Phase::Serving, Some(address)) = (&self.phase, &self.address) {
            let id = address.clone();
            self.event(Event::Session(SessionEvent::Ready {
                id,
                transport: "listener",
                max_message: None,
            }));
        }
    }

    /// Tells whether requests are answered.
    pub(super) const fn is_serving(&self) -> bool {
        match self.phase {
            Phase::Serving | Phase::Draining { .. } => true,
            Phase::Idle | Phase::Loading { .. } | Phase::Ended => false,
        }
    }

    /// Tells whether work is taken and given out.
    pub(super) const fn is_assigning(&self) -> bool {
        match self.phase {
            Phase::Serving => true,
            Phase::Idle | Phase::Loading { .. } | Phase::Draining { .. } | Phase::Ended => false,
        }
    }

    /// Returns the phase's name, for people.
    pub(super) const fn phase_name(&self) -> &'static str {
        match self.phase {
            Phase::Idle => "idle",
            Phase::Loading { .. } => "loading",
            Phase::Serving => "serving",
            Phase::Draining { .. } => "draining",
            Phase::Ended => "ended",
        }
    }

    /// The answer while there is nothing to answer with.
    pub(super) fn unavailable(&self) -> HttpResponse {
        let text = format!("The hub is {}.", self.phase_name());
        HttpResponse::json(503, wire::error(&text)).retry_later()
    }

    pub(super) fn stop(&mut self, drain_ms: u64, now: Now) {
        let until = now.mono.after(drain_ms);
        match self.phase {
            Phase::Idle | Phase::Loading { .. } => self.end(None, now),
            Phase::Serving => {
                self.phase = Phase::Draining { until };
                self.arm(until, Timer::Drain);
                self.volt.drain();
                self.report_drain();
            }
            Phase::Draining { until: before } if until < before => {
                self.phase = Phase::Draining { until };
                self.arm(until, Timer::Drain);
            }
            Phase::Draining { .. } | Phase::Ended => {}
        }
    }

    /// Ends the drain when nothing runs any more and everything is stored and said.
    pub(super) fn check_drained(&mut self, now: Now) {
        let Phase::Draining { until } = self.phase else { return };
        let idle = self.in_flight() == 0 && self.journal.is_idle() && self.volt.is_stored();
        if idle || until <= now.mono {
            self.end_drain(now);
        }
    }

    pub(super) fn end_drain(&mut self, now: Now) {
        let Phase::Draining { until } = self.phase else { return };
        let running = self.in_flight();
        if running == 0 {
            self.end(None, now);
        } else if until <= now.mono {
            let text = format!("{running} work items or commands were still running");
            self.end(Some(Error::new(ErrorCode::DrainTimeout, text)), now);
        }
    }

    /// Counts what workers run; what is held since a restart is as safe in the store as before.
    fn in_flight(&self) -> usize {
        let held: usize = self.held.values().map(BTreeSet::len).sum();
        self.queue.running().saturating_sub(held) + self.volt.in_flight()
    }

    fn report_drain(&mut self) {
        let in_flight = self.in_flight();
        self.event(Event::Session(SessionEvent::Draining { in_flight, outbox: 0 }));
    }

    /// Says farewell to everyone. Whoever waits is told to come back: the queue is stored.
    pub(super) fn end(&mut self, error: Option<Error>, now: Now) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        let waiting: Vec<ItemId> = self.queue.iter().map(|(id, _)| id).collect();
        for id in waiting {
            let Some(item) = self.queue.get_mut(id) else { continue };
            for waiter in std::mem::take(&mut item.waiters) {
                self.turn_away(waiter, 503, ErrorCode::Stopped, "The hub is going away.");
            }
        }
        self.volt.end(&self.unavailable(), now);
        self.flush();
        // Whoever waits for the disk is answered now: a call settles once, whatever becomes of it.
        for what in self.journal.abandon() {
            match what {
                Deferred::Event(_) => self.perform(what),
                Deferred::Reply { http, .. } => self.reply(http, self.unavailable()),
                Deferred::End { http } => self.perform(Deferred::End { http }),
                Deferred::Send { .. } | Deferred::Part { .. } | Deferred::Verdict { .. } => {}
            }
        }
        self.out.push_back(Output::Unlisten { listen: LISTENER });
        let connections: Vec<ConnId> = self.server.connections().collect();
        for conn in connections {
            self.close(conn, 1001, "the hub is going away");
        }
        self.phase = Phase::Ended;
        self.timers.clear();
        self.event(Event::Session(SessionEvent::Ended { error }));
    }

    /// Answers one who waits in vain.
    pub(super) fn turn_away(&mut self, waiter: Waiter, status: u16, code: ErrorCode, text: &str) {
        let response = |text: String| {
            let response = HttpResponse::json(status, text);
            if status == 503 { response.retry_later() } else { response }
        };
        match waiter {
            Waiter::Http { http, stream: false } => {
                self.later(Deferred::Reply { http, response: response(wire::failure(text)) });
            }
            Waiter::Http { http, stream: true } => {
                let bytes = binary_frames::frame(Kind::Error, wire::error(text).as_bytes());
                self.later(Deferred::Part { http, bytes });
                self.later(Deferred::End { http });
            }
            Waiter::Call { call, .. } => {
                let result = Err(Error::new(code, text));
                self.later(Deferred::Event(Event::Call(CallEvent::Done { call, result })));
            }
            Waiter::Login { http } => {
                let response = response(wire::login_refused(text));
                self.later(Deferred::Reply { http, response });
            }
            Waiter::Join { conn } => self.close(conn, 1001, text),
        }
    }
}
