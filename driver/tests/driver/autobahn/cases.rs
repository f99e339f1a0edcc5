//! The table: what the core cases of the Autobahn test suite send and what they demand, by their
//! numbers there (sections 1 to 7, 9 and 10 of version 0.8.2).

use bytes::Bytes;

use super::wire::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WireFrame};

/// One case.
pub(crate) struct Case {
    pub(crate) number: String,
    pub(crate) steps: Vec<Step>,
    /// What must come back, in order, before the end.
    pub(crate) wanted: Vec<Answer>,
    pub(crate) end: End,
    /// Whether the standard leaves open what is right.
    pub(crate) is_informational: bool,
}

/// What is done.
pub(crate) enum Step {
    /// Frames are sent, cut as said.
    Send(Vec<WireFrame>, Chop),
    /// One frame is sent in parts, which end after so many payload bytes; after each but the last
    /// nothing may have come back.
    SendParts(WireFrame, Vec<usize>),
    /// So many answers must have come, and the connection is still open.
    Wait(usize),
    /// Messages are sent one after the other, each when the one before has come back.
    PingPong(WireFrame, usize),
}

/// How bytes are cut for the wire.
#[derive(Clone, Copy)]
pub(crate) enum Chop {
    Whole,
    Frames,
    Octets(usize),
}

/// What comes back before the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Text(Bytes),
    Binary(Bytes),
    Pong(Bytes),
}

/// How the connection ends.
pub(crate) enum End {
    /// The test closes it with 1000 when all answers have come; the other side agrees.
    Agreed,
    /// A close frame was among the steps: the other side answers with one of these codes; `None` stands
    /// for a close frame without a code.
    Answered(Vec<Option<u16>>),
    /// The other side fails it with one of these codes.
    Failed(Vec<u16>),
}

const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const HELLO: &str = "Hello, world!";
const GREEK: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
const UMLAUTS: &str = "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!";
const UMLAUTS_CUT: usize = 15;

/// Returns all cases.
pub(crate) fn all() -> Vec<Case> {
    let mut table = Table(Vec::new());
    table.framing();
    table.pings();
    table.reserved_bits();
    table.opcodes();
    table.fragmentation();
    table.utf8();
    table.utf8_sequences();
    table.closing();
    table.close_codes();
    table.limits();
    table.auto_fragmentation();
    table.0
}

struct Table(Vec<Case>);

impl Table {
    fn add(&mut self, number: impl Into<String>, steps: Vec<Step>, wanted: &[Answer], end: End) {
        let (number, wanted) = (number.into(), wanted.to_vec());
        self.0.push(Case { number, steps, wanted, end, is_informational: false });
    }

    /// Frames are sent and answered, and then the test closes.
    fn fine(
        &mut self,
        number: impl Into<String>,
        frames: Vec<WireFrame>,
        chop: Chop,
        wanted: &[Answer],
    ) {
        self.add(number, vec![Step::Send(frames, chop)], wanted, End::Agreed);
    }

    /// Frames are sent; what is wrong about one fails the connection.
    fn wrong(
        &mut self,
        number: impl Into<String>,
        frames: Vec<WireFrame>,
        chop: Chop,
        wanted: &[Answer],
    ) {
        self.add(number, vec![Step::Send(frames, chop)], wanted, End::Failed(vec![PROTOCOL]));
    }

    fn framing(&mut self) {
        for (section, opcode, byte) in [("1.1", TEXT, b'*'), ("1.2", BINARY, 0xfe)] {
            let lengths = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
            for (index, length) in lengths.into_iter().enumerate() {
                let payload = vec![byte; length];
                let chop = if index == 7 { Chop::Octets(997) } else { Chop::Whole };
                let frames = vec![WireFrame::new(opcode, &payload)];
                let number = format!("{section}.{}", index + 1);
                self.fine(number, frames, chop, &[echo(opcode, &payload)]);
            }
        }
    }

