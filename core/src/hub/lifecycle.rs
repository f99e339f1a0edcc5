//! Start, load, drain, end.

use std::collections::BTreeMap;

use super::Hub;
use super::children::Child;
use crate::api::event::{SessionEvent, Transport};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ListenId, StoreId};
use crate::base::store::{Loaded, StoreReply, StoreRequest};
use crate::base::time::{Instant, Now};
use crate::dialect::beacon::coordinator;
use crate::dialect::volt::server as volt_server;
use crate::machine::{Input, Machine as _, Output};
use crate::net::target::{HttpLimits, ListenTarget};

/// The only listener of a hub.
const LISTENER: ListenId = ListenId(0);

/// A turn that comes later than asked for by this much says that this process was held up.
const LATE_MS: u64 = 1_000;

/// Where a hub is in its life.
#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    /// It waits for the listener and the store.
    Loading {
        waiting: BTreeMap<StoreId, &'static str>,
        loaded: Loaded,
    },
    Serving,
    /// It gives out no work, and waits for what runs.
    Draining {
        until: Instant,
        /// Whether time was given: then it ends well only if everything is stored.
        waits: bool,
    },
    Ended,
}

impl Phase {
    /// Tells whether requests are answered.
    pub(super) const fn is_serving(&self) -> bool {
        matches!(self, Self::Serving | Self::Draining { .. })
    }

    /// Returns the name, for people.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Loading { .. } => "loading",
            Self::Serving => "serving",
            Self::Draining { .. } => "draining",
            Self::Ended => "ended",
        }
    }
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
        for space in coordinator::SPACES.into_iter().chain(volt_server::SPACES) {
            let store = self.stores.next_id();
            waiting.insert(store, space);
            self.out.push_back(Output::Store { store, request: StoreRequest::Load { space } });
        }
        if let Some(request) = self.coordinator.load_results(None) {
            let store = self.stores.next_id();
            waiting.insert(store, coordinator::RESULTS);
            self.out.push_back(Output::Store { store, request });
        }
        self.out.push_back(Output::Listen {
            listen: LISTENER,
            target: ListenTarget::Http {
                address: self.options.listen.clone(),
                proxies: self.proxies.clone(),
                echoes_protocol: false,
                limits: HttpLimits {
                    max_held: usize::try_from(self.options.max_connection_bytes)
                        .unwrap_or(usize::MAX),
                    ..HttpLimits::new(
                        self.options.max_body_bytes,
                        self.options.max_connections,
                        self.options.max_unadmitted_per_address,
                    )
                },
            },
        });
        self.phase = Phase::Loading { waiting, loaded: BTreeMap::new() };
        Ok(())
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
                if space != coordinator::RESULTS {
                    loaded.insert(space, records);
                } else if let Some(request) = self.coordinator.load_results(Some(&records)) {
                    let store = self.stores.next_id();
                    waiting.insert(store, space);
                    self.out.push_back(Output::Store { store, request });
                }
                if waiting.is_empty() {
                    let loaded = std::mem::take(loaded);
                    self.phase = Phase::Serving;
                    self.restore(loaded, now);
                    self.announce();
                }
            }
            (Phase::Loading { .. }, Err(error)) => self.end(Some(error), now),
            (Phase::Ended, _) => {}
            (_, result) => {
                let Some((child, store)) = self.stores.children.remove(&store) else { return };
                let input = Input::Stored { store, result };
                match child {
                    Child::Beacon => self.coordinator.handle_input(input, now),
                    Child::Volt => self.volt.handle_input(input, now),
                }
            }
        }
    }

    fn restore(&mut self, mut loaded: Loaded, now: Now) {
        let unreadable =
            self.volt.restore(&mut loaded, now) + self.coordinator.restore(&mut loaded, now);
        self.volt.start(now);
        if unreadable > 0 {
            let text = format!("{unreadable} records of the store cannot be read; they are left");
            self.notice(ErrorCode::StoreFailed, text);
        }
    }

    pub(super) fn announce(&mut self) {
        if let (Phase::Serving, Some(address)) = (&self.phase, &self.address) {
            let (id, transport) = (address.clone(), Transport::Listener);
            self.event(SessionEvent::Ready { id, transport, max_message: None });
        }
    }

    pub(super) fn stop(&mut self, drain_ms: u64, now: Now) {
        let until = now.mono.after(drain_ms);
        match self.phase {
            Phase::Idle | Phase::Loading { .. } => self.end(None, now),
            Phase::Serving => {
                self.phase = Phase::Draining { until, waits: drain_ms > 0 };
                self.coordinator.is_open = false;
                self.volt.drain();
                let in_flight = self.in_flight();
                self.event(SessionEvent::Draining { in_flight, outbox: 0 });
            }
            Phase::Draining { until: before, waits } if until < before => {
                self.phase = Phase::Draining { until, waits };
            }
            Phase::Draining { .. } | Phase::Ended => {}
        }
    }

    /// Ends the drain when nothing runs any more and everything is stored and said, or its time is up.
    pub(super) fn check_drained(&mut self, now: Now) {
        let Phase::Draining { until, waits } = self.phase else { return };
        let running = self.in_flight();
        let unwritten = self.coordinator.unwritten() + self.volt.unwritten();
        if running == 0 && (unwritten == 0 || until <= now.mono) {
            let error = (unwritten > 0 && waits).then(|| {
                let text = format!("{unwritten} writes were not made; whoever waits is told so");
                Error::new(ErrorCode::StoreFailed, text)
            });
            self.end(error, now);
        } else if until <= now.mono {
            let text = format!("{running} work items or commands were still running");
            self.end(Some(Error::new(ErrorCode::DrainTimeout, text)), now);
        }
    }

    /// Says farewell to everyone. Whoever waits is told to come back: the queue is stored.
    pub(super) fn end(&mut self, error: Option<Error>, now: Now) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        let unavailable = self.unavailable();
        self.end_viewers();
        self.coordinator.end(&unavailable);
        self.volt.end(&unavailable, now);
        self.collect();
        self.out.push_back(Output::Unlisten { listen: LISTENER });
        self.coordinator.hang_up(&self.readmission);
        self.collect();
        self.phase = Phase::Ended;
        self.event(SessionEvent::Ended { error });
    }

    /// Extends leases when this process was suspended or starved.
    pub(super) fn notice_lateness(&mut self, now: Instant) {
        let Some(due) = self.poll_timeout() else { return };
        let late = now.since(due.at);
        if late >= LATE_MS {
            self.coordinator.extend_leases(now);
            self.notice(
                ErrorCode::HostStalled,
                format!("the hub's own process was held up for {late} ms; leases are extended"),
            );
        }
    }

    /// Counts what a drain waits for.
    fn in_flight(&self) -> usize {
        self.coordinator.in_flight() + self.volt.in_flight()
    }
}
