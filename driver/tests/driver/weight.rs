//! What connections and requests cost. Measured on demand: the figures depend on the machine.
//!
//! `cargo test --release -p moorline-driver --test driver weight -- --ignored --nocapture`

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use moorline_driver::core::{ConnInput, ServerInput};
use moorline_driver::core::{Frame, HttpLimits, HttpResponse, Input, Output};

use crate::limits::upgrade;
use crate::rig::{FRAME_LIMITS, HTTP_LIMITS, Rig};

const CONNECTIONS: usize = 2_000;
const LIMITS: HttpLimits =
    HttpLimits { max_connections: 10_000, max_unadmitted_per_address: 10_000, ..HTTP_LIMITS };

#[test]
#[ignore = "measures"]
fn an_idle_connection_costs_less_than_2400_bytes() {
    let hub = crate::rig::admitting();
    let address = hub.listen(LIMITS);
    let warm: Vec<_> = (0..10).map(|_| greeted(&hub, &address)).collect();
    let before = resident();
    let crowd: Vec<_> = (0..CONNECTIONS).map(|_| greeted(&hub, &address)).collect();
    let each = (resident() - before) / CONNECTIONS;
    println!("{each} bytes for each of {} idle connections", crowd.len());
    assert!(each < 2_400, "{each}");
    drop(warm);
}

/// A connection that has exchanged a message each way, as a registered worker has.
fn greeted(hub: &Rig, address: &str) -> TcpStream {
    let mut client = upgrade(address);
    let Input::Server(ServerInput::Offered { conn, .. }) = hub.input() else { panic!() };
    let mut register = vec![0x81, 0x80 | 126, 1, 44, 0, 0, 0, 0];
    register.extend([b'r'; 300]);
    client.write_all(&register).unwrap();
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Received { .. })));
    hub.perform([Output::Send { conn, frame: Frame::Text("welcome".into()) }]);
    client.read_exact(&mut [0; 9]).unwrap();
    client
}

#[test]
#[ignore = "measures"]
fn an_echo_costs_microseconds() {
    for (clients, in_flight, size) in
        [(64, 1, 100), (16, 32, 100), (64, 1, 16_384), (16, 8, 16_384)]
    {
        let hub = Rig::reacting(|input| match input {
            Input::Server(ServerInput::Offered { conn, .. }) => {
                let (conn, limits) = (*conn, FRAME_LIMITS);
                vec![Output::Admit { conn, limits, pulses: &[], deflate: None }]
            }
            Input::Conn(ConnInput::Received { conn, frame }) => {
                vec![Output::Send { conn: *conn, frame: frame.clone() }]
            }
            _ => Vec::new(),
        });
        let address = hub.listen(LIMITS);
        let rounds = 3_200_000 / (clients * in_flight * (size / 64 + 16));
        let (cpu, done) = (io_thread_time(), std::sync::atomic::AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    echo(&address, in_flight, size, rounds);
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                });
            }
            while done.load(std::sync::atomic::Ordering::Relaxed) < clients {
                while hub.input_now().is_some() {}
                std::thread::yield_now();
            }
        });
        let each = (io_thread_time() - cpu).as_nanos() / (clients * in_flight * rounds) as u128;
        println!("{clients} x {in_flight} of {size} bytes: {each} ns of the I/O thread for each");
    }
}

/// Sends messages and waits until all have come back, so many times.
fn echo(address: &str, in_flight: usize, size: usize, rounds: usize) {
    let mut client = upgrade(address);
    let mut frame = vec![0x81];
    let head = match size {
        0..=125 => {
            frame.push(0x80 | size as u8);
            2
        }
        _ => {
            frame.extend([0x80 | 126, (size >> 8) as u8, size as u8]);
            4
        }
    };
    frame.extend([0; 4]);
    frame.resize(frame.len() + size, b'x');
    let (frames, mut back) = (frame.repeat(in_flight), vec![0; in_flight * (head + size)]);
    for _ in 0..rounds {
        client.write_all(&frames).unwrap();
        client.read_exact(&mut back).unwrap();
    }
}

#[test]
#[ignore = "measures"]
fn one_core_answers_20_000_requests_a_second() {
    const CLIENTS: usize = 16;
    const EACH: usize = 5_000;
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Asked { http, .. }) => vec![Output::HttpReply {
            http: *http,
            response: HttpResponse::json(200, r#"{"WorkItem":null}"#),
        }],
        Input::Server(ServerInput::Offered { conn, .. }) => {
            vec![Output::Admit { conn: *conn, limits: FRAME_LIMITS, pulses: &[], deflate: None }]
        }
        _ => Vec::new(),
    });
    let address = hub.listen(LIMITS);
    let (began, cpu) = (Instant::now(), io_thread_time());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| ask(&address, EACH));
        }
    });
    let (wall, cpu) = (began.elapsed(), io_thread_time() - cpu);
    let total = CLIENTS * EACH;
    let rate = total as f64 / cpu.as_secs_f64();
    println!("{total} requests: {wall:?}, {cpu:?} of the I/O thread: {rate:.0}/s of one core");
    println!("{:?}", hub.handle.counters());
    assert!(cfg!(debug_assertions) || rate > 20_000.0, "{rate}");
}

fn ask(address: &str, times: usize) {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    let request = "POST /Beacon/Work/Poll HTTP/1.1\r\nhost: h\r\n\
                   content-type: application/json\r\ncontent-length: 22\r\n\r\n\
                   {\"BeaconID\":\"bcn-1234\"}";
    let request = request.replacen("22", "23", 1);
    let mut buffer = [0; 4_096];
    for _ in 0..times {
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = 0;
        while !buffer[..answer].ends_with(b"{\"WorkItem\":null}") {
            answer += client.read(&mut buffer[answer..]).unwrap();
        }
    }
}

/// The process's resident memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// The processor time of all I/O threads of the process.
fn io_thread_time() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if std::fs::read_to_string(task.join("comm")).unwrap().trim_end() == "moorline-io" {
            let times = std::fs::read_to_string(task.join("schedstat")).unwrap();
            nanos += times.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(nanos)
}
