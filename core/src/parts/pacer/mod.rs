//! What is said to one peer, at the pace at which its connection takes it.
//!
//! ```text
//! push ─▶ waiting ─next─▶ on its way ─sent─▶ left
//! ```
//!
//! A driver keeps what it is handed until the network takes it, and fails a connection that is handed
//! more than it may keep. So a window is handed over at a time, and the next one when that has left; what
//! does not fit waits here, where whoever says more can be held or refused.
//!
//! What waits has two sets of rules: a [`Pacer`] keeps packets by rank, as many as its role lets it; an
//! [`Outlet`] keeps messages in one bounded line and says what became of each.

mod outlet;

use std::collections::VecDeque;

use crate::net::Frame;

pub(crate) use outlet::{Message, Outcome, Outlet, Rules, settle};

/// What was handed over and is not known to have left.
#[derive(Debug, Default)]
struct Underway {
    load: Load,
    /// What of it there was when the driver was asked whether all has left.
    asked: Option<Load>,
}

impl Underway {
    /// Asks whether all has left that is underway; false if that was asked and is not answered.
    fn ask(&mut self) -> bool {
        let is_due = self.asked.is_none();
        self.asked.get_or_insert(self.load);
        is_due
    }

    /// All has left that was underway when it was asked: returns it.
    fn sent(&mut self) -> Option<Load> {
        let load = self.asked.take()?;
        self.load.parcels -= load.parcels;
        self.load.bytes -= load.bytes;
        self.load.kept -= load.kept;
        Some(load)
    }

    /// All has left: returns it.
    fn sent_all(&mut self) -> Load {
        self.asked = None;
        std::mem::take(&mut self.load)
    }
}

/// The largest window. What passes everything that waits, such as a pong, has only that much before it.
const MAX_WINDOW: u64 = 1_048_576;

/// What a parcel costs besides its payload.
const PARCEL_BYTES: u64 = 128;

/// How a parcel waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// It is small and of use only at once: it passes what waits, and nobody asks when it has left.
    First,
    /// An answer that the peer can demand as often as it likes.
    Demanded,
    /// It is lost with the session.
    InTurn,
    /// What has not been handed over when the session ends can be said in the next.
    Kept,
}

/// Frames that go one behind the other, with no other parcel between them.
#[derive(Debug)]
struct Parcel {
    frames: VecDeque<Frame>,
    rank: Rank,
    /// What it costs to keep.
    bytes: u64,
}

/// An amount of parcels.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    parcels: u64,
    bytes: u64,
    kept: u64,
}

impl Load {
    fn add(&mut self, bytes: u64, rank: Rank) {
        if rank != Rank::First {
            self.parcels += 1;
            self.bytes += bytes;
            self.kept += u64::from(rank == Rank::Kept);
        }
    }
}

/// What is said over one session.
#[derive(Debug)]
pub(crate) struct Pacer {
    first: VecDeque<Parcel>,
    waiting: VecDeque<Parcel>,
    /// What is left of a parcel that is handed over frame by frame.
    begun: VecDeque<Frame>,
    window: u64,
    /// The bytes of what waits, and of the part of it that can be said again.
    bytes: u64,
    kept_bytes: u64,
    /// The bytes of answers that the peer demanded and that wait.
    demanded: u64,
    /// Parcels that the application could say again and that have not left.
    kept: u64,
    underway: Underway,
    is_wanted: bool,
    /// How many parcels were pushed, and how many of them have left; what passes the others does not count.
    pushed: u64,
    left: u64,
}

impl Pacer {
    /// Makes one for connections that fail when more than so many bytes wait in the driver.
    pub(crate) fn new(max_send_queue: usize) -> Self {
        Self {
            first: VecDeque::new(),
            waiting: VecDeque::new(),
            begun: VecDeque::new(),
            window: (max_send_queue as u64 / 2).min(MAX_WINDOW),
            bytes: 0,
            kept_bytes: 0,
            demanded: 0,
            kept: 0,
            underway: Underway::default(),
            is_wanted: false,
            pushed: 0,
            left: 0,
        }
    }