    fn pings(&mut self) {
        let binary = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
        let payloads = [&b""[..], HELLO.as_bytes(), binary, &[0xfe; 125]];
        for (index, payload) in payloads.into_iter().enumerate() {
            let frames = vec![WireFrame::new(PING, payload)];
            self.fine(format!("2.{}", index + 1), frames, Chop::Whole, &[pong(payload)]);
        }
        self.wrong("2.5", vec![WireFrame::new(PING, &[0xfe; 126])], Chop::Whole, &[]);
        let longest = vec![WireFrame::new(PING, &[0xfe; 125])];
        self.fine("2.6", longest, Chop::Octets(1), &[pong(&[0xfe; 125])]);
        let close = WireFrame::new(CLOSE, &1000_u16.to_be_bytes());
        for (number, payload) in [("2.7", &b""[..]), ("2.8", b"unsolicited pong payload")] {
            let frames = vec![WireFrame::new(PONG, payload), close.clone()];
            let steps = vec![Step::Send(frames, Chop::Whole)];
            self.add(number, steps, &[], End::Answered(vec![Some(1000)]));
        }
        let frames = vec![
            WireFrame::new(PONG, b"unsolicited pong payload"),
            WireFrame::new(PING, b"ping payload"),
        ];
        self.fine("2.9", frames, Chop::Whole, &[pong(b"ping payload")]);
        let payloads: Vec<_> = (0..10).map(|n| format!("payload-{n}")).collect();
        let pings = || payloads.iter().map(|it| WireFrame::new(PING, it.as_bytes())).collect();
        let pongs: Vec<_> = payloads.iter().map(|it| pong(it.as_bytes())).collect();
        self.fine("2.10", pings(), Chop::Whole, &pongs);
        self.fine("2.11", pings(), Chop::Octets(1), &pongs);
    }

