//! Where machines dial and listen, as JSON.

use super::{Record, redacted};
use crate::net::split::Framing;
use crate::net::target::{DialTarget, FrameLimits, HttpLimits, ListenTarget, StreamLimits};
use crate::trace::redact::Redactor;

impl Record {
    pub(super) fn dial(self, target: &DialTarget, redactor: &mut Redactor) -> Self {
        let headers = target.address.headers().map(|headers| redacted(headers, redactor));
        Self {
            url: Some(target.address.url().into_owned()),
            headers: headers.unwrap_or_default(),
            millis: Some(target.timeout_ms),
            limits: frame_limits(&target.limits),
            framing: target.address.framing().map(name),
            ..self
        }
    }

    pub(super) fn listen(self, target: &ListenTarget) -> Self {
        let record = Self { address: Some(target.address().into_owned()), ..self };
        match target {
            ListenTarget::Http { limits, .. } => Self { limits: http_limits(limits), ..record },
            ListenTarget::Tcp { address, tls, framing, limits } => Self {
                address: Some(format!("{}://{address}", if *tls { "tls" } else { "tcp" })),
                framing: Some(name(*framing)),
                limits: stream_limits(limits),
                ..record
            },
            ListenTarget::Unix { mode, framing, limits, .. } => Self {
                mode: Some(*mode),
                framing: Some(name(*framing)),
                limits: stream_limits(limits),
                ..record
            },
        }
    }
}

pub(super) fn frame_limits(limits: &FrameLimits) -> Vec<u64> {
    [limits.max_message, limits.max_fragments, limits.max_send_queue]
        .into_iter()
        .map(|limit| limit as u64)
        .collect()
}

fn http_limits(limits: &HttpLimits) -> Vec<u64> {
    vec![
        limits.max_head as u64,
        limits.max_headers as u64,
        limits.max_body as u64,
        limits.request_timeout_ms,
        limits.max_connections as u64,
        limits.max_unadmitted_per_address as u64,
    ]
}

fn stream_limits(limits: &StreamLimits) -> Vec<u64> {
    vec![
        limits.max_connections as u64,
        limits.max_unadmitted_per_address as u64,
        limits.handshake_timeout_ms,
    ]
}

fn name(framing: Framing) -> String {
    framing.as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use crate::base::ids::{ConnId, ListenId};
    use crate::machine::{Input, Output, ServerInput};
    use crate::net::Headers;
    use crate::net::split::Framing;
    use crate::net::target::{
        DialAddress, DialTarget, FrameLimits, HttpLimits, ListenTarget, StreamLimits, UnixPeer,
    };
    use crate::trace::record;
    use crate::trace::redact::Redactor;

    const LIMITS: StreamLimits =
        StreamLimits { max_connections: 1, max_unadmitted_per_address: 2, handshake_timeout_ms: 3 };

    #[test]
    fn a_web_socket_is_dialed_as_in_earlier_recordings() {
        let headers = Headers::new().with("x-a", "b");
        let target = dial(DialAddress::WebSocket { url: "ws://h/p".into(), headers });
        let wanted = r#"{"kind":"dial","conn":2,"millis":9,"url":"ws://h/p","headers":[["x-a","b"]],"limits":[1,2,3]}"#;
        assert_eq!(written(&target), wanted);
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
        };
        let target = ListenTarget::Http { address: "127.0.0.1:0".into(), limits };
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
