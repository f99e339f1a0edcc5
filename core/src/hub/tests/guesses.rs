//! Wrong secrets are counted by address before anything is compared, wherever they are shown.

use super::*;

const SECURED: &str = r#"{"access":"secured","join_secret":"join-me","auth_join_secret":"boot",
    "users":[{"name":"ops","password":"pw"}]}"#;

const DAEMONS: &str = r#"{"volt":{"daemons":[{"team_cluster_id":"lab","password":"pw"},
    {"team_cluster_id":"two","password":"pw2"}]}}"#;

/// Registers on a new connection; returns with which code the hub closed it.
fn join(rig: &mut Rig, secret: &str) -> Option<u16> {
    let conn = rig.connect(Headers::new());
    let text = format!(
        r#"{{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"JoinSecret":"{secret}"}}"#
    );
    rig.say(conn, &text);
    rig.closed.get(&conn).map(|(code, _)| *code)
}

#[test]
fn the_right_join_secret_is_not_told_from_wrong_ones_that_are_too_many() {
    let mut rig = Rig::new(SECURED);
    for _ in 0..50 {
        assert_eq!(join(&mut rig, "guess"), Some(4403));
    }
    assert_eq!(join(&mut rig, "guess"), Some(1013));
    assert_eq!(join(&mut rig, "join-me"), Some(1013));
    rig.pass(1_000);
    assert_eq!(join(&mut rig, "join-me"), None);
    for _ in 0..100 {
        assert_eq!(join(&mut rig, "join-me"), None, "right ones are not counted");
    }
}

#[test]
fn a_login_does_not_guess_the_secret_of_auth_workers_without_end() {
    let mut rig = Rig::new(SECURED);
    let login = rig.post("/1.0/Authenticate", r#"{"UserName":"ops","Password":"pw"}"#);
    let cookie = rig.replies[&login].headers.first("set-cookie").unwrap();
    let cookie = Headers::new().with("cookie", cookie.split(';').next().unwrap());
    let mut claim = |secret: &str| {
        let body =
            format!(r#"{{"Name":"a","Capabilities":["Authentication"],"JoinSecret":"{secret}"}}"#);
        let http = rig.ask_with(Method::Post, "/Beacon/Register", &body, cookie.clone());
        rig.status(http)
    };
    for _ in 0..50 {
        assert_eq!(claim("guess"), Some(403));
    }
    assert_eq!(claim("boot"), Some(429));
}

#[test]
fn joins_that_an_auth_worker_decides_are_counted_until_they_are_right() {
    let mut rig = Rig::new(r#"{"access":"secured","auth_join_secret":"boot"}"#);
    let auth = rig.connect(Headers::new());
    rig.say(
        auth,
        r#"{"Action":"BeaconRegister","Name":"auth","Capabilities":["Authentication"],
        "JoinSecret":"boot","MaxConcurrent":100}"#,
    );
    for _ in 0..50 {
        assert_eq!(join(&mut rig, "anything"), None, "it is asked about");
    }
    assert_eq!(join(&mut rig, "anything"), Some(1013));
    let (hash, _) = rig.pushed(auth)[0].clone();
    rig.say(auth, &format!(
        r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"Allowed":true}},"Log":[]}}"#
    ));
    assert_eq!(join(&mut rig, "anything"), None, "a right one gives its guess back");
}

/// Opens a session of a daemon over WebSocket, and registers it.
fn daemon(rig: &mut Rig, cluster: &str, password: &str) -> ConnId {
    let conn = rig.connect_to("/socket.io/?EIO=4&transport=websocket", Headers::new());
    rig.say(conn, "40");
    let credentials = format!(r#"{{"teamClusterId":"{cluster}","daemonPassword":"{password}"}}"#);
    rig.say(conn, &format!(r#"42["team-cluster-daemon:register",{credentials}]"#));
    conn
}

/// Sends a heartbeat; returns the status of the answer.
fn beat(rig: &mut Rig, conn: ConnId, cluster: &str, password: &str) -> u64 {
    let message = serde_json::json!({
        "type": "command", "requestId": "r", "command": "runtime.heartbeat", "responseType": "json",
        "payload": {"teamClusterId": cluster, "daemonPassword": password},
    });
    rig.say(conn, &format!(r#"42["team-cluster-daemon:message",{message}]"#));
    let answer = rig.sent[&conn].last().unwrap().trim_start_matches("42").to_owned();
    serde_json::from_str::<Value>(&answer).unwrap()[1]["status"].as_u64().unwrap()
}

#[test]
fn the_right_password_of_a_daemon_is_not_told_from_wrong_ones_that_are_too_many() {
    let mut rig = Rig::new(DAEMONS);
    for _ in 0..50 {
        let conn = daemon(&mut rig, "lab", "guess");
        assert!(!rig.closed.contains_key(&conn));
        rig.cut(conn);
    }
    let conn = daemon(&mut rig, "lab", "pw");
    assert!(rig.closed.contains_key(&conn));
    rig.pass(1_000);
    let conn = daemon(&mut rig, "lab", "pw");
    assert!(!rig.closed.contains_key(&conn));
}

#[test]
fn a_daemon_does_not_guess_the_passwords_of_others_by_its_heartbeats() {
    let mut rig = Rig::new(DAEMONS);
    let conn = daemon(&mut rig, "lab", "pw");
    for _ in 0..50 {
        assert_eq!(beat(&mut rig, conn, "two", "guess"), 401);
    }
    assert_eq!(beat(&mut rig, conn, "two", "pw2"), 429);
    assert_eq!(beat(&mut rig, conn, "lab", "pw"), 200, "its own is no guess");
    rig.pass(1_000);
    assert_eq!(beat(&mut rig, conn, "two", "pw2"), 200);
}
