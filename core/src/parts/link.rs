//! One link after another: where the present one stands, until when, and when the next one begins.
//!
//! ```text
//! idle ─▶ preflight ─▶ dialing ─▶ greeting ─▶ ready ─▶ leaving ─▶ ended
//!             ▲           └─ fails ─┴─ lost ────┤         attempts used up, or refused ▲
//!             └──────────── waiting ◀───────────┴────────── before it was ever ready ──┘
//! ```
//!
//! What the stages are called and what each of them stands on is the role's affair. This part keeps the
//! time limit of the present stage, and counts attempts until a link has held.

use crate::base::entropy::Entropy;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::parts::backoff::Backoff;

/// The links of one role; `S` are its stages.
#[derive(Debug)]
pub(crate) struct Link<S> {
    stage: S,
    /// When the present stage began.
    pub(crate) since: Now,
    /// When the time limit of the present stage ends, and what it is for.
    pub(crate) limit: Option<Deadline>,
    ready_since: Option<Instant>,
    /// Since when there is no link that was ready.
    away_since: Option<Instant>,
    /// Whether any link was ready: a peer that refuses us before does so for good.
    pub(crate) was_ready: bool,
    /// The ladder of attempts.
    pub(crate) backoff: Backoff,
}

/// How soon to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// By the ladder.
    Ladder,
    /// As late as allowed: the peer refused us.
    Longest,
    /// When the peer asks for it, in milliseconds, an hour at most.
    After(u64),
}

impl<S: Copy> Link<S> {
    pub(crate) fn new(stage: S, backoff: Backoff) -> Self {
        let since = Now::default();
        Self {
            stage,
            since,
            limit: None,
            ready_since: None,
            away_since: None,
            was_ready: false,
            backoff,
        }
    }

    pub(crate) const fn stage(&self) -> S {
        self.stage
    }

    /// Moves to a stage on the way up or down, which may last so many milliseconds.
    pub(crate) fn enter(&mut self, stage: S, limit: Option<(u64, Why)>, now: Now) {
        self.stage = stage;
        self.since = now;
        self.limit = limit.map(|(millis, why)| Deadline { at: now.mono.after(millis), why });
        self.ready_since = None;
    }

    /// Moves to a further stage within the time limit of the present one.
    pub(crate) const fn go_on(&mut self, stage: S, now: Now) {
        self.stage = stage;
        self.since = now;
    }

    /// Moves to the stage in which the link is ready; tells whether one before it was.
    pub(crate) fn enter_ready(&mut self, stage: S, now: Now) -> bool {
        self.enter(stage, None, now);
        self.ready_since = Some(now.mono);
        std::mem::replace(&mut self.was_ready, true)
    }

