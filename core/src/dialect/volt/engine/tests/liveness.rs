//! C12: a ping is answered at once, and silence has an end.

use super::*;

fn deadline(bench: &Bench) -> (u64, Why) {
    let Deadline { at, why } = bench.engine.deadline().unwrap();
    (at.as_millis(), why)
}

#[test]
fn c12_a_ping_is_answered_at_once_with_its_content() {
    let mut bench = Bench::on_web_socket();
    bench.hear(2, "2");
    bench.hear(2, "2content");
    bench.wants(&["send 2 3", "send 2 3content"]);

    let mut bench = Bench::on_polling(DaemonTransport::Polling, &handshake("", 1_000));
    bench.engine.out.clear();
    bench.reply(4, 200, "2");
    bench.wants(&[&format!("get 6 {POLL}"), "post 8 3"]);
}

#[test]
fn c12_silence_ends_at_interval_and_timeout_after_the_last_ping() {
    let mut bench = Bench::on_web_socket();
    assert_eq!(deadline(&bench), (1_500, Why::Ping));
    bench.millis = 1_300;
    bench.hear(2, "4message");
    assert_eq!(deadline(&bench), (1_500, Why::Ping), "only pings count");
    bench.hear(2, "2");
    assert_eq!(deadline(&bench), (1_800, Why::Ping));
    bench.engine.out.clear();
    bench.happened();
    bench.millis = 1_799;
    bench.engine.timed_out(bench.now());
    bench.wants(&[]);
    assert_eq!(bench.expire(), Why::Ping);
    bench.wants(&["close 2"]);
    assert_eq!(bench.happened(), ["closed: ping timeout"]);
    assert!(bench.engine.deadline().is_none());
}

#[test]
fn c12_silence_ends_polling_too() {
    let mut bench = Bench::on_polling(DaemonTransport::Polling, &handshake("", 1_000));
    bench.wants(&[&format!("get 4 {POLL}")]);
    bench.send("42[1]");
    bench.wants(&["post 6 42[1]"]);
    assert_eq!(bench.expire(), Why::Ping);
    bench.wants(&["cancel 4", "cancel 6"]);
    assert_eq!(bench.happened(), ["closed: ping timeout"]);
}

/// A process that was suspended finds its connection dead before its timer does.
#[test]
fn c12_nothing_is_written_to_a_connection_that_is_long_dead() {
    let mut bench = Bench::on_web_socket();
    bench.millis = 100_000;
    bench.send("42[\"lost\"]");
    bench.send("42[\"too\"]");
    bench.wants(&["close 2"]);
    assert_eq!(bench.happened(), ["closed: ping timeout"]);

    let mut bench = Bench::on_polling(DaemonTransport::Polling, &handshake("", 1_000));
    bench.engine.out.clear();
    bench.millis = 1_500;
    bench.send("42[\"lost\"]");
    bench.wants(&["cancel 4"]);
    assert_eq!(bench.happened(), ["closed: ping timeout"]);
}

#[test]
fn a_ping_that_waited_through_a_suspension_is_a_sign_of_life() {
    let mut bench = Bench::on_web_socket();
    bench.millis = 100_000;
    bench.hear(2, "2");
    bench.send("42[1]");
    bench.wants(&["send 2 3", "send 2 42[1]"]);
    assert_eq!(deadline(&bench), (100_500, Why::Ping));
}

#[test]
fn a_server_that_may_be_silent_for_ever_has_no_early_deadline() {
    let most = u64::MAX;
    let open = format!(
        "0{{\"sid\":\"s1\",\"upgrades\":[],\"pingInterval\":{most},\"pingTimeout\":{most}}}"
    );
    let mut bench = Bench::new(DaemonTransport::WebSocket);
    bench.engine.out.clear();
    bench.hear(2, &open);
    match bench.happened()[..] {
        [ref opened] if opened == "opened" => assert!(deadline(&bench).0 > 1 << 60),
        ref other => assert!(other[0].starts_with("failed: "), "{other:?}"),
    }
}
