//! What later generations of daemons do: they open a connection for each purpose, and put bytes into
//! messages in a form of their own.
//!
//! Commands go over the control connection alone; what a daemon says counts on whichever it says it.

use bytes::Bytes;

use super::daemons::Daemon;
use super::{SessionId, VoltServer, wire};
use crate::base::error::{ErrorCode, printable};
use crate::base::json::Raw;
use crate::dialect::volt::learnt::Source;
use crate::dialect::volt::options::DaemonChannel;
use crate::dialect::volt::wire::{Generation, Message, read_chunk};

/// Tells whether commands go over a connection of a channel.
pub(super) const fn is_control(channel: DaemonChannel) -> bool {
    matches!(channel, DaemonChannel::None | DaemonChannel::Control)
}

impl VoltServer {
    /// Takes a session from what it was, unless it registers as the same again.
    pub(super) fn let_go(&mut self, session: SessionId, cluster: &str, channel: DaemonChannel) {
        let Some(state) = self.sessions.get(&session) else { return };
        let is_other = |before: &str| before != cluster || state.channel != channel;
        if state.cluster.as_deref().is_some_and(is_other) {
            self.unbind(session, "the session registered as something else");
        }
    }

    /// Notes whose a session is, which is no stranger from then on.
    pub(super) fn belong(&mut self, session: SessionId, cluster: &str) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        state.cluster = Some(cluster.to_owned());
        state.displaced = None;
        self.admit(session);
    }

    /// Makes a session one of a daemon's further connections. The newest wins; an older one is forgotten.
    pub(super) fn bind_plane(
        &mut self,
        session: SessionId,
        cluster: &str,
        channel: DaemonChannel,
        address: &str,
    ) {
        self.belong(session, cluster);
        let Some(daemon) = self.daemons.get_mut(cluster) else { return };
        if channel == DaemonChannel::Heartbeat {
            daemon.lives(self.clock);
        }
        let control = daemon.session();
        let older = daemon.planes.insert(channel.as_str(), session);
        if older == Some(session) {
            return;
        }
        if let Some(state) = self.sessions.get_mut(&session) {
            // One that displaces another may be of a process whose control connection is still to come.
            state.beside = control.filter(|_| older.is_none());
        }
        if let Some(older) = older {
            let text = format!(
                "a second connection for {} registered as {}, from {address}; the first one is \
                 ignored from now on: give every daemon an id of its own",
                channel.as_str(),
                printable(cluster),
            );
            self.notice(ErrorCode::NameTaken, text);
            self.displace(older, cluster);
        }
    }

    /// Takes the place from a session that another one registered for, and from the further connections
    /// beside it.
    pub(super) fn displace(&mut self, session: SessionId, cluster: &str) {
        for (plane, _) in
            self.planes_of(cluster).filter(|it| it.1 == Some(session)).collect::<Vec<_>>()
        {
            self.displace(plane, cluster);
        }
        self.unbind(session, "a second daemon registered with its id");
        if let Some(state) = self.sessions.get_mut(&session) {
            state.displaced = Some(cluster.to_owned());
        }
    }

    /// A daemon's control connection is another one: the further connections that it still has are beside
    /// that.
    pub(super) fn keep_planes(&mut self, cluster: &str, control: SessionId) {
        for (plane, _) in self.planes_of(cluster).collect::<Vec<_>>() {
            if let Some(state) = self.sessions.get_mut(&plane) {
                state.beside = Some(control);
            }
        }
    }

    /// Returns a daemon's further connections, and beside which control connection each is.
    fn planes_of(&self, cluster: &str) -> impl Iterator<Item = (SessionId, Option<SessionId>)> {
        let planes =
            self.daemons.get(cluster).into_iter().flat_map(|daemon| daemon.planes.values());
        planes.map(|plane| (*plane, self.sessions.get(plane).and_then(|state| state.beside)))
    }

    /// Tells whether nobody has the place that a session was displaced from. That of a further connection is
    /// its daemon's: while another process has control, it is not free.
    pub(super) fn is_free(
        &self,
        session: SessionId,
        cluster: &str,
        channel: DaemonChannel,
    ) -> bool {
        let Some(daemon) = self.daemons.get(cluster) else { return false };
        let Some(control) = daemon.session() else {
            return is_control(channel) || !daemon.planes.contains_key(channel.as_str());
        };
        let beside = self.sessions.get(&session).and_then(|state| state.beside);
        !is_control(channel)
            && beside.is_none_or(|beside| beside == control)
            && !daemon.planes.contains_key(channel.as_str())
    }

    /// Tells once that a daemon's messages are refused for want of its control connection.
    pub(super) fn tell_unheard(&mut self, session: SessionId) {
        let name = self.name(session);
        let cluster = self.sessions.get(&session).and_then(|state| state.cluster.as_deref());
        let daemon = cluster.and_then(|cluster| self.daemons.get_mut(cluster));
        if daemon.is_some_and(|daemon| !std::mem::replace(&mut daemon.is_unheard, true)) {
            let text = format!(
                "{name} sends messages while its control connection is not registered: they are \
                 refused until it is"
            );
            self.notice(ErrorCode::NotReady, text);
        }
    }

    /// Returns the daemon that speaks over a session.
    pub(super) fn daemon_of(&self, session: SessionId) -> Option<&Daemon> {
        let cluster = self.sessions.get(&session)?.cluster.as_deref()?;
        self.daemons.get(cluster)
    }

    /// Notes which generation a daemon speaks.
    pub(super) fn learn(&mut self, cluster: &str, generation: Generation, source: Source) {
        if let Some(daemon) = self.daemons.get_mut(cluster) {
            daemon.learnt.learn(generation, source);
        }
    }

    /// A daemon has sent a heartbeat as a command. Peer: the third generation sends messages, and the
    /// first tells no channel.
    pub(super) fn heard_beat(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get(&session) else { return };
        let is_unknown = |daemon: &Daemon| daemon.learnt.generation().is_none();
        if state.channel != DaemonChannel::None
            && self.daemon_of(session).is_some_and(is_unknown)
            && let Some(cluster) = state.cluster.clone()
        {
            self.learn(&cluster, Generation::Second, Source::Heartbeat);
        }
    }

    /// Reads the bytes that a message of a session carries.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read_chunk(
        &mut self,
        session: SessionId,
        message: &Message<'_>,
        argument: &Raw,
    ) -> Result<Bytes, &'static str> {
        let known = self.daemon_of(session).and_then(|daemon| daemon.learnt.generation());
        let (bytes, shown) = read_chunk(message, argument.blobs(), known)?;
        if matches!(known, None | Some(Generation::First))
            && known != Some(shown)
            && let Some(cluster) = self.sessions.get(&session).and_then(|it| it.cluster.clone())
        {
            self.learn(&cluster, shown, Source::Message);
        }
        Ok(bytes)
    }

    /// Returns what the application gets of a message: of a part of a stream that the daemon opens, the
    /// bytes without their envelope.
    ///
    /// # Errors
    /// What is wrong with those.
    pub(super) fn opened(
        &mut self,
        session: SessionId,
        message: &Message<'_>,
        argument: &Raw,
    ) -> Result<Raw, &'static str> {
        if message.chunk.is_none() || !message.is_kind("stream") {
            return Ok(argument.clone());
        }
        let bytes = self.read_chunk(session, message, argument)?;
        Ok(wire::opened_part(message, bytes))
    }
}
