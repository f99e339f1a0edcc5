//! A hub in virtual time with a store of its own, and what it has said.

use std::collections::{BTreeMap, VecDeque};

use moorline_core::{
    CloseCause, Command, ConnId, Endpoint, Frame, HttpId, HttpResponse, Input, Now, Output,
};
use moorline_core::{ConnInput, ServerInput};
use moorline_tests::disk::Disk;
use moorline_tests::scripts;

/// When the recordings began, near enough.
const EPOCH: u64 = 1_795_246_617_000;

/// A hub, its clock, its disk and its words.
pub(crate) struct World {
    options: &'static str,
    hub: Box<dyn Endpoint + Send>,
    now: u64,
    disk: Disk,
    pub(crate) admitted: Vec<ConnId>,
    pub(crate) frames: BTreeMap<ConnId, VecDeque<String>>,
    pub(crate) closes: BTreeMap<ConnId, (u16, String)>,
    pub(crate) replies: BTreeMap<HttpId, HttpResponse>,
    pub(crate) parts: BTreeMap<HttpId, Vec<u8>>,
}

impl World {
    /// Starts a hub on an empty disk.
    pub(crate) fn new(options: &'static str) -> Self {
        let mut world = Self {
            options,
            hub: open(options),
            now: 0,
            disk: Disk::default(),
            admitted: Vec::new(),
            frames: BTreeMap::new(),
            closes: BTreeMap::new(),
            replies: BTreeMap::new(),
            parts: BTreeMap::new(),
        };
        world.start();
        world
    }

    /// Kills the hub; it is back at once on the same disk.
    pub(crate) fn kill(&mut self) {
        self.hub = open(self.options);
        self.frames.clear();
        self.start();
    }

    /// Lets time pass, from deadline to deadline.
    pub(crate) fn pass_to(&mut self, t: u64) {
        while let Some(due) = self.hub.poll_timeout().filter(|due| due.at.as_millis() <= t) {
            self.now = self.now.max(due.at.as_millis());
            let now = self.clock();
            self.hub.handle_timeout(now);
            self.drain();
        }
        self.now = self.now.max(t);
    }

    pub(crate) fn input(&mut self, input: Input) {
        let now = self.clock();
        self.hub.handle_input(input, now);
        self.drain();
    }

    fn start(&mut self) {
        let now = self.clock();
        self.hub.handle_command(Command::Start, now).expect("a fresh hub starts");
        self.drain();
    }

    fn clock(&self) -> Now {
        Now::new(self.now, EPOCH + self.now)
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            let now = self.clock();
            match output {
                Output::Admit { conn, .. } => {
                    self.admitted.push(conn);
                }
                Output::Send { conn, frame: Frame::Text(text) } => {
                    self.frames.entry(conn).or_default().push_back(text.to_string());
                }
                Output::Close { conn, code, reason } => {
                    self.closes.insert(conn, (code, reason));
                    self.hub.handle_input(
                        Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Local }),
                        now,
                    );
                }
                Output::HttpReply { http, response } => {
                    self.replies.insert(http, response);
                }
                Output::HttpPart { http, bytes } => {
                    self.parts.entry(http).or_default().extend_from_slice(&bytes);
                }
                Output::Store { store, request } => {
                    let result = Ok(self.disk.perform(request));
                    self.hub.handle_input(Input::Stored { store, result }, now);
                }
                Output::Listen { listen, .. } => {
                    let address = "127.0.0.1:54321".to_owned();
                    self.hub.handle_input(
                        Input::Server(ServerInput::Listening { listen, address }),
                        now,
                    );
                }
                Output::Dial { .. }
                | Output::Refuse { .. }
                | Output::SetLimits { .. }
                | Output::AskSent { .. }
                | Output::Send { .. }
                | Output::SendCompressed { .. }
                | Output::HttpCall { .. }
                | Output::HttpCancel { .. }
                | Output::HttpEnd { .. }
                | Output::Unlisten { .. }
                | Output::ProbeHost
                | Output::Event(_) => {}
            }
        }
    }
}

fn open(options: &str) -> Box<dyn Endpoint + Send> {
    let opened = scripts::open("beacon-hub", "beacon", "hub", options, "host", [3; 32]);
    opened.expect("a hub").endpoint
}
