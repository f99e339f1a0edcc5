//! What may happen to a daemon: what its server does, what its application does, what time does.

use proptest::prelude::*;

/// Texts that look like the server's packets, and texts that do not.
pub(crate) const PACKETS: &[&str] = &[
    "",
    "2",
    "2probe",
    "3",
    "3probe",
    "1",
    "5",
    "6",
    "7",
    "b",
    "bAQID",
    "b!!!",
    "\u{1e}",
    "0{\"sid\":\"again\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
    "40",
    "40{\"sid\":\"twice\"}",
    "40{\"sid\":7}",
    "40{}",
    "40/other,{\"sid\":\"x\"}",
    "41/other,",
    "42",
    "42[]",
    "42[1]",
    "42[\"team-cluster-daemon:message\"]",
    "42[\"team-cluster-daemon:message\",null]",
    "42[\"team-cluster-daemon:message\",\"hello\",{}]",
    "42[\"team-cluster-daemon:message\",[1,2]]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\"}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":{},\"command\":[]}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r\",\"command\":\"toString\"}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r\",\"command\":\"h\",\"responseType\":7,\"payload\":\"\\ud800\"}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"response\",\"requestId\":\"nobody\",\"ok\":true}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"response\",\"ok\":{},\"data\":{\"data\":{}}}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"\\ud800\",\"__proto__\":1}]",
    "42[\"error\"]",
    "42[\"error\",{\"code\":7,\"message\":[]}]",
    "42[\"error\",\"text\"]",
    "42[\"connect\",{}]",
    "421234567890123456789[\"x\"]",
    "43",
    "430[]",
    "430[{\"ok\":false}]",
    "430[{\"ok\":true}]",
    "4399[7]",
    "45",
    "450-[\"x\"]",
    "451-[\"team-cluster-daemon:message\",{\"_placeholder\":true,\"num\":0}]",
    "451-[\"team-cluster-daemon:message\",{\"a\":{\"_placeholder\":true,\"num\":5}}]",
    "4599999999999-[\"x\"]",
    "46",
    "461-0[{\"_placeholder\":true,\"num\":0}]",
    "47",
    "4\u{0}",
    "42[\"team-cluster-daemon:registered\"",
    "{}",
    "\u{202e}\u{7f}",
];

/// Handshakes of which most are none.
pub(crate) const HANDSHAKES: &[&str] = &[
    "0{}",
    "0[]",
    "0null",
    "0{\"sid\":\"\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
    "0{\"sid\":\"a/../b?c\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
    "0{\"sid\":\"big\",\"upgrades\":[],\"pingInterval\":18446744073709551615,\"pingTimeout\":18446744073709551615,\"maxPayload\":18446744073709551615}",
    "0{\"sid\":\"negative\",\"upgrades\":[],\"pingInterval\":-1,\"pingTimeout\":0}",
    "0{\"sid\":\"quick\",\"upgrades\":[\"websocket\"],\"pingInterval\":0,\"pingTimeout\":0,\"maxPayload\":0}",
    "40{\"sid\":\"early\"}",
    "",
    "hello",
];

/// How the server takes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Kind,
    /// It says nothing.
    Silent,
    /// It refuses, in words.
    Refusing,
    /// It says nonsense.
    Odd(usize),
    /// It cuts the connection.
    Cutting,
    /// It ends the session in order.
    Dismissing,
}

/// What a mood is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Opening,
    Joining,
    Registering,
    Commands,
    /// The application's payloads for heartbeats.
    Beats,
}

#[derive(Clone, Debug)]
pub(crate) enum Move {
    Wait(u64),
    /// Time passes unnoticed; before the timers are there the application says something, or the
    /// server asks.
    Suspend(u64),
    /// The server confirms a registration, whether there was one or not.
    Confirm,
    Mood(About, Mood),
    Network {
        is_up: bool,
        web_sockets: bool,
    },
    /// Whether what is posted is answered only after a while.
    Slow(bool),
    Ping,
    Cut,
    CloseWith(u16),
    Dismiss,
    Packet(usize),
    Text(String),
    Bytes(Vec<u8>),
    Poll(u16, Vec<u8>),
    Ask(&'static str, &'static str),
    Call(u64),
    Cancel(u64),
    Emit(usize),
    Password,
    Handle(bool),
    Complete(u64, u8),
    Progress(u64, u8),
    Start,
    Stop(u64),
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        6 => Just(Mood::Kind),
        2 => Just(Mood::Silent),
        2 => Just(Mood::Refusing),
        2 => (0..PACKETS.len()).prop_map(Mood::Odd),
        1 => Just(Mood::Cutting),
        1 => Just(Mood::Dismissing),
    ]
}

