//! How an options table is declared, read and described.
//!
//! [`options!`](crate::options) turns one table into the struct, its defaults, its reader and its
//! description. The reader collects every problem with its path, and proposes the nearest name for an
//! unknown key.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;
use crate::base::json::object::list;
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

    /// Adds a problem for each two numbers of which the first may not be larger than the second: it could
    /// never be reached.
    pub(crate) fn compare(&mut self, pairs: &[[(&str, u64); 2]]) {
        for [(low, small), (high, large)] in pairs.iter().filter(|[low, high]| low.1 > high.1) {
            let message = format!(
                "{small} can never be reached, since {high} is {large}: lower {low} or raise {high}"
            );
            self.add(low, message);
        }
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
        let said = self.problems.iter().map(|Problem { path, message }| {
            let colon = if path.is_empty() { "" } else { ": " };
            format!("{path}{colon}{message}")
        });
        f.write_str(&said.collect::<Vec<_>>().join("; "))
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

/// The text of an option's value, and where it stands.
#[derive(Debug)]
pub struct At<'a> {
    /// The value as JSON text.
    pub text: &'a RawValue,
    /// Its dotted path.
    pub path: &'a str,
    /// The inclusive range of a number.
    pub range: Option<RangeInclusive<u64>>,
}

impl<'a> At<'a> {
    /// Reads the value as `T`; adds to `problems` that it must be `wanted` if it is nothing of the kind.
    pub fn read<T: Deserialize<'a>>(&self, wanted: &str, problems: &mut ConfigError) -> Option<T> {
        self.check(serde_json::from_str(self.text.get()).ok(), wanted, problems)
    }

    /// Returns `value`; adds to `problems` that it must be `wanted` if there is none.
    pub fn check<T>(
        &self,
        value: Option<T>,
        wanted: impl fmt::Display,
        problems: &mut ConfigError,
    ) -> Option<T> {
        if value.is_none() {
            problems.add(self.path, format!("must be {wanted}"));
        }
        value
    }
}

/// What becomes of secrets in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are redacted.
    Redacted,
    /// They stand as they are: for a machine, never for people.
    Plain,
}

/// A value that an option can take.
pub trait OptionValue: Sized {
    /// The kind.
    const KIND: Kind;

    /// Reads the value, or adds what is wrong to `problems`.
    fn read(at: &At<'_>, problems: &mut ConfigError) -> Option<Self>;

    /// Reads the value over this one. A table keeps what the text does not name, so that a table
    /// inside another keeps the defaults that the outer one gives it.
    fn amend(&mut self, at: &At<'_>, problems: &mut ConfigError) {
        if let Some(value) = Self::read(at, problems) {
            *self = value;
        }
    }

    /// Writes the value as JSON text.
    fn write(&self, secrets: Secrets) -> String;

    /// Writes the value as JSON text; secrets are redacted.
    fn show(&self) -> String {
        self.write(Secrets::Redacted)
    }

    /// Writes the value as JSON text that reads back to it, secrets and all: for a machine, never for
    /// people.
    fn describe(&self) -> String {
        self.write(Secrets::Plain)
    }
}

/// Reads a whole options table from JSON text.
///
/// # Errors
/// Every problem at once.
pub fn read<T: OptionValue>(text: &str) -> Result<T, ConfigError> {
    let mut problems = ConfigError::default();
    let text = serde_json::from_str(text);
    let text = text.map_err(|e| problems.add("", format!("the options are not JSON: {e}"))).ok();
    let value = text.and_then(|text| T::read(&At { text, path: "", range: None }, &mut problems));
    match value {
        Some(value) => problems.check(value),
        None => Err(problems),
    }
}

/// An object's fields in the order of the text.
#[derive(Debug)]
pub struct Fields<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
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

macro_rules! scalars {
    ($($type:ty, $kind:expr, $what:literal;)+) => {$(
        impl OptionValue for $type {
            const KIND: Kind = $kind;

            fn read(at: &At<'_>, problems: &mut ConfigError) -> Option<Self> {
                at.read($what, problems)
            }

            fn write(&self, _: Secrets) -> String {
                json_text(self)
            }
        }
    )+};
}

scalars! {
    bool, Kind::Boolean, "true or false";
    String, Kind::Text, "text";
    Raw, Kind::Json, "JSON";
    Vec<String>, Kind::TextList, "a list of text";
}

fn json_text<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl OptionValue for Secret {
    const KIND: Kind = Kind::Secret;

    fn read(at: &At<'_>, problems: &mut ConfigError) -> Option<Self> {
        at.read("text", problems)
    }

    fn write(&self, secrets: Secrets) -> String {
        let is_hidden = secrets == Secrets::Redacted && !self.is_empty();
        json_text(if is_hidden { "[redacted]" } else { self.expose() })
    }
}

impl OptionValue for u64 {
    const KIND: Kind = Kind::Integer;

