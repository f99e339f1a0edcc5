//! How many descriptors this process may have: a hub needs one for each connection.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors for the store, the log and the listener.
const RESERVE: u64 = 64;

/// Raises the limit as far as the system lets this process; returns what it is then.
pub(crate) fn raise() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    Some(if raised.is_ok() { hard } else { soft })
}

/// Says so if so many connections need more than `limit`.
pub(crate) fn too_few(limit: Option<u64>, max_connections: u64) -> Option<String> {
    let limit = limit.filter(|limit| *limit < max_connections.saturating_add(RESERVE))?;
    Some(format!(
        "max_connections is {max_connections}, but this process may open {limit} files and sockets: raise \
         the limit (ulimit -Hn, LimitNOFILE), or lower max_connections"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_and_what_is_too_little_is_said() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raise(), Some(hard));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, hard);
        assert!(too_few(Some(1_024), 10_000).unwrap().contains("10000"));
        assert!(too_few(Some(20_000), 10_000).is_none());
        assert!(too_few(None, 10_000).is_none());
    }
}
