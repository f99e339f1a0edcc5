//! Polling: one request each way, batches, errors, cookies, the farewell.

use super::*;

fn polling(max: u64) -> Bench {
    let mut bench = Bench::on_polling(DaemonTransport::Polling, &handshake("\"websocket\"", max));
    bench.wants(&[&format!("get 4 {POLL}")]);
    bench
}

#[test]
fn one_poll_waits_and_one_post_is_under_way() {
    let mut bench = polling(1_000);
    bench.send("40");
    bench.send("42[1]");
    bench.wants(&["post 6 40\u{1e}42[1]"]);
    bench.send("42[2]");
    bench.send("42[3]");
    bench.wants(&[]);
    bench.reply(4, 200, "40{}\u{1e}bAQID\u{1e}6\u{1e}42[9]");
    assert_eq!(bench.happened(), ["0{}", "b\"\\x01\\x02\\x03\"", "2[9]"]);
    bench.wants(&[&format!("get 8 {POLL}")]);
    bench.reply(6, 200, "ok");
    bench.wants(&["post 10 42[2]\u{1e}42[3]"]);
    bench.reply(10, 200, "ok");
    bench.wants(&[]);
}

#[test]
fn a_body_stays_within_what_the_server_takes_but_holds_one_packet() {
    let mut bench = polling(10);
    for text in ["4aaa", "4bbb", "4cc", "4ddddddddddddddd", "4e"] {
        bench.send(text);
    }
    // 4 + 1 + 4 = 9; the next would make it 13.
    bench.wants(&["post 6 4aaa\u{1e}4bbb"]);
    bench.reply(6, 200, "ok");
    bench.wants(&["post 8 4cc"]);
    bench.reply(8, 200, "ok");
    bench.wants(&["post 10 4ddddddddddddddd"]);
    bench.reply(10, 200, "ok");
    bench.wants(&["post 12 4e"]);
}

#[test]
fn c4_byte_strings_are_posted_as_base64_and_count_as_such() {
    let mut bench = polling(20);
    bench.send("451-[1]");
    bench.engine.send(Frame::Binary(Bytes::from_static(&[1, 2, 3])), bench.now());
    bench.engine.send(Frame::Binary(Bytes::from_static(&[0; 9])), bench.now());
    bench.wants(&["post 6 451-[1]\u{1e}bAQID"]);
    bench.reply(6, 200, "ok");
    bench.wants(&["post 8 bAAAAAAAAAAAA"]);
}

#[test]
fn a_server_without_a_limit_gets_the_usual_one() {
    let open = "0{\"sid\":\"s1\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}";
    let mut bench = Bench::on_polling(DaemonTransport::Polling, open);
    assert_eq!(bench.engine.max_payload(), None);
    bench.engine.out.clear();
    for _ in 0..3 {
        bench.send(&"4".repeat(400_000));
    }
    bench.engine.pump();
    let Some(Output::HttpCall { request, .. }) = bench.engine.out.pop_front() else { panic!() };
    assert_eq!(request.body.len(), 800_001);
}

#[test]
fn a_poll_is_held_as_long_as_the_server_may_be_silent() {
    let mut bench = Bench::on_polling(DaemonTransport::Polling, &handshake("\"websocket\"", 1_000));
    let Some(Output::HttpCall { timeout_ms, .. }) = bench.engine.out.pop_front() else { panic!() };
    assert_eq!(timeout_ms, 300 + 200 + 30_000);
}

#[test]
fn packets_behind_the_handshake_come_behind_it() {
    let mut bench = Bench::new(DaemonTransport::Polling);
    bench.engine.out.clear();
    bench.reply(2, 200, &(handshake("", 1_000) + "\u{1e}4early\u{1e}2"));
    assert_eq!(bench.happened(), ["opened", "early"]);
    bench.wants(&[&format!("get 4 {POLL}"), "post 6 3"]);
}

