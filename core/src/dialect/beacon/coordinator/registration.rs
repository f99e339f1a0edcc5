//! Registrations, heartbeats and farewells of workers, over either carrier.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytestring::ByteString;

use super::auth_worker::AUTHENTICATION;
use super::item::{ItemId, State, Waiter};
use super::requests::Asked;
use super::wire::{self, MoorlineRegistration, Registration, Report, RunningItem, Verdict};
use super::{Caller, Coordinator, PROVEN_FRAME, Promise, Timer, UNREGISTERED_FRAME};
use crate::api::event::{Event, PeerEvent, Withdrawal};
use crate::api::options::HubOptions;
use crate::base::error::ErrorCode;
use crate::base::ids::{ConnId, HttpId, PeerId};
use crate::base::json;
use crate::base::secret::Secret;
use crate::base::time::Now;
use crate::machine::Output;
use crate::net::HttpResponse;
use crate::parts::handlers::MAX_HANDLERS;

/// The longest name of a worker, capability or action, in bytes.
pub(super) const MAX_NAME: usize = 256;

/// The most bytes of the names of a worker's capabilities.
const MAX_NAMES: usize = 262_144;

/// The most capabilities of a worker, and the most actions it may describe: as many as a worker of ours
/// may have handlers.
const MAX_CAPABILITIES: usize = MAX_HANDLERS;
const MAX_SCHEMAS: usize = MAX_HANDLERS;

/// The close code and reason of a worker that may not join. Source: `ultravisor` 1.3.24.
const DENIED: (u16, &str) = (4403, "Beacon admission denied");

/// The close code and reason while an address has no guess left: whoever knows the secret comes back.
const GUESSED: (u16, &str) = (1013, "Too many wrong join secrets came from this address.");

/// The close code and reason when workers' records are as large as they may be.
const FULL: (u16, &str) = (1013, "Too many workers.");

/// The close code and reason of a worker of ours whose name is another's now.
const TAKEN: (u16, &str) = (4409, "Another worker registered this name.");

/// Why a worker may not take a name.
const NOT_YOURS: &str = "The name is registered by somebody else.";

/// A worker's record, and what a worker of ours says it runs.
type Recorded = (PeerId, Option<MoorlineRegistration>);

/// Whether a worker may keep an item that it lists; `None` for one that is settled by that attempt.
type Claim = Result<Option<ItemId>, &'static str>;

/// What a join check says.
enum Join {
    Allowed,
    Refused(&'static str),
    /// There were too many wrong secrets: nothing is compared.
    Later,
    /// An auth worker decides.
    Ask,
}

impl Coordinator {
    /// Takes a registration frame.
    pub(super) fn handle_registration(&mut self, conn: ConnId, text: &ByteString, now: Now) {
        // The auth worker's word is about what it was asked, and about nothing said since.
        if let Some(link) = self.conns.get_mut(&conn).filter(|link| link.joining.is_some()) {
            link.said_since = Some(text.clone());
            return;
        }
        let registration = match read(text) {
            Ok(registration) => registration,
            Err(reason) => return self.deny(conn, "", &reason, now),
        };
        match self.join(conn, &registration, now) {
            Join::Allowed => self.accept_connection(conn, registration, now),
            Join::Refused(reason) => {
                let name = registration.name.unwrap_or_default();
                self.deny(conn, &name, reason, now);
            }
            Join::Later => self.close(conn, GUESSED.0, GUESSED.1),
            Join::Ask => {
                let name = registration.name.as_deref().unwrap_or_default();
                let capabilities = registration.capabilities.as_deref().unwrap_or_default();
                let secret = registration.join_secret.as_ref().map_or("", Secret::expose);
                let question = wire::join_question(name, secret, capabilities);
                let Some(link) = self.conns.get_mut(&conn) else { return };
                link.joining = Some(text.clone());
                let (what, waiter) = ("AUTH_ValidateBeaconJoin", Waiter::Join { conn });
                if self.ask_auth_worker(what, question, waiter, now).is_err() {
                    let name = registration.name.unwrap_or_default();
                    self.deny(conn, &name, "too many workers wait for the auth beacon", now);
                }
            }
        }
    }

