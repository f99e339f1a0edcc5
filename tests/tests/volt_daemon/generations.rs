//! What is learnt of a control plane's generation, and how bytes then travel.

use bytes::Bytes;
use moorline_core::{CallCommand, Event, Frame, WorkCommand, WorkEvent};
use moorline_core::{CallId, Command, Error, ErrorCode, WorkId};
use serde_json::{Value, json};

use crate::server::{Scene, brief, raw};

const CHANNEL: &str = "{\"teamClusterId\":\"c\",\"channel\":\"control\"}";

/// A daemon whose control plane tells a channel, and has not been asked more.
fn asked(options: &Value) -> (Scene, Value) {
    let mut it = Scene::new(options);
    it.joins();
    it.said();
    assert_eq!(brief(&it.confirm_with(CHANNEL)), [""; 0]);
    let mut messages = it.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    (it, messages.remove(0))
}

fn answer(it: &mut Scene, request: &Value, status: u16) {
    let response = json!({"type": "response", "requestId": request["requestId"],
        "ok": status == 200, "status": status, "message": "Unknown daemon server command"});
    it.say(&format!("42[\"team-cluster-daemon:message\",{response}]"));
}

/// A daemon that has learnt the generation.
fn speaking(generation: u8) -> Scene {
    if generation == 1 {
        return Scene::ready(&json!({}));
    }
    let (mut it, question) = asked(&json!({}));
    answer(&mut it, &question, if generation == 3 { 404 } else { 200 });
    it.said();
    it.events();
    it
}

fn known(it: &mut Scene) -> (Value, Value) {
    it.events();
    let mut snapshot = it.daemon.snapshot();
    (snapshot["generation"].take(), snapshot["generation_from"].take())
}

fn texts(frames: &[Frame]) -> Vec<&str> {
    let text = frames.iter().filter_map(|it| match it {
        Frame::Text(text) => Some(&**text),
        _ => None,
    });
    text.collect()
}

fn blobs(frames: &[Frame]) -> Vec<Bytes> {
    let bytes = frames.iter().filter_map(|it| match it {
        Frame::Binary(bytes) => Some(bytes.clone()),
        _ => None,
    });
    bytes.collect()
}

fn progress(it: &mut Scene, work: WorkId, report: &str) -> Result<(), Error> {
    it.daemon.command(Command::Work(WorkCommand::Progress { work, report: raw(report) }))
}

fn stream(it: &mut Scene, payload: &str, bytes: &'static [u8]) -> Result<(), Error> {
    let payload = raw(payload).with_blobs(vec![Bytes::from_static(bytes)]);
    it.daemon.command(Command::Emit { name: String::from("$stream"), payload })
}

/// A command from the control plane that is not answered with JSON.
fn command(form: &str) -> String {
    let command =
        json!({"type": "command", "requestId": "r", "command": "h", "responseType": form});
    format!("42[\"team-cluster-daemon:message\",{command}]")
}

#[test]
fn a_registration_without_a_channel_shows_the_first_generation() {
    let mut it = Scene::ready(&json!({}));
    assert_eq!(known(&mut it), (json!(1), json!("registration")));
    assert!(it.said().is_empty(), "nothing is asked");
}

#[test]
fn a_channel_has_the_daemon_ask_by_a_heartbeat_with_its_credentials() {
    let (mut it, question) = asked(&json!({"installed_version": "1.2"}));
    assert_eq!(
        (&question["type"], &question["command"]),
        (&json!("command"), &json!("runtime.heartbeat"))
    );
    let credentials =
        json!({"teamClusterId": "c", "daemonPassword": "pw", "installedVersion": "1.2"});
    assert_eq!(question["payload"], credentials);
    assert_eq!(known(&mut it), (json!(null), json!("nothing")));
    answer(&mut it, &question, 404);
    assert_eq!(known(&mut it), (json!(3), json!("heartbeat")));
    let (mut it, question) = asked(&json!({}));
    answer(&mut it, &question, 200);
    assert_eq!(known(&mut it), (json!(2), json!("heartbeat")));
    let (mut it, question) = asked(&json!({}));
    answer(&mut it, &question, 401);
    assert_eq!(known(&mut it), (json!(2), json!("heartbeat")), "the command is known");
    assert!(it.events().is_empty(), "an answer to our own question is no error");
}

#[test]
fn another_session_is_asked_again() {
    let mut it = speaking(3);
    it.cut();
    it.events();
    it.pass(500);
    it.joins();
    it.said();
    it.confirm();
    assert_eq!(known(&mut it), (json!(1), json!("registration")), "another server is there now");
}

#[test]
fn an_option_says_it_and_nothing_is_asked() {
    for generation in ["1", "2", "3"] {
        let mut it = Scene::new(&json!({"generation": generation}));
        it.joins();
        it.said();
        it.confirm_with(CHANNEL);
        assert!(it.said().is_empty());
        let number: u64 = generation.parse().expect("a number");
        assert_eq!(known(&mut it), (json!(number), json!("option")));
    }
}

