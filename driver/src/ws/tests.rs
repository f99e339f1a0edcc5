use std::sync::Arc;
use std::task::Wake;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;

const LIMITS: FrameLimits =
    FrameLimits { max_message: 4_096, max_fragments: 4, max_send_queue: usize::MAX };
/// A masked ping without a payload.
const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];

struct Ignored;

impl Wake for Ignored {
    fn wake(self: Arc<Self>) {}
}

fn pair(role: Role) -> (Ws, UnixStream, Pool) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let io = Io::unix(ours, Arc::default());
    let ws = Ws::new(io, Bytes::new(), role, None, LIMITS, Waker::from(Arc::new(Ignored)));
    (ws, theirs, Pool::new().expect("random bytes"))
}

/// Reads until there is something to tell.
async fn receive(ws: &mut Ws, pool: &mut Pool) -> Step {
    loop {
        match ws.receive(pool) {
            Step::Pending => tokio::task::yield_now().await,
            step @ (Step::Frame(_) | Step::Over(_)) => return step,
        }
    }
}

#[tokio::test]
async fn an_idle_connection_holds_nothing() {
    let (mut ws, mut theirs, mut pool) = pair(Role::Server);
    let mut frame = vec![0x82, 0x80 | 126, 4, 0, 0, 0, 0, 0];
    frame.resize(8 + 1_024, 7);
    // Three messages, one of them in two parts, and the beginning of a head.
    let (begin, rest) = frame.split_at(500);
    theirs.write_all(&[&frame[..], &frame, begin].concat()).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(receive(&mut ws, &mut pool).await, Step::Frame(Frame::Binary(_))));
    }
    assert!(matches!(ws.receive(&mut pool), Step::Pending));
    theirs.write_all(&[rest, &[0x82, 0x80]].concat()).await.unwrap();
    assert!(matches!(receive(&mut ws, &mut pool).await, Step::Frame(Frame::Binary(_))));
    assert!(matches!(ws.receive(&mut pool), Step::Pending));
    assert!((ws.rest.len(), ws.rest.capacity()) <= (2, 16), "{}", ws.rest.capacity());
    ws.send(Frame::Binary(vec![1; 100].into()), Packing::Usual, &mut pool).unwrap();
    ws.send(Frame::Binary(vec![1; 4_000].into()), Packing::Usual, &mut pool).unwrap();
    assert!(matches!(ws.flush(), Flushed::All));
    assert_eq!((ws.decoder.held(), ws.out.len(), ws.out.held()), (0, 0, 0));
    assert!(size_of::<Ws>() <= 400, "{}", size_of::<Ws>());
}

#[tokio::test]
async fn a_message_holds_no_more_than_itself() {
    let (mut ws, mut theirs, mut pool) = pair(Role::Client);
    let small = [0x82, 3, 1, 2, 3];
    theirs.write_all(&[&small[..], &[0x82, 126, 8, 0], &[0; 2_048]].concat()).await.unwrap();
    let Step::Frame(Frame::Binary(first)) = receive(&mut ws, &mut pool).await else { panic!() };
    let Step::Frame(Frame::Binary(second)) = receive(&mut ws, &mut pool).await else { panic!() };
    for (bytes, length) in [(first, 3), (second, 2_048)] {
        let own = bytes.try_into_mut().unwrap();
        assert_eq!((own.len(), own.capacity()), (length, length));
    }
}

#[tokio::test]
async fn pongs_wait_with_everything_else_and_count() {
    let (mut ws, mut theirs, mut pool) = pair(Role::Server);
    ws.send(Frame::Binary(vec![0; 4_000_000].into()), Packing::Usual, &mut pool).unwrap();
    assert!(matches!(ws.flush(), Flushed::Pending));
    let waiting = ws.out.len();
    ws.set_limits(FrameLimits { max_send_queue: waiting, ..LIMITS });
    theirs.write_all(&PING.repeat(2)).await.unwrap();
    assert!(matches!(receive(&mut ws, &mut pool).await, Step::Frame(Frame::Ping(_))));
    assert_eq!(ws.out.len(), waiting + 2);
    let Step::Over(CloseCause::Failed(error)) = receive(&mut ws, &mut pool).await else { panic!() };
    assert_eq!(error.code(), ErrorCode::Overloaded);
}

#[tokio::test]
async fn nothing_is_said_behind_a_close_frame() {
    let (mut ws, mut theirs, mut pool) = pair(Role::Server);
    ws.close(4_000, "enough", &mut pool);
    ws.close(1_000, "", &mut pool);
    ws.send(Frame::Text("late".into()), Packing::Usual, &mut pool).unwrap();
    theirs.write_all(&PING).await.unwrap();
    assert!(matches!(receive(&mut ws, &mut pool).await, Step::Frame(Frame::Ping(_))));
    assert!(matches!(ws.flush(), Flushed::All));
    drop(ws);
    let mut said = Vec::new();
    theirs.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"\x88\x08\x0f\xa0enough");
}

#[tokio::test]
async fn what_a_client_sends_is_masked_by_keys_that_differ() {
    let (mut ws, mut theirs, mut pool) = pair(Role::Client);
    for length in [3, 2_000] {
        ws.send(Frame::Binary(vec![b'x'; length].into()), Packing::Usual, &mut pool).unwrap();
    }
    assert!(matches!(ws.flush(), Flushed::All));
    drop(ws);
    let mut said = Vec::new();
    theirs.read_to_end(&mut said).await.unwrap();
    let (short, long) = said.split_at(2 + 4 + 3);
    let keys = [&short[2..6], &long[4..8]];
    assert_ne!(keys[0], keys[1]);
    for (payload, key) in [(&short[6..], keys[0]), (&long[8..], keys[1])] {
        assert!(payload.iter().zip(key.iter().cycle()).all(|(byte, key)| byte ^ key == b'x'));
    }
}
