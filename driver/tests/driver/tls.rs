//! TLS for WebSocket and HTTP: trust, refusal, half a configuration.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use moorline_driver::Handle;
use moorline_driver::core::options::RuntimeOptions;
use moorline_driver::core::{
    CloseCause, ConnId, DialAddress, Error, ErrorCode, Frame, Framing, Headers, HttpId,
    HttpRequest, Input, Method, Output, Secret,
};
use moorline_driver::core::{ConnInput, HttpInput, ServerInput};
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{PrivateKeyInfoRef, SecretDocument};

use crate::rig::{FRAME_LIMITS, HTTP_LIMITS, LISTENER, Nothing, Rig, target};
use crate::streams::{stream, tcp};

/// A certificate for 127.0.0.1, its key, and the authority that signed it, as PEM files.
struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    fn new() -> Self {
        Self::for_name("127.0.0.1")
    }

    fn for_name(name: &str) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let folder = tempfile::tempdir().unwrap();
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        let write = |name, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        };
        write("ca.pem", root.pem());
        write("ca-key.pem", issuer.key().serialize_pem());
        write("cert.pem", own.pem());
        write("key.pem", key.serialize_pem());
        Self { folder }
    }

    /// Has the hub present what `openssl req -x509` makes.
    fn present_the_authority(&self) {
        for (from, to) in [("ca.pem", "cert.pem"), ("ca-key.pem", "key.pem")] {
            std::fs::copy(self.path(from), self.path(to)).unwrap();
        }
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = Path::new(self.folder.path()).join(name);
        path.to_str().unwrap().to_owned()
    }

    fn hub(&self) -> Rig {
        let mut runtime = RuntimeOptions::default();
        runtime.cert_file = self.path("cert.pem");
        runtime.key_file = self.path("key.pem");
        let react = |input: &Input| match input {
            Input::Server(
                ServerInput::Offered { conn, .. } | ServerInput::Accepted { conn, .. },
            ) => {
                vec![Output::Admit {
                    conn: *conn,
                    limits: FRAME_LIMITS,
                    pulses: &[],
                    deflate: None,
                }]
            }
            Input::Server(ServerInput::Asked { http, .. }) => vec![Output::HttpReply {
                http: *http,
                response: moorline_driver::core::HttpResponse::json(200, "{}"),
            }],
            _ => Vec::new(),
        };
        Rig::build(react, runtime, Handle::drive)
    }

    fn worker(&self) -> Rig {
        let mut runtime = RuntimeOptions::default();
        runtime.ca_file = self.path("ca.pem");
        Rig::with(runtime)
    }
}