    /// Takes an auth worker's word on a registration.
    pub(super) fn joined(&mut self, conn: ConnId, verdict: Result<(), String>, now: Now) {
        let Some(link) = self.conns.get_mut(&conn) else { return };
        let Some(text) = link.joining.take() else { return };
        let said_since = link.said_since.take();
        match (verdict, read(&text)) {
            (Ok(()), Ok(registration)) => {
                self.guesses.give_back(self.accepted.address(conn), now.mono);
                self.accept_connection(conn, registration, now);
            }
            (Err(reason), Ok(Registration { name, .. })) => {
                self.deny(conn, &name.unwrap_or_default(), &reason, now);
            }
            (_, Err(reason)) => self.deny(conn, "", &reason, now),
        }
        if let Some(text) = said_since.filter(|_| self.accepted.is_open(conn)) {
            self.handle_registration(conn, &text, now);
        }
    }

    /// Closes a connection whose registration nobody decided about; it was no guess.
    pub(super) fn put_off(&mut self, conn: ConnId, now: Now) {
        if let Some(link) = self.conns.get_mut(&conn) {
            (link.joining, link.said_since) = (None, None);
        }
        self.guesses.give_back(self.accepted.address(conn), now.mono);
        self.close(conn, GUESSED.0, "The auth beacon did not decide.");
    }

    fn join(&mut self, conn: ConnId, registration: &Registration<'_>, now: Now) -> Join {
        if !self.options.is_secured() {
            return Join::Allowed;
        }
        let address = self.accepted.address(conn).to_owned();
        if is_auth_worker(registration) || !self.options.join_secret.is_empty() {
            return self.check_secret(&address, registration, now);
        }
        let logged_in = self.conns.get(&conn).is_some_and(|link| link.caller.is_some());
        if !self.options.users.is_empty() && logged_in {
            return Join::Allowed;
        }
        if self.registry.offers(AUTHENTICATION) {
            // Counted as wrong until it is right: whoever guesses does not wait for an answer.
            let counted = self.guesses.take(&address, now.mono);
            return counted.map_or(Join::Later, |()| Join::Ask);
        }
        Join::Refused(
            "No auth beacon connected; cannot validate beacon join in non-promiscuous mode",
        )
    }

    /// Compares in constant time, unless too many secrets of a client were wrong; a secret that is not
    /// configured refuses everyone.
    fn check_secret(&mut self, client: &str, registration: &Registration<'_>, now: Now) -> Join {
        if self.guesses.check(client, now.mono).is_err() {
            return Join::Later;
        }
        let of_auth = is_auth_worker(registration);
        let HubOptions { join_secret, auth_join_secret, .. } = &self.options;
        let expected = if of_auth { auth_join_secret } else { join_secret };
        if registration.join_secret.as_ref() == Some(expected) && !expected.is_empty() {
            return Join::Allowed;
        }
        let _ = self.guesses.take(client, now.mono);
        Join::Refused("join secret mismatch")
    }

    fn deny(&mut self, conn: ConnId, name: &str, reason: &str, now: Now) {
        let from = self.accepted.address(conn).to_owned();
        self.turned_away(&from, name, reason, now);
        self.send(conn, wire::rejected(reason));
        self.close(conn, DENIED.0, DENIED.1);
    }

    /// Tells that a worker was not let in.
    fn turned_away(&mut self, from: &str, name: &str, reason: &str, now: Now) {
        let text = format!("the worker {name:?} was turned away: {reason}");
        self.warn(ErrorCode::PeerRefused, from, text, now);
    }

    fn accept_connection(&mut self, conn: ConnId, registration: Registration<'_>, now: Now) {
        if !self.accepted.is_open(conn) {
            return;
        }
        let name: Arc<str> = registration.name.as_deref().unwrap_or("unnamed").into();
        let link = self.conns.get(&conn).filter(|_| self.options.is_secured());
        let owner = link.and_then(|link| link.caller.clone());
        if let (Some(worker), Some(caller)) = (self.registry.by_name(&name), &owner)
            && self.options.join_secret.is_empty()
            && !self.owns(worker, caller)
        {
            return self.deny(conn, &name, NOT_YOURS, now);
        }
        if !self.registry.has_room(&name, &registration) {
            return self.close(conn, FULL.0, FULL.1);
        }
        // A connection speaks for one record: the one it spoke for before is gone.
        if let Some(before) = self.registry.by_conn(conn)
            && self.registry.get(before).is_some_and(|worker| worker.name != name)
        {
            self.remove_worker(before, "it registered under another name", now);
        }
        if !self.yields_name(&name, &registration, Some(conn), now) {
            return self.close(conn, TAKEN.0, TAKEN.1);
        }
        let (worker, running) = self.record(name, registration, owner, now);
        // What it came from is the same worker's, and dead.
        if let Some(before) = self.registry.connect(worker, Some(conn)) {
            self.close(before, 1001, "the worker registered on another connection");
        }
        self.displaced.remove(&conn);
        if let Some(limits) = self.accepted.admit(conn, now.mono) {
            self.out.push_back(Output::SetLimits { conn, limits });
        }
        let Some(record) = self.registry.get(worker) else { return };
        let max_message = self.options.limits.max_message_bytes;
        let text = wire::registered(&record.beacon_id, record.acks.then_some(max_message));
        self.send(conn, text);
        self.reconcile((worker, running), now);
    }