    /// Takes a parcel of so many bytes past what waits if it may be handed over at once. False: it has to
    /// be [pushed](Self::push).
    pub(crate) fn pass(&mut self, bytes: u64, rank: Rank) -> bool {
        let bytes = bytes + PARCEL_BYTES;
        let passes = rank == Rank::First || (self.waiting.is_empty() && self.has_window(bytes));
        if passes {
            self.count(rank);
            self.underway.load.add(bytes, rank);
        }
        passes
    }

    /// Adds a parcel to what waits.
    pub(crate) fn push(&mut self, frames: impl IntoIterator<Item = Frame>, rank: Rank) {
        let frames: VecDeque<Frame> = frames.into_iter().collect();
        if frames.is_empty() {
            return;
        }
        let bytes: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        self.count(rank);
        let parcel = Parcel { frames, rank, bytes: bytes + PARCEL_BYTES };
        if matches!(rank, Rank::First | Rank::Demanded) {
            self.demanded += parcel.bytes;
        }
        if rank == Rank::First {
            return self.first.push_back(parcel);
        }
        self.bytes += parcel.bytes;
        if rank == Rank::Kept {
            self.kept_bytes += parcel.bytes;
        }
        self.waiting.push_back(parcel);
    }

    /// Returns the frames to hand over next, if the window has room for them. One parcel always has.
    pub(crate) fn next(&mut self) -> Option<VecDeque<Frame>> {
        if !self.begun.is_empty() {
            return Some(std::mem::take(&mut self.begun));
        }
        let has_window = |parcel: &Parcel| self.has_window(parcel.bytes);
        if self.first.is_empty() && !self.waiting.front().is_some_and(has_window) {
            return None;
        }
        self.take()
    }

    /// Returns the frame to hand over next where frames are handed over singly, and not by the window.
    pub(crate) fn front(&self) -> Option<&Frame> {
        let next = self.first.front().or_else(|| self.waiting.front());
        self.begun.front().or_else(|| next?.frames.front())
    }

    /// Takes the [frame](Self::front) to hand over next.
    pub(crate) fn pop(&mut self) -> Option<Frame> {
        if self.begun.is_empty() {
            self.begun = self.take()?;
        }
        self.begun.pop_front()
    }

    /// Tells whether to ask now when all has left that was handed over: somebody wants to know, or the
    /// window is half used up. [`sent`](Self::sent) is the answer.
    pub(crate) fn asks(&mut self) -> bool {
        let load = self.underway.load;
        let is_due = self.is_wanted || !self.waiting.is_empty() || load.bytes > self.window / 2;
        load.parcels > 0 && is_due && self.underway.ask()
    }

    /// All has left that was handed over before it was asked. Tells whether somebody wants to know.
    pub(crate) fn sent(&mut self) -> bool {
        self.underway.sent().is_some_and(|load| self.has_sent(load))
    }

    /// All has left that was handed over. Tells whether somebody wants to know.
    pub(crate) fn sent_all(&mut self) -> bool {
        let load = self.underway.sent_all();
        self.has_sent(load)
    }

    fn has_sent(&mut self, load: Load) -> bool {
        self.left += load.parcels;
        self.kept -= load.kept;
        let was_wanted = self.is_wanted;
        self.is_wanted &= !self.has_left();
        was_wanted
    }

    /// Somebody wants to know when everything pushed so far has left. Tells whether it has already.
    pub(crate) const fn want(&mut self) -> bool {
        self.is_wanted = !self.has_left();
        !self.is_wanted
    }

    /// Tells whether everything that was pushed has left.
    pub(crate) const fn has_left(&self) -> bool {
        self.pushed == self.left
    }

    /// Returns how many parcels were pushed: the number of the latest.
    pub(crate) const fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Returns up to which number parcels have left.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    /// Returns how many parcels that can be said again have not left.
    pub(crate) const fn kept(&self) -> u64 {
        self.kept
    }

