//! Probes and metrics.

use super::access::{SECURED, log_in};
use super::*;

fn page(rig: &mut Rig, url: &str, headers: Headers) -> (Option<u16>, String) {
    let http = rig.ask_with(Method::Get, url, "", headers);
    let text = String::from_utf8(rig.replies[&http].bytes().to_vec()).unwrap();
    (rig.status(http), text)
}

fn metrics(rig: &mut Rig) -> String {
    let (status, text) = page(rig, "/metrics", Headers::new());
    assert_eq!(status, Some(200), "{text}");
    text
}

fn value(text: &str, series: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is missing in\n{text}")).to_owned()
}

#[test]
fn workers_queue_and_outcomes_are_counted() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 2);
    let first = rig.enqueue("");
    rig.pass(1_500);
    rig.complete(worker, &first, 1);
    let _running = rig.enqueue("");
    rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Nobody","Action":"Does"}"#);
    rig.pass(2_000);
    let text = metrics(&mut rig);
    for (series, expected) in [
        ("moorline_build_info{version=\"0.1.0\",dialect=\"beacon\",role=\"hub\"}", "1"),
        ("moorline_start_time_seconds", "1795246617.000"),
        ("moorline_ready", "1"),
        ("moorline_hub_connections", "1"),
        ("moorline_hub_workers{state=\"online\"}", "1"),
        ("moorline_hub_slots", "2"),
        ("moorline_hub_slots_used", "1"),
        ("moorline_hub_items{state=\"pending\"}", "1"),
        ("moorline_hub_items{state=\"running\"}", "1"),
        ("moorline_hub_oldest_pending_seconds", "2.000"),
        ("moorline_hub_finished_total{ending=\"complete\"}", "1"),
        ("moorline_hub_run_seconds_sum", "1.500"),
        ("moorline_hub_run_seconds_bucket{le=\"1.0\"}", "0"),
        ("moorline_hub_run_seconds_bucket{le=\"5.0\"}", "1"),
        ("moorline_hub_capability_workers{capability=\"Echo\"}", "1"),
        ("moorline_hub_capability_items{capability=\"Echo\",state=\"running\"}", "1"),
        ("moorline_hub_capability_items{capability=\"other\",state=\"pending\"}", "1"),
        ("moorline_hub_daemons{status=\"connected\"}", "0"),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    assert!(!text.contains("Nobody"), "who dispatches makes up no values: {text}");
}

#[test]
fn capabilities_that_workers_make_up_are_bounded_for_good() {
    let mut rig = Rig::new("{}");
    let mut series = 0;
    for round in 0..5 {
        let conn = rig.connect(Headers::new());
        let names: Vec<String> = (0..60).map(|n| format!("\"C{round}-{n}\"")).collect();
        let names = names.join(",");
        let text = format!(
            r#"{{"Action":"BeaconRegister","Name":"w{round}","Capabilities":["other",{names}]}}"#
        );
        rig.say(conn, &text);
        let text = metrics(&mut rig);
        let mine = text.lines().filter(|line| line.starts_with("moorline_hub_capability_workers{"));
        series = mine.count();
        assert!(series <= 101, "{series}");
        rig.cut(conn);
    }
    assert_eq!(series, 101);
    assert_eq!(
        value(&metrics(&mut rig), "moorline_hub_capability_workers{capability=\"C0-0\"}"),
        "0"
    );
}

#[test]
fn made_up_capabilities_give_way_when_nobody_has_had_them_for_an_hour() {
    let mut rig = Rig::new("{}");
    let register = |rig: &mut Rig, name: &str, capabilities: &[String]| {
        let conn = rig.connect(Headers::new());
        let capabilities = capabilities.join(",");
        rig.say(
            conn,
            &format!(
                r#"{{"Action":"BeaconRegister","Name":"{name}","Capabilities":[{capabilities}]}}"#
            ),
        );
        conn
    };
    let junk: Vec<String> = (0..100).map(|n| format!("\"Junk{n}\"")).collect();
    let eve = register(&mut rig, "eve", &junk);
    rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Junk7","Action":"Say"}"#);
    metrics(&mut rig);
    rig.cut(eve);
    register(&mut rig, "ada", &[String::from("\"Echo\"")]);
    let workers = |text: &str, name: &str| {
        value(text, &format!("moorline_hub_capability_workers{{capability=\"{name}\"}}"))
    };
    let text = metrics(&mut rig);
    assert_eq!((workers(&text, "other"), workers(&text, "Junk0")), ("1".into(), "0".into()));
    rig.pass(3_600_000);
    register(&mut rig, "ada", &[String::from("\"Echo\"")]);
    let text = metrics(&mut rig);
    assert_eq!((workers(&text, "other"), workers(&text, "Echo")), ("0".into(), "1".into()));
    assert!(!text.contains("\"Junk0\""), "one place was needed, and is given: {text}");
    assert!(text.contains("\"Junk7\"") && text.contains("\"Junk99\""), "{text}");
}

#[test]
fn probes_are_open_and_metrics_are_a_view() {
    let mut rig = Rig::new(SECURED);
    let stranger = || Headers::new().with("host", "10.1.2.3:54321");
    let ok = |text: &str| (Some(200), text.to_owned());
    assert_eq!(page(&mut rig, "/live", stranger()), ok("live\n"));
    assert_eq!(page(&mut rig, "/ready", stranger()), ok("ready\n"));
    assert_eq!(page(&mut rig, "/metrics", stranger()).0, Some(403));
    assert_eq!(page(&mut rig, "/metrics", Headers::new()).0, Some(401));
    assert!(log_in(&mut rig, "ops", "wrong").is_none());
    let cookie = log_in(&mut rig, "ops", "pw").unwrap();
    let (status, text) = page(&mut rig, "/metrics", cookie);
    assert_eq!(status, Some(200));
    assert_eq!(value(&text, "moorline_hub_logins_refused_total"), "1");
    assert_eq!(value(&text, "moorline_hub_sessions"), "1");
}

#[test]
fn a_hub_that_stores_nothing_or_drains_is_not_ready_and_lives() {
    let mut rig = Rig::new("{}");
    rig.synced = false;
    rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Action":"Say"}"#);
    rig.fail_commit();
    let no = |why: &str| (Some(503), format!("not ready: {why}\n"));
    assert_eq!(page(&mut rig, "/ready", Headers::new()), no("the store fails"));
    // `runtime.health_listen` asks for it.
    assert_eq!(Endpoint::why_not_ready(&rig.hub), Some("the store fails"));
    assert_eq!(value(&metrics(&mut rig), "moorline_hub_store_failing"), "1");
    let mut rig = Rig::new("{}");
    rig.worker("w", 1);
    rig.enqueue("");
    rig.hub.handle_command(Command::Stop { drain_ms: 5_000 }, rig.now()).unwrap();
    rig.drain();
    assert_eq!(page(&mut rig, "/ready", Headers::new()), no("draining"));
    assert_eq!(page(&mut rig, "/live", Headers::new()).0, Some(200));
}
