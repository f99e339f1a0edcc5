//! The core cases of the Autobahn test suite, written down anew: what a WebSocket must do with right
//! and wrong frames, as the side that listens and as the side that dials.

mod cases;
mod utf8;
pub(crate) mod wire;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use moorline_driver::core::{ConnId, ConnInput, Frame, FrameLimits, Input, Output, ServerInput};

use self::cases::{Answer, Case, Chop, End, Step, all};
use self::wire::{BINARY, CLOSE, PING, PONG, TEXT, WireFrame};
use crate::limits::upgrade;
use crate::rig::{HTTP_LIMITS, Rig, target};

/// Large enough for what the cases send.
const LIMITS: FrameLimits = FrameLimits {
    max_message: 16 * 1_024 * 1_024,
    max_fragments: 65_536,
    max_send_queue: 64 * 1_024 * 1_024,
};
/// How long a case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon the connection is closed when both sides have said so, or one was wrong.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// What became of a case.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    AsDemanded,
    Informational,
    /// The connection failed as it must, but what came before was not answered.
    NonStrict,
    Failed(String),
}

#[test]
fn the_side_that_listens_does_what_the_suite_demands() {
    let hub = Rig::reacting(echo);
    let address = hub.listen(HTTP_LIMITS);
    conforms("server", &hub, true, || upgrade(&address));
}

#[test]
fn the_side_that_dials_does_what_the_suite_demands() {
    let worker = Rig::reacting(echo);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut conn = 0;
    conforms("client", &worker, false, || {
        conn += 2;
        let mut target = target(&address);
        target.limits = LIMITS;
        worker.perform([Output::Dial { conn: ConnId(conn), target }]);
        accept(&listener)
    });
}

#[test]
fn a_side_that_looks_at_nothing_is_found_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let careless = std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if !careless(stream) {
                return;
            }
        }
    });
    let cases = all();
    let judge = |number: &str| {
        let case = cases.iter().find(|case| case.number == number).unwrap();
        Peer::new(TcpStream::connect(address).unwrap(), true).run(case, None)
    };
    for number in ["1.1.2", "1.2.6", "2.2", "7.3.4"] {
        assert_eq!(judge(number), Verdict::AsDemanded, "{number}");
    }
    for number in ["2.5", "3.1", "4.1.2", "5.1", "5.9", "6.3.1", "6.13.1", "7.3.2", "7.9.1"] {
        assert!(matches!(judge(number), Verdict::Failed(_)), "{number}");
    }
    // A connection that says nothing ends the other thread.
    drop(TcpStream::connect(address).unwrap());
    careless.join().unwrap();
}

