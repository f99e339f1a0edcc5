//! Whoever is concerned is told: nothing is held, dropped, taken or answered behind somebody's back.

use super::*;
use crate::base::error::{Error, ErrorCode};

fn id(rig: &Rig, conn: ConnId) -> String {
    rig.frames(conn)[0]["BeaconID"].as_str().unwrap().to_owned()
}

/// Registers a worker of ours over HTTP; returns its id.
fn polling(rig: &mut Rig, name: &str, more: &str) -> String {
    let body = format!(
        r#"{{"Name":"{name}","Capabilities":["Echo"],"Moorline":{{"Acks":true,"Running":[]{more}}}}}"#
    );
    let http = rig.post("/Beacon/Register", &body);
    rig.reply(http)["BeaconID"].as_str().unwrap_or_else(|| panic!("{}", rig.reply(http))).to_owned()
}

fn draining(rig: &mut Rig, running: &str) -> ConnId {
    let conn = rig.connect(Headers::new());
    rig.say(
        conn,
        &format!(
            r#"{{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"MaxConcurrent":4,
            "Moorline":{{"Acks":true,"Draining":true,"Running":{running}}}}}"#
        ),
    );
    conn
}

#[test]
fn a_worker_that_registers_while_it_drains_is_given_nothing() {
    let mut rig = Rig::new("{}");
    let waiting = rig.enqueue("");
    let conn = draining(&mut rig, "[]");
    assert!(rig.pushed(conn).is_empty());
    let other = rig.worker("other", 1);
    assert_eq!(rig.pushed(other), [(waiting, 1)]);
    let id = polling(&mut rig, "p", r#","Draining":true"#);
    rig.enqueue("");
    let poll = rig.post("/Beacon/Work/Poll", &format!(r#"{{"BeaconID":"{id}"}}"#));
    assert!(rig.reply(poll)["WorkItem"].is_null());
}

#[test]
fn what_a_draining_worker_does_not_list_goes_to_others_at_once() {
    let mut rig = Rig::new("{}");
    let conn = rig.worker("w", 4);
    let (kept, pushed) = (rig.enqueue(""), rig.enqueue(""));
    let other = rig.worker("other", 4);
    rig.say(
        conn,
        &format!(
            r#"{{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"MaxConcurrent":4,
            "Moorline":{{"Acks":true,"BeaconID":"{}","Draining":true,
            "Running":[{{"WorkItemHash":"{kept}","AttemptNumber":1}}]}}}}"#,
            id(&rig, conn)
        ),
    );
    assert_eq!(rig.pushed(other), [(pushed, 2)]);
}

#[test]
fn a_process_whose_confirmation_was_lost_is_not_another_one() {
    let mut rig = Rig::new("{}");
    let conn = rig.connect(Headers::new());
    let text = r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],
        "Moorline":{"Acks":true,"BeaconID":"bcn-w-1","Running":[]}}"#;
    rig.say(conn, text);
    assert_ne!(id(&rig, conn), "bcn-w-1", "after a restart of the hub it is another");
    rig.pass(10_000);
    let again = rig.connect(Headers::new());
    rig.say(again, text);
    assert!(!rig.closed.contains_key(&again), "{:?}", rig.closed[&again]);
    assert_eq!(rig.closed[&conn].0, 1001);
    polling(&mut rig, "w", r#","BeaconID":"bcn-w-1""#);
    let body =
        r#"{"Name":"w","Capabilities":["Echo"],"Moorline":{"Acks":true,"BeaconID":"bcn-w-0"}}"#;
    let http = rig.post("/Beacon/Register", body);
    assert_eq!(rig.status(http), Some(409), "somebody else is");
}

