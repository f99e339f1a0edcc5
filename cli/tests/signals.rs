//! What becomes of commands when their worker is killed, and which command runs work that names none.
#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(target_os = "linux")]

mod support;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::{Folder, Running, finish, moorline, start};

fn hub() -> (Running, String) {
    let mut hub = start(&mut moorline(&["hub", "--listen", "127.0.0.1:0"]));
    let url = hub.line_with("moorline hub listening on ").rsplit(' ').next().unwrap().to_owned();
    (hub, url)
}

fn worker(folder: &Folder, url: &str, commands: &str) -> Running {
    let file = folder.write("worker.toml", commands);
    let mut worker = start(&mut moorline(&["worker", "--config", &file, "--url", url]));
    worker.line_with("registered");
    worker
}

fn is_alive(process: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[test]
fn commands_die_with_a_worker_that_is_killed() {
    let folder = Folder::new();
    let (_hub, url) = hub();
    // One for each writer: both could be open at once, and their words one reading.
    let (started, deaf) = (folder.pipe("started"), folder.pipe("deaf"));
    // A shell, a child of it, and a child that ignores what asks it to end.
    let script = format!(
        "sleep 600 & echo $! $$ > {started}; \
         sh -c 'trap \"\" TERM HUP INT; echo $$ > {deaf}; sleep 600; sleep 600'"
    );
    let commands = format!(
        "[[command]]\ncapability = \"Test\"\naction = \"Hold\"\nargv = [\"sh\", \"-c\", {script:?}]\n"
    );
    let worker = worker(&folder, &url, &commands);
    let _dispatch = start(&mut moorline(&["dispatch", "Test/Hold", "--url", &url]));
    let mut held = std::fs::read_to_string(&started).unwrap();
    held.push_str(&std::fs::read_to_string(&deaf).unwrap());
    let held: Vec<&str> = held.split_whitespace().collect();
    assert!(held.len() == 3 && held.iter().all(|process| is_alive(process)), "{held:?}");

    worker.signal(Signal::SIGKILL);
    // The keeper holds the worker's standard error: it is at its end when the keeper is.
    let (status, seen) = worker.wait();
    assert_eq!(status.code(), None, "{seen}");
    assert!(seen.contains("the worker was killed; so were its 1 command(s)"), "{seen}");
    // A signal that cannot be held back is still carried out by the process itself, when it is next run.
    let deadline = Instant::now() + Duration::from_secs(30);
    while held.iter().any(|process| is_alive(process)) {
        assert!(Instant::now() < deadline, "{held:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_worker_that_ends_in_order_leaves_no_keeper() {
    let folder = Folder::new();
    let (_hub, url) = hub();
    let command = "[[command]]\ncapability = \"T\"\naction = \"t\"\nargv = [\"true\"]\n";
    let worker = worker(&folder, &url, command);
    let children = format!("/proc/{0}/task/{0}/children", worker.id());
    let keeper = std::fs::read_to_string(children).unwrap().trim().to_owned();
    assert!(is_alive(&keeper), "{keeper}");
    worker.signal(Signal::SIGTERM);
    let (status, seen) = worker.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(!seen.contains("was killed"), "{seen}");
    assert!(!is_alive(&keeper), "{keeper}");
}

#[test]
fn work_without_an_action_runs_the_first_command_of_its_capability_after_each_start() {
    let (_hub, url) = hub();
    let actions = ["mid", "zeta", "alpha", "beta", "eta", "iota", "kappa", "lambda"];
    let commands: String = actions
        .iter()
        .map(|action| {
            format!(
                "[[command]]\ncapability = \"Any\"\naction = \"{action}\"\nargv = [\"echo\", \"{action}\"]\n"
            )
        })
        .collect();
    for _ in 0..3 {
        let folder = Folder::new();
        let worker = worker(&folder, &url, &commands);
        // The hub knows the name that stands for none.
        let end = finish(&mut moorline(&["dispatch", "Any/Execute", "--url", &url]));
        assert_eq!(end.json()["Outputs"]["StdOut"], "mid\n", "{end:?}");
        worker.signal(Signal::SIGTERM);
        worker.wait();
    }
}
