//! Daemons: who they are, over which session they speak, whether they live.

use std::collections::{BTreeMap, BTreeSet};

use super::enroll::{Record, digest};
use super::planes::is_control;
use super::wire::Registration;
use super::{FIRST_PEER, SessionId, Timer, VoltServer, wire};
use crate::api::event::{PeerEvent, Withdrawal};
use crate::api::metrics::{COMMANDS, DAEMONS, MetricsPage};
use crate::base::error::{Error, ErrorCode, printable};
use crate::base::ids::{PeerId, WorkId};
use crate::base::json::Raw;
use crate::base::json::object::{Object, list, text_list};
use crate::base::time::{Instant, Now, UnixMillis};
use crate::dialect::volt::learnt::{Learnt, Source};
use crate::dialect::volt::wire::{Generation, Message};
use crate::dialect::volt::words::{BEAT, DISPLACED, HEARTBEAT, MESSAGE, REGISTERED};
use crate::net::socketio::Packet;
use crate::parts::pacer::Rank;

/// What is known of a daemon.
#[derive(Debug, Default)]
pub(super) struct Daemon {
    pub(super) record: Record,
    /// Whether its password comes from the options.
    pub(super) is_configured: bool,
    pub(super) heartbeat: Option<UnixMillis>,
    pub(super) disconnected: Option<UnixMillis>,
    /// When it last registered or beat; none while it counts as disconnected.
    alive: Option<Instant>,
    /// The session over which it speaks, and by which number the application knows it.
    link: Option<(SessionId, PeerId)>,
    /// Its further connections.
    pub(super) planes: BTreeMap<&'static str, SessionId>,
    /// It was told that its messages are refused until its control connection is registered.
    pub(super) is_unheard: bool,
    /// Which generation of the protocol it speaks.
    pub(super) learnt: Learnt,
    /// Calls that wait for it to register.
    pub(super) waiting: BTreeSet<u64>,
    /// Calls that were sent over its session.
    pub(super) sent: BTreeSet<u64>,
    /// Its commands that the application works on; they came over its session.
    pub(super) work: BTreeSet<WorkId>,
}

impl Daemon {
    pub(super) fn new(record: Record) -> Self {
        Self { record, ..Self::default() }
    }

    /// Returns the session over which it speaks.
    pub(super) fn session(&self) -> Option<SessionId> {
        self.link.map(|(session, _)| session)
    }

    /// Returns by which number the application knows it while it is registered.
    pub(super) fn peer(&self) -> Option<PeerId> {
        self.link.map(|(_, peer)| peer)
    }

    fn has_password(&self, password: &str) -> bool {
        self.record.digest.as_ref().is_some_and(|hash| hash.is_of(password))
    }

    /// Notes a sign of life that counts for presence.
    pub(super) const fn lives(&mut self, now: Now) {
        self.heartbeat = Some(now.unix);
        self.alive = Some(now.mono);
    }

    const fn status(&self) -> &'static str {
        let [connected, waiting, enrolled, disconnected] = STATUSES;
        match (self.alive, self.record.digest, self.heartbeat) {
            (Some(_), _, _) => connected,
            (None, None, _) => waiting,
            (None, Some(_), None) => enrolled,
            (None, Some(_), Some(_)) => disconnected,
        }
    }
}

/// What a daemon can be.
const STATUSES: [&str; 4] =
    ["connected", "waiting-for-enrollment", "healthcheck-received", "disconnected"];

/// Why a message was not taken that came over a further connection.
const UNHEARD: &str = "The control connection of the daemon is not registered";

