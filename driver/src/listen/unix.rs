//! The file of a Unix socket: its permissions, whom it may replace, when it goes.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

/// The most clients that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Binds a socket at `path` with the permissions `mode`. A socket that is there is replaced if nobody
/// listens behind it, as one is that a killed process has left.
pub(super) async fn bind(path: &str, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let path = std::path::absolute(path)?;
    match open(&path, mode) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            evict(&path).await?;
            open(&path, mode)
        }
        opened => opened,
    }
}

fn open(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::new(path, mode)?;
    // Nobody can connect before the socket listens, so nobody slips in under other permissions.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// Takes the socket at `path` away if nobody listens behind it.
async fn evict(path: &Path) -> io::Result<()> {
    let in_use = |why| Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return in_use("there is a file that is no socket");
    }
    if answers(path).await {
        return in_use("another program listens there");
    }
    // Another program may have replaced it meanwhile. What is moved aside cannot be replaced, so it
    // is asked once more before it goes.
    let aside = path.with_file_name(format!(".{:x}", std::process::id()));
    fs::rename(path, &aside)?;
    if answers(&aside).await {
        fs::rename(&aside, path)?;
        return in_use("another program listens there");
    }
    fs::remove_file(aside)
}

async fn answers(path: &Path) -> bool {
    match UnixStream::connect(path).await {
        Ok(_) => true,
        Err(e) => e.kind() != io::ErrorKind::ConnectionRefused,
    }
}

/// The file of a socket of ours. It is removed on drop, unless somebody has replaced it.
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    /// The only user who may connect beside root, if the permissions let nobody else.
    owner: Option<u32>,
}

impl SocketFile {
    fn new(path: &Path, mode: u32) -> io::Result<Self> {
        let owner = fs::symlink_metadata(path)?.uid();
        let owner = (mode & 0o077 == 0).then_some(owner);
        Ok(Self { path: path.to_owned(), identity: identity(path)?, owner })
    }

    /// Tells whether a user may connect.
    pub(super) fn admits(&self, uid: u32) -> bool {
        uid == 0 || self.owner.is_none_or(|owner| owner == uid)
    }

    /// Returns `unix:` and the absolute path.
    pub(super) fn address(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|it| it == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "socket file not removed");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_socket_admits_its_owner_and_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "").unwrap();
        let own = fs::metadata(&path).unwrap().uid();
        let private = SocketFile::new(&path, 0o600).unwrap();
        assert!(private.admits(own) && private.admits(0) && !private.admits(own + 1));
        let shared = SocketFile::new(&path, 0o660).unwrap();
        assert!(shared.admits(own + 1));
    }
}