#[test]
fn a_connection_whose_worker_registers_over_http_is_closed() {
    let mut rig = Rig::new("{}");
    let conn = rig.worker("w", 1);
    let id = id(&rig, conn);
    polling(&mut rig, "w", &format!(r#","BeaconID":"{id}""#));
    assert_eq!(rig.closed[&conn], (1001, "the worker registered over HTTP".to_owned()));
}

#[test]
fn who_cancels_is_told_that_a_polling_worker_runs_on() {
    let mut rig = Rig::new("{}");
    let id = polling(&mut rig, "p", "");
    let work = rig.dispatch();
    let poll = rig.post("/Beacon/Work/Poll", &format!(r#"{{"BeaconID":"{id}"}}"#));
    let hash = rig.reply(poll)["WorkItem"]["WorkItemHash"].as_str().unwrap().to_owned();
    let cancel = rig.post(&format!("/Beacon/Work/{hash}/Cancel"), "{}");
    let told = rig.reply(cancel);
    assert_eq!((&told["Canceled"], &told["CancelRequested"]), (&false.into(), &true.into()));
    rig.enqueue("");
    let poll = rig.post("/Beacon/Work/Poll", &format!(r#"{{"BeaconID":"{id}"}}"#));
    assert!(rig.reply(poll)["WorkItem"].is_null(), "its slot is in use");
    let body = format!(r#"{{"BeaconID":"{id}","AttemptNumber":1,"Outputs":{{}},"Log":[]}}"#);
    let done = rig.post(&format!("/Beacon/Work/{hash}/Complete"), &body);
    assert_eq!((rig.status(done), rig.status(work)), (Some(200), Some(200)));
}

#[test]
fn nobody_asks_an_item_that_has_ended_to_end() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let hash = rig.enqueue("");
    rig.complete(worker, &hash, 1);
    let cancel = rig.post(&format!("/Beacon/Work/{hash}/Cancel"), "{}");
    let told = rig.reply(cancel);
    assert_eq!((&told["Canceled"], &told["Status"]), (&false.into(), &"Complete".into()));
    assert!(told["CancelRequested"].is_null(), "{told}");
}

#[test]
fn what_was_to_be_cancelled_is_not_run_again_when_its_worker_is_lost() {
    let mut rig = Rig::new("{}");
    let worker = rig.foreign_worker("w", 1);
    let hash = rig.enqueue("");
    rig.post(&format!("/Beacon/Work/{hash}/Cancel"), "{}");
    let other = rig.worker("other", 1);
    rig.cut(worker);
    assert!(rig.pushed(other).is_empty());
    assert_eq!(rig.item_status(&hash), "Canceled");
}

#[test]
fn the_hubs_own_questions_are_unknown_to_clients() {
    let mut rig = Rig::new(r#"{"access":"secured","auth_join_secret":"boot"}"#);
    let auth = rig.connect(Headers::new());
    rig.say(
        auth,
        r#"{"Action":"BeaconRegister","Name":"auth","Capabilities":["Authentication"],
        "JoinSecret":"boot","MaxConcurrent":4}"#,
    );
    let ask = |rig: &mut Rig| rig.post("/1.0/Authenticate", r#"{"UserName":"u","Password":"p"}"#);
    let decide = |rig: &mut Rig, hash: &str| {
        rig.say(auth, &format!(
            r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"Success":true,"UserContext":{{"Username":"u"}}}},"Log":[]}}"#
        ));
    };
    let login = ask(&mut rig);
    let hash = rig.pushed(auth)[0].0.clone();
    decide(&mut rig, &hash);
    let cookie = rig.replies[&login].headers.first("set-cookie").unwrap();
    let cookie = Headers::new().with("cookie", cookie.split(';').next().unwrap());
    let other = ask(&mut rig);
    let hash = rig.pushed(auth)[1].0.clone();
    for (verb, body) in [("Cancel", "{}"), ("Reorder", r#"{"Direction":"up"}"#)] {
        let url = format!("/Beacon/Work/{hash}/{verb}");
        let http = rig.ask_with(Method::Post, &url, body, cookie.clone());
        assert_eq!(rig.status(http), Some(404), "{verb}");
    }
    decide(&mut rig, &hash);
    assert_eq!(rig.reply(other)["LoggedIn"], true);
}

#[test]
fn a_request_that_is_not_understood_changes_nothing() {
    let mut rig = Rig::new("{}");
    let conn = rig.worker("w", 1);
    let id = id(&rig, conn);
    let hash = rig.enqueue("");
    for (url, body) in [
        (format!("/Beacon/{id}/Drain"), r#"{"Draining":"false"}"#),
        (format!("/Beacon/{id}/Drain"), r#"{"Draining":0}"#),
        (format!("/Beacon/Work/{hash}/Cancel"), r#"{"Reason":7}"#),
        (format!("/Beacon/Work/{hash}/Reorder"), r#"{"Direction":7}"#),
        ("/Beacon/Run/Start".to_owned(), r#"{"IdempotencyKey":7}"#),
        ("/Beacon/Run/r/End".to_owned(), r#"{"State":7}"#),
    ] {
        let http = rig.post(&url, body);
        assert_eq!(rig.status(http), Some(400), "{url} {body}");
    }
    assert!(rig.notices().is_empty());
    rig.complete(conn, &hash, 1);
    rig.enqueue("");
    assert_eq!(rig.pushed(conn).len(), 2, "it is not drained");
}

#[test]
fn a_drain_that_left_outcomes_unwritten_says_so() {
    let stop = |rig: &mut Rig, drain_ms: u64| {
        let worker = rig.worker("w", 1);
        let hash = rig.enqueue("");
        rig.synced = false;
        rig.complete(worker, &hash, 1);
        let now = rig.now();
        rig.hub.handle_command(Command::Stop { drain_ms }, now).unwrap();
        rig.drain();
        rig.pass(drain_ms + 1);
        rig.events.iter().find_map(|event| match event {
            Event::Session(SessionEvent::Ended { error }) => Some(error.clone()),
            Event::Session(_) | Event::Call(_) | Event::Work(_) | Event::Peer(_) => None,
        })
    };
    let ended = stop(&mut Rig::new("{}"), 5_000).unwrap();
    assert_eq!(ended.as_ref().map(Error::code), Some(ErrorCode::StoreFailed), "{ended:?}");
    assert_eq!(stop(&mut Rig::new("{}"), 0).unwrap(), None, "no time was given");
}

/// Connects an auth worker to a hub whose logins and joins it decides.
fn judged() -> (Rig, ConnId) {
    let mut rig = Rig::new(r#"{"access":"secured","auth_join_secret":"boot"}"#);
    let auth = rig.connect(Headers::new());
    rig.say(
        auth,
        r#"{"Action":"BeaconRegister","Name":"judge","Capabilities":["Authentication"],
        "JoinSecret":"boot","MaxConcurrent":4}"#,
    );
    (rig, auth)
}

/// Has an auth worker answer what it was asked last.
fn judge(rig: &mut Rig, auth: ConnId, outputs: &str) {
    let hash = rig.pushed(auth).last().unwrap().0.clone();
    rig.say(
        auth,
        &format!(
            r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{outputs},"Log":[]}}"#
        ),
    );
}

#[test]
fn a_login_is_right_whatever_is_missing_of_its_user() {
    let (mut rig, auth) = judged();
    let mut login = |outputs: &str| {
        let http = rig.post("/1.0/Authenticate", r#"{"UserName":"ada","Password":"p"}"#);
        judge(&mut rig, auth, outputs);
        rig.reply(http)
    };
    let user = r#"{"UserID":"7","Username":null,"Roles":null,"NameFirst":null,"NameLast":null,
        "FullName":null,"Email":null}"#;
    let told = login(&format!(r#"{{"Success":true,"UserContext":{user}}}"#));
    assert_eq!((&told["LoggedIn"], &told["UserID"]), (&true.into(), &7.into()), "{told}");
    assert_eq!(told["UserRecord"]["LoginID"], "ada", "users share no name");
    for outputs in [r#"{"Success":true}"#, r#"{"Success":true,"UserContext":null}"#] {
        assert_eq!(login(outputs)["UserRecord"]["LoginID"], "ada", "{outputs}");
    }
    for outputs in [r#"{"Success":null}"#, "{}"] {
        assert_eq!(login(outputs)["LoggedIn"], false, "{outputs}");
    }
}

/// One who waits for logins of the same address is answered when those who sent them leave, too.
#[test]
fn a_login_that_is_held_is_answered_when_all_that_it_waits_for_leave() {
    let (mut rig, _) = judged();
    let login =
        |rig: &mut Rig| rig.post("/1.0/Authenticate", r#"{"UserName":"ada","Password":"p"}"#);
    let asked: Vec<HttpId> = (0..50).map(|_| login(&mut rig)).collect();
    let held = login(&mut rig);
    for http in asked {
        assert_eq!(rig.status(held), None);
        rig.input(Input::Server(ServerInput::Gone { http }));
    }
    assert_eq!(rig.status(held), Some(429), "{}", rig.reply(held));
    assert!(rig.replies[&held].headers.first("retry-after").is_some());
}

#[test]
fn what_an_auth_worker_leaves_undecided_is_nobodys_fault_but_its_own() {
    let (mut rig, auth) = judged();
    for _ in 0..60 {
        let http = rig.post("/1.0/Authenticate", r#"{"UserName":"ada","Password":"p"}"#);
        judge(&mut rig, auth, r#"{"Success":"yes"}"#);
        assert_eq!(rig.status(http), Some(503), "{}", rig.reply(http));
        assert_eq!(rig.reply(http)["LoggedIn"], false);
    }
    let told = rig.notices();
    assert!(told[0].contains("\"judge\"") && told[0].contains("\"ada\""), "{told:?}");
    let http = rig.post("/1.0/Authenticate", r#"{"UserName":"ada","Password":"p"}"#);
    judge(&mut rig, auth, r#"{"Success":true}"#);
    assert_eq!(rig.reply(http)["LoggedIn"], true, "none of them was a guess");
    let late = rig.post("/1.0/Authenticate", r#"{"UserName":"ada","Password":"p"}"#);
    let conn = rig.connect(Headers::new());
    let register = r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"]}"#;
    rig.say(conn, register);
    rig.pass(5_000);
    assert_eq!(rig.status(late), Some(503));
    assert_eq!(rig.closed[&conn].0, 1013, "it comes back");
    assert!(rig.frames(conn).is_empty(), "it was not rejected");
    let conn = rig.connect(Headers::new());
    rig.say(conn, register);
    judge(&mut rig, auth, r#"{"Allowed":null,"Reason":null}"#);
    assert_eq!(rig.closed[&conn].0, 4403);
}

#[test]
fn calls_of_the_hubs_own_application_are_those_of_a_dispatcher() {
    let mut rig = Rig::new("{}");
    let outcome = |rig: &Rig, id: u64| {
        rig.events.iter().find_map(|event| match event {
            Event::Call(CallEvent::Done { call: CallId(call), result }) if *call == id => {
                Some(result.clone())
            }
            Event::Session(_) | Event::Call(_) | Event::Work(_) | Event::Peer(_) => None,
        })
    };
    rig.call(1, "Echo", "{}", "{}");
    let error = outcome(&rig, 1).unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ArgumentInvalid);
    for id in [2, 3] {
        rig.call(id, "$run_start", "{}", r#"{"idempotency_key":"k"}"#);
    }
    let run = |id: u64| outcome(&rig, id).unwrap().unwrap().as_str().to_owned();
    assert_eq!(run(2), run(3), "one key is one run");
    rig.worker("w", 1);
    rig.dispatch();
    let now = rig.now();
    rig.hub.handle_command(Command::Stop { drain_ms: 5_000 }, now).unwrap();
    rig.call(4, "Echo/Say", "{}", "{}");
    assert_eq!(outcome(&rig, 4).unwrap().unwrap_err().code(), ErrorCode::Stopped);
}

#[test]
fn a_stranger_whose_session_is_closed_is_told_why_and_the_log_a_few_times() {
    let mut rig = Rig::new("{}");
    for _ in 0..20 {
        let conn = rig.connect_to("/socket.io/?EIO=4&transport=websocket", Headers::new());
        rig.say(conn, "2");
        assert_eq!(rig.closed[&conn], (1000, "a ping in the wrong direction".to_owned()));
        rig.cut(conn);
    }
    let told = ["127.0.0.1: a session was closed: a ping in the wrong direction"; 5];
    assert_eq!(rig.notices(), told);
}
