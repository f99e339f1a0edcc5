//! HTTP and WebSocket as an attacker speaks them: by hand, so that everything can be wrong.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::Told;

/// How long a socket waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connects to an address such as `127.0.0.1:54321`.
///
/// # Errors
/// What the system says.
pub fn connect(address: &str) -> Told<TcpStream> {
    let stream = TcpStream::connect(address).map_err(|e| format!("connect to {address}: {e}"))?;
    patient(&stream)?;
    Ok(stream)
}

fn patient(stream: &TcpStream) -> Told<()> {
    let set = stream.set_nodelay(true);
    let set = set.and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
    set.and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(|e| e.to_string())
}

/// An answer to a request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status; 0 if the connection ended without one.
    pub status: u16,
    /// Status line and fields.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Reads the body as JSON; `null` if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Expects a status.
    ///
    /// # Errors
    /// What came instead.
    pub fn expect(self, status: u16) -> Told<Self> {
        if self.status == status {
            return Ok(self);
        }
        let body: String = self.body.chars().take(200).collect();
        Err(format!("status {} and not {status}: {body}", self.status))
    }
}

/// Asks and reads the answer to its end.
///
/// # Errors
/// When the connection fails before there is a status.
pub fn ask(address: &str, method: &str, path: &str, body: &str) -> Told<Answer> {
    ask_with(address, method, path, &[("host", address)], body)
}

