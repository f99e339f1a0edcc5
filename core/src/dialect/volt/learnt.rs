//! What is known of the generation that the other side speaks, and where it was learnt.

use super::wire::Generation;
use crate::api::options::VoltGeneration;

/// Where a generation was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nowhere yet.
    Nothing,
    Option,
    /// The registration names no channel.
    Registration,
    /// How heartbeats travel, or are answered.
    Heartbeat,
    /// How bytes stand in a message.
    Message,
}

impl Source {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Option => "option",
            Self::Registration => "registration",
            Self::Heartbeat => "heartbeat",
            Self::Message => "message",
        }
    }
}

/// The generation of the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learnt {
    generation: Option<Generation>,
    pub(super) source: Source,
}

impl Learnt {
    pub(super) const fn new(option: VoltGeneration) -> Self {
        let generation = match option {
            VoltGeneration::Auto => None,
            VoltGeneration::First => Some(Generation::First),
            VoltGeneration::Second => Some(Generation::Second),
            VoltGeneration::Third => Some(Generation::Third),
        };
        let source = if generation.is_some() { Source::Option } else { Source::Nothing };
        Self { generation, source }
    }

    pub(super) const fn generation(&self) -> Option<Generation> {
        self.generation
    }

    pub(super) fn number(&self) -> Option<u8> {
        self.generation.map(Generation::number)
    }

    /// Notes what was learnt, unless an option says it.
    pub(super) fn learn(&mut self, generation: Generation, source: Source) {
        if self.source != Source::Option {
            *self = Self { generation: Some(generation), source };
        }
    }

    /// Forgets what was learnt: another session may be one with another program.
    pub(super) fn forget(&mut self) {
        if self.source != Source::Option {
            *self = Self { generation: None, source: Source::Nothing };
        }
    }
}

impl Default for Learnt {
    fn default() -> Self {
        Self::new(VoltGeneration::Auto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_option_says_is_neither_learnt_nor_forgotten() {
        let mut learnt = Learnt::new(VoltGeneration::Second);
        learnt.learn(Generation::Third, Source::Heartbeat);
        learnt.forget();
        assert_eq!((learnt.number(), learnt.source), (Some(2), Source::Option));
        let mut learnt = Learnt::new(VoltGeneration::Auto);
        assert_eq!((learnt.number(), learnt.source), (None, Source::Nothing));
        learnt.learn(Generation::Third, Source::Heartbeat);
        assert_eq!((learnt.number(), learnt.source), (Some(3), Source::Heartbeat));
        learnt.forget();
        assert_eq!(learnt.number(), None);
    }
}