    /// Tells whether the time limit of the present stage has passed.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.limit.is_some_and(|limit| limit.at <= now)
    }

    /// Notes the end of a link: one that was ready for long enough starts the ladder anew. Tells whether
    /// it was.
    pub(crate) fn ended(&mut self, now: Instant) -> bool {
        self.ready_since.is_some_and(|since| self.backoff.link_ended(since, now))
    }

    /// Notes the end of a link, and returns the delay before the next attempt.
    pub(crate) fn lose(&mut self, pace: Pace, entropy: &mut Entropy, now: Instant) -> Option<u64> {
        if self.ready_since.is_some() {
            self.away_since = Some(now);
        }
        self.ended(now);
        match (pace, self.away_since) {
            (Pace::Ladder, Some(since)) => self.backoff.next_away(now.since(since), entropy),
            (Pace::Ladder | Pace::Longest | Pace::After(_), _) => self.retry(pace, entropy),
        }
    }

    /// Returns the delay in milliseconds before the next attempt, or `None` when all are used up.
    pub(crate) fn retry(&mut self, pace: Pace, entropy: &mut Entropy) -> Option<u64> {
        match pace {
            Pace::Ladder => self.backoff.next(entropy),
            Pace::Longest => self.backoff.longest(entropy),
            Pace::After(millis) => self.backoff.after(millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::options::ReconnectOptions;
    use crate::parts::readmission::Readmission;

    #[test]
    fn a_stage_has_its_time_limit_and_no_other() {
        let mut link = link();
        link.enter("dialing", Some((500, Why::Connect)), at(100));
        assert_eq!(link.limit, Some(Deadline { at: Instant::from_millis(600), why: Why::Connect }));
        assert!(!link.is_due(at(599).mono));
        assert!(link.is_due(at(600).mono));
        link.enter_ready("ready", at(300));
        assert_eq!((link.stage(), link.since, link.limit), ("ready", at(300), None));
        assert!(!link.is_due(at(9_999).mono));
    }

    #[test]
    fn a_further_stage_has_the_time_that_is_left() {
        let mut link = link();
        link.enter("dialing", Some((500, Why::Connect)), at(100));
        link.go_on("greeting", at(400));
        assert_eq!((link.stage(), link.since), ("greeting", at(400)));
        assert!(!link.is_due(at(599).mono));
        assert!(link.is_due(at(600).mono));
    }

    #[test]
    fn only_a_link_that_held_starts_the_ladder_anew() {
        let (mut link, mut entropy) = (link(), Entropy::new([0; 32]));
        link.enter_ready("ready", at(0));
        assert_eq!(link.lose(Pace::Ladder, &mut entropy, at(29_999).mono), Some(10_000));
        link.enter("waiting", None, at(29_999));
        assert_eq!(link.lose(Pace::Ladder, &mut entropy, at(90_000).mono), Some(20_000));
        link.enter_ready("ready", at(100_000));
        assert_eq!(link.lose(Pace::Ladder, &mut entropy, at(130_000).mono), Some(10_000));
        assert_eq!(link.backoff.attempt, 1);
        assert_eq!(link.lose(Pace::Longest, &mut entropy, at(130_000).mono), Some(300_000));
    }

    /// K5.3: when 1,000 workers of one hub come back, with the defaults.
    #[test]
    #[allow(clippy::print_stdout)]
    fn a_fleet_comes_back_soon_and_not_at_once() {
        for outage in [50, 100, 500, 1_000, 2_000, 3_000, 5_000, 10_000] {
            let mut arrivals = std::collections::BTreeMap::<u64, u32>::new();
            let mut last = 0;
            for worker in 0..1_000_u32 {
                let mut seed = [outage as u8; 32];
                seed[..4].copy_from_slice(&worker.to_le_bytes());
                let mut entropy = Entropy::new(seed);
                let mut link = Link::new("ready", Backoff::new(ReconnectOptions::default()));
                link.enter_ready("ready", at(0));
                let mut now = 100_000;
                let begin = now;
                while now < begin + outage || now == begin {
                    now += link.lose(Pace::Ladder, &mut entropy, at(now).mono).unwrap();
                    link.enter("waiting", None, at(now));
                }
                *arrivals.entry((now - begin - outage) / 100).or_default() += 1;
                last = last.max(now - begin - outage);
            }
            let peak = arrivals.into_values().max().unwrap();
            println!("away {outage} ms: at most {peak} in 100 ms, the last after {last} ms");
            assert!(peak <= 60 && last <= 4_800, "away {outage} ms: {peak}, {last} ms");
        }
    }

    /// How a fleet came back to its hub, with the defaults.
    struct Return {
        /// The most attempts, and the most who were let in, in 100 ms.
        asked: u32,
        admitted: u32,
        last_ms: u64,
        longest_way: u32,
    }

    /// Has workers lose their hub, which comes back after an outage and lets them in by its rate; an orderly
    /// end tells each when to come.
    fn come_back(workers: u64, outage: u64, is_orderly: bool) -> Return {
        let mut door = Readmission::new(600);
        let begin = 100_000;
        let mut links = Vec::new();
        let mut events = std::collections::BTreeSet::new();
        let mut turns = door.turns(workers, 3_750);
        for worker in 0..workers {
            let mut seed = [outage as u8; 32];
            seed[..8].copy_from_slice(&worker.to_le_bytes());
            let mut entropy = Entropy::new(seed);
            let mut link = Link::new("ready", Backoff::new(ReconnectOptions::default()));
            link.enter_ready("ready", at(0));
            let turn = turns.next().filter(|_| is_orderly).map_or(Pace::Ladder, Pace::After);
            let wait = link.lose(turn, &mut entropy, at(begin).mono).unwrap();
            link.enter("waiting", None, at(begin));
            events.insert((begin + wait, worker));
            links.push((link, entropy, 0));
        }
        let up = begin + outage;
        let (mut asked, mut admitted) = ([0; 1_000], [0; 1_000]);
        let (mut last_ms, mut longest_way) = (0, 0);
        while let Some((now, worker)) = events.pop_first() {
            let (link, entropy, way) = &mut links[worker as usize];
            let pace = if now < up {
                Pace::Ladder
            } else {
                let place = ((now - up) / 100) as usize;
                asked[place] += 1;
                *way += 1;
                longest_way = longest_way.max(*way);
                match door.enter(&worker.to_string(), at(now).mono) {
                    Ok(()) => {
                        admitted[place] += 1;
                        last_ms = now - up;
                        continue;
                    }
                    Err(wait) => Pace::After(wait),
                }
            };
            events.insert((now + link.lose(pace, entropy, at(now).mono).unwrap(), worker));
            link.enter("waiting", None, at(now));
        }
        let most = |counts: [u32; 1_000]| counts.into_iter().max().unwrap_or(0);
        Return { asked: most(asked), admitted: most(admitted), last_ms, longest_way }
    }

    /// K5, bound 5: fleets for which the hub has to say who comes when.
    #[test]
    #[allow(clippy::print_stdout)]
    fn a_large_fleet_comes_back_as_fast_as_its_hub_takes_it() {
        for (workers, most_ms) in [(1_000, 4_800), (5_000, 9_500)] {
            for is_orderly in [false, true] {
                for outage in [50, 500, 1_000, 2_000, 5_000, 10_000] {
                    let Return { asked, admitted, last_ms, longest_way } =
                        come_back(workers, outage, is_orderly);
                    let end = if is_orderly { "ended" } else { "died" };
                    println!(
                        "{workers} workers, hub {end}, away {outage} ms: at most {asked} ask and \
                         {admitted} are let in in 100 ms, the last after {last_ms} ms and \
                         {longest_way} logins"
                    );
                    assert!(admitted <= 90 && last_ms <= most_ms && longest_way <= 2);
                    assert!(asked <= 300, "{asked}");
                }
            }
        }
    }

    #[test]
    fn a_first_link_is_tried_for_quickly() {
        let (mut link, mut entropy) =
            (Link::new("idle", Backoff::new(ReconnectOptions::default())), Entropy::new([7; 32]));
        let mut tried = Vec::new();
        let mut now = 0;
        for _ in 0..4 {
            now += link.lose(Pace::Ladder, &mut entropy, at(now).mono).unwrap();
            tried.push(now);
        }
        assert!(tried[1] <= 900 && tried[3] <= 4_500, "{tried:?}");
    }

    #[test]
    fn it_is_known_whether_a_link_was_ever_ready() {
        let mut link = link();
        link.enter("greeting", None, at(0));
        assert!(!link.was_ready);
        assert!(!link.enter_ready("ready", at(0)));
        link.enter("waiting", None, at(0));
        assert!(link.was_ready);
        assert!(link.enter_ready("ready", at(0)));
    }

    fn link() -> Link<&'static str> {
        Link::new("idle", Backoff::new(ladder()))
    }

    /// The original's numbers, without jitter.
    fn ladder() -> ReconnectOptions {
        ReconnectOptions {
            base_delay_ms: 10_000,
            max_delay_ms: 300_000,
            jitter_percent: 0,
            ..ReconnectOptions::default()
        }
    }

    fn at(millis: u64) -> Now {
        Now::new(millis, 0)
    }
}
