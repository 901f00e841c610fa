//! Servers whose own certificate is in the `ca` file. `openssl req -x509` makes a server certificate that is also an
//! authority (CA:TRUE); path validation rejects it. The gate trusts such a certificate if it is exactly a certificate in the
//! file, valid now, and for the server's name.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::tls::TlsError;

/// Verifies servers by path validation, or otherwise by the named certificates.
#[derive(Debug)]
pub(super) struct NamedCertificates {
    by_path: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl NamedCertificates {
    /// Trusts `roots` as authorities, and each of the `named` certificates only for itself.
    pub(super) fn new(
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
        named: Vec<CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        let by_path =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let by_path = by_path.map_err(|error| TlsError::Verifier(error.to_string()))?;
        Ok(Self { by_path, named })
    }
}

impl ServerCertVerifier for NamedCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_path = self.by_path.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match by_path {
            Err(_) if self.named.iter().any(|named| named.as_ref() == end_entity.as_ref()) => {
                check(end_entity, server_name, now)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_path.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_path.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_path.supported_verify_schemes()
    }
}

/// Checks the validity period and the name of a certificate.
fn check(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
    let encoding = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| encoding())?;
    let seconds = i64::try_from(now.as_secs()).map_err(|_| encoding())?;
    let now = ASN1Time::from_timestamp(seconds).map_err(|_| encoding())?;
    let validity = parsed.validity();
    if now < validity.not_before {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now > validity.not_after {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    fn self_signed(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_self_signed_server_certificate_is_trusted_for_exactly_itself() {
        let (own, other) = (self_signed("r.example"), self_signed("r.example"));
        let mut roots = RootCertStore::empty();
        roots.add(own.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = NamedCertificates::new(roots, provider, vec![own.clone()]).unwrap();
        let verify = |certificate: &CertificateDer<'_>, name: &str, now: UnixTime| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            verifier.verify_server_cert(certificate, &[], &name, &[], now)
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        assert!(verify(&own, "r.example", now).is_ok());
        assert!(verify(&own, "other.example", now).is_err());
        assert!(verify(&other, "r.example", now).is_err());
        assert!(verify(&own, "r.example", UnixTime::since_unix_epoch(Duration::ZERO)).is_err());
    }
}
