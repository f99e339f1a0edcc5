//! Hub, worker and dispatcher as processes of their own.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use nix::sys::signal::Signal;
use support::{Finished, Folder, Running, finish, moorline, start};

/// A hub on a free port, and a worker with the commands that the tests need.
struct Fleet {
    hub: Running,
    url: String,
    worker: Running,
    folder: Folder,
}

impl Fleet {
    fn start() -> Self {
        let folder = Folder::new();
        let mut hub = start(&mut moorline(&["hub", "--listen", "127.0.0.1:0"]));
        let line = hub.line_with("moorline hub listening on ");
        let url = line.rsplit(' ').next().unwrap().to_owned();
        let worker = worker(&folder, &url);
        Self { hub, url, worker, folder }
    }

    fn moorline(&self, arguments: &[&str]) -> Finished {
        finish(moorline(arguments).args(["--url", &self.url]))
    }

    /// Starts a dispatch of the command that runs until it is released. Returns when the command
    /// runs, with its processes: a shell and the child of it.
    fn dispatch_held(&mut self) -> (Running, Vec<i32>) {
        let dispatch = start(
            moorline(&["dispatch", "Test/Hold", "--timeout", "1m"]).args(["--url", &self.url]),
        );
        (dispatch, self.held_processes())
    }

    /// Waits until the command has written its processes into the pipe.
    fn held_processes(&self) -> Vec<i32> {
        let text = std::fs::read_to_string(self.folder.path("started")).unwrap();
        text.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    /// Lets the command go on: it waits for someone to open this pipe.
    fn release(&self) {
        std::fs::write(self.folder.path("release"), "\n").unwrap();
    }
}

fn worker(folder: &Folder, url: &str) -> Running {
    let (started, release) = (folder.pipe("started"), folder.pipe("release"));
    let hold =
        format!("sleep 600 & echo $$ $! > {started}; read _ < {release}; kill $!; echo held");
    let config = format!(
        "name = \"tester\"\nmax_concurrent = 4\n[reconnect]\nbase_delay_ms = 100\n\
         [[command]]\ncapability = \"Test\"\naction = \"Echo\"\nargv = [\"echo\", \"{{Text}}\"]\n\
         settings = [{{ name = \"Text\" }}]\n\
         [[command]]\ncapability = \"Test\"\naction = \"Fail\"\nargv = [\"false\"]\n\
         [[command]]\ncapability = \"Test\"\naction = \"Hold\"\nargv = [\"sh\", \"-c\", {hold:?}]\n"
    );
    let file = folder.write("worker.toml", &config);
    let mut worker = start(&mut moorline(&["worker", "--config", &file, "--url", url]));
    worker.line_with("registered");
    worker
}

fn is_alive(process: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[test]
fn a_dispatched_item_runs_and_its_exit_code_is_ours() {
    let fleet = Fleet::start();
    let text = r#"{"Text":"a b; $(c)"}"#;
    let end = fleet.moorline(&["dispatch", "Test/Echo", "--settings", text]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(end.json()["Outputs"]["StdOut"], "a b; $(c)\n", "{end:?}");
    assert_eq!(end.json()["Outputs"]["ExitCode"], 0, "{end:?}");

    let end = fleet.moorline(&["dispatch", "Test/Fail"]);
    assert_eq!(end.code, Some(8), "{end:?}");
    let end = fleet.moorline(&["dispatch", "Test/Echo"]);
    assert_eq!(end.code, Some(5), "{end:?}");
    assert!(end.err.contains("the setting Text is missing"), "{end:?}");
    let mut silent = moorline(&["dispatch", "Nobody/Has", "--timeout", "1h", "--url", &fleet.url]);
    start(&mut silent).line_with("nobody offers Nobody/Has now");
    let end = fleet.moorline(&["dispatch", "Nobody/Has", "--timeout", "500ms"]);
    assert!(matches!(end.code, Some(6 | 7)), "{end:?}");
}

#[test]
fn a_hub_that_is_away_is_said_to_be() {
    let end = finish(&mut moorline(&["status", "--url", "http://127.0.0.1:1"]));
    assert_eq!(end.code, Some(3), "{end:?}");
    assert!(end.err.contains("CONNECT_FAILED"), "{end:?}");
}

#[test]
fn status_shows_the_worker_as_table_and_as_json() {
    let fleet = Fleet::start();
    let end = fleet.moorline(&["status", "--watch"]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.out.contains("tester") && end.out.contains("0/4"), "{end:?}");
    let end = fleet.moorline(&["status", "--json"]);
    assert_eq!(end.json()["Workers"][0]["Name"], "tester", "{end:?}");
}

#[test]
fn an_item_is_enqueued_once_per_key() {
    let fleet = Fleet::start();
    let arguments =
        ["dispatch", "Test/Echo", "--settings", r#"{"Text":"x"}"#, "--idempotency-key", "k1"];
    let first = fleet.moorline(&[arguments.as_slice(), &["--enqueue"]].concat());
    assert_eq!(first.code, Some(0), "{first:?}");
    let second = fleet.moorline(&[arguments.as_slice(), &["--enqueue"]].concat());
    let hash = |end: &Finished| end.json()["WorkItemHash"].as_str().unwrap().to_owned();
    assert_eq!(hash(&first), hash(&second));
    let waited = fleet.moorline(&arguments);
    assert_eq!(hash(&waited), hash(&first), "{waited:?}");
    assert_eq!(waited.json()["Outputs"]["StdOut"], "x\n", "{waited:?}");
}

#[test]
fn an_item_is_listed_cancelled_and_its_result_printed() {
    let fleet = Fleet::start();
    let hash = |end: &Finished| end.json()["WorkItemHash"].as_str().unwrap().to_owned();
    let waiting = hash(&fleet.moorline(&["dispatch", "Nobody/Has", "--enqueue"]));
    let done = hash(&fleet.moorline(&["dispatch", "Test/Echo", "--settings", r#"{"Text":"x"}"#]));
    let end = fleet.moorline(&["list"]);
    assert!(end.out.contains(&waiting) && end.out.contains("Nobody/Has"), "{end:?}");
    assert!(end.out.contains("1 item(s)"), "{end:?}");
    let end = fleet.moorline(&["list", "--json"]);
    assert_eq!(end.json()[0]["WorkItemHash"], waiting.as_str(), "{end:?}");
    let end = fleet.moorline(&["result", &done]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(end.json()["Outputs"]["StdOut"], "x\n", "{end:?}");
    let end = fleet.moorline(&["cancel", &waiting]);
    assert_eq!(end.code, Some(0), "{end:?}");
    let end = fleet.moorline(&["list"]);
    assert!(end.out.contains("0 item(s)"), "{end:?}");
    let end = fleet.moorline(&["result", &waiting]);
    assert_eq!((end.code, &end.json()["Status"]), (Some(5), &"Canceled".into()), "{end:?}");
    let end = fleet.moorline(&["cancel", &done]);
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.err.contains("ended already"), "{end:?}");
    let end = fleet.moorline(&["result", "wi-nobody"]);
    assert_ne!(end.code, Some(0), "{end:?}");
    let end = fleet.moorline(&["capabilities"]);
    assert!(end.out.contains("Test/Echo") && end.out.contains("Text"), "{end:?}");
    assert!(end.out.contains("3 action(s)"), "{end:?}");
}

#[test]
fn a_signal_lets_running_work_finish() {
    let mut fleet = Fleet::start();
    let (dispatch, _) = fleet.dispatch_held();
    fleet.worker.signal(Signal::SIGTERM);
    fleet.worker.line_with("draining");
    fleet.release();
    let (status, seen) = dispatch.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(seen.contains("held"), "{seen}");
    let (status, seen) = fleet.worker.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
}

#[test]
fn a_terminal_that_closes_ends_nothing_and_a_quit_drains() {
    let mut fleet = Fleet::start();
    let (dispatch, processes) = fleet.dispatch_held();
    fleet.worker.signal(Signal::SIGHUP);
    fleet.worker.line_with("going on");
    fleet.hub.signal(Signal::SIGHUP);
    fleet.hub.line_with("going on");
    fleet.worker.signal(Signal::SIGQUIT);
    fleet.worker.line_with("draining");
    assert!(processes.iter().all(|process| is_alive(*process)));
    fleet.release();
    let (status, seen) = dispatch.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(seen.contains("held"), "{seen}");
    let (status, seen) = fleet.worker.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_printed_is_no_success() {
    let fleet = Fleet::start();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let onto_full = |arguments: &[&str]| {
        let mut command = moorline(arguments);
        finish(command.args(["--url", &fleet.url]).stdout(full()))
    };
    let end = onto_full(&["dispatch", "Test/Echo", "--settings", r#"{"Text":"x"}"#]);
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.err.contains("standard output cannot be written"), "{end:?}");
    let end = onto_full(&["enroll", "lab"]);
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.err.contains("the secret is lost") && end.err.contains("--revoke"), "{end:?}");
    let end = onto_full(&["status"]);
    assert_eq!(end.code, Some(1), "{end:?}");
}

#[test]
fn a_second_signal_ends_the_whole_process_group_at_once() {
    let mut fleet = Fleet::start();
    let (_dispatch, held) = fleet.dispatch_held();
    assert!(held.len() == 2 && held.iter().all(|id| is_alive(*id)), "{held:?}");
    fleet.worker.signal(Signal::SIGTERM);
    fleet.worker.line_with("draining");
    fleet.worker.signal(Signal::SIGINT);
    let (status, seen) = fleet.worker.wait();
    assert_eq!(status.code(), Some(9), "{seen}");
    assert!(seen.contains("ending now"), "{seen}");
    assert!(!held.iter().any(|id| is_alive(*id)), "{held:?} {seen}");
}

#[test]
fn an_item_over_its_time_ends_with_its_process_group() {
    let mut fleet = Fleet::start();
    let dispatch =
        start(moorline(&["dispatch", "Test/Hold", "--timeout", "2s"]).args(["--url", &fleet.url]));
    let held = fleet.held_processes();
    assert!(held.len() == 2 && held.iter().all(|id| is_alive(*id)), "{held:?}");
    let (status, seen) = dispatch.wait();
    assert!(matches!(status.code(), Some(5 | 6)), "{seen}");
    fleet.worker.line_with("command ended");
    assert!(!held.iter().any(|id| is_alive(*id)), "{held:?}");
}

#[test]
fn a_drained_worker_finishes_and_gets_nothing_new() {
    let mut fleet = Fleet::start();
    let (dispatch, _) = fleet.dispatch_held();
    let mut drain = start(moorline(&["drain", "tester"]).args(["--url", &fleet.url]));
    drain.line_with("waiting for 1 work item(s)");
    let end = fleet.moorline(&["status"]);
    assert!(end.out.contains("Draining"), "{end:?}");
    fleet.release();
    let (status, seen) = drain.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert_eq!(dispatch.wait().0.code(), Some(0));

    for again in [&["drain", "tester", "--resume"][..], &["undrain", "tester"]] {
        let end = fleet.moorline(&["drain", "tester", "--no-wait"]);
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(fleet.moorline(&["status"]).out.contains("Draining"));
        let end = fleet.moorline(again);
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.out.contains("gets new work again"), "{end:?}");
        let end = fleet.moorline(&["status"]);
        assert!(!end.out.contains("Draining"), "{end:?}");
    }

    let end = fleet.moorline(&["drain", "nobody"]);
    assert_eq!(end.code, Some(2), "{end:?}");
    assert!(end.err.contains("no worker is named nobody; registered: "), "{end:?}");
}

#[test]
fn a_hub_ends_on_a_signal_and_logs_json_when_asked() {
    let arguments = ["hub", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut hub = start(&mut moorline(&arguments));
    hub.line_with("moorline hub listening on http://127.0.0.1:");
    hub.signal(Signal::SIGTERM);
    let line = hub.line_with("SIGTERM");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["signal"], "SIGTERM");
    let (status, seen) = hub.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
}

#[test]
fn a_killed_hub_knows_its_results_when_it_is_back() {
    let folder = Folder::new();
    let store = folder.path("hub.db").to_str().unwrap().to_owned();
    let mut hub = start(&mut moorline(&["hub", "--listen", "127.0.0.1:0", "--store", &store]));
    let url = hub.line_with("listening on").rsplit(' ').next().unwrap().to_owned();
    let worker = worker(&folder, &url);
    let text = r#"{"Text":"kept"}"#;
    let dispatch = ["dispatch", "Test/Echo", "--settings", text, "--idempotency-key", "k1"];
    let first = finish(moorline(&dispatch).args(["--url", &url]));
    assert_eq!(first.code, Some(0), "{first:?}");

    drop(worker);
    hub.signal(Signal::SIGKILL);
    hub.wait();
    let address = url.trim_start_matches("http://");
    let mut hub = start(&mut moorline(&["hub", "--listen", address, "--store", &store]));
    hub.line_with("listening on");
    let second = finish(moorline(&dispatch).args(["--url", &url]));
    assert_eq!(second.out, first.out, "{second:?}");
}

#[test]
fn a_store_is_copied_while_its_hub_runs_and_put_back_when_it_has_ended() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    let (store, copy) = (path("hub.db"), path("copy.db"));
    let open = || {
        let mut hub = start(&mut moorline(&["hub", "--listen", "127.0.0.1:0", "--store", &store]));
        let line = hub.line_with("moorline hub listening on ");
        (hub, line.rsplit(' ').next().unwrap().to_owned())
    };
    let enqueue = |url: &str, key: &str| {
        let end = finish(&mut moorline(&[
            "dispatch",
            "Test/Any",
            "--enqueue",
            "--idempotency-key",
            key,
            "--url",
            url,
        ]));
        assert_eq!(end.code, Some(0), "{end:?}");
    };
    let pending = |url: &str| {
        finish(&mut moorline(&["status", "--json", "--url", url])).json()["Queue"]["Pending"]
            .clone()
    };
    let (hub, url) = open();
    enqueue(&url, "first");
    let end = finish(&mut moorline(&["backup", &copy, "--store", &store]));
    assert_eq!(end.code, Some(0), "{end:?}");
    enqueue(&url, "second");
    let end = finish(&mut moorline(&["restore", &copy, "--store", &store]));
    assert!(end.code != Some(0) && end.err.contains("another process uses it"), "{end:?}");
    hub.signal(Signal::SIGTERM);
    hub.wait();
    let end =
        finish(&mut moorline(&["restore", &copy, "--set", &format!("runtime.store_path={store}")]));
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.err.contains("hub.db.before-restore"), "{end:?}");
    let (_hub, url) = open();
    assert_eq!(pending(&url), 1);
}

#[test]
fn an_address_in_use_is_said_to_be() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let end = finish(&mut moorline(&["hub", "--listen", &address]));
    assert_eq!(end.code, Some(3), "{end:?}");
    assert!(end.err.contains("LISTEN_FAILED"), "{end:?}");
}

#[test]
fn a_secured_hub_admits_who_knows_the_secret_and_shows_it_nowhere() {
    const CANARY: &str = "canary-4711";
    let folder = Folder::new();
    let secret = folder.write("join", CANARY);
    let password = folder.write("password", CANARY);
    let users =
        format!("access = \"secured\"\n[[users]]\nname = \"ada\"\npassword = \"{CANARY}\"\n");
    let config = folder.write("hub.toml", &users);
    let mut hub = start(&mut moorline(&[
        "hub",
        "--listen",
        "127.0.0.1:0",
        "--config",
        &config,
        "--join-secret-file",
        &secret,
        "--log-level",
        "trace",
    ]));
    let url = hub.line_with("listening on").rsplit(' ').next().unwrap().to_owned();
    let commands = "[[command]]\ncapability = \"T\"\naction = \"t\"\nargv = [\"true\"]\n";
    let config = folder.write("worker.toml", commands);
    let mut worker = start(&mut moorline(&[
        "worker",
        "--config",
        &config,
        "--url",
        &url,
        "--join-secret-file",
        &secret,
        "--log-level",
        "trace",
    ]));
    worker.line_with("registered");
    let login = ["--url", &url, "--user", "ada", "--password-file", &password];
    let end = finish(moorline(&["dispatch", "T/t", "--log-level", "trace"]).args(login));
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(!end.err.contains(CANARY), "{end:?}");
    let end = finish(&mut moorline(&["dispatch", "T/t", "--url", &url]));
    assert_eq!(end.code, Some(4), "{end:?}");

    worker.signal(Signal::SIGTERM);
    let (status, seen) = worker.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(!seen.contains(CANARY), "{seen}");
    hub.signal(Signal::SIGTERM);
    let (status, seen) = hub.wait();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(!seen.contains(CANARY), "{seen}");
}