    fn reserved_bits(&mut self) {
        let hello = || WireFrame::new(TEXT, HELLO.as_bytes());
        let bits = |bits| WireFrame { reserved: bits, ..hello() };
        let ping = || WireFrame::new(PING, b"");
        let wanted = [echo(TEXT, HELLO.as_bytes())];
        self.wrong("3.1", vec![bits(1)], Chop::Whole, &[]);
        let after = |reserved| vec![hello(), bits(reserved), ping()];
        self.wrong("3.2", after(2), Chop::Whole, &wanted);
        self.wrong("3.3", after(3), Chop::Frames, &wanted);
        self.wrong("3.4", after(4), Chop::Octets(1), &wanted);
        let binary = WireFrame::new(BINARY, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff");
        self.wrong("3.5", vec![WireFrame { reserved: 5, ..binary }], Chop::Whole, &[]);
        let frame = WireFrame { reserved: 6, ..WireFrame::new(PING, HELLO.as_bytes()) };
        self.wrong("3.6", vec![frame], Chop::Whole, &[]);
        let close = WireFrame { reserved: 7, ..WireFrame::new(CLOSE, b"") };
        self.wrong("3.7", vec![close], Chop::Whole, &[]);
    }

    fn opcodes(&mut self) {
        let wanted = [echo(TEXT, HELLO.as_bytes())];
        for (section, first) in [("4.1", 3), ("4.2", 11)] {
            let number = |n| format!("{section}.{n}");
            self.wrong(number(1), vec![WireFrame::new(first, b"")], Chop::Whole, &[]);
            let frame = WireFrame::new(first + 1, b"reserved opcode payload");
            self.wrong(number(2), vec![frame], Chop::Whole, &[]);
            for (n, payload, chop) in
                [(3, "", Chop::Whole), (4, HELLO, Chop::Whole), (5, HELLO, Chop::Octets(1))]
            {
                let frames = vec![
                    WireFrame::new(TEXT, HELLO.as_bytes()),
                    WireFrame::new(first + n - 1, payload.as_bytes()),
                    WireFrame::new(PING, b""),
                ];
                self.wrong(number(n), frames, chop, &wanted);
            }
        }
    }

    fn fragmentation(&mut self) {
        let first = |opcode| WireFrame { is_final: false, ..WireFrame::new(opcode, b"fragment1") };
        let second = || WireFrame::new(CONTINUATION, b"fragment2");
        self.wrong("5.1", vec![first(PING), second()], Chop::Whole, &[]);
        self.wrong("5.2", vec![first(PONG), second()], Chop::Whole, &[]);
        let chops = [Chop::Whole, Chop::Frames, Chop::Octets(1)];
        let wanted = [echo(TEXT, b"fragment1fragment2")];
        for (n, chop) in (3..).zip(chops) {
            self.fine(format!("5.{n}"), vec![first(TEXT), second()], chop, &wanted);
        }
        let wanted = [pong(b"ping payload"), wanted[0].clone()];
        for (n, chop) in (6..).zip(chops) {
            let frames = vec![first(TEXT), WireFrame::new(PING, b"ping payload"), second()];
            self.fine(format!("5.{n}"), frames, chop, &wanted);
        }
        let mut n = 9;
        for is_final in [true, false] {
            for chop in chops {
                let lost = WireFrame {
                    is_final,
                    ..WireFrame::new(CONTINUATION, b"non-continuation payload")
                };
                let frames = vec![lost, WireFrame::new(TEXT, HELLO.as_bytes())];
                self.wrong(format!("5.{n}"), frames, chop, &[]);
                n += 1;
            }
        }
        let open = |opcode, payload: &[u8]| WireFrame {
            is_final: false,
            ..WireFrame::new(opcode, payload)
        };
        let frames = vec![
            first(TEXT),
            second(),
            open(CONTINUATION, b"fragment3"),
            WireFrame::new(TEXT, b"fragment4"),
        ];
        self.wrong("5.15", frames, Chop::Whole, &[echo(TEXT, b"fragment1fragment2")]);
        for (number, is_final) in [("5.16", false), ("5.17", true)] {
            let once = [
                WireFrame { is_final, ..WireFrame::new(CONTINUATION, b"fragment1") },
                open(TEXT, b"fragment2"),
                WireFrame::new(CONTINUATION, b"fragment3"),
            ];
            self.wrong(number, [once.clone(), once].concat(), Chop::Whole, &[]);
        }
        let frames = vec![first(TEXT), WireFrame::new(TEXT, b"fragment2")];
        self.wrong("5.18", frames, Chop::Whole, &[]);
        for (number, chop) in [("5.19", Chop::Whole), ("5.20", Chop::Frames)] {
            let begin = vec![
                first(TEXT),
                open(CONTINUATION, b"fragment2"),
                WireFrame::new(PING, b"pongme 1!"),
            ];
            let rest = vec![
                open(CONTINUATION, b"fragment3"),
                open(CONTINUATION, b"fragment4"),
                WireFrame::new(PING, b"pongme 2!"),
                WireFrame::new(CONTINUATION, b"fragment5"),
            ];
            let whole = echo(TEXT, b"fragment1fragment2fragment3fragment4fragment5");
            let steps = vec![Step::Send(begin, chop), Step::Wait(1), Step::Send(rest, chop)];
            let wanted = [pong(b"pongme 1!"), pong(b"pongme 2!"), whole];
            self.add(number, steps, &wanted, End::Agreed);
        }
    }

    fn utf8(&mut self) {
        self.fine("6.1.1", vec![WireFrame::new(TEXT, b"")], Chop::Whole, &[echo(TEXT, b"")]);
        for (number, middle) in [("6.1.2", &b""[..]), ("6.1.3", b"middle frame payload")] {
            let frames = fragments(&[b"", middle, b""]);
            self.fine(number, frames, Chop::Whole, &[echo(TEXT, middle)]);
        }
        let text = UMLAUTS.as_bytes();
        let (begin, rest) = text.split_at(UMLAUTS_CUT);
        let octets = |text: &[u8]| fragments(&text.chunks(1).collect::<Vec<_>>());
        self.fine("6.2.1", vec![WireFrame::new(TEXT, text)], Chop::Whole, &[echo(TEXT, text)]);
        self.fine("6.2.2", fragments(&[begin, rest]), Chop::Whole, &[echo(TEXT, text)]);
        self.fine("6.2.3", octets(text), Chop::Whole, &[echo(TEXT, text)]);
        self.fine("6.2.4", octets(GREEK), Chop::Whole, &[echo(TEXT, GREEK)]);
        let surrogate = [GREEK, b"\xed\xa0\x80edited"].concat();
        self.not_utf8("6.3.1", vec![WireFrame::new(TEXT, &surrogate)]);
        self.not_utf8("6.3.2", octets(&surrogate));
        // The byte that shows it must not wait for those behind it.
        let beyond = [GREEK, b"\xf4\x90\x80\x80edited"].concat();
        for (number, cuts) in [("6.4.1", [11, 15]), ("6.4.2", [12, 13])] {
            let [first, second] = cuts;
            let parts = fragments(&[&beyond[..first], &beyond[first..second], b""]);
            let [begin, wrong, _]: [WireFrame; 3] = parts.try_into().expect("three fragments");
            let steps = vec![
                Step::Send(vec![begin, WireFrame::new(PING, b"A")], Chop::Whole),
                Step::Wait(1),
                Step::Send(vec![wrong], Chop::Whole),
            ];
            self.add(number, steps, &[pong(b"A")], End::Failed(vec![NOT_UTF8]));
        }
        for (number, cuts) in [("6.4.3", vec![11, 15]), ("6.4.4", vec![12, 13])] {
            let steps = vec![Step::SendParts(WireFrame::new(TEXT, &beyond), cuts)];
            self.add(number, steps, &[], End::Failed(vec![NOT_UTF8]));
        }
    }

    fn not_utf8(&mut self, number: impl Into<String>, frames: Vec<WireFrame>) {
        let steps = vec![Step::Send(frames, Chop::Whole)];
        self.add(number, steps, &[], End::Failed(vec![NOT_UTF8]));
    }

    /// Sections 6.5 to 6.23: one text each.
    fn utf8_sequences(&mut self) {
        for (section, texts) in (5..).zip(super::utf8::sections()) {
            for (n, text) in (1..).zip(texts) {
                let number = format!("6.{section}.{n}");
                let frames = vec![WireFrame::new(TEXT, &text)];
                if std::str::from_utf8(&text).is_ok() {
                    self.fine(number, frames, Chop::Whole, &[echo(TEXT, &text)]);
                } else {
                    self.not_utf8(number, frames);
                }
            }
        }
    }

    /// A close frame among others.
    fn closes(
        &mut self,
        number: &str,
        frames: Vec<WireFrame>,
        wanted: &[Answer],
        codes: &[Option<u16>],
    ) {
        let steps = vec![Step::Send(frames, Chop::Whole)];
        self.add(number, steps, wanted, End::Answered(codes.to_vec()));
    }

    fn closing(&mut self) {
        let close = |payload: &[u8]| WireFrame::new(CLOSE, payload);
        let normal = || close(&1000_u16.to_be_bytes());
        let text = || WireFrame::new(TEXT, b"Hello World!");
        let agreed = [Some(1000)];
        self.fine("7.1.1", vec![text()], Chop::Whole, &[echo(TEXT, b"Hello World!")]);
        self.closes("7.1.2", vec![normal(), close(b"")], &[], &agreed);
        self.closes("7.1.3", vec![normal(), WireFrame::new(PING, b"")], &[], &agreed);
        self.closes("7.1.4", vec![normal(), text()], &[], &agreed);
        let begun = WireFrame { is_final: false, ..WireFrame::new(TEXT, b"fragment1") };
        let ended = WireFrame::new(CONTINUATION, b"fragment2");
        self.closes("7.1.5", vec![begun, normal(), ended], &[], &agreed);
        let long = b"BAsd7&jh23".iter().copied().cycle().take(256 * 1024).collect::<Vec<_>>();
        let frames = vec![WireFrame::new(TEXT, &long), text(), normal(), WireFrame::new(PING, b"")];
        let wanted = [echo(TEXT, &long), echo(TEXT, b"Hello World!")];
        self.closes("7.1.6", frames, &wanted, &agreed);
        self.informational();

        let with = |code: u16, reason: &[u8]| close(&[&code.to_be_bytes(), reason].concat());
        self.closes("7.3.1", vec![close(b"")], &[], &[None, Some(1000)]);
        self.wrong("7.3.2", vec![close(b"a")], Chop::Whole, &[]);
        self.closes("7.3.3", vec![normal()], &[], &agreed);
        self.closes("7.3.4", vec![with(1000, b"Hello World!")], &[], &agreed);
        self.closes("7.3.5", vec![with(1000, &[b'*'; 123])], &[], &agreed);
        self.wrong("7.3.6", vec![with(1000, &[b'*'; 124])], Chop::Whole, &[]);
        let reason = [GREEK, b"\xed\xa0\x80edited"].concat();
        let steps = vec![Step::Send(vec![with(1000, &reason)], Chop::Whole)];
        self.add("7.5.1", steps, &[], End::Failed(vec![PROTOCOL, NOT_UTF8]));
    }

    fn close_codes(&mut self) {
        let close = |code: u16| vec![WireFrame::new(CLOSE, &code.to_be_bytes())];
        let right = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
        for (n, code) in (1..).zip(right) {
            self.closes(&format!("7.7.{n}"), close(code), &[], &[Some(1000), Some(code)]);
        }
        let wrong = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
        for (n, code) in (1..).zip(wrong) {
            self.wrong(format!("7.9.{n}"), close(code), Chop::Whole, &[]);
        }
        for (n, code) in (1..).zip([5000, 65_535]) {
            self.wrong(format!("7.13.{n}"), close(code), Chop::Whole, &[]);
            self.informational();
        }
    }

    fn informational(&mut self) {
        if let Some(case) = self.0.last_mut() {
            case.is_informational = true;
        }
    }

    fn limits(&mut self) {
        let kinds = [
            (TEXT, &b"BAsd7&jh23"[..], [1, 3, 5, 7]),
            (BINARY, b"\x00\xfe\x23\xfa\xf0", [2, 4, 6, 8]),
        ];
        for (opcode, pattern, [whole, fragmented, chopped, rounds]) in kinds {
            let payload = |length: usize| {
                let mut payload = pattern.repeat(length / pattern.len() + 1);
                payload.truncate(length);
                Bytes::from(payload)
            };
            for (n, kilobytes) in (1..).zip([64, 256, 1_024, 4_096, 8_192, 16_384]) {
                let payload = payload(kilobytes * 1_024);
                let frames = vec![WireFrame::of(opcode, payload.clone())];
                self.fine(format!("9.{whole}.{n}"), frames, Chop::Whole, &[same(opcode, &payload)]);
            }
            let long = payload(4 * 1_024 * 1_024);
            for (n, power) in (1..).zip([6, 8, 10, 12, 14, 16, 18, 20, 22]) {
                let frames = in_frames(opcode, &long, 1 << power);
                let number = format!("9.{fragmented}.{n}");
                self.fine(number, frames, Chop::Whole, &[same(opcode, &long)]);
            }
            let long = payload(1_024 * 1_024);
            for (n, size) in (1..).zip([64, 128, 256, 512, 1_024, 2_048]) {
                let frames = vec![WireFrame::of(opcode, long.clone())];
                let number = format!("9.{chopped}.{n}");
                self.fine(number, frames, Chop::Octets(size), &[same(opcode, &long)]);
            }
            for (n, size) in (1..).zip([0, 16, 64, 256, 1_024, 4_096]) {
                let step = Step::PingPong(WireFrame::of(opcode, payload(size)), 1_000);
                self.add(format!("9.{rounds}.{n}"), vec![step], &[], End::Agreed);
            }
        }
    }

    fn auto_fragmentation(&mut self) {
        let payload = Bytes::from(vec![b'*'; 65_536]);
        let frames = in_frames(TEXT, &payload, 1_300);
        self.fine("10.1.1", frames, Chop::Whole, &[same(TEXT, &payload)]);
    }
}

/// A message in fragments of one size.
fn in_frames(opcode: u8, payload: &Bytes, size: usize) -> Vec<WireFrame> {
    let begins = (0..payload.len()).step_by(size);
    let frame = |begin| {
        let end = payload.len().min(begin + size);
        WireFrame {
            is_final: end == payload.len(),
            ..WireFrame::of(
                if begin == 0 { opcode } else { CONTINUATION },
                payload.slice(begin..end),
            )
        }
    };
    begins.map(frame).collect()
}

/// A text in fragments.
fn fragments(parts: &[&[u8]]) -> Vec<WireFrame> {
    let last = parts.len() - 1;
    let frame = |(n, part): (usize, &&[u8])| WireFrame {
        is_final: n == last,
        ..WireFrame::new(if n == 0 { TEXT } else { CONTINUATION }, part)
    };
    parts.iter().enumerate().map(frame).collect()
}

fn echo(opcode: u8, payload: &[u8]) -> Answer {
    same(opcode, &Bytes::copy_from_slice(payload))
}

fn same(opcode: u8, payload: &Bytes) -> Answer {
    let payload = payload.clone();
    if opcode == TEXT { Answer::Text(payload) } else { Answer::Binary(payload) }
}

fn pong(payload: &[u8]) -> Answer {
    Answer::Pong(Bytes::copy_from_slice(payload))
}