#[test]
fn a_request_that_fails_ends_the_session() {
    for (http, status, body) in [
        (4, 400, "{\"code\":1,\"message\":\"Session ID unknown\"}"),
        (4, 502, "<html>"),
        (4, 204, ""),
        (6, 500, ""),
        (6, 413, ""),
    ] {
        let mut bench = polling(1_000);
        bench.send("42[1]");
        bench.wants(&["post 6 42[1]"]);
        bench.reply(http, status, body);
        let rest = if http == 4 { "cancel 6" } else { "cancel 4" };
        bench.wants(&[rest]);
        assert_eq!(bench.happened(), ["closed: transport error"]);
        assert!(bench.engine.deadline().is_none());
    }
    let mut bench = polling(1_000);
    bench.fail(4);
    assert_eq!(bench.happened(), ["closed: transport error"]);
    bench.wants(&[]);
}

#[test]
fn error_bodies_of_the_first_poll_are_told() {
    for (status, body, words) in [
        (400, "{\"code\":0,\"message\":\"Transport unknown\"}", "status 400: Transport unknown"),
        (400, "{\"code\":5,\"message\":\"Unsupported protocol version\"}", "Unsupported protocol"),
        (403, "{\"code\":4,\"message\":\"Forbidden\"}", "status 403: Forbidden"),
        (502, "<html>Bad Gateway</html>", "status 502"),
        (200, "", "not a handshake"),
    ] {
        let mut bench = Bench::new(DaemonTransport::Polling);
        bench.engine.out.clear();
        bench.reply(2, status, body);
        let happened = bench.happened();
        assert!(happened[0].contains(words), "{happened:?}");
        assert_eq!(status == 200, !happened[0].starts_with("failed: xhr poll error: "));
        bench.wants(&[]);
    }
}

#[test]
fn what_cannot_be_read_ends_the_session_behind_what_can() {
    for body in [&b"4one\x1e9two\x1e4three"[..], b"4one\x1eb***", b"4one\x1e"] {
        let mut bench = polling(1_000);
        bench.reply_bytes(4, 200, body);
        assert_eq!(bench.happened(), ["one", "closed: parse error"], "{body:?}");
        bench.wants(&[]);
    }
    let mut bench = polling(1_000);
    bench.reply_bytes(4, 200, b"4\xff");
    assert_eq!(bench.happened(), ["closed: parse error"]);
}

#[test]
fn the_server_closes_by_a_packet() {
    let mut bench = polling(1_000);
    bench.reply(4, 200, "4last\u{1e}1\u{1e}4too late");
    assert_eq!(bench.happened(), ["last", "closed: transport close"]);
    bench.wants(&[]);
}

#[test]
fn cookies_go_back_with_every_request_and_dial() {
    let options = DaemonOptions {
        control_socket_url: "ws://v".into(),
        transport: DaemonTransport::Upgrade,
        ..DaemonOptions::default()
    };
    let engine = Engine::new(Address::parse(&options).unwrap(), &options);
    let mut bench = Bench { engine, millis: 1_000 };
    bench.engine.open();
    let cookies = |bench: &mut Bench| -> Vec<Option<String>> {
        bench.engine.pump();
        let outputs = std::mem::take(&mut bench.engine.out).into_iter();
        outputs
            .filter_map(|output| match output {
                Output::HttpCall { request, .. } => Some(request.headers),
                Output::Dial { target, .. } => target.address.headers().cloned(),
                _ => None,
            })
            .map(|headers| headers.first("cookie").map(str::to_owned))
            .collect()
    };
    assert_eq!(cookies(&mut bench), [None]);
    let body = HttpBody::Full(handshake("\"websocket\"", 1_000).into());
    let headers = Headers::new().with("set-cookie", "AWSALB=a1; Path=/");
    bench.reply_with(2, HttpResponse { status: 200, headers, body });
    bench.send("40");
    let sticky = || Some(String::from("AWSALB=a1"));
    assert_eq!(cookies(&mut bench), [sticky(), sticky(), sticky()], "dial, poll and post");
    bench.engine.abandon();
    bench.engine.out.clear();
    bench.engine.open();
    assert_eq!(cookies(&mut bench), [sticky()], "the next session finds the same server");
}

