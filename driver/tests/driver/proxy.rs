//! Ways through proxies: CONNECT with a login, SOCKS5, refusal, absence.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use moorline_driver::core::options::RuntimeOptions;
use moorline_driver::core::{CloseCause, ConnId, Error, ErrorCode, Frame, Input, Output, Secret};
use moorline_driver::core::{ConnInput, ServerInput};

use crate::rig::{HTTP_LIMITS, Rig, admitting, target};

fn behind(proxy: &str) -> Rig {
    let mut runtime = RuntimeOptions::default();
    runtime.proxy = Secret::new(proxy);
    Rig::with(runtime)
}

/// Dials a hub by way of a proxy and sends one frame.
fn carry(proxy: &str) -> Result<(), Error> {
    let hub = admitting();
    let address = hub.listen(HTTP_LIMITS);
    let worker = behind(proxy);
    let conn = ConnId(2);
    worker.perform([Output::Dial { conn, target: target(&address) }]);
    match worker.input() {
        Input::Conn(ConnInput::Opened { .. }) => {}
        Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) => {
            return Err(error);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(hub.input(), Input::Server(ServerInput::Offered { .. })));
    worker.perform([Output::Send { conn, frame: Frame::Text("through".into()) }]);
    let Input::Conn(ConnInput::Received { frame: Frame::Text(text), .. }) = hub.input() else {
        panic!()
    };
    assert_eq!(text, "through");
    Ok(())
}

#[test]
fn an_http_proxy_is_asked_for_a_tunnel_with_the_login() {
    // Every status of success with a body opens the tunnel.
    for status in ["200 Connection established", "299 Through"] {
        // "us:er:p@ss" in base64.
        let place = http_proxy(status, "Basic dXM6ZXI6cEBzcw==");
        carry(&format!("http://us%3Aer:p%40ss@{place}")).unwrap();
    }
}

#[test]
fn an_http_proxy_is_given_a_token_without_a_user() {
    // ":token" in base64.
    let place = http_proxy("200 OK", "Basic OnRva2Vu");
    carry(&format!("http://:token@{place}")).unwrap();
}

/// A proxy for one client that demands a login and answers with `status`.
fn http_proxy(status: &'static str, login: &'static str) -> String {
    proxy(move |client| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains(&format!("proxy-authorization: {login}\r\n")), "{head}");
        let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
        client.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).unwrap();
        target
    })
}

#[test]
fn a_socks_proxy_is_told_the_target() {
    let place = proxy(|client| {
        let mut greeting = [0; 3];
        client.read_exact(&mut greeting).unwrap();
        client.write_all(&[5, 0]).unwrap();
        let mut request = [0; 10];
        client.read_exact(&mut request).unwrap();
        let [5, 1, 0, 1, a, b, c, d, high, low] = request else { panic!("{request:?}") };
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        format!("{a}.{b}.{c}.{d}:{}", u16::from_be_bytes([high, low]))
    });
    carry(&format!("socks5://{place}")).unwrap();
}

#[test]
fn a_proxy_that_refuses_is_proxy_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        assert_ne!(client.read(&mut [0; 1_024]).unwrap(), 0);
        client.write_all(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let error = carry(&format!("http://{place}")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProxyFailed);
    assert!(error.message().contains("407"), "{error}");
}

#[test]
fn a_proxy_that_is_not_there_is_proxy_failed() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = carry(&format!("http://{free}")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProxyFailed);
    assert!(error.message().contains("out of reach"), "{error}");
}

/// A proxy for one client: `negotiate` returns where the client wants to go.
fn proxy(negotiate: impl FnOnce(&mut TcpStream) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let target = negotiate(&mut client);
        let mut server = TcpStream::connect(target).unwrap();
        let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
        let _ = std::io::copy(&mut server, &mut client);
    });
    place
}
