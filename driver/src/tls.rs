//! TLS by rustls: whom we trust, who we are, and a listener's own certificate.

mod own;
mod told;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use moorline_core::options::RuntimeOptions;
use moorline_core::{Error, ErrorCode, Secret};
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::connect::Target;
use crate::tls::own::OwnCertificate;

/// The variable that must agree before certificates go unchecked.
const DANGER_VARIABLE: &str = "MOORLINE_DANGER_ACCEPT_INVALID_CERTS";

/// The TLS settings of one handle.
pub(crate) struct Tls {
    trusted: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
    /// The name to ask a server for in place of its host's.
    server_name: String,
    accepts_anything: bool,
    client: OnceCell<Arc<ClientConfig>>,
}

/// A certificate with what signed it, its key, and where they were read.
#[derive(Debug)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: Files,
}

/// Where a certificate and its key are read, and what decrypts the key.
#[derive(Clone, Debug)]
struct Files {
    chain: String,
    key: String,
    passphrase: Secret,
}

impl Tls {
    /// Reads the files that the options name.
    ///
    /// # Errors
    /// `CONFIG_INVALID` for a file that cannot be read, half an identity, or half a danger.
    pub(crate) fn new(options: &RuntimeOptions) -> Result<Self, Error> {
        let trusted = match options.ca_file.as_str() {
            "" => Vec::new(),
            path => certificates("runtime.ca_file", path)?,
        };
        let identity = match (options.cert_file.as_str(), options.key_file.as_str()) {
            ("", "") => None,
            ("", _) => return Err(invalid("runtime.key_file needs runtime.cert_file")),
            (_, "") => return Err(invalid("runtime.cert_file needs runtime.key_file")),
            (chain, key) => Some(Identity::read(Files {
                chain: chain.to_owned(),
                key: key.to_owned(),
                passphrase: options.key_passphrase.clone(),
            })?),
        };
        let accepts_anything = options.danger_accept_invalid_certs;
        if accepts_anything && std::env::var(DANGER_VARIABLE).as_deref() != Ok("1") {
            return Err(invalid(format!(
                "runtime.danger_accept_invalid_certs works only with {DANGER_VARIABLE}=1"
            )));
        }
        let server_name = options.server_name.clone();
        let client = OnceCell::new();
        let tls = Self { trusted, identity, server_name, accepts_anything, client };
        tls.acceptor()?;
        Ok(tls)
    }

    /// Speaks TLS with `target` over `stream`.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        stream: TcpStream,
    ) -> Result<client::TlsStream<TcpStream>, Error> {
        let failed = |e: String| {
            Error::new(ErrorCode::TlsFailed, format!("TLS with {} failed: {e}", target.authority()))
        };
        let own = Some(&self.server_name).filter(|name| !name.is_empty());
        let host = own.unwrap_or(&target.host);
        let name = ServerName::try_from(host.clone()).map_err(|e| failed(e.to_string()))?;
        let config = self.client.get_or_try_init(|| self.client_config()).await?;
        let connector = TlsConnector::from(Arc::clone(config));
        connector.connect(name, stream).await.map_err(|e| failed(told::failure(&e, host)))
    }

    /// Returns what a listener presents itself with; `None` without a certificate.
    pub(crate) fn acceptor(&self) -> Result<Option<TlsAcceptor>, Error> {
        let Some(identity) = &self.identity else { return Ok(None) };
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&e))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OwnCertificate::new(identity)?));
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }

    async fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&e))?;
        let builder = if self.accepts_anything {
            tracing::warn!("certificates are not checked");
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anything(provider())))
        } else {
            builder.with_root_certificates(self.roots().await?)
        };
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key, .. }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|e| unusable(&e))?,
        };
        Ok(Arc::new(config))
    }

    async fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
        let system = system.map_err(|e| unusable(&e))?;
        for error in &system.errors {
            tracing::debug!(%error, "a certificate of the operating system cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
        let (_, ignored) = roots.add_parsable_certificates(self.trusted.iter().cloned());
        if ignored > 0 {
            return Err(unusable(&format!("{ignored} certificates of ca_file are not usable")));
        }
        if roots.is_empty() {
            return Err(unusable(&"the operating system trusts no authority; set runtime.ca_file"));
        }
        Ok(roots)
    }
}

/// Speaks TLS with a client, once it has said something: what a handshake needs is made no sooner.
pub(crate) async fn accept(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> io::Result<server::TlsStream<TcpStream>> {
    // That there may be something to read, the system tells before there is.
    stream.peek(&mut [0]).await?;
    Box::pin(acceptor.accept(stream)).await
}

impl Identity {
    fn read(files: Files) -> Result<Self, Error> {
        let Files { chain, key, passphrase } = &files;
        let chain = certificates("runtime.cert_file", chain)?;
        let unusable = |e: &dyn Display| invalid(format!("runtime.key_file: {key}: {e}"));
        let file = File::open(key).map_err(|e| unusable(&e))?;
        let mode = file.metadata().map_err(|e| unusable(&e))?.mode();
        if mode & 0o007 != 0 {
            let text = format!("is open to every user of the machine; chmod 600 {key}");
            return Err(unusable(&text));
        }
        let key = private_key(file, passphrase).map_err(|e| unusable(&e))?;
        Ok(Self { chain, key, files })
    }
}

/// Reads a private key; says what to do about one that cannot be read.
fn private_key(mut file: File, passphrase: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|e| e.to_string())?;
    let has = |words: &str| text.windows(words.len()).any(|part| part == words.as_bytes());
    if has("Proc-Type: 4,ENCRYPTED") {
        return Err(String::from(
            "is encrypted in the old way of OpenSSL, which is not safe; openssl pkcs8 -topk8 makes it \
             one that can be used",
        ));
    }
    if !has(BEGIN_ENCRYPTED) {
        return PrivateKeyDer::from_pem_slice(&text).map_err(|e| e.to_string());
    }
    if passphrase.is_empty() {
        return Err(String::from("is encrypted: give its passphrase in runtime.key_passphrase"));
    }
    let text = std::str::from_utf8(&text).map_err(|e| e.to_string())?;
    // Other blocks may stand around it, such as certificates.
    let text = &text[text.find(BEGIN_ENCRYPTED).unwrap_or_default()..];
    let end = text.find(END_ENCRYPTED).map_or(text.len(), |at| at + END_ENCRYPTED.len());
    let (_, encrypted) = SecretDocument::from_pem(&text[..end]).map_err(|e| e.to_string())?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(encrypted.as_bytes());
    let key = encrypted.and_then(|key| key.decrypt(passphrase.expose())).map_err(|e| {
        format!(
            "cannot be decrypted: runtime.key_passphrase may be wrong, or its cipher unknown ({e})"
        )
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// How the PEM text of an encrypted key begins.
const BEGIN_ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
/// How it ends.
const END_ENCRYPTED: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// A verifier that trusts everyone: for tests of other people's set-ups, behind two switches.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(option: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(Path::new(path)).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(invalid(format!("{option}: {path}: no certificate"))),
        Ok(found) => Ok(found),
        Err(e) => Err(invalid(format!("{option}: {path}: {e}"))),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn invalid(message: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::ConfigInvalid, message)
}

fn unusable(error: &dyn Display) -> Error {
    Error::new(ErrorCode::TlsFailed, format!("the TLS settings are not usable: {error}"))
}
