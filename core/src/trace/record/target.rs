//! Where machines dial and listen, as JSON.

use super::add_headers;
use crate::base::json::object::Object;
use crate::net::split::Framing;
use crate::net::target::{Deflate, DialTarget, FrameLimits, ListenTarget, StreamLimits};
use crate::trace::redact::Redactor;

pub(super) fn add_dial(record: Object, to: &DialTarget, redactor: &mut Redactor) -> Object {
    let record = record
        .number("millis", to.timeout_ms)
        .text("url", &redactor.url(&to.address.url()))
        .given(to.address.headers(), |record, headers| add_headers(record, headers, redactor));
    add_frame_limits(record, &to.limits)
        .given(to.address.framing(), |record, framing| record.text("framing", framing.as_str()))
        .given(to.address.deflate(), add_deflate)
}

pub(super) fn add_listen(record: Object, target: &ListenTarget) -> Object {
    match target {
        ListenTarget::Http { address, limits, proxies, echoes_protocol } => {
            let numbers = (
                limits.max_head,
                limits.max_headers,
                limits.max_body,
                limits.request_timeout_ms,
                limits.max_connections,
                limits.max_unadmitted_per_address,
            );
            let proxies = proxies.to_string();
            record
                .text("address", address)
                .value("limits", &numbers)
                .when(!proxies.is_empty(), |record| record.text("proxies", &proxies))
                .when(*echoes_protocol, |record| record.flag("echoes_protocol", true))
        }
        ListenTarget::Tcp { address, tls, framing, limits } => {
            let address = format!("{}://{address}", if *tls { "tls" } else { "tcp" });
            add_stream(record.text("address", &address), *framing, limits)
        }
        ListenTarget::Unix { mode, framing, limits, .. } => {
            let record = record.text("address", &target.address());
            add_stream(record, *framing, limits).number("mode", *mode)
        }
    }
}

pub(super) fn add_frame_limits(record: Object, limits: &FrameLimits) -> Object {
    let FrameLimits { max_message, max_fragments, max_send_queue } = limits;
    record.value("limits", &(max_message, max_fragments, max_send_queue))
}

pub(super) fn add_deflate(record: Object, deflate: &Deflate) -> Object {
    record.value(
        "deflate",
        &(
            deflate.server_max_window_bits,
            deflate.client_max_window_bits,
            deflate.server_no_context_takeover,
            deflate.client_no_context_takeover,
            deflate.threshold,
        ),
    )
}

fn add_stream(record: Object, framing: Framing, limits: &StreamLimits) -> Object {
    let StreamLimits { max_connections, max_unadmitted_per_address, handshake_timeout_ms } = limits;
    record
        .value("limits", &(max_connections, max_unadmitted_per_address, handshake_timeout_ms))
        .text("framing", framing.as_str())
}

#[cfg(test)]
mod tests {
    use crate::base::ids::{ConnId, ListenId};
    use crate::machine::{Input, Output, ServerInput};
    use crate::net::split::Framing;
    use crate::net::target::{
        Deflate, DialAddress, DialTarget, FrameLimits, HttpLimits, ListenTarget, StreamLimits,
        UnixPeer,
    };
    use crate::net::{Headers, Networks};
    use crate::trace::record;
    use crate::trace::redact::Redactor;

    const LIMITS: StreamLimits =
        StreamLimits { max_connections: 1, max_unadmitted_per_address: 2, handshake_timeout_ms: 3 };

    #[test]
    fn a_web_socket_is_dialed_as_in_earlier_recordings() {
        let headers = Headers::new().with("x-a", "b");
        let address = |deflate| DialAddress::WebSocket {
            url: "ws://h/p".into(),
            headers: headers.clone(),
            deflate,
        };
        let wanted = r#"{"kind":"dial","conn":2,"millis":9,"url":"ws://h/p","headers":[["x-a","b"]],"limits":[1,2,3]}"#;
        assert_eq!(written(&dial(address(None))), wanted);
        let deflate = Deflate {
            server_max_window_bits: 9,
            client_max_window_bits: 15,
            server_no_context_takeover: false,
            client_no_context_takeover: true,
            threshold: Some(1_024),
        };
        let wanted = wanted.replace('}', r#","deflate":[9,15,false,true,1024]}"#);
        assert_eq!(written(&dial(address(Some(deflate)))), wanted);
    }

    #[test]
    fn http_is_listened_for_as_in_earlier_recordings() {
        let limits = HttpLimits {
            max_head: 1,
            max_headers: 2,
            max_body: 3,
            request_timeout_ms: 4,
            max_connections: 5,
            max_unadmitted_per_address: 6,
            max_held: 7,
        };
        let target = ListenTarget::Http {
            address: "127.0.0.1:0".into(),
            limits,
            proxies: Networks::default(),
            echoes_protocol: false,
        };
        let wanted =
            r#"{"kind":"listen","listen":4,"address":"127.0.0.1:0","limits":[1,2,3,4,5,6]}"#;
        assert_eq!(listen(target), wanted);
    }

    #[test]
    fn streams_name_their_framing() {
        let address =
            DialAddress::Tcp { host: "h".into(), port: 7, tls: false, framing: Framing::Prefixed };
        assert_eq!(
            written(&dial(address)),
            r#"{"kind":"dial","conn":2,"millis":9,"url":"tcp://h:7","limits":[1,2,3],"framing":"prefixed"}"#
        );
        let (framing, limits) = (Framing::Json, LIMITS);
        let address = String::from("[::]:7");
        assert_eq!(
            listen(ListenTarget::Tcp { address, tls: true, framing, limits }),
            r#"{"kind":"listen","listen":4,"address":"tls://[::]:7","limits":[1,2,3],"framing":"json"}"#
        );
        let path = String::from("/run/x");
        assert_eq!(
            listen(ListenTarget::Unix { path, mode: 0o600, framing: Framing::Lines, limits }),
            r#"{"kind":"listen","listen":4,"address":"unix:/run/x","limits":[1,2,3],"framing":"lines","mode":384}"#
        );
    }

    #[test]
    fn a_client_that_was_accepted_is_read_back() {
        for (pid, wanted) in [(Some(7), "[5,6,7]"), (None, "[5,6,null]")] {
            let input = Input::Server(ServerInput::Accepted {
                conn: ConnId(1),
                listen: ListenId(4),
                remote: "unix:/run/x".into(),
                credentials: Some(UnixPeer { uid: 5, gid: 6, pid }),
            });
            let text = record::input(&input, &mut Redactor::default());
            let wanted = format!(
                r#"{{"kind":"accepted","conn":1,"listen":4,"address":"unix:/run/x","credentials":{wanted}}}"#
            );
            assert_eq!(text, wanted);
            let read = record::read_input(serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{input:?}"));
        }
    }

    fn dial(address: DialAddress) -> Output {
        let limits = FrameLimits { max_message: 1, max_fragments: 2, max_send_queue: 3 };
        let target = DialTarget { address, timeout_ms: 9, limits, pulses: &[] };
        Output::Dial { conn: ConnId(2), target }
    }

    fn listen(target: ListenTarget) -> String {
        written(&Output::Listen { listen: ListenId(4), target })
    }

    fn written(output: &Output) -> String {
        record::output(output, &mut Redactor::default())
    }
}
