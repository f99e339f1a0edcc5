//! The quick way to read a batch: what is out of the ordinary is left to the parser.

use super::{Command, One, Outcome};
use crate::api::command::{CallCommand, PeerCommand, Recipients, WorkCommand};
use crate::base::content::Content;
use crate::base::ids::{CallId, PeerId, WorkId};
use crate::base::json::Raw;
use crate::base::json::scan::Scanner;

/// Reads a batch that is right.
pub(super) fn batch(text: &str) -> Option<Vec<Command>> {
    let mut scanner = Scanner::new(text);
    let mut commands = Vec::new();
    scanner.array(|scanner| {
        let start = scanner.at;
        let scanned = frequent(scanner);
        let command = scanned.or_else(|| {
            scanner.at = start;
            serde_json::from_str::<One>(scanner.value()?).ok().map(|one| one.0)
        });
        commands.push(command?);
        Some(())
    })?;
    scanner.is_at_end().then_some(commands)
}

/// Reads a command of the kinds of which there are many, as the parser would.
fn frequent(scanner: &mut Scanner<'_>) -> Option<Command> {
    scanner.sign(b'[')?;
    let word = scanner.plain_text()?;
    scanner.sign(b',')?;
    let id = scanner.value()?.parse().ok()?;
    scanner.sign(b',')?;
    let command = match word {
        "call" => {
            let [mut name, mut payload, mut options] = [None; 3];
            scanner.object(|key, scanner| match key {
                "name" => once(&mut name, scanner.plain_text()?),
                "payload" => once(&mut payload, scanner.value()?),
                "options" => once(&mut options, scanner.value()?),
                _ => None,
            })?;
            Command::Call(CallCommand::Make {
                call: CallId(id),
                name: name?.to_owned(),
                payload: payload.map_or_else(Raw::absent, copy),
                options: unless_null(options).map_or_else(Raw::empty_object, copy),
            })
        }
        "done" => {
            let [mut value, mut log] = [None; 2];
            scanner.object(|key, scanner| match key {
                "value" => once(&mut value, scanner.value()?),
                "log" => once(&mut log, scanner.value()?),
                _ => None,
            })?;
            let value = value.map_or_else(Raw::null, copy);
            let log = unless_null(log).map_or_else(Raw::empty_list, copy);
            Command::Work(WorkCommand::Complete {
                work: WorkId(id),
                outcome: Outcome::Done { value, log },
            })
        }
        "send" => {
            let [mut peer, mut text] = [None; 2];
            scanner.object(|key, scanner| match key {
                "peer" => once(&mut peer, scanner.value()?),
                "text" => once(&mut text, scanner.plain_text()?),
                _ => None,
            })?;
            let to = match unless_null(peer) {
                Some(peer) => Recipients::Peer(PeerId(peer.parse().ok()?)),
                None => Recipients::Link,
            };
            Command::Peer(PeerCommand::Send {
                call: (id != 0).then_some(CallId(id)),
                to,
                content: Content::Text(text?.into()),
                compress: false,
            })
        }
        _ => return None,
    };
    scanner.sign(b']')?;
    Some(command)
}

/// Fills a place; a member that is there twice is an error.
fn once<'a>(place: &mut Option<&'a str>, value: &'a str) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn unless_null(value: Option<&str>) -> Option<&str> {
    value.filter(|value| *value != "null")
}

/// A payload of its own: what waits must not keep its whole batch.
fn copy(text: &str) -> Raw {
    Raw::accepted(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns all there is to a command; `Debug` shows no payloads.
    fn said(command: Command) -> (u64, String, Raw, Raw) {
        if let Command::Call(CallCommand::Make { call, name, payload, options }) = command {
            return (call.0, name, payload, options);
        }
        let Command::Work(WorkCommand::Complete { work, outcome: Outcome::Done { value, log } }) =
            command
        else {
            panic!("{command:?}")
        };
        (work.0, String::from("done"), value, log)
    }

    #[test]
    fn the_quick_way_reads_what_the_parser_reads() {
        let parsed = |text: &str| serde_json::from_str::<One>(text).ok().map(|one| one.0);
        let scanned = |text: &str| frequent(&mut Scanner::new(text));
        for command in [
            r#"["call",9,{"name":"a","payload":{"x":[1.0]},"options":{"timeout_ms":1}}]"#,
            r#"[ "call" , 9 , { "options" : null , "name" : "a" } ]"#,
            r#"["call",0,{"name":"","payload":null}]"#,
            r#"["done",1,{"value":"x","log":["y"]}]"#,
            r#"["done",18446744073709551615,{"log":null,"value":null}]"#,
            r#"["done",1,{}]"#,
        ] {
            let parsed = parsed(command);
            assert!(parsed.is_some(), "{command}");
            assert_eq!(scanned(command).map(said), parsed.map(said), "{command}");
        }
        for left in [
            r#"["call",9,{"name":"\u0061"}]"#,
            r#"["call",9,{"payload":1}]"#,
            r#"["call",9,{"name":"a","name":"b"}]"#,
            r#"["call",-1,{"name":"a"}]"#,
            r#"["call",1,{"name":"a","blobs":[]}]"#,
            r#"["done",1,{"valu":1}]"#,
            r#"["done",1,null]"#,
            r#"["done",1,{},2]"#,
            r#"["done",1]"#,
            r#"["cancel",1,null]"#,
        ] {
            assert!(scanned(left).is_none(), "{left}");
        }
    }
}
