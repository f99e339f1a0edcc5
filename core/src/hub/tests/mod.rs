//! The hub in virtual time: a rig that plays driver, store, workers and clients.

mod access;
mod durability;
mod flow;
mod growth;
mod guesses;
mod leases;
mod limits;
mod metrics;
mod names;
mod page;
mod scheduling;
mod shapes;
mod slots;
mod told;
mod volt;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::Hub;
use crate::api::command::CallCommand;
use crate::api::command::Command;
use crate::api::event::CallEvent;
use crate::api::event::{Event, SessionEvent};
use crate::api::options::HubOptions;
use crate::api::options::{self};
use crate::base::ids::{CallId, ConnId, HttpId, StoreId};
use crate::base::json::Raw;
use crate::base::store::{StoreReply, StoreRequest, Write};
use crate::base::time::Now;
use crate::machine::{CloseCause, Endpoint, Input, Machine, Output};
use crate::machine::{ConnInput, ServerInput};
use crate::net::{Frame, Headers, HttpRequest, HttpResponse, Method};

/// Where wall-clock time begins.
const EPOCH: u64 = 1_795_246_617_000;

type Records = BTreeMap<(&'static str, String), Bytes>;

/// A hub and everything around it.
pub(super) struct Rig {
    pub(super) hub: Hub,
    pub(super) now: u64,
    /// What the wall clock shows beyond it.
    pub(super) epoch: u64,
    /// What survives a restart.
    pub(super) disk: Records,
    /// Commits that the store has not answered.
    pub(super) commits: Vec<(StoreId, Vec<Write>)>,
    /// Whether commits are answered at once.
    pub(super) synced: bool,
    pub(super) sent: BTreeMap<ConnId, Vec<String>>,
    pub(super) closed: BTreeMap<ConnId, (u16, String)>,
    pub(super) replies: BTreeMap<HttpId, HttpResponse>,
    pub(super) parts: BTreeMap<HttpId, Vec<Bytes>>,
    pub(super) ended: Vec<HttpId>,
    pub(super) events: Vec<Event>,
    /// Records that were looked up.
    pub(super) looked: Vec<String>,
    /// What the store answers the next look-up with instead.
    pub(super) unread: Option<Result<StoreReply, crate::base::error::Error>>,
    options: String,
    next: u64,
}

impl Rig {
    /// Starts a hub with options on an empty disk.
    pub(super) fn new(options: &str) -> Self {
        Self::on(options, Records::new(), 0, EPOCH)
    }

    fn on(options: &str, disk: Records, now: u64, epoch: u64) -> Self {
        let read: HubOptions = options::read(options).unwrap();
        let mut rig = Self {
            hub: Hub::open(read, [7; 32]).unwrap(),
            now,
            epoch,
            disk,
            commits: Vec::new(),
            synced: true,
            sent: BTreeMap::new(),
            closed: BTreeMap::new(),
            replies: BTreeMap::new(),
            parts: BTreeMap::new(),
            ended: Vec::new(),
            events: Vec::new(),
            looked: Vec::new(),
            unread: None,
            options: options.to_owned(),
            next: 1,
        };
        rig.hub.handle_command(Command::Start, rig.now()).unwrap();
        rig.drain();
        rig
    }

    /// Kills the hub and starts it again `after` milliseconds later on the same disk.
    pub(super) fn restart(self, after: u64) -> Self {
        let mut rig = Self::on(&self.options, self.disk, self.now + after, self.epoch);
        rig.next = self.next;
        rig
    }

    pub(super) fn now(&self) -> Now {
        Now::new(self.now, self.epoch + self.now)
    }

    pub(super) fn input(&mut self, input: Input) {
        self.hub.handle_input(input, self.now());
        self.drain();
    }

    /// Carries out every output until there is none.
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { conn, frame: Frame::Text(text) } => {
                    self.sent.entry(conn).or_default().push(text.to_string());
                }
                Output::Close { conn, code, reason } => {
                    self.closed.insert(conn, (code, reason));
                }
                Output::HttpReply { http, response } => {
                    assert!(self.replies.insert(http, response).is_none(), "answered twice");
                }
                Output::HttpPart { http, bytes } => self.parts.entry(http).or_default().push(bytes),
                Output::HttpEnd { http } => self.ended.push(http),
                Output::Store { store, request: StoreRequest::Load { space } } => {
                    let records = self
                        .disk
                        .iter()
                        .filter(|((of, _), _)| *of == space)
                        .map(|((_, key), value)| (key.clone(), value.clone()))
                        .collect();
                    let result = Ok(StoreReply::Loaded(records));
                    self.hub.handle_input(Input::Stored { store, result }, self.now());
                }
                Output::Store {
                    store,
                    request: StoreRequest::Find { space, from, limit, bytes },
                } => {
                    self.looked.extend((limit == 1).then(|| from.clone()));
                    let cut = |value: &Bytes| value.slice(..value.len().min(bytes));
                    let records = self.disk.iter();
                    let records = records.filter(|((of, key), _)| *of == space && *key >= from);
                    let records = records.map(|((_, key), value)| (key.clone(), cut(value)));
                    let read = Ok(StoreReply::Loaded(records.take(limit).collect()));
                    let result = self.unread.take().unwrap_or(read);
                    self.hub.handle_input(Input::Stored { store, result }, self.now());
                }
                Output::Store { store, request: StoreRequest::Commit { writes } } => {
                    self.commits.push((store, writes));
                    if self.synced {
                        self.sync();
                    }
                }
                Output::Listen { listen, .. } => {
                    let address = "127.0.0.1:54321".to_owned();
                    self.hub.handle_input(
                        Input::Server(ServerInput::Listening { listen, address }),
                        self.now(),
                    );
                }
                Output::Event(event) => self.events.push(event),
                Output::Admit { .. }
                | Output::SetLimits { .. }
                | Output::AskSent { .. }
                | Output::Send { .. }
                | Output::SendCompressed { .. }
                | Output::Unlisten { .. } => {}
                Output::Refuse { conn, response } => {
                    self.closed.insert(conn, (response.status, String::new()));
                }
                Output::Dial { .. }
                | Output::HttpCall { .. }
                | Output::HttpCancel { .. }
                | Output::ProbeHost => panic!("a hub never asks for {output:?}"),
            }
        }
    }

    /// Answers the oldest commit.
    pub(super) fn sync(&mut self) {
        let (store, writes) = self.commits.remove(0);
        for write in writes {
            match write {
                Write::Put { space, key, value } => {
                    self.disk.insert((space, key), value);
                }
                Write::Delete { space, key } => {
                    self.disk.remove(&(space, key));
                }
            }
        }
        let result = Ok(StoreReply::Committed);
        self.hub.handle_input(Input::Stored { store, result }, self.now());
        self.drain();
    }

    /// Fails the oldest commit.
    pub(super) fn fail_commit(&mut self) {
        let (store, _) = self.commits.remove(0);
        let error = crate::base::error::ErrorCode::StoreFailed.into();
        self.input(Input::Stored { store, result: Err(error) });
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(due) = self.hub.poll_timeout().filter(|due| due.at.as_millis() <= end) {
            self.now = self.now.max(due.at.as_millis());
            self.hub.handle_timeout(self.now());
            self.drain();
            let next = self.hub.poll_timeout();
            assert!(next.is_none_or(|next| next.at.as_millis() > self.now), "{next:?} again");
        }
        self.now = end;
    }

    /// Connects without registering.
    pub(super) fn connect(&mut self, headers: Headers) -> ConnId {
        self.connect_to("/", headers)
    }

    pub(super) fn connect_to(&mut self, url: &str, headers: Headers) -> ConnId {
        let conn = ConnId(self.next);
        self.next += 2;
        let request =
            HttpRequest { method: Method::Get, url: url.into(), headers, body: Bytes::new() };
        let remote = "127.0.0.1:5000".to_owned();
        self.input(Input::Server(ServerInput::Offered { conn, request, remote }));
        conn
    }

    pub(super) fn say(&mut self, conn: ConnId, text: &str) {
        let frame = Frame::Text(text.to_owned().into());
        self.input(Input::Conn(ConnInput::Received { conn, frame }));
    }

    /// Connects a worker of ours that offers Echo.
    pub(super) fn worker(&mut self, name: &str, slots: u64) -> ConnId {
        self.worker_running(name, slots, "[]")
    }

    /// Connects a worker of ours that says it runs items already.
    pub(super) fn worker_running(&mut self, name: &str, slots: u64, running: &str) -> ConnId {
        let conn = self.connect(Headers::new());
        self.say(
            conn,
            &format!(
                r#"{{"Action":"BeaconRegister","Name":"{name}","Capabilities":["Echo"],
                "MaxConcurrent":{slots},"Moorline":{{"Acks":true,"Running":{running}}}}}"#
            ),
        );
        conn
    }

    /// Connects a worker of others that offers Echo.
    pub(super) fn foreign_worker(&mut self, name: &str, slots: u64) -> ConnId {
        let conn = self.connect(Headers::new());
        self.say(
            conn,
            &format!(
                r#"{{"Action":"BeaconRegister","Name":"{name}","Capabilities":["Echo"],
                "MaxConcurrent":{slots}}}"#
            ),
        );
        conn
    }

    pub(super) fn cut(&mut self, conn: ConnId) {
        let cause = CloseCause::Remote { code: 1006, reason: String::new() };
        self.input(Input::Conn(ConnInput::Closed { conn, cause }));
    }

    pub(super) fn ask(&mut self, method: Method, url: &str, body: &str) -> HttpId {
        self.ask_with(method, url, body, Headers::new())
    }

    pub(super) fn ask_with(
        &mut self,
        method: Method,
        url: &str,
        body: &str,
        headers: Headers,
    ) -> HttpId {
        let http = HttpId(self.next);
        self.next += 2;
        let body = Bytes::from(body.to_owned());
        let request = HttpRequest { method, url: url.into(), headers, body };
        let remote = "127.0.0.1:6000".to_owned();
        self.input(Input::Server(ServerInput::Asked { http, request, remote }));
        http
    }

    pub(super) fn post(&mut self, url: &str, body: &str) -> HttpId {
        self.ask(Method::Post, url, body)
    }

    /// Dispatches an item to Echo/Say.
    pub(super) fn dispatch(&mut self) -> HttpId {
        self.post("/Beacon/Work/Dispatch", r#"{"Capability":"Echo","Action":"Say"}"#)
    }

    /// Enqueues an item to Echo/Say; returns its hash.
    pub(super) fn enqueue(&mut self, more: &str) -> String {
        let body = format!(r#"{{"Capability":"Echo","Action":"Say"{more}}}"#);
        let http = self.post("/Beacon/Work/Enqueue", &body);
        let reply = self.reply(http);
        reply["WorkItemHash"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
    }

    pub(super) fn call(&mut self, call: u64, name: &str, payload: &str, options: &str) {
        let command = Command::Call(CallCommand::Make {
            call: CallId(call),
            name: name.to_owned(),
            payload: Raw::parse(payload.to_owned()).unwrap(),
            options: Raw::parse(options.to_owned()).unwrap(),
        });
        let now = self.now();
        if let Err(error) = self.hub.handle_command(command, now) {
            self.events
                .push(Event::Call(CallEvent::Done { call: CallId(call), result: Err(error) }));
        }
        self.drain();
    }

    /// What the hub has told its log.
    pub(super) fn notices(&self) -> Vec<&str> {
        let told = self.events.iter().filter_map(|event| match event {
            Event::Session(SessionEvent::Notice { error }) => Some(error.message()),
            Event::Session(_) | Event::Call(_) | Event::Work(_) | Event::Peer(_) => None,
        });
        told.collect()
    }

    pub(super) fn status(&self, http: HttpId) -> Option<u16> {
        self.replies.get(&http).map(|reply| reply.status)
    }

    pub(super) fn reply(&self, http: HttpId) -> Value {
        let reply = self.replies.get(&http).expect("an answer");
        serde_json::from_slice(reply.bytes()).expect("JSON")
    }

    /// The frames sent to a connection, as JSON.
    pub(super) fn frames(&self, conn: ConnId) -> Vec<Value> {
        let sent = self.sent.get(&conn).map(Vec::as_slice).unwrap_or_default();
        sent.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// The items pushed to a connection: hash and attempt.
    pub(super) fn pushed(&self, conn: ConnId) -> Vec<(String, u64)> {
        self.frames(conn)
            .into_iter()
            .filter(|frame| frame["EventType"] == "WorkItem")
            .map(|frame| {
                let item = &frame["WorkItem"];
                let hash = item["WorkItemHash"].as_str().unwrap().to_owned();
                (hash, item["AttemptNumber"].as_u64().unwrap())
            })
            .collect()
    }

    /// The verdicts sent to a connection: hash and whether it was taken.
    pub(super) fn verdicts(&self, conn: ConnId) -> Vec<(String, bool)> {
        self.frames(conn)
            .into_iter()
            .filter(|frame| frame["EventType"] == "WorkTaken")
            .flat_map(|frame| frame["Items"].as_array().unwrap().clone())
            .map(|item| {
                let hash = item["WorkItemHash"].as_str().unwrap().to_owned();
                (hash, item["Taken"].as_bool().unwrap())
            })
            .collect()
    }

    pub(super) fn complete(&mut self, conn: ConnId, hash: &str, attempt: u64) {
        self.say(
            conn,
            &format!(
                r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"Result":"{attempt}"}},"Log":[],"AttemptNumber":{attempt}}}"#
            ),
        );
    }

    /// The status of an item, as the look-up of results tells it.
    pub(super) fn item_status(&mut self, hash: &str) -> String {
        let http = self.ask(Method::Get, &format!("/Beacon/Work/{hash}/Result"), "");
        self.reply(http)["Status"].as_str().unwrap_or("unknown").to_owned()
    }
}
