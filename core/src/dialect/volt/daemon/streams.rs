//! Streams: answers to commands, with one opening, parts and one end, and those that the daemon opens.
//!
//! Parts of answers are cut so that a message stays well below what the server takes. The application
//! learns how many of its parts have left, and keeps few under way: a slow link slows the source down. A
//! stream that the daemon opens has neither opening nor answer: what it is about is its name, and each of
//! its parts is read by itself and stays whole.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::VoltDaemon;
use super::reverse::Running;
use crate::api::event::WorkEvent;
use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::WorkId;
use crate::base::json::{Raw, push_text};
use crate::dialect::volt::envelope::is_base64;
use crate::dialect::volt::wire::{self, Generation, Reply};
use crate::dialect::volt::words::STREAM;
use crate::machine::Output;
use crate::parts::pacer::Rank;
use crate::parts::queue::{Overflow, Queue};

/// The most base64 characters of one part: 256 KiB of bytes.
const MAX_PART: usize = 262_144 / 3 * 4;
/// The most streams whose lost parts are remembered until they end.
const MAX_BROKEN: usize = 4_096;
/// How a stream ends that has lost parts on this side.
const BROKEN: &str = "parts of it were dropped before they could be sent";
/// What a message has around its part.
const AROUND: usize = 1_024;

/// A stream under way.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: String,
    /// In which generation's form its parts go.
    generation: Generation,
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

/// Something of a stream that the daemon opens.
#[derive(Debug)]
pub(super) struct Opened {
    stream: String,
    /// As JSON.
    request: String,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Chunk(Bytes),
    End(Option<String>),
}

impl Opened {
    /// Reads what the application says of its stream.
    fn read(payload: &Raw) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Said<'a> {
            stream_id: String,
            request_id: Option<String>,
            #[serde(borrow)]
            chunk: Option<&'a RawValue>,
            #[serde(default)]
            end: bool,
            message: Option<String>,
        }
        let wrong = |why: String| invalid(format!("{STREAM}: {why}"));
        let said: Said<'_> = payload.read().map_err(|e| wrong(e.to_string()))?;
        let part = match (said.chunk, said.end) {
            (Some(chunk), false) if said.message.is_none() => {
                let attached = wire::attached(chunk.get(), payload.blobs()).cloned();
                let text = || serde_json::from_str::<Cow<'_, str>>(chunk.get()).ok();
                let bytes = attached.or_else(|| decoded(&text()?));
                Part::Chunk(bytes.ok_or_else(|| wrong(String::from("chunk: bytes or base64")))?)
            }
            (None, true) => Part::End(said.message),
            _ => return Err(wrong(String::from("either a chunk, or end and perhaps message"))),
        };
        let mut request = String::new();
        push_text(&mut request, said.request_id.as_ref().unwrap_or(&said.stream_id));
        Ok(Self { stream: said.stream_id, request, part })
    }

    fn bytes(&self) -> u64 {
        let part = match &self.part {
            Part::Chunk(bytes) => bytes.len(),
            Part::End(message) => message.as_ref().map_or(0, String::len),
        };
        (self.stream.len() + self.request.len() + part) as u64
    }
}

/// What of such streams waits for a registration and for the generation: the oldest gives way.
#[derive(Debug)]
pub(super) struct Waiting {
    queue: Queue<Opened>,
    /// How many have come, and how many of these wait no longer.
    pub(super) come: u64,
    /// Streams that have lost parts: their ends say so.
    broken: BTreeSet<String>,
}

impl Waiting {
    pub(super) const fn new(max: u64, max_bytes: u64) -> Self {
        let queue = Queue::new(max, max_bytes, Overflow::DropOldest);
        Self { queue, come: 0, broken: BTreeSet::new() }
    }

    /// Adds something. Returns how many were dropped for it.
    fn push(&mut self, opened: Opened) -> u64 {
        self.come += 1;
        let bytes = opened.bytes();
        let dropped = self.queue.displace(opened, bytes);
        let count = dropped.len() as u64;
        dropped.into_iter().for_each(|it| self.lose(it));
        count
    }

    /// Notes what could not be sent.
    fn lose(&mut self, Opened { stream, part, .. }: Opened) {
        match part {
            // One that never ends is forgotten one day.
            Part::Chunk(_) if self.broken.len() < MAX_BROKEN => drop(self.broken.insert(stream)),
            Part::Chunk(_) => {}
            Part::End(_) => drop(self.broken.remove(&stream)),
        }
    }

