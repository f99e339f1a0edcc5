//! What an attacker on the network, a program of this machine, a script or a file may try: each is refused
//! or bounded, and the daemons go on.

use moorline_attack::wire::{frame, request};

use crate::grounds::{self, Attack, Grounds};
use Attack::{Answered, Asked, Done, Framed, Guessed, Name, Request, Said, Script, Sent, Served};

/// Every attack, in the order in which they are made.
const ATTACKS: &[(&str, Attack)] = &[
    // Names. What is offered is listed at the start; nothing else has a name.
    ("out of the folder", Name(r#""../../../../../bin/echo""#)),
    ("an absolute path", Name(r#""/bin/echo""#)),
    ("no name", Name(r#""""#)),
    ("the folder", Name(r#"".""#)),
    ("its parent", Name(r#""..""#)),
    ("a script beside the folder", Name(r#""../outside""#)),
    ("config.json", Name(r#""../config.json""#)),
    ("not executable", Name(r#""noexec""#)),
    ("a folder", Name(r#""sub""#)),
    ("a folder with a slash", Name(r#""sub/""#)),
    ("two slashes", Name(r#""sub//inner""#)),
    ("a dot between", Name(r#""sub/./inner""#)),
    ("up and down", Name(r#""sub/../ok""#)),
    ("a dot before", Name(r#""./ok""#)),
    ("a slash behind", Name(r#""ok/""#)),
    ("slash and dot behind", Name(r#""ok/.""#)),
    ("a NUL behind", Name(r#""ok\u0000""#)),
    ("a NUL and a path", Name(r#""ok\u0000/../x""#)),
    ("capital letters", Name(r#""OK""#)),
    ("a space behind", Name(r#""ok ""#)),
    ("a space before", Name(r#"" ok""#)),
    ("a newline behind", Name(r#""ok\n""#)),
    ("a second command", Name(r#""ok;id""#)),
    ("a command to be replaced", Name(r#""$(id)""#)),
    ("the same in old spelling", Name(r#""`id`""#)),
    ("an argument", Name(r#""ok -x""#)),
    ("an option", Name(r#""--help""#)),
    ("percent signs", Name(r#""%6fk""#)),
    ("percent signs for dots", Name(r#""%2e%2e/outside""#)),
    ("backslashes", Name(r#""..\\outside""#)),
    ("a link out of the folder", Name(r#""linked-out""#)),
    ("below a linked folder", Name(r#""linked-folder/echo""#)),
    ("changed into a link after the start", Name(r#""gone""#)),
    ("a pipe", Name(r#""pipe""#)),
    ("not there", Name(r#""missing""#)),
    ("what JavaScript says for nothing", Name(r#""undefined""#)),
    ("a member of every object", Name(r#""constructor""#)),
    ("its prototype", Name(r#""__proto__""#)),
    ("turned round", Name(r#""\u202eko""#)),
    ("letters that look alike", Name("\"ｏｋ\"")),
    ("half a character", Name(r#""\ud800""#)),
    ("a list", Name(r#"["ok"]"#)),
    ("an object", Name(r#"{"a":1}"#)),
    ("a number", Name("5")),
    ("null", Name("null")),
    ("true", Name("true")),
    ("a long one", Done(grounds::long_name)),
    // Requests.
    ("no name at all", Request(r#"{"id":1}"#, r#"{"status":-1,"id":1}"#)),
    (
        "a command of the network from here",
        Request(r#"{"name":"&CMD","id":2}"#, r#"{"status":-1,"id":2}"#),
    ),
    ("an argument that no system takes", Done(grounds::huge_argument)),
    ("more than may run and wait", Done(grounds::flood)),
    // Local programs.
    ("HTTP", Sent(|| b"POST / HTTP/1.1\r\nHost: x\r\n\r\n{\"name\":\"ok\"}".to_vec())),
    ("no JSON", Sent(|| b"not json".to_vec())),
    ("a bracket", Sent(|| b"]".to_vec())),
    ("a zero byte", Sent(|| b"\0".to_vec())),
    ("half a member", Sent(|| b"{\"name\":}".to_vec())),
    ("a member twice", Sent(|| br#"{"name":"missing","name":"ok"}"#.to_vec())),
    ("half a request", Sent(|| b"{\"name\":\"ok\",\"id\":".to_vec())),
    ("bytes that are no text", Sent(|| b"{\"name\":\"ok\xff\"}".to_vec())),
    ("too deep", Sent(|| [b"{\"name\":\"ok\",\"params\":".to_vec(), b"[".repeat(5_000)].concat())),
    ("a text without end", Sent(|| [b"{\"name\":\"".to_vec(), b"a".repeat(2 << 20)].concat())),
    ("half a request, held open", Done(grounds::held_open)),
    ("left before its status", Done(grounds::left_early)),
    ("never reads", Done(grounds::never_reads)),
    ("more programs than there are places", Done(grounds::crowd)),
    ("another user", Done(grounds::stranger)),
    // Requests at the server's port.
    ("no upgrade", Asked(|host| plain("GET", host, ""), &[426])),
    ("a body", Asked(|host| plain("POST", host, "{\"name\":\"ok\"}"), &[426])),
    ("a name of another site", Asked(|_| upgrade("evil.example", ""), &[403])),
    (
        "a page of another site",
        Asked(|host| upgrade(host, "origin: http://evil.example\r\n"), &[403]),
    ),
    ("a page without a site", Asked(|host| upgrade(host, "origin: null\r\n"), &[403])),
    (
        "a field without end",
        Asked(|host| upgrade(host, &format!("x: {}\r\n", "a".repeat(1 << 20))), &[0, 400, 431]),
    ),
    (
        "fields without number",
        Asked(|host| upgrade(host, &"x: y\r\n".repeat(10_000)), &[0, 400, 431]),
    ),
    ("two lengths", Asked(two_lengths, &[0, 400, 426])),
    ("a body without end", Asked(endless_body, &[408, 413, 426])),
    ("TLS", Asked(|_| b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[0, 400])),
    ("the local protocol", Asked(|_| b"{\"name\":\"ok\"}\r\n\r\n".to_vec(), &[0, 400])),
    ("half a request from everywhere", Done(grounds::half_asked)),
    // Frames of a client.
    ("unmasked", Framed(|| frame(1, b"{\"name\":\"ok\"}", false), &[1002])),
    ("an opcode of the future", Framed(|| frame(3, b"", true), &[1002])),
    ("a control frame of the future", Framed(|| frame(0xb, b"", true), &[1002])),
    ("a reserved bit", Framed(|| frame(0x41, b"x", true), &[1002])),
    ("a compressed message", Framed(|| frame(0x41, b"\xaa\x56", true), &[1002])),
    ("half a ping", Framed(|| partial(0x09, b"x"), &[1002])),
    ("a ping too long", Framed(|| frame(9, &[0; 126], true), &[1002])),
    ("a part without a beginning", Framed(|| frame(0, b"x", true), &[1002])),
    (
        "a beginning within a message",
        Framed(|| [partial(1, b"x"), frame(1, b"x", true)].concat(), &[1002]),
    ),
    ("a text that is none", Framed(|| frame(1, b"\xc3\x28", true), &[1007])),
    ("a length that is none", Framed(|| announced(u64::MAX), &[1002, 1009])),
    (
        "a length beyond the limit",
        Framed(|| [announced(100 << 20), vec![b'a'; 64 << 10]].concat(), &[1009]),
    ),
    (
        "a message beyond the limit",
        Framed(
            || [partial(1, &[b'a'; 600 << 10]), frame(0, &[b'a'; 600 << 10], true)].concat(),
            &[1009],
        ),
    ),
    (
        "parts without number",
        Framed(|| [partial(1, b""), partial(0, b"").repeat(2_000)].concat(), &[1008]),
    ),
    ("half a code", Framed(|| frame(8, b"\x03", true), &[1002])),
    ("a code that is none", Framed(|| frame(8, b"\x03\xed", true), &[1002])),
    ("half a frame", Done(grounds::half_framed)),
    ("pings without number", Done(grounds::pings)),
    ("a client that never reads", Done(grounds::never_reads_frames)),
    // What a client says.
    ("a number said", Said("5", "")),
    ("a list said", Said("[]", "")),
    ("null said", Said("null", "")),
    ("no JSON said", Said("{\"name\":", "")),
    ("nothing said", Said("", "")),
    ("no command", Said(r#"{"name":"&cmd"}"#, "")),
    ("a command of another kind", Said(r#"{"name":"&cmd","params":{"code":5}}"#, "")),
    ("a command as a list", Said(r#"{"name":"&cmd","params":["PAUSE",1]}"#, "")),
    ("a status without data", Said(r#"{"name":"&cmd","params":{"code":"STATUS"}}"#, "")),
    (
        "a status nobody waits for",
        Said(r#"{"name":"&cmd","params":{"code":"STATUS","data":{"status":0,"id":"x"}}}"#, ""),
    ),
    (
        "a server is told to go",
        Said(r#"{"name":"&cmd","params":{"code":"PAUSE","data":600000}}"#, ""),
    ),
    (
        "a local command from afar",
        Said(r#"{"name":"+cmd","params":{"code":"PAUSE","data":1}}"#, r#"{"status":-1}"#),
    ),
    (
        "out of the folder from afar",
        Said(r#"{"name":"../../../bin/sh","id":1}"#, r#"{"status":-1,"id":1}"#),
    ),
    // What a hostile server does to a client.
    ("a masked frame", Served(|| frame(1, b"{\"name\":\"ok\"}", true))),
    ("a client told a length beyond the limit", Served(|| frame(1, &[b'a'; 20 << 20], false))),
    ("a client told to go with half a code", Served(|| frame(8, b"\x03", false))),
    (
        "a redirection",
        Answered("HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
    ),
    (
        "an upgrade that was not asked for",
        Answered(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n",
        ),
    ),
    (
        "refused when it was in before",
        Answered("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"),
    ),
    ("no HTTP", Answered("SSH-2.0-x\r\n\r\n")),
    // Tokens.
    ("no token", Guessed(|host| upgrade(host, ""), &[401])),
    ("a wrong token", Guessed(|host| upgrade(host, "authorization: Bearer wrong\r\n"), &[401])),
    (
        "the beginning of the token",
        Guessed(|host| upgrade(host, "authorization: Bearer s3cre\r\n"), &[401]),
    ),
    (
        "more than the token",
        Guessed(|host| upgrade(host, "authorization: Bearer s3cret1\r\n"), &[401]),
    ),
    (
        "the token by another scheme",
        Guessed(|host| upgrade(host, "authorization: Basic s3cret\r\n"), &[401]),
    ),
    ("the token in a cookie", Guessed(|host| upgrade(host, "cookie: token=s3cret\r\n"), &[401])),
    ("guesses without number", Done(grounds::guesses)),
    // Scripts. All run at once; none has more than five seconds.
    ("writes without end", Script("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "-3")),
    ("writes 50 MB", Script("head -c 50000000 /dev/zero | tr '\\0' x", "0")),
    (
        "leaves a hundred children",
        Script("i=0; while [ $i -lt 100 ]; do sleep 86397 & i=$((i+1)); done; exit 6", "6"),
    ),
    (
        "children of children",
        Script(
            "(for a in 1 2 3 4; do (for b in 1 2 3 4; do sleep 86397 & done; wait) & done; wait)",
            "-3",
        ),
    ),
    ("does not end when asked", Script("trap '' TERM; while :; do sleep 1; done", "-3")),
    ("stops itself", Script("kill -STOP $$", "-3")),
    ("closes its output and goes on", Script("exec >&- 2>&-; while :; do sleep 1; done", "-3")),
    ("kills its group", Script("kill -9 0", "null")),
    ("reads what nobody writes", Script("cat; exit 4", "4")),
    ("looks for secrets", Script("[ -z \"$DAEMON_TEST_SECRET\" ] && [ \"$KEPT\" = yes ]", "0")),
    ("looks for open files", Script("! ls -l /proc/$$/fd | grep -q -e socket: -e epoll", "0")),
    // Files.
    ("a file in the socket's place", Done(grounds::file_in_place)),
    ("a folder in the socket's place", Done(grounds::folder_in_place)),
    ("a link in the socket's place", Done(grounds::link_in_place)),
    ("another program's socket", Done(grounds::foreign_in_place)),
    ("a dead socket of another user", Done(grounds::stale_in_place)),
    ("a folder where others may write", Done(grounds::open_folder)),
];

#[test]
fn each_is_refused_or_bounded() {
    assert_eq!(ATTACKS.len(), 141);
    let scripts = ATTACKS.iter().filter_map(|(what, attack)| {
        let Script(text, _) = attack else { return None };
        Some((*what, *text))
    });
    let grounds = Grounds::new(scripts);
    for (what, attack) in ATTACKS {
        attack.make(&grounds, what);
        grounds.check(what);
    }
    grounds.leave();
}

fn plain(method: &str, host: &str, body: &str) -> Vec<u8> {
    request(method, "/", &[("host", host)], body).into_bytes()
}

fn upgrade(host: &str, fields: &str) -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
    .into_bytes()
}

fn two_lengths(host: &str) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\
         content-length: 6\r\n\r\n0\r\n\r\n"
    )
    .into_bytes()
}

fn endless_body(host: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 1000000000000\r\n\r\n").into_bytes()
}

/// A frame that is not its message's last.
fn partial(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(opcode, payload, true);
    bytes[0] &= 0x7f;
    bytes
}

/// The head of a text of such a length.
fn announced(length: u64) -> Vec<u8> {
    [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}