#[test]
fn a_channel_is_told_where_an_option_says_so() {
    let mut it = Scene::new(&json!({"channel": "object-gateway"}));
    it.joins();
    assert_eq!(
        it.said(),
        ["42[\"team-cluster-daemon:register\",{\"teamClusterId\":\"c\",\"daemonPassword\":\"pw\",\
          \"channel\":\"object-gateway\"}]"]
    );
}

#[test]
fn beats_go_as_messages_where_the_command_is_unknown() {
    let heartbeat = json!({"interval_ms": 10_000, "include_credentials": true});
    let (mut it, question) = asked(&json!({"heartbeat": heartbeat}));
    answer(&mut it, &question, 404);
    let message =
        json!({"type": "runtime-heartbeat", "teamClusterId": "c", "daemonPassword": "pw"});
    for _ in 0..3 {
        assert_eq!(it.messages(), std::slice::from_ref(&message));
        it.pass(10_000);
    }
    assert!(it.events().is_empty());
    let (mut it, question) = asked(&json!({"heartbeat": heartbeat}));
    answer(&mut it, &question, 200);
    assert_eq!(it.messages()[0]["command"], "runtime.heartbeat");
}

#[test]
fn a_beat_that_is_unknown_goes_again_as_a_message_also_without_a_channel() {
    let mut it = Scene::new(&json!({"heartbeat": {"interval_ms": 10_000}}));
    it.joins();
    it.said();
    it.confirm();
    let beat = it.messages().remove(0);
    assert_eq!(beat["command"], "runtime.heartbeat");
    answer(&mut it, &beat, 404);
    assert_eq!(it.messages(), [json!({"type": "runtime-heartbeat"})]);
    assert_eq!(known(&mut it), (json!(1), json!("registration")), "streams are another matter");
    let mut it = Scene::new(&json!({"heartbeat": {"interval_ms": 10_000, "mode": "command"}}));
    it.joins();
    it.said();
    it.confirm();
    let beat = it.messages().remove(0);
    answer(&mut it, &beat, 404);
    assert!(it.said().is_empty());
    assert_eq!(brief(&it.events()), ["REMOTE_ERROR"], "as the option wants it");
}

#[test]
fn a_stream_goes_in_the_form_of_the_generation() {
    for (generation, part) in [(2, &b"ABC"[..]), (3, &b"\0\0\0\0\x03\0\x03\0\0\0ABC"[..])] {
        let mut it = speaking(generation);
        let work = it.ask("r", "stream");
        progress(&mut it, work, "{\"open\":{}}").expect("a stream");
        it.said();
        progress(&mut it, work, "{\"chunk\":\"QUJD\"}").expect("a part");
        let frames = it.frames();
        let [text] = texts(&frames)[..] else { panic!("{frames:?}") };
        let id = text.split("streamId\":\"").nth(1).expect("an id").split('"').next().expect("one");
        assert_eq!(
            text,
            format!(
                "451-[\"team-cluster-daemon:message\",{{\"type\":\"stream\",\"requestId\":\"r\",\
                 \"streamId\":\"{id}\",\"chunk\":{{\"_placeholder\":true,\"num\":0}}}}]"
            )
        );
        assert_eq!(blobs(&frames), [Bytes::from_static(part)]);
        let outcome = moorline_core::Outcome::Failed { message: "no more".into() };
        it.daemon.command(Command::Work(WorkCommand::Complete { work, outcome })).expect("the end");
        let end = &it.messages()[0];
        assert_eq!((&end["type"], &end["message"]), (&json!("stream-end"), &json!("no more")));
    }
}

#[test]
fn a_large_part_is_cut_to_what_the_server_takes_and_no_byte_is_lost() {
    for (generation, header) in [(2, 0), (3, 10)] {
        let mut it = speaking(generation);
        let work = it.ask("r", "stream");
        progress(&mut it, work, "{\"open\":{}}").expect("a stream");
        it.said();
        progress(&mut it, work, &format!("{{\"chunk\":\"{}\"}}", "QUJD".repeat(20_000)))
            .expect("a part");
        let parts = blobs(&it.frames());
        assert!(parts.len() > 3 && parts.iter().all(|part| part.len() < 20_000));
        let whole: Vec<u8> = parts.iter().flat_map(|part| part[header..].to_vec()).collect();
        assert_eq!(whole, "ABC".repeat(20_000).into_bytes());
        assert_eq!(brief(&it.events()), ["drained 1"]);
    }
}