/// Runs all cases, prints the counts, and fails unless all is as it must be.
fn conforms(side: &str, rig: &Rig, is_client: bool, mut open: impl FnMut() -> TcpStream) {
    let (mut as_demanded, mut informational, mut wrong) = (0, 0, Vec::new());
    for case in all() {
        match Peer::new(open(), is_client).run(&case, Some(rig)) {
            Verdict::AsDemanded => as_demanded += 1,
            Verdict::Informational => informational += 1,
            verdict @ (Verdict::NonStrict | Verdict::Failed(_)) => {
                wrong.push((case.number, verdict))
            }
        }
        while rig.input_now().is_some() {}
    }
    println!(
        "{side}: {as_demanded} as demanded, {informational} informational, {} otherwise",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((as_demanded, informational), (298, 3));
}

/// Lets whoever comes in and sends back what it says.
fn echo(input: &Input) -> Vec<Output> {
    match input {
        Input::Server(ServerInput::Offered { conn, .. }) => {
            let (conn, limits) = (*conn, LIMITS);
            vec![Output::Admit { conn, limits, pulses: &[], deflate: None }]
        }
        Input::Conn(ConnInput::Received {
            conn,
            frame: frame @ (Frame::Text(_) | Frame::Binary(_)),
        }) => {
            vec![Output::Send { conn: *conn, frame: frame.clone() }]
        }
        _ => Vec::new(),
    }
}

/// The side of the test.
struct Peer {
    stream: TcpStream,
    is_client: bool,
    answers: Vec<Answer>,
}

/// What is read next.
enum Next {
    Answer(Answer),
    /// A close frame: the code, if it says one.
    Close(Option<u16>),
}

impl Peer {
    fn new(stream: TcpStream, is_client: bool) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, is_client, answers: Vec::new() }
    }

    /// Runs a case; `rig` is the other side, if it is one.
    fn run(mut self, case: &Case, rig: Option<&Rig>) -> Verdict {
        match self.play(case, rig) {
            Ok(()) if case.is_informational => Verdict::Informational,
            Ok(()) if self.answers == case.wanted => Verdict::AsDemanded,
            Ok(()) if self.answers.is_empty() => Verdict::NonStrict,
            Ok(()) => {
                Verdict::Failed(format!("other answers than demanded: {}", self.answers.len()))
            }
            Err(why) => Verdict::Failed(why),
        }
    }

    fn play(&mut self, case: &Case, rig: Option<&Rig>) -> Result<(), String> {
        for step in &case.steps {
            match step {
                // A side that has failed the connection need not read.
                Step::Send(frames, chop) => drop(self.send(frames, *chop)),
                Step::SendParts(frame, ends) => self.send_parts(frame, ends, rig)?,
                Step::Wait(count) => self.await_answers(*count)?,
                Step::PingPong(frame, times) => self.ping_pong(frame, *times)?,
            }
        }
        let codes = match &case.end {
            End::Agreed => {
                self.await_answers(case.wanted.len())?;
                let close = WireFrame::new(CLOSE, &1000_u16.to_be_bytes());
                close.write(&mut self.stream, self.is_client).map_err(said)?;
                vec![Some(1000)]
            }
            End::Answered(codes) => codes.clone(),
            End::Failed(codes) => codes.iter().copied().map(Some).collect(),
        };
        let code = loop {
            match self.next()? {
                Next::Answer(answer) => self.take(answer, case)?,
                Next::Close(code) => break code,
            }
        };
        if !codes.contains(&code) {
            return Err(format!("closed with {code:?} instead of one of {codes:?}"));
        }
        let is_failed = matches!(case.end, End::Failed(_));
        self.await_end(is_failed)
    }

    fn take(&mut self, answer: Answer, case: &Case) -> Result<(), String> {
        if case.wanted.get(self.answers.len()) != Some(&answer) {
            return Err(String::from("an answer that is not demanded"));
        }
        self.answers.push(answer);
        Ok(())
    }

    /// The side that listens ends the stream; one that dialed ends it when its server has, or when its
    /// server has failed.
    fn await_end(&mut self, is_failed: bool) -> Result<(), String> {
        let begun = Instant::now();
        if !self.is_client && !is_failed {
            self.stream.shutdown(std::net::Shutdown::Write).map_err(said)?;
        }
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Ok(_) => return Err(String::from("something came behind the close frame")),
            Err(error) => return Err(said(error)),
        }
        let took = begun.elapsed();
        if took > CLOSED_WITHIN { Err(format!("closed after {took:?}")) } else { Ok(()) }
    }

    fn send(&mut self, frames: &[WireFrame], chop: Chop) -> io::Result<()> {
        let frames = frames.iter().map(|frame| {
            let (head, payload) = frame.encode(self.is_client);
            [head, payload].concat()
        });
        let frames: Vec<_> = frames.collect();
        match chop {
            Chop::Whole => self.stream.write_all(&frames.concat()),
            Chop::Frames => frames.iter().try_for_each(|frame| self.stream.write_all(frame)),
            Chop::Octets(count) => {
                frames.concat().chunks(count).try_for_each(|part| self.stream.write_all(part))
            }
        }
    }

    fn send_parts(
        &mut self,
        frame: &WireFrame,
        ends: &[usize],
        rig: Option<&Rig>,
    ) -> Result<(), String> {
        let (mut bytes, payload) = frame.encode(self.is_client);
        let mut begin = 0;
        for (n, &end) in ends.iter().enumerate() {
            let reads = rig.map(|rig| rig.handle.counters().reads);
            bytes.extend(&payload[begin..end]);
            self.stream.write_all(&bytes).map_err(said)?;
            (bytes, begin) = (Vec::new(), end);
            if n + 1 < ends.len() {
                if let (Some(rig), Some(reads)) = (rig, reads) {
                    settle(rig, reads);
                }
                self.nothing_came()?;
            }
        }
        Ok(())
    }

    fn nothing_came(&mut self) -> Result<(), String> {
        self.stream.set_nonblocking(true).map_err(said)?;
        let read = self.stream.read(&mut [0]);
        self.stream.set_nonblocking(false).map_err(said)?;
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            _ => Err(String::from("the connection did not wait for the rest")),
        }
    }

    fn await_answers(&mut self, count: usize) -> Result<(), String> {
        while self.answers.len() < count {
            match self.next()? {
                Next::Answer(answer) => self.answers.push(answer),
                Next::Close(code) => return Err(format!("closed too early with {code:?}")),
            }
        }
        Ok(())
    }

    fn ping_pong(&mut self, frame: &WireFrame, times: usize) -> Result<(), String> {
        for _ in 0..times {
            frame.write(&mut self.stream, self.is_client).map_err(said)?;
            let (Next::Answer(Answer::Text(payload)) | Next::Answer(Answer::Binary(payload))) =
                self.next()?
            else {
                return Err(String::from("no echo"));
            };
            if payload != frame.payload {
                return Err(String::from("another echo"));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Next, String> {
        let frame = WireFrame::read(&mut self.stream).map_err(said)?;
        let frame = frame.ok_or("the stream ended without a close frame")?;
        if !frame.is_final || frame.reserved != 0 {
            return Err(format!("a frame that nobody needs: {:?}", (frame.opcode, frame.reserved)));
        }
        match frame.opcode {
            TEXT => Ok(Next::Answer(Answer::Text(frame.payload))),
            BINARY => Ok(Next::Answer(Answer::Binary(frame.payload))),
            PONG => Ok(Next::Answer(Answer::Pong(frame.payload))),
            CLOSE => {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                Ok(Next::Close(code))
            }
            opcode => Err(format!("a frame of the kind {opcode}")),
        }
    }
}

fn said(error: io::Error) -> String {
    error.to_string()
}

/// Waits until the rig has read what was sent, and the turn is over.
fn settle(rig: &Rig, reads: u64) {
    let begun = Instant::now();
    while rig.handle.counters().reads == reads {
        assert!(begun.elapsed() < PATIENCE, "nothing was read");
        std::thread::yield_now();
    }
    rig.rest();
}

/// Takes a client's upgrade.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    accept_with(listener, "").0
}

/// Takes a client's upgrade and answers with more fields. Returns the head of the request, too.
pub(crate) fn accept_with(listener: &TcpListener, fields: &str) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let head = head_of(&mut stream);
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n{fields}\r\n"
    )
    .unwrap();
    (stream, head)
}

/// Reads the head of a request or an answer.
pub(crate) fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Serves a client without looking at what it may not do; tells whether it said anything.
fn careless(mut stream: TcpStream) -> bool {
    let mut has_spoken = false;
    while let Ok(Some(frame)) = WireFrame::read(&mut stream) {
        has_spoken = true;
        let answer = match frame.opcode {
            PONG => continue,
            PING => PONG,
            opcode => opcode.max(TEXT),
        };
        let sent = WireFrame::new(answer, &frame.payload).write(&mut stream, false);
        if sent.is_err() || answer == CLOSE {
            break;
        }
    }
    has_spoken
}
