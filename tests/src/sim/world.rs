//! The world: processes, the network between them, the order of events.

use std::collections::BTreeMap;

use moorline_core::entropy::Entropy;
use moorline_core::{
    CloseCause, Command, DialAddress, Error, ErrorCode, Event, HttpBody, Input, ListenTarget, Now,
    Outcome, Output, Raw, WorkId,
};
use moorline_core::{ConnInput, HttpInput, ServerInput, WorkCommand, WorkEvent};

use super::brief::brief;
use super::network::closed;
use super::node::{Node, NodeId, Process};
use super::transport::{End, Transports};

/// Wall-clock time at the beginning of every simulation.
const EPOCH: u64 = 1_795_000_000_000;

/// How long a message, a sync of a disk or a handler takes, in milliseconds: lowest and spread.
#[derive(Clone, Copy, Debug)]
struct Pace {
    network: (u64, u64),
    disk: (u64, u64),
    handler: (u64, u64),
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies at once; `Boot` begins its next life.
    Kill(NodeId),
    /// The process begins a life.
    Boot(NodeId),
    /// All connections of the process end, both sides are told.
    Cut(NodeId),
    /// All connections of the process fall silent, nobody is told.
    HalfOpen(NodeId),
}

/// What the application of a process saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// An event of its endpoint.
    Event(Event),
    /// Its endpoint refused a command.
    Refused(Error),
}

pub(super) enum Happening {
    Input(Input),
    Command(Command),
    Finish(WorkId, Raw),
    /// A commit reaches the disk.
    Sync(moorline_core::StoreId, moorline_core::store::StoreRequest),
    Fault(Fault),
}

/// The simulated world.
pub struct World {
    pub(super) now: u64,
    sequence: u64,
    pub(super) agenda: BTreeMap<(u64, u64), (NodeId, u32, Happening)>,
    pub(super) nodes: Vec<Node>,
    pub(super) transports: Transports,
    entropy: Entropy,
    pace: Pace,
    /// The hub does not know workers of ours: it gets nothing of what they add to the protocol.
    pub foreign: bool,
    /// Where dials and HTTP calls go.
    pub(super) hub: NodeId,
    seen: Vec<(u64, NodeId, Seen)>,
    /// Steps without the clock moving: a machine that spins is a defect.
    still: u32,
    /// One line for each thing that happened, when tracing.
    trace: Option<Vec<String>>,
}