#[test]
fn a_buffer_is_an_attachment_of_the_data() {
    for generation in [2, 3] {
        let mut it = speaking(generation);
        let work = it.ask("r", "buffer");
        it.done(work, "{\"headers\":{\"a\":\"b\"},\"body\":\"QUI=\"}").expect("an answer");
        let frames = it.frames();
        assert_eq!(
            texts(&frames),
            ["451-[\"team-cluster-daemon:message\",{\"type\":\"response\",\"requestId\":\"r\",\
              \"ok\":true,\"status\":200,\"headers\":{\"a\":\"b\"},\"data\":{\"status\":\"success\",\
              \"data\":{\"body\":{\"_placeholder\":true,\"num\":0}}}}]"]
        );
        assert_eq!(blobs(&frames), [Bytes::from_static(b"AB")]);
        let work = it.ask("r", "buffer");
        it.done(work, "{\"body\":\"A\"}").expect_err("no base64");
        assert_eq!(it.messages()[0]["status"], 500);
    }
}

#[test]
fn commands_for_bytes_wait_until_it_is_known_in_which_form() {
    let (mut it, question) = asked(&json!({}));
    let json = it.ask("j", "json");
    it.done(json, "{\"data\":1}").expect("an answer");
    assert_eq!(it.messages()[0]["requestId"], "j", "JSON is the same in all generations");
    it.say(&command("buffer"));
    assert!(it.events().is_empty());
    answer(&mut it, &question, 404);
    let events = it.events();
    let [Event::Work(WorkEvent::Assigned { work, .. })] = events[..] else { panic!("{events:?}") };
    it.done(work, "{\"body\":\"QUI=\"}").expect("an answer");
    assert_eq!(blobs(&it.frames()), [Bytes::from_static(b"AB")]);
}

#[test]
fn commands_for_bytes_are_refused_where_the_question_stays_open_and_it_is_asked_again() {
    let (mut it, _) = asked(&json!({}));
    it.say(&command("stream"));
    it.pass(10_000);
    let messages = it.messages();
    assert_eq!((&messages[0]["requestId"], &messages[0]["status"]), (&json!("r"), &json!(503)));
    assert_eq!(messages[1]["command"], "runtime.heartbeat");
    assert_eq!(brief(&it.events()), ["PEER_PROTOCOL"], "with the option that helps");
    answer(&mut it, &messages[1], 404);
    it.said();
    it.ask("r2", "stream");
}

#[test]
fn commands_for_bytes_that_wait_are_gone_with_their_session() {
    let (mut it, _) = asked(&json!({}));
    it.say(&command("stream"));
    it.cut();
    it.events();
    it.pass(500);
    it.registers();
    it.events();
    it.pass(1);
    assert!(it.events().is_empty() && it.said().is_empty());
}

#[test]
fn the_form_of_what_comes_shows_the_generation_too() {
    for (chunk, generation) in [(&b"raw"[..], 2), (&b"\0\0\0\0\x03\0\x02\0\0\0hi"[..], 3)] {
        for mut it in [Scene::ready(&json!({})), asked(&json!({})).0] {
            let text = "451-[\"team-cluster-daemon:message\",{\"type\":\"session-input\",\
                        \"sessionId\":\"s\",\"chunk\":{\"_placeholder\":true,\"num\":0}}]";
            let frames = [Frame::Text(text.into()), Frame::Binary(Bytes::from_static(chunk))];
            it.daemon.say(it.session, frames);
            assert_eq!(known(&mut it), (json!(generation), json!("message")));
        }
    }
}

#[test]
fn a_stream_that_the_daemon_opens_goes_whole_and_in_the_form_of_the_generation() {
    for (generation, part) in [(2, &b"{}"[..]), (3, &b"\0\0\0\0\x03\0\x02\0\0\0{}"[..])] {
        let mut it = speaking(generation);
        let chunk = "\"chunk\":{\"_placeholder\":true,\"num\":0}";
        stream(&mut it, &format!("{{\"stream_id\":\"log\",{chunk}}}"), b"{}").expect("a part");
        let frames = it.frames();
        assert_eq!(
            texts(&frames),
            [format!(
                "451-[\"team-cluster-daemon:message\",{{\"type\":\"stream\",\"requestId\":\"log\",\
                 \"streamId\":\"log\",{chunk}}}]"
            )]
        );
        assert_eq!(blobs(&frames), [Bytes::from_static(part)]);
        stream(&mut it, "{\"stream_id\":\"log\",\"request_id\":\"q\",\"chunk\":\"e30=\"}", b"")
            .expect("base64");
        assert_eq!(blobs(&it.frames()), [Bytes::from_static(part)]);
        stream(&mut it, "{\"stream_id\":\"log\",\"end\":true,\"message\":\"no\"}", b"")
            .expect("an end");
        let end =
            json!({"type": "stream-end", "requestId": "log", "streamId": "log", "message": "no"});
        assert_eq!(it.messages(), [end]);
        let large = format!("{{\"stream_id\":\"log\",\"chunk\":\"{}\"}}", "AAAA".repeat(10_000));
        let error = stream(&mut it, &large, b"").expect_err("it cannot be cut");
        assert_eq!(error.code(), ErrorCode::TooLarge);
        for wrong in
            ["{\"stream_id\":\"s\"}", "{\"stream_id\":\"s\",\"chunk\":7}", "{\"chunk\":\"\"}"]
        {
            let error = stream(&mut it, wrong, b"").expect_err("a mistake");
            assert_eq!(error.code(), ErrorCode::ArgumentInvalid, "{wrong}");
        }
        assert!(it.said().is_empty());
    }
}

