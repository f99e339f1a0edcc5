//! A puppet machine: performs what the test says, reports what the driver fed it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_driver::Handle;
use moorline_driver::core::options::RuntimeOptions;
use moorline_driver::core::{
    Command, ConnId, Deadline, DialAddress, DialTarget, Endpoint, Error, ErrorCode, Event,
    FrameLimits, Headers, HttpLimits, Input, Instant, ListenId, ListenTarget, Machine, Networks,
    Now, Output, Why,
};
use moorline_driver::core::{ConnInput, ServerInput, SessionEvent, Transport, WorkCommand};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const FRAME_LIMITS: FrameLimits =
    FrameLimits { max_message: 1_048_576, max_fragments: 8, max_send_queue: 1_048_576 };

pub(crate) const HTTP_LIMITS: HttpLimits = HttpLimits {
    max_head: 16 * 1024,
    max_headers: 64,
    max_body: 65_536,
    request_timeout_ms: 10_000,
    max_connections: 1_000,
    max_unadmitted_per_address: 64,
    max_held: 64 * 1024 * 1024,
};

pub(crate) const LISTENER: ListenId = ListenId(2);

type React = Box<dyn FnMut(&Input) -> Vec<Output> + Send>;

/// A machine that does what it is told.
struct Puppet {
    orders: Arc<Mutex<VecDeque<Order>>>,
    inputs: Sender<Input>,
    react: React,
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
}

enum Order {
    Perform(Output),
    WakeAt(Instant),
}

impl Machine for Puppet {
    fn handle_input(&mut self, input: Input, _: Now) {
        self.outputs.extend((self.react)(&input));
        // A test that has ended does not listen any more.
        let _ = self.inputs.send(input);
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.deadline.take_if(|at| *at <= now.mono).is_some() {
            let id = now.mono.as_millis().to_string();
            self.outputs.push_back(Output::Event(Event::Session(SessionEvent::Ready {
                id,
                transport: Transport::Listener,
                max_message: None,
            })));
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.deadline.map(|at| Deadline { at, why: Why::Call })
    }
}

impl Endpoint for Puppet {
    fn handle_command(&mut self, command: Command, _: Now) -> Result<(), Error> {
        if let Command::Work(WorkCommand::Unhandle { key }) = command {
            panic!("{key}");
        }
        for order in self.orders.lock().unwrap().drain(..) {
            match order {
                Order::Perform(output) => self.outputs.push_back(output),
                Order::WakeAt(at) => self.deadline = Some(at),
            }
        }
        Ok(())
    }

