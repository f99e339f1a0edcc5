//! The operator's page and its stream.

use super::access::log_in;
use super::*;

const SECURED: &str = r#"{"access":"secured","join_secret":"join-me","session_ttl_ms":4000,
    "reader_roles":["reader"],"users":[{"name":"ops","password":"pw"},
    {"name":"eve","password":"pw","roles":["reader"]}]}"#;

/// What a stream has told since it was last looked at: names of events and what they hold.
fn told(rig: &mut Rig, http: HttpId) -> Vec<(String, Value)> {
    let parts = rig.parts.remove(&http).unwrap_or_default();
    let text: String = parts.iter().map(|part| std::str::from_utf8(part).unwrap()).collect();
    let events = text.split_terminator("\n\n").filter_map(|event| {
        let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
        assert!(!data.contains(['\n', '\r']), "{data}");
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    });
    events.collect()
}

fn watch(rig: &mut Rig, headers: Headers) -> HttpId {
    rig.ask_with(Method::Get, "/Moorline/Events", "", headers)
}

/// The rows of a kind that were told, by key.
fn rows(events: &[(String, Value)], kind: &str) -> Vec<(String, Value)> {
    let rows = events.iter().filter(|(name, _)| name == "rows").flat_map(|(_, rows)| {
        rows.as_array().unwrap().iter().filter(|row| row[0] == kind).cloned()
    });
    rows.map(|row| (row[1].as_str().unwrap().to_owned(), row[2].clone())).collect()
}

fn state(events: &[(String, Value)]) -> Option<&Value> {
    events.iter().find(|(name, _)| name == "state").map(|(_, state)| state)
}

#[test]
fn the_files_are_small_alike_for_everybody_and_allow_nothing_else() {
    let mut rig = Rig::new(SECURED);
    let mut bytes = 0;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/Moorline/page.js", "text/javascript; charset=utf-8"),
        ("/Moorline/page.css", "text/css; charset=utf-8"),
        ("/Moorline/icon.svg", "image/svg+xml"),
    ] {
        let http = rig.ask(Method::Get, path, "");
        let reply = &rig.replies[&http];
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.headers.first("content-type"), Some(kind));
        assert_eq!(reply.headers.first("x-content-type-options"), Some("nosniff"));
        let policy = reply.headers.first("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let text = std::str::from_utf8(reply.bytes()).unwrap();
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", " style="]
        {
            assert!(!text.contains(forbidden), "{forbidden} in {path}");
        }
        bytes += text.len();
    }
    assert!(bytes <= 60_000, "{bytes}");
    let http = rig.ask(Method::Post, "/", "{}");
    assert_eq!(rig.status(http), Some(401));
    let evil = Headers::new().with("host", "evil.example");
    let http = rig.ask_with(Method::Get, "/", "", evil);
    assert_eq!(rig.status(http), Some(403));
    // A link on another site leads to the page, and to nothing else.
    let linked = || Headers::new().with("host", "localhost").with("sec-fetch-site", "cross-site");
    for (path, expected) in [("/", 200), ("/Moorline/page.js", 200), ("/Beacon", 403)] {
        let http = rig.ask_with(Method::Get, path, "", linked());
        assert_eq!(rig.status(http), Some(expected), "{path}");
    }
}

#[test]
fn whoever_watches_is_told_all_and_then_what_changes() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let http = watch(&mut rig, Headers::new());
    assert_eq!(rig.replies[&http].headers.first("content-type"), Some("text/event-stream"));
    let first = told(&mut rig, http);
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["you", "state", "rows", "whole"]);
    assert_eq!(first[0].1["MayAct"], true);
    let workers = rows(&first, "Workers");
    assert_eq!((workers.len(), &workers[0].1["Name"]), (1, &"w".into()));

    rig.pass(5_000);
    assert_eq!(told(&mut rig, http), [], "nothing has changed");
    let hash = rig.enqueue("");
    let waiting = rig.enqueue("");
    rig.say(
        worker,
        &format!(
            "{{\"Action\":\"WorkProgress\",\"WorkItemHash\":\"{hash}\",\"ProgressData\":\
             {{\"Percent\":40,\"Message\":[\n\"a\r\n\",\n\"event: gone\"]}}}}"
        )
        .replace("a\r\n", "a"),
    );
    rig.pass(1_000);
    let then = told(&mut rig, http);
    let work = rows(&then, "Work");
    let keys: Vec<&str> = work.iter().map(|(key, _)| key.as_str()).collect();
    assert!(keys.contains(&hash.as_str()) && keys.contains(&waiting.as_str()), "{keys:?}");
    let shown = &work.iter().find(|(key, _)| *key == hash).unwrap().1;
    assert_eq!((&shown["Worker"], &shown["Progress"]["Percent"]), (&"w".into(), &40.into()));
    let load = &state(&then).unwrap()["Loads"][0];
    assert_eq!((&load["Queued"], &load["Running"]), (&1.into(), &1.into()));

    rig.say(
        worker,
        &format!(
            r#"{{"Action":"WorkError","WorkItemHash":"{hash}","ErrorMessage":"no paper","AttemptNumber":1}}"#
        ),
    );
    rig.cut(worker);
    rig.pass(1_000);
    let then = told(&mut rig, http);
    let failures = rows(&then, "Failures");
    assert_eq!(failures[0].1["Error"], "no paper");
    assert_eq!(state(&then).unwrap()["Failed"], 1);
    let away = rows(&then, "Away");
    assert!(away[0].1["Why"].as_str().unwrap().contains("1006"), "{away:?}");
    let gone: Vec<&Value> =
        then.iter().filter(|(name, _)| name == "gone").map(|it| &it.1).collect();
    let gone = gone[0].as_array().unwrap();
    assert!(gone.iter().any(|it| it[0] == "Work" && it[1] == hash.as_str()), "{gone:?}");
    assert!(gone.iter().any(|it| it[0] == "Workers"), "{gone:?}");

    rig.worker("w", 1);
    rig.pass(1_000);
    let then = told(&mut rig, http);
    let gone = then.iter().find(|(name, _)| name == "gone").unwrap();
    assert_eq!(gone.1[0][0], "Away", "whoever is back is not away");
}

