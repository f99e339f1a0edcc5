//! A provider that is asked over HTTP what the recorded one was asked.

use bytes::Bytes;
use moorline_core::{Headers, HttpId, HttpRequest, Input, Method, Output, ServerInput};
use serde_json::{Value, json};

use crate::lines;
use crate::provider::{Replay, Said, clock};

/// Asks a provider with a key what the recorder asked: answers are the original's, or those of the table.
pub(crate) fn replay(name: &str) {
    /// Cases that are answered otherwise than by the original, and how: it hung up without a word, and
    /// let in whoever showed a key of the right length. The driver refuses what is no upgrade by RFC 6455.
    const OTHERWISE: &[(&str, u16)] = &[
        ("unknown path", 404),
        ("connect without upgrade", 426),
        ("POST connect", 426),
        ("path trailing slash", 404),
    ];
    const DRIVERS: &[&str] = &["short key", "no version header, no Upgrade header", "version 8"];
    let options = json!({"auth": {"parameters": [{"name": "key", "value": "SECRET_KEY"}]}});
    let mut replay = Replay::new(options.to_string(), 1_795_247_677_246 - 1_795_000_000_000);
    replay.start();
    let lines = lines::read(name);
    let mut cases = 0;
    for (number, line) in lines.iter().enumerate() {
        if line.dir != "c2s" || DRIVERS.contains(&line.case.as_str()) {
            continue;
        }
        cases += 1;
        let answer = lines.iter().find(|it| it.dir == "s2c" && it.case == line.case);
        let answer = answer.expect("an answer");
        let other = OTHERWISE.iter().find(|(case, _)| *case == line.case);
        let wanted = other.map_or_else(|| answer.status(), |(_, status)| Some(*status));
        let number = number as u64;
        let status = if line.text().contains("Upgrade: websocket") {
            replay.offer(number, line.text());
            match &replay.conns[&number].said[0].1 {
                Said::Admitted => 101,
                Said::Refused(status, _) => *status,
                other => panic!("{other:?}"),
            }
        } else {
            let (status, body) = replay.ask(line.text());
            if line.case == "alive" {
                assert!(answer.text().ends_with(&body), "{body}");
            }
            status
        };
        assert_eq!(Some(status), wanted, "{}", line.case);
    }
    assert_eq!(cases, 10);
    // Parameters as the original reads them.
    let opens = lines.iter().filter(|line| line.kind == "event" && line.event().0 == "open");
    let wanted: Vec<Value> = opens.map(|line| line.event().1[0]["parameters"].clone()).collect();
    let told = replay.told.iter().filter(|told| told[0] == "open");
    let told: Vec<Value> = told.map(|told| told[2].clone()).collect();
    // Two were let in without an upgrade by RFC 6455.
    assert_eq!(told, wanted[2..]);
}

impl Replay {
    fn ask(&mut self, head: &str) -> (u16, String) {
        let mut words = head.split(' ');
        let method = if words.next() == Some("GET") { Method::Get } else { Method::Post };
        let url = words.next().expect("a URL").to_owned();
        let request = HttpRequest { method, url, headers: Headers::new(), body: Bytes::new() };
        let (http, remote) = (HttpId(1), String::from("127.0.0.1:49152"));
        let asked = ServerInput::Asked { http, request, remote };
        self.machine.handle_input(Input::Server(asked), clock(self.now));
        while let Some(output) = self.machine.poll_output() {
            if let Output::HttpReply { response, .. } = output {
                let body = String::from_utf8(response.bytes().to_vec()).expect("UTF-8");
                return (response.status, body);
            }
        }
        panic!("no answer")
    }
}