#[test]
fn the_farewell_is_posted_with_what_waits() {
    let mut bench = polling(1_000);
    bench.send("42[1]");
    bench.close(Some("41"));
    bench.wants(&["post 6 42[1]\u{1e}41"]);
    bench.reply(4, 200, "6");
    bench.wants(&[]);
    bench.reply(6, 200, "ok");
    assert!(bench.happened().is_empty(), "the farewell is on its way");
    // In a body with messages it would overtake them.
    bench.wants(&["post 8 1"]);
    bench.reply(8, 200, "ok");
    assert_eq!(bench.happened(), ["gone"]);
    bench.wants(&[]);
}

#[test]
fn the_farewell_waits_for_the_post_under_way() {
    let mut bench = polling(1_000);
    bench.send("42[1]");
    bench.wants(&["post 6 42[1]"]);
    bench.close(Some("41"));
    bench.wants(&[]);
    bench.reply(6, 200, "ok");
    bench.wants(&["post 8 41"]);
    bench.reply(8, 200, "ok");
    bench.wants(&["post 10 1"]);
    bench.reply(10, 200, "ok");
    assert_eq!(bench.happened(), ["gone"]);
    bench.wants(&["cancel 4"]);
}

#[test]
fn a_farewell_that_fails_is_one() {
    let mut bench = polling(1_000);
    bench.close(None);
    bench.wants(&["post 6 1"]);
    bench.fail(6);
    bench.wants(&["cancel 4"]);
    assert_eq!(bench.happened(), ["gone"]);
}

#[test]
fn a_session_that_is_left_keeps_nothing_of_the_one_before() {
    let mut bench = polling(1_000);
    bench.send("42[1]");
    bench.engine.abandon();
    bench.wants(&["cancel 4"]);
    bench.engine.open();
    bench.wants(&["get 6 http://v/socket.io/?EIO=4&transport=polling"]);
    bench.reply(4, 200, "4of the session before");
    assert!(bench.happened().is_empty());
    bench.reply(6, 200, &handshake("", 1_000));
    bench.wants(&[&format!("get 8 {POLL}")]);
}

#[test]
fn what_has_left_is_told_when_its_post_is_answered() {
    let mut bench = polling(5);
    bench.say(5);
    bench.say(5);
    bench.engine.ask_flushed();
    bench.wants(&["post 6 4xxxx"]);
    bench.reply(6, 200, "ok");
    assert_eq!(bench.happened(), ["flushed"]);
    assert_eq!((bench.engine.pacer.left(), bench.engine.has_left()), (1, false), "half of it");
    bench.wants(&["post 8 4xxxx"]);
    bench.reply(8, 200, "ok");
    assert_eq!(bench.happened(), ["flushed"]);
    assert!(bench.engine.has_left());
}

#[test]
fn a_server_that_pings_and_takes_nothing_is_not_answered_for_ever() {
    let mut bench = polling(1_000);
    bench.send("42[1]");
    bench.wants(&["post 6 42[1]"]);
    while bench.engine.is_open() {
        bench.send(&"4".repeat(1_000));
    }
    bench.wants(&["cancel 4", "cancel 6"]);
    let happened = bench.happened();
    assert!(happened[0].starts_with("closed: transport error: "), "{happened:?}");
    assert!(happened[0].contains("limits.max_send_queue_bytes"), "{happened:?}");
}

#[test]
fn what_waits_for_a_post_is_held_and_not_dropped() {
    let mut bench = polling(100_000);
    for _ in 0..1_000 {
        bench.say(64_000);
    }
    assert!(bench.engine.is_open() && !bench.engine.has_room());
    let mut posts = 0;
    loop {
        bench.engine.pump();
        let Some(Output::HttpCall { http, .. }) = bench.engine.out.pop_back() else { break };
        posts += 1;
        bench.reply(http.0, 200, "ok");
    }
    assert_eq!(posts, 1_000);
    assert!(bench.engine.has_room() && bench.engine.has_left());
}
