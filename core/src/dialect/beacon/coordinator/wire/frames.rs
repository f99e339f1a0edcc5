//! What the hub pushes to workers, and what it keeps of their progress. Key order as recorded.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::super::item::Item;
use super::ProgressReport;
use crate::api::event::Withdrawal;
use crate::base::json::Raw;
use crate::base::json::object::{Object, inside, list};
use crate::base::time::UnixMillis;

/// By how much the numbers of later attempts lengthen the frame that pushes an item.
const GROWTH: usize = 128;

/// The frame that pushes a work item, to a worker of ours or of others.
pub(crate) fn work_frame(item: &Item, is_ours: bool) -> String {
    pushed(item, &item.order.settings, is_ours)
}

/// Returns how long that frame is at most, whatever the attempt.
pub(crate) fn work_frame_bytes(item: &Item) -> usize {
    pushed(item, &Raw::empty_object(), false).len() + item.order.settings.as_str().len() + GROWTH
}

fn pushed(item: &Item, settings: &Raw, is_ours: bool) -> String {
    Object::with_capacity(settings.as_str().len() + 1_280)
        .text("EventType", "WorkItem")
        .object("WorkItem", |object| work_item(object, item, settings, is_ours))
        .end()
}

/// The answer to a poll, of a worker of ours or of others.
pub(crate) fn polled(item: Option<&Item>, is_ours: bool, cancels: &Cancels) -> String {
    let object = match item {
        None => Object::new().raw("WorkItem", "null"),
        Some(item) => Object::with_capacity(item.order.settings.as_str().len() + 1_280)
            .object("WorkItem", |object| work_item(object, item, &item.order.settings, is_ours)),
    };
    with_cancels(object, cancels).end()
}

/// Adds what a worker is to stop working on, if there is something. Source: `ultravisor` 1.3.27.
pub(super) fn with_cancels(object: Object, cancels: &Cancels) -> Object {
    let each = cancels.iter().map(|(hash, reason)| {
        Object::new().text("WorkItemHash", hash).text("Reason", reason).end()
    });
    object.when(!cancels.is_empty(), |object| object.raw("Cancels", &list(each)))
}

/// Why a worker is to stop working on items, by hash.
pub(crate) type Cancels = BTreeMap<Arc<str>, String>;

fn work_item(object: Object, item: &Item, settings: &Raw, is_ours: bool) -> Object {
    let order = &item.order;
    let metadata = queue_metadata(item);
    let object = object
        .text("WorkItemHash", &order.hash)
        .text("RunID", &order.run_id)
        .text("Capability", &order.capability)
        .text("Action", &order.action);
    let object = if is_ours {
        object.raw("Settings", settings.as_str())
    } else {
        with_metadata(object, settings, &metadata)
    };
    object
        .text("OperationHash", &order.operation_hash)
        .number("TimeoutMs", order.timeout_ms)
        .number("AttemptNumber", item.attempt)
        .raw("QueueMetadata", &metadata)
}

pub(super) fn queue_metadata(item: &Item) -> String {
    let order = &item.order;
    let dispatched = item.assigned.unwrap_or(order.enqueued);
    Object::with_capacity(256)
        .text("RunID", &order.run_id)
        .text("WorkItemHash", &order.hash)
        .plain("EnqueuedAt", order.enqueued)
        .plain("DispatchedAt", dispatched)
        .number("QueueWaitMs", dispatched.0.saturating_sub(order.enqueued.0))
        .number("AttemptNumber", item.attempt)
        .text("HubInstanceID", "")
        .end()
}

/// Peer: the hub repeats its metadata inside the settings. Being last, it wins over a caller's own.
pub(super) fn with_metadata(object: Object, settings: &Raw, metadata: &str) -> Object {
    let own = inside(settings.as_str()).unwrap_or_default().trim_end();
    object.object("Settings", |settings| settings.fields(own).raw("QueueMetadata", metadata))
}

