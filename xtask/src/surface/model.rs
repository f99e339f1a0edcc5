//! The tables of core, resolved: nested option tables get names and the defaults of their place.

use moorline_core::ErrorCode;
use moorline_core::event::{EventField, FieldType, shapes};
use moorline_core::metrics::METRICS;
use moorline_core::options::{Field, Kind, ROLES};
use moorline_core::words::{WIRE_LIMITS, WORDS, volt_code};
use serde::Serialize;
use serde_json::Value;

/// Everything that other languages are told.
#[derive(Serialize)]
pub(crate) struct Surface {
    pub(crate) version: &'static str,
    pub(crate) errors: Vec<Code>,
    pub(crate) roles: Vec<Role>,
    pub(crate) tables: Vec<Table>,
    pub(crate) events: Vec<Event>,
    pub(crate) words: Vec<Words>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) metrics: Vec<Measure>,
}

/// One name of the metrics.
#[derive(Serialize)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) labels: &'static [&'static str],
    pub(crate) owner: &'static str,
    pub(crate) help: &'static str,
}

/// A set of constants of a dialect.
#[derive(Serialize)]
pub(crate) struct Words {
    pub(crate) dialect: &'static str,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) members: Vec<(&'static str, &'static str)>,
}

/// A limit that the application's side checks.
#[derive(Serialize)]
pub(crate) struct Limit {
    pub(crate) dialect: &'static str,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) value: u64,
}

/// One error code.
#[derive(Serialize)]
pub(crate) struct Code {
    pub(crate) name: &'static str,
    pub(crate) number: u16,
    pub(crate) fault: String,
    pub(crate) retryable: bool,
    pub(crate) meaning: &'static str,
    pub(crate) fix: &'static str,
    pub(crate) volt: &'static str,
}

/// A role that can be opened, or a command of one, and the table of its options.
#[derive(Serialize)]
pub(crate) struct Role {
    pub(crate) dialect: &'static str,
    pub(crate) role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<&'static str>,
    pub(crate) doc: String,
    pub(crate) table: String,
}

/// A named table of options.
#[derive(Clone, PartialEq, Serialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) options: Vec<Opt>,
}

/// One option.
#[derive(Clone, PartialEq, Serialize)]
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) kind: OptKind,
    pub(crate) default: Value,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<(u64, u64)>,
}

/// What an option takes.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OptKind {
    Integer,
    Boolean,
    Text,
    Secret,
    Word(&'static [&'static str]),
    Json,
    TextList,
    Table(String),
    TableList(String),
}

impl OptKind {
    /// Returns the name of the table that the value, or each row of it, holds.
    pub(crate) fn nested(&self) -> Option<&str> {
        match self {
            Self::Table(name) | Self::TableList(name) => Some(name),
            Self::Integer
            | Self::Boolean
            | Self::Text
            | Self::Secret
            | Self::Word(_)
            | Self::Json
            | Self::TextList => None,
        }
    }
}

/// One kind of event.
#[derive(Serialize)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) fields: Vec<Member>,
}

/// One field of an event.
#[derive(Serialize)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: MemberKind,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) optional: bool,
    pub(crate) doc: &'static str,
}

/// What a field of an event holds.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MemberKind {
    Integer,
    IntegerOrNull,
    Text,
    Word(&'static [&'static str]),
    Json,
    Error,
    ErrorOrNull,
    TextList,
}

impl Surface {
    /// Reads the tables.
    pub(crate) fn read() -> Result<Self, String> {
        let mut tables = Vec::new();
        let mut roles = Vec::new();
        for role in ROLES {
            let table = format!("{}Options", pascal(role.role));
            // Roles of two dialects may be called the same.
            let is_taken = tables.iter().any(|known: &Table| known.name == table);
            let apart = if is_taken { role.dialect } else { role.role };
            let table = add_table(&mut tables, (&table, role.doc), apart, &(role.fields)(), None)?;
            roles.push(Role {
                dialect: role.dialect,
                role: role.role,
                command: None,
                doc: role.doc.to_owned(),
                table,
            });
        }
        for role in ROLES {
            for (command, fields) in role.command_options {
                let table = format!("{}Options", pascal(command));
                let doc = format!("Options of one {command} of a {}.", role.role);
                let table = add_table(&mut tables, (&table, &doc), role.role, &fields(), None)?;
                roles.push(Role {
                    dialect: role.dialect,
                    role: role.role,
                    command: Some(command),
                    doc,
                    table,
                });
            }
        }
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            errors: codes(),
            roles,
            tables,
            events: events(),
            words: words(),
            limits: limits(),
            metrics: metrics(),
        })
    }

    /// Finds a table by its name.
    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

