//! What one item costs in a machine alone: `instructions SCENARIO COUNT` runs COUNT items and nothing
//! else. `cargo xtask bench machine` counts the instructions of two runs with valgrind; their difference
//! is the price of the items between.

// Stops at the first surprise.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

use moorline_core::{
    CallCommand, CallEvent, CallId, Command, ConnId, ConnInput, Endpoint, Event, Frame, Headers,
    HttpId, HttpInput, HttpRequest, HttpResponse, Input, Method, Now, Outcome, Output, Raw,
    ServerInput, WorkCommand, WorkEvent, open, store::StoreReply,
};

type Machine = Box<dyn Endpoint + Send>;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().unwrap_or_default();
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1_000);
    match scenario.as_str() {
        "worker" => worker(count),
        "hub" => hub(count),
        "daemon-calls" => daemon_calls(count),
        "daemon-commands" => daemon_commands(count),
        other => panic!("no scenario is named {other:?}"),
    }
}

/// A beacon worker is pushed items and completes them.
fn worker(count: u64) {
    let mut machine = opened("beacon", "worker", r#"{"name":"w","max_concurrent":8}"#);
    handle(&mut machine, "Echo/Say");
    command(&mut machine, Command::Start);
    let conn = dialed(&mut machine);
    input(&mut machine, Input::Conn(ConnInput::Opened { conn }));
    said(
        &mut machine,
        conn,
        r#"{"EventType":"BeaconRegistered","BeaconID":"b","Moorline":{"Acks":true}}"#,
    );
    drain(&mut machine);
    for item in 0..count {
        let frame = format!(
            r#"{{"EventType":"WorkItem","WorkItem":{{"WorkItemHash":"wi-{item}","Capability":"Echo","Action":"Say","Settings":{{"Text":"hello","Number":1.0}},"TimeoutMs":60000,"AttemptNumber":1}}}}"#
        );
        said(&mut machine, conn, &frame);
        let mut given = None;
        while let Some(output) = machine.poll_output() {
            if let Output::Event(Event::Work(WorkEvent::Assigned { work, .. })) = output {
                given = Some(work);
            }
        }
        done(&mut machine, given.expect("work"), r#"{"Said":"hello","Number":1.0}"#);
        drain(&mut machine);
        let taken = format!(
            r#"{{"EventType":"WorkTaken","Items":[{{"WorkItemHash":"wi-{item}","Taken":true}}]}}"#
        );
        said(&mut machine, conn, &taken);
        drain(&mut machine);
    }
}

/// A hub takes items from an HTTP client, gives them to a worker and answers.
fn hub(count: u64) {
    let mut machine = opened("beacon", "hub", r#"{"max_results":100}"#);
    command(&mut machine, Command::Start);
    settle(&mut machine);
    let conn = ConnId(1);
    let request = request(Method::Get, "/", "");
    let remote = String::from("127.0.0.1:9");
    input(&mut machine, Input::Server(ServerInput::Offered { conn, request, remote }));
    settle(&mut machine);
    said(
        &mut machine,
        conn,
        r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"MaxConcurrent":8,"Moorline":{"Acks":true}}"#,
    );
    settle(&mut machine);
    for item in 0..count {
        let body =
            r#"{"Capability":"Echo","Action":"Say","Settings":{"Text":"hello","Number":1.0}}"#;
        let request = self::request(Method::Post, "/Beacon/Work/Dispatch", body);
        let (http, remote) = (HttpId(2 * item + 1), String::from("127.0.0.1:8"));
        input(&mut machine, Input::Server(ServerInput::Asked { http, request, remote }));
        let sent = settle(&mut machine);
        let pushed = sent.iter().find(|text| text.contains("WorkItemHash")).expect("a pushed item");
        let hash =
            pushed.split("\"WorkItemHash\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let report = format!(
            r#"{{"Action":"WorkComplete","WorkItemHash":"{}","Outputs":{{"Said":"hello"}},"Log":[],"AttemptNumber":1}}"#,
            hash.expect("a hash")
        );
        said(&mut machine, conn, &report);
        settle(&mut machine);
    }
}

/// A VOLT daemon sends commands and hears their answers.
fn daemon_calls(count: u64) {
    let (mut machine, conn) = daemon();
    for call in 1..=count {
        command(
            &mut machine,
            Command::Call(CallCommand::Make {
                call: CallId(call),
                name: "status.get".into(),
                payload: payload(),
                options: Raw::empty_object(),
            }),
        );
        let sent = settle(&mut machine);
        let id = sent[0].split("\"requestId\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let answer = format!(
            r#"42["team-cluster-daemon:message",{{"type":"response","requestId":"{}","ok":true,"status":200,"result":{{"fine":true}}}}]"#,
            id.expect("an id")
        );
        said(&mut machine, conn, &answer);
        let mut is_settled = false;
        while let Some(output) = machine.poll_output() {
            is_settled |=
                matches!(output, Output::Event(Event::Call(CallEvent::Done { result: Ok(_), .. })));
        }
        assert!(is_settled, "the answer settles the call");
    }
}

/// A VOLT daemon is sent commands and answers them.
fn daemon_commands(count: u64) {
    let (mut machine, conn) = daemon();
    for item in 0..count {
        let frame = format!(
            r#"42["team-cluster-daemon:message",{{"type":"command","requestId":"r-{item}","command":"jobs.run","payload":{{"Text":"hello","Number":1.0}}}}]"#
        );
        said(&mut machine, conn, &frame);
        let mut given = None;
        while let Some(output) = machine.poll_output() {
            if let Output::Event(Event::Work(WorkEvent::Assigned { work, .. })) = output {
                given = Some(work);
            }
        }
        done(&mut machine, given.expect("work"), r#"{"data":{"Said":"hello"}}"#);
        assert_eq!(settle(&mut machine).len(), 1, "one answer");
    }
}

fn daemon() -> (Machine, ConnId) {
    let options = r#"{"server_url":"http://h","control_socket_url":"ws://h","team_cluster_id":"c","daemon_password":"p","transport":"websocket","heartbeat":{"enabled":false}}"#;
    let mut machine = opened("volt", "daemon", options);
    handle(&mut machine, "jobs.run");
    command(&mut machine, Command::Start);
    let conn = dialed(&mut machine);
    input(&mut machine, Input::Conn(ConnInput::Opened { conn }));
    for text in [
        r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#,
        r#"40{"sid":"t"}"#,
        r#"42["team-cluster-daemon:registered",{"teamClusterId":"c"}]"#,
    ] {
        said(&mut machine, conn, text);
        settle(&mut machine);
    }
    assert!(machine.snapshot(NOW).contains("\"state\":\"ready\""), "{}", machine.snapshot(NOW));
    (machine, conn)
}

const NOW: Now = Now {
    mono: moorline_core::Instant::from_millis(1_000),
    unix: moorline_core::UnixMillis(1_795_000_000_000),
};

fn opened(dialect: &str, role: &str, options: &str) -> Machine {
    open(dialect, role, options, "host", [7; 32]).expect("options").endpoint
}

fn command(machine: &mut Machine, command: Command) {
    machine.handle_command(command, NOW).expect("a command that is right");
}

fn input(machine: &mut Machine, input: Input) {
    machine.handle_input(input, NOW);
}

fn handle(machine: &mut Machine, key: &str) {
    command(
        machine,
        Command::Work(WorkCommand::Handle { key: key.into(), meta: Raw::empty_object() }),
    );
}

fn done(machine: &mut Machine, work: moorline_core::WorkId, value: &str) {
    let value = Raw::parse(value.to_owned()).expect("JSON");
    let outcome = Outcome::Done { value, log: Raw::empty_list() };
    command(machine, Command::Work(WorkCommand::Complete { work, outcome }));
}

fn payload() -> Raw {
    Raw::parse(r#"{"Said":"hello","Number":1.0}"#).expect("JSON")
}

fn said(machine: &mut Machine, conn: ConnId, text: &str) {
    let frame = Frame::Text(text.to_owned().into());
    input(machine, Input::Conn(ConnInput::Received { conn, frame }));
}

fn request(method: Method, url: &str, body: &str) -> HttpRequest {
    let headers = Headers::new().with("content-type", "application/json").with("host", "127.0.0.1");
    HttpRequest { method, url: url.into(), headers, body: body.to_owned().into() }
}

fn dialed(machine: &mut Machine) -> ConnId {
    while let Some(output) = machine.poll_output() {
        if let Output::Dial { conn, .. } = output {
            return conn;
        } else if let Output::HttpCall { http, .. } = output {
            let mut response = HttpResponse::json(200, r#"{"LoggedIn":true,"SessionID":"c"}"#);
            response.headers.push("set-cookie", "SessionID=c; Path=/");
            input(machine, Input::Http(HttpInput::Replied { http, result: Ok(response) }));
        }
    }
    panic!("nothing was dialed")
}

fn drain(machine: &mut Machine) {
    while machine.poll_output().is_some() {}
}

/// Drains, answers the store and the listener, and returns the texts that were sent.
fn settle(machine: &mut Machine) -> Vec<String> {
    let mut sent = Vec::new();
    while let Some(output) = machine.poll_output() {
        if let Output::Store { store, request } = output {
            let result = Ok(match request {
                moorline_core::store::StoreRequest::Load { .. }
                | moorline_core::store::StoreRequest::Find { .. } => StoreReply::Loaded(Vec::new()),
                moorline_core::store::StoreRequest::Commit { .. } => StoreReply::Committed,
            });
            input(machine, Input::Stored { store, result });
        } else if let Output::Listen { listen, .. } = output {
            let address = String::from("127.0.0.1:1");
            input(machine, Input::Server(ServerInput::Listening { listen, address }));
        } else if let Output::Send { frame: Frame::Text(text), .. } = output {
            sent.push(text.to_string());
        }
    }
    sent
}
