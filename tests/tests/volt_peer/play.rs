//! Plays a scenario, step by step.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use crate::daemon::{Daemon, Outcome};
use crate::pattern::{Names, expand, fits};
use crate::server::{Log, Server};

struct Play {
    scenario: Value,
    server: Server,
    place: usize,
    daemons: BTreeMap<String, (Daemon, Log, usize)>,
    pending: BTreeMap<String, JoinHandle<Outcome>>,
    names: Names,
}

/// Plays one scenario; panics at the first step that does not come to what it should.
pub(crate) async fn play(scenario: Value, answers: Value) {
    let mut options = json!({ "answers": answers });
    merge(&mut options, scenario.get("server"));
    let server = Server::start(&options).await;
    let steps = scenario["steps"].as_array().unwrap().clone();
    let mut play = Play {
        scenario,
        server,
        place: 0,
        daemons: BTreeMap::new(),
        pending: BTreeMap::new(),
        names: Names::new(),
    };
    for step in steps {
        play.step(&step).await;
    }
    for (daemon, ..) in play.daemons.values() {
        daemon.perform("disconnect", &json!({})).await.unwrap();
    }
}

fn merge(into: &mut Value, more: Option<&Value>) {
    for (key, value) in more.and_then(Value::as_object).into_iter().flatten() {
        into[key] = value.clone();
    }
}

impl Play {
    fn daemon(&mut self, step: &Value) -> &mut (Daemon, Log, usize) {
        let name = step.get("who").and_then(Value::as_str).unwrap_or("a");
        if !self.daemons.contains_key(name) {
            let daemon = self.open(name);
            self.daemons.insert(name.to_owned(), daemon);
        }
        self.daemons.get_mut(name).unwrap()
    }

    fn open(&self, name: &str) -> (Daemon, Log, usize) {
        let (scenario, url) = (&self.scenario, &self.server.url);
        let path = scenario.get("path").and_then(Value::as_str).unwrap_or_default();
        let mut options = json!({
            "server_url": url,
            "control_socket_url": format!("{url}{path}"),
            "team_cluster_id": "cluster-abc123",
            "daemon_password": "rotated-pw-xyz",
            "reconnect.base_delay_ms": 20,
            "reconnect.max_delay_ms": 200,
        });
        if scenario.get("enroll").is_some() {
            let url = format!("{url}/api/team-clusters/cluster-abc123/healthcheck");
            options["enrollment.url"] = json!(url);
        }
        merge(&mut options, scenario.get("options"));
        merge(&mut options, scenario.get("daemons").and_then(|daemons| daemons.get(name)));
        let log = Log::default();
        (Daemon::open(&options, log.clone()), log, 0)
    }

    async fn step(&mut self, step: &Value) {
        let mut names = std::mem::take(&mut self.names);
        if let Some(operation) = step.get("op") {
            let (operation, fields) =
                (operation.as_str().unwrap().to_owned(), expand(step, &names));
            let daemon = self.daemon(step).0.clone();
            let run = async move { daemon.perform(&operation, &fields).await };
            match step.get("as") {
                None => settle(step, run.await, &mut names),
                Some(name) => {
                    self.pending.insert(name.as_str().unwrap().to_owned(), tokio::spawn(run));
                }
            }
        } else if let Some(name) = step.get("settles") {
            let outcome = self.pending.remove(name.as_str().unwrap()).unwrap().await.unwrap();
            settle(step, outcome, &mut names);
        } else if let Some(event) = step.get("event") {
            let (_, log, place) = self.daemon(step);
            *place = log.find(*place, |found| fits(event, found, &mut names)).await;
        } else if let Some(event) = step.get("no event") {
            let found = self.daemon(step).1.all();
            assert!(!found.iter().any(|found| fits(event, found, &mut names)), "{step}: {found:?}");
        } else if let Some(action) = step.get("server") {
            let mut fields = expand(step, &names).as_object().unwrap().clone();
            fields.remove("server");
            let gives = fields.remove("gives");
            let answer = self.server.act(action.as_str().unwrap(), &fields).await;
            if let Some(gives) = gives {
                assert!(fits(&gives, &answer, &mut names), "{step}: {answer}");
            }
        } else if let Some(record) = step.get("record") {
            let start = step.get("from").is_some();
            let from = if start { 0 } else { self.place };
            let records = self.server.records.clone();
            let place = records.find(from, |found| fits(record, found, &mut names)).await;
            if !start {
                self.place = place;
            }
        } else {
            let record = &step["no record"];
            self.server.act("fence", &Map::new()).await;
            let found = self.server.records.all();
            assert!(
                !found.iter().any(|found| fits(record, found, &mut names)),
                "{step}: {found:?}"
            );
        }
        self.names = names;
    }
}

fn settle(step: &Value, outcome: Outcome, names: &mut Names) {
    if let Some(wanted) = step.get("error") {
        let Err(error) = outcome else { panic!("{step} succeeded") };
        assert!(fits(wanted, &error, names), "{step}: {error}");
        return;
    }
    let value = outcome.unwrap_or_else(|error| panic!("{step}: {error}"));
    let wanted = step.get("value").map(|wanted| expand(wanted, names));
    if !matches!(step.get("op").and_then(Value::as_str), Some("connect" | "disconnect")) {
        assert_eq!(value, wanted, "{step}");
    }
}
