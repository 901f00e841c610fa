//! The rig's own certificate authority and its certificates.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::folder::Folder;

/// Created for each rig; valid for `localhost` and `127.0.0.1`, for servers and clients.
pub(crate) struct Authority {
    folder: Folder,
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::for_names(&["localhost", "127.0.0.1"])
    }

    /// The same, valid for servers of these names.
    pub(crate) fn for_names(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "rig authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);

        let folder = Folder::new("tls");
        folder.write("ca.crt", &certificate);
        let authority = Self { folder, certificate, issuer };
        authority.certify("server", names);
        authority
    }

    /// Creates a certificate for these names with its key: the files `<file>.crt` and `<file>.key`.
    pub(crate) fn certify(&self, file: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let all = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(all).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        let server = params.signed_by(&key, &self.issuer).unwrap();
        let certificate = self.folder.write(&format!("{file}.crt"), server.pem());
        (certificate, self.folder.write(&format!("{file}.key"), key.serialize_pem()))
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    pub(crate) fn server_certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.folder.join("server.key")
    }
}