    /// Returns how many have come that wait no longer.
    pub(super) fn gone(&self) -> u64 {
        self.come - self.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }
}

/// Reads base64; `None` if it is none.
pub(super) fn decoded(base64: &str) -> Option<Bytes> {
    STANDARD.decode(base64).ok().map(Bytes::from)
}

impl VoltDaemon {
    /// A part of a command's result.
    pub(super) fn progress(&mut self, work: WorkId, report: &Raw) -> Result<(), Error> {
        let unknown = self.unknown(work);
        let max = self.engine.max_payload().and_then(|max| usize::try_from(max).ok());
        let max = max.unwrap_or(usize::MAX);
        // Whole groups of four characters, so that each part is base64 of its own.
        let part_size = (max.saturating_sub(AROUND).clamp(4, MAX_PART) / 4) * 4;
        let generation = self.learnt.generation().unwrap_or(Generation::First);
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
                let ends = VecDeque::new();
                *stream = Some(Stream { id: id.clone(), generation, drained: 0, ends });
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
                let (id, generation) = (stream.id.clone(), stream.generation);
                if generation == Generation::First {
                    self.say_parts(request.as_str(), &id, &chunk, part_size);
                } else {
                    let bytes = decoded(&chunk).ok_or_else(|| invalid("a chunk is not base64"))?;
                    self.attach_parts(request.as_str(), &id, generation, bytes, part_size / 4 * 3);
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

    /// Says a part of the application as text. An empty one is one, too.
    fn say_parts(&mut self, request: &str, id: &str, mut rest: &str, part_size: usize) {
        loop {
            let (part, after) = rest.split_at_checked(part_size).unwrap_or((rest, ""));
            let size = part.len() + request.len() + 128;
            self.answer(&[], size, |json| wire::stream_part(request, id, Some(part), json));
            if after.is_empty() {
                return;
            }
            rest = after;
        }
    }

    /// Says a part of the application as attachments. An empty one is one, too.
    fn attach_parts(
        &mut self,
        request: &str,
        id: &str,
        generation: Generation,
        mut rest: Bytes,
        part_size: usize,
    ) {
        loop {
            let part = rest.split_to(part_size.min(rest.len()));
            let blobs: Vec<Bytes> = generation.attachment(&part).into_iter().collect();
            let size = request.len() + 160;
            self.answer(&blobs, size, |json| wire::stream_part(request, id, None, json));
            if rest.is_empty() {
                return;
            }
        }
    }

    /// The application says something of a stream that it opens.
    pub(super) fn stream(&mut self, payload: &Raw) -> Result<(), Error> {
        let opened = Opened::read(payload)?;
        match self.learnt.generation().filter(|_| self.is_ready()) {
            Some(generation) => {
                self.check_room(self.engine.has_room())?;
                self.say_part(&opened, generation)
            }
            None => {
                let dropped = self.opened.push(opened);
                self.count_dropped(dropped);
                Ok(())
            }
        }
    }

    /// Says what has waited of such streams.
    pub(super) fn say_opened(&mut self) {
        let Some(generation) = self.learnt.generation() else { return };
        let gone = self.opened.gone();
        while let Some(opened) = self.opened.queue.pop() {
            if let Err(error) = self.say_part(&opened, generation) {
                self.counters.messages_dropped += 1;
                self.opened.lose(opened);
                self.complain(error);
            }
        }
        let parcels = self.engine.pacer.pushed();
        let waited = self.awaited.iter_mut().filter(|it| it.opened > gone);
        waited.for_each(|it| it.parcels = it.parcels.max(parcels));
    }

    fn say_part(&mut self, opened: &Opened, generation: Generation) -> Result<(), Error> {
        let Opened { stream, request, part } = opened;
        let size = stream.len() + request.len() + 160;
        match part {
            Part::Chunk(bytes) => {
                let blob = generation.attachment(bytes).ok_or_else(|| {
                    let text = "the control plane is of the first generation, which drops streams \
                                that it has not asked for";
                    Error::new(ErrorCode::Unsupported, text)
                })?;
                self.write_message(&[blob], size, |_, json| {
                    wire::stream_part(request, stream, None, json);
                })?;
            }
            Part::End(message) => {
                let lost = self.opened.broken.remove(stream).then_some(BROKEN);
                self.write_message(&[], size, |_, json| {
                    wire::stream_end(request, stream, message.as_deref().or(lost), json);
                })?;
            }
        }
        self.check_written()?;
        self.counters.messages_out += 1;
        self.say(Rank::InTurn);
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