#[test]
fn frames_and_calls_go_over_tls_with_an_own_authority() {
    let papers = Papers::new();
    let (hub, worker) = (papers.hub(), papers.worker());
    let address = hub.listen(HTTP_LIMITS);
    let conn = ConnId(2);
    let mut target = target(&address);
    target.address = DialAddress::WebSocket {
        url: format!("wss://{address}/"),
        headers: Headers::new(),
        deflate: None,
    };
    worker.perform([Output::Dial { conn, target }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
    assert!(matches!(hub.input(), Input::Server(ServerInput::Offered { .. })));
    worker.rest();
    let before = worker.handle.counters();
    worker
        .perform((0..100).map(|n| Output::Send { conn, frame: Frame::Text(n.to_string().into()) }));
    for n in 0..100 {
        let Input::Conn(ConnInput::Received { frame: Frame::Text(text), .. }) = hub.input() else {
            panic!()
        };
        assert_eq!(text, n.to_string());
    }
    worker.rest();
    assert_eq!(worker.handle.counters().writes - before.writes, 1);
    let request = HttpRequest {
        method: Method::Get,
        url: format!("https://{address}/"),
        headers: Headers::new(),
        body: bytes::Bytes::new(),
    };
    worker.perform([Output::HttpCall {
        http: HttpId(2),
        request,
        timeout_ms: 5_000,
        max_body: 1_000,
        streams: false,
    }]);
    let Input::Http(HttpInput::Replied { result, .. }) = worker.input() else { panic!() };
    assert_eq!(result.unwrap().status, 200);
}

#[test]
fn streams_go_over_tls_too() {
    let papers = Papers::new();
    let (hub, worker) = (papers.hub(), papers.worker());
    let address = hub.listen_at(tcp(Framing::Lines, true));
    let conn = ConnId(2);
    worker.perform([Output::Dial { conn, target: stream(&address, Framing::Lines, true) }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
    worker.rest();
    let before = worker.handle.counters();
    worker
        .perform((0..100).map(|n| Output::Send { conn, frame: Frame::Text(n.to_string().into()) }));
    for n in 0..100 {
        let Input::Conn(ConnInput::Received { frame: Frame::Text(text), .. }) = hub.input() else {
            panic!()
        };
        assert_eq!(text, n.to_string());
    }
    worker.rest();
    assert_eq!(worker.handle.counters().writes - before.writes, 1);
    worker.perform([Output::Close { conn, code: 1000, reason: String::new() }]);
    let Input::Conn(ConnInput::Closed { cause, .. }) = hub.input() else { panic!() };
    assert_eq!(cause, CloseCause::Remote { code: 1005, reason: String::new() });
}

#[test]
fn a_listener_for_tls_needs_a_certificate() {
    let hub = Rig::new();
    let target = tcp(Framing::Lines, true);
    hub.perform([Output::Listen { listen: LISTENER, target }]);
    let Input::Server(ServerInput::ListenFailed { error, .. }) = hub.input() else { panic!() };
    assert!(error.message().contains("cert_file"), "{error}");
}

/// Dials a hub that is not trusted, and returns why not.
fn refused(hub: &Rig, worker: &Rig) -> Error {
    let address = hub.listen(HTTP_LIMITS);
    let mut target = target(&address);
    target.address = DialAddress::WebSocket {
        url: format!("wss://{address}/"),
        headers: Headers::new(),
        deflate: None,
    };
    worker.perform([Output::Dial { conn: ConnId(2), target }]);
    let Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) = worker.input()
    else {
        panic!()
    };
    error
}

#[test]
fn an_unknown_authority_is_tls_failed() {
    let papers = Papers::new();
    let others = Papers::new();
    let error = refused(&papers.hub(), &others.worker());
    assert_eq!(error.code(), ErrorCode::TlsFailed, "{error}");
    assert!(error.message().contains("127.0.0.1"), "{error}");
    assert!(error.message().contains("runtime.ca_file"), "{error}");
}

#[test]
fn an_authoritys_own_certificate_is_refused_with_what_to_do() {
    let papers = Papers::new();
    papers.present_the_authority();
    let error = refused(&papers.hub(), &papers.worker());
    assert!(error.message().contains("CA:FALSE"), "{error}");
}

#[test]
fn half_a_configuration_does_not_start() {
    let papers = Papers::new();
    let mut runtime = RuntimeOptions::default();
    runtime.cert_file = papers.path("cert.pem");
    assert_refused(runtime, "needs runtime.key_file");
    let mut runtime = RuntimeOptions::default();
    runtime.ca_file = papers.path("nowhere.pem");
    assert_refused(runtime, "nowhere.pem");
    let mut runtime = RuntimeOptions::default();
    runtime.danger_accept_invalid_certs = true;
    assert_refused(runtime, "MOORLINE_DANGER_ACCEPT_INVALID_CERTS=1");
    let mut runtime = RuntimeOptions::default();
    (runtime.cert_file, runtime.key_file) = (papers.path("ca.pem"), papers.path("key.pem"));
    assert_refused(runtime, "");
}

#[test]
fn a_key_that_everybody_may_read_is_refused() {
    for mode in [0o604, 0o602, 0o644] {
        let papers = Papers::new();
        let mut runtime = RuntimeOptions::default();
        (runtime.cert_file, runtime.key_file) = (papers.path("cert.pem"), papers.path("key.pem"));
        std::fs::set_permissions(papers.path("key.pem"), Permissions::from_mode(mode)).unwrap();
        assert_refused(runtime, "open to every user of the machine; chmod 600");
    }
}

fn assert_refused(runtime: RuntimeOptions, why: &str) {
    let error = Handle::drive(Box::new(Nothing), runtime).unwrap_err();
    assert!(matches!(error.code(), ErrorCode::ConfigInvalid | ErrorCode::TlsFailed), "{error}");
    assert!(error.message().contains(why), "{error}");
}

#[test]
fn an_encrypted_key_is_decrypted_or_refused_with_what_to_do() {
    let papers = Papers::new();
    let pem = std::fs::read_to_string(papers.path("key.pem")).unwrap();
    let (_, plain) = SecretDocument::from_pem(&pem).unwrap();
    let parameters =
        Parameters::generate_pbkdf2_sha256_aes256cbc(1_000, &[7; 16], [9; 16]).unwrap();
    let key = PrivateKeyInfoRef::try_from(plain.as_bytes()).unwrap();
    let encrypted = key.encrypt_with_params(parameters, "sesame").unwrap();
    let encrypted = encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap();
    std::fs::write(papers.path("key.pem"), encrypted.as_bytes()).unwrap();
    let runtime = |passphrase: &str| {
        let mut runtime = RuntimeOptions::default();
        (runtime.cert_file, runtime.key_file) = (papers.path("cert.pem"), papers.path("key.pem"));
        runtime.key_passphrase = Secret::new(passphrase);
        runtime
    };
    assert_refused(runtime(""), "is encrypted: give its passphrase in runtime.key_passphrase");
    assert_refused(runtime("simsalabim"), "runtime.key_passphrase may be wrong");
    Handle::drive(Box::new(Nothing), runtime("sesame")).unwrap();
    let cert = std::fs::read_to_string(papers.path("cert.pem")).unwrap();
    for file in [cert.clone() + &encrypted, encrypted.to_string() + &cert] {
        std::fs::write(papers.path("key.pem"), file).unwrap();
        Handle::drive(Box::new(Nothing), runtime("sesame")).unwrap();
    }
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\n\
               AAAA\n-----END RSA PRIVATE KEY-----\n";
    std::fs::write(papers.path("key.pem"), old).unwrap();
    assert_refused(runtime("sesame"), "openssl pkcs8 -topk8");
}

#[test]
fn a_server_is_asked_for_the_name_that_is_given() {
    let papers = Papers::for_name("provider.example");
    let error = refused(&papers.hub(), &papers.worker());
    assert!(error.message().contains("not for the name 127.0.0.1"), "{error}");
    let mut runtime = RuntimeOptions::default();
    (runtime.ca_file, runtime.server_name) = (papers.path("ca.pem"), "provider.example".to_owned());
    let worker = Rig::with(runtime);
    let hub = papers.hub();
    let address = hub.listen(HTTP_LIMITS);
    let mut target = target(&address);
    target.address = DialAddress::WebSocket {
        url: format!("wss://{address}/"),
        headers: Headers::new(),
        deflate: None,
    };
    worker.perform([Output::Dial { conn: ConnId(2), target }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
}