    fn read(at: &At<'_>, problems: &mut ConfigError) -> Option<Self> {
        let range = at.range.clone().unwrap_or(0..=Self::MAX);
        let value = serde_json::from_str(at.text.get()).ok().filter(|value| range.contains(value));
        let (low, high) = (range.start(), range.end());
        at.check(value, format_args!("a whole number from {low} to {high}"), problems)
    }

    fn write(&self, _: Secrets) -> String {
        self.to_string()
    }
}

/// Writes a table's options, each with its value as JSON text.
#[must_use]
pub fn table_text(options: &[(&str, String)]) -> String {
    let fields: Vec<_> =
        options.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

/// Declares options tables. See those in this folder for the form.
#[macro_export]
macro_rules! options {
    ($(
        $(#[doc = $doc:literal])+
        pub struct $name:ident {$(
            #[doc = $field_doc:literal]
            $field:ident: $type:ty = $default:expr $(; in $range:expr)? $(; unit $unit:literal)?,
        )+}
    )+) => {$(
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

        impl $crate::options::TableRow for $name {
            const FIELDS: fn() -> Vec<$crate::options::Field> = Self::fields;
        }

        impl $crate::options::OptionValue for $name {
            const KIND: $crate::options::Kind = $crate::options::Kind::Table(Self::fields);

            fn read(
                at: &$crate::options::At<'_>,
                problems: &mut $crate::options::ConfigError,
            ) -> Option<Self> {
                let mut value = Self::default();
                $crate::options::OptionValue::amend(&mut value, at, problems);
                Some(value)
            }

            fn amend(
                &mut self,
                at: &$crate::options::At<'_>,
                problems: &mut $crate::options::ConfigError,
            ) {
                use $crate::options::{At, Fields, OptionValue, join, unknown};
                let Some(fields) = at.read::<Fields<'_>>("an object", problems) else { return };
                for (key, text) in fields.0 {
                    match key.as_str() {
                        $(stringify!($field) => {
                            let range = None$(.or(Some($range)))?;
                            let at = At { text, path: &join(at.path, &key), range };
                            OptionValue::amend(&mut self.$field, &at, problems);
                        })+
                        _ => unknown(at.path, &key, &[$(stringify!($field)),+], problems),
                    }
                }
            }

            fn write(&self, secrets: $crate::options::Secrets) -> String {
                $crate::options::table_text(&[$((
                    stringify!($field),
                    $crate::options::OptionValue::write(&self.$field, secrets),
                ),)+])
            }
        }
    )+};
}

/// Declares an option that is one of a few words.
#[macro_export]
macro_rules! option_words {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident {$(#[doc = $variant_doc:literal] $variant:ident = $word:literal,)+}
    ) => {
        $crate::words! {
            $(#[doc = $doc])+
            #[non_exhaustive]
            pub enum $name {$(#[doc = $variant_doc] $variant = $word,)+}
        }

        impl $crate::options::OptionValue for $name {
            const KIND: $crate::options::Kind = $crate::options::Kind::Word(Self::WORDS);

            fn read(
                at: &$crate::options::At<'_>,
                problems: &mut $crate::options::ConfigError,
            ) -> Option<Self> {
                let word = serde_json::from_str::<String>(at.text.get()).ok();
                let wanted =
                    std::fmt::from_fn(|f| write!(f, "one of {}", Self::WORDS.join(", ")));
                at.check(word.and_then(|word| Self::find(&word)), wanted, problems)
            }

            fn write(&self, _: $crate::options::Secrets) -> String {
                format!("\"{}\"", self.as_str())
            }
        }
    };
}

impl<T: OptionValue + TableRow> OptionValue for Vec<T> {
    const KIND: Kind = Kind::TableList(T::FIELDS);

    fn read(at: &At<'_>, problems: &mut ConfigError) -> Option<Self> {
        let rows: Vec<&RawValue> = at.read("a list of objects", problems)?;
        let mut values = Self::with_capacity(rows.len());
        for (index, text) in rows.into_iter().enumerate() {
            let at = At { text, path: &format!("{}[{index}]", at.path), range: None };
            values.extend(T::read(&at, problems));
        }
        Some(values)
    }

    fn write(&self, secrets: Secrets) -> String {
        list(self.iter().map(|row| row.write(secrets)))
    }
}

/// A table that can stand in a list.
pub trait TableRow {
    /// Describes a row.
    const FIELDS: fn() -> Vec<Field>;
}
