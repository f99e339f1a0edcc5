//! Events that wait for the application, drained in batches of at most 64 KiB.

use std::collections::VecDeque;

use moorline_core::{Event, event};

/// The most bytes of a drain, unless one event is larger.
const BATCH: usize = 1 << 16;

/// Events as JSON text, oldest first.
#[derive(Default)]
pub(crate) struct Events {
    waiting: VecDeque<String>,
    bytes: usize,
}

impl Events {
    /// Appends an event.
    pub(crate) fn push(&mut self, event: &Event) {
        let mut text = String::new();
        event::write(event, &mut text);
        self.bytes += text.len();
        self.waiting.push_back(text);
    }

    /// Takes a batch as one JSON array.
    pub(crate) fn drain(&mut self) -> String {
        let mut out = String::from("[");
        while let Some(text) =
            self.waiting.pop_front_if(|text| out.len() == 1 || out.len() + text.len() < BATCH)
        {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&text);
            self.bytes -= text.len();
        }
        out.push(']');
        out
    }

    /// Returns the bytes that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_core::CallEvent;
    use moorline_core::{CallId, Raw};

    fn part(bytes: usize) -> Event {
        let part = Raw::from_value(&"x".repeat(bytes)).unwrap();
        Event::Call(CallEvent::Part { call: CallId(1), part })
    }

    #[test]
    fn a_drain_takes_whole_events_up_to_its_size() {
        let mut events = Events::default();
        for _ in 0..3 {
            events.push(&part(30_000));
        }
        let batch = |events: &mut Events| {
            serde_json::from_str::<Vec<serde_json::Value>>(&events.drain()).unwrap().len()
        };
        assert_eq!(batch(&mut events), 2);
        assert_eq!(batch(&mut events), 1);
        assert_eq!((batch(&mut events), events.bytes()), (0, 0));
    }

    #[test]
    fn a_large_event_goes_alone() {
        let mut events = Events::default();
        events.push(&part(2 * BATCH));
        events.push(&part(1));
        assert!(events.drain().len() > 2 * BATCH);
        assert!(events.bytes() > 0);
    }
}
