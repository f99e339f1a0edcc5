//! The worker, in virtual time.

mod denials;
mod drain;
mod limits;
mod polling;
mod stop;
mod store;
mod storm;

use crate::api::command::WorkCommand;
use crate::api::command::{Command, Outcome};
use crate::api::event::{Event, Withdrawal};
use crate::api::event::{SessionEvent, WorkEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::store::{StoreReply, StoreRequest, Write};
use crate::dialect::beacon::bench::{Bench, work};
use crate::machine::ConnInput;
use crate::machine::{CloseCause, Input, Output};

const ACKS: &str = r#","Moorline":{"Acks":true}"#;

#[test]
fn a_work_item_goes_out_and_its_outcome_comes_back_untouched() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-1", 1);
    let (work, payload) = bench.work();
    assert_eq!(payload.as_str(), r#"{"Text":"hi","n":1.0}"#);
    bench.done(work, r#"{"z":1.0,"a":1e2}"#);
    assert_eq!(
        bench.text(conn),
        r#"{"Action":"WorkComplete","WorkItemHash":"wi-1","Outputs":{"z":1.0,"a":1e2},"Log":[],"AttemptNumber":1}"#
    );
    bench.quiet();
}

#[test]
fn many_outcomes_share_one_ping_and_its_pong_takes_them_all() {
    let (mut bench, conn) = Bench::ready(r#"{"max_concurrent":3}"#);
    for hash in ["wi-1", "wi-2", "wi-3"] {
        bench.push(conn, hash, 1);
        let (work, _) = bench.work();
        bench.done(work, "{}");
        bench.text(conn);
    }
    bench.quiet();
    bench.pass(50);
    let ping = bench.pinged(conn);
    bench.quiet();
    assert_eq!(bench.state()["outbox"], 3);
    bench.pong(conn, ping);
    assert_eq!(bench.state()["outbox"], 0);
    assert_eq!(bench.state()["counters"]["taken"], 3);
}

#[test]
fn an_outcome_survives_the_link_and_is_sent_again() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.cut(conn);
    assert!(matches!(
        bench.event(),
        Event::Session(SessionEvent::Lost { retry_ms: 1_000, attempt: 1, .. })
    ));
    bench.done(work, r#"{"n":1}"#);
    bench.quiet();
    bench.pass(1_000);
    let conn = bench.greeted("");
    assert!(bench.text(conn).contains("WorkComplete"));
    bench.cut(conn);
    bench.event();
    bench.pass(2_000);
    let conn = bench.greeted(ACKS);
    assert!(bench.text(conn).contains("WorkComplete"));
    bench.say(conn, r#"{"EventType":"WorkTaken","Items":[{"WorkItemHash":"wi-1","Taken":true}]}"#);
    assert_eq!(bench.state()["outbox"], 0);
    bench.quiet();
}

#[test]
fn a_registration_lists_what_is_held() {
    let (mut bench, conn) = Bench::ready(r#"{"max_concurrent":2}"#);
    bench.push(conn, "wi-1", 1);
    bench.push(conn, "wi-2", 4);
    let (first, _) = bench.work();
    bench.cut(conn);
    bench.done(first, "{}");
    bench.rest();
    bench.pass(1_000);
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    let text = bench.text(conn);
    let held = r#""Moorline":{"Acks":true,"BeaconID":"bcn-1","MaxMessageBytes":16777216,"Running":[{"WorkItemHash":"wi-2","AttemptNumber":4},{"WorkItemHash":"wi-1","AttemptNumber":1}]}"#;
    assert!(text.contains(held), "{text}");
}

#[test]
fn not_taken_is_final_and_said_so() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.done(work, "{}");
    bench.text(conn);
    let taken = r#"{"EventType":"WorkTaken","Items":[{"WorkItemHash":"wi-1","Taken":false,"Reason":"settled"}]}"#;
    bench.say(conn, taken);
    let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
    assert_eq!(error.code(), ErrorCode::WorkLost);
    assert_eq!(bench.state()["outbox"], 0);
}

#[test]
fn what_exceeds_the_slots_waits_and_what_exceeds_the_queue_is_answered() {
    let (mut bench, conn) = Bench::ready(r#"{"max_waiting":1}"#);
    for hash in ["wi-1", "wi-2", "wi-3"] {
        bench.push(conn, hash, 1);
    }
    let (first, _) = bench.work();
    let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
    assert_eq!(error.code(), ErrorCode::Overloaded);
    let refusal = bench.text(conn);
    assert!(refusal.contains("WorkError") && refusal.contains("wi-3"), "{refusal}");
    assert_eq!(
        (bench.state()["in_flight"].as_u64(), bench.state()["waiting"].as_u64()),
        (Some(1), Some(1))
    );
    bench.done(first, "{}");
    bench.text(conn);
    bench.work();
    bench.quiet();
}

#[test]
fn unknown_capabilities_are_answered_and_unknown_actions_run_the_first() {
    let (mut bench, conn) = Bench::ready("");
    bench.say(conn, &work("wi-1", 1, 0).replace("\"Echo\"", "\"Song\""));
    let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
    assert_eq!(error.code(), ErrorCode::HandlerUnknown);
    assert!(bench.text(conn).contains("no handler for Song/Say"));
    bench.say(conn, &work("wi-2", 1, 0).replace("\"Say\"", "\"Shout\""));
    bench.work();
}

/// K8.6: what a worker says of an item names it as the control plane does.
#[test]
fn a_handler_that_ignores_its_withdrawal_is_named_by_the_items_hash() {
    let (mut bench, conn) = Bench::ready("");
    bench.say(conn, &work("wi-1", 1, 500));
    bench.work();
    bench.pass(500);
    bench.rest();
    bench.pass(10_000);
    let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
    assert!(error.message().contains("the handler of wi-1 ignored"), "{error}");
}

/// K7.6: what the hub adds to the settings stands in the envelope.
#[test]
fn settings_are_as_the_dispatcher_wrote_them() {
    let (mut bench, conn) = Bench::ready("");
    let metadata = r#"{"EnqueuedAt":"e","DispatchedAt":"d","QueueWaitMs":1}"#;
    let item = work("wi-1", 1, 0)
        .replace(r#""n":1.0}"#, &format!(r#""n":1.0,"QueueMetadata":{metadata}}}"#))
        .replace(r#"{"QueueWaitMs":1}"#, metadata);
    bench.say(conn, &item);
    let Event::Work(WorkEvent::Assigned { payload, meta, .. }) = bench.event() else { panic!() };
    assert_eq!(payload.as_str(), r#"{"Text":"hi","n":1.0}"#);
    let said = r#""EnqueuedAt":"e","DispatchedAt":"d","QueueWaitMs":1}"#;
    assert!(meta.as_str().ends_with(said), "{}", meta.as_str());
}

/// K5, bound 5: the hub says when to come back, and the worker does.
#[test]
fn a_worker_comes_back_when_the_hub_says() {
    let lost = |bench: &mut Bench| {
        let Event::Session(SessionEvent::Lost { retry_ms, .. }) = bench.event() else { panic!() };
        retry_ms
    };
    let (mut bench, conn) = Bench::ready("");
    let reason = String::from("the hub is going away; retry in 4321 ms");
    let cause = CloseCause::Remote { code: 1001, reason };
    bench.input(Input::Conn(ConnInput::Closed { conn, cause }));
    assert_eq!(lost(&mut bench), 4_321);
    bench.rest();
    bench.pass(4_321);
    let (http, request) = bench.asked();
    let body = std::str::from_utf8(&request.body).unwrap();
    assert!(body.ends_with(r#""Moorline":{"Worker":"w"}}"#), "{body}");
    bench.answer(http, 503, r#"{"LoggedIn":false,"Error":"busy","RetryAfterMs":777}"#);
    assert_eq!(lost(&mut bench), 777);
    bench.pass(777);
    let (http, _) = bench.asked();
    bench.answer(http, 503, r#"{"RetryAfterMs":9999999999}"#);
    assert_eq!(lost(&mut bench), 3_600_000, "an hour at most");
    bench.pass(3_600_000);
    let (http, _) = bench.asked();
    bench.fail(http);
    assert!(lost(&mut bench) < 10_000, "what was said before counts no more");
}

#[test]
fn a_time_limit_is_enforced_to_the_millisecond() {
    let (mut bench, conn) = Bench::ready("");
    bench.say(conn, &work("wi-1", 1, 500));
    let (item, _) = bench.work();
    bench.pass(499);
    bench.quiet();
    bench.pass(1);
    assert!(matches!(
        bench.event(),
        Event::Work(WorkEvent::Withdrawn { why: Withdrawal::Expired, .. })
    ));
    assert!(bench.text(conn).contains("its time limit of 500 ms"));
    bench.push(conn, "wi-2", 1);
    bench.quiet();
    bench
        .command(Command::Work(WorkCommand::Complete { work: item, outcome: Outcome::Cancelled }))
        .unwrap();
    bench.work();
    let late = bench
        .command(Command::Work(WorkCommand::Complete { work: item, outcome: Outcome::Cancelled }));
    assert_eq!(late.unwrap_err().code(), ErrorCode::WorkUnknown);
}

#[test]
fn a_handler_that_ignores_its_withdrawal_loses_its_slot() {
    let (mut bench, conn) = Bench::ready("");
    bench.say(conn, &work("wi-1", 1, 500));
    bench.push(conn, "wi-2", 1);
    bench.work();
    bench.pass(500);
    bench.rest();
    bench.pass(10_000);
    assert!(
        bench
            .rest()
            .iter()
            .any(|o| matches!(o, Output::Event(Event::Work(WorkEvent::Assigned { .. }))))
    );
}

#[test]
fn an_item_that_expires_while_waiting_is_answered_without_being_run() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-1", 1);
    bench.say(conn, &work("wi-2", 1, 500));
    let (first, _) = bench.work();
    bench.pass(500);
    assert!(bench.text(conn).contains("wi-2"));
    bench.done(first, "{}");
    bench.text(conn);
    bench.pass(50);
    bench.pinged(conn);
    bench.quiet();
}

#[test]
fn a_lost_link_withdraws_running_items_where_that_is_wanted() {
    let (mut bench, conn) = Bench::ready(r#"{"withdraw_on_loss":true}"#);
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.cut(conn);
    let Event::Work(WorkEvent::Withdrawn { work: withdrawn, why }) = bench.event() else {
        panic!()
    };
    assert_eq!((withdrawn, why), (work, Withdrawal::LinkLost));
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Lost { .. })));
    bench.done(work, "{}");
    bench.quiet();
}

#[test]
fn a_cancelled_item_is_withdrawn() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    bench.work();
    bench.say(
        conn,
        r#"{"EventType":"WorkCancel","WorkItemHash":"wi-1","Reason":"changed my mind"}"#,
    );
    assert!(matches!(
        bench.event(),
        Event::Work(WorkEvent::Withdrawn { why: Withdrawal::Cancelled, .. })
    ));
    bench.quiet();
}

#[test]
fn a_worker_is_told_why_its_item_is_withdrawn() {
    let (mut bench, conn) = ready_with_acks("");
    for why in [Withdrawal::Expired, Withdrawal::Superseded] {
        bench.push(conn, "wi-1", 1);
        let (work, _) = bench.work();
        let word = why.as_str();
        bench.say(
            conn,
            &format!(r#"{{"EventType":"WorkCancel","WorkItemHash":"wi-1","Why":"{word}"}}"#),
        );
        let event = bench.event();
        assert!(
            matches!(&event, Event::Work(WorkEvent::Withdrawn { why: told, .. }) if *told == why)
        );
        bench
            .command(Command::Work(WorkCommand::Complete { work, outcome: Outcome::Cancelled }))
            .unwrap();
    }
}

#[test]
fn a_redelivery_is_adopted_not_run_twice() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.push(conn, "wi-1", 2);
    bench.quiet();
    bench.done(work, "{}");
    assert!(bench.text(conn).contains(r#""AttemptNumber":2"#));
    bench.push(conn, "wi-1", 3);
    assert!(bench.text(conn).contains(r#""AttemptNumber":3"#), "the outcome is at hand");
    bench.quiet();
}

#[test]
fn a_failure_is_run_again_when_the_next_attempt_arrives() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    let outcome = Outcome::Failed { message: "boom".into() };
    bench.command(Command::Work(WorkCommand::Complete { work, outcome })).unwrap();
    assert!(bench.text(conn).contains("boom"));
    bench.push(conn, "wi-1", 2);
    bench.work();
}

#[test]
fn two_unanswered_pings_lose_the_link_in_two_intervals_and_a_second() {
    let (mut bench, conn) = Bench::ready(r#"{"ping_interval_ms":10000}"#);
    bench.pass(20_999);
    assert_eq!(bench.state()["state"], "ready");
    bench.rest();
    bench.pass(1);
    let Event::Session(SessionEvent::Lost { reason, .. }) = bench.event() else { panic!() };
    assert_eq!(reason.code(), ErrorCode::PeerSilent);
    assert_eq!(bench.closed(), (conn, 1000));
    bench.push(conn, "wi-1", 1);
    bench.quiet();
}

#[test]
fn heartbeats_are_on_schedule_and_honest() {
    let (mut bench, conn) = ready_with_acks(r#"{"heartbeat_interval_ms":1000}"#);
    bench.pass(1_000);
    assert_eq!(
        bench.text(conn),
        r#"{"Action":"BeaconHeartbeat","BeaconID":"bcn-1","HostLagMs":0,"InFlight":0}"#
    );
    assert!(matches!(bench.next(), Some(Output::ProbeHost)));
    bench.input(Input::HostLag { millis: 1_900 });
    bench.pass(1_000);
    assert!(bench.text(conn).contains("\"HostLagMs\":1900"));
}

#[test]
fn a_hung_application_stops_the_heartbeats_if_asked_to() {
    let (mut bench, conn) =
        ready_with_acks(r#"{"heartbeat_interval_ms":1000,"max_stall_ms":1500}"#);
    bench.input(Input::HostLag { millis: 1_500 });
    bench.pass(2_000);
    let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
    assert_eq!(error.code(), ErrorCode::HostStalled);
    bench.quiet();
    bench.input(Input::HostLag { millis: 0 });
    bench.pass(1_000);
    bench.text(conn);
}

#[test]
fn long_items_send_signs_of_life_to_hubs_that_forget_silent_ones() {
    let (mut bench, conn) = Bench::ready(r#"{"heartbeat_interval_ms":3600000}"#);
    bench.push(conn, "wi-1", 1);
    bench.work();
    bench.quiet();
    bench.pass(29_999);
    bench.rest();
    bench.pass(1);
    let sign =
        r#"{"Action":"WorkProgress","WorkItemHash":"wi-1","ProgressData":{},"AttemptNumber":1}"#;
    assert_eq!(bench.text(conn), sign);
    bench.say(conn, &work("wi-2", 1, 0).replace("\"QueueWaitMs\":1", "\"QueueWaitMs\":60000"));
    bench.pass(0);
    assert!(bench.text(conn).contains("wi-2"), "an item that waited long gets one at once");
}

#[test]
fn hubs_with_acknowledgements_need_neither_signs_of_life_nor_evidence() {
    let (mut bench, conn) = ready_with_acks(r#"{"heartbeat_interval_ms":3600000}"#);
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.pass(15_000);
    bench.done(work, "{}");
    bench.text(conn);
    bench.pass(4_000);
    bench.quiet();
}

#[test]
fn a_flood_of_outcomes_leaves_one_ping_unanswered_at_a_time() {
    let (mut bench, conn) = Bench::ready(r#"{"max_concurrent":16}"#);
    let works: Vec<_> = (0..16)
        .map(|n| {
            bench.push(conn, &format!("wi-{n}"), 1);
            bench.work().0
        })
        .collect();
    bench.rest();
    let result = format!("\"{}\"", "x".repeat(1024 * 1024));
    let mut pings = Vec::new();
    for work in works {
        bench.done(work, &result);
        bench.pass(0);
        pings.extend(unanswered(&mut bench));
    }
    assert_eq!(pings.len(), 1, "half a window is on its way and holds up the rest");
    let mut answered = 0;
    while let Some(ping) = pings.pop() {
        answered += 1;
        bench.pong(conn, ping);
        bench.pass(50);
        pings.extend(unanswered(&mut bench));
        assert!(pings.len() <= 1);
    }
    assert!((2..=16).contains(&answered), "{answered}");
    assert_eq!(bench.state()["outbox"], 0);
}

fn unanswered(bench: &mut Bench) -> Vec<bytes::Bytes> {
    let pings = bench.rest().into_iter().filter_map(|output| {
        let Output::Send { frame: crate::net::Frame::Ping(payload), .. } = output else {
            return None;
        };
        Some(payload)
    });
    pings.collect()
}

#[test]
fn a_refusal_ends_a_session_that_was_never_ready() {
    let mut bench = Bench::worker("");
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    bench.text(conn);
    bench.say(conn, r#"{"EventType":"BeaconRejected","Reason":"join secret mismatch"}"#);
    let Event::Session(SessionEvent::Ended { error: Some(error) }) = bench.event() else {
        panic!()
    };
    assert_eq!(error.code(), ErrorCode::PeerRefused);
    assert!(error.message().contains("join secret mismatch"));
    assert_eq!(bench.closed().0, conn);
    assert!(bench.machine.poll_timeout().is_none());
}

#[test]
fn a_refusal_later_on_is_retried_as_late_as_allowed() {
    let (mut bench, conn) = Bench::ready("");
    let cause = CloseCause::Remote { code: 4403, reason: "Beacon admission denied".into() };
    bench.input(Input::Conn(ConnInput::Closed { conn, cause }));
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Lost { retry_ms: 300_000, .. })));
}

/// K4.1: the older of two is told, stops what is given to the other, and comes back late.
#[test]
fn a_worker_whose_name_is_taken_waits_and_comes_back_under_its_old_id() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    let taken = || CloseCause::Remote { code: 4409, reason: "taken".into() };
    bench.input(Input::Conn(ConnInput::Closed { conn, cause: taken() }));
    assert!(matches!(
        bench.event(),
        Event::Work(WorkEvent::Withdrawn { why: Withdrawal::Superseded, .. })
    ));
    bench.done(work, "{}");
    let longest = 300_000;
    for _ in 0..2 {
        let Event::Session(SessionEvent::Lost { reason, retry_ms, .. }) = bench.event() else {
            panic!()
        };
        assert_eq!((reason.code(), retry_ms), (ErrorCode::NameTaken, longest));
        bench.rest();
        bench.pass(longest);
        bench.answer_login();
        let conn = bench.dialed();
        bench.input(Input::Conn(ConnInput::Opened { conn }));
        let text = bench.text(conn);
        assert!(text.contains(r#""Acks":true,"BeaconID":"bcn-1""#), "{text}");
        bench.input(Input::Conn(ConnInput::Closed { conn, cause: taken() }));
    }
}

#[test]
fn a_silent_greeting_is_given_up() {
    let mut bench = Bench::worker(r#"{"transport":"websocket"}"#);
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    bench.text(conn);
    bench.pass(10_000);
    assert_eq!(bench.closed().0, conn);
    let Event::Session(SessionEvent::Lost { reason, .. }) = bench.event() else { panic!() };
    assert_eq!(reason.code(), ErrorCode::ConnectTimeout);
}

#[test]
fn a_forgotten_worker_registers_again_at_once_but_not_in_a_loop() {
    let (mut bench, conn) = Bench::ready("");
    bench.pass(1_000);
    bench.say(conn, r#"{"EventType":"Deregistered"}"#);
    assert!(bench.text(conn).contains("BeaconRegister"));
    bench.say(conn, r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-2"}"#);
    assert!(
        matches!(bench.event(), Event::Session(SessionEvent::Ready { id, .. }) if id == "bcn-2")
    );
    bench.say(conn, r#"{"EventType":"Deregistered"}"#);
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Lost { .. })));
}

#[test]
fn handlers_added_later_are_announced_together() {
    let (mut bench, conn) = Bench::ready("");
    bench.handle("Echo/Shout");
    bench.handle("Math/Add");
    bench.quiet();
    bench.pass(0);
    assert!(bench.text(conn).contains(r#""Capabilities":["Echo","Math"]"#));
    bench.say(conn, r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#);
    bench.quiet();
}

/// K4.3: whenever the link becomes ready, what was announced is what is offered.
#[test]
fn handlers_added_before_the_confirmation_are_announced_after_it() {
    let mut bench = Bench::worker("");
    bench.handle("Echo/Say");
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    bench.text(conn);
    bench.handle("Math/Add");
    bench.pass(100);
    bench.quiet();
    bench.say(conn, r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#);
    bench.event();
    bench.pass(0);
    assert!(bench.text(conn).contains(r#""Capabilities":["Echo","Math"]"#));
    bench.say(conn, r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#);
    bench.quiet();
}

/// K4.8: nothing is promised that cannot be kept, unless that is wanted.
#[test]
fn a_store_that_cannot_be_opened_ends_the_start() {
    for (options, is_over) in [("", true), (r#","outbox":{"require_store":false}"#, false)] {
        let mut bench = Bench::worker(&format!(r#"{{"runtime":{{"store_path":"x"}}{options}}}"#));
        bench.command(Command::Start).unwrap();
        let Some(Output::Store { store, .. }) = bench.next() else { panic!() };
        let result = Err(Error::new(ErrorCode::StoreFailed, "no such folder"));
        bench.input(Input::Stored { store, result });
        let event = bench.event();
        let (Event::Session(SessionEvent::Ended { error: Some(error) })
        | Event::Session(SessionEvent::Notice { error })) = &event
        else {
            panic!("{event:?}")
        };
        assert_eq!(error.code(), ErrorCode::StoreFailed);
        assert_eq!(matches!(event, Event::Session(SessionEvent::Ended { .. })), is_over);
        bench.pass(100_000);
    }
}

#[test]
fn frames_that_mean_nothing_are_counted_and_ignored() {
    let (mut bench, conn) = Bench::ready("");
    for text in
        ["not json", "[]", "{\"EventType\":\"Nonsense\"}", "{\"EventType\":7}", "null", "{}"]
    {
        bench.say(conn, text);
    }
    bench.quiet();
    assert_eq!(bench.state()["counters"]["noise"], 6);
}

#[test]
fn an_outcome_that_no_link_could_carry_fails_the_item_instead() {
    let (mut bench, conn) = Bench::ready(r#"{"limits":{"max_message_bytes":1024}}"#);
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    let value = crate::base::json::Raw::parse(format!("\"{}\"", "x".repeat(1_100))).unwrap();
    let outcome = Outcome::Done { value, log: crate::base::json::Raw::empty_list() };
    let error = bench.command(Command::Work(WorkCommand::Complete { work, outcome })).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert!(bench.text(conn).contains("WorkError"));
}

#[test]
fn a_log_that_makes_an_outcome_too_large_is_left_out_and_said_to_be() {
    use crate::base::json::Raw;
    let done = |bench: &mut Bench, work, bytes: usize| {
        let log = Raw::parse(format!("[\"{}\"]", "x".repeat(bytes))).unwrap();
        let outcome = Outcome::Done { value: Raw::parse("{\"n\":1}").unwrap(), log };
        bench.command(Command::Work(WorkCommand::Complete { work, outcome })).unwrap();
    };
    let small = r#"{"limits":{"max_message_bytes":1024}}"#;
    let said = r#","Moorline":{"Acks":true,"MaxMessageBytes":1000}"#;
    for (options, extension, bytes) in [(small, "", 2_000), (small, "", 1_000), ("", said, 2_000)] {
        let mut bench = Bench::worker(options);
        bench.handle("Echo/Say");
        bench.command(Command::Start).unwrap();
        let conn = bench.greeted(extension);
        bench.push(conn, "wi-1", 1);
        let (work, _) = bench.work();
        done(&mut bench, work, bytes);
        let text = bench.text(conn);
        assert!(text.contains(r#""Outputs":{"n":1}"#) && text.contains("was left out"), "{text}");
    }
}

#[test]
fn a_full_outbox_holds_new_work_back() {
    let (mut bench, conn) = Bench::ready(r#"{"outbox":{"max_items":1}}"#);
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.done(work, "{}");
    bench.text(conn);
    bench.push(conn, "wi-2", 1);
    bench.quiet();
    bench.pass(50);
    let ping = bench.pinged(conn);
    bench.pong(conn, ping);
    bench.work();
}

#[test]
fn with_a_store_outcomes_outlive_the_process() {
    let mut bench = Bench::worker(r#"{"runtime":{"store_path":"/tmp/w.db"}}"#);
    bench.handle("Echo/Say");
    bench.command(Command::Start).unwrap();
    bench.recalled(vec![]);
    let conn = bench.greeted("");
    bench.push(conn, "wi-1", 3);
    let (work, _) = bench.work();
    bench.done(work, r#"{"n":1.0}"#);
    let StoreRequest::Commit { writes } = bench.stored() else { panic!() };
    let Some(Write::Put { key, value, .. }) = writes.into_iter().next() else { panic!() };

    let mut bench = Bench::worker(r#"{"runtime":{"store_path":"/tmp/w.db"}}"#);
    bench.command(Command::Start).unwrap();
    bench.quiet_but_store();
    bench.recalled(vec![(key, value)]);
    let conn = bench.greeted(ACKS);
    assert!(
        bench
            .text(conn)
            .contains(r#""WorkItemHash":"wi-1","Outputs":{"n":1.0},"Log":[],"AttemptNumber":3"#)
    );
    bench.say(conn, r#"{"EventType":"WorkTaken","Items":[{"WorkItemHash":"wi-1","Taken":true}]}"#);
    let StoreRequest::Commit { writes } = bench.stored() else { panic!() };
    assert!(matches!(&writes[..], [Write::Delete { key, .. }] if key == "wi-1"));
}

#[test]
fn a_store_that_is_silent_does_not_hold_up_a_start_that_does_not_require_it() {
    let mut bench =
        Bench::worker(r#"{"runtime":{"store_path":"/tmp/w.db"},"outbox":{"require_store":false}}"#);
    bench.command(Command::Start).unwrap();
    bench.pass(5_000);
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Notice { .. })));
    bench.greeted("");
    bench.input(Input::Stored {
        store: crate::base::ids::StoreId(1),
        result: Ok(StoreReply::Loaded(vec![])),
    });
    assert_eq!(bench.state()["state"], "ready");
}

#[test]
fn after_a_suspension_the_link_gets_its_chance() {
    let (mut bench, conn) = Bench::ready("");
    bench.skip(3_600_000);
    bench.pass(0);
    let ping = bench.pinged(conn);
    bench.pong(conn, ping);
    bench.pass(20_000);
    assert_eq!(bench.state()["state"], "ready");
}

#[test]
fn a_control_plane_that_is_away_is_tried_by_the_ladder() {
    let mut bench = Bench::worker("");
    bench.command(Command::Start).unwrap();
    for wanted in [1_000, 2_000, 4_000] {
        let (http, _) = bench.asked();
        bench.fail(http);
        let Event::Session(SessionEvent::Lost { retry_ms, .. }) = bench.event() else { panic!() };
        assert_eq!(retry_ms, wanted);
        bench.pass(retry_ms);
    }
}

fn ready_with_acks(options: &str) -> (Bench, crate::base::ids::ConnId) {
    let mut bench = Bench::worker(options);
    bench.handle("Echo/Say");
    bench.command(Command::Start).unwrap();
    let conn = bench.greeted(ACKS);
    (bench, conn)
}

#[test]
fn with_a_join_secret_a_refused_login_does_not_keep_a_worker_out() {
    for (options, goes_on) in [(r#"{"join_secret":"s"}"#, true), ("", false)] {
        let mut bench = Bench::worker(options);
        bench.command(Command::Start).unwrap();
        let (http, _) = bench.asked();
        bench.answer(http, 429, r#"{"LoggedIn":false,"Error":"Too many failed logins."}"#);
        let outputs = bench.rest();
        let dials = outputs.iter().any(|output| matches!(output, Output::Dial { .. }));
        assert_eq!(dials, goes_on, "{outputs:?}");
    }
    let mut bench = Bench::worker(r#"{"join_secret":"s"}"#);
    bench.command(Command::Start).unwrap();
    let (http, _) = bench.asked();
    bench.answer(http, 503, r#"{"Error":"The hub is loading."}"#);
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Lost { .. })));
}
