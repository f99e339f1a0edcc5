//! Answers that are streams: one opening, parts in base64, one end.
//!
//! Parts are cut so that a message stays well below what the server takes. The application learns how
//! many of its parts have left, and keeps few under way: a slow link slows the source down.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::VoltDaemon;
use super::reverse::Running;
use crate::api::event::WorkEvent;
use crate::api::options::ResponseForm;
use crate::base::error::{Error, invalid};
use crate::base::ids::WorkId;
use crate::base::json::Raw;
use crate::dialect::volt::envelope::is_base64;
use crate::dialect::volt::wire::{self, Reply};
use crate::machine::Output;

/// The most base64 characters of one part: 256 KiB of bytes.
const MAX_PART: usize = 262_144 / 3 * 4;
/// What a message has around its part.
const AROUND: usize = 1_024;

/// A stream under way.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: String,
    /// How many parts of the application have left.
    drained: u64,
    /// Where each of those ends that have not: the number of a parcel.
    ends: VecDeque<u64>,
}

/// What a handler reports of its stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report<'a> {
    open: Option<Opening<'a>>,
    #[serde(borrow)]
    chunk: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening<'a> {
    status: Option<u16>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
}

impl VoltDaemon {
    /// A part of a command's result.
    pub(super) fn progress(&mut self, work: WorkId, report: &Raw) -> Result<(), Error> {
        let unknown = self.unknown(work);
        let max = self.engine.max_payload().and_then(|max| usize::try_from(max).ok());
        let max = max.unwrap_or(usize::MAX);
        // Whole groups of four characters, so that each part is base64 of its own.
        let part_size = (max.saturating_sub(AROUND).clamp(4, MAX_PART) / 4) * 4;
        let Some(Running { name, request, form, stream }) = self.running.get_mut(&work) else {
            return unknown;
        };
        let invalid = |why: &str| invalid(format!("the stream of the command \"{name}\": {why}"));
        let report: Report<'_> =
            serde_json::from_str(report.as_str()).map_err(|e| invalid(&e.to_string()))?;
        let request = request.clone();
        match (report, stream) {
            (Report { open: Some(opening), chunk: None }, stream) if stream.is_none() => {
                if *form != ResponseForm::Stream {
                    return Err(invalid("the control plane did not ask for one"));
                }
                let id = self.entropy.uuid().to_string();
                *stream = Some(Stream { id: id.clone(), drained: 0, ends: VecDeque::new() });
                let status = opening.status.unwrap_or(200);
                let headers = opening.headers.map_or("", RawValue::get);
                let headers = if headers == "null" { "" } else { headers };
                let size = request.as_str().len() + headers.len() + 160;
                self.answer(&[], size, |json| {
                    wire::ok_reply(request.as_str(), status, headers, Reply::Stream(&id), json);
                });
            }
            (Report { open: None, chunk: Some(chunk) }, Some(stream)) => {
                if !is_base64(&chunk) {
                    return Err(invalid("a chunk is not base64"));
                }
                let (id, mut rest) = (stream.id.clone(), &*chunk);
                // An empty chunk is one, too.
                loop {
                    let (part, after) = rest.split_at_checked(part_size).unwrap_or((rest, ""));
                    let size = part.len() + request.as_str().len() + 128;
                    self.answer(&[], size, |json| {
                        wire::stream_part(request.as_str(), &id, part, json);
                    });
                    if after.is_empty() {
                        break;
                    }
                    rest = after;
                }
                let end = self.engine.pacer.pushed();
                if let Some(Running { stream: Some(stream), .. }) = self.running.get_mut(&work) {
                    stream.ends.push_back(end);
                }
                self.engine.ask_flushed();
            }
            (Report { .. }, _) => {
                return Err(invalid("first {open: {status?, headers?}}, then {chunk: base64}"));
            }
        }
        Ok(())
    }

    /// More has left of what was handed over.
    pub(super) fn flushed(&mut self) {
        let left = self.engine.pacer.left();
        for (work, running) in &mut self.running {
            let Some(stream) = &mut running.stream else { continue };
            let before = stream.drained;
            while stream.ends.pop_front_if(|end| *end <= left).is_some() {
                stream.drained += 1;
            }
            if stream.drained > before {
                let drained = WorkEvent::Drained { work: *work, chunks: stream.drained };
                self.engine.out.push_back(Output::Event(drained.into()));
            }
        }
    }
}
