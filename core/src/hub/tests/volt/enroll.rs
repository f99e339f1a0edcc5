//! Tokens, enrollments, passwords.

use super::super::Rig;
use crate::net::Method;

#[test]
fn a_token_enrolls_once_and_the_password_registers() {
    let mut rig = Rig::new("{}");
    let token = rig.token(r#"{"TeamClusterID":"c1","Name":"rack 7"}"#);
    let secret = token["Token"].as_str().unwrap().to_owned();
    let body = format!(r#"{{"enrollmentToken":"{secret}","installedVersion":"1.4.2"}}"#);
    let http = rig.enroll("c1", &body);
    assert_eq!(rig.status(http), Some(200));
    let reply = rig.reply(http);
    assert_eq!(reply["status"], "success");
    assert_eq!(reply["data"]["teamCluster"]["_id"], "c1");
    assert_eq!(reply["data"]["teamCluster"]["name"], "rack 7");
    assert_eq!(reply["data"]["teamCluster"]["status"], "healthcheck-received");
    let password = reply["data"]["daemonPassword"].as_str().unwrap().to_owned();
    let http = rig.enroll("c1", &body);
    assert_eq!(rig.status(http), Some(409));
    assert_eq!(rig.reply(http)["code"], "TeamCluster::EnrollmentAlreadyCompleted");
    let disk = format!("{:?}", rig.disk);
    assert!(!disk.contains(&password) && !disk.contains(&secret), "only hashes are stored");
    let mut rig = rig.restart(5);
    let http = rig.enroll("c1", &body);
    assert_eq!(rig.status(http), Some(409), "used tokens are remembered");
    let conn = rig.socket();
    rig.say(conn, &format!(r#"42["team-cluster-daemon:register",{{"teamClusterId":"c1","daemonPassword":"{password}"}}]"#));
    assert_eq!(rig.said(conn).len(), 1);
    let http = rig.post("/Moorline/Volt/Daemons/c1/Password", "");
    let rotated = rig.reply(http)["DaemonPassword"].as_str().unwrap().to_owned();
    assert_ne!(rotated, password);
    let conn = rig.socket();
    rig.say(conn, &format!(r#"42["team-cluster-daemon:register",{{"teamClusterId":"c1","daemonPassword":"{password}"}}]"#));
    assert!(rig.said(conn).is_empty(), "the old password is good no longer");
}

#[test]
fn an_enrollment_is_answered_when_it_is_stored() {
    let mut rig = Rig::new("{}");
    let token = rig.token(r#"{"TeamClusterID":"c1"}"#);
    rig.synced = false;
    let body = format!(r#"{{"enrollmentToken":{}}}"#, token["Token"]);
    let first = rig.enroll("c1", &body);
    let second = rig.enroll("c1", &body);
    assert_eq!((rig.status(first), rig.status(second)), (None, None));
    rig.sync();
    assert_eq!((rig.status(first), rig.status(second)), (Some(200), Some(409)));
}

#[test]
fn a_clock_that_is_set_back_makes_no_token_good_again() {
    let mut rig = Rig::new("{}");
    let token = rig.token(r#"{"TeamClusterID":"c1","ExpiresMs":60000}"#);
    let body = format!(r#"{{"enrollmentToken":{}}}"#, token["Token"]);
    let state = |rig: &mut Rig| {
        let http = rig.ask(Method::Get, "/Moorline/Volt/Tokens", "");
        rig.reply(http)[0]["State"].as_str().unwrap().to_owned()
    };
    rig.pass(60_000);
    rig.epoch -= 3_600_000;
    assert_eq!(state(&mut rig), "expired");
    let http = rig.enroll("c1", &body);
    assert_eq!(rig.status(http), Some(401));
    // A clock that was set ahead ends none early.
    let token = rig.token(r#"{"TeamClusterID":"c2","ExpiresMs":60000}"#);
    let body = format!(r#"{{"enrollmentToken":{}}}"#, token["Token"]);
    rig.epoch += 86_400_000;
    let http = rig.enroll("c2", &body);
    assert_eq!(rig.status(http), Some(200));
    // After a restart behind the time of its making it has the time that it was made for, and no more.
    let mut rig = Rig::new("{}");
    rig.token(r#"{"TeamClusterID":"c3","ExpiresMs":60000}"#);
    rig.epoch -= 3_600_000;
    let mut rig = rig.restart(0);
    assert_eq!(state(&mut rig), "open");
    rig.pass(59_999);
    assert_eq!(state(&mut rig), "open");
    rig.pass(1);
    assert_eq!(state(&mut rig), "expired");
}

#[test]
fn enrollments_are_refused_in_the_words_of_the_original() {
    let mut rig = Rig::new("{}");
    let token = rig.token(r#"{"TeamClusterID":"c1","ExpiresMs":1000}"#);
    let secret = token["Token"].as_str().unwrap().to_owned();
    let refused = |rig: &mut Rig, cluster: &str, body: &str| {
        let http = rig.enroll(cluster, body);
        (rig.status(http).unwrap(), rig.polled(http).unwrap())
    };
    assert_eq!(
        refused(&mut rig, "c1", r#"{"enrollmentToken":"wrong"}"#),
        (401, r#"{"status":"error","code":"TeamCluster::EnrollmentInvalid","message":"Invalid enrollment credentials","statusCode":401}"#.to_owned())
    );
    assert_eq!(
        refused(&mut rig, "other", &format!(r#"{{"enrollmentToken":"{secret}"}}"#)),
        (404, r#"{"status":"error","code":"TeamCluster::NotFound","message":"Team cluster not found","statusCode":404}"#.to_owned())
    );
    let (status, text) = refused(&mut rig, "c1", r#"{"enrollmentToken":"x","extra":1}"#);
    assert_eq!(status, 400);
    assert!(text.contains("Validation::InvalidInput"), "{text}");
    rig.pass(1_000);
    let expired = refused(&mut rig, "c1", &format!(r#"{{"enrollmentToken":"{secret}"}}"#));
    assert_eq!(expired.0, 401, "an expired token is as good as none");
}

#[test]
fn enrollments_are_limited_by_address() {
    let mut rig = Rig::new("{}");
    for _ in 0..30 {
        let http = rig.enroll("c1", "{}");
        assert_eq!(rig.status(http), Some(400));
    }
    let http = rig.enroll("c1", "{}");
    assert_eq!(rig.status(http), Some(429));
    assert_eq!(rig.replies[&http].headers.first("retry-after"), Some("900"));
    assert_eq!(
        rig.polled(http).unwrap(),
        r#"{"status":"error","message":"Too many team cluster lifecycle requests, please try again later"}"#
    );
    rig.pass(900_000);
    let http = rig.enroll("c1", "{}");
    assert_eq!(rig.status(http), Some(400));
}

#[test]
fn tokens_are_listed_without_secrets_and_revoked() {
    let mut rig = Rig::new("{}");
    let token = rig.token(r#"{"TeamClusterID":"c1"}"#);
    let id = token["TokenID"].as_str().unwrap().to_owned();
    let http = rig.ask(Method::Get, "/Moorline/Volt/Tokens", "");
    let list = rig.reply(http);
    assert_eq!(list[0]["State"], "open");
    assert!(list[0].get("Token").is_none());
    let http = rig.ask(Method::Delete, &format!("/Moorline/Volt/Tokens/{id}"), "");
    assert_eq!(rig.status(http), Some(200));
    let http = rig.ask(Method::Delete, &format!("/Moorline/Volt/Tokens/{id}"), "");
    assert_eq!(rig.status(http), Some(404));
    let body = format!(r#"{{"enrollmentToken":{}}}"#, token["Token"]);
    let http = rig.enroll("c1", &body);
    assert_eq!(rig.status(http), Some(401));
}

#[test]
fn a_daemon_can_be_removed() {
    let mut rig = Rig::new("{}");
    let token = rig.token(r#"{"TeamClusterID":"c1"}"#);
    let http = rig.ask(Method::Delete, "/Moorline/Volt/Daemons/c1", "");
    assert_eq!(rig.status(http), Some(200));
    let body = format!(r#"{{"enrollmentToken":{}}}"#, token["Token"]);
    let http = rig.enroll("c1", &body);
    assert_eq!(rig.status(http), Some(404));
    assert!(rig.disk.is_empty());
}

#[test]
fn while_the_store_fails_no_token_is_spent() {
    let mut rig = Rig::new("{}");
    let token = rig.token(r#"{"TeamClusterID":"c1"}"#);
    rig.synced = false;
    rig.token_without_answer(r#"{"TeamClusterID":"c2"}"#);
    let (store, _) = rig.commits.remove(0);
    let result = Err(crate::base::error::ErrorCode::StoreFailed.into());
    rig.input(crate::machine::Input::Stored { store, result });
    let body = format!(r#"{{"enrollmentToken":{}}}"#, token["Token"]);
    let http = rig.enroll("c1", &body);
    assert_eq!(rig.status(http), Some(503));
    rig.synced = true;
    rig.pass(1_000);
    let http = rig.enroll("c1", &body);
    assert_eq!(rig.status(http), Some(200));
}
