//! The hub: the embedded control plane, one listener that several server roles share.
//!
//! ```text
//!   Idle ─start─▶ Loading ──▶ Serving ─stop─▶ Draining ──▶ Ended
//!                    └── store or listener failed ───────────▲
//! ```
//!
//! It decides who may come and ask, loads what is stored, and hands offers, requests and connections
//! to the child that they belong to: the coordinator of beacon workers, or the control plane of VOLT
//! daemons. What the children say leaves it as it is, but for the numbers of requests to the store.

mod accounts;
mod calls;
mod checks;
mod children;
mod lifecycle;
mod listener;
mod logins;
mod metrics;
mod page;
mod routes;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use accounts::Accounts;
use children::Stores;
use lifecycle::Phase;
use logins::Logins;
use page::Viewers;

use crate::api::command::{CallCommand, Command, WorkCommand};
use crate::api::event::{CallEvent, Event, SessionEvent};
use crate::api::metrics::MetricsPage;
use crate::api::options::HubOptions;
use crate::base::entropy::{Entropy, Seeds};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::HttpId;
use crate::base::json::Raw;
use crate::base::time::{Deadline, Now, Why};
use crate::dialect::beacon::coordinator::Coordinator;
use crate::dialect::volt::server::VoltServer;
use crate::machine::{Endpoint, Input, Machine, Output, ServerInput};
use crate::net::Networks;
use crate::net::origin::Visitors;
use crate::parts::admission::address;
use crate::parts::readmission::Readmission;
use crate::parts::window::Window;

/// The handler key by which an application asks for the messages of VOLT daemons.
const MESSAGES: &str = "*";

/// The embedded control plane.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    phase: Phase,
    out: VecDeque<Output>,
    coordinator: Coordinator,
    volt: VoltServer,
    stores: Stores,
    accounts: Accounts,
    readmission: Readmission,
    visitors: Visitors,
    proxies: Networks,
    /// Counts what is told of each address.
    warnings: Window,
    logins: Logins,
    /// Allowed origins of the pages that wait for an answer.
    origins: BTreeMap<HttpId, String>,
    started: Now,
    address: Option<String>,
    logins_refused: u64,
    viewers: Viewers,
}

impl Hub {
    /// Opens a hub. A single [`Seed`](crate::entropy::Seed) is for tests.
    ///
    /// # Errors
    /// `CONFIG_INVALID` when the options would let anyone in from a network, or nobody at all.
    pub fn open(options: HubOptions, seeds: impl Into<Seeds>) -> Result<Self, Error> {
        checks::check(&options)?;
        let seeds: Seeds = seeds.into();
        let mut secrets = Entropy::new(seeds.secrets);
        let volt_seeds = Seeds { run: seeds.run, secrets: secrets.seed() };
        Ok(Self {
            phase: Phase::Idle,
            out: VecDeque::new(),
            coordinator: Coordinator::new(options.clone()),
            volt: VoltServer::new(&options, volt_seeds),
            stores: Stores::default(),
            accounts: Accounts::new(&options, secrets.seed()),
            readmission: Readmission::new(options.readmission_rate),
            visitors: checks::visitors(&options),
            proxies: options.trusted_proxies.iter().cloned().collect(),
            warnings: Window::of_warnings(),
            logins: Logins::default(),
            origins: BTreeMap::new(),
            started: Now::default(),
            address: None,
            logins_refused: 0,
            viewers: Viewers::default(),
            options,
        })
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.out.push_back(Output::Event(event.into()));
    }

    fn notice(&mut self, code: ErrorCode, text: impl AsRef<str>) {
        self.event(SessionEvent::Notice { error: Error::new(code, text) });
    }

    /// Tells of a client that was refused, unless there were too many from its address.
    fn warn(&mut self, code: ErrorCode, remote: &str, text: impl AsRef<str>, now: Now) {
        let error = Error::new(code, format!("{remote}: {}", text.as_ref()));
        self.warnings.warn(address(remote), error, now, &mut self.out);
    }
}