    /// Takes a registration over HTTP.
    pub(super) fn register_over_http(&mut self, http: HttpId, asked: Asked<'_>) {
        let registered = self.join_over_http(asked);
        let (worker, running) = match registered {
            Ok(registered) => registered,
            Err((status, text)) => {
                let name = read(asked.body).ok().and_then(|said| said.name).unwrap_or_default();
                self.turned_away(&asked.caller.client, &name, &text, asked.now);
                return self.reply(http, HttpResponse::json(status, wire::error(&text)));
            }
        };
        // Our worker uses one transport at a time. Whoever is on its connection finds out, and comes back.
        if running.is_some()
            && let Some(before) = self.registry.connect(worker, None)
        {
            self.close(before, 1001, "the worker registered over HTTP");
        }
        if let Some(text) = self.worker_record(worker, &asked.caller.session, true) {
            self.reply(http, HttpResponse::json(200, text));
        }
        self.reconcile((worker, running), asked.now);
    }

    fn join_over_http(&mut self, asked: Asked<'_>) -> Result<Recorded, (u16, String)> {
        let refuse = |status: u16, text: &str| Err((status, text.to_owned()));
        let registration = read(asked.body).map_err(|reason| (400, reason))?;
        let name = registration.name.clone().filter(|name| !name.is_empty());
        let (Some(name), Some(_)) = (name, &registration.capabilities) else {
            return refuse(400, "Name and Capabilities are required.");
        };
        if self.options.is_secured() && is_auth_worker(&registration) {
            match self.check_secret(&asked.caller.client, &registration, asked.now) {
                Join::Allowed => {}
                Join::Later => return refuse(429, GUESSED.1),
                Join::Refused(_) | Join::Ask => return refuse(403, DENIED.1),
            }
        }
        let known = self.registry.by_name(&name);
        let is_full = known.is_none() && self.registry.len() as u64 >= self.options.max_connections;
        if is_full || !self.registry.has_room(&name, &registration) {
            return refuse(503, FULL.1);
        }
        if known.is_some_and(|worker| !self.owns(worker, asked.caller)) {
            return refuse(403, NOT_YOURS);
        }
        if !self.yields_name(&name, &registration, None, asked.now) {
            return refuse(409, TAKEN.1);
        }
        Ok(self.record(name.into(), registration, Some(asked.caller.clone()), asked.now))
    }

    /// Lets a name go to whoever registers it: the newest process has it, and one that came back waits
    /// until it is free. Tells whether it may have the name. Workers of others cannot be told apart but
    /// by two connections at a time.
    fn yields_name(
        &mut self,
        name: &str,
        registration: &Registration<'_>,
        conn: Option<ConnId>,
        now: Now,
    ) -> bool {
        let Some(worker) = self.registry.by_name(name) else { return true };
        let Some(record) = self.registry.get(worker) else { return true };
        let is_ours = record.acks || registration.acks();
        let former = registration.former_id();
        // A confirmation that was lost leaves a process with the id that it had before.
        if *record.beacon_id == *former
            || record.former_id.as_deref() == Some(former)
            || (conn.is_some() && record.conn == conn)
            || (!is_ours && (conn.is_none() || record.conn.is_none()))
        {
            return true;
        }
        if !former.is_empty() && !record.offline {
            return false;
        }
        self.displace(worker, now);
        true
    }

