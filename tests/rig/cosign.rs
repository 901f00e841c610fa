//! A signer with the real cosign and a key of its own, without a transparency log.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::folder::Folder;
use crate::go_tools::go_tool;
use crate::process::{Said, must, run};

/// The version of cosign: the format of its signatures, and where it stores them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Version {
    /// Simple signing, stored under tags.
    V2,
    /// Bundles, stored as referrers.
    V3,
}

pub(crate) struct Cosign {
    version: Version,
    home: Folder,
}

impl Cosign {
    pub(crate) fn new(version: Version) -> Self {
        let cosign = Self { version, home: Folder::new("cosign") };
        must(cosign.command().arg("generate-key-pair"));
        if version == Version::V3 {
            // No log and no timestamp authority, and only keys of the tests.
            let none = ["signing-config", "create", "--out", "signing.json"];
            must(cosign.command().args(none));
            must(cosign.command().args(["trusted-root", "create", "--out", "trusted.json"]));
        }
        cosign
    }

    /// The public key, as a PEM file.
    pub(crate) fn key(&self) -> PathBuf {
        self.home.join("cosign.pub")
    }

    /// Signs `repository@digest`.
    pub(crate) fn sign(&self, image: &str) {
        must(self.signing("sign").arg(image));
    }

    /// The same, with the signature stored in that repository.
    pub(crate) fn sign_into(&self, repository: &str, image: &str) {
        must(self.signing("sign").env("COSIGN_REPOSITORY", repository).arg(image));
    }

    /// The same, as version 2 signs with the referrers API.
    pub(crate) fn sign_as_referrer(&self, image: &str) {
        let mut command = self.signing("sign");
        command.env("COSIGN_EXPERIMENTAL", "1").arg("--registry-referrers-mode=oci-1-1");
        must(command.arg(image));
    }

    /// Attests a predicate of that type for `repository@digest`.
    pub(crate) fn attest(&self, image: &str, predicate_type: &str) {
        let predicate = self.home.write("predicate.json", "{\"built\": \"by the rig\"}");
        let mut command = self.signing("attest");
        command.args(["--type", predicate_type, "--predicate"]).arg(predicate);
        must(command.arg(image));
    }

    /// Attaches an SPDX SBOM to `repository@digest` under a tag; version 3 no longer supports this.
    pub(crate) fn attach_sbom(&self, image: &str, sbom: &str) {
        let sbom = self.home.write("sbom.spdx.json", sbom);
        let mut command = self.command();
        command.args(["attach", "sbom", "--allow-http-registry", "--type", "spdx"]);
        command.args(["--input-format", "json", "--sbom"]).arg(sbom);
        must(command.arg(image));
    }

    /// The SBOM that [`Self::attach_sbom`] attached, as downloaded.
    pub(crate) fn downloaded_sbom(&self, image: &str) -> String {
        let mut command = self.command();
        must(command.args(["download", "sbom", "--allow-http-registry", image]))
    }

    /// Verifies the signature of an image as a user would, from any registry.
    pub(crate) fn verify(&self, image: &str) -> Said {
        run(self.verifying("verify").arg(image))
    }

    pub(crate) fn verify_attestation(&self, image: &str, predicate_type: &str) -> Said {
        run(self.verifying("verify-attestation").args(["--type", predicate_type, image]))
    }

    /// The same with another public key.
    pub(crate) fn attested_by(&self, key: &Path, image: &str, predicate_type: &str) -> Said {
        let mut command = self.command();
        command.args(["verify-attestation", "--allow-http-registry", "--insecure-ignore-tlog"]);
        command.arg("--key").arg(key);
        run(command.args(["--type", predicate_type, image]))
    }

    fn signing(&self, what: &str) -> Command {
        let mut command = self.command();
        command.args([what, "--yes", "--allow-http-registry", "--key", "cosign.key"]);
        match self.version {
            Version::V2 => command.arg("--tlog-upload=false"),
            Version::V3 => {
                command.args(["--signing-config", "signing.json", "--trusted-root", "trusted.json"])
            }
        };
        command
    }

    fn verifying(&self, what: &str) -> Command {
        let mut command = self.command();
        command.args([what, "--allow-http-registry", "--insecure-ignore-tlog"]);
        command.args(["--key", "cosign.pub"]);
        command
    }

    fn command(&self) -> Command {
        let mut command = go_tool(match self.version {
            Version::V2 => "cosign-v2",
            Version::V3 => "cosign-v3",
        });
        command.current_dir(self.home.path()).env("HOME", self.home.path());
        command.env("COSIGN_PASSWORD", "");
        command
    }
}