    /// Tells whether nothing waits to be handed over.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.first.is_empty() && self.begun.is_empty()
    }

    /// Tells whether more may wait: less than `max` bytes do, so that one parcel always may, however large.
    pub(crate) const fn has_room(&self, max: usize) -> bool {
        self.bytes < max as u64
    }

    /// Tells the same of what can be said again: whoever says it counts nothing else.
    pub(crate) const fn has_room_for_kept(&self, max: usize) -> bool {
        self.kept_bytes < max as u64
    }

    /// Tells whether the peer demands answers and does not take them: more than `max` bytes of them wait.
    pub(crate) const fn is_abused(&self, max: usize) -> bool {
        self.demanded > max as u64
    }

    /// Forgets everything: the session is over. Returns what can be said in the next one.
    pub(crate) fn end(&mut self) -> impl Iterator<Item = VecDeque<Frame>> + use<> {
        let max_send_queue = usize::try_from(self.window * 2).unwrap_or(usize::MAX);
        let ended = std::mem::replace(self, Self::new(max_send_queue));
        let kept = ended.waiting.into_iter().filter(|parcel| parcel.rank == Rank::Kept);
        kept.map(|parcel| parcel.frames)
    }

    fn take(&mut self) -> Option<VecDeque<Frame>> {
        let first = self.first.pop_front();
        let Parcel { frames, rank, bytes } = first.or_else(|| self.waiting.pop_front())?;
        self.underway.load.add(bytes, rank);
        if matches!(rank, Rank::First | Rank::Demanded) {
            self.demanded -= bytes;
        }
        if rank != Rank::First {
            self.bytes -= bytes;
        }
        if rank == Rank::Kept {
            self.kept_bytes -= bytes;
        }
        Some(frames)
    }

    fn count(&mut self, rank: Rank) {
        self.pushed += u64::from(rank != Rank::First);
        self.kept += u64::from(rank == Rank::Kept);
    }

    const fn has_window(&self, bytes: u64) -> bool {
        let before = self.underway.load.bytes;
        before == 0 || before + bytes <= self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 2_000;

    fn frame(cost: u64) -> Frame {
        Frame::Text("x".repeat((cost - PARCEL_BYTES) as usize).into())
    }

    /// Says something that costs so much; tells whether it went at once.
    fn say(pacer: &mut Pacer, cost: u64, rank: Rank) -> bool {
        let passes = pacer.pass(cost - PARCEL_BYTES, rank);
        if !passes {
            pacer.push([frame(cost)], rank);
        }
        passes
    }

    /// Hands over what may be; returns what each frame costs.
    fn hand(pacer: &mut Pacer) -> Vec<u64> {
        let parcels = std::iter::from_fn(|| pacer.next());
        parcels.flatten().map(|frame| frame.len() as u64 + PARCEL_BYTES).collect()
    }

    #[test]
    fn a_window_is_handed_over_and_the_next_when_that_has_left() {
        let mut pacer = Pacer::new(MAX);
        let passed = (0..15).filter(|_| say(&mut pacer, 200, Rank::InTurn)).count();
        assert_eq!(passed, 5);
        assert!(pacer.asks() && !pacer.asks(), "once");
        assert!(hand(&mut pacer).is_empty());
        assert!(!pacer.sent(), "nobody wanted to know");
        assert_eq!(hand(&mut pacer).len(), 5);
        assert!(pacer.asks());
        pacer.sent();
        assert_eq!(hand(&mut pacer).len(), 5);
        assert!(pacer.asks());
        pacer.sent();
        assert!(pacer.is_empty() && pacer.has_left());
    }

    #[test]
    fn little_is_handed_over_without_a_question() {
        let mut pacer = Pacer::new(MAX);
        assert!(say(&mut pacer, 500, Rank::InTurn));
        assert!(!pacer.asks());
        assert!(say(&mut pacer, 200, Rank::InTurn));
        assert!(pacer.asks());
    }

    #[test]
    fn a_parcel_larger_than_the_window_goes_alone() {
        let mut pacer = Pacer::new(MAX);
        assert!(say(&mut pacer, 5_000, Rank::InTurn));
        assert!(!say(&mut pacer, 200, Rank::InTurn));
        assert!(!say(&mut pacer, 9_000, Rank::InTurn));
        assert!(pacer.asks());
        pacer.sent();
        assert_eq!(hand(&mut pacer), [200]);
        assert!(pacer.asks());
        pacer.sent();
        assert_eq!(hand(&mut pacer), [9_000]);
    }

    #[test]
    fn what_is_of_use_only_at_once_passes_what_waits_but_cuts_nothing_apart() {
        let mut pacer = Pacer::new(MAX);
        say(&mut pacer, 1_000, Rank::InTurn);
        pacer.push([frame(201), frame(202), frame(203)], Rank::InTurn);
        assert!(say(&mut pacer, 207, Rank::First));
        let mut next = || pacer.pop().map(|frame| frame.len() as u64 + PARCEL_BYTES);
        assert_eq!(next(), Some(201));
        pacer.push([frame(207)], Rank::First);
        let mut next = || pacer.pop().map(|frame| frame.len() as u64 + PARCEL_BYTES);
        assert_eq!([next(), next(), next(), next()], [Some(202), Some(203), Some(207), None]);
    }

    #[test]
    fn it_is_known_up_to_where_all_has_left() {
        let mut pacer = Pacer::new(MAX);
        assert!(pacer.want(), "nothing was said");
        say(&mut pacer, 200, Rank::Kept);
        assert!(!pacer.want());
        assert!(pacer.asks());
        say(&mut pacer, 200, Rank::InTurn);
        assert!(pacer.sent());
        assert_eq!((pacer.left(), pacer.pushed(), pacer.kept()), (1, 2, 0));
        assert!(pacer.asks(), "what came behind the question is asked for again");
        assert!(pacer.sent() && pacer.has_left());
        say(&mut pacer, 200, Rank::InTurn);
        assert!(!pacer.asks(), "nobody wants to know");
    }

    #[test]
    fn what_was_not_handed_over_can_be_said_again() {
        let mut pacer = Pacer::new(MAX);
        for cost in [1_000, 201, 202] {
            say(&mut pacer, cost, Rank::Kept);
        }
        say(&mut pacer, 203, Rank::InTurn);
        assert_eq!(pacer.kept(), 3);
        let kept: Vec<u64> =
            pacer.end().flatten().map(|frame| frame.len() as u64 + PARCEL_BYTES).collect();
        assert_eq!((kept, pacer.kept(), pacer.is_empty()), (vec![201, 202], 0, true));
        assert!(say(&mut pacer, 1_000, Rank::Kept), "the window is whole again");
    }

    #[test]
    fn room_is_left_or_not() {
        let mut pacer = Pacer::new(MAX);
        say(&mut pacer, 1_000, Rank::InTurn);
        say(&mut pacer, 1_999, Rank::InTurn);
        assert!(pacer.has_room(MAX));
        say(&mut pacer, 9_000, Rank::InTurn);
        assert!(!pacer.has_room(MAX) && pacer.has_room_for_kept(MAX));
        say(&mut pacer, 9_000, Rank::Kept);
        assert!(!pacer.has_room_for_kept(MAX));
    }

    #[test]
    fn answers_that_are_demanded_and_not_taken_are_counted_while_they_wait() {
        for rank in [Rank::First, Rank::Demanded] {
            let mut pacer = Pacer::new(MAX);
            for _ in 0..10 {
                pacer.push([frame(200)], rank);
            }
            assert!(!pacer.is_abused(MAX));
            pacer.push([frame(200)], rank);
            assert!(pacer.is_abused(MAX));
            assert!(pacer.pop().is_some() && !pacer.is_abused(MAX));
        }
    }
}
