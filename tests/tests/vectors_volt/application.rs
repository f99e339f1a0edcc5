//! The recorded application beside its commands: what it does with events and in handlers.

use moorline_core::{CallEvent, PeerEvent, WorkCommand, WorkEvent};
use moorline_core::{Command, Event, Outcome, Raw, WorkId};
use serde_json::Value;

use crate::handlers::{self, Doing};
use crate::replay::Replay;

impl Replay<'_> {
    pub(crate) fn event(&mut self, actor: usize, event: Event) {
        if let Event::Call(CallEvent::Done { result: Ok(_), .. }) = &event
            && !matches!(self.last, Some(Event::Peer(PeerEvent::Message { .. })))
        {
            self.report.push(String::from("a command settled before its answer was passed on"));
        }
        self.notes.take(&mut self.actors[actor].facade, &event);
        if let Event::Work(WorkEvent::Assigned { work, key, payload, meta, .. }) = &event {
            self.handle(actor, *work, key, payload, meta);
        } else if let Event::Work(WorkEvent::BeatAsked { beat }) = &event {
            let made = self.expectation.beats.get(self.beats).expect("a payload for each beat");
            self.beats += 1;
            let failed: Value = serde_json::from_str(made.get()).expect("JSON");
            let outcome = match failed["failed"].as_str() {
                Some(message) => Outcome::Failed { message: message.to_owned() },
                None => Outcome::Done { value: raw(made.get()), log: Raw::empty_list() },
            };
            self.carry_out(actor, Command::Work(WorkCommand::Complete { work: *beat, outcome }));
        }
        self.last = Some(event);
    }

    fn handle(&mut self, actor: usize, work: WorkId, key: &str, payload: &Raw, meta: &Raw) {
        let meta: Value = serde_json::from_str(meta.as_str()).expect("JSON");
        let request = meta["request_id"].as_str().expect("a request id");
        let answer = self.expectation.answers.get(key).map(|it| it.get().to_owned());
        let doing = answer.map_or_else(
            || handlers::run(key, request, payload),
            |envelope| Doing::Return { envelope, blobs: Vec::new() },
        );
        match doing {
            Doing::Return { envelope, blobs } => self.complete(actor, work, envelope, blobs),
            Doing::Throw(message) => self.fail(actor, work, message),
            Doing::Wait(ms) => {
                let envelope = format!("{{\"data\":{ms}}}");
                self.timers.push((self.now + ms, actor, work, envelope));
            }
            // A facade gives a stream up that nobody wants.
            Doing::Stream { open, .. } if meta["response_type"] != "stream" => {
                self.complete(actor, work, open.to_owned(), Vec::new());
            }
            Doing::Stream { open, chunks, failure } => {
                let report = raw(&format!("{{\"open\":{open}}}"));
                self.carry_out(actor, Command::Work(WorkCommand::Progress { work, report }));
                for chunk in chunks {
                    let report = raw(&format!("{{\"chunk\":\"{chunk}\"}}"));
                    self.carry_out(actor, Command::Work(WorkCommand::Progress { work, report }));
                }
                match failure {
                    Some(message) => self.fail(actor, work, message),
                    None => self.complete(actor, work, String::from("{}"), Vec::new()),
                }
            }
        }
    }

    pub(crate) fn complete(
        &mut self,
        actor: usize,
        work: WorkId,
        envelope: String,
        blobs: Vec<bytes::Bytes>,
    ) {
        let value = raw(&envelope).with_blobs(blobs);
        let outcome = Outcome::Done { value, log: Raw::empty_list() };
        self.carry_out(actor, Command::Work(WorkCommand::Complete { work, outcome }));
    }

    fn fail(&mut self, actor: usize, work: WorkId, message: &str) {
        let outcome = Outcome::Failed { message: message.to_owned() };
        self.carry_out(actor, Command::Work(WorkCommand::Complete { work, outcome }));
    }
}

fn raw(text: &str) -> Raw {
    Raw::parse(text.to_owned()).unwrap_or_else(|e| panic!("{e}: {text}"))
}
