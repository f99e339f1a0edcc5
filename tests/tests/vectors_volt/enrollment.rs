//! C5: every recorded outcome of an enrollment, and what only ours does: the derived address, the
//! policy for used tokens, redirects, the store.

use std::collections::BTreeMap;

use moorline_core::{Command, ErrorCode, Event, Headers, HttpBody, HttpId, HttpResponse, trace};
use moorline_core::{HttpInput, SessionEvent};
use moorline_tests::transcript::vectors;
use moorline_tests::volt::{Daemon, Disk, Told};
use serde_json::{Value, json};

use crate::expectation::Expectation;
use crate::lines::{self, What};
use crate::replay::Replay;

const DERIVED: &str = "http://volt.test/api/team-clusters/cluster-abc123/healthcheck";

#[test]
fn c5_every_recorded_outcome_of_an_enrollment() {
    let path = vectors().join("volt/expect/03.json");
    let text = std::fs::read_to_string(&path).expect("it stands beside the recording");
    let mut expectations: BTreeMap<String, Expectation> =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = lines::read("03");
    let case_of = |what: &What| match what {
        What::Api(note) => note["case"].as_str().map(str::to_owned),
        What::Request { .. } | What::Response { .. } | What::Packet(_) | What::Closed(_) => None,
    };
    let starts: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter_map(|(index, line)| case_of(&line.what).map(|_| index))
        .chain([lines.len()])
        .collect();
    for pair in starts.windows(2) {
        let part = &lines[pair[0]..pair[1]];
        let case = case_of(&part[0].what).expect("each part begins with its name");
        let expectation = expectations.remove(&case).unwrap_or_else(|| panic!("the case {case:?}"));
        for mode in &expectation.modes {
            let report = Replay::new(part, &expectation, mode).run();
            assert!(report.is_empty(), "{case}, {mode}:\n{}", report.join("\n"));
        }
    }
    assert!(expectations.is_empty(), "{:?} are not recorded", expectations.keys());
}

/// A daemon that has asked for its enrollment, or for its session.
struct Enrolling {
    daemon: Daemon,
}

impl Enrolling {
    fn start(options: &Value) -> Self {
        Self::start_with(options, Disk::default())
    }

    fn start_with(options: &Value, disk: Disk) -> Self {
        let mut all = json!({
            "control_socket_url": "ws://volt.test",
            "server_url": "http://volt.test/",
            "team_cluster_id": "cluster-abc123",
            "enrollment_token": "one-time",
            "transport": "websocket",
        });
        for (key, value) in options.as_object().expect("options") {
            all[key.as_str()] = value.clone();
        }
        let mut daemon = Daemon::recorded(&all.to_string(), 3, 1_000);
        daemon.disk = disk;
        daemon.command(Command::Start).expect("a start");
        Self { daemon }
    }