/// Asks with fields of its own.
///
/// # Errors
/// When the connection fails before there is a status.
pub fn ask_with(
    address: &str,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Told<Answer> {
    let mut stream = connect(address)?;
    let sent = stream.write_all(request(method, path, fields, body).as_bytes());
    let mut bytes = Vec::new();
    // Whoever refuses may close before everything is written, and reset after its answer.
    let read = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Err(format!("no answer to {method} {path}: {sent:?} {read:?}"));
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

/// Writes a request down, after which the connection is closed.
#[must_use]
pub fn request(method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> String {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\n{fields}connection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// What a WebSocket said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A text.
    Text(String),
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// A close frame with its code; 1005 without one.
    Close(u16),
    /// The end of the connection.
    End,
}

/// One end of a WebSocket.
pub struct Socket {
    stream: TcpStream,
    /// Frames of a client are masked.
    is_client: bool,
    /// What the latest ping held.
    pinged: Vec<u8>,
}

impl Socket {
    /// Opens one as a client.
    ///
    /// # Errors
    /// The answer, if it was no upgrade.
    pub fn open(address: &str, path: &str) -> Told<Self> {
        let mut stream = connect(address)?;
        let head = upgrade(&mut stream, address, path)?;
        if !head.contains(" 101 ") {
            return Err(format!("no upgrade: {}", head.lines().next().unwrap_or_default()));
        }
        Ok(Self { stream, is_client: true, pinged: Vec::new() })
    }

    /// Registers a foreign worker with one capability.
    ///
    /// # Errors
    /// What came instead of the confirmation.
    pub fn worker(address: &str, name: &str, capability: &str, slots: u32) -> Told<Self> {
        let mut socket = Self::open(address, "/")?;
        socket.say(&format!(
            r#"{{"Action":"BeaconRegister","Name":"{name}","Capabilities":["{capability}"],"MaxConcurrent":{slots}}}"#
        ))?;
        socket.hear("BeaconRegistered")?;
        Ok(socket)
    }

    /// Takes the next client of a listener in, as a server.
    ///
    /// # Errors
    /// When it asks for no upgrade.
    pub fn accept(listener: &TcpListener) -> Told<Self> {
        loop {
            let (mut stream, _) = listener.accept().map_err(|e| e.to_string())?;
            patient(&stream)?;
            let head = head(&mut stream)?;
            let key = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
            });
            let Some(key) = key else {
                // A worker logs in first.
                let said = r#"{"LoggedIn":true,"SessionID":"s"}"#;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nset-cookie: SessionID=s\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{said}",
                    said.len()
                );
                let _ = stream.write_all(answer.as_bytes());
                continue;
            };
            let accept = crate::accept_key(&key);
            write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: {accept}\r\n\r\n"
            )
            .map_err(|e| e.to_string())?;
            return Ok(Self { stream, is_client: false, pinged: Vec::new() });
        }
    }

    /// Returns the stream below.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Tells whether it is the client's end, whose frames are masked.
    #[must_use]
    pub const fn is_client(&self) -> bool {
        self.is_client
    }

    /// Makes another handle of the same end.
    ///
    /// # Errors
    /// What the system says.
    pub fn second(&self) -> Told<Self> {
        let stream = self.stream.try_clone().map_err(|e| e.to_string())?;
        Ok(Self { stream, is_client: self.is_client, pinged: Vec::new() })
    }

    /// Sends a text.
    ///
    /// # Errors
    /// When the other side is gone, or reads nothing for too long.
    pub fn say(&mut self, text: &str) -> Told<()> {
        self.send(0x1, text.as_bytes())
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn send(&mut self, opcode: u8, payload: &[u8]) -> Told<()> {
        let frame = frame(opcode, payload, self.is_client);
        self.stream.write_all(&frame).map_err(|e| format!("a frame could not be sent: {e}"))
    }

    /// Answers the latest ping.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn pong(&mut self) -> Told<()> {
        let payload = std::mem::take(&mut self.pinged);
        self.send(0xa, &payload)
    }

    /// Takes what the latest ping held, for who answers it elsewhere.
    pub fn pinged(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pinged)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When nothing comes for too long.
    pub fn read(&mut self) -> Told<Said> {
        let mut head = [0; 2];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(e) if is_end(&e) => return Ok(Said::End),
            Err(e) => return Err(format!("nothing was heard: {e}")),
        }
        let mut length = u64::from(head[1] & 0x7f);
        if length == 126 {
            length = u64::from(u16::from_be_bytes(self.bytes()?));
        } else if length == 127 {
            length = u64::from_be_bytes(self.bytes()?);
        }
        let mask: [u8; 4] = if head[1] & 0x80 == 0 { [0; 4] } else { self.bytes()? };
        let mut payload = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.stream.read_exact(&mut payload).map_err(|e| format!("half a frame: {e}"))?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        Ok(match head[0] & 0x0f {
            0x8 => match payload.as_slice() {
                [high, low, ..] => Said::Close(u16::from_be_bytes([*high, *low])),
                _ => Said::Close(1005),
            },
            0x9 => {
                self.pinged = payload;
                Said::Ping
            }
            0xa => Said::Pong,
            _ => Said::Text(String::from_utf8_lossy(&payload).into_owned()),
        })
    }

    /// Reads until a text holds `part`; pings are answered.
    ///
    /// # Errors
    /// When the connection ends before.
    pub fn hear(&mut self, part: &str) -> Told<String> {
        loop {
            match self.read()? {
                Said::Text(text) if text.contains(part) => return Ok(text),
                Said::Text(_) | Said::Pong => {}
                Said::Ping => self.pong()?,
                end @ (Said::Close(_) | Said::End) => {
                    return Err(format!("{end:?} instead of {part}"));
                }
            }
        }
    }

    /// Reads to the end and returns the code of the close frame; 1006 without one.
    ///
    /// # Errors
    /// When the connection does not end.
    pub fn end(&mut self) -> Told<u16> {
        let mut code = 1006;
        loop {
            match self.read() {
                Ok(Said::Close(said)) => code = said,
                Ok(Said::End) => return Ok(code),
                Ok(Said::Text(_) | Said::Ping | Said::Pong) => {}
                // What is reset in the middle of a frame has ended, too.
                Err(e) if e.starts_with("half a frame") => return Ok(code),
                Err(e) => return Err(e),
            }
        }
    }

    fn bytes<const COUNT: usize>(&mut self) -> Told<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.stream.read_exact(&mut bytes).map_err(|e| format!("half a frame: {e}"))?;
        Ok(bytes)
    }
}

/// Asks for an upgrade and returns the head of the answer.
///
/// # Errors
/// When there is none.
pub fn upgrade(stream: &mut TcpStream, host: &str, path: &str) -> Told<String> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .map_err(|e| e.to_string())?;
    head(stream)
}

/// Reads the head of an answer, or of a request.
///
/// # Errors
/// When the connection ends before.
pub fn head(stream: &mut TcpStream) -> Told<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(|e| format!("no head: {e}"))?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Writes a frame down; a client's mask is zero.
#[must_use]
pub fn frame(opcode: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
    let mask = if is_masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(mask | u8::try_from(short).unwrap_or(0)),
        middle @ 126..65_536 => {
            frame.push(mask | 126);
            frame.extend(u16::try_from(middle).unwrap_or(0).to_be_bytes());
        }
        long => {
            frame.push(mask | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    if is_masked {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe
    )
}
