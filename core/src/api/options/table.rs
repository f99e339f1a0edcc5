//! How an options table is declared, read and described.
//!
//! [`options!`](crate::options) turns one table into the struct, its defaults, its reader and its
//! description. The reader collects every problem with its path, and proposes the nearest name for an
//! unknown key.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;
use crate::base::secret::Secret;

/// One thing that is wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a dotted path such as `reconnect.max_delay_ms`; empty for the whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that is wrong with the options, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems in the order of the text.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// Adds a problem.
    pub fn add(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), message: message.into() });
    }

    /// Returns `value`, or the problems if there are any.
    ///
    /// # Errors
    /// The problems.
    pub fn check<T>(self, value: T) -> Result<T, Self> {
        if self.problems.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { path, message }) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let colon = if path.is_empty() { "" } else { ": " };
            write!(f, "{separator}{path}{colon}{message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorCode::ConfigInvalid, error.to_string())
    }
}

/// What kind of value an option takes, for generated types and pages.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Text.
    Text,
    /// Text that must not show.
    Secret,
    /// One of a fixed set of words.
    Word(&'static [&'static str]),
    /// Any JSON value, passed through.
    Json,
    /// A list of text.
    TextList,
    /// A nested table.
    Table(fn() -> Vec<Field>),
    /// A list of nested tables.
    TableList(fn() -> Vec<Field>),
}

/// The description of one option.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default as JSON text.
    pub default: String,
    /// The unit, such as `ms` or `bytes`; empty if none.
    pub unit: &'static str,
    /// The inclusive range of a number.
    pub range: Option<(u64, u64)>,
}

/// A value that an option can take.
pub trait OptionValue: Sized {
    /// The kind.
    const KIND: Kind;

    /// Reads the value, or adds what is wrong to `problems`.
    fn read(
        text: &RawValue,
        path: &str,
        range: Option<&RangeInclusive<u64>>,
        problems: &mut ConfigError,
    ) -> Option<Self>;

    /// Reads the value over this one. A table keeps what the text does not name, so that a table
    /// inside another keeps the defaults that the outer one gives it.
    fn amend(
        &mut self,
        text: &RawValue,
        path: &str,
        range: Option<&RangeInclusive<u64>>,
        problems: &mut ConfigError,
    ) {
        if let Some(value) = Self::read(text, path, range, problems) {
            *self = value;
        }
    }

    /// Writes the value as JSON text; secrets are redacted.
    fn show(&self) -> String;

    /// Writes the value as JSON text that reads back to it, secrets and all: for a machine, never for
    /// people.
    fn describe(&self) -> String {
        self.show()
    }
}

/// Reads a whole options table from JSON text.
///
/// # Errors
/// Every problem at once.
pub fn read<T: OptionValue>(text: &str) -> Result<T, ConfigError> {
    let mut problems = ConfigError::default();
    let raw: &RawValue = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(e) => {
            problems.add("", format!("the options are not JSON: {e}"));
            return Err(problems);
        }
    };
    let value = T::read(raw, "", None, &mut problems);
    match value {
        Some(value) => problems.check(value),
        None => Err(problems),
    }
}

