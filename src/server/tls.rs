//! The certificate and key of a listener: read from files, and reloaded when the files change. Knows nothing of
//! connections, and of HTTP only the names of its versions.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::danger::ClientCertVerifier;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::access::{Certificates, Handshake};
use crate::oci::Digest;

use super::limits::Versions;

/// The largest file of certificates or of a key, in bytes of PEM.
pub const MAX_PEM: u64 = 1 << 20;

/// Why TLS cannot use these files.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, io::Error),
    #[error("{0} has more than {MAX_PEM} bytes, too many for a certificate or key")]
    TooLarge(PathBuf),
    #[error("{0} contains no PEM certificate: {1}")]
    Certificate(PathBuf, pem::Error),
    #[error("{0} contains no PEM private key: {1}")]
    Key(PathBuf, pem::Error),
    #[error("the certificate {cert} does not match the key {key}: {why}")]
    Pair { cert: PathBuf, key: PathBuf, why: rustls::Error },
}

/// A certificate chain and its key, reloaded when their files change.
#[derive(Debug)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    handshake: Handshake,
    configs: ArcSwap<Configs>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The content of the files when they were last read, so that invalid content is reported only once.
    last_read: Option<(Digest, Digest)>,
    /// The CAs for client certificates; `None`: clients are not asked for certificates.
    clients: Option<Certificates>,
}

/// The TLS configuration for each choice of HTTP versions.
#[derive(Debug)]
struct Configs {
    both: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
}

impl Tls {
    /// Loads a certificate chain (the server's own certificate first) and its private key. `handshake` sets what happens
    /// to a client without a valid certificate of `clients`.
    pub fn load(
        cert: &Path,
        key: &Path,
        clients: Option<&Certificates>,
        handshake: Handshake,
    ) -> Result<Self, TlsError> {
        let (chain, private) = (read(cert)?, read(key)?);
        let verifier = clients.map(|clients| clients.verifier(handshake));
        let made = configs(cert, &chain, key, &private, verifier)?;
        let last_read = Some((Digest::of(&chain), Digest::of(&private)));
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            handshake,
            configs: ArcSwap::from_pointee(made),
            state: Mutex::new(State { last_read, clients: clients.cloned() }),
        })
    }

    /// Reads the files again and uses them if they are new and valid; returns whether they were. After an error the
    /// previous certificate stays in use, and the same content is not reported again. Blocks.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let both = read(&self.cert).and_then(|chain| Ok((chain, read(&self.key)?)));
        let found = both.as_ref().ok().map(|(c, k)| (Digest::of(c), Digest::of(k)));
        let mut state = self.lock();
        if state.last_read == found {
            return Ok(false);
        }
        state.last_read = found;
        let (chain, private) = both?;
        self.take(&chain, &private, state.clients.as_ref())?;
        Ok(true)
    }

    /// Asks clients of later connections for certificates of `clients`, or for none. Reads the files again; changes
    /// nothing after an error. Blocks.
    pub fn ask(&self, clients: Option<&Certificates>) -> Result<(), TlsError> {
        let (chain, private) = (read(&self.cert)?, read(&self.key)?);
        let mut state = self.lock();
        self.take(&chain, &private, clients)?;
        state.last_read = Some((Digest::of(&chain), Digest::of(&private)));
        state.clients = clients.cloned();
        Ok(())
    }

    fn take(
        &self,
        chain: &[u8],
        private: &[u8],
        clients: Option<&Certificates>,
    ) -> Result<(), TlsError> {
        let verifier = clients.map(|clients| clients.verifier(self.handshake));
        self.configs.store(Arc::new(configs(&self.cert, chain, &self.key, private, verifier)?));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The acceptor for the next connection.
    pub(super) fn acceptor(&self, versions: Versions) -> TlsAcceptor {
        let configs = self.configs.load();
        TlsAcceptor::from(Arc::clone(match versions {
            Versions::Http1AndHttp2 => &configs.both,
            Versions::OnlyHttp1 => &configs.http1,
        }))
    }
}

fn configs(
    cert: &Path,
    chain: &[u8],
    key: &Path,
    private: &[u8],
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Configs, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|why| TlsError::Certificate(cert.to_owned(), why))?;
    let private =
        PrivateKeyDer::from_pem_slice(private).map_err(|why| TlsError::Key(key.to_owned(), why))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| match verifier {
            Some(verifier) => {
                builder.with_client_cert_verifier(verifier).with_single_cert(chain, private)
            }
            None => builder.with_no_client_auth().with_single_cert(chain, private),
        })
        .map_err(|why| TlsError::Pair { cert: cert.to_owned(), key: key.to_owned(), why })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let http1 = Arc::new(config.clone());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Configs { both: Arc::new(config), http1 })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PEM + 1).read_to_end(&mut content))
        .map_err(|why| TlsError::Read(path.to_owned(), why))?;
    if content.len() as u64 > MAX_PEM {
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    Ok(content)
}
