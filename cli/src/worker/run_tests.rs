use std::future::{pending, ready};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::command::read_all;
use super::keeper::Keeper;
use super::run::{Ended, run};
use super::*;

/// A command that runs a script with `sh`, as an operator could list it.
fn script(text: &str, more: Value) -> Command {
    let mut row = json!({"capability": "T", "action": "t", "argv": ["sh", "-c", text]});
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    read_all(&json!([row])).unwrap().remove(0)
}

fn settings(text: &str) -> Raw {
    Raw::parse(text.to_owned()).unwrap()
}

async fn outputs(command: &Command, given: &str) -> Value {
    let ended = run(command, &settings(given), &Keeper::none(), pending()).await;
    let Ended::Exited(outputs) = ended else { panic!("{ended:?}") };
    outputs
}

/// Waits until the file has a line, and returns it as a process id.
async fn process_in(path: &Path) -> i32 {
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(line) = text.strip_suffix('\n') {
            return line.parse().unwrap();
        }
        tokio::task::yield_now().await;
    }
}

fn is_alive(process: i32) -> bool {
    // A zombie still answers signals: its state is in /proc.
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[tokio::test]
async fn outputs_carry_both_streams_and_a_numeric_code() {
    let command = script("echo out; echo err >&2; exit 3", json!({}));
    let expected = json!({"Result": "", "StdOut": "out\n", "StdErr": "err\n", "ExitCode": 3});
    assert_eq!(outputs(&command, "{}").await, expected);

    let command = script("echo out", json!({}));
    assert_eq!(outputs(&command, "{}").await["Result"], "out\n");
}

#[tokio::test]
async fn a_signal_becomes_a_number_too() {
    let command = script("kill -9 $$", json!({}));
    assert_eq!(outputs(&command, "{}").await["ExitCode"], 137);
}

#[tokio::test]
async fn settings_arrive_byte_for_byte() {
    let given = r#"{"n":1.0,"a":"x y"}"#;
    let stdin = script("cat", json!({"input": "stdin"}));
    assert_eq!(outputs(&stdin, given).await["StdOut"], given);
    let variable = script("printf %s \"$MOORLINE_SETTINGS\"", json!({"input": "environment"}));
    assert_eq!(outputs(&variable, given).await["StdOut"], given);
}

#[tokio::test]
async fn a_command_that_ignores_its_input_does_not_hang() {
    let command = script("exit 0", json!({"input": "stdin"}));
    let given = format!(r#"{{"big":"{}"}}"#, "x".repeat(1_000_000));
    assert_eq!(outputs(&command, &given).await["ExitCode"], 0);
}

#[tokio::test]
async fn the_environment_is_what_the_configuration_lists() {
    let command = script("env", json!({"set_env": {"COLOUR": "blue"}}));
    let text = outputs(&command, "{}").await["StdOut"].as_str().unwrap().to_owned();
    assert!(text.contains("COLOUR=blue\n"), "{text}");
    assert!(!text.contains("CARGO"), "{text}");
}

#[tokio::test]
async fn output_beyond_the_limit_is_cut_with_a_marker() {
    let command = script("head -c 100000 /dev/zero | tr '\\0' x", json!({"output_limit_bytes": 5}));
    let outputs = outputs(&command, "{}").await;
    assert_eq!(outputs["StdOut"], "xxxxx\n[moorline: output cut here, 99995 bytes dropped]\n");
    assert_eq!(outputs["ExitCode"], 0);
}

#[tokio::test]
async fn a_command_over_its_time_is_ended_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let text = format!("sleep 600 & echo $! > {}; wait", file.display());
    let command = script(&text, json!({"timeout_ms": 300}));
    let ended = run(&command, &settings("{}"), &Keeper::none(), pending()).await;
    let message = "the command ran longer than its limit of 0.3 s";
    assert_eq!(ended, Ended::Failed(message.to_owned()));
    assert!(!is_alive(process_in(&file).await));
}

#[tokio::test]
async fn withdrawn_work_is_ended_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let command = script(&format!("sleep 600 & echo $! > {}; wait", file.display()), json!({}));
    let child = async {
        process_in(&file).await;
    };
    assert_eq!(run(&command, &settings("{}"), &Keeper::none(), child).await, Ended::Withdrawn);
    assert!(!is_alive(process_in(&file).await));
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let text = format!("trap '' TERM; echo $$ > {}; while :; do sleep 600; done", file.display());
    let mut command = script(&text, json!({}));
    command.grace = Duration::from_millis(100);
    let started = async {
        process_in(&file).await;
    };
    assert_eq!(run(&command, &settings("{}"), &Keeper::none(), started).await, Ended::Withdrawn);
    assert!(!is_alive(process_in(&file).await));
}

#[tokio::test]
async fn a_process_left_behind_is_ended_and_not_waited_for() {
    let command = script("sleep 600 & echo $!", json!({}));
    let outputs = outputs(&command, "{}").await;
    let process: i32 = outputs["StdOut"].as_str().unwrap().trim().parse().unwrap();
    assert_eq!(outputs["ExitCode"], 0);
    assert!(!is_alive(process));
}

#[tokio::test]
async fn work_that_cannot_start_says_why() {
    let mut command = script("true", json!({}));
    command.program = "/nowhere/program".into();
    let Ended::Failed(message) = run(&command, &settings("{}"), &Keeper::none(), ready(())).await
    else {
        panic!()
    };
    assert!(message.starts_with("/nowhere/program could not be started"), "{message}");

    let row = json!([{"capability": "T", "action": "t", "argv": ["echo", "{Text}"],
        "settings": [{"name": "Text"}]}]);
    let command = read_all(&row).unwrap().remove(0);
    let ended = run(&command, &settings("{}"), &Keeper::none(), pending()).await;
    assert_eq!(ended, Ended::Failed("the setting Text is missing".to_owned()));
}
