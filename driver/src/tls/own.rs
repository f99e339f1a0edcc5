//! A listener's own certificate, read again when its files change: renewals need no restart.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use moorline_core::Error;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Files, Identity, provider, unusable};

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(5);

/// What a listener presents itself with.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    files: Files,
    look: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    certificate: Arc<CertifiedKey>,
    changed: Changed,
    looked: Instant,
}

/// When the two files were written; `None` for one that is not there.
type Changed = (Option<SystemTime>, Option<SystemTime>);

impl OwnCertificate {
    /// Takes what was read at the start.
    ///
    /// # Errors
    /// `TLS_FAILED` if the key does not belong to the certificate.
    pub(super) fn new(identity: &Identity) -> Result<Self, Error> {
        let files = identity.files.clone();
        let changed = changed(&files);
        let certificate = certified(identity)?;
        let state = Mutex::new(State { certificate, changed, looked: Instant::now() });
        Ok(Self { files, look: LOOK, state })
    }

    /// Returns the certificate of now. One that cannot be used is logged, and the old one stays.
    fn current(&self) -> Arc<CertifiedKey> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= self.look {
            state.looked = Instant::now();
            let changed = changed(&self.files);
            if changed != state.changed {
                state.changed = changed;
                let (chain, files) = (&self.files.chain, self.files.clone());
                match Identity::read(files).and_then(|identity| certified(&identity)) {
                    Ok(certificate) => {
                        state.certificate = certificate;
                        tracing::info!(cert_file = chain, "the certificate was read again");
                    }
                    Err(error) => {
                        tracing::warn!(
                            cert_file = chain,
                            "the new certificate is not used: {error}"
                        );
                    }
                }
            }
        }
        Arc::clone(&state.certificate)
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>, Error> {
    let key = identity.key.clone_key();
    let certified = CertifiedKey::from_der(identity.chain.clone(), key, &provider());
    certified.map(Arc::new).map_err(|e| unusable(&e))
}

fn changed(files: &Files) -> Changed {
    let changed = |file: &str| -> io::Result<SystemTime> { fs::metadata(file)?.modified() };
    (changed(&files.chain).ok(), changed(&files.key).ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use moorline_core::Secret;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// Writes a certificate with its key, as if at `minute`.
    fn write(folder: &Path, minute: u64) -> Files {
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![String::from("hub.example")]).unwrap();
        let own = own.self_signed(&key).unwrap();
        let put = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minute);
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (chain, key) = (put("cert.pem", own.pem()), put("key.pem", key.serialize_pem()));
        Files { chain, key, passphrase: Secret::default() }
    }

    fn of(own: &OwnCertificate) -> Vec<u8> {
        own.current().cert[0].to_vec()
    }

    #[test]
    fn a_renewed_certificate_is_presented_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), 1);
        let chain = files.chain.clone();
        let identity = Identity::read(files).unwrap();
        let mut own = OwnCertificate::new(&identity).unwrap();
        let first = of(&own);
        write(folder.path(), 2);
        assert_eq!(of(&own), first, "not looked at again at once");
        own.look = Duration::ZERO;
        let second = of(&own);
        assert_ne!(second, first);
        fs::write(&chain, "nonsense").unwrap();
        assert_eq!(of(&own), second);
        fs::remove_file(&chain).unwrap();
        assert_eq!(of(&own), second);
        write(folder.path(), 3);
        assert_ne!(of(&own), second);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = write(other.path(), 1).key;
        let identity = Identity::read(Files { key, ..write(one.path(), 1) }).unwrap();
        assert!(OwnCertificate::new(&identity).is_err());
    }
}
