//! Why TLS failed, in words that say what to do.

use std::io;

use rustls::CertificateError as Bad;

/// Says what is wrong with the other side, which was called `host`.
pub(super) fn failure(error: &io::Error, host: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(bad)) => certificate(bad, host),
        Some(rustls::Error::InvalidMessage(_)) => {
            String::from("the other side does not speak TLS on this port")
        }
        Some(_) | None if error.kind() == io::ErrorKind::UnexpectedEof => {
            String::from("the other side closed the connection during the handshake")
        }
        Some(_) | None => error.to_string(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library goes on to add rare kinds")]
fn certificate(bad: &Bad, host: &str) -> String {
    match bad {
        Bad::UnknownIssuer => String::from(
            "nobody whom we trust signed its certificate; name the authority in runtime.ca_file",
        ),
        Bad::BadSignature => String::from(
            "its certificate was not signed by the authority that it names; runtime.ca_file may \
             hold another one of that name",
        ),
        Bad::Expired | Bad::ExpiredContext { .. } => {
            String::from("its certificate has expired (or the clock here is ahead)")
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            String::from("its certificate is not valid yet (or the clock here is behind)")
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            format!("its certificate is not for the name {host}")
        }
        Bad::Revoked => String::from("its certificate was revoked"),
        bad if format!("{bad:?}").contains("CaUsedAsEndEntity") => String::from(
            "its certificate is an authority's (CA:TRUE) and cannot be a server's; with openssl req \
             -x509, add -addext basicConstraints=critical,CA:FALSE",
        ),
        bad => format!("its certificate is not valid: {bad}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bad: Bad) -> String {
        let error = io::Error::other(rustls::Error::InvalidCertificate(bad));
        failure(&error, "hub.example")
    }

    #[test]
    fn the_common_failures_say_what_to_do() {
        assert!(of(Bad::UnknownIssuer).contains("runtime.ca_file"));
        assert!(of(Bad::Expired).contains("expired"));
        assert!(of(Bad::NotValidYet).contains("not valid yet"));
        assert!(of(Bad::NotValidForName).contains("hub.example"));
        assert!(of(Bad::Revoked).contains("revoked"));
        assert!(of(Bad::BadEncoding).contains("not valid"));
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(failure(&eof, "hub.example").contains("closed the connection"));
    }
}
