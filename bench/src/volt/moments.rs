//! What is not a loop of calls: a cut connection, a flood of messages, a blocked host.

use serde_json::Value;

use super::clock::Load;
use super::peers::{Peer, Server, number};
use crate::Setting;
use crate::process::Failure;
use crate::stats::Samples;

/// How many calls are pending when the connection is cut.
pub(super) const PENDING: usize = 1_000;
/// How many messages come without a pause.
const FLOOD: usize = 512;
/// The rhythm of the pings while a host is blocked.
pub(super) const PERIOD_MS: f64 = 500.0;
/// How many pings are sent.
pub(super) const PINGS: usize = 12;

/// Milliseconds from the cut to the last settled call.
pub(super) fn settle(setting: &Setting) -> Result<Vec<(Peer, Samples)>, Failure> {
    let mut rows = [Peer::Rust, Peer::Node, Peer::Python].map(|peer| (peer, Samples::default()));
    for round in 1..=setting.rounds {
        println!("cut connections, round {round} of {}", setting.rounds);
        for (peer, samples) in &mut rows {
            let mut server = Server::fast(&["cut", &PENDING.to_string()])?;
            let load = Load { in_flight: PENDING, warm_ms: 0, measure_ms: 0 };
            let result = peer.run(setting, &server.url, "settle", load)?;
            samples.push(number(&result, "at")? - server.line()?.parse::<f64>()?);
        }
    }
    Ok(rows.into())
}

/// What messages cost, in microseconds of CPU time each.
#[derive(Default)]
pub(super) struct Events {
    /// The thread of JavaScript alone, in the package.
    pub(super) node: Samples,
    /// The whole process, in the package.
    pub(super) node_whole: Samples,
    /// `JSON.parse` of the same texts and nothing else.
    pub(super) parse: Samples,
    /// The whole process, in the package.
    pub(super) python: Samples,
    /// `call_soon_threadsafe` for each message and nothing else.
    pub(super) threadsafe: Samples,
}

/// Floods the bindings with messages.
pub(super) fn events(setting: &Setting) -> Result<Events, Failure> {
    let mut events = Events::default();
    let measure_ms = u64::try_from(setting.measured().as_millis()).unwrap_or(u64::MAX);
    let load = Load { in_flight: FLOOD, warm_ms: 500, measure_ms };
    for round in 1..=setting.rounds {
        println!("messages, round {round} of {}", setting.rounds);
        let server = Server::fast(&["flood", &FLOOD.to_string()])?;
        let run = |peer: Peer| peer.run(setting, &server.url, "events", load);
        let each = |result: &Value, part| -> Result<f64, Failure> {
            Ok(number(result, part)? / number(result, "done")? * 1e6)
        };
        let node = run(Peer::Node)?;
        events.node.push(each(&node, "main")?);
        events.node_whole.push(each(&node, "cpu")?);
        events.parse.push(each(&run(Peer::Parse)?, "main")?);
        events.python.push(each(&run(Peer::Python)?, "cpu")?);
        events.threadsafe.push(each(&run(Peer::Threadsafe)?, "cpu")?);
    }
    Ok(events)
}

/// How pings were answered while the host was blocked for five seconds.
pub(super) struct Blocked {
    pub(super) peer: Peer,
    /// The fewest that were answered within a period, of all rounds.
    pub(super) answered: usize,
    /// The longest time between two answers of each round, in milliseconds.
    pub(super) gap: Samples,
}

/// Blocks hosts while pings come.
pub(super) fn blocked(setting: &Setting) -> Result<Vec<Blocked>, Failure> {
    let mut rows = [Peer::Node, Peer::Python, Peer::Map, Peer::Websockets].map(|peer| Blocked {
        peer,
        answered: PINGS,
        gap: Samples::default(),
    });
    for round in 1..=setting.rounds {
        println!("blocked hosts, round {round} of {}", setting.rounds);
        for row in &mut rows {
            let period = PERIOD_MS.to_string();
            let mut server = Server::fast(&["ping", &period, &PINGS.to_string()])?;
            let load = Load { in_flight: 0, warm_ms: 500, measure_ms: 5_000 };
            row.peer.run(setting, &server.url, "block", load)?;
            let pongs: Vec<f64> = serde_json::from_str(&server.line()?)?;
            let gaps = pongs.iter().zip(pongs.iter().skip(1)).map(|(one, next)| next - one);
            row.gap.push(gaps.fold(0.0, f64::max));
            let punctual = |(number, pong): (usize, &f64)| *pong < (number + 1) as f64 * PERIOD_MS;
            let answered = pongs.iter().enumerate().filter(|pong| punctual(*pong)).count();
            row.answered = row.answered.min(answered);
        }
    }
    Ok(rows.into())
}
