//! What later generations of daemons do: they open a connection for each purpose, and put bytes into
//! messages in a form of their own.
//!
//! Commands go over the control connection alone; what a daemon says counts on whichever it says it.

use bytes::Bytes;

use super::daemons::Daemon;
use super::{SessionId, VoltServer, wire};
use crate::base::json::Raw;
use crate::dialect::volt::learnt::Source;
use crate::dialect::volt::options::DaemonChannel;
use crate::dialect::volt::wire::{Generation, Message, read_chunk};

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
    pub(super) fn bind_plane(&mut self, session: SessionId, cluster: &str, channel: DaemonChannel) {
        self.belong(session, cluster);
        let Some(daemon) = self.daemons.get_mut(cluster) else { return };
        if channel == DaemonChannel::Heartbeat {
            daemon.lives(self.clock);
        }
        let older = daemon.planes.insert(channel.as_str(), session);
        if let Some(older) = older.filter(|older| *older != session) {
            self.unbind(older, "a second connection registered for the same");
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
