//! A signer with the real notation and a certificate of its own.

use std::path::PathBuf;
use std::process::Command;

use crate::folder::Folder;
use crate::go_tools::go_tool;
use crate::process::{Said, must, run};

/// The format of a signature envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Jws,
    Cose,
}

pub(crate) struct Notation {
    home: Folder,
    /// Whether notation uses the referrers API if there is one; by default it does not.
    api: bool,
}

impl Notation {
    /// A signer with a self-signed certificate for `C=US, ST=WA, L=Seattle, O=Notary, CN=rig`, which its policy trusts.
    pub(crate) fn new(api: bool) -> Self {
        let notation = Self { home: Folder::new("notation"), api };
        must(notation.command().args(["cert", "generate-test", "--default", "rig"]));
        let policy = r#"{"version": "1.0", "trustPolicies": [{"name": "rig", "registryScopes": ["*"],
            "signatureVerification": {"level": "strict"}, "trustStores": ["ca:rig"],
            "trustedIdentities": ["x509.subject: C=US, ST=WA, O=Notary"]}]}"#;
        notation.home.write("notation/trustpolicy.json", policy);
        notation
    }

    /// The certificate, as a PEM file.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.home.join("notation/localkeys/rig.crt")
    }

    /// The folder with `trustpolicy.json` and `truststore`, in notation's own format.
    pub(crate) fn settings(&self) -> PathBuf {
        self.home.join("notation")
    }

    /// Signs `repository@digest`.
    pub(crate) fn sign(&self, image: &str, format: Format) {
        let format = match format {
            Format::Jws => "jws",
            Format::Cose => "cose",
        };
        let place = format!("--force-referrers-tag={}", !self.api);
        let mut command = self.command();
        command.args(["sign", "--insecure-registry", "--signature-format", format, &place, image]);
        must(&command);
    }

    /// Verifies the signature of an image as a user would, from any registry.
    pub(crate) fn verify(&self, image: &str) -> Said {
        run(self.command().args(["verify", "--insecure-registry", image]))
    }

    fn command(&self) -> Command {
        let mut command = go_tool("notation");
        command.env("HOME", self.home.path()).env("XDG_CONFIG_HOME", self.home.path());
        command
    }
}