/// The frame that confirms a registration; `ours` is the largest message, for a worker of ours.
pub(crate) fn registered(beacon_id: &str, ours: Option<u64>) -> String {
    let object = Object::new().text("EventType", "BeaconRegistered").text("BeaconID", beacon_id);
    moorline(object, ours).end()
}

pub(super) fn moorline(object: Object, max_message: Option<u64>) -> Object {
    object.given(max_message, |object, max| {
        object.object("Moorline", |ours| ours.flag("Acks", true).number("MaxMessageBytes", max))
    })
}

/// The frame that turns a worker away.
pub(crate) fn rejected(reason: &str) -> String {
    Object::new().text("EventType", "BeaconRejected").text("Reason", reason).end()
}

/// The frame that confirms a farewell.
pub(crate) fn deregistered() -> String {
    Object::new().text("EventType", "Deregistered").end()
}

/// Whether the hub took an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) hash: String,
    /// Why it was refused; `None` when it was taken.
    pub(crate) refused: Option<String>,
}

/// The frame that tells a worker of ours which outcomes were taken.
pub(crate) fn work_taken(verdicts: &[Verdict]) -> String {
    let items = verdicts.iter().map(|verdict| {
        Object::new()
            .text("WorkItemHash", &verdict.hash)
            .flag("Taken", verdict.refused.is_none())
            .given(verdict.refused.as_ref(), |object, reason| object.text("Reason", reason))
            .end()
    });
    Object::new().text("EventType", "WorkTaken").raw("Items", &list(items)).end()
}

/// The frame that asks a worker of ours to stop working on an item.
pub(crate) fn work_cancel(hash: &str, reason: &str, why: Withdrawal) -> String {
    Object::new()
        .text("EventType", "WorkCancel")
        .text("WorkItemHash", hash)
        .text("Reason", reason)
        .text("Why", why.as_str())
        .end()
}

/// The frame that asks a worker of others to stop working on an item; those before `ultravisor` 1.3.27
/// ignore it.
pub(crate) fn cancel(hash: &str, reason: &str) -> String {
    Object::new()
        .text("EventType", "Cancel")
        .text("WorkItemHash", hash)
        .text("Reason", reason)
        .end()
}

/// The last value of each field that a worker reported.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress([Option<Box<RawValue>>; 4]);

/// The longest value of a field of progress, in bytes; longer ones are left out.
const MAX_PROGRESS: usize = 4_096;

impl Progress {
    const FIELDS: [&str; 4] = ["Percent", "Message", "Step", "TotalSteps"];

    /// Takes over what a report names. Peer: an empty message does not overwrite.
    pub(crate) fn merge(&mut self, report: &ProgressReport<'_>) {
        let message = report.message.filter(|message| message.get() != "\"\"");
        let named = [report.percent, message, report.step, report.total_steps];
        for (own, new) in self.0.iter_mut().zip(named) {
            if let Some(new) = new.filter(|new| new.get().len() <= MAX_PROGRESS) {
                *own = Some(new.to_owned());
            }
        }
    }

    /// Returns how many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|value| value.get().len()).sum()
    }

    /// Writes what was reported so far, if anything was.
    pub(crate) fn said(&self, at: UnixMillis) -> Option<String> {
        self.0.iter().any(Option::is_some).then(|| self.write(at))
    }

    /// Writes the fields for whoever follows the item.
    pub(crate) fn write(&self, at: UnixMillis) -> String {
        self.object(at).end()
    }

    /// Writes the same for one who missed reports, and the bytes that came with them.
    pub(crate) fn write_after(&self, at: UnixMillis, reports: u64, bytes: u64) -> String {
        let missed = |ours: Object| ours.number("LeftOut", reports).number("LeftOutBytes", bytes);
        self.object(at).object("Moorline", missed).end()
    }

    fn object(&self, at: UnixMillis) -> Object {
        let mut object = Object::new();
        for (key, value) in Self::FIELDS.into_iter().zip(&self.0) {
            object = object.given(value.as_ref(), |object, value| object.raw(key, value.get()));
        }
        object.plain("UpdatedAt", at)
    }
}

