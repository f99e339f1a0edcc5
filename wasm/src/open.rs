//! What a browser cannot do is refused when a role is opened.

use moorline_core::entropy::Seed;
use moorline_core::options::{ConfigError, RuntimeOptions};
use moorline_core::{Error, ErrorCode, Opened};

/// Opens a role; see [`moorline_core::open()`].
pub(crate) fn open(
    dialect: &str,
    role: &str,
    options: &str,
    host: &str,
    seed: &[u8],
) -> Result<Opened, Error> {
    let seed = Seed::try_from(seed)
        .map_err(|_| Error::new(ErrorCode::ArgumentInvalid, "a seed has 32 bytes"))?;
    // A page has no process; its seed tells it from others.
    let options = &moorline_core::complete(role, options, host, 0, &seed);
    let opened = moorline_core::open(dialect, role, options, host, seed)?;
    check(&opened.runtime)?;
    Ok(opened)
}

fn check(runtime: &RuntimeOptions) -> Result<(), Error> {
    let mut problems = ConfigError::default();
    let files = [
        ("runtime.store_path", &runtime.store_path),
        ("runtime.ca_file", &runtime.ca_file),
        ("runtime.cert_file", &runtime.cert_file),
        ("runtime.key_file", &runtime.key_file),
        ("runtime.trace_file", &runtime.trace_file),
    ];
    let files = files.map(|(path, value)| (path, value, "a browser has no files"));
    let others = [
        ("runtime.health_listen", &runtime.health_listen, "a browser listens nowhere"),
        ("runtime.server_name", &runtime.server_name, "the browser checks the host's own name"),
    ];
    for (path, value, why) in files.into_iter().chain(others) {
        if !value.is_empty() {
            problems.add(path, format!("must be empty: {why}"));
        }
    }
    if runtime.danger_accept_invalid_certs {
        problems.add("runtime.danger_accept_invalid_certs", "must be false: the browser checks");
    }
    Ok(problems.check(())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_refused_by_name() {
        let mut runtime = RuntimeOptions::default();
        assert!(check(&runtime).is_ok());
        "outbox.db".clone_into(&mut runtime.store_path);
        let error = check(&runtime).unwrap_err();
        assert!(error.message().contains("runtime.store_path"), "{error}");
        assert!(error.message().contains("no files"), "{error}");
    }

    #[test]
    fn what_only_a_socket_of_ones_own_could_do_is_refused_with_the_reason() {
        let mut runtime = RuntimeOptions::default();
        "9464".clone_into(&mut runtime.health_listen);
        "hub.internal".clone_into(&mut runtime.server_name);
        let error = check(&runtime).unwrap_err();
        for part in ["runtime.health_listen", "listens nowhere", "runtime.server_name", "own name"]
        {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        assert!(!error.message().contains("no files"), "{error}");
    }

    #[test]
    fn a_short_seed_is_refused() {
        let error = open("beacon", "worker", "{}", "host", &[0; 16]).err().unwrap();
        assert_eq!(error.code(), ErrorCode::ArgumentInvalid);
    }
}
