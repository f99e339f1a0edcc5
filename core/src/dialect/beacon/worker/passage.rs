//! What passes: the largest message that the other side is known to take.

/// The largest messages of the present link, in bytes.
#[derive(Debug, Default)]
pub(super) struct Passage {
    /// What the control plane says that it takes; where it says nothing, nothing is known.
    pub(super) said: Option<usize>,
    /// It closed a connection because of something larger than this.
    learnt: Option<usize>,
    /// The largest message on the present link since that is ready.
    largest: usize,
}

impl Passage {
    /// Begins a link on which the control plane takes `said` bytes.
    pub(super) const fn begin(&mut self, said: Option<usize>) {
        self.said = said;
        self.largest = 0;
    }

    /// Notes a message that was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.largest = self.largest.max(bytes);
    }

    /// Notes the end of the link, with 1009 if something `was_too_large`: at least the largest message
    /// was. What was learnt holds until a link ends for another reason.
    pub(super) fn ended(&mut self, was_too_large: bool) {
        self.learnt = was_too_large.then(|| {
            let below = self.largest.saturating_sub(1);
            self.learnt.map_or(below, |learnt| learnt.min(below))
        });
    }

    /// Returns the largest message that passes where we send at most `own` bytes, and why no larger one.
    pub(super) fn max(&self, own: usize) -> (usize, &'static str) {
        [
            (Some(own), "that limits.max_message_bytes of this worker allows"),
            (self.said, "that the control plane takes"),
            (self.learnt, "that the control plane can take: it closed a connection with 1009"),
        ]
        .into_iter()
        .filter_map(|(max, why)| Some((max?, why)))
        .min_by_key(|(max, _)| *max)
        .unwrap_or((own, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_of_all_limits_holds() {
        let mut passage = Passage::default();
        assert_eq!(passage.max(9).0, 9);
        passage.begin(Some(7));
        assert_eq!(passage.max(9).0, 7);
        assert_eq!(passage.max(5).0, 5);
    }

    #[test]
    fn a_close_teaches_that_the_largest_message_was_too_large() {
        let mut passage = Passage::default();
        passage.begin(None);
        passage.sent(5);
        passage.sent(3);
        passage.ended(true);
        assert_eq!(passage.max(9).0, 4);
        passage.begin(None);
        passage.sent(2);
        passage.ended(true);
        assert_eq!(passage.max(9).0, 1);
        passage.ended(false);
        assert_eq!(passage.max(9).0, 9, "the next control plane may take more");
    }
}