/// The status and the words for a heartbeat that proves nothing.
type Unproven = (u16, &'static str);

impl VoltServer {
    /// Adds the daemons whose passwords stand in the options.
    pub(super) fn know_configured(&mut self) {
        for credential in &self.options.daemons {
            let id = credential.team_cluster_id.clone();
            let digest = Some(digest(credential.password.expose()));
            let record = Record { name: id.clone(), digest, ..Record::default() };
            self.daemons.insert(id, Daemon { is_configured: true, ..Daemon::new(record) });
        }
    }

    /// Takes a registration.
    pub(super) fn register(&mut self, session: SessionId, packet: &Packet) {
        let Registration { cluster, password, channel } = match wire::registration(&packet.argument)
        {
            Ok(read) => read,
            Err(details) => {
                self.emit(session, wire::COMPLAINT, wire::complaint(wire::INVALID_INPUT, &details));
                // Peer: the complaint is the event; the acknowledgement knows of nothing.
                return self.acknowledge(session, packet, None);
            }
        };
        let address = self.carrier(session).1.to_owned();
        if self.guesses.check(&address, self.clock.mono).is_err() {
            return self.close(session, "too many failed registrations");
        }
        let refusal = match self.daemons.get(&cluster) {
            None => Some(wire::UNKNOWN_CLUSTER),
            Some(daemon) if !daemon.has_password(&password) => Some(wire::INVALID_CREDENTIALS),
            Some(_) => None,
        };
        if let Some(error) = refusal {
            let shown = printable(&cluster);
            let _ = self.guesses.take(&address, self.clock.mono);
            let text = format!("the registration of daemon {shown} was refused: {error}");
            self.warn(ErrorCode::AuthenticationFailed, &address, &text);
            // Peer: without an acknowledgement a refusal is silent.
            return self.acknowledge(session, packet, Some(error));
        }
        self.let_go(session, &cluster, channel);
        let is_control = is_control(channel);
        if is_control {
            self.bind(session, &cluster, &address);
        } else {
            self.bind_plane(session, &cluster, channel, &address);
        }
        if let Some(state) = self.sessions.get_mut(&session) {
            state.channel = channel;
        }
        self.emit(session, REGISTERED, wire::registered(&cluster, channel));
        self.acknowledge(session, packet, None);
        if is_control {
            self.send_waiting(&cluster);
        }
    }

    /// Makes a session the one over which a daemon speaks. The newest wins; an older one is
    /// forgotten, not closed.
    fn bind(&mut self, session: SessionId, cluster: &str, address: &str) {
        self.belong(session, cluster);
        let Some(daemon) = self.daemons.get_mut(cluster) else { return };
        daemon.lives(self.clock);
        let older = daemon.session();
        if older == Some(session) {
            return;
        }
        if let Some(older) = older {
            let shown = printable(cluster);
            let text = format!(
                "a second daemon registered as {shown}, from {address}; the first one is ignored \
                 from now on: give every daemon an id of its own"
            );
            self.notice(ErrorCode::NameTaken, text);
            self.displace(older, cluster);
        }
        let peer = PeerId(FIRST_PEER + self.number());
        if let Some(daemon) = self.daemons.get_mut(cluster) {
            daemon.link = Some((session, peer));
            daemon.learnt = Learnt::new(self.options.generation);
            daemon.lives(self.clock);
            daemon.is_unheard = false;
        }
        self.keep_planes(cluster, session);
        self.event(PeerEvent::Joined { peer, name: cluster.to_owned(), meta: Raw::empty_object() });
    }

    /// Notes that a session speaks for its daemon no longer: its calls fail at once.
    pub(super) fn unbind(&mut self, session: SessionId, reason: &str) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(cluster) = state.cluster.take() else { return };
        let Some(daemon) = self.daemons.get_mut(&cluster) else { return };
        daemon.planes.retain(|_, bound| *bound != session);
        let link = daemon.link.take_if(|(bound, _)| *bound == session);
        let came = |work: &WorkId| self.running.get(work).is_some_and(|it| it.session == session);
        let work: Vec<WorkId> = daemon.work.iter().copied().filter(came).collect();
        let sent = link.map(|_| std::mem::take(&mut daemon.sent)).unwrap_or_default();
        if link.is_some() {
            daemon.alive = None;
            daemon.disconnected = Some(self.clock.unix);
        }
        for call in sent {
            self.settle(call, Err(lost("the command was carried out")));
        }
        // Nobody is there to hear an answer.
        for work in work {
            self.withdraw(work, Withdrawal::LinkLost, None);
        }
        let Some((_, peer)) = link else { return };
        let reason = reason.to_owned();
        self.event(PeerEvent::Left { peer, name: cluster, reason });
    }

    /// Counts daemons as disconnected that have sent no heartbeat for too long.
    pub(super) fn check_presence(&mut self) {
        let now = self.clock;
        self.timers.add(Timer::Presence, now.mono.after(self.options.presence_interval_ms));
        let limit = self.options.heartbeat_timeout_ms;
        let mut silent = Vec::new();
        for (id, daemon) in &mut self.daemons {
            if daemon.alive.is_some_and(|at| now.mono.since(at) >= limit) {
                daemon.alive = None;
                daemon.disconnected = Some(now.unix);
                silent.push(id.clone());
            }
        }
        for id in silent {
            let text = format!("the daemon {} sent no heartbeat for {limit} ms", printable(&id));
            self.notice(ErrorCode::PeerSilent, text);
        }
    }

    /// Takes a message. Peer: what comes before a registration is dropped without a trace.
    pub(super) fn take_message(&mut self, session: SessionId, packet: &Packet) {
        let argument = &packet.argument;
        // What is no object of ours is the application's, if it is anything.
        let message = Message::read(argument.as_str()).unwrap_or_default();
        if self.sessions.get(&session).is_some_and(|state| state.displaced.is_some()) {
            self.hear_displaced(session, &message);
        }
        if self.sessions.get(&session).is_none_or(|state| state.cluster.is_none()) {
            return self.acknowledge(session, packet, Some("The daemon is not registered"));
        }
        let is_taken = match wire::text(message.kind).as_deref() {
            Some("command") => {
                self.take_command(session, &message, argument);
                true
            }
            // Nobody else is to see what it carries: a password.
            Some(BEAT) => {
                let beat: wire::Beat = serde_json::from_str(argument.as_str()).unwrap_or_default();
                // It wants no answer.
                if let Ok(id) = self.lives(session, &beat) {
                    self.learn(&id, Generation::Third, Source::Heartbeat);
                }
                true
            }
            Some(kind @ ("response" | "response-binary" | "stream" | "stream-end")) => {
                self.take_reply(kind, session, &message, argument)
            }
            Some(_) | None => argument.is_absent() || argument.as_str() == "null",
        };
        if !is_taken && self.listens {
            let payload = match self.opened(session, &message, argument) {
                Ok(payload) => payload,
                Err(wrong) => {
                    let name = self.name(session);
                    self.notice(
                        ErrorCode::PeerProtocol,
                        format!("{name} sent a part of a stream that is {wrong}"),
                    );
                    return self.acknowledge(session, packet, Some("The chunk could not be read"));
                }
            };
            let Some(peer) = self.daemon_of(session).and_then(Daemon::peer) else {
                self.tell_unheard(session);
                return self.acknowledge(session, packet, Some(UNHEARD));
            };
            self.event(PeerEvent::Message { peer: Some(peer), payload });
        }
        self.acknowledge(session, packet, None);
    }

    /// Answers a command of a daemon, or hands it to the application; the hub itself knows one.
    fn take_command(&mut self, session: SessionId, message: &Message<'_>, argument: &Raw) {
        let Some(request) = message.request() else { return };
        if wire::text(message.command).as_deref() == Some(HEARTBEAT) {
            let answer = self.beat(session, request, message);
            self.emit(session, MESSAGE, answer);
            self.heard_beat(session);
        } else if let Err((status, text)) = self.begin_work(session, request, message, argument) {
            self.emit(session, MESSAGE, wire::refused(request, status, &text));
        }
    }

    /// Hears a session whose place another one took: it gets that back when it is free, by a heartbeat with
    /// the password, a further connection by whatever it says; until then heartbeats are told why they do
    /// not count.
    fn hear_displaced(&mut self, session: SessionId, message: &Message<'_>) {
        let Some(state) = self.sessions.get(&session) else { return };
        let Some(cluster) = state.displaced.clone() else { return };
        let channel = state.channel;
        let address = state.address.clone();
        let is_free = self.is_free(session, &cluster, channel);
        if is_free && !is_control(channel) {
            return self.bind_plane(session, &cluster, channel, &address);
        }
        let is_beat = wire::text(message.command).as_deref() == Some(HEARTBEAT)
            && wire::text(message.kind).as_deref() == Some("command");
        let (true, Some(request)) = (is_beat, message.request()) else { return };
        if is_free && self.beat_of(session, message).is_ok_and(|id| id == cluster) {
            self.bind(session, &cluster, &address);
            return self.send_waiting(&cluster);
        }
        let text = format!("Another daemon has registered as {}.", printable(&cluster));
        self.emit(session, MESSAGE, wire::refused(request, DISPLACED, &text));
    }

    /// Answers a heartbeat.
    fn beat(&mut self, session: SessionId, request: &str, message: &Message<'_>) -> String {
        match self.beat_of(session, message) {
            Ok(id) => wire::heartbeat_taken(request, &id),
            Err((status, text)) => wire::refused(request, status, text),
        }
    }

    fn beat_of(&mut self, session: SessionId, message: &Message<'_>) -> Result<String, Unproven> {
        let payload = message.payload.unwrap_or("{}");
        self.lives(session, &serde_json::from_str(payload).unwrap_or_default())
    }

    /// Takes a heartbeat, which is believed by what it carries; returns whose it is.
    fn lives(&mut self, session: SessionId, beat: &wire::Beat) -> Result<String, Unproven> {
        let id = beat.team_cluster_id.trim();
        let own = self.sessions.get(&session).and_then(|state| state.cluster.as_deref());
        // A daemon has shown its own password; that of another is a guess.
        let address = if own == Some(id) { "" } else { self.carrier(session).1 }.to_owned();
        if !address.is_empty() && self.guesses.check(&address, self.clock.mono).is_err() {
            return Err((429, "Too many wrong passwords came from this address"));
        }
        match self.daemons.get_mut(id) {
            Some(daemon) if daemon.has_password(beat.daemon_password.trim()) => {
                daemon.lives(self.clock);
                let version = beat.installed_version.as_ref().filter(|text| text.len() <= 64);
                if let Some(version) = version {
                    daemon.record.version = Some(version.clone());
                }
                Ok(id.to_owned())
            }
            Some(_) | None => {
                if !address.is_empty() {
                    let _ = self.guesses.take(&address, self.clock.mono);
                }
                Err((401, wire::INVALID_CREDENTIALS))
            }
        }
    }

    /// Sends a message of the application to a daemon.
    ///
    /// # Errors
    /// `NO_WORKER` for an unknown daemon, `NOT_READY` for one that is not registered, `TOO_LARGE`
    /// for more attachments than peers take, `OVERLOADED` when too much waits for it.
    pub(crate) fn message(&mut self, cluster: &str, message: &Raw) -> Result<(), Error> {
        let session = self.registered(cluster)?;
        self.check_room(session, Rank::Kept)?;
        self.emit_value(session, MESSAGE, message, Rank::Kept)
            .map_err(|malformed| Error::new(ErrorCode::TooLarge, malformed.to_string()))
    }

    /// Returns the session of a daemon that is registered.
    pub(super) fn registered(&self, cluster: &str) -> Result<SessionId, Error> {
        let daemon = self.daemons.get(cluster).ok_or_else(|| unknown(cluster))?;
        daemon.session().ok_or_else(|| {
            let text = format!("The daemon {} is not registered.", printable(cluster));
            Error::new(ErrorCode::NotReady, text)
        })
    }

    /// Forgets a daemon and ends its session.
    ///
    /// # Errors
    /// `NO_WORKER` for one that nobody knows or that stands in the options.
    pub(super) fn forget_daemon(&mut self, cluster: &str) -> Result<String, Error> {
        let Some(daemon) = self.daemons.get(cluster).filter(|daemon| !daemon.is_configured) else {
            return Err(Error::new(ErrorCode::NoWorker, "No daemon of this id can be removed."));
        };
        let bound = daemon.session().into_iter().chain(daemon.planes.values().copied());
        // Nor does one come back that another had displaced.
        let displaced =
            self.sessions.iter().filter(|it| it.1.displaced.as_deref() == Some(cluster));
        for session in bound.chain(displaced.map(|it| *it.0)).collect::<Vec<_>>() {
            self.dismiss(session, "the daemon was removed");
        }
        let waiting = self.daemons.remove(cluster).map(|daemon| daemon.waiting);
        for call in waiting.into_iter().flatten() {
            self.settle(call, Err(unknown(cluster)));
        }
        self.journal.delete(super::enroll::DAEMONS, cluster);
        self.revoke_tokens_of(cluster);
        Ok(Object::new().text("TeamClusterID", cluster).flag("Removed", true).end())
    }

    /// Adds what is measured of daemons and their commands to a page.
    pub(crate) fn measure(&self, page: &mut MetricsPage) {
        let rows = STATUSES.map(|status| {
            let daemons = self.daemons.values().filter(|daemon| daemon.status() == status);
            ([status], daemons.count())
        });
        page.many(&DAEMONS, rows);
        page.one(&COMMANDS, self.in_flight());
    }

    /// Shows every daemon.
    pub(crate) fn show_daemons(&self) -> String {
        list(self.daemon_rows().map(|(_, row)| row))
    }

    /// Adds a row for each daemon.
    pub(crate) fn board(&self, rows: &mut BTreeMap<(&'static str, String), String>) {
        rows.extend(self.daemon_rows().map(|(id, row)| (("Daemons", id.to_owned()), row)));
    }

    fn daemon_rows(&self) -> impl Iterator<Item = (&str, String)> {
        self.daemons.iter().map(|(id, daemon)| {
            let link = daemon.link;
            let (transport, address) = link.map_or(("", ""), |(session, _)| self.carrier(session));
            let row = Object::with_capacity(320)
                .text("TeamClusterID", id)
                .text("Name", &daemon.record.name)
                .text("Status", daemon.status())
                .flag("Registered", link.is_some())
                .text_or_null("Transport", link.map(|_| transport))
                .text_or_null("Address", link.map(|_| address))
                .text_or_null("InstalledVersion", daemon.record.version.as_deref())
                .plain_or_null("LastHeartbeat", daemon.heartbeat)
                .plain_or_null("LastDisconnect", daemon.disconnected)
                .plain_or_null("Enrolled", daemon.record.enrolled)
                .number("InFlight", daemon.sent.len() as u64)
                .number("Waiting", daemon.waiting.len() as u64)
                .value("Generation", &daemon.learnt.number())
                .raw("Channels", &text_list(daemon.planes.keys().copied()))
                .value("Peer", &link.map(|(_, peer)| peer.0))
                .end();
            (id.as_str(), row)
        })
    }
}

/// The error for what was under way when a daemon was lost; `what` is what nobody knows.
pub(super) fn lost(what: &str) -> Error {
    let text = format!("The daemon's connection was lost; whether {what} is unknown.");
    Error::new(ErrorCode::NotReady, text)
}

/// The error for a daemon that nobody knows.
pub(super) fn unknown(cluster: &str) -> Error {
    let text = format!("No daemon is known as {}.", printable(cluster));
    Error::new(ErrorCode::NoWorker, text)
}