/// An object's fields in the order of the text.
#[derive(Debug)]
pub struct Fields<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Joins a path and a key.
#[must_use]
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Says that `key` is unknown, and what it may have been meant to be.
pub fn unknown(path: &str, key: &str, known: &[&'static str], problems: &mut ConfigError) {
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = nearest.map_or_else(
        || format!("; known are {}", known.join(", ")),
        |(_, name)| format!("; did you mean {name}?"),
    );
    problems.add(&join(path, key), format!("is not an option{hint}"));
}

macro_rules! scalar {
    ($type:ty, $kind:expr, $what:literal, $show:expr) => {
        impl OptionValue for $type {
            const KIND: Kind = $kind;
            fn read(
                text: &RawValue,
                path: &str,
                _: Option<&RangeInclusive<u64>>,
                problems: &mut ConfigError,
            ) -> Option<Self> {
                match serde_json::from_str(text.get()) {
                    Ok(value) => Some(value),
                    Err(_) => {
                        problems.add(path, concat!("must be ", $what));
                        None
                    }
                }
            }
            fn show(&self) -> String {
                let show: fn(&Self) -> String = $show;
                show(self)
            }
        }
    };
}

fn json_text<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

scalar!(bool, Kind::Boolean, "true or false", json_text);
scalar!(String, Kind::Text, "text", json_text);
scalar!(Raw, Kind::Json, "JSON", |raw| raw.as_str().to_owned());
scalar!(Vec<String>, Kind::TextList, "a list of text", json_text);

impl OptionValue for Secret {
    const KIND: Kind = Kind::Secret;

    fn read(
        text: &RawValue,
        path: &str,
        _: Option<&RangeInclusive<u64>>,
        problems: &mut ConfigError,
    ) -> Option<Self> {
        <String as OptionValue>::read(text, path, None, problems).map(Self::new)
    }

    fn show(&self) -> String {
        json_text(if self.is_empty() { "" } else { "[redacted]" })
    }

    fn describe(&self) -> String {
        json_text(self.expose())
    }
}

impl OptionValue for u64 {
    const KIND: Kind = Kind::Integer;

    fn read(
        text: &RawValue,
        path: &str,
        range: Option<&RangeInclusive<u64>>,
        problems: &mut ConfigError,
    ) -> Option<Self> {
        let all = 0..=Self::MAX;
        let range = range.unwrap_or(&all);
        let value = serde_json::from_str(text.get()).ok();
        if let Some(value) = value.filter(|value| range.contains(value)) {
            return Some(value);
        }
        problems
            .add(path, format!("must be a whole number from {} to {}", range.start(), range.end()));
        None
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Declares an options table. See the tables in this folder for the form.
#[macro_export]
macro_rules! options {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {$(
            #[doc = $field_doc:literal]
            $field:ident: $type:ty = $default:expr $(; in $range:expr)? $(; unit $unit:literal)?,
        )+}
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct $name {
            $(#[doc = $field_doc] pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $name {
            /// Describes every option of the table.
            #[must_use]
            pub fn fields() -> Vec<$crate::options::Field> {
                let defaults = Self::default();
                vec![$({
                    let range: Option<std::ops::RangeInclusive<u64>> = None$(.or(Some($range)))?;
                    $crate::options::Field {
                        name: stringify!($field),
                        doc: $field_doc.trim_ascii(),
                        kind: <$type as $crate::options::OptionValue>::KIND,
                        default: $crate::options::OptionValue::describe(&defaults.$field),
                        unit: concat!($($unit)?),
                        range: range.map(|range| (*range.start(), *range.end())),
                    }
                },)+]
            }
        }

        impl $crate::options::OptionValue for $name {
            const KIND: $crate::options::Kind = $crate::options::Kind::Table(Self::fields);

            fn read(
                text: &serde_json::value::RawValue,
                path: &str,
                range: Option<&std::ops::RangeInclusive<u64>>,
                problems: &mut $crate::options::ConfigError,
            ) -> Option<Self> {
                let mut value = Self::default();
                $crate::options::OptionValue::amend(&mut value, text, path, range, problems);
                Some(value)
            }

            fn amend(
                &mut self,
                text: &serde_json::value::RawValue,
                path: &str,
                _: Option<&std::ops::RangeInclusive<u64>>,
                problems: &mut $crate::options::ConfigError,
            ) {
                use $crate::options::{join, unknown, Fields};
                let Ok(fields) = serde_json::from_str::<Fields<'_>>(text.get()) else {
                    problems.add(path, "must be an object");
                    return;
                };
                for (key, text) in fields.0 {
                    match key.as_str() {
                        $(stringify!($field) => {
                            let range: Option<std::ops::RangeInclusive<u64>> =
                                None$(.or(Some($range)))?;
                            let path = join(path, &key);
                            $crate::options::OptionValue::amend(
                                &mut self.$field, text, &path, range.as_ref(), problems,
                            );
                        })+
                        _ => unknown(path, &key, &[$(stringify!($field)),+], problems),
                    }
                }
            }

            fn show(&self) -> String {
                let fields: Vec<String> = vec![$(format!(
                    "\"{}\":{}",
                    stringify!($field),
                    $crate::options::OptionValue::show(&self.$field)
                ),)+];
                format!("{{{}}}", fields.join(","))
            }

            fn describe(&self) -> String {
                let fields: Vec<String> = vec![$(format!(
                    "\"{}\":{}",
                    stringify!($field),
                    $crate::options::OptionValue::describe(&self.$field)
                ),)+];
                format!("{{{}}}", fields.join(","))
            }
        }
    };
}

/// Declares an option that is one of a few words.
#[macro_export]
macro_rules! option_words {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident {$(#[doc = $variant_doc:literal] $variant:ident = $word:literal,)+}
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $variant_doc] $variant,)+
        }

        impl $name {
            /// Returns the word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl $crate::options::OptionValue for $name {
            const KIND: $crate::options::Kind = $crate::options::Kind::Word(&[$($word),+]);

            fn read(
                text: &serde_json::value::RawValue,
                path: &str,
                _: Option<&std::ops::RangeInclusive<u64>>,
                problems: &mut $crate::options::ConfigError,
            ) -> Option<Self> {
                match serde_json::from_str::<String>(text.get()).ok().as_deref() {
                    $(Some($word) => Some(Self::$variant),)+
                    Some(_) | None => {
                        problems.add(path, format!("must be one of {}", [$($word),+].join(", ")));
                        None
                    }
                }
            }

            fn show(&self) -> String {
                format!("\"{}\"", self.as_str())
            }
        }
    };
}

impl<T: OptionValue + TableRow> OptionValue for Vec<T> {
    const KIND: Kind = Kind::TableList(T::FIELDS);

    fn read(
        text: &RawValue,
        path: &str,
        _: Option<&RangeInclusive<u64>>,
        problems: &mut ConfigError,
    ) -> Option<Self> {
        let Ok(rows) = serde_json::from_str::<Vec<&RawValue>>(text.get()) else {
            problems.add(path, "must be a list of objects");
            return None;
        };
        let mut values = Self::with_capacity(rows.len());
        for (index, row) in rows.into_iter().enumerate() {
            values.extend(T::read(row, &format!("{path}[{index}]"), None, problems));
        }
        Some(values)
    }

    fn show(&self) -> String {
        let rows: Vec<String> = self.iter().map(T::show).collect();
        format!("[{}]", rows.join(","))
    }

    fn describe(&self) -> String {
        let rows: Vec<String> = self.iter().map(T::describe).collect();
        format!("[{}]", rows.join(","))
    }
}

/// A table that can stand in a list.
pub trait TableRow {
    /// Describes a row.
    const FIELDS: fn() -> Vec<Field>;
}
