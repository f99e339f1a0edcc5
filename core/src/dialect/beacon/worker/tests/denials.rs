//! What a worker makes of a control plane that does not let it in.

use super::*;

#[test]
fn a_hub_that_takes_registrations_later_is_tried_later() {
    let mut bench = Bench::worker("");
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    bench.text(conn);
    let cause = CloseCause::Remote { code: 1013, reason: "too many".into() };
    bench.input(Input::Conn(ConnInput::Closed { conn, cause }));
    let Event::Session(SessionEvent::Lost { reason, .. }) = bench.event() else { panic!() };
    assert!(reason.message().contains("too many"), "{reason}");
    bench.quiet();
}
