//! Which certificates the gate trusts: the system's roots, and optionally a file with more. The provider is explicitly
//! aws-lc-rs, so that no process-wide default decides.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use super::named_certificates::NamedCertificates;
use crate::toml_reader::not_text;

/// The largest file of additional roots, in bytes.
const MAX_CA_FILE: u64 = 4 << 20;

/// Why there are no roots to verify servers with.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("cannot read the certificates in {}: {error}", .path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{path:?} exceeds {MAX_CA_FILE} bytes")]
    TooLong { path: PathBuf },
    #[error("{path:?} is not PEM: {reason}")]
    Pem { path: PathBuf, reason: String },
    #[error("{} {what}", .path.display())]
    NotText { path: PathBuf, what: &'static str },
    #[error(
        "{path:?} contains no certificate; name a PEM file with the certificates of the authorities"
    )]
    Empty { path: PathBuf },
    #[error("{path:?} contains a certificate that cannot be a root")]
    Root { path: PathBuf, source: rustls::Error },
    #[error("no root certificates: the system has none, and no file with more is configured")]
    NoRoots,
    #[error("cannot use the certificates: {0}")]
    Verifier(String),
    #[error("cannot set up TLS")]
    Provider(#[from] rustls::Error),
}

/// A configuration that trusts the system's roots and those in the PEM file `ca`. A lack of any roots is an error only
/// if `required`.
pub(super) fn client_config(ca: Option<&Path>, required: bool) -> Result<ClientConfig, TlsError> {
    let mut roots = system_roots();
    let named = ca.map(|path| add_certificates(&mut roots, path)).transpose()?.unwrap_or_default();
    if roots.is_empty() && required {
        return Err(TlsError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    if named.is_empty() {
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let verifier = NamedCertificates::new(roots, provider, named)?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Whether the PEM file at `path` contains certificates that can be trusted.
pub fn check_certificates(path: &Path) -> Result<(), TlsError> {
    add_certificates(&mut RootCertStore::empty(), path).map(drop)
}

/// Adds the certificates in the PEM file at `path` to `roots`, and returns them.
fn add_certificates(
    roots: &mut RootCertStore,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = read_certificates(path)?;
    for certificate in &certificates {
        let failed = |source| TlsError::Root { path: path.to_owned(), source };
        roots.add(certificate.clone()).map_err(failed)?;
    }
    Ok(certificates)
}

fn system_roots() -> RootCertStore {
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "cannot read some of the system's root certificates");
    }
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(native.certs);
    if ignored > 0 {
        tracing::debug!(
            ignored,
            "ignoring some of the system's root certificates, which cannot be parsed"
        );
    }
    roots
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::Read { path: path.to_owned(), error };
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CA_FILE + 1).read_to_end(&mut pem))
        .map_err(failed)?;
    if pem.len() as u64 > MAX_CA_FILE {
        return Err(TlsError::TooLong { path: path.to_owned() });
    }
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem { path: path.to_owned(), reason: error.to_string() })?;
    if certificates.is_empty() && std::str::from_utf8(&pem).is_err() {
        return Err(TlsError::NotText { path: path.to_owned(), what: not_text(&pem) });
    }
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_a_bad_ca_file() {
        let missing = Path::new("/nonexistent/ca.pem");
        let error = client_config(Some(missing), true).unwrap_err();
        assert!(matches!(error, TlsError::Read { .. }));
        assert!(error.to_string().contains("/nonexistent/ca.pem"));
        let empty = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert!(matches!(client_config(Some(empty), true), Err(TlsError::Empty { .. })));
        assert!(matches!(
            client_config(Some(Path::new("/dev/zero")), true),
            Err(TlsError::TooLong { .. })
        ));
    }
}
