//! `moorline status --watch` on a terminal, while its hub goes and comes back.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Running, moorline, start};

/// What a terminal shows.
struct Screen {
    told: Receiver<String>,
    seen: String,
}

impl Screen {
    /// Waits until `text` is shown after what was waited for before.
    fn shows(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let more = self.told.recv_timeout(Duration::from_secs(60));
            self.seen += &more.unwrap_or_else(|e| panic!("no {text:?}: {e}; seen:\n{}", self.seen));
        }
        self.seen.clear();
    }
}

fn hub(listen: &str) -> (Running, String) {
    let mut hub = start(&mut moorline(&["hub", "--listen", listen]));
    let url = hub.line_with("moorline hub listening on ").rsplit(' ').next().unwrap().to_owned();
    (hub, url)
}

#[test]
fn a_watch_goes_on_through_a_lost_hub() {
    let (first, url) = hub("127.0.0.1:0");
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
    let arguments = ["status", "--watch", "--interval", "50ms", "--url", &url];
    let mut command = moorline(&arguments);
    command.stdout(Stdio::from(slave)).stderr(Stdio::null());
    let mut watch = command.spawn().unwrap();
    drop(command);
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let (mut terminal, mut bytes) = (File::from(master), [0; 4_096]);
        // The read fails when the last program has let go of the terminal.
        while let Ok(read @ 1..) = terminal.read(&mut bytes) {
            let _ = tell.send(String::from_utf8_lossy(&bytes[..read]).into_owned());
        }
    });
    let mut screen = Screen { told, seen: String::new() };
    screen.shows("0 worker(s)");
    drop(first);
    screen.shows("CONNECT");
    let (_second, _) = hub(url.trim_start_matches("http://"));
    screen.shows("0 worker(s)");
    kill(Pid::from_raw(watch.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}