    fn snapshot(&self, _: Now) -> String {
        String::from(r#"{"puppet":true}"#)
    }
}

/// A machine that does nothing.
pub(crate) struct Nothing;

impl Machine for Nothing {
    fn handle_input(&mut self, _: Input, _: Now) {}
    fn handle_timeout(&mut self, _: Now) {}
    fn poll_output(&mut self) -> Option<Output> {
        None
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

impl Endpoint for Nothing {
    fn handle_command(&mut self, _: Command, _: Now) -> Result<(), Error> {
        Ok(())
    }
    fn snapshot(&self, _: Now) -> String {
        String::from("{}")
    }
}

/// A puppet on its handle.
pub(crate) struct Rig {
    pub(crate) handle: Arc<Handle>,
    inputs: Receiver<Input>,
    orders: Arc<Mutex<VecDeque<Order>>>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::reacting(|_| Vec::new())
    }

    /// A rig whose puppet answers inputs at once, on the I/O thread.
    pub(crate) fn reacting(react: impl FnMut(&Input) -> Vec<Output> + Send + 'static) -> Self {
        Self::build(react, RuntimeOptions::default(), Handle::drive)
    }

    pub(crate) fn with(runtime: RuntimeOptions) -> Self {
        Self::build(|_| Vec::new(), runtime, Handle::drive)
    }

    pub(crate) fn build(
        react: impl FnMut(&Input) -> Vec<Output> + Send + 'static,
        runtime: RuntimeOptions,
        drive: impl FnOnce(Box<dyn Endpoint + Send>, RuntimeOptions) -> Result<Handle, Error>,
    ) -> Self {
        let (sender, inputs) = channel();
        let orders = Arc::new(Mutex::new(VecDeque::new()));
        let puppet = Puppet {
            orders: Arc::clone(&orders),
            inputs: sender,
            react: Box::new(react),
            outputs: VecDeque::new(),
            deadline: None,
        };
        let handle = Arc::new(drive(Box::new(puppet), runtime).unwrap());
        Self { handle, inputs, orders }
    }

    /// Has the puppet perform outputs, in one turn.
    pub(crate) fn perform(&self, outputs: impl IntoIterator<Item = Output>) {
        self.orders.lock().unwrap().extend(outputs.into_iter().map(Order::Perform));
        self.handle.submit(vec![Command::Start]).unwrap();
    }

    /// Has the puppet ask for a time-out.
    pub(crate) fn wake_at(&self, at: Instant) {
        self.orders.lock().unwrap().push_back(Order::WakeAt(at));
        self.handle.submit(vec![Command::Start]).unwrap();
    }

    /// Waits for the next input that was fed.
    pub(crate) fn input(&self) -> Input {
        self.inputs.recv_timeout(PATIENCE).unwrap()
    }

    /// Returns the next input if there is one.
    pub(crate) fn input_now(&self) -> Option<Input> {
        self.inputs.try_recv().ok()
    }

    /// Begins to listen for HTTP and returns the address.
    pub(crate) fn listen(&self, limits: HttpLimits) -> String {
        let (address, proxies) = (String::from("127.0.0.1:0"), Networks::default());
        self.listen_at(ListenTarget::Http { address, limits, proxies, echoes_protocol: false })
    }

    /// Begins to listen and returns the address.
    pub(crate) fn listen_at(&self, target: ListenTarget) -> String {
        self.perform([Output::Listen { listen: LISTENER, target }]);
        match self.input() {
            Input::Server(ServerInput::Listening { address, .. }) => address,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until every earlier turn is over, so that counters stand still.
    pub(crate) fn rest(&self) {
        self.perform([Output::Event(Event::Session(SessionEvent::Notice {
            error: ErrorCode::Internal.into(),
        }))]);
        self.events();
    }

    /// Keeps the I/O thread busy: each event makes the application hand over another command.
    pub(crate) fn stir(&self) {
        let (handle, orders) = (Arc::downgrade(&self.handle), Arc::clone(&self.orders));
        self.handle.events().set_doorbell(move || {
            let Some(handle) = handle.upgrade() else { return };
            handle.events().drain(&mut String::new());
            let again = Output::Event(Event::Session(SessionEvent::Notice {
                error: ErrorCode::Internal.into(),
            }));
            orders.lock().unwrap().push_back(Order::Perform(again));
            // It may have been closed.
            let _ = handle.submit(vec![Command::Start]);
        });
        self.perform([Output::Event(Event::Session(SessionEvent::Notice {
            error: ErrorCode::Internal.into(),
        }))]);
    }

    /// Waits for at least one event.
    pub(crate) fn await_events(&self) {
        let (ring, rung) = channel();
        self.handle.events().set_doorbell(move || {
            let _ = ring.send(());
        });
        rung.recv_timeout(PATIENCE).unwrap();
    }

    /// Waits for at least one event and returns what one drain gives.
    pub(crate) fn events(&self) -> String {
        self.await_events();
        let mut text = String::new();
        self.handle.events().drain(&mut text);
        text
    }
}

/// A target to dial at `address`.
pub(crate) fn target(address: &str) -> DialTarget {
    DialTarget {
        address: DialAddress::WebSocket {
            url: format!("ws://{address}/path?q=1"),
            headers: Headers::new().with("x-test", "yes"),
            deflate: None,
        },
        timeout_ms: 5_000,
        limits: FRAME_LIMITS,
        pulses: &[],
    }
}

/// A hub rig and a worker rig with one open connection: `(hub, its id, worker, its id)`.
pub(crate) fn connected() -> (Rig, ConnId, Rig, ConnId) {
    let hub = admitting();
    let address = hub.listen(HTTP_LIMITS);
    let worker = Rig::new();
    let conn = ConnId(2);
    worker.perform([Output::Dial { conn, target: target(&address) }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { conn: ConnId(2) })));
    let Input::Server(ServerInput::Offered { conn: accepted, .. }) = hub.input() else {
        panic!("not offered")
    };
    (hub, accepted, worker, conn)
}

/// A rig that admits whoever asks.
pub(crate) fn admitting() -> Rig {
    Rig::reacting(|input| match input {
        Input::Server(ServerInput::Offered { conn, .. } | ServerInput::Accepted { conn, .. }) => {
            vec![Output::Admit { conn: *conn, limits: FRAME_LIMITS, pulses: &[], deflate: None }]
        }
        _ => Vec::new(),
    })
}
