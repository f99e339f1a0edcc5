//! Programs of this machine: the socket that they find us by, and what they are told.

use std::collections::VecDeque;

use super::options::LocalOptions;
use super::{Side, WsDaemon};
use crate::api::event::PeerEvent;
use crate::base::error::Error;
use crate::base::ids::{ConnId, ListenId};
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::machine::Output;
use crate::net::Framing;
use crate::net::target::{ListenTarget, StreamLimits};
use crate::parts::listener::LISTENER;
use crate::parts::pacer::Outlet;

/// The listeners for programs.
const UNIX: ListenId = ListenId(1);
const TCP: ListenId = ListenId(2);

/// Nobody but our own user finds the socket open.
const MODE: u32 = 0o600;

/// How many names are tried while other daemons listen behind them.
const MAX_NAMES: u32 = 100;

/// The local side of a daemon.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// Names that were tried before the present one.
    tried: u32,
    pub(super) addresses: Vec<String>,
    /// Programs in the order in which they connected.
    pub(super) programs: Vec<ConnId>,
}

/// Returns the listeners that the options name.
fn listeners(options: &LocalOptions) -> impl Iterator<Item = ListenId> {
    let listeners = [(UNIX, &options.socket_path), (TCP, &options.tcp_address)];
    listeners.into_iter().filter(|(_, address)| !address.is_empty()).map(|(listen, _)| listen)
}

/// Returns a socket's name after so many others. Peer: `x.sock`, then `x0.sock`, `x1.sock` and so on.
fn numbered(path: &str, tried: u32) -> String {
    let Some(number) = tried.checked_sub(1) else { return path.to_owned() };
    let stem = path.strip_suffix(".sock").unwrap_or(path);
    format!("{stem}{number}{}", path.strip_prefix(stem).unwrap_or_default())
}

impl Local {
    /// Takes no further programs, and forgets those that are here.
    pub(super) fn close(&mut self, options: &LocalOptions, out: &mut VecDeque<Output>) {
        out.extend(listeners(options).map(|listen| Output::Unlisten { listen }));
        self.programs.clear();
    }
}

impl WsDaemon {
    pub(super) fn listen_locally(&mut self) {
        let listeners: Vec<_> = listeners(&self.options.local).collect();
        listeners.into_iter().for_each(|listen| self.listen_at(listen));
    }

    fn listen_at(&mut self, listen: ListenId) {
        let LocalOptions { socket_path, tcp_address, max_connections } = &self.options.local;
        let max_connections = usize::try_from(*max_connections).unwrap_or(usize::MAX);
        let limits = StreamLimits {
            max_connections,
            max_unadmitted_per_address: max_connections,
            handshake_timeout_ms: 0,
        };
        let framing = Framing::Json;
        let target = if listen == UNIX {
            let path = numbered(socket_path, self.local.tried);
            ListenTarget::Unix { path, mode: MODE, framing, limits }
        } else {
            ListenTarget::Tcp { address: tcp_address.clone(), tls: false, framing, limits }
        };
        self.out.push_back(Output::Listen { listen, target });
    }

    pub(super) fn listening(&mut self, listen: ListenId, address: String) {
        match &mut self.side {
            Side::Server(server) if listen == LISTENER => {
                server.listener.bound(address, &mut self.out);
            }
            Side::Server(_) | Side::Client(_) => self.local.addresses.push(address),
        }
    }

    /// A listener could not be bound: behind a socket's name another daemon may listen.
    pub(super) fn listen_failed(&mut self, listen: ListenId, error: Error, now: Now) {
        if listen == UNIX && self.local.tried < MAX_NAMES {
            self.local.tried += 1;
            return self.listen_at(UNIX);
        }
        self.end(Some(error), now);
    }

    /// Peer: the socket has no check of who comes; ours has the permissions of its file.
    pub(super) fn program_came(&mut self, conn: ConnId) {
        if self.life.is_draining() {
            return self.close(conn);
        }
        self.local.programs.push(conn);
        self.outlets.insert(conn, Outlet::new(conn, None));
        let limits = self.options.frame_limits();
        self.out.push_back(Output::Admit { conn, limits, pulses: &[], deflate: None });
    }

    /// Forgets a program that left; tells whether it was one.
    pub(super) fn program_left(&mut self, conn: ConnId) -> bool {
        let before = self.local.programs.len();
        self.local.programs.retain(|program| *program != conn);
        let was_here = self.local.programs.len() < before;
        if was_here {
            self.line_lost(conn);
        }
        was_here
    }

    /// A program that does not speak JSON is none of ours.
    pub(super) fn dismiss_program(&mut self, conn: ConnId, now: Now) {
        self.warn(conn, "a local program sent what is not JSON", now);
        self.program_left(conn);
        self.close(conn);
    }

    /// Writes to a program that asked.
    pub(super) fn tell_program(&mut self, conn: ConnId, data: Raw) {
        let is_told = self.say(conn, data.into_text());
        self.undelivered += u64::from(!is_told);
    }

    /// Writes what nobody asked for. Peer: to the program that connected last; the application has what
    /// no program is there for.
    pub(super) fn tell_newest(&mut self, data: Raw) {
        match self.local.programs.last().copied() {
            Some(conn) => self.tell_program(conn, data),
            None if data.is_absent() => {}
            None => self.event(PeerEvent::Message { peer: None, payload: data }),
        }
    }
}