    /// Returns the request that the daemon makes now, and its URL.
    fn asked(&mut self) -> (HttpId, String) {
        match self.daemon.told() {
            Some(Told::Http { http, request }) => (http, request.url),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, status: u16, location: Option<&str>, body: &str) {
        let (http, _) = self.asked();
        let mut headers = Headers::new();
        if let Some(location) = location {
            headers.push("location", location);
        }
        let body = HttpBody::Full(body.to_owned().into());
        self.daemon.answer(http, Some(HttpResponse { status, headers, body }));
    }

    /// Returns the password with which the daemon registers.
    fn registers_with(&mut self) -> String {
        let Some(Told::Asked { session, .. }) = self.daemon.told() else { panic!("no session") };
        self.daemon
            .open(session, "0{\"sid\":\"s\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}");
        self.daemon.say(session, [moorline_core::Frame::Text("40{\"sid\":\"x\"}".into())]);
        let Some(Told::Said { .. }) = self.daemon.told() else { panic!("no namespace") };
        let Some(Told::Said { frame: moorline_core::Frame::Text(text), .. }) = self.daemon.told()
        else {
            panic!("no registration")
        };
        let event: (String, Value) = serde_json::from_str(&text[2..]).expect("an event");
        event.1["daemonPassword"].as_str().expect("a password").to_owned()
    }

    /// Returns the text of the error that ended the daemon.
    fn failure(&mut self) -> String {
        let events: Vec<Event> = std::iter::from_fn(|| self.daemon.event()).collect();
        match events.last() {
            Some(Event::Session(SessionEvent::Ended { error: Some(error) })) => {
                assert_eq!(error.code(), ErrorCode::EnrollmentFailed);
                assert!(self.daemon.told().is_none() && self.daemon.deadline().is_none());
                error.message().to_owned()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn success(password: &str) -> String {
    json!({"data": {"teamCluster": {}, "daemonPassword": password}}).to_string()
}

const USED: &str = r#"{"status":"error","code":"TeamCluster::EnrollmentAlreadyCompleted",
    "message":"Team cluster enrollment has already been completed","statusCode":409}"#;

#[test]
fn c5_the_address_is_derived_where_none_is_given() {
    let mut it = Enrolling::start(&json!({}));
    let (http, url) = it.asked();
    assert_eq!(url, DERIVED);
    let body = HttpBody::Full(success("given").into());
    let response = HttpResponse { status: 200, headers: Headers::new(), body };
    it.daemon.answer(http, Some(response));
    assert_eq!(it.registers_with(), "given");
}

#[test]
fn c5_a_used_token_falls_back_to_the_password_where_that_is_wanted() {
    let given = json!({"url": "http://volt.test/enroll"});
    let with = |enrollment: &Value, policy: &str, password: &str| {
        let mut enrollment = enrollment.clone();
        enrollment["on_already_enrolled"] = policy.into();
        let options = json!({"daemon_password": password, "enrollment": enrollment});
        let mut it = Enrolling::start(&options);
        it.answer(409, None, USED);
        it
    };
    let derived = json!({});
    assert_eq!(with(&derived, "auto", "known").registers_with(), "known");
    assert_eq!(with(&derived, "use-password", "known").registers_with(), "known");
    assert_eq!(with(&given, "use-password", "known").registers_with(), "known");
    for mut it in [
        with(&derived, "auto", ""),
        with(&derived, "use-password", ""),
        with(&derived, "error", "known"),
        with(&given, "auto", "known"),
    ] {
        let text = it.failure();
        assert!(text.contains("HTTP 409"), "{text}");
        assert!(text.contains("TeamCluster::EnrollmentAlreadyCompleted"), "{text}");
        assert!(text.contains("has already been completed"), "{text}");
    }
}

#[test]
fn c5_answers_that_lack_something_are_named() {
    for (status, body, words) in [
        (200, "", "not JSON"),
        (200, "{\"data\":1", "not JSON"),
        (500, "nonsense", "not JSON"),
        (200, "null", "no object data"),
        (200, "[]", "no object data"),
        (200, "{}", "no object data"),
        (200, r#"{"data":null}"#, "no object data"),
        (200, r#"{"data":[]}"#, "no object data"),
        (200, r#"{"data":"x"}"#, "no object data"),
        (200, r#"{"data":{}}"#, "daemonPassword"),
        (200, r#"{"data":{"daemonPassword":"x"}}"#, "teamCluster"),
        (200, r#"{"data":{"daemonPassword":"x","teamCluster":null}}"#, "teamCluster"),
        (200, r#"{"data":{"daemonPassword":7,"teamCluster":{}}}"#, "daemonPassword"),
        (500, "null", "HTTP 500"),
        (403, r#"{"code":"No","message":"never"}"#, "HTTP 403: No: never"),
        (403, r#"{"code":7,"message":[]}"#, "HTTP 403"),
        (302, "{}", "HTTP 302"),
    ] {
        let mut it = Enrolling::start(&json!({}));
        it.answer(status, None, body);
        let text = it.failure();
        assert!(text.contains(words), "{status} {body}: {text}");
    }
    let mut it = Enrolling::start(&json!({}));
    it.answer(201, None, &success(""));
    assert_eq!(it.registers_with(), "", "any status of success, any text");
}

#[test]
fn c5_redirects_keep_the_request_and_have_an_end() {
    for status in [307, 308] {
        let mut it = Enrolling::start(&json!({}));
        it.answer(status, Some("/further"), "");
        let Some(Told::Http { request, .. }) = it.daemon.told() else { panic!() };
        assert_eq!(request.url, "http://volt.test/further");
        assert_eq!(request.body, r#"{"enrollmentToken":"one-time"}"#);
    }
    let mut it = Enrolling::start(&json!({}));
    for _ in 0..6 {
        it.answer(307, Some("http://elsewhere.test/again"), "");
    }
    assert!(it.failure().contains("redirected"));

    let secure = json!({"enrollment": {"url": "https://volt.test/enroll"}});
    let mut it = Enrolling::start(&secure);
    it.answer(308, Some("http://volt.test/enroll"), "");
    assert!(it.failure().contains("unencrypted"), "a token never leaves encryption");
    for location in [None, Some("nowhere"), Some("ftp://volt.test/")] {
        let mut it = Enrolling::start(&json!({}));
        it.answer(307, location, "");
        assert!(it.failure().contains("HTTP 307"));
    }
}

#[test]
fn c5_a_password_is_stored_before_it_is_used_and_found_again() {
    let stored = json!({"runtime": {"store_path": "daemon.db"}});
    let mut it = Enrolling::start(&stored);
    it.answer(200, None, &success("rotated"));
    let disk = it.daemon.disk.clone();
    let kept: Vec<&[u8]> = disk.values().map(|value| &value[..]).collect();
    assert_eq!(kept, [br#"{"daemonPassword":"rotated"}"#]);
    assert_eq!(it.registers_with(), "rotated");

    // The token is used up; the next start does not show it.
    let mut again = Enrolling::start_with(&stored, disk.clone());
    assert_eq!(again.registers_with(), "rotated");
    let enrolled = std::iter::from_fn(|| again.daemon.event());
    let passwords: Vec<String> = enrolled
        .filter_map(|event| match event {
            Event::Session(SessionEvent::Enrolled { password }) => {
                Some(password.expose().to_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(passwords, ["rotated"], "the application learns it all the same");

    for recording in [it.daemon.recording(), again.daemon.recording()] {
        assert!(!recording.contains("rotated"), "{recording}");
        let outputs: Vec<&str> = trace::outputs(&recording).collect();
        assert_eq!(trace::replay(&recording).expect("a recording"), outputs);
    }

    // Another cluster in the same store has its own.
    let mut options = stored;
    options["team_cluster_id"] = "another".into();
    let mut other = Enrolling::start_with(&options, disk);
    assert!(other.asked().1.ends_with("/api/team-clusters/another/healthcheck"));
}

/// The registration must not overtake the commit: it is held here.
#[test]
fn c5_nothing_leaves_before_the_password_is_committed() {
    use moorline_core::store::{StoreReply, StoreRequest};
    use moorline_core::{Input, Now, Output};

    let options = json!({
        "control_socket_url": "ws://volt.test", "server_url": "http://volt.test",
        "team_cluster_id": "c", "enrollment_token": "t", "transport": "websocket",
        "runtime": {"store_path": "daemon.db"},
    });
    let opened = moorline_tests::scripts::open(
        "volt-daemon",
        "volt",
        "daemon",
        &options.to_string(),
        "h",
        [1; 32],
    );
    let mut machine = opened.expect("options").endpoint;
    let now = Now::new(5, 1_795_000_000_005);
    machine.handle_command(Command::Start, now).expect("a start");
    let next = |machine: &mut dyn moorline_core::Endpoint| machine.poll_output();
    let Some(Output::Store { store, request: StoreRequest::Load { .. } }) = next(&mut *machine)
    else {
        panic!("it looks for a password first")
    };
    machine.handle_input(Input::Stored { store, result: Ok(StoreReply::Loaded(Vec::new())) }, now);
    let Some(Output::Store { store, request: StoreRequest::Commit { .. } }) = next(&mut *machine)
    else {
        panic!("then it tries the store")
    };
    machine.handle_input(Input::Stored { store, result: Ok(StoreReply::Committed) }, now);
    let Some(Output::HttpCall { http, .. }) = next(&mut *machine) else {
        panic!("then it enrolls")
    };
    let body = HttpBody::Full(success("rotated").into());
    let response = HttpResponse { status: 200, headers: Headers::new(), body };
    machine.handle_input(Input::Http(HttpInput::Replied { http, result: Ok(response) }), now);
    let Some(Output::Store { store, request: StoreRequest::Commit { .. } }) = next(&mut *machine)
    else {
        panic!("then it stores")
    };
    assert!(next(&mut *machine).is_none(), "and waits");
    machine.handle_input(Input::Stored { store, result: Ok(StoreReply::Committed) }, now);
    assert!(matches!(
        next(&mut *machine),
        Some(Output::Event(Event::Session(SessionEvent::Enrolled { .. })))
    ));
    assert!(matches!(next(&mut *machine), Some(Output::Dial { .. })));
}

#[test]
fn c5_an_enrollment_that_is_stopped_is_given_up() {
    let mut it = Enrolling::start(&json!({}));
    drop(it.asked());
    it.daemon.command(Command::Stop { drain_ms: 0 }).expect("a stop");
    let last = std::iter::from_fn(|| it.daemon.event()).last();
    assert!(matches!(last, Some(Event::Session(SessionEvent::Ended { error: None }))), "{last:?}");
    assert!(it.daemon.deadline().is_none());
}
