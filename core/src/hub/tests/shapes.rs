//! K10: shapes that real clients read. Source: `ultravisor` 1.3.24, `Ultravisor-API-Server.cjs` and
//! `Ultravisor-Beacon-Scheduler.cjs`.

use super::*;

fn look(rig: &mut Rig, url: &str) -> Value {
    let http = rig.ask(Method::Get, url, "");
    assert_eq!(rig.status(http), Some(200), "{url}");
    rig.reply(http)
}

#[test]
fn actions_come_in_an_object() {
    let mut rig = Rig::new("{}");
    let conn = rig.connect(Headers::new());
    rig.say(
        conn,
        r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"ActionSchemas":
        [{"Capability":"Echo","Action":"Say","Description":"d","SettingsSchema":[]}]}"#,
    );
    let seen = look(&mut rig, "/Beacon/Actions");
    assert_eq!(seen["Actions"][0]["Action"], "Say");
    assert_eq!(seen["Actions"][0]["Available"], true);
}

#[test]
fn the_queue_shows_a_summary_and_every_item_in_its_bucket() {
    let mut rig = Rig::new("{}");
    rig.foreign_worker("w", 1);
    let running = rig.enqueue("");
    let waiting = rig.enqueue("");
    let seen = look(&mut rig, "/Beacon/Queue");
    assert!(seen["Summary"]["At"].as_str().unwrap().ends_with('Z'));
    let buckets = r#"{"Upcoming":1,"InProgress":1,"Stalled":0,"Completed":0,"Errored":0}"#;
    let buckets: Value = serde_json::from_str(buckets).unwrap();
    assert_eq!(seen["Summary"]["Buckets"], buckets);
    let row = r#"{"Capability":"Echo","Action":"Say","Queued":1,"Running":1,"Stalled":0}"#;
    let rows = Value::Array(vec![serde_json::from_str(row).unwrap()]);
    assert_eq!(seen["Summary"]["ByCapability"], rows);
    assert_eq!(seen["History"], Value::Null);
    let items = |seen: &Value| {
        let items = seen["Items"].as_array().unwrap().iter();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        items.map(|item| (text(item, "Bucket"), text(item, "WorkItemHash"))).collect::<Vec<_>>()
    };
    let (running, waiting) = (("InProgress".to_owned(), running), ("Upcoming".to_owned(), waiting));
    assert_eq!(items(&seen), [running, waiting.clone()]);
    assert_eq!(items(&look(&mut rig, "/Beacon/Queue?bucket=Upcoming")), [waiting]);
}

#[test]
fn the_history_of_the_queue_is_asked_for_and_bounded() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let hashes: Vec<String> = (0..3)
        .map(|_| {
            let hash = rig.enqueue("");
            rig.complete(worker, &hash, 1);
            hash
        })
        .collect();
    assert_eq!(look(&mut rig, "/Beacon/Queue")["History"], Value::Null);
    let seen = look(&mut rig, "/Beacon/Queue?include=history&limit=2");
    let history = seen["History"].as_array().unwrap();
    let told: Vec<&str> =
        history.iter().map(|past| past["WorkItemHash"].as_str().unwrap()).collect();
    assert_eq!(told, [hashes[2].as_str(), &hashes[1]]);
    assert_eq!(
        (&history[0]["Status"], &history[0]["Capability"]),
        (&"Complete".into(), &"Echo".into())
    );
}

#[test]
fn items_show_what_was_reported_of_them() {
    let mut rig = Rig::new("{}");
    let worker = rig.foreign_worker("w", 1);
    let hash = rig.enqueue("");
    assert!(look(&mut rig, "/Beacon/Work")[0].get("Progress").is_none());
    rig.say(
        worker,
        &format!(
            r#"{{"Action":"WorkProgress","WorkItemHash":"{hash}",
            "ProgressData":{{"Percent":40,"Message":"half","Log":["a","b"]}}}}"#
        ),
    );
    let seen = look(&mut rig, "/Beacon/Work")[0].clone();
    assert_eq!(
        (&seen["Progress"]["Percent"], &seen["Progress"]["Message"]),
        (&40.into(), &"half".into())
    );
    assert!(seen["Progress"]["UpdatedAt"].is_string());
    assert_eq!(seen["AccumulatedLog"], serde_json::json!(["a", "b"]));
}

#[test]
fn a_move_tells_the_priority_before_and_after() {
    let mut rig = Rig::new("{}");
    let one = rig.enqueue("");
    let two = rig.enqueue(r#","Priority":-3"#);
    let mut move_it = |hash: &str, way: &str| {
        let url = format!("/Beacon/Work/{hash}/Reorder");
        let http = rig.post(&url, &format!(r#"{{"Direction":"{way}"}}"#));
        (rig.status(http).unwrap(), rig.reply(http))
    };
    let moved = serde_json::json!({
        "Success": true, "Reordered": true, "WorkItemHash": two, "OldPriority": -3, "NewPriority": 1,
    });
    assert_eq!(move_it(&two, "up"), (200, moved));
    let refused = |why: &str| serde_json::json!({"Reordered": false, "Error": why});
    assert_eq!(move_it(&two, "up"), (409, refused("already at top")));
    assert_eq!(move_it(&one, "down"), (409, refused("already at bottom")));
    let worker = rig.worker("w", 1);
    assert_eq!(rig.pushed(worker), [(two.clone(), 1)]);
    let http = rig.post(&format!("/Beacon/Work/{two}/Reorder"), r#"{"Direction":"up"}"#);
    let busy = refused("only Upcoming items can be reordered");
    assert_eq!((rig.status(http), rig.reply(http)), (Some(409), busy));
}
