//! The change from polling to a WebSocket, and every way in which it fails.

use super::*;

const PROBE_URL: &str = "dial 4 ws://v/socket.io/?EIO=4&transport=websocket&sid=s1";

/// A session on polling: the probe is 4, the first poll 6.
fn probing() -> Bench {
    let mut bench = Bench::on_polling(DaemonTransport::Upgrade, &handshake("\"websocket\"", 1_000));
    bench.wants(&[PROBE_URL, &format!("get 6 {POLL}")]);
    bench
}

/// Its probe is answered.
fn pausing() -> Bench {
    let mut bench = probing();
    bench.opened(4);
    bench.wants(&["send 4 2probe"]);
    bench.hear(4, "3probe");
    bench.wants(&[]);
    bench
}

/// The session is on polling, and works.
fn must_poll(bench: &mut Bench, poll: u64, next: u64) {
    assert_eq!(bench.engine.transport(), Transport::Polling);
    assert!(bench.happened().is_empty(), "nobody is told");
    bench.send("42[\"after\"]");
    bench.wants(&[&format!("post {next} 42[\"after\"]")]);
    bench.reply(next, 200, "ok");
    bench.reply(poll, 200, "4heard");
    assert_eq!(bench.happened(), ["heard"]);
    bench.wants(&[&format!("get {} {POLL}", next + 2)]);
    assert!(bench.engine.deadline().is_none_or(|due| due.why != Why::Upgrade));
}

#[test]
fn the_change_waits_for_both_requests_and_keeps_the_order() {
    let mut bench = probing();
    bench.send("40");
    bench.wants(&["post 8 40"]);
    bench.opened(4);
    bench.wants(&["send 4 2probe"]);
    // While it is probed, polling goes on.
    bench.reply(8, 200, "ok");
    bench.reply(6, 200, "40{}");
    bench.send("42[1]");
    bench.wants(&[&format!("get 10 {POLL}"), "post 12 42[1]"]);
    assert_eq!(bench.happened(), ["0{}"]);
    bench.hear(4, "3probe");
    bench.send("42[2]");
    bench.send("42[3]");
    bench.wants(&[]);
    bench.reply(10, 200, "4while pausing");
    assert_eq!(bench.happened(), ["while pausing"]);
    bench.wants(&[]);
    assert_eq!(bench.engine.transport(), Transport::Polling);
    bench.reply(12, 200, "ok");
    bench.wants(&["send 4 5", "send 4 42[2]", "send 4 42[3]"]);
    assert_eq!(bench.engine.transport(), Transport::WebSocket);
    bench.send("42[4]");
    bench.hear(4, "4by websocket");
    bench.wants(&["send 4 42[4]"]);
    assert_eq!(bench.happened(), ["by websocket"]);
    let deadline = bench.engine.deadline();
    assert_eq!(deadline.map(|due| (due.at.as_millis(), due.why)), Some((1_500, Why::Ping)));
    bench.closed(4, &lost());
    assert_eq!(bench.happened(), ["closed: transport close"]);
}

#[test]
fn a_flush_that_was_asked_on_polling_is_told_on_the_websocket() {
    let mut bench = pausing();
    bench.say(5);
    bench.engine.ask_flushed();
    bench.wants(&[]);
    bench.reply(6, 200, "6");
    bench.wants(&["send 4 5", "send 4 4xxxx", "flush 4"]);
    bench.engine.sent(ConnId(4));
    assert_eq!(bench.happened(), ["flushed"]);
}

#[test]
fn a_server_that_offers_no_websocket_is_not_probed() {
    for offered in ["", "\"webtransport\""] {
        let mut bench = Bench::on_polling(DaemonTransport::Upgrade, &handshake(offered, 1_000));
        bench.wants(&[&format!("get 4 {POLL}")]);
        must_poll(&mut bench, 4, 6);
    }
}

