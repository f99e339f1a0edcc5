//! The floor: calls over lines of text on a bare TCP connection. No protocol, no limits, no deadlines.
//!
//! A caller is a future that waits for its answer, as callers of a library are; one task reads, and one write
//! carries what all callers have queued since the last.

use std::cell::RefCell;
use std::io::Write as _;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::clock::Load;
use crate::process::Failure;

#[derive(Default)]
struct Calls {
    slots: Vec<Option<oneshot::Sender<usize>>>,
    free: Vec<usize>,
    output: Vec<u8>,
    done: u64,
}

impl Calls {
    fn call(&mut self) -> oneshot::Receiver<usize> {
        let (sender, receiver) = oneshot::channel();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(sender);
        }
        // A vector takes every write.
        let _ = writeln!(
            self.output,
            r#"{{"id":{slot:08},"type":"command","requestId":"00000000-0000-4000-8000-000000000000","command":"jobs.list","responseType":"json","payload":{{"job":"j-12345","page":1,"filter":"running"}}}}"#
        );
        receiver
    }

    fn answer(&mut self, line: &[u8]) {
        let digits = line.get(6..14).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(slot) = digits.and_then(|digits| digits.parse::<usize>().ok()) else { return };
        if let Some(sender) = self.slots.get_mut(slot).and_then(Option::take) {
            self.free.push(slot);
            self.done += 1;
            // The caller may have gone.
            let _ = sender.send(line.len());
        }
    }
}

/// Keeps the calls of `load` in flight and prints what was measured.
pub(super) fn run(address: &str, load: Load) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.into_split();
        let calls = Rc::new(RefCell::new(Calls::default()));
        for _ in 0..load.in_flight {
            let calls = calls.clone();
            spawn_local(async move {
                loop {
                    let answer = calls.borrow_mut().call();
                    if answer.await.is_err() {
                        return;
                    }
                }
            });
        }
        let turns = {
            let calls = calls.clone();
            async move {
                let mut input = Vec::with_capacity(64 * 1024);
                loop {
                    // Lets those who were woken queue their next calls.
                    yield_now().await;
                    let output = std::mem::take(&mut calls.borrow_mut().output);
                    writer.write_all(&output).await?;
                    if reader.read_buf(&mut input).await? == 0 {
                        return Err(Failure::from("the echo ended"));
                    }
                    let end = input.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                    let mut calls = calls.borrow_mut();
                    for line in input.get(..end).unwrap_or_default().split(|byte| *byte == b'\n') {
                        calls.answer(line);
                    }
                    drop(calls);
                    input.drain(..end);
                }
            }
        };
        tokio::select! {
            result = turns => result,
            result = load.window(|| calls.borrow().done) => result,
        }
    })
}
