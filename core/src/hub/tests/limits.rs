//! What is refused, and how the hub ends.

use super::*;
use crate::api::event::{CallEvent, SessionEvent};

#[test]
fn too_much_is_refused_with_a_time_to_come_back() {
    let mut rig = Rig::new(r#"{"max_queued":2,"enqueue_burst":3,"enqueue_rate":1}"#);
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    rig.enqueue("");
    rig.enqueue("");
    let deep = rig.post("/Beacon/Work/Enqueue", body);
    assert_eq!(
        (rig.status(deep), rig.reply(deep)["Reason"].as_str()),
        (Some(429), Some("queued_depth_exceeded"))
    );
    let often = rig.post("/Beacon/Work/Enqueue", body);
    assert_eq!(rig.reply(often)["Reason"], "client_rate_limit");
    assert_eq!(rig.replies[&often].headers.first("retry-after"), Some("1"));
}

#[test]
fn the_bytes_of_the_queue_are_bounded() {
    let mut rig = Rig::new(r#"{"max_queued_bytes":4096,"limits":{"max_message_bytes":4096}}"#);
    let large = "x".repeat(2_000);
    let body = format!(r#"{{"Capability":"Echo","Action":"Say","Settings":{{"a":"{large}"}}}}"#);
    let first = rig.post("/Beacon/Work/Enqueue", &body);
    let second = rig.post("/Beacon/Work/Enqueue", &body);
    assert_eq!((rig.status(first), rig.status(second)), (Some(200), Some(429)));
}

#[test]
fn lists_come_in_parts_and_without_large_settings_unless_asked() {
    let mut rig = Rig::new(r#"{"enqueue_rate":0}"#);
    let large = format!(r#","Settings":{{"a":"{}"}}"#, "x".repeat(100_000));
    let hashes: Vec<String> =
        (0..1_100).map(|number| rig.enqueue(if number < 100 { &large } else { "" })).collect();
    let part = |rig: &mut Rig, query: &str| -> Vec<Value> {
        let http = rig.ask(Method::Get, &format!("/Beacon/Work{query}"), "");
        assert_eq!(rig.status(http), Some(200), "{query}");
        rig.reply(http).as_array().unwrap().clone()
    };
    let hash = |item: &Value| item["WorkItemHash"].as_str().unwrap().to_owned();
    let first = part(&mut rig, "");
    assert_eq!(first.len(), 1_000);
    assert!(first[..100].iter().all(|item| item.get("Settings").is_none()));
    assert!(first[100..].iter().all(|item| item["Settings"] == serde_json::json!({})));
    let rest = part(&mut rig, &format!("?after={}", hash(&first[999])));
    let all: Vec<String> = first.iter().chain(&rest).map(hash).collect();
    assert_eq!(all, hashes);
    assert!(part(&mut rig, &format!("?after={}", hashes[1_099])).is_empty());
    let two = part(&mut rig, &format!("?limit=2&after={}&settings=true", hashes[98]));
    assert_eq!(two.iter().map(hash).collect::<Vec<_>>(), hashes[99..101]);
    assert_eq!(two[0]["Settings"]["a"].as_str().unwrap().len(), 100_000);
    assert_eq!(two[1]["Settings"], serde_json::json!({}));
    // With settings a part ends early, and one that begins behind an item that has ended goes on there.
    let early = part(&mut rig, "?settings=true");
    assert!((40..42).contains(&early.len()), "{}", early.len());
    let last = hash(early.last().unwrap());
    rig.post(&format!("/Beacon/Work/{last}/Cancel"), "");
    let next = part(&mut rig, &format!("?limit=1&after={last}"));
    assert_eq!(hash(&next[0]), hashes[early.len()]);
    let http = rig.ask(Method::Get, "/Beacon/Work?after=nonsense", "");
    assert_eq!(rig.status(http), Some(404));
    let http = rig.ask(Method::Get, &format!("/Beacon/Queue?limit=3&after={}", hashes[0]), "");
    let reply = rig.reply(http);
    assert_eq!(
        reply["Items"].as_array().unwrap().iter().map(hash).collect::<Vec<_>>(),
        hashes[1..4]
    );
    assert_eq!(reply["Counts"]["Pending"], 1_099);
    rig.call(1, "$work", &format!(r#"{{"Limit":1,"After":"{}"}}"#, hashes[6]), "{}");
    let said = format!("{:?}", rig.events.last().unwrap());
    assert!(said.contains("Done"), "{said}");
    for name in ["a", "b", "c"] {
        rig.worker(name, 0);
    }
    let http = rig.ask(Method::Get, "/Beacon?limit=2", "");
    let id = rig.reply(http)[1]["BeaconID"].as_str().unwrap().to_owned();
    let http = rig.ask(Method::Get, &format!("/Beacon?after={id}"), "");
    assert_eq!(rig.reply(http)[0]["Name"], "c");
}

#[test]
fn what_workers_say_of_an_item_counts_until_it_ends() {
    let mut rig = Rig::new(r#"{"max_queued_bytes":8192,"limits":{"max_message_bytes":8192}}"#);
    let hash = rig.enqueue("");
    let worker = rig.worker("w", 1);
    let report = |more: &str| {
        format!(r#"{{"Action":"WorkProgress","WorkItemHash":"{hash}","ProgressData":{{{more}}}}}"#)
    };
    let line = "l".repeat(1_000);
    for _ in 0..100 {
        rig.say(worker, &report(&format!(r#""Log":["{line}"]"#)));
    }
    rig.say(worker, &report(&format!(r#""Message":"{}""#, "m".repeat(70_000))));
    let http = rig.ask(Method::Get, "/Moorline/Status", "");
    let held = rig.reply(http)["Queue"]["Bytes"].as_u64().unwrap();
    assert!((7_000..=8_192).contains(&held), "{held}");
    let full = rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Echo"}"#);
    assert_eq!(rig.status(full), Some(429));
    rig.complete(worker, &hash, 1);
    let http = rig.ask(Method::Get, "/Moorline/Status", "");
    assert_eq!(rig.reply(http)["Queue"]["Bytes"], 0);
    let http = rig.ask(Method::Get, &format!("/Beacon/Work/{hash}/Result"), "");
    let lines = rig.reply(http)["Log"].as_array().unwrap().len();
    assert!((6..8).contains(&lines), "{lines}");
}

#[test]
fn long_names_and_bad_bodies_are_refused() {
    let mut rig = Rig::new("{}");
    let long = "n".repeat(257);
    for (url, body, status) in [
        ("/Beacon/Work/Enqueue", format!(r#"{{"Capability":"{long}"}}"#), 400),
        ("/Beacon/Register", format!(r#"{{"Name":"{long}","Capabilities":[]}}"#), 400),
        ("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Settings":[]}"#.to_owned(), 400),
        ("/Beacon/Work/Dispatch", "{".to_owned(), 400),
        ("/Beacon/Work/Poll", "{".to_owned(), 400),
        ("/Beacon/Work/Complete/Batch", "{}".to_owned(), 400),
        ("/Beacon/Work/Dispatch", r#"{"Capability":"Echo"}"#.to_owned(), 503),
        ("/nothing", "{}".to_owned(), 404),
        ("/status", "{}".to_owned(), 405),
    ] {
        let http = rig.post(url, &body);
        assert_eq!(rig.status(http), Some(status), "{url} {body:.60}");
    }
    let http = rig.post("/Beacon/Work/Dispatch", "{");
    assert_eq!(rig.reply(http)["code"], "InvalidContent");
}

#[test]
fn whoever_does_not_register_in_time_is_closed() {
    let mut rig = Rig::new(r#"{"registration_timeout_ms":1000}"#);
    let idle = rig.connect(Headers::new());
    let worker = rig.worker("w", 1);
    rig.pass(1_000);
    assert_eq!(rig.closed[&idle].0, 1008);
    assert!(!rig.closed.contains_key(&worker));
}

#[test]
fn unregistered_connections_of_one_address_are_bounded() {
    let mut rig = Rig::new(r#"{"max_unadmitted_per_address":2}"#);
    rig.connect(Headers::new());
    rig.connect(Headers::new());
    let third = rig.connect(Headers::new());
    assert_eq!(rig.closed[&third].0, 503);
}

#[test]
fn a_stop_waits_for_what_runs_and_gives_out_no_more() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let running = rig.dispatch();
    let waiting = rig.dispatch();
    let now = rig.now();
    rig.hub.handle_command(Command::Stop { drain_ms: 10_000 }, now).unwrap();
    rig.drain();
    let refused = rig.dispatch();
    assert_eq!(rig.status(refused), Some(503));
    let (hash, _) = rig.pushed(worker)[0].clone();
    rig.complete(worker, &hash, 1);
    assert_eq!((rig.status(running), rig.status(waiting)), (Some(200), Some(503)));
    assert!(matches!(rig.events.last(), Some(Event::Session(SessionEvent::Ended { error: None }))));
    assert_eq!(rig.closed[&worker].0, 1001);
    assert_eq!(rig.hub.poll_timeout(), None);
    let mut rig = rig.restart(1_000);
    let worker = rig.worker("w", 1);
    assert_eq!(rig.pushed(worker).len(), 1, "what waited is still to be done");
}

#[test]
fn a_stop_ends_at_its_deadline_whatever_runs() {
    let mut rig = Rig::new("{}");
    rig.worker("w", 1);
    rig.call(4, "Echo/Say", "{}", "{}");
    let now = rig.now();
    rig.hub.handle_command(Command::Stop { drain_ms: 500 }, now).unwrap();
    rig.drain();
    rig.pass(500);
    let [
        Event::Call(CallEvent::Done { result: Err(call), .. }),
        Event::Session(SessionEvent::Ended { error: Some(end) }),
    ] = &rig.events[rig.events.len() - 2..]
    else {
        panic!("{:?}", rig.events)
    };
    assert_eq!(call.code(), crate::base::error::ErrorCode::Stopped);
    assert_eq!(end.code(), crate::base::error::ErrorCode::DrainTimeout);
}

#[test]
fn work_that_no_frame_can_hold_is_refused_at_the_door() {
    let mut rig = Rig::new(r#"{"limits":{"max_message_bytes":4096}}"#);
    let conn = rig.foreign_worker("w", 8);
    let mut largest = 0;
    for bytes in 2_800..3_600 {
        let body = format!(
            r#"{{"Capability":"Echo","Action":"Say","Settings":{{"a":"{}"}}}}"#,
            "x".repeat(bytes)
        );
        let http = rig.post("/Beacon/Work/Dispatch", &body);
        if rig.status(http).is_none() {
            let frame = rig.sent[&conn].last().unwrap().len();
            assert!(frame <= 4_096, "{frame}");
            largest = largest.max(frame);
            let (hash, attempt) = rig.pushed(conn).pop().unwrap();
            rig.complete(conn, &hash, attempt);
            continue;
        }
        assert_eq!(rig.status(http), Some(413), "{bytes}");
        assert!(rig.reply(http)["Error"].as_str().unwrap().contains("max_message_bytes is 4096"));
        rig.call(4, "Echo/Say", &format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes)), "{}");
        let Some(Event::Call(CallEvent::Done { result: Err(error), .. })) = rig.events.last()
        else {
            panic!("{:?}", rig.events)
        };
        assert_eq!(error.code(), crate::base::error::ErrorCode::TooLarge);
        assert!(largest > 3_900, "{largest}");
        return;
    }
    panic!("nothing was refused");
}

#[test]
fn work_that_its_worker_cannot_take_fails_and_nothing_else() {
    let mut rig = Rig::new("{}");
    let conn = rig.connect(Headers::new());
    rig.say(
        conn,
        r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"MaxConcurrent":9,
            "Moorline":{"Acks":true,"MaxMessageBytes":4096,"Running":[]}}"#,
    );
    let small = rig.dispatch();
    let body = format!(
        r#"{{"Capability":"Echo","Action":"Say","Settings":{{"a":"{}"}}}}"#,
        "x".repeat(4_000)
    );
    let large = rig.post("/Beacon/Work/Dispatch", &body);
    assert_eq!(rig.status(large), Some(500));
    assert!(rig.reply(large)["Error"].as_str().unwrap().starts_with("TOO_LARGE: "));
    let enqueued = rig.post("/Beacon/Work/Enqueue", &body);
    assert_eq!(rig.status(enqueued), Some(413));
    assert_eq!((rig.status(small), rig.pushed(conn).len()), (None, 1));
}

#[test]
fn work_from_a_store_that_cannot_be_delivered_any_more_fails() {
    let mut rig = Rig::new("{}");
    let hash = rig.enqueue(&format!(r#","Settings":{{"a":"{}"}}"#, "x".repeat(5_000)));
    let small = rig.enqueue("");
    rig.options = r#"{"limits":{"max_message_bytes":4096}}"#.to_owned();
    let mut rig = rig.restart(1_000);
    assert_eq!(rig.item_status(&hash), "Error");
    assert_eq!(rig.item_status(&small), "Pending");
}

#[test]
fn the_hub_tells_workers_of_ours_what_it_takes() {
    let mut rig = Rig::new(r#"{"limits":{"max_message_bytes":4096},"max_body_bytes":8192}"#);
    let conn = rig.worker("w", 1);
    assert_eq!(rig.frames(conn)[0]["Moorline"]["MaxMessageBytes"], 4_096);
    let http = rig.post(
        "/Beacon/Register",
        r#"{"Name":"p","Capabilities":[],"Moorline":{"Acks":true,"Running":[]}}"#,
    );
    assert_eq!(rig.reply(http)["Moorline"]["MaxMessageBytes"], 8_192);
    let conn = rig.foreign_worker("f", 1);
    assert!(rig.frames(conn)[0]["Moorline"].is_null());
}

#[test]
fn what_a_worker_lists_in_pages_counts_when_the_last_one_is_there() {
    let mut rig = Rig::new("{}");
    let conn = rig.worker("w", 9);
    let hashes: Vec<_> = (0..3).map(|_| rig.enqueue("")).collect();
    assert_eq!(rig.pushed(conn).len(), 3);
    let page = |number: u32, hash: &str, more: bool| {
        format!(
            r#"{{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"MaxConcurrent":9,
            "Moorline":{{"Acks":true,"Page":{number},"More":{more},
            "Running":[{{"WorkItemHash":"{hash}","AttemptNumber":1}}]}}}}"#
        )
    };
    let conn = rig.connect(Headers::new());
    rig.say(conn, &page(0, &hashes[0], true));
    let new = rig.enqueue("");
    assert_eq!(rig.pushed(conn), [(new.clone(), 1)]);
    rig.say(conn, &page(1, &hashes[2], false));
    assert_eq!(rig.pushed(conn), [(new, 1), (hashes[1].clone(), 2)]);
}

#[test]
fn large_registrations_pass_from_this_host() {
    let mut rig = Rig::new("{}");
    let conn = rig.connect(Headers::new());
    let schemas: Vec<_> = (0..1_000)
        .map(|n| {
            let text = "d".repeat(200);
            format!(r#"{{"Capability":"Echo","Action":"Say{n}","Description":"{text}"}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"ActionSchemas":[{}]}}"#,
        schemas.join(",")
    );
    rig.say(conn, &text);
    assert_eq!(rig.frames(conn)[0]["EventType"], "BeaconRegistered");
    let kept = format!(
        r#"{{"Action":"BeaconRegister","Name":"w","Capabilities":[],"Tags":{{"a":"{}"}}}}"#,
        "x".repeat(70_000)
    );
    rig.say(conn, &kept);
    assert_eq!(rig.frames(conn)[1]["EventType"], "BeaconRejected");
}

#[test]
fn who_says_too_much_before_it_registers_is_named_in_the_log() {
    let mut rig = Rig::new("{}");
    let conn = rig.connect(Headers::new());
    let error = crate::base::error::Error::new(
        crate::base::error::ErrorCode::TooLarge,
        "a message of 70000 bytes exceeds the 65536 that are allowed",
    );
    let cause = CloseCause::Exceeded { error, beginning: Bytes::new() };
    rig.input(Input::Conn(ConnInput::Closed { conn, cause }));
    let Some(Event::Session(SessionEvent::Notice { error })) = rig.events.last() else { panic!() };
    assert!(error.message().contains("127.0.0.1") && error.message().contains("70000"), "{error}");
}

/// Ends a connection because of a message that begins so, or because of one of ours.
fn exceed(rig: &mut Rig, conn: ConnId, begins: Option<String>) {
    let code = crate::base::error::ErrorCode::TooLarge;
    let error = crate::base::error::Error::new(code, "a message of 20971520 bytes");
    let cause = match begins {
        Some(text) => CloseCause::Exceeded { error, beginning: text.into() },
        None => CloseCause::Remote { code: 1009, reason: String::new() },
    };
    rig.input(Input::Conn(ConnInput::Closed { conn, cause }));
    rig.pass(0);
}

#[test]
fn a_result_that_is_too_large_fails_its_item_at_once_and_spares_the_others() {
    let mut rig = Rig::new(r#"{"max_redeliveries":0}"#);
    let conn = rig.foreign_worker("f", 9);
    let asked: Vec<_> = (0..3).map(|_| rig.dispatch()).collect();
    let items = rig.pushed(conn);
    let begins = |hash: &str, other: &str| {
        Some(format!(
            r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"a":"{other}""#
        ))
    };
    exceed(&mut rig, conn, begins(&items[1].0, &items[0].0));
    assert_eq!(rig.status(asked[1]), Some(500));
    assert!(rig.reply(asked[1])["Error"].as_str().unwrap().starts_with("TOO_LARGE: "));
    let conn = rig.foreign_worker("f", 9);
    assert_eq!(rig.pushed(conn), [(items[0].0.clone(), 2), (items[2].0.clone(), 2)]);
    exceed(&mut rig, conn, begins(&items[2].0, ""));
    let conn = rig.foreign_worker("f", 9);
    assert_eq!(rig.pushed(conn), [(items[0].0.clone(), 3)]);
}

#[test]
fn an_item_that_a_worker_closes_with_1009_fails_and_spares_the_others() {
    let mut rig = Rig::new(r#"{"max_redeliveries":0}"#);
    let conn = rig.foreign_worker("f", 9);
    let small = rig.dispatch();
    let body = format!(
        r#"{{"Capability":"Echo","Action":"Say","Settings":{{"a":"{}"}}}}"#,
        "x".repeat(5_000)
    );
    let large = rig.post("/Beacon/Work/Dispatch", &body);
    exceed(&mut rig, conn, None);
    assert_eq!((rig.status(small), rig.status(large)), (None, Some(500)));
    let conn = rig.foreign_worker("f", 9);
    assert_eq!(rig.pushed(conn).len(), 1);
}

/// The original's worker over HTTP: nobody else tells that its result cannot pass.
#[test]
fn a_report_over_http_that_is_too_large_fails_its_item_at_once() {
    let mut rig = Rig::new("{}");
    let mut register = |more: &str| {
        let body =
            format!(r#"{{"Name":"p{more}","Capabilities":["Echo"],"MaxConcurrent":9{more}}}"#);
        let http = rig.post("/Beacon/Register", &body.replacen(more, "", 1));
        rig.reply(http)["BeaconID"].as_str().unwrap().to_owned()
    };
    let id = register("");
    let mut run = || {
        let hash = rig.enqueue("");
        rig.post("/Beacon/Work/Poll", &format!(r#"{{"BeaconID":"{id}"}}"#));
        hash
    };
    let (one, two, three) = (run(), run(), run());
    let mut exceed = |url: &str, body: &str| {
        let (method, url, headers) = (Method::Post, url.to_owned(), Headers::new());
        let request = HttpRequest { method, url, headers, body: body.to_owned().into() };
        let remote = "127.0.0.1:6000".to_owned();
        rig.input(Input::Server(ServerInput::Exceeded { request, remote }));
        [&one, &two, &three].map(|hash| rig.item_status(hash))
    };
    let states = exceed(&format!("/Beacon/Work/{one}/Complete"), "");
    assert_eq!(states, ["Error", "Running", "Running"]);
    let begins = format!(r#"{{"Items":[{{"WorkItemHash":"{two}","Outputs":{{"a":"xxx"#);
    assert_eq!(exceed("/Beacon/Work/Complete/Batch", &begins), ["Error", "Error", "Running"]);
    let states = exceed("/Beacon/Work/Enqueue", &begins.replace(&two, &three));
    assert_eq!(states, ["Error", "Error", "Running"]);
    let http = rig.ask(Method::Get, &format!("/Beacon/Work/{one}/Result"), "");
    assert!(rig.reply(http)["Error"].as_str().unwrap().starts_with("TOO_LARGE: "));
}

/// K3.4: strangers behind a proxy are told apart only where it is trusted.
#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    for (trusted, is_trusted) in [("", false), (r#""127.0.0.0/8""#, true)] {
        let mut rig = Rig::new(&format!(
            r#"{{"max_unadmitted_per_address":1,"trusted_proxies":[{trusted}]}}"#
        ));
        let mut is_refused = |client: &str| {
            let headers = Headers::new().with("x-forwarded-for", format!("127.0.0.1, {client}"));
            let conn = rig.connect(headers);
            rig.closed.contains_key(&conn)
        };
        let refused = ["198.51.100.7", "198.51.100.8", "198.51.100.8"].map(&mut is_refused);
        assert_eq!(refused, [false, !is_trusted, true]);
        let from = if is_trusted { "198.51.100.8:0: " } else { "127.0.0.1:5000: " };
        assert!(rig.notices().iter().all(|told| told.starts_with(from)), "{:?}", rig.notices());
    }
    let options = r#"{"trusted_proxies":["10.0.0.1","proxy"]}"#;
    let error = Hub::open(options::read(options).unwrap(), [7; 32]).unwrap_err();
    assert!(error.message().contains("trusted_proxies[1]"), "{error}");
}

#[test]
fn numbers_of_which_one_makes_another_unreachable_are_refused_by_both_names() {
    let pairs = [
        ("worker", "limits.max_message_bytes", "limits.max_send_queue_bytes"),
        ("worker", "reconnect.base_delay_ms", "reconnect.max_delay_ms"),
        ("hub", "limits.max_message_bytes", "limits.max_send_queue_bytes"),
        ("hub", "limits.max_message_bytes", "max_queued_bytes"),
        ("hub", "limits.max_message_bytes", "max_result_bytes"),
        ("hub", "max_body_bytes", "max_connection_bytes"),
        ("hub", "limits.max_send_queue_bytes", "max_connection_bytes"),
        ("hub", "max_body_bytes", "max_result_bytes"),
        ("hub", "max_unadmitted_per_address", "max_connections"),
    ];
    let open = |role: &str, low: (&str, u64), high: (&str, u64)| {
        let mut options = serde_json::Map::new();
        for (path, number) in [low, high] {
            match path.split_once('.') {
                Some((group, name)) => options
                    .entry(group)
                    .or_insert_with(|| serde_json::json!({}))
                    .as_object_mut()
                    .unwrap()
                    .insert(name.to_owned(), number.into()),
                None => options.insert(path.to_owned(), number.into()),
            };
        }
        let text = serde_json::to_string(&options).unwrap();
        crate::open::open("beacon", role, &text, "host", [0; 32]).err().map(|e| e.to_string())
    };
    for (role, low, high) in pairs {
        let number = match low {
            "max_unadmitted_per_address" => 1_000,
            "reconnect.base_delay_ms" => 100_000,
            // All together hold no less than one may have waiting.
            _ if high == "max_connection_bytes" => 40_000_000,
            _ => 20_000_000,
        };
        assert_eq!(open(role, (low, number), (high, number)), None, "{role}: {low} {high}");
        let said = open(role, (low, number + 1), (high, number)).unwrap();
        assert!(said.contains(low) && said.contains(high), "{said}");
    }
}

#[test]
fn every_number_that_bounds_a_size_is_compared_or_stands_alone() {
    // What may be larger than a message, or smaller: it cuts nothing off that another number allows.
    let alone = ["max_body_bytes", "volt.max_message_bytes", "volt.max_stream_bytes"];
    let compared = ["max_queued_bytes", "max_result_bytes", "max_connection_bytes"];
    let sizes = |fields: Vec<options::Field>| {
        let sizes = fields.into_iter().filter(|field| field.unit == "bytes");
        sizes.map(|field| field.name).collect::<Vec<_>>()
    };
    let mut known: Vec<_> = alone.iter().chain(&compared).copied().collect();
    known.retain(|name| !name.contains('.'));
    let mut hub = sizes(HubOptions::fields());
    hub.sort_unstable();
    known.sort_unstable();
    assert_eq!(
        hub, known,
        "compare the new number with its neighbours, or say why it stands alone"
    );
    let limits = sizes(options::LimitOptions::fields());
    assert_eq!(limits, ["max_message_bytes", "max_send_queue_bytes"]);
}

#[test]
fn pushes_wait_for_a_connection_that_is_slow() {
    let mut rig = Rig::new(
        r#"{"limits":{"max_message_bytes":8192,"max_send_queue_bytes":65536},"enqueue_rate":0}"#,
    );
    let conn = rig.worker("w", 64);
    for _ in 0..40 {
        rig.enqueue(&format!(r#","Settings":{{"a":"{}"}}"#, "x".repeat(4_000)));
    }
    let waiting: usize = rig.sent[&conn].iter().map(String::len).sum();
    assert!((32_768..65_536).contains(&waiting), "{waiting}");
    let pushed = rig.pushed(conn).len();
    rig.input(Input::Conn(ConnInput::Sent { conn }));
    assert!(rig.pushed(conn).len() >= 2 * pushed - 1, "{pushed}");
    for _ in 0..10 {
        rig.input(Input::Conn(ConnInput::Sent { conn }));
    }
    assert_eq!(rig.pushed(conn).len(), 40);
}