impl World {
    /// Makes a world from a seed. The first process added is the hub that all others reach.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            now: 0,
            sequence: 0,
            agenda: BTreeMap::new(),
            nodes: Vec::new(),
            transports: Transports::default(),
            entropy: Entropy::new(bytes),
            pace: Pace { network: (1, 20), disk: (1, 4), handler: (5, 400) },
            foreign: false,
            hub: NodeId(0),
            seen: Vec::new(),
            still: 0,
            trace: std::env::var_os("MOORLINE_SIM_TRACE").map(|_| Vec::new()),
        }
    }

    /// Adds a process that boots now.
    pub fn add(&mut self, process: Process) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node::new(process));
        self.boot(id);
        id
    }

    /// Returns the time in milliseconds since the beginning.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Returns a random number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.entropy.below(bound)
    }

    /// Lets an application give a command `after` milliseconds.
    pub fn command(&mut self, node: NodeId, after: u64, command: Command) {
        let life = self.nodes[node.0].life;
        self.schedule(after, node, life, Happening::Command(command));
    }

    /// Lets something go wrong `after` milliseconds.
    pub fn fault(&mut self, after: u64, fault: Fault) {
        self.schedule(after, NodeId(0), 0, Happening::Fault(fault));
    }

    /// Returns the state of a process as JSON text, or `None` while it is dead.
    #[must_use]
    pub fn snapshot(&self, node: NodeId) -> Option<String> {
        self.nodes[node.0].endpoint.as_ref().map(|endpoint| endpoint.snapshot(self.clock()))
    }

    /// Returns how many handlers of a process run.
    #[must_use]
    pub fn running(&self, node: NodeId) -> usize {
        self.nodes[node.0].running.len()
    }

    /// Takes what applications saw since the last call: time, process, what.
    pub fn take_seen(&mut self) -> Vec<(u64, NodeId, Seen)> {
        std::mem::take(&mut self.seen)
    }

    /// Prints the trace, if `MOORLINE_SIM_TRACE` is set.
    pub fn print_trace(&self) {
        for line in self.trace.iter().flatten() {
            eprintln!("{line}");
        }
    }

    /// Advances to the next event. Returns `false` when nothing will ever happen again, or when
    /// `until` is reached.
    pub fn step(&mut self, until: u64) -> bool {
        let agenda = self.agenda.keys().next().map(|(at, _)| *at);
        let timer = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(id, node)| node.deadline.map(|due| (due.at.as_millis(), id)))
            .min();
        let next = agenda.into_iter().chain(timer.map(|(at, _)| at)).min();
        let Some(at) = next.filter(|at| *at <= until) else {
            self.now = until;
            return false;
        };
        if at > self.now {
            self.now = at;
            self.still = 0;
        }
        self.still += 1;
        if self.still > 100_000 {
            self.print_trace();
            panic!("time stands still at {}: {timer:?}", self.now);
        }
        match (agenda, timer) {
            (agenda, Some((due, id))) if agenda.is_none_or(|agenda| due <= agenda) => {
                let node = NodeId(id);
                let why = self.nodes[id].deadline.map_or("", |due| due.why.as_str());
                self.note(|| format!("{node:?} timeout {why}"));
                let clock = self.clock();
                if let Some(endpoint) = &mut self.nodes[id].endpoint {
                    endpoint.handle_timeout(clock);
                }
                self.settle(node);
            }
            (_, _) => {
                if let Some((_, (node, life, happening))) = self.agenda.pop_first() {
                    self.happen(node, life, happening);
                }
            }
        }
        true
    }

    fn happen(&mut self, node: NodeId, life: u32, happening: Happening) {
        if let Happening::Fault(fault) = happening {
            self.note(|| format!("FAULT {fault:?}"));
            return self.go_wrong(fault);
        }
        if self.nodes[node.0].life != life {
            return;
        }
        let clock = self.clock();
        let Some(endpoint) = &mut self.nodes[node.0].endpoint else { return };
        let mut refused = None;
        let line = match happening {
            Happening::Input(input) => {
                if let Input::Http(HttpInput::Replied { http, .. }) = &input
                    && let Some(late) = self.transports.exchanges.remove(&(node, *http))
                {
                    self.deliver(0, late.server, |http| Input::Server(ServerInput::Gone { http }));
                }
                let Some(endpoint) = &mut self.nodes[node.0].endpoint else { return };
                let line = format!("{node:?} <- {}", brief(&input));
                endpoint.handle_input(input, clock);
                line
            }
            Happening::Command(command) => {
                let line = format!("{node:?} command {command:?}");
                refused = endpoint.handle_command(command, clock).err();
                line
            }
            Happening::Finish(work, value) => {
                if !self.nodes[node.0].running.remove(&work) {
                    return;
                }
                let outcome = Outcome::Done { value, log: Raw::empty_list() };
                let Some(endpoint) = &mut self.nodes[node.0].endpoint else { return };
                refused = endpoint
                    .handle_command(Command::Work(WorkCommand::Complete { work, outcome }), clock)
                    .err();
                format!("{node:?} finishes {work:?}")
            }
            Happening::Sync(store, request) => {
                let reply = self.nodes[node.0].disk.perform(request);
                let Some(endpoint) = &mut self.nodes[node.0].endpoint else { return };
                endpoint.handle_input(Input::Stored { store, result: Ok(reply) }, clock);
                format!("{node:?} stored {store:?}")
            }
            Happening::Fault(_) => return,
        };
        self.note(|| line);
        if let Some(error) = refused {
            self.seen.push((self.now, node, Seen::Refused(error)));
        }
        self.settle(node);
    }

    fn go_wrong(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(node) => self.kill(node),
            Fault::Boot(node) => {
                if self.nodes[node.0].endpoint.is_none() {
                    self.boot(node);
                }
            }
            Fault::Cut(node) => {
                for conn in self.transports.conns_of(node) {
                    let life = self.nodes[node.0].life;
                    let cause = CloseCause::Failed(ErrorCode::ConnectionLost.into());
                    self.schedule(0, node, life, closed(conn, cause.clone()));
                    self.drop_link(node, conn, cause);
                }
            }
            Fault::HalfOpen(node) => {
                for conn in self.transports.conns_of(node) {
                    if let Some((link, _)) = self.transports.link(node, conn) {
                        link.half_open = true;
                    }
                }
            }
        }
    }

    fn boot(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        node.boot(&mut self.entropy);
        let keys = node.process.keys.clone();
        for key in keys {
            self.command(
                id,
                0,
                Command::Work(WorkCommand::Handle { key, meta: Raw::empty_object() }),
            );
        }
        self.command(id, 0, Command::Start);
    }

    /// A crash: commits in flight reach the disk or do not; peers see resets or nothing.
    fn kill(&mut self, id: NodeId) {
        if self.nodes[id.0].endpoint.is_none() {
            return;
        }
        let life = self.nodes[id.0].life;
        let pending: Vec<_> = self
            .agenda
            .iter()
            .filter(|(_, (node, of, what))| {
                *node == id && *of == life && matches!(what, Happening::Sync(..))
            })
            .map(|(key, _)| *key)
            .collect();
        let lucky = self.entropy.below(pending.len() as u64 + 1) as usize;
        for key in pending.into_iter().take(lucky) {
            if let Some((_, _, Happening::Sync(_, request))) = self.agenda.remove(&key) {
                self.nodes[id.0].disk.perform(request);
            }
        }
        for conn in self.transports.conns_of(id) {
            let silent = self.entropy.below(4) == 0;
            if silent {
                if let Some((link, _)) = self.transports.link(id, conn) {
                    link.half_open = true;
                }
            } else {
                self.drop_link(id, conn, CloseCause::Failed(ErrorCode::ConnectionLost.into()));
            }
        }
        let asked: Vec<_> = self
            .transports
            .exchanges
            .iter()
            .filter(|(_, exchange)| exchange.server.node == id || exchange.asker.node == id)
            .map(|(key, _)| *key)
            .collect();
        for key in asked {
            if let Some(exchange) = self.transports.exchanges.remove(&key) {
                self.cancel_timeout(exchange.asker);
                let lost = Error::new(ErrorCode::ConnectionLost, "the server reset the connection");
                self.deliver(0, exchange.asker, |http| {
                    Input::Http(HttpInput::Replied { http, result: Err(lost) })
                });
                self.deliver(0, exchange.server, |http| Input::Server(ServerInput::Gone { http }));
            }
        }
        self.nodes[id.0].crash();
    }

    /// Performs what an endpoint asks for and arms its timer.
    fn settle(&mut self, id: NodeId) {
        loop {
            let node = &mut self.nodes[id.0];
            let Some(endpoint) = &mut node.endpoint else { return };
            let Some(output) = endpoint.poll_output() else {
                node.deadline = endpoint.poll_timeout();
                return;
            };
            self.perform(id, output);
        }
    }

    fn perform(&mut self, id: NodeId, output: Output) {
        self.note(|| format!("{id:?} -> {}", brief(&output)));
        let life = self.nodes[id.0].life;
        match output {
            Output::Dial { conn, target } => {
                let DialAddress::WebSocket { url, headers, .. } = target.address else {
                    panic!("nobody here dials streams: {target:?}")
                };
                self.dial(id, conn, &url, headers);
                if let Some((link, side)) = self.transports.link(id, conn) {
                    link.takes[side] = target.limits.max_message;
                }
            }
            Output::Admit { conn, limits, .. } => {
                let delay = self.delay();
                if let Some((link, side)) = self.transports.link(id, conn) {
                    link.takes[side] = limits.max_message;
                    link.admitted = true;
                    let dialer = link.dialer;
                    let at = (self.now + delay).max(link.latest[0]);
                    link.latest[0] = at;
                    self.deliver(at - self.now, dialer, |conn| {
                        Input::Conn(ConnInput::Opened { conn })
                    });
                }
            }
            Output::Refuse { conn, response } => {
                let cause = CloseCause::Refused { status: response.status };
                self.drop_link(id, conn, cause);
            }
            Output::SetLimits { conn, limits } => {
                if let Some((link, side)) = self.transports.link(id, conn) {
                    link.takes[side] = limits.max_message;
                }
            }
            Output::ProbeHost | Output::Unlisten { .. } => {}
            Output::Send { conn, frame } | Output::SendCompressed { conn, frame } => {
                self.send(id, conn, frame)
            }
            Output::AskSent { conn } => {
                self.schedule(0, id, life, Happening::Input(Input::Conn(ConnInput::Sent { conn })))
            }
            Output::Close { conn, code, reason } => {
                self.schedule(0, id, life, closed(conn, CloseCause::Local));
                self.drop_link(id, conn, CloseCause::Remote { code, reason });
            }
            Output::HttpCall { http, request, timeout_ms, max_body, .. } => {
                self.ask(End { node: id, life, id: http }, request, timeout_ms, max_body);
            }
            Output::HttpCancel { http } => {
                if let Some(exchange) = self.transports.exchanges.remove(&(id, http)) {
                    self.cancel_timeout(exchange.asker);
                    let delay = self.delay();
                    self.deliver(delay, exchange.server, |http| {
                        Input::Server(ServerInput::Gone { http })
                    });
                }
            }
            Output::HttpReply { http, response } => self.reply(id, http, response),
            Output::HttpPart { http, bytes } => {
                if let Some(exchange) = self.exchange_of(id, http)
                    && let Some((_, body)) = &mut exchange.streaming
                {
                    body.extend_from_slice(&bytes);
                }
            }
            Output::HttpEnd { http } => {
                let streamed = self.exchange_of(id, http).and_then(|e| e.streaming.take());
                if let Some((mut response, body)) = streamed {
                    response.body = HttpBody::Full(body.into());
                    self.reply(id, http, response);
                }
            }
            Output::Store { store, request } => {
                let (low, spread) = self.pace.disk;
                let delay = low + self.entropy.below(spread);
                self.schedule(delay, id, life, Happening::Sync(store, request));
            }
            Output::Listen { listen, target } => {
                let address = target.address().into_owned();
                self.nodes[id.0].listening = Some(address.clone());
                if let ListenTarget::Http { limits, .. } = &target {
                    self.nodes[id.0].max_body = limits.max_body;
                }
                let heard = Input::Server(ServerInput::Listening { listen, address });
                self.schedule(0, id, life, Happening::Input(heard));
            }
            Output::Event(event) => self.tell(id, event),
        }
    }

    /// Tells the application; a work item occupies a handler for a while.
    fn tell(&mut self, id: NodeId, event: Event) {
        let life = self.nodes[id.0].life;
        match &event {
            Event::Work(WorkEvent::Assigned { work, payload, .. }) => {
                self.nodes[id.0].running.insert(*work);
                let (low, spread) = self.pace.handler;
                let busy = low + self.entropy.below(spread);
                self.schedule(busy, id, life, Happening::Finish(*work, answer_to(payload)));
            }
            // Every other handler notices; the rest finish late.
            Event::Work(WorkEvent::Withdrawn { work, .. }) if self.entropy.below(2) == 0 => {
                self.nodes[id.0].running.remove(work);
            }
            _ => {}
        }
        self.seen.push((self.now, id, Seen::Event(event)));
    }

    pub(super) fn schedule(&mut self, after: u64, node: NodeId, life: u32, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((self.now + after, self.sequence), (node, life, happening));
    }

    pub(super) fn delay(&mut self) -> u64 {
        let (low, spread) = self.pace.network;
        low + self.entropy.below(spread)
    }

    const fn clock(&self) -> Now {
        Now::new(self.now, EPOCH + self.now)
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>8} {}", line()));
        }
    }
}

/// What a handler returns: its payload, or as many characters as that asks for.
fn answer_to(payload: &Raw) -> Raw {
    #[derive(serde::Deserialize)]
    struct Wish {
        reply: Option<usize>,
    }
    let wish = payload.read::<Wish>().ok().and_then(|wish| wish.reply);
    wish.map_or_else(
        || payload.clone(),
        |length| Raw::parse(format!("\"{}\"", "r".repeat(length))).expect("valid"),
    )
}
