//! What scenarios expect, compared with what happened. Bytes stay as their marks.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What names in scenarios stand for.
pub(crate) type Names = BTreeMap<String, Value>;

/// Tells whether what happened has the wanted fields.
pub(crate) fn fits(wanted: &Value, found: &Value, names: &mut Names) -> bool {
    let mut bound = names.clone();
    let fields = wanted.as_object().unwrap();
    let all = fields.iter().all(|(key, value)| equals(value, found.get(key), &mut bound));
    if all {
        *names = bound;
    }
    all
}

fn equals(wanted: &Value, found: Option<&Value>, names: &mut Names) -> bool {
    let Some(found) = found else { return false };
    match (wanted, found) {
        (Value::String(text), _) if text == "*" => true,
        (Value::String(text), Value::String(found)) if text.starts_with('~') => {
            found.contains(&text[1..])
        }
        (Value::String(text), _) if text.starts_with('=') => {
            names.entry(text.clone()).or_insert_with(|| found.clone()) == found
        }
        (Value::Object(wanted), Value::Object(found)) => {
            let members = wanted.iter().filter(|(key, _)| *key != "*").count();
            (wanted.contains_key("*") || found.len() == members)
                && wanted
                    .iter()
                    .filter(|(key, _)| *key != "*")
                    .all(|(key, value)| equals(value, found.get(key), names))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(one, two)| equals(one, Some(two), names))
        }
        (Value::Number(wanted), Value::Number(found)) => wanted.as_f64() == found.as_f64(),
        _ => wanted == found,
    }
}

/// Puts in long texts and what names stand for.
pub(crate) fn expand(value: &Value, names: &Names) -> Value {
    match value {
        Value::String(text) => names.get(text).unwrap_or(value).clone(),
        Value::Array(parts) => parts.iter().map(|part| expand(part, names)).collect(),
        Value::Object(members) => {
            if let (Some(text), Some(times)) = (members.get("$repeat"), members.get("times")) {
                let times = usize::try_from(times.as_u64().unwrap()).unwrap();
                return json!(text.as_str().unwrap().repeat(times));
            }
            let members = members.iter().map(|(key, part)| (key.clone(), expand(part, names)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