    /// Gives a worker's name to another and tells its owner: ours is cut off and waits, others would
    /// come back at once and are left alone until the name is free.
    fn displace(&mut self, worker: PeerId, now: Now) {
        let Some(record) = self.registry.get(worker) else { return };
        let (name, id, conn, acks) =
            (record.name.clone(), record.beacon_id.clone(), record.conn, record.acks);
        let waiting = std::mem::take(&mut self.displaced);
        self.leave_running(worker, now);
        self.remove_worker(worker, TAKEN.1, now);
        self.displaced = waiting;
        let fate = if acks { "it waits until the name is free" } else { "it gets no more work" };
        // Two that want one name can have it happen at will.
        if self.warnings.count(&format!("name {name}"), now.mono).is_ok() {
            let text = format!("another worker registered the name {name:?} of {id}: {fate}");
            self.notice(ErrorCode::NameTaken, text);
        }
        match conn {
            Some(conn) if acks => self.close(conn, TAKEN.0, TAKEN.1),
            Some(conn) => {
                self.displaced.insert(conn, name);
            }
            None => {}
        }
    }

    /// Has whoever was displaced from a name come back for it.
    pub(super) fn free_name(&mut self, name: &str) {
        let of_name = self.displaced.iter().filter(|(_, of)| ***of == *name);
        for conn in of_name.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.displaced.remove(&conn);
            self.close(conn, 1012, "the name is free again: come back");
        }
    }

    /// Brings the record up to date; returns what a worker of ours says it runs.
    fn record(
        &mut self,
        name: Arc<str>,
        registration: Registration<'_>,
        owner: Option<Caller>,
        now: Now,
    ) -> Recorded {
        let known = self.registry.by_name(&name).and_then(|worker| self.registry.get(worker));
        let before = known.map(|worker| worker.capabilities.clone()).unwrap_or_default();
        let (worker, new) = self.registry.register(&name, &registration, owner, now);
        self.catalogue.describe(registration.action_schemas.unwrap_or_default());
        if new {
            self.recent.come(&name);
            self.timers.add(Timer::Silence(worker), now.mono.after(self.options.lease_ms));
            self.event(Event::Peer(PeerEvent::Joined {
                peer: worker,
                name: name.to_string(),
                meta: json::Raw::empty_object(),
            }));
        } else {
            self.replace_reserved(&name, &before, now);
        }
        (worker, registration.moorline)
    }

    /// Settles what the record holds with what the worker says it runs. Without a word on it, only what
    /// was held since a restart goes to others. That waits for the last page of it.
    fn reconcile(&mut self, (worker, running): Recorded, now: Now) {
        let Some(record) = self.registry.get(worker) else { return };
        let (name, conn, acks) = (record.name.clone(), record.conn, record.acks);
        let before = record.running.clone();
        let speaks = running.is_some();
        let MoorlineRegistration { running, page, more, .. } = running.unwrap_or_default();
        let unlisted = self.registry.list_later(worker, BTreeSet::new());
        let mut unlisted = if page == 0 { before } else { unlisted };
        for listed in running {
            match (self.claim(&listed, worker, &name, now), conn) {
                (Ok(Some(id)), _) => {
                    unlisted.remove(&id);
                }
                (Ok(None), Some(conn)) if acks => {
                    let verdict = Verdict { hash: listed.work_item_hash, refused: None };
                    self.keep_later(Promise::Verdict { conn, verdict });
                }
                (Err(reason), Some(conn)) => {
                    let hash = &listed.work_item_hash;
                    let text = wire::work_cancel(hash, reason, Withdrawal::Superseded);
                    self.promise_text(conn, text);
                }
                (Err(reason), None) => {
                    self.registry.cancel_later(worker, &listed.work_item_hash, reason);
                }
                (Ok(None), _) => {}
            }
        }
        if more {
            self.registry.list_later(worker, unlisted);
            return;
        }
        if speaks {
            for id in unlisted {
                if self.items.get(id).is_some_and(|item| item.worker() == Some(worker)) {
                    self.release(id, "it registered anew without it", now);
                }
            }
        }
        if !acks {
            // It may have gone on through a restart of the hub.
            for id in self.held.get(&name).cloned().unwrap_or_default() {
                self.hold_slot(id, worker, now);
            }
        }
        self.release_held(Some(&name), now);
        self.give_back(worker, now);
        self.fill(worker, now);
    }

