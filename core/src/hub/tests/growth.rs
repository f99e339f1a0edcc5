//! What peers could make grow, and what bounds it.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at one output of many")]

use super::*;

#[test]
fn progress_counts_towards_the_queue_and_no_field_is_longer_than_4_kib() {
    let small = r#"{"max_queued_bytes":16384,"limits":{"max_message_bytes":16384}}"#;
    let mut rig = Rig::new(small);
    let worker = rig.worker("w", 1);
    let hash = rig.enqueue("");
    let tell = |rig: &mut Rig, bytes: usize| {
        let text = format!("\"{}\"", "x".repeat(bytes - 2));
        let data =
            format!(r#"{{"Percent":{text},"Message":{text},"Step":{text},"TotalSteps":{text}}}"#);
        rig.say(
            worker,
            &format!(
                r#"{{"Action":"WorkProgress","WorkItemHash":"{hash}","ProgressData":{data}}}"#
            ),
        );
    };
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    tell(&mut rig, 5_000);
    rig.enqueue("");
    tell(&mut rig, 3_900);
    let full = rig.post("/Beacon/Work/Enqueue", body);
    assert_eq!(rig.status(full), Some(429));
    tell(&mut rig, 10);
    rig.enqueue("");
    tell(&mut rig, 3_000);
    rig.complete(worker, &hash, 1);
    rig.enqueue("");
}

#[test]
fn who_waited_leaves_no_timer_behind() {
    let mut rig = Rig::new(r#"{"enqueue_rate":0}"#);
    let key = || Headers::new().with("x-idempotency-key", "k");
    let body = r#"{"Capability":"Echo","Action":"Say","TimeoutMs":86400000}"#;
    rig.ask_with(Method::Post, "/Beacon/Work/Enqueue", body, key());
    let before = format!("{:?}", rig.hub).len();
    for _ in 0..1_000 {
        rig.pass(1);
        let http = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, key());
        rig.input(Input::Server(ServerInput::Gone { http }));
    }
    rig.replies.clear();
    let after = format!("{:?}", rig.hub).len();
    assert!(after < before + 500, "{before} bytes, then {after}");
}

#[test]
fn an_outcome_is_kept_though_its_log_would_make_the_answer_too_large() {
    let mut rig = Rig::new(r#"{"limits":{"max_message_bytes":8192}}"#);
    let worker = rig.worker("w", 1);
    let asked = rig.dispatch();
    let (hash, _) = rig.pushed(worker)[0].clone();
    let line = format!("\"{}\"", "x".repeat(4_000));
    rig.say(worker, &format!(
        r#"{{"Action":"WorkProgress","WorkItemHash":"{hash}","ProgressData":{{"Log":[{line}]}}}}"#
    ));
    rig.say(worker, &format!(
        r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"a":{line}}},"Log":[{line}]}}"#
    ));
    let answer = rig.reply(asked);
    assert_eq!(answer["Outputs"]["a"].as_str().unwrap().len(), 4_000);
    assert!(answer["Log"][0].as_str().unwrap().contains("left out"), "{answer}");
}

#[test]
fn names_of_drained_workers_are_forgotten_and_one_too_many_is_refused() {
    let mut rig = Rig::new(r#"{"max_connections":20000,"max_unadmitted_per_address":20000}"#);
    let drain = |rig: &mut Rig, number: usize| {
        let conn = rig.worker(&format!("w{number}"), 1);
        let id = rig.frames(conn)[0]["BeaconID"].as_str().unwrap().to_owned();
        rig.sent.clear();
        let http = rig.post(&format!("/Beacon/{id}/Drain"), "{}");
        rig.cut(conn);
        rig.status(http)
    };
    for number in 0..10_000 {
        assert_eq!(drain(&mut rig, number), Some(200), "{number}");
        rig.replies.clear();
        rig.events.clear();
    }
    assert_eq!(drain(&mut rig, 10_000), Some(503));
    rig.pass(3_700_000);
    assert_eq!(drain(&mut rig, 10_001), Some(200));
}

#[test]
fn little_waits_to_be_sent_to_whoever_has_not_registered() {
    let mut rig = Rig::new("{}");
    for (number, url) in [(901, "/"), (903, "/socket.io/?EIO=4&transport=websocket")] {
        let headers = Headers::new();
        let request =
            HttpRequest { method: Method::Get, url: url.into(), headers, body: Bytes::new() };
        let (conn, remote) = (ConnId(number), "10.0.0.1:5000".to_owned());
        let offer = ServerInput::Offered { conn, request, remote };
        rig.hub.handle_input(Input::Server(offer), rig.now());
        let mut outputs = std::iter::from_fn(|| rig.hub.poll_output());
        let limits = outputs.find_map(|output| match output {
            Output::Admit { limits, .. } => Some(limits),
            _ => None,
        });
        assert_eq!(limits.unwrap().max_send_queue, 65_536, "{url}");
    }
}

#[test]
fn records_of_workers_are_bounded_in_bytes() {
    let mut rig = Rig::new("{}");
    let names = |bytes: usize| {
        let names: Vec<String> =
            (0..1_000).map(|n| format!("{n:0>width$}", width = bytes)).collect();
        serde_json::to_string(&names).unwrap()
    };
    let register = |rig: &mut Rig, name: &str, capabilities: &str| {
        let body = format!(r#"{{"Name":"{name}","Capabilities":{capabilities}}}"#);
        let http = rig.post("/Beacon/Register", &body);
        rig.status(http)
    };
    assert_eq!(register(&mut rig, "w", &names(263)), Some(400), "names are at most 256 bytes");
    let (most, small) = (names(250), names(10));
    let mut fit = 0;
    while register(&mut rig, &format!("w{fit}"), &most) == Some(200) {
        fit += 1;
        rig.replies.clear();
    }
    assert!((600..1_000).contains(&fit), "{fit}");
    assert_eq!(register(&mut rig, "w0", &most), Some(200), "its own room is its own");
    assert_eq!(register(&mut rig, "w0", &small), Some(200));
    assert_eq!(register(&mut rig, "other", &small), Some(200));
    let conn = rig.connect(Headers::new());
    let text = format!(r#"{{"Action":"BeaconRegister","Name":"last","Capabilities":{most}}}"#);
    rig.say(conn, &text);
    assert_eq!(rig.closed[&conn].0, 1013);
}
