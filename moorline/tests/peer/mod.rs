//! A VOLT server that does what a test says: Socket.IO over WebSocket, one script for each connection.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

/// How long a script waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

type Script = Box<dyn FnOnce(&mut Link) + Send>;

/// Accepts one connection after the other, as many as there are scripts.
pub(crate) struct Peer {
    pub(crate) url: String,
    thread: JoinHandle<()>,
}

impl Peer {
    /// Serves connections by scripts that begin when a daemon is registered.
    pub(crate) fn serve(scripts: Vec<Script>) -> Self {
        Self::start(scripts.into_iter().map(Connection::Daemon).collect())
    }

    /// Enrolls a daemon with an answer, then serves its connections.
    pub(crate) fn enroll(status: u16, answer: &Value, scripts: Vec<Script>) -> Self {
        let mut connections = vec![Connection::Enrollment(status, answer.to_string())];
        connections.extend(scripts.into_iter().map(Connection::Daemon));
        Self::start(connections)
    }

    fn start(connections: Vec<Connection>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            for connection in connections {
                let (stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                match connection {
                    Connection::Daemon(script) => script(&mut Link::open(stream)),
                    Connection::Enrollment(status, answer) => enroll(stream, status, &answer),
                }
            }
        });
        Self { url, thread }
    }

    /// Waits until every script has ended well.
    pub(crate) async fn end(self) {
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
    }
}

enum Connection {
    Daemon(Script),
    Enrollment(u16, String),
}

/// Makes a script of a closure.
pub(crate) fn script(script: impl FnOnce(&mut Link) + Send + 'static) -> Script {
    Box::new(script)
}

fn enroll(mut stream: TcpStream, status: u16, answer: &str) {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.ends_with(b"}") {
        let count = stream.read(&mut part).unwrap();
        request.extend(&part[..count]);
    }
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{answer}"
    )
    .unwrap();
}

/// One daemon's connection.
pub(crate) struct Link {
    socket: WebSocket<TcpStream>,
    /// What the daemon registered with.
    pub(crate) registration: Value,
}

impl Link {
    fn open(stream: TcpStream) -> Self {
        let socket = accept(stream).unwrap();
        let mut link = Self { socket, registration: Value::Null };
        link.say(
            r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":60000,"maxPayload":100000}"#,
        );
        assert_eq!(link.text().as_deref(), Some("40"));
        link.say(r#"40{"sid":"x"}"#);
        let text = link.text().unwrap();
        let [name, registration]: [Value; 2] = serde_json::from_str(&text[2..]).unwrap();
        assert_eq!(name, "team-cluster-daemon:register");
        link.registration = registration;
        link.say(r#"42["team-cluster-daemon:registered",{"teamClusterId":"c-1"}]"#);
        link
    }

    /// Sends a text frame.
    pub(crate) fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// Sends a message.
    pub(crate) fn emit(&mut self, message: &Value) {
        self.say(&format!("42[\"team-cluster-daemon:message\",{message}]"));
    }

    /// Sends a command.
    pub(crate) fn command(&mut self, id: &str, name: &str, form: &str, payload: &Value) {
        self.emit(&json!({
            "type": "command", "requestId": id, "command": name, "responseType": form,
            "payload": payload,
        }));
    }

    /// Sends a message whose `{"_placeholder":true,"num":0}` stands for bytes.
    pub(crate) fn emit_bytes(&mut self, message: &Value, bytes: &'static [u8]) {
        self.say(&format!("451-[\"team-cluster-daemon:message\",{message}]"));
        self.socket.send(Message::binary(bytes)).unwrap();
    }

    /// Answers a command of the daemon with data.
    pub(crate) fn answer(&mut self, asked: &Value, data: &Value) {
        self.emit(&json!({
            "type": "response", "requestId": asked["requestId"], "ok": true, "status": 200,
            "data": { "status": "success", "data": data },
        }));
    }

    /// Returns the next message; panics if the daemon has left.
    pub(crate) fn message(&mut self) -> Value {
        let text = self.text().expect("the daemon is there");
        let [name, message]: [Value; 2] =
            serde_json::from_str(&text[text.find('[').unwrap()..]).unwrap();
        assert_eq!(name, "team-cluster-daemon:message");
        message
    }

    /// Returns the next attachment.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        self.socket.read().unwrap().into_data().to_vec()
    }

    /// Sees the daemon say farewell and leave.
    pub(crate) fn farewell(&mut self) {
        assert_eq!(self.text().as_deref(), Some("41"));
        assert_eq!(self.text(), None);
    }

    fn text(&mut self) -> Option<String> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) | Err(_) => {
                    // The rest of the closing handshake; the daemon may be gone.
                    let _ = self.socket.flush();
                    return None;
                }
                Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
                ) => {}
            }
        }
    }
}
