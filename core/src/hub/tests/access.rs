//! Who may join, log in and ask.

use super::*;

pub(super) const SECURED: &str = r#"{"access":"secured","join_secret":"join-me","session_ttl_ms":4000,
    "users":[{"name":"ops","password":"pw","roles":["admin"]}]}"#;

fn register(rig: &mut Rig, conn: ConnId, more: &str) {
    rig.say(
        conn,
        &format!(r#"{{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"]{more}}}"#),
    );
}

pub(super) fn log_in(rig: &mut Rig, name: &str, password: &str) -> Option<Headers> {
    let body = format!(r#"{{"UserName":"{name}","Password":"{password}"}}"#);
    let http = rig.post("/1.0/Authenticate", &body);
    let cookie = rig.replies[&http].headers.first("set-cookie")?.to_owned();
    Some(Headers::new().with("cookie", cookie.split(';').next().unwrap()))
}

#[test]
fn a_secured_hub_answers_strangers_nothing() {
    let mut rig = Rig::new(SECURED);
    for (method, url) in [
        (Method::Get, "/Beacon"),
        (Method::Get, "/Moorline/Status"),
        (Method::Post, "/Beacon/Work/Dispatch"),
        (Method::Post, "/Beacon/Register"),
        (Method::Get, "/nothing"),
    ] {
        let http = rig.ask(method, url, "{}");
        let text = std::str::from_utf8(rig.replies[&http].bytes()).unwrap();
        assert_eq!(rig.status(http), Some(401), "{url}");
        assert_eq!(text, r#"{"Error":"Authentication required.","LoggedIn":false}"#);
    }
    let http = rig.ask(Method::Get, "/status", "");
    assert_eq!(rig.reply(http)["AuthMode"], "authenticated");
}

#[test]
fn a_login_lasts_for_its_time_and_no_longer() {
    let mut rig = Rig::new(SECURED);
    assert!(log_in(&mut rig, "ops", "wrong").is_none());
    assert!(log_in(&mut rig, "nobody", "pw").is_none());
    let cookie = log_in(&mut rig, "ops", "pw").unwrap();
    let ask = |rig: &mut Rig| {
        let http = rig.ask_with(Method::Get, "/Beacon", "", cookie.clone());
        rig.status(http)
    };
    rig.pass(3_999);
    assert_eq!(ask(&mut rig), Some(200));
    rig.pass(1);
    assert_eq!(ask(&mut rig), Some(401), "use does not extend it");
}

#[test]
fn failed_logins_are_slowed_down() {
    let mut rig = Rig::new(SECURED);
    for _ in 0..50 {
        assert!(log_in(&mut rig, "ops", "guess").is_none());
    }
    let http = rig.post("/1.0/Authenticate", r#"{"UserName":"ops","Password":"pw"}"#);
    assert_eq!(rig.status(http), Some(429));
    rig.pass(1_000);
    assert!(log_in(&mut rig, "ops", "pw").is_some());
}

#[test]
fn a_worker_joins_with_the_secret_only() {
    let mut rig = Rig::new(SECURED);
    let wrong = rig.connect(Headers::new());
    register(&mut rig, wrong, r#","JoinSecret":"guess""#);
    assert_eq!(rig.frames(wrong)[0]["EventType"], "BeaconRejected");
    assert_eq!(rig.closed[&wrong], (4403, "Beacon admission denied".to_owned()));
    let right = rig.connect(Headers::new());
    register(&mut rig, right, r#","JoinSecret":"join-me""#);
    assert_eq!(rig.frames(right)[0]["EventType"], "BeaconRegistered");
}

#[test]
fn without_a_join_secret_a_login_lets_a_worker_join() {
    let mut rig = Rig::new(r#"{"access":"secured","users":[{"name":"ops","password":"pw"}]}"#);
    let stranger = rig.connect(Headers::new());
    register(&mut rig, stranger, "");
    assert_eq!(rig.frames(stranger)[0]["EventType"], "BeaconRejected");
    let cookie = log_in(&mut rig, "ops", "pw").unwrap();
    let conn = rig.connect(cookie);
    register(&mut rig, conn, "");
    assert_eq!(rig.frames(conn)[0]["EventType"], "BeaconRegistered");
}

#[test]
fn nobody_becomes_an_auth_worker_without_the_secret_for_it() {
    let mut rig = Rig::new(
        r#"{"access":"secured","join_secret":"join-me","auth_join_secret":"boot",
            "users":[{"name":"ops","password":"pw"}]}"#,
    );
    let claim = |secret: &str| {
        format!(
            r#"{{"Action":"BeaconRegister","Name":"auth","Capabilities":["Authentication"],
            "JoinSecret":"{secret}"}}"#
        )
    };
    let conn = rig.connect(Headers::new());
    rig.say(conn, &claim("join-me"));
    assert_eq!(rig.frames(conn)[0]["EventType"], "BeaconRejected");
    let cookie = log_in(&mut rig, "ops", "pw").unwrap();
    let http = rig.ask_with(Method::Post, "/Beacon/Register", &claim("join-me"), cookie.clone());
    assert_eq!(rig.status(http), Some(403));
    let conn = rig.connect(Headers::new());
    rig.say(conn, &claim("boot"));
    assert_eq!(rig.frames(conn)[0]["EventType"], "BeaconRegistered");
    let body = r#"{"Capability":"Authentication","Action":"AUTH_CreateUser"}"#;
    let http = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, cookie);
    assert_eq!(rig.status(http), Some(403));
}

#[test]
fn questions_to_an_auth_worker_are_neither_stored_nor_shown() {
    let mut rig = Rig::new(r#"{"access":"secured","auth_join_secret":"boot"}"#);
    let auth = rig.connect(Headers::new());
    rig.say(
        auth,
        r#"{"Action":"BeaconRegister","Name":"auth","Capabilities":["Authentication"],
        "JoinSecret":"boot","MaxConcurrent":4}"#,
    );
    let login = rig.post("/1.0/Authenticate", r#"{"UserName":"u","Password":"hunter2"}"#);
    assert!(rig.disk.is_empty());
    let now = rig.now();
    assert!(!rig.hub.snapshot(now).contains("hunter2"));
    rig.pass(5_000);
    assert_eq!(rig.reply(login)["LoggedIn"], false, "an auth worker has five seconds");
}

#[test]
fn sessions_cannot_speak_for_each_others_workers() {
    let mut rig = Rig::new(
        r#"{"access":"secured","users":[{"name":"a","password":"1"},{"name":"b","password":"2"}]}"#,
    );
    let a = log_in(&mut rig, "a", "1").unwrap();
    let b = log_in(&mut rig, "b", "2").unwrap();
    let body = r#"{"Name":"w","Capabilities":["Echo"]}"#;
    let http = rig.ask_with(Method::Post, "/Beacon/Register", body, a.clone());
    let id = rig.reply(http)["BeaconID"].as_str().unwrap().to_owned();
    assert!(rig.reply(http)["SessionID"].is_string());
    let http = rig.ask_with(Method::Get, "/Beacon", "", b.clone());
    assert!(rig.reply(http)[0]["SessionID"].is_null(), "a session's id is its holder's own");
    let http = rig.ask_with(Method::Delete, &format!("/Beacon/{id}"), "", b.clone());
    assert_eq!(rig.status(http), Some(403));
    let http = rig.ask_with(Method::Post, "/Beacon/Register", body, b.clone());
    assert_eq!(rig.status(http), Some(403));
    let conn = rig.connect(b);
    register(&mut rig, conn, "");
    assert_eq!(rig.frames(conn)[0]["Reason"], "The name is registered by somebody else.");
    let http = rig.ask_with(Method::Delete, &format!("/Beacon/{id}"), "", a);
    assert_eq!(rig.status(http), Some(200));
}

/// K3.3: whoever is logged in speaks for their own workers, not for those that joined with the secret.
#[test]
fn a_login_does_not_speak_for_a_worker_on_its_connection() {
    let mut rig = Rig::new(SECURED);
    let conn = rig.connect(Headers::new());
    register(&mut rig, conn, r#","JoinSecret":"join-me""#);
    let id = rig.frames(conn)[0]["BeaconID"].as_str().unwrap().to_owned();
    let ops = log_in(&mut rig, "ops", "pw").unwrap();
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    let work = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, ops.clone());
    let (hash, _) = rig.pushed(conn)[0].clone();
    let signed = format!(r#"{{"BeaconID":"{id}","WorkItemHash":"{hash}","AttemptNumber":1}}"#);
    let batch = format!(r#"{{"Items":[{signed}]}}"#);
    let register = r#"{"Name":"w","Capabilities":["Echo"]}"#;
    for (method, url, body, status) in [
        (Method::Post, format!("/Beacon/Work/{hash}/Complete"), signed.as_str(), 400),
        (Method::Post, format!("/Beacon/Work/{hash}/Complete"), "{}", 400),
        (Method::Post, format!("/Beacon/Work/{hash}/Error"), &signed, 400),
        (Method::Post, format!("/Beacon/Work/{hash}/Progress"), &signed, 404),
        (Method::Post, "/Beacon/Work/Complete/Batch".to_owned(), &batch, 200),
        (Method::Post, "/Beacon/Work/Poll".to_owned(), &signed, 403),
        (Method::Post, format!("/Beacon/{id}/Heartbeat"), "{}", 403),
        (Method::Post, "/Beacon/Register".to_owned(), register, 403),
        (Method::Delete, format!("/Beacon/{id}"), "", 403),
    ] {
        let http = rig.ask_with(method, &url, body, ops.clone());
        assert_eq!(rig.status(http), Some(status), "{url}");
    }
    assert_eq!(rig.status(work), None, "nothing of it counted");
    rig.complete(conn, &hash, 1);
    assert_eq!(rig.status(work), Some(200));
}

#[test]
fn a_restart_makes_nobody_the_holder_of_an_item_at_a_secured_hub() {
    let mut rig = Rig::new(SECURED);
    let conn = rig.connect(Headers::new());
    register(&mut rig, conn, r#","JoinSecret":"join-me""#);
    let id = rig.frames(conn)[0]["BeaconID"].as_str().unwrap().to_owned();
    let ops = log_in(&mut rig, "ops", "pw").unwrap();
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    rig.ask_with(Method::Post, "/Beacon/Work/Enqueue", body, ops);
    let (hash, _) = rig.pushed(conn)[0].clone();
    let mut rig = rig.restart(100);
    let ops = log_in(&mut rig, "ops", "pw").unwrap();
    let signed = format!(r#"{{"BeaconID":"{id}","AttemptNumber":1}}"#);
    let url = format!("/Beacon/Work/{hash}/Complete");
    let http = rig.ask_with(Method::Post, &url, &signed, ops);
    assert_eq!(rig.status(http), Some(400));
}

#[test]
fn a_hub_that_would_let_anyone_or_nobody_in_does_not_open() {
    let open = |options: &str| {
        let options: HubOptions = options::read(options).unwrap();
        Hub::open(options, [0; 32]).map(|_| ()).map_err(|error| error.message().to_owned())
    };
    let error = open(r#"{"listen":"0.0.0.0:54321"}"#).unwrap_err();
    assert!(error.contains("danger_open_network"), "{error}");
    assert!(open(r#"{"listen":"0.0.0.0:54321","danger_open_network":true}"#).is_ok());
    assert!(open(r#"{"listen":"[::1]:0"}"#).is_ok() && open(r#"{"listen":"localhost:0"}"#).is_ok());
    let error = open(r#"{"access":"secured"}"#).unwrap_err();
    assert!(error.contains("join_secret"), "{error}");
    let error = open(r#"{"access":"secured","join_secret":"x","listen":"10.0.0.1:1"}"#);
    assert!(error.unwrap_err().contains("cert_file"));
    let error = open(r#"{"access":"secured","users":[{"name":"ops"}]}"#).unwrap_err();
    assert!(error.contains("users[0]"), "{error}");
}

#[test]
fn pages_of_other_origins_are_refused_unless_allowed() {
    let mut rig = Rig::new(r#"{"allowed_origins":["https://app.example"]}"#);
    let from = |origin: &str| Headers::new().with("host", "127.0.0.1:54321").with("origin", origin);
    let evil = rig.ask_with(Method::Get, "/Beacon", "", from("https://evil.example"));
    assert_eq!(rig.status(evil), Some(403));
    let conn = rig.connect(from("https://evil.example"));
    assert_eq!(rig.closed[&conn].0, 403);
    let own = rig.ask_with(Method::Get, "/Beacon", "", from("http://127.0.0.1:54321"));
    assert_eq!(rig.status(own), Some(200));
    let allowed = rig.ask_with(Method::Get, "/Beacon", "", from("https://app.example"));
    let headers = &rig.replies[&allowed].headers;
    assert_eq!(headers.first("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(headers.all("access-control-allow-origin").count(), 1);
    let asked = from("https://app.example").with("access-control-request-method", "POST");
    let preflight = rig.ask_with(Method::Other, "/Beacon/Work/Dispatch", "", asked);
    assert_eq!(rig.status(preflight), Some(204));
}

#[test]
fn a_page_that_leads_its_own_name_to_loopback_is_refused_everywhere() {
    let mut rig = Rig::new("{}");
    let rebound = Headers::new()
        .with("host", "evil.example:54321")
        .with("origin", "http://evil.example:54321");
    let image = Headers::new().with("host", "evil.example:54321");
    let https = Headers::new().with("host", "localhost:1").with("origin", "https://localhost:1");
    for headers in [rebound, image, https] {
        for (method, url) in [
            (Method::Post, "/Beacon/Work/Enqueue"),
            (Method::Post, "/Moorline/Volt/Tokens"),
            (Method::Get, "/status"),
            (Method::Get, "/socket.io/?EIO=4&transport=polling"),
            (Method::Post, "/api/team-clusters/a/healthcheck"),
        ] {
            let http = rig.ask_with(method, url, "{}", headers.clone());
            assert_eq!(rig.status(http), Some(403), "{url}");
            assert_eq!(rig.replies[&http].headers.first("access-control-allow-origin"), None);
        }
        let asked = headers.clone().with("access-control-request-method", "POST");
        let preflight = rig.ask_with(Method::Other, "/Beacon/Work/Enqueue", "", asked);
        assert_eq!(rig.status(preflight), Some(403));
        for url in ["/", "/socket.io/?EIO=4&transport=websocket"] {
            let conn = rig.connect_to(url, headers.clone());
            assert_eq!(rig.closed[&conn].0, 403, "{url}");
        }
    }
    let told = rig.notices();
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told[0].contains("127.0.0.1:6000") && told[0].contains("evil.example"), "{told:?}");
    rig.pass(60_000);
    let evil = Headers::new().with("host", "evil.example");
    rig.ask_with(Method::Get, "/status", "", evil.clone());
    assert_eq!(rig.notices().len(), 6, "a minute later it is told again");

    let named = r#"{"allowed_hosts":["evil.example"]}"#;
    let beyond = r#"{"listen":"0.0.0.0:54321","danger_open_network":true}"#;
    for options in [named, beyond] {
        let mut rig = Rig::new(options);
        let http = rig.ask_with(Method::Get, "/status", "", evil.clone());
        assert_eq!(rig.status(http), Some(200), "{options}");
    }
    for host in ["", "http://hub.example", "hub.example:1", "[::1]"] {
        let options = format!(r#"{{"allowed_hosts":["{host}"]}}"#);
        let error = Hub::open(options::read(&options).unwrap(), [0; 32]).unwrap_err();
        assert!(error.message().contains("allowed_hosts[0]"), "{error}");
    }
}

#[test]
fn two_origins_are_none() {
    let mut rig = Rig::new(r#"{"allowed_origins":["https://app.example"]}"#);
    let two = Headers::new()
        .with("host", "localhost:1")
        .with("origin", "https://app.example")
        .with("origin", "https://evil.example");
    let http = rig.ask_with(Method::Get, "/Beacon", "", two.clone());
    assert_eq!(rig.status(http), Some(400));
    assert_eq!(rig.replies[&http].headers.first("access-control-allow-origin"), None);
    let conn = rig.connect(two);
    assert_eq!(rig.closed[&conn].0, 400);
}

#[test]
fn a_login_at_an_open_hub_is_no_news() {
    let mut rig = Rig::new("{}");
    assert!(log_in(&mut rig, "w", "").is_none());
    assert!(rig.notices().is_empty());
    let mut rig = Rig::new(SECURED);
    assert!(log_in(&mut rig, "ops", "guess").is_none());
    assert_eq!(rig.notices(), ["127.0.0.1:6000: the login of \"ops\" was refused"]);
}

#[test]
fn logins_that_an_auth_worker_decides_are_counted_and_bounded() {
    let mut rig = Rig::new(r#"{"access":"secured","auth_join_secret":"boot","max_queued":10}"#);
    let login = |rig: &mut Rig| rig.post("/1.0/Authenticate", r#"{"UserName":"u","Password":"p"}"#);
    let nobody = login(&mut rig);
    assert_eq!(rig.reply(nobody)["LoggedIn"], false, "there is no auth worker");
    let auth = rig.connect(Headers::new());
    rig.say(
        auth,
        r#"{"Action":"BeaconRegister","Name":"auth","Capabilities":["Authentication"],
        "JoinSecret":"boot","MaxConcurrent":1000}"#,
    );
    let decide = |rig: &mut Rig, right: bool| {
        for (hash, _) in std::mem::take(&mut rig.sent).into_values().flatten().filter_map(|text| {
            let frame: Value = serde_json::from_str(&text).unwrap();
            Some((frame["WorkItem"]["WorkItemHash"].as_str()?.to_owned(), ()))
        }) {
            let outputs = format!(r#"{{"Success":{right},"UserContext":{{"Username":"u"}}}}"#);
            rig.say(auth, &format!(
                r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{outputs},"Log":[]}}"#
            ));
        }
    };
    for _ in 0..200 {
        login(&mut rig);
        decide(&mut rig, true);
        assert!(
            rig.replies.values().all(|reply| reply.status == 200),
            "right ones are not counted"
        );
    }
    let asked: Vec<HttpId> = (0..200).map(|_| login(&mut rig)).collect();
    let waiting = asked.iter().filter(|http| rig.status(**http).is_none()).count();
    assert_eq!(waiting, 10, "no more than max_queued are asked about at once");
    assert!(asked[10..].iter().all(|http| rig.status(*http) == Some(429)));
    decide(&mut rig, false);
    assert!(rig.notices().iter().any(|text| text.contains("127.0.0.1:6000: the login of \"u\"")));
    for _ in 0..6 {
        rig.pass(10_000);
        rig.say(auth, r#"{"Action":"BeaconHeartbeat"}"#);
    }
    let guesses: Vec<HttpId> = (0..200)
        .map(|_| {
            let http = login(&mut rig);
            decide(&mut rig, false);
            http
        })
        .collect();
    let wrong = guesses.iter().filter(|http| rig.status(**http) == Some(200)).count();
    assert_eq!(wrong, 50, "guesses are counted");
    assert_eq!(rig.status(guesses[199]), Some(429));
}

/// K2.6: what an auth worker has not looked at yet is no wrong guess.
#[test]
fn right_logins_behind_a_slow_auth_worker_are_all_let_in() {
    let mut rig = Rig::new(ASKS);
    let auth = auth_worker(&mut rig);
    let login = |rig: &mut Rig| rig.post("/1.0/Authenticate", r#"{"UserName":"u","Password":"p"}"#);
    let (right, wrong) =
        (r#"{"Success":true,"UserContext":{"Username":"u"}}"#, r#"{"Success":false}"#);
    let asked: Vec<HttpId> = (0..300).map(|_| login(&mut rig)).collect();
    assert!(asked.iter().all(|http| rig.status(*http).is_none()), "all wait");
    let mut rounds = Vec::new();
    while asked.iter().any(|http| rig.status(*http).is_none()) {
        rounds.push(decide(&mut rig, auth, right).len());
    }
    assert_eq!(rounds[0], 50, "no more than there are guesses are judged at a time");
    assert!(asked.iter().all(|http| rig.reply(*http)["LoggedIn"] == true));
    // Of an address a quarter of all that may wait does so, and nothing that is too long.
    let asked: Vec<HttpId> = (0..301).map(|_| login(&mut rig)).collect();
    assert_eq!(rig.status(asked[300]), Some(429));
    let long = format!(r#"{{"UserName":"u","Password":"{}"}}"#, "p".repeat(10_000));
    let long = rig.post("/1.0/Authenticate", &long);
    assert_eq!(rig.status(long), Some(429));
    while !decide(&mut rig, auth, right).is_empty() {}
    assert!(asked[..300].iter().all(|http| rig.reply(*http)["LoggedIn"] == true));
    // Wrong ones are bounded as before, also those that waited, and nobody waits for ever.
    let guesses: Vec<HttpId> = (0..300).map(|_| login(&mut rig)).collect();
    while !decide(&mut rig, auth, wrong).is_empty() {}
    let judged = guesses.iter().filter(|http| rig.status(**http) == Some(200)).count();
    let refused = guesses.iter().filter(|http| rig.status(**http) == Some(429)).count();
    assert_eq!((judged, refused), (50, 250));
    // One who leaves is not judged.
    for _ in 0..6 {
        rig.pass(10_000);
        rig.say(auth, r#"{"Action":"BeaconHeartbeat"}"#);
    }
    let asked: Vec<HttpId> = (0..51).map(|_| login(&mut rig)).collect();
    rig.input(Input::Server(ServerInput::Gone { http: asked[50] }));
    assert_eq!(decide(&mut rig, auth, right).len(), 50);
    assert_eq!(decide(&mut rig, auth, right).len(), 0);
}

/// K2.6: what is not counted cannot be given back.
#[test]
fn logins_without_a_password_give_no_guesses_back() {
    let mut rig = Rig::new(ASKS);
    let auth = auth_worker(&mut rig);
    let mut login = |body: &str, outputs: &str| {
        let http = rig.post("/1.0/Authenticate", body);
        decide(&mut rig, auth, outputs);
        rig.status(http)
    };
    let right = r#"{"Success":true,"UserContext":{"Username":"u"}}"#;
    for _ in 0..50 {
        let guess = r#"{"UserName":"u","Password":"p"}"#;
        assert_eq!(login(guess, r#"{"Success":false}"#), Some(200));
        assert_eq!(login(r#"{"UserName":"worker"}"#, right), Some(200));
    }
    assert_eq!(login(r#"{"UserName":"u","Password":"p"}"#, right), Some(429));
}

const ASKS: &str = r#"{"access":"secured","auth_join_secret":"boot"}"#;

/// Connects an auth worker.
fn auth_worker(rig: &mut Rig) -> ConnId {
    let auth = rig.connect(Headers::new());
    rig.say(
        auth,
        r#"{"Action":"BeaconRegister","Name":"auth","Capabilities":["Authentication"],
        "JoinSecret":"boot","MaxConcurrent":1000}"#,
    );
    auth
}

/// Has an auth worker answer everything that it has been asked since the last time.
fn decide(rig: &mut Rig, auth: ConnId, outputs: &str) -> Vec<Value> {
    let asked = rig.frames(auth);
    rig.sent.remove(&auth);
    let items = asked.into_iter().map(|mut frame| frame["WorkItem"].take());
    let items: Vec<Value> = items.filter(|item| !item.is_null()).collect();
    for item in &items {
        let hash = &item["WorkItemHash"];
        rig.say(
            auth,
            &format!(
                r#"{{"Action":"WorkComplete","WorkItemHash":{hash},"Outputs":{outputs},"Log":[]}}"#
            ),
        );
    }
    items
}

#[test]
fn an_auth_worker_decides_about_the_registration_that_it_was_asked_about() {
    let mut rig = Rig::new(ASKS);
    let auth = auth_worker(&mut rig);
    let conn = rig.connect(Headers::new());
    let say = |rig: &mut Rig, name: &str, capability: &str| {
        let text = format!(
            r#"{{"Action":"BeaconRegister","Name":"{name}","Capabilities":["{capability}"],
            "JoinSecret":"mine"}}"#
        );
        rig.say(conn, &text);
    };
    say(&mut rig, "a", "X");
    say(&mut rig, "b", "Y");
    let asked = decide(&mut rig, auth, r#"{"Allowed":true}"#);
    assert_eq!(asked.len(), 1);
    assert!(asked[0]["Settings"].to_string().contains(r#""X""#), "{}", asked[0]);
    let registered = |rig: &Rig| {
        let snapshot = rig.hub.snapshot(rig.now());
        [r#""Y""#, r#""X""#].map(|name| snapshot.contains(name))
    };
    assert_eq!(registered(&rig), [false, true]);
    let asked = decide(&mut rig, auth, r#"{"Allowed":false}"#);
    assert!(asked[0]["Settings"].to_string().contains(r#""Y""#), "it is asked about, too");
    assert_eq!(rig.frames(conn)[1]["EventType"], "BeaconRejected");
}

/// Each worker logs in before it registers, those with a join secret without a password.
#[test]
fn workers_without_a_password_use_up_nobodys_logins() {
    let judged = r#"{"access":"secured","join_secret":"join-me","auth_join_secret":"boot"}"#;
    for options in [SECURED, r#"{"access":"secured","join_secret":"join-me"}"#, judged] {
        let mut rig = Rig::new(options);
        let auth = (options == judged).then(|| auth_worker(&mut rig));
        for _ in 0..1_000 {
            let login = rig.post("/1.0/Authenticate", r#"{"UserName":"w","Password":""}"#);
            if let Some(auth) = auth {
                decide(&mut rig, auth, r#"{"Success":false}"#);
            }
            assert_eq!(rig.status(login), Some(200));
        }
        let real = r#"{"UserName":"ops","Password":"pw"}"#;
        let login = rig.post("/1.0/Authenticate", real);
        if let Some(auth) = auth {
            decide(&mut rig, auth, r#"{"Success":true,"UserContext":{"Username":"ops"}}"#);
        }
        let is_in = options != r#"{"access":"secured","join_secret":"join-me"}"#;
        assert_eq!(rig.reply(login)["LoggedIn"], is_in, "{options}");
    }
}

#[test]
fn an_auth_worker_is_asked_about_few_logins_without_a_password() {
    let mut rig = Rig::new(ASKS);
    let auth = auth_worker(&mut rig);
    for _ in 0..1_000 {
        rig.post("/1.0/Authenticate", r#"{"UserName":"w","Password":""}"#);
    }
    assert_eq!(decide(&mut rig, auth, r#"{"Success":false}"#).len(), 50);
}

#[test]
fn a_login_that_nobody_can_decide_is_no_wrong_guess() {
    let mut rig = Rig::new(ASKS);
    for _ in 0..60 {
        assert!(log_in(&mut rig, "u", "p").is_none());
    }
    let auth = auth_worker(&mut rig);
    let login = rig.post("/1.0/Authenticate", r#"{"UserName":"u","Password":"p"}"#);
    decide(&mut rig, auth, r#"{"Success":true,"UserContext":{"Username":"u"}}"#);
    assert_eq!(rig.reply(login)["LoggedIn"], true);
}

/// K5, bound 5: workers of ours that come back all at once are told when it is their turn; others are not
/// troubled, since a refusal would end their start.
#[test]
fn workers_that_come_back_at_once_are_told_when() {
    let mut rig = Rig::new(r#"{"readmission_rate":10}"#);
    let mut log_in = |worker: &str, millis: u64| {
        rig.pass(millis);
        let ours = format!(r#","Moorline":{{"Worker":"{worker}"}}"#);
        let ours = if worker.is_empty() { "" } else { &ours };
        let body = format!(r#"{{"UserName":"x","Password":""{ours}}}"#);
        let http = rig.post("/1.0/Authenticate", &body);
        let after = rig.replies[&http].headers.first("retry-after").map(str::to_owned);
        (rig.status(http).unwrap(), rig.reply(http)["RetryAfterMs"].as_u64(), after)
    };
    let later = |millis: u64| (503, Some(millis), Some("1".to_owned()));
    assert_eq!(log_in("a", 0), (200, None, None));
    assert_eq!(log_in("b", 0), later(100));
    assert_eq!(log_in("c", 0), later(200));
    assert_eq!(log_in("", 0), (200, None, None));
    assert_eq!(log_in("b", 100), (200, None, None));
    assert_eq!(log_in("c", 100), (200, None, None));
}

#[test]
fn a_hub_that_ends_tells_each_connection_when_to_come_back() {
    let mut rig = Rig::new("{}");
    let conns = [rig.worker("a", 1), rig.foreign_worker("b", 1)];
    let now = rig.now();
    rig.hub.handle_command(Command::Stop { drain_ms: 0 }, now).unwrap();
    rig.drain();
    let told = conns.map(|conn| rig.closed[&conn].clone());
    let said = |millis: u64| (1001, format!("the hub is going away; retry in {millis} ms"));
    assert_eq!(told, [said(1_250), said(2_500)]);
}
