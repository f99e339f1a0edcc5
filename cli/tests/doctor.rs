//! What is in the way is named, with what helps, and nothing of it is a secret.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use support::{Finished, Folder, Running, finish, moorline, start};

const SECRET: &str = "hunter2-hunter2";

/// Answers every request as `answer` says, by what the request is; without an answer it stays silent.
fn serve(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut silent: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0)
            {
                head.push(byte[0]);
            }
            match answer(&String::from_utf8_lossy(&head)) {
                Some(text) => drop(stream.write_all(text.as_bytes())),
                None => silent.push(stream),
            }
        }
    });
    address
}

fn status(line: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {line}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}

fn hub(more: &[&str]) -> (Running, String) {
    let mut hub = start(&mut moorline(&[&["hub", "--listen", "127.0.0.1:0"], more].concat()));
    let line = hub.line_with("listening on ");
    let url = line.rsplit(' ').next().unwrap().to_owned();
    (hub, url)
}

/// A certificate for `name` and the authority that signed it.
fn papers(folder: &Folder, name: &str) -> [String; 3] {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    [("ca", root.pem()), ("cert", own.pem()), ("key", key.serialize_pem())]
        .map(|(kind, text)| secret(folder, &format!("{name}-{kind}.pem"), &text))
}

/// Writes a file that only its owner reads.
fn secret(folder: &Folder, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn doctor(arguments: &[&str], proxy: &str) -> Finished {
    let mut command = moorline(&[&["doctor", "--timeout", "2s"], arguments].concat());
    command.env("MOORLINE_RUNTIME_PROXY", if proxy.is_empty() { "none" } else { proxy });
    finish(&mut command)
}

/// The hop that failed and the fix.
fn diagnosis(end: &Finished) -> (&str, &str) {
    let failed = end.out.lines().find_map(|line| line.strip_prefix("FAIL  "));
    let hop = failed.and_then(|rest| rest.split_whitespace().next()).unwrap_or("none");
    (hop, end.err.lines().last().unwrap_or_default().trim())
}

#[test]
fn each_fault_is_named_rightly() {
    let folder = Folder::new();
    let wrong = secret(&folder, "wrong", SECRET);
    let right = secret(&folder, "right", "join-me");
    let config = "access = \"secured\"\njoin_secret = \"join-me\"\n[[users]]\nname = \"ada\"\npassword = \"pw\"\n";
    let config = secret(&folder, "hub.toml", config);
    let (_secured, secured) = hub(&["--config", &config]);
    let (_open, open) = hub(&[]);
    let with = |[_, cert, key]: &[String; 3]| {
        hub(&[
            "--set",
            &format!("runtime.cert_file={cert}"),
            "--set",
            &format!("runtime.key_file={key}"),
        ])
    };
    let good = papers(&folder, "127.0.0.1");
    let other = papers(&folder, "hub.example");
    let ((_tls, tls), (_named, named)) = (with(&good), with(&other));
    let trust = |papers: &[String; 3]| format!("runtime.ca_file={}", papers[0]);
    let (trust_good, trust_other) = (trust(&good), trust(&other));

    let not_a_hub = format!("http://{}", serve(|_| Some(status("404 Not Found", "{}"))));
    let silent = format!("http://{}", serve(|_| None));
    let closing = format!("http://{}", serve(|_| Some(String::new())));
    let no_upgrades = serve(|head| {
        let is_upgrade = head.to_ascii_lowercase().contains("upgrade: websocket");
        Some(if is_upgrade {
            status("400 Bad Request", "")
        } else {
            status("200 OK", "{\"LoggedIn\":false}")
        })
    });
    let no_upgrades = format!("http://{no_upgrades}");
    let asks = serve(|_| Some(status("407 Proxy Authentication Required", "")));
    let asks = format!("http://me:{SECRET}@{asks}");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (gone_url, gone_proxy) = (format!("http://{gone}"), format!("http://me:{SECRET}@{gone}"));
    let no_tls = open.replace("http:", "https:");
    let no_https = tls.replace("https:", "http:");

    let join = ["--join-secret-file", right.as_str()];
    let login = ["--user", "ada", "--password-file", wrong.as_str()];
    for (fault, arguments, proxy, hop, fix) in [
        ("no such name", vec!["http://nobody.invalid:1"], "", "dns", "name server"),
        ("nobody listens", vec![&*gone_url], "", "tcp", "Start the control plane"),
        ("the proxy is away", vec![&*open], &*gone_proxy, "proxy", "HTTP_PROXY"),
        ("the proxy refuses", vec![&*open], &*asks, "proxy", "NO_PROXY"),
        ("no TLS there", vec![&*no_tls], "", "tls", "Use http://"),
        ("a strange authority", vec![&*tls], "", "tls", "ca_file"),
        (
            "another's certificate",
            vec![&*named, "--set", &*trust_other],
            "",
            "tls",
            "valid for this name",
        ),
        ("TLS without https", vec![&*no_https], "", "authenticate", "Use https://"),
        ("another server", vec![&*not_a_hub], "", "authenticate", "is a hub"),
        ("a silent server", vec![&*silent], "", "authenticate", "is a hub"),
        ("a server that hangs up", vec![&*closing], "", "authenticate", "is a hub"),
        (
            "a wrong password",
            [&[&*secured], &login[..], &join[..]].concat(),
            "",
            "authenticate",
            "--password-file",
        ),
        ("no upgrades", vec![&*no_upgrades], "", "upgrade", "reverse proxy"),
        (
            "a wrong join secret",
            vec![&*secured, "--join-secret-file", &*wrong],
            "",
            "register",
            "join secret",
        ),
    ] {
        let end = doctor(&arguments, proxy);
        let (found, helps) = diagnosis(&end);
        assert_eq!(found, hop, "{fault}: {end:?}");
        assert!(helps.contains(fix), "{fault}: {end:?}");
        assert_ne!(end.code, Some(0), "{fault}");
        assert!(!format!("{end:?}").contains(SECRET), "{fault}: {end:?}");
    }
    for arguments in
        [vec![&*open], vec![&*tls, "--set", &*trust_good], [&[&*secured], &join[..]].concat()]
    {
        let end = doctor(&arguments, "");
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.out.contains("ok    register      as bcn-doctor-"), "{end:?}");
    }
    // As the worker of this file does: without a user's name it logs in by its own.
    let (worker, password) =
        (folder.write("worker.toml", "name = \"ada\"\n"), secret(&folder, "password", "pw"));
    let as_worker = [&*secured, "--config", &worker, "--password-file", &password];
    let end = doctor(&[&as_worker[..], &join[..]].concat(), "");
    assert_eq!(end.code, Some(0), "{end:?}");
    let userinfo = open.replace("http://", &format!("http://me:{SECRET}@"));
    assert!(!format!("{:?}", doctor(&[&userinfo], "")).contains(SECRET));
    assert_eq!(doctor(&["ftp://hub.example"], "").code, Some(2));
}