#[test]
fn c3_a_probe_that_does_not_connect_is_forgotten() {
    for cause in [CloseCause::Refused { status: 403 }, lost()] {
        let mut bench = probing();
        bench.closed(4, &cause);
        bench.wants(&["close 4"]);
        must_poll(&mut bench, 6, 8);
    }
}

#[test]
fn a_probe_that_closes_is_forgotten() {
    let mut bench = probing();
    bench.opened(4);
    bench.wants(&["send 4 2probe"]);
    bench.closed(4, &CloseCause::Remote { code: 1000, reason: String::new() });
    bench.wants(&["close 4"]);
    must_poll(&mut bench, 6, 8);
}

#[test]
fn a_wrong_answer_to_the_probe_is_no_answer() {
    for answer in ["3", "3prob", "2probe", "4message", "nonsense", "1"] {
        let mut bench = probing();
        bench.opened(4);
        bench.wants(&["send 4 2probe"]);
        bench.hear(4, answer);
        bench.wants(&["close 4"]);
        bench.hear(4, "3probe");
        must_poll(&mut bench, 6, 8);
    }
    let mut bench = probing();
    bench.hear(4, "3probe");
    bench.wants(&["close 4"]);
    must_poll(&mut bench, 6, 8);
}

#[test]
fn a_probe_without_an_answer_has_ten_seconds() {
    let open = "0{\"sid\":\"s1\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\
                \"pingTimeout\":20000,\"maxPayload\":1000}";
    for is_up in [false, true] {
        let mut bench = Bench::on_polling(DaemonTransport::Upgrade, open);
        bench.wants(&[PROBE_URL, &format!("get 6 {POLL}")]);
        if is_up {
            bench.opened(4);
            bench.wants(&["send 4 2probe"]);
        }
        assert_eq!(bench.expire(), Why::Upgrade);
        assert_eq!(bench.millis, 11_000);
        bench.wants(&["close 4"]);
        must_poll(&mut bench, 6, 8);
    }
}

#[test]
fn a_connection_lost_while_pausing_goes_back_to_polling() {
    // The poll is still under way.
    let mut bench = pausing();
    bench.closed(4, &lost());
    bench.wants(&["close 4"]);
    must_poll(&mut bench, 6, 8);

    // The poll is through, a post is not, and frames wait.
    let mut bench = probing();
    bench.opened(4);
    bench.send("42[1]");
    bench.wants(&["send 4 2probe", "post 8 42[1]"]);
    bench.hear(4, "3probe");
    bench.reply(6, 200, "6");
    bench.send("42[2]");
    bench.wants(&[]);
    bench.closed(4, &lost());
    bench.wants(&["close 4", &format!("get 10 {POLL}")]);
    bench.reply(8, 200, "ok");
    bench.wants(&["post 12 42[2]"]);
    bench.reply(12, 200, "ok");
    must_poll(&mut bench, 10, 14);
}

#[test]
fn a_poll_that_fails_while_probing_ends_both() {
    for mut bench in [probing(), pausing()] {
        bench.reply(6, 400, "");
        bench.wants(&["close 4"]);
        assert_eq!(bench.happened(), ["closed: transport error"]);
        bench.closed(4, &CloseCause::Local);
        assert!(bench.happened().is_empty());
    }
}

#[test]
fn a_close_while_probing_hangs_up_and_says_goodbye_by_polling() {
    for mut bench in [probing(), pausing()] {
        bench.close(Some("41"));
        bench.wants(&["close 4", "post 8 41"]);
        bench.reply(6, 200, "6");
        bench.reply(8, 200, "ok");
        bench.wants(&["post 10 1"]);
        bench.reply(10, 200, "ok");
        assert_eq!(bench.happened(), ["gone"]);
        bench.wants(&[]);
    }
}

#[test]
fn a_close_behind_the_change_is_that_of_a_websocket() {
    let mut bench = pausing();
    bench.reply(6, 200, "6");
    bench.close(Some("41"));
    bench.wants(&["send 4 5", "send 4 41", "close 4"]);
    bench.closed(4, &CloseCause::Local);
    assert_eq!(bench.happened(), ["gone"]);
}