/// The name of the output whose bytes a stream sends apart.
pub(crate) const OUTPUT_DATA: &str = "OutputData";

/// Appends the lines of a JSON list of text to the inside of another.
pub(crate) fn append_lines(lines: &mut String, more: &RawValue) {
    let inner = more.get().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let Some(inner) = inner.map(str::trim).filter(|inner| !inner.is_empty()) else { return };
    if !lines.is_empty() {
        lines.push(',');
    }
    lines.push_str(inner);
}

/// Wraps the inside of a list of lines.
pub(crate) fn lines(inner: &str) -> String {
    format!("[{inner}]")
}

#[cfg(test)]
mod tests {
    use super::super::super::item::Order;
    use super::*;

    fn item(settings: &str) -> Item {
        let hash = "wi-unknown-unknown-1795246516776-1".into();
        let settings = Raw::parse(settings.to_owned()).unwrap();
        let enqueued = UnixMillis(1_795_246_617_932);
        let order = Order::new(hash, "Echo", "Say", settings, enqueued);
        let order = Order { timeout_ms: 15_000, ..order };
        let mut item = Item::new(order, 0, 0);
        item.attempt = 1;
        item.assigned = Some(UnixMillis(1_795_246_617_962));
        item
    }

    #[test]
    fn a_pushed_item_looks_as_recorded() {
        let metadata = concat!(
            r#"{"RunID":"","WorkItemHash":"wi-unknown-unknown-1795246516776-1","#,
            r#""EnqueuedAt":"2026-11-21T07:36:57.932Z","DispatchedAt":"2026-11-21T07:36:57.962Z","#,
            r#""QueueWaitMs":30,"AttemptNumber":1,"HubInstanceID":""}"#
        );
        let expected = [
            r#"{"EventType":"WorkItem","WorkItem":{"WorkItemHash":"wi-unknown-unknown-1795246516776-1","#,
            r#""RunID":"","Capability":"Echo","Action":"Say","Settings":{"Text":"hello","QueueMetadata":"#,
            metadata,
            r#"},"OperationHash":"","TimeoutMs":15000,"AttemptNumber":1,"QueueMetadata":"#,
            metadata,
            "}}",
        ]
        .concat();
        let item = item(r#"{"Text":"hello"}"#);
        assert_eq!(work_frame(&item, false), expected);
        let ours = work_frame(&item, true);
        assert!(ours.contains(r#""Settings":{"Text":"hello"},"OperationHash""#), "{ours}");
    }

    #[test]
    fn metadata_joins_any_object() {
        for (own, joined) in [
            ("{}", r#"{"Settings":{"QueueMetadata":1}}"#),
            ("{ }", r#"{"Settings":{"QueueMetadata":1}}"#),
            (r#"{"a":{}}"#, r#"{"Settings":{"a":{},"QueueMetadata":1}}"#),
        ] {
            let own = Raw::parse(own).unwrap();
            assert_eq!(with_metadata(Object::new(), &own, "1").end(), joined);
        }
    }

    #[test]
    fn lines_join_without_parsing() {
        let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
        let mut inner = String::new();
        append_lines(&mut inner, &raw(r#"["a"]"#));
        append_lines(&mut inner, &raw("[ ]"));
        append_lines(&mut inner, &raw(r#"["b","c"]"#));
        assert_eq!(lines(&inner), r#"["a","b","c"]"#);
    }

    #[test]
    fn progress_keeps_the_last_value_of_each_field() {
        let mut progress = Progress::default();
        progress.merge(&serde_json::from_str(r#"{"Percent":40,"Message":"half"}"#).unwrap());
        progress.merge(&serde_json::from_str(r#"{"Step":2,"Message":""}"#).unwrap());
        assert_eq!(
            progress.write(UnixMillis(0)),
            r#"{"Percent":40,"Message":"half","Step":2,"UpdatedAt":"1970-01-01T00:00:00.000Z"}"#
        );
    }
}
