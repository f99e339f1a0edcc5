//! Commands in both directions: the closed loops. Beside them what bindings without Moorline come to.

use super::clock::Load;
use super::peers::{Peer, Row, Server};
use crate::Setting;
use crate::process::Failure;

/// How many calls are in flight at once.
pub(super) const IN_FLIGHT: [usize; 6] = [1, 64, 1_000, 5_000, 10_000, 20_000];
/// How many commands of the server are at the daemon at once.
pub(super) const AT_DAEMON: [usize; 3] = [1, 64, 1_000];

const FAST: [Peer; 8] = [
    Peer::Lines,
    Peer::Rust,
    Peer::Listeners,
    Peer::Map,
    Peer::Node,
    Peer::Websockets,
    Peer::Aiohttp,
    Peer::Python,
];
const OFFICIAL: [Peer; 6] =
    [Peer::Rust, Peer::Listeners, Peer::Map, Peer::Node, Peer::Websockets, Peer::Python];
const INBOUND: [Peer; 5] = [Peer::Rust, Peer::Map, Peer::Node, Peer::Websockets, Peer::Python];
/// Who asks an async function of JavaScript.
const ASKING: [Peer; 2] = [Peer::Promised, Peer::Node];
/// Who is awaited by a coroutine of Python.
const AWAITED: [Peer; 3] = [Peer::IntoPy, Peer::ByHand, Peer::Python];

/// Flatness alone is asked of this level, so only our own programs run it.
const FLAT: usize = 10_000;

fn grid(peers: &[Peer], levels: &[usize]) -> Vec<Row> {
    let ours = [Peer::Rust, Peer::Node, Peer::Python];
    let cells = levels.iter().flat_map(|&level| peers.iter().map(move |&peer| (peer, level)));
    cells
        .filter(|(peer, level)| *level != FLAT || ours.contains(peer))
        .map(|(peer, level)| Row::new(peer, level))
        .collect()
}

/// Calls answered by the fast responder.
pub(super) fn fast(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let mut rows = grid(&FAST, &IN_FLIGHT);
    for round in 1..=setting.rounds {
        println!("calls, fast responder, round {round} of {}", setting.rounds);
        let server = Server::fast(&["answer"])?;
        let echo = Server::fast(&["lines"])?;
        for row in &mut rows {
            let url = if row.peer == Peer::Lines { &echo.url } else { &server.url };
            row.push(&row.peer.run(setting, url, "calls", load(setting, row.in_flight))?)?;
        }
    }
    Ok(rows)
}

/// Calls answered by the official server.
pub(super) fn official(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let levels: Vec<_> = IN_FLIGHT.into_iter().filter(|level| *level != FLAT).collect();
    let mut rows = grid(&OFFICIAL, &levels);
    for round in 1..=setting.rounds {
        println!("calls, official server, round {round} of {}", setting.rounds);
        let server = Server::official(setting)?;
        for row in &mut rows {
            let load = load(setting, row.in_flight);
            row.push(&row.peer.run(setting, &server.url, "calls", load)?)?;
        }
    }
    Ok(rows)
}

/// Commands of the server, answered by the daemon's handler.
pub(super) fn inbound(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let mut rows = grid(&INBOUND, &AT_DAEMON);
    for round in 1..=setting.rounds {
        println!("commands of the server, round {round} of {}", setting.rounds);
        for row in &mut rows {
            let server = Server::fast(&["command", &row.in_flight.to_string()])?;
            let load = load(setting, row.in_flight);
            row.push(&row.peer.run(setting, &server.url, "commands", load)?)?;
        }
    }
    Ok(rows)
}

/// What passes between Rust and a host: handlers of Node, then calls of Python. Only ours has a server.
pub(super) fn boundary(setting: &Setting) -> Result<(Vec<Row>, Vec<Row>), Failure> {
    let (mut asking, mut awaited) = (grid(&ASKING, &AT_DAEMON), grid(&AWAITED, &AT_DAEMON));
    for round in 1..=setting.rounds {
        println!("Rust and its hosts, round {round} of {}", setting.rounds);
        for row in &mut asking {
            let server = Server::fast(&["command", &row.in_flight.to_string()])?;
            let load = load(setting, row.in_flight);
            row.push(&row.peer.run(setting, &server.url, "commands", load)?)?;
        }
        let server = Server::fast(&["answer"])?;
        for row in &mut awaited {
            let load = load(setting, row.in_flight);
            row.push(&row.peer.run(setting, &server.url, "calls", load)?)?;
        }
    }
    Ok((asking, awaited))
}

fn load(setting: &Setting, in_flight: usize) -> Load {
    let measure_ms = u64::try_from(setting.measured().as_millis()).unwrap_or(u64::MAX);
    Load { in_flight, warm_ms: 500, measure_ms }
}