fn about() -> impl Strategy<Value = About> {
    prop_oneof![
        Just(About::Opening),
        Just(About::Joining),
        Just(About::Registering),
        Just(About::Commands),
        Just(About::Beats),
    ]
}

fn millis() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0_u64..200,
        3 => 200_u64..5_000,
        2 => 5_000_u64..120_000,
        1 => 120_000_u64..100_000_000,
    ]
}

/// One move of any kind.
pub(crate) fn any_move() -> impl Strategy<Value = Move> {
    let works = 0_u64..12;
    prop_oneof![
        12 => millis().prop_map(Move::Wait),
        2 => millis().prop_map(Move::Suspend),
        6 => (about(), mood()).prop_map(|(about, mood)| Move::Mood(about, mood)),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(is_up, web_sockets)| Move::Network { is_up, web_sockets }),
        1 => any::<bool>().prop_map(Move::Slow),
        3 => Just(Move::Ping),
        2 => Just(Move::Confirm),
        2 => Just(Move::Cut),
        1 => prop_oneof![Just(1000), Just(1005), Just(1009), Just(1011)].prop_map(Move::CloseWith),
        1 => Just(Move::Dismiss),
        4 => (0..PACKETS.len()).prop_map(Move::Packet),
        1 => ".{0,40}".prop_map(Move::Text),
        1 => any::<Vec<u8>>().prop_map(Move::Bytes),
        1 => (prop_oneof![Just(200), Just(200), Just(400), Just(502)], any::<Vec<u8>>())
            .prop_map(|(status, body)| Move::Poll(status, body)),
        3 => (prop_oneof![Just("h"), Just("stream"), Just("nobody")],
              prop_oneof![Just("json"), Just("buffer"), Just("stream")])
            .prop_map(|(name, form)| Move::Ask(name, form)),
        4 => prop_oneof![Just(0), Just(1), Just(700), Just(30_000), Just((1 << 53) - 1)]
            .prop_map(Move::Call),
        1 => (0_u64..12).prop_map(Move::Cancel),
        4 => prop_oneof![0_usize..100, 0_usize..20_000].prop_map(Move::Emit),
        1 => Just(Move::Password),
        1 => any::<bool>().prop_map(Move::Handle),
        3 => (works.clone(), any::<u8>()).prop_map(|(work, kind)| Move::Complete(work, kind)),
        2 => (works, any::<u8>()).prop_map(|(work, kind)| Move::Progress(work, kind)),
        1 => Just(Move::Start),
        1 => prop_oneof![9 => Just(u64::MAX), 1 => 0_u64..60_000].prop_map(Move::Stop),
    ]
}

/// What the application alone does, and time.
pub(crate) fn application() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => millis().prop_map(Move::Wait),
        6 => (0_usize..2_000).prop_map(Move::Emit),
        2 => prop_oneof![Just(0), Just(700), Just(30_000)].prop_map(Move::Call),
        1 => (about(), mood()).prop_map(|(about, mood)| Move::Mood(about, mood)),
        1 => Just(Move::Cut),
    ]
}

/// What the server's bytes do.
pub(crate) fn bytes() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0..PACKETS.len()).prop_map(Move::Packet),
        2 => ".{0,60}".prop_map(Move::Text),
        1 => "4[0-6][0-9\\-\\[\\]\"/,]{0,20}".prop_map(Move::Text),
        2 => any::<Vec<u8>>().prop_map(Move::Bytes),
        2 => (prop_oneof![Just(200), Just(200), Just(400), Just(403)], any::<Vec<u8>>())
            .prop_map(|(status, body)| Move::Poll(status, body)),
        2 => millis().prop_map(Move::Wait),
        1 => (about(), mood()).prop_map(|(about, mood)| Move::Mood(about, mood)),
    ]
}

/// What hits connections.
pub(crate) fn outages() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => millis().prop_map(Move::Wait),
        2 => millis().prop_map(Move::Suspend),
        3 => Just(Move::Cut),
        1 => Just(Move::Dismiss),
        1 => any::<bool>().prop_map(Move::Slow),
        2 => Just(Move::Confirm),
        2 => Just(Move::Ping),
        1 => Just(Move::CloseWith(1009)),
        2 => any::<bool>().prop_map(|is_up| Move::Network { is_up, web_sockets: true }),
        2 => (about(), mood()).prop_map(|(about, mood)| Move::Mood(about, mood)),
        1 => Just(Move::Call(30_000)),
        1 => (0_usize..100).prop_map(Move::Emit),
    ]
}