#[test]
fn whoever_reads_too_slowly_is_let_go_and_may_come_back() {
    let mut rig = Rig::new("{}");
    let slow = watch(&mut rig, Headers::new());
    let other = watch(&mut rig, Headers::new());
    rig.input(Input::Server(ServerInput::Backlog { http: slow, is_full: true }));
    assert_eq!(rig.ended, [slow]);
    let parts = rig.parts[&slow].len();
    rig.worker("w", 1);
    rig.pass(1_000);
    assert_eq!(rig.parts[&slow].len(), parts, "nothing more is said to it");
    assert!(rig.parts[&other].len() > parts);
    let again = watch(&mut rig, Headers::new());
    assert!(told(&mut rig, again).iter().any(|(kind, _)| kind == "whole"));
}

#[test]
fn those_who_come_within_a_second_are_told_the_same_and_then_what_has_changed() {
    let mut rig = Rig::new("{}");
    rig.worker("early", 1);
    let first = watch(&mut rig, Headers::new());
    rig.worker("late", 1);
    let second = watch(&mut rig, Headers::new());
    let whole = [first, second].map(|http| rig.parts[&http].last().unwrap().as_ptr());
    assert_eq!(whole[0], whole[1], "it was made once");
    for http in [first, second] {
        assert_eq!(rows(&told(&mut rig, http), "Workers")[0].1["Name"], "early");
    }
    rig.pass(1_000);
    for http in [first, second] {
        let workers = rows(&told(&mut rig, http), "Workers");
        assert_eq!((workers.len(), &workers[0].1["Name"]), (1, &"late".into()));
    }
    let third = watch(&mut rig, Headers::new());
    let workers = rows(&told(&mut rig, third), "Workers");
    assert_eq!(workers.len(), 2, "what was made before has changed");
}