    /// Decides about one listed item: kept, settled by this very attempt, or none of its business.
    fn claim(&mut self, listed: &RunningItem, worker: PeerId, name: &Arc<str>, now: Now) -> Claim {
        let Some(id) = self.items.find(&listed.work_item_hash) else {
            return match self.results.find(&listed.work_item_hash) {
                Some(done) if done.is_by(name, listed.attempt_number) => Ok(None),
                Some(_) => Err("The work item was settled by another attempt."),
                None => Err("The work item is not known."),
            };
        };
        let Some(item) = self.items.get(id) else { return Err("The work item is not known.") };
        if item.attempt != listed.attempt_number
            || item.holder.as_ref().is_none_or(|holder| holder.name != *name)
        {
            return Err("The work item was given to somebody else.");
        }
        match item.state {
            State::Running(holder) if holder == worker => Ok(Some(id)),
            State::Running(_) => Err("The work item was given to somebody else."),
            State::Held | State::Pending(_) => {
                self.unhold(name, id);
                self.adopt(id, worker, now);
                Ok(Some(id))
            }
            // Its error was taken before it was listed.
            State::Retry(_) => Ok(None),
        }
    }

    /// Notes a heartbeat. A worker that is about to go gets no more work; under its name it may come
    /// back for more.
    pub(super) fn beat(&mut self, worker: PeerId, report: &Report<'_>, now: Now) {
        self.registry.heartbeat(worker, report, now);
        if wire::truthy(report.draining) {
            self.registry.update(worker, |worker| worker.draining = true);
        }
    }

    /// Tells whether a caller may speak for a worker: at a secured hub only who registered it, whose
    /// session may have ended since. For one that joined without a login, its connection speaks.
    pub(super) fn owns(&self, worker: PeerId, caller: &Caller) -> bool {
        let owner = self.registry.get(worker).and_then(|worker| worker.owner.as_ref());
        let is_same = |owner: &Caller| {
            owner.session == caller.session
                || (owner.user == caller.user && !caller.user.is_empty())
        };
        !self.options.is_secured() || owner.is_some_and(is_same)
    }

    /// Returns a worker's record as JSON, for one that `registers` too. A session opens doors: only its own holder sees its id.
    pub(super) fn worker_record(
        &self,
        worker: PeerId,
        viewer: &str,
        registers: bool,
    ) -> Option<String> {
        let record = self.registry.get(worker)?;
        let items = record
            .running
            .iter()
            .filter_map(|id| self.items.get(*id))
            .filter(|item| !item.order.internal)
            .map(|item| &*item.order.hash)
            .collect();
        let session = record.owner.as_ref().map(|owner| &*owner.session);
        let session = session.filter(|session| *session == viewer);
        let ours = (registers && record.acks).then_some(self.options.max_body_bytes);
        Some(wire::beacon_record(record, items, session, ours))
    }
}

fn read(text: &ByteString) -> Result<Registration<'_>, String> {
    if text.len() > PROVEN_FRAME {
        return Err(format!("The registration is larger than {PROVEN_FRAME} bytes."));
    }
    let registration: Registration<'_> = serde_json::from_str(text)
        .map_err(|e| format!("The registration is not valid: {}", json::flaw(&e)))?;
    let kept = [
        registration.tags,
        registration.contexts,
        registration.bind_addresses,
        registration.shared_mounts,
    ];
    if kept.iter().flatten().map(|raw| raw.get().len()).sum::<usize>() > UNREGISTERED_FRAME {
        return Err(format!(
            "Tags, Contexts, BindAddresses and SharedMounts are larger than {UNREGISTERED_FRAME} bytes."
        ));
    }
    let capabilities = registration.capabilities.as_deref().unwrap_or_default();
    let schemas = registration.action_schemas.as_deref().unwrap_or_default();
    let names = capabilities.iter().chain(&registration.name).chain(&registration.host_id);
    let described = schemas.iter().flat_map(|schema| [&schema.capability, &schema.action]);
    if names.chain(described).any(|name| name.len() > MAX_NAME) {
        return Err(format!("A name is longer than {MAX_NAME} bytes."));
    }
    if capabilities.iter().map(|name| name.len()).sum::<usize>() > MAX_NAMES {
        return Err(format!("The names of the capabilities are larger than {MAX_NAMES} bytes."));
    }
    if capabilities.len() > MAX_CAPABILITIES || schemas.len() > MAX_SCHEMAS {
        return Err(format!(
            "More than {MAX_CAPABILITIES} capabilities or {MAX_SCHEMAS} action schemas."
        ));
    }
    Ok(registration)
}

fn is_auth_worker(registration: &Registration<'_>) -> bool {
    registration.capabilities.iter().flatten().any(|name| name == AUTHENTICATION)
}