impl Machine for Hub {
    fn handle_input(&mut self, input: Input, now: Now) {
        match input {
            Input::Conn(ref news) => {
                if self.volt.owns(news.conn()) {
                    self.volt.handle_input(input, now);
                } else {
                    self.coordinator.handle_input(input, now);
                }
            }
            Input::Server(ServerInput::Offered { conn, request, remote }) => {
                let remote = self.proxies.client(&request.headers, remote);
                self.handle_offer(conn, request, remote, now);
            }
            Input::Server(ServerInput::Asked { http, request, remote }) => {
                let remote = self.proxies.client(&request.headers, remote);
                if let Some(response) = self.answer(http, request, remote, now) {
                    self.reply(http, response);
                }
            }
            Input::Server(ServerInput::Exceeded { request, remote }) => {
                let remote = self.proxies.client(&request.headers, remote);
                self.handle_excess(&request, &remote, now);
            }
            Input::Server(ServerInput::Gone { http }) => {
                self.origins.remove(&http);
                let left = self.logins.forget(http);
                self.viewers.remove(http);
                self.volt.handle_input(Input::Server(ServerInput::Gone { http }), now);
                self.coordinator.handle_input(Input::Server(ServerInput::Gone { http }), now);
                if let Some(remote) = left {
                    self.go_on(address(&remote), now);
                }
            }
            Input::Server(ServerInput::Backlog { http, is_full }) => {
                if is_full {
                    self.let_go(http);
                }
                self.volt.backlog(http, is_full);
                self.coordinator.backlog(http, is_full, now);
            }
            Input::Server(ServerInput::Listening { address, .. }) => {
                self.address = Some(address);
                self.announce();
            }
            Input::Server(ServerInput::ListenFailed { error, .. }) => self.end(Some(error), now),
            Input::Stored { store, result } => self.handle_stored(store, result, now),
            // A hub asks nobody and takes no streams.
            Input::Server(ServerInput::Accepted { .. })
            | Input::Http(_)
            | Input::HostLag { .. } => {}
        }
        self.check_decisions(now);
        self.check_drained(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.notice_lateness(now.mono);
        self.coordinator.handle_timeout(now);
        self.volt.handle_timeout(now);
        self.accounts.expire(now.mono);
        self.tell_viewers(now);
        self.check_decisions(now);
        self.check_drained(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front().or_else(|| self.poll_children())
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let until = if let Phase::Draining { until, .. } = self.phase { Some(until) } else { None };
        let drain = until.map(|at| Deadline { at, why: Why::Drain });
        let viewers = self.viewers.due.map(|at| Deadline { at, why: Why::Viewers });
        [self.coordinator.poll_timeout(), self.volt.poll_timeout(), drain, viewers]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Endpoint for Hub {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        self.volt.clock = now;
        let mut result = Ok(());
        match command {
            Command::Start => result = self.start(now),
            Command::Stop { drain_ms } => self.stop(drain_ms, now),
            Command::Call(CallCommand::Make { call, name, payload, options }) => {
                result = self.call(call, &name, payload, &options, now);
            }
            Command::Call(CallCommand::Cancel { call }) => self.cancel_call(call, now),
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.event(CallEvent::Done { call, result });
            }
            Command::Work(WorkCommand::Handle { key, .. }) if key == MESSAGES => {
                self.volt.listens = true;
            }
            Command::Work(WorkCommand::Unhandle { key }) if key == MESSAGES => {
                self.volt.listens = false;
            }
            Command::Work(WorkCommand::Handle { key, .. }) => result = self.volt.handle(key),
            Command::Work(WorkCommand::Unhandle { key }) => self.volt.unhandle(&key),
            Command::Work(WorkCommand::Complete { work, outcome }) => {
                result = self.volt.complete(work, &outcome);
            }
            Command::Emit { name, payload } if self.phase.is_serving() => {
                result = self.volt.message(&name, &payload);
            }
            Command::Emit { .. }
            | Command::Peer(_)
            | Command::Work(WorkCommand::Progress { .. }) => {
                result = Err(Error::new(ErrorCode::Unsupported, "a hub has no such call"));
            }
        }
        self.check_decisions(now);
        self.check_drained(now);
        result
    }

    fn snapshot(&self, now: Now) -> String {
        self.show_status(now)
    }

    fn why_not_ready(&self) -> Option<&'static str> {
        self.not_ready()
    }

    fn measure(&mut self, page: &mut MetricsPage, now: Now) {
        self.measure_all(page, now);
    }
}
