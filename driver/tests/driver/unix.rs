//! Streams over Unix sockets, and the files that they have.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use moorline_driver::core::{
    ConnId, ConnInput, DialAddress, Error, ErrorCode, Framing, Input, ListenTarget, Output,
    ServerInput, UnixPeer,
};

use crate::rig::{LISTENER, Rig, admitting};
use crate::streams::{STREAM_LIMITS, failure, received, send, target, text};

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        Self { _folder: folder, path }
    }

    fn path(&self) -> String {
        self.path.to_str().unwrap().to_owned()
    }

    fn to_listen(&self) -> ListenTarget {
        let framing = Framing::Lines;
        ListenTarget::Unix { path: self.path(), mode: 0o640, framing, limits: STREAM_LIMITS }
    }

    fn to_dial(&self, conn: ConnId) -> Output {
        let address = DialAddress::Unix { path: self.path(), framing: Framing::Lines };
        Output::Dial { conn, target: target(address) }
    }

    /// Tries to listen and returns why it failed.
    fn refused(&self) -> Error {
        let hub = Rig::new();
        hub.perform([Output::Listen { listen: LISTENER, target: self.to_listen() }]);
        match hub.input() {
            Input::Server(ServerInput::ListenFailed { error, .. }) => error,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_socket_has_its_permissions_and_tells_who_connects() {
    let (place, hub, worker) = (Place::new(), admitting(), Rig::new());
    let address = hub.listen_at(place.to_listen());
    assert_eq!(address, format!("unix:{}", place.path()));
    let file = fs::metadata(&place.path).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o640);
    worker.perform([place.to_dial(ConnId(2))]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
    let Input::Server(ServerInput::Accepted { conn, remote, credentials, .. }) = hub.input() else {
        panic!()
    };
    assert_eq!(remote, address);
    let UnixPeer { uid, gid, pid } = credentials.unwrap();
    assert_eq!((uid, gid), (file.uid(), file.gid()));
    if cfg!(target_os = "linux") {
        assert_eq!(pid, i32::try_from(std::process::id()).ok());
    }
    worker.perform([send(ConnId(2), text("there"))]);
    assert_eq!(received(&hub), (conn, text("there")));
    hub.perform([send(conn, text("and back"))]);
    assert_eq!(received(&worker).1, text("and back"));
}

#[test]
fn the_file_goes_when_listening_ends_and_connections_stay() {
    let (place, hub) = (Place::new(), admitting());
    hub.listen_at(place.to_listen());
    let mut client = UnixStream::connect(&place.path).unwrap();
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
    hub.perform([Output::Unlisten { listen: LISTENER }]);
    hub.rest();
    assert!(!place.path.exists());
    client.write_all(b"still here\n").unwrap();
    assert_eq!(received(&hub).1, text("still here"));
    hub.handle.close();
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn the_file_goes_with_the_handle() {
    let (place, hub) = (Place::new(), admitting());
    hub.listen_at(place.to_listen());
    assert!(place.path.exists());
    hub.handle.close();
    assert!(!place.path.exists());
}

#[test]
fn a_socket_that_nobody_answers_on_is_replaced() {
    let (place, hub) = (Place::new(), admitting());
    drop(UnixListener::bind(&place.path).unwrap());
    assert!(fs::metadata(&place.path).unwrap().file_type().is_socket());
    hub.listen_at(place.to_listen());
    UnixStream::connect(&place.path).unwrap();
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
    let names = fs::read_dir(place.path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 1, "nothing is left aside");
}

#[test]
fn a_socket_that_somebody_answers_on_stays() {
    let place = Place::new();
    let other = UnixListener::bind(&place.path).unwrap();
    let error = place.refused();
    assert_eq!(error.code(), ErrorCode::ListenFailed);
    assert!(error.message().contains(&place.path()), "{error}");
    drop(other.accept().unwrap());
    UnixStream::connect(&place.path).unwrap();
}

#[test]
fn a_file_that_is_no_socket_stays() {
    let place = Place::new();
    fs::write(&place.path, "precious").unwrap();
    assert_eq!(place.refused().code(), ErrorCode::ListenFailed);
    assert_eq!(fs::read(&place.path).unwrap(), b"precious");
}

#[test]
fn a_file_that_somebody_else_has_put_there_stays() {
    let (place, hub) = (Place::new(), admitting());
    hub.listen_at(place.to_listen());
    fs::remove_file(&place.path).unwrap();
    let other = UnixListener::bind(&place.path).unwrap();
    hub.handle.close();
    UnixStream::connect(&place.path).unwrap();
    drop(other);
}

#[test]
fn nobody_there_is_connect_failed() {
    let (place, worker) = (Place::new(), Rig::new());
    worker.perform([place.to_dial(ConnId(2))]);
    assert_eq!(failure(&worker), ErrorCode::ConnectFailed);
}