#[test]
fn such_a_stream_waits_for_the_generation_and_is_an_error_in_the_first() {
    let say = |it: &mut Scene| stream(it, "{\"stream_id\":\"log\",\"chunk\":\"e30=\"}", b"");
    let mut it = Scene::new(&json!({}));
    say(&mut it).expect("it waits");
    it.joins();
    it.said();
    it.confirm_with(CHANNEL);
    let question = it.messages().remove(0);
    say(&mut it).expect("it waits");
    it.daemon
        .command(Command::Call(CallCommand::Make {
            call: CallId(7),
            name: String::from("$sent"),
            payload: moorline_core::Raw::absent(),
            options: moorline_core::Raw::empty_object(),
        }))
        .expect("a question");
    assert!(it.events().is_empty(), "it has not left");
    answer(&mut it, &question, 404);
    assert_eq!(blobs(&it.frames()).len(), 2);
    assert_eq!(brief(&it.events()), ["answered"], "now it has");
    let mut it = Scene::new(&json!({}));
    say(&mut it).expect("it waits");
    it.joins();
    it.said();
    assert_eq!(brief(&it.confirm()), ["UNSUPPORTED"]);
    assert_eq!(say(&mut it).expect_err("nobody would read it").code(), ErrorCode::Unsupported);
    assert!(it.said().is_empty());
}

#[test]
fn a_command_in_an_envelope_is_refused_and_not_left_without_an_answer() {
    let mut it = speaking(3);
    let text = "451-[\"team-cluster-daemon:message\",{\"type\":\"command-binary\",\"requestId\":\"r\",\
                \"command\":\"h\",\"envelope\":{\"_placeholder\":true,\"num\":0}}]";
    it.daemon.say(it.session, [Frame::Text(text.into()), Frame::Binary(Bytes::new())]);
    let answer = it.messages().remove(0);
    assert_eq!((&answer["ok"], &answer["status"]), (&json!(false), &json!(501)));
}

#[test]
fn a_stream_that_lost_parts_while_it_waited_says_so_at_its_end() {
    let mut it = Scene::new(&json!({"max_queued": 4}));
    for _ in 0..6 {
        stream(&mut it, "{\"stream_id\":\"log\",\"chunk\":\"e30=\"}", b"").expect("it waits");
    }
    stream(&mut it, "{\"stream_id\":\"log\",\"end\":true}", b"").expect("it waits");
    it.events();
    it.joins();
    it.said();
    it.confirm_with(CHANNEL);
    let question = it.messages().remove(0);
    answer(&mut it, &question, 404);
    let frames = it.frames();
    assert_eq!(blobs(&frames).len(), 3);
    let end = "\"parts of it were dropped before they could be sent\"";
    assert!(texts(&frames).last().is_some_and(|text| text.contains(end)), "{frames:?}");
    stream(&mut it, "{\"stream_id\":\"log\",\"chunk\":\"e30=\"}", b"").expect("the next one");
    stream(&mut it, "{\"stream_id\":\"log\",\"end\":true}", b"").expect("it has all its parts");
    assert!(texts(&it.frames()).last().is_some_and(|text| !text.contains("\"message\":")));
}

#[test]
fn what_is_said_after_a_question_whether_all_has_left_does_not_hold_it_up() {
    let mut it = Scene::new(&json!({}));
    it.emit("{\"type\":\"note\"}").expect("it waits");
    it.daemon
        .command(Command::Call(CallCommand::Make {
            call: CallId(7),
            name: String::from("$sent"),
            payload: moorline_core::Raw::absent(),
            options: moorline_core::Raw::empty_object(),
        }))
        .expect("a question");
    stream(&mut it, "{\"stream_id\":\"log\",\"chunk\":\"e30=\"}", b"").expect("it waits");
    it.joins();
    it.said();
    assert!(brief(&it.confirm_with(CHANNEL)).contains(&String::from("answered")));
}

#[test]
fn a_drain_does_not_wait_for_a_control_plane_that_shows_no_generation() {
    let (mut it, _) = asked(&json!({}));
    it.stop(30_000);
    assert_eq!(it.said(), ["41"]);
}