#[test]
fn of_a_worker_with_many_capabilities_the_page_shows_a_few_and_the_status_all() {
    let mut rig = Rig::new("{}");
    let conn = rig.connect(Headers::new());
    let names: Vec<String> = (0..1_000).map(|n| format!("{n:0>250}")).collect();
    let names = serde_json::to_string(&names).unwrap();
    rig.say(conn, &format!(r#"{{"Action":"BeaconRegister","Name":"w","Capabilities":{names}}}"#));
    let http = watch(&mut rig, Headers::new());
    let workers = rows(&told(&mut rig, http), "Workers");
    let row = &workers[0].1;
    assert!(row.to_string().len() < 4_096, "{row}");
    assert_eq!(row["Capabilities"].as_array().unwrap().len(), 8);
    assert_eq!(row["MoreCapabilities"], 992);
    let http = rig.ask(Method::Get, "/Moorline/Status", "");
    let shown = &rig.reply(http)["Workers"][0];
    assert_eq!(shown["Capabilities"].as_array().unwrap().len(), 1_000);
    assert!(shown.get("MoreCapabilities").is_none());
}

#[test]
fn nothing_is_done_while_nobody_watches_and_a_quiet_stream_shows_that_it_lives() {
    let mut rig = Rig::new("{}");
    let http = watch(&mut rig, Headers::new());
    rig.parts.remove(&http);
    rig.pass(15_000);
    let quiet = rig.parts.remove(&http).unwrap_or_default();
    assert!(quiet.iter().any(|part| &part[..] == b":\n\n"), "{quiet:?}");
    rig.input(Input::Server(ServerInput::Gone { http }));
    rig.pass(1_000);
    let next = rig.hub.poll_timeout().unwrap();
    assert_ne!(next.why.as_str(), "viewers");
    assert!(rig.ended.is_empty());
}

#[test]
fn a_stream_ends_with_its_login_and_with_the_hub() {
    let mut rig = Rig::new(SECURED);
    let stranger = watch(&mut rig, Headers::new());
    assert_eq!(rig.status(stranger), Some(401));
    let cookie = log_in(&mut rig, "ops", "pw").unwrap();
    let http = watch(&mut rig, cookie);
    assert_eq!(told(&mut rig, http)[0].1["User"], "ops");
    rig.pass(3_000);
    assert!(rig.ended.is_empty());
    rig.pass(2_000);
    assert_eq!(rig.ended, [http]);

    let cookie = log_in(&mut rig, "ops", "pw").unwrap();
    let http = watch(&mut rig, cookie);
    rig.hub.handle_command(Command::Stop { drain_ms: 0 }, rig.now()).unwrap();
    rig.drain();
    assert_eq!(rig.ended.last(), Some(&http));
}

#[test]
fn those_who_may_only_look_change_nothing() {
    let mut rig = Rig::new(SECURED);
    let conn = rig.connect(Headers::new());
    rig.say(
        conn,
        r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"JoinSecret":"join-me"}"#,
    );
    let id = rig.frames(conn)[0]["BeaconID"].as_str().unwrap().to_owned();
    let eve = log_in(&mut rig, "eve", "pw").unwrap();
    let http = watch(&mut rig, eve.clone());
    assert_eq!(told(&mut rig, http)[0].1["MayAct"], false);
    for url in ["/Beacon", "/Beacon/Queue", "/Moorline/Status", "/metrics", "/Moorline/Volt/Tokens"]
    {
        let http = rig.ask_with(Method::Get, url, "", eve.clone());
        assert_eq!(rig.status(http), Some(200), "{url}");
    }
    for (method, url) in [
        (Method::Post, format!("/Beacon/{id}/Drain")),
        (Method::Delete, format!("/Beacon/{id}")),
        (Method::Post, "/Beacon/Register".to_owned()),
        (Method::Post, "/Beacon/Work/Enqueue".to_owned()),
        (Method::Post, "/Beacon/Work/Dispatch".to_owned()),
        (Method::Post, "/Beacon/Work/wi-1/Cancel".to_owned()),
        (Method::Post, "/Beacon/Run/Start".to_owned()),
        (Method::Post, "/Moorline/Volt/Tokens".to_owned()),
    ] {
        let http = rig.ask_with(method, &url, "{}", eve.clone());
        assert_eq!(rig.status(http), Some(403), "{url}");
    }
    let joining = rig.connect(eve.clone());
    rig.say(joining, r#"{"Action":"BeaconRegister","Name":"hers","Capabilities":["Echo"]}"#);
    assert_eq!(rig.frames(joining)[0]["EventType"], "BeaconRejected");
    let http = rig.ask_with(Method::Post, "/1.0/Deauthenticate", "", eve);
    assert_eq!(rig.status(http), Some(200));
    let ops = log_in(&mut rig, "ops", "pw").unwrap();
    let http = rig.ask_with(Method::Post, &format!("/Beacon/{id}/Drain"), "{}", ops);
    assert_eq!(rig.status(http), Some(200));
}

#[test]
fn those_who_watch_are_few_and_what_is_remembered_is_bounded() {
    let mut rig = Rig::new("{}");
    for _ in 0..32 {
        let http = watch(&mut rig, Headers::new());
        assert_eq!(rig.status(http), Some(200));
    }
    let http = watch(&mut rig, Headers::new());
    assert_eq!(rig.status(http), Some(503));
    let mut rig = Rig::new("{}");
    for n in 0..210 {
        let worker = rig.worker(&format!("w{n}"), 1);
        let hash = rig.enqueue("");
        let long = "x".repeat(2_000);
        rig.say(
            worker,
            &format!(
                r#"{{"Action":"WorkError","WorkItemHash":"{hash}","ErrorMessage":"{long}","AttemptNumber":1}}"#
            ),
        );
        rig.cut(worker);
    }
    let http = watch(&mut rig, Headers::new());
    let events = told(&mut rig, http);
    let failures = rows(&events, "Failures");
    assert_eq!((failures.len(), rows(&events, "Away").len()), (100, 200));
    assert!(failures.iter().all(|(_, row)| row["Error"].as_str().unwrap().chars().count() == 501));
    assert!(failures.iter().any(|(key, _)| key == "210"));
}
