//! The work: one capability per language, each with a result that can be checked.

use clap::ValueEnum;
use serde_json::{Value, json};

/// A language that a worker is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Language {
    /// The worker in this program.
    Rust,
    /// `worker.mjs`.
    Node,
    /// `worker.py`.
    Python,
}

impl Language {
    /// Returns the name, which is the worker's name too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Node => "node",
            Self::Python => "python",
        }
    }

    /// Returns what its worker offers.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Rust => "Text/Reverse",
            Self::Node => "List/Sort",
            Self::Python => "Number/DigitSum",
        }
    }

    /// Returns the settings of item `number`.
    pub(crate) fn settings(self, number: u32) -> Value {
        match self {
            Self::Rust => json!({"Text": format!("item {number}")}),
            Self::Node => json!({"Numbers": [number, number / 2, number / 3]}),
            Self::Python => json!({"Number": number}),
        }
    }

    /// Returns the `Answer` of item `number`.
    pub(crate) fn answer(self, number: u32) -> Value {
        match self {
            Self::Rust => format!("item {number}").chars().rev().collect::<String>().into(),
            Self::Node => json!([number / 3, number / 2, number]),
            Self::Python => number
                .to_string()
                .chars()
                .filter_map(|digit| digit.to_digit(10))
                .sum::<u32>()
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_what_a_person_would_say() {
        assert_eq!(Language::Rust.answer(12), "21 meti");
        assert_eq!(Language::Node.answer(12), json!([4, 6, 12]));
        assert_eq!(Language::Python.answer(129), 12);
    }
}
