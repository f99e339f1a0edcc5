//! One turn of commands as hosts of JavaScript write it.

use bytestring::ByteString;

use super::{Command, parse_batch};
use crate::api::command::CallCommand;
use crate::base::error::{Error, invalid};
use crate::base::ids::CallId;
use crate::base::json::Raw;

/// What the next calls have in common.
struct Like {
    next: u64,
    name: String,
    options: Raw,
}

/// Reads one turn of commands with a line for each.
///
/// | line | |
/// |---|---|
/// | `!` and a triple | the command, see [`parse_batch`] |
/// | `#` and a triple | a call without payload that is not made: the next ones are like it, with ids counted up from its |
/// | anything else | the payload of such a call; an empty line for none |
///
/// Programs make the same call again and again: its name and options are read once for a turn, and
/// payloads are not copied out of it. JSON as `JSON.stringify` writes it has no line breaks.
///
/// # Errors
/// `ARGUMENT_INVALID` if anything in it is no command; then none is carried out.
pub fn parse_turn(text: impl Into<ByteString>) -> Result<Vec<Command>, Error> {
    let text = text.into();
    let mut commands = Vec::new();
    let mut triples = String::new();
    let mut like: Option<Like> = None;
    for line in text.split('\n') {
        if let Some(triple) = line.strip_prefix('!') {
            triples.push(if triples.is_empty() { '[' } else { ',' });
            triples.push_str(triple);
            continue;
        }
        read_triples(&mut triples, &mut commands)?;
        if let Some(triple) = line.strip_prefix('#') {
            like = Some(read_like(triple)?);
            continue;
        }
        let Some(Like { next, name, options }) = &mut like else {
            return Err(invalid("a payload without a call"));
        };
        let payload = if line.is_empty() {
            Raw::absent()
        } else {
            Raw::parse(text.slice_ref(line)).map_err(|e| invalid(format!("payload: {e}")))?
        };
        let call = CallId(*next);
        *next += 1;
        commands.push(Command::Call(CallCommand::Make {
            call,
            name: name.clone(),
            payload,
            options: options.clone(),
        }));
    }
    read_triples(&mut triples, &mut commands)?;
    Ok(commands)
}

/// Reads the triples that were collected, if there are any.
fn read_triples(triples: &mut String, commands: &mut Vec<Command>) -> Result<(), Error> {
    if !triples.is_empty() {
        triples.push(']');
        commands.append(&mut parse_batch(triples)?);
        triples.clear();
    }
    Ok(())
}

fn read_like(triple: &str) -> Result<Like, Error> {
    let commands = parse_batch(&format!("[{triple}]"))?;
    match <[Command; 1]>::try_from(commands) {
        Ok([Command::Call(CallCommand::Make { call, name, payload: _, options })]) => {
            Ok(Like { next: call.0, name, options })
        }
        _ => Err(invalid("calls can only be like one call")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> Vec<String> {
        parse_turn(text).unwrap().iter().map(said).collect()
    }

    fn said(command: &Command) -> String {
        let Command::Call(CallCommand::Make { call, name, payload, options }) = command else {
            return format!("{command:?}").split([' ', '{']).next().unwrap_or_default().to_owned();
        };
        format!("{} {name} {} {}", call.0, payload.as_str(), options.as_str())
    }

    #[test]
    fn a_turn_keeps_its_order() {
        let turn = r#"!["start",0,null]
#["call",7,{"name":"a","options":{"timeout_ms":5}}]
{"x":1}

["!"]
!["cancel",7,null]
!["call",10,{"name":"own","payload":null}]
"after"
#["call",11,{"name":"b"}]
2"#;
        let expected = [
            "Start",
            r#"7 a {"x":1} {"timeout_ms":5}"#,
            r#"8 a  {"timeout_ms":5}"#,
            r#"9 a ["!"] {"timeout_ms":5}"#,
            "Call(Cancel",
            "10 own null {}",
            r#"10 a "after" {"timeout_ms":5}"#,
            "11 b 2 {}",
        ];
        assert_eq!(read_all(turn), expected);
    }

    #[test]
    fn what_is_no_command_spoils_the_turn() {
        for turn in [
            "",
            "{}",
            "#",
            "!{}",
            r##"#["cancel",1,null]"##,
            r##"#["call",1,{"name":"a"}],["call",2,{"name":"a"}]"##,
            "#[\"call\",1,{\"name\":\"a\"}]\n{",
            "#[\"call\",1,{\"name\":\"a\"}]\n1 2",
            "![\"start\",0,null]\n1",
        ] {
            assert!(parse_turn(turn).is_err(), "{turn}");
        }
    }
}