fn codes() -> Vec<Code> {
    ErrorCode::ALL
        .iter()
        .map(|code| Code {
            name: code.name(),
            number: code.number(),
            fault: serde_json::to_value(code.fault())
                .ok()
                .and_then(|fault| fault.as_str().map(str::to_owned))
                .unwrap_or_default(),
            retryable: code.is_retryable(),
            meaning: code.meaning(),
            fix: code.fix(),
            volt: volt_code(*code),
        })
        .collect()
}

fn words() -> Vec<Words> {
    WORDS
        .iter()
        .copied()
        .flatten()
        .map(|table| Words {
            dialect: table.dialect,
            name: table.name,
            doc: table.doc,
            members: table.members.to_vec(),
        })
        .collect()
}

fn limits() -> Vec<Limit> {
    WIRE_LIMITS
        .iter()
        .map(|limit| Limit {
            dialect: limit.dialect,
            name: limit.name,
            doc: limit.doc,
            value: limit.value,
        })
        .collect()
}

fn metrics() -> Vec<Measure> {
    METRICS
        .iter()
        .map(|metric| Measure {
            name: metric.name,
            kind: metric.kind.as_str(),
            labels: metric.labels,
            owner: metric.owner.as_str(),
            help: metric.help,
        })
        .collect()
}

fn events() -> Vec<Event> {
    shapes()
        .into_iter()
        .map(|shape| Event {
            name: shape.name,
            doc: shape.doc,
            fields: shape.fields.iter().map(member).collect(),
        })
        .collect()
}

fn member(field: &EventField) -> Member {
    let kind = match field.kind {
        FieldType::Integer => MemberKind::Integer,
        FieldType::IntegerOrNull => MemberKind::IntegerOrNull,
        FieldType::Text => MemberKind::Text,
        FieldType::Word(words) => MemberKind::Word(words),
        FieldType::Json => MemberKind::Json,
        FieldType::Error => MemberKind::Error,
        FieldType::ErrorOrNull => MemberKind::ErrorOrNull,
        FieldType::TextList => MemberKind::TextList,
    };
    Member { name: field.name, kind, optional: field.optional, doc: field.doc }
}

/// Adds a table after the tables nested in it. `defaults` are those that its place gives it.
///
/// Roles share a nested table unless their defaults differ; then the later role's is named after it.
fn add_table(
    tables: &mut Vec<Table>,
    (name, doc): (&str, &str),
    role: &str,
    fields: &[Field],
    defaults: Option<&Value>,
) -> Result<String, String> {
    let mut options = Vec::with_capacity(fields.len());
    for field in fields {
        let own: Value = serde_json::from_str(&field.default)
            .map_err(|e| format!("the default of {name}.{} is not JSON: {e}", field.name))?;
        let default = defaults.and_then(|all| all.get(field.name)).cloned().unwrap_or(own);
        let nested = format!("{}Options", pascal(field.name));
        let kind = match field.kind {
            Kind::Integer => OptKind::Integer,
            Kind::Boolean => OptKind::Boolean,
            Kind::Text => OptKind::Text,
            Kind::Secret => OptKind::Secret,
            Kind::Word(words) => OptKind::Word(words),
            Kind::Json => OptKind::Json,
            Kind::TextList => OptKind::TextList,
            Kind::Table(rows) => OptKind::Table(add_table(
                tables,
                (&nested, field.doc),
                role,
                &rows(),
                Some(&default),
            )?),
            Kind::TableList(rows) => {
                OptKind::TableList(add_table(tables, (&nested, field.doc), role, &rows(), None)?)
            }
        };
        let Field { name, doc, unit, range, .. } = *field;
        options.push(Opt { name, doc, kind, default, unit, range });
    }
    let name = match tables.iter().find(|table| table.name == name) {
        Some(known) if known.options == options => return Ok(name.to_owned()),
        Some(_) => format!("{}{name}", pascal(role)),
        None => name.to_owned(),
    };
    tables.push(Table { name: name.clone(), doc: doc.to_owned(), options });
    Ok(name)
}

/// Turns `snake_case` into `PascalCase`.
pub(crate) fn pascal(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        })
        .collect()
}

/// Turns `snake_case` into `camelCase`.
pub(crate) fn camel(name: &str) -> String {
    let pascal = pascal(name);
    let mut letters = pascal.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Says what an option takes beyond its type: default, unit, range.
pub(crate) fn fine_print(option: &Opt) -> String {
    let mut parts = Vec::new();
    if !matches!(option.kind, OptKind::Table(_)) {
        let space = if option.unit.is_empty() { "" } else { " " };
        parts.push(format!("Default: `{}`{space}{}.", option.default, option.unit));
    }
    if let Some((low, high)) = option.range {
        parts.push(format!("Range: {low} to {high}."));
    }
    parts.join(" ")
}
