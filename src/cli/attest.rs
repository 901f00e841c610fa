//! `countersign attest`: signs what the gate admits now, for other verifiers.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use prometheus_client::registry::Registry as Metrics;
use url::Url;

use crate::app::{App, Keeping};
use crate::clock::Clock;
use crate::commands::attest::{Attestation, Attester, NotAttested, VERIFIER_ID, attest};
use crate::config::Config;
use crate::oci::{ImageRef, RepositoryRef};
use crate::registry_client::{self, Listed, RegistryWriter};
use crate::server::Names;
use crate::signing::SigningKey;
use crate::telemetry;
use crate::text::escaped;

use super::{ConfigFile, DENIED, UNDECIDED, print, wrong};

/// Attest that the gate admits images now.
///
/// Judges each image with the configuration, as `why` does. For an admitted image, signs a SLSA Verification Summary
/// Attestation (version 1) and prints it as a Sigstore bundle, one line for each image, or uploads it with --push.
/// `cosign verify-attestation --key` accepts it, and so does a cosign anchor with `predicate_type`. An image that an
/// exemption, an allow rule or an audit rule serves without a verified signature is not attested.
/// Exit status: 0 all are attested; 3 some are not admitted; 4 some are undecided; 2 invalid configuration or arguments;
/// 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    openssl ecparam -name prime256v1 -genkey -noout -out attest.key\n  \
    openssl ec -in attest.key -pubout -out attest.pub\n  \
    countersign attest registry.example.com/library/app:v1 --key attest.key \
    --push registry.example.com/library/app --config countersign.toml\n  \
    cosign verify-attestation --key attest.pub --insecure-ignore-tlog \
    --type https://slsa.dev/verification_summary/v1 registry.example.com/library/app:v1")]
pub(super) struct Attest {
    #[arg(help = "[registry/]repository[:tag][@digest]", required = true)]
    images: Vec<String>,
    /// PEM file with the ECDSA P-256 private key (PKCS#8 or SEC1, without a password).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Upload each attestation to this repository as a referrer of its image, with the credentials of the `[[upstream]]` of
    /// its registry. Without it, the attestations are printed.
    #[arg(long, value_name = "REPOSITORY")]
    push: Option<RepositoryRef>,
    /// URI that identifies the verifier in the attestation.
    #[arg(long, value_name = "URI", default_value = VERIFIER_ID)]
    verifier_id: Url,
    #[command(flatten)]
    config: ConfigFile,
}

impl Attest {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        let app = App::new(&config, Clock::System, Keeping::OnlyRead)?;
        let mut images = Vec::new();
        for name in &self.images {
            match Names::default().called(name).and_then(|_| app.image(name)) {
                Ok(image) => images.push(image),
                Err(error) => return Ok(wrong(name, error)),
            }
        }
        let target = match self.push {
            None => None,
            Some(repository) => match target(repository.clone().in_full(), &config)? {
                Some(target) => Some(target),
                None => {
                    let registry = &repository.registry;
                    let error = format!("no [[upstream]] with a `url` has the registry {registry}");
                    return Ok(wrong("--push", error));
                }
            },
        };
        let key = match SigningKey::read(&self.key) {
            Ok(key) => key,
            Err(error) => return Ok(wrong("--key", error)),
        };
        let by = Attester { key, verifier_id: self.verifier_id.to_string() };
        let (gate, mut status) = (app.gate(), 0);
        for image in &images {
            match attest(&gate, image, &by).await {
                Ok(attestation) => match &target {
                    Some(target) => push(&attestation, image, target).await?,
                    None => {
                        let json = String::from_utf8_lossy(attestation.bundle.as_bytes());
                        print(&format!("{json}\n"))?;
                        note(image, &attestation);
                    }
                },
                Err(NotAttested::Signing(error)) => return Err(error.into()),
                Err(error) => {
                    say(&format!("{image} is not attested: {error}"));
                    let worse = if error.is_undecided() { UNDECIDED } else { DENIED };
                    status = if status == DENIED { DENIED } else { worse };
                }
            }
        }
        Ok(status)
    }
}

/// Where to upload.
struct Target {
    registry: RegistryWriter,
    repository: RepositoryRef,
}

/// Where to upload to `repository`; `None` if no `[[upstream]]` with a server has its registry.
fn target(repository: RepositoryRef, config: &Config) -> anyhow::Result<Option<Target>> {
    let mut upstreams = config.upstreams.iter().filter(|upstream| !upstream.is_offline);
    let upstream = upstreams.find(|upstream| upstream.registry == repository.registry);
    let Some(upstream) = upstream else { return Ok(None) };
    let metrics = registry_client::Metrics::registered(&mut Metrics::default());
    Ok(Some(Target { registry: RegistryWriter::new(upstream, &metrics)?, repository }))
}

async fn push(
    attestation: &Attestation,
    image: &ImageRef,
    Target { registry, repository: at }: &Target,
) -> anyhow::Result<()> {
    let published = attestation.publish(registry, &at.name).await;
    let listed = published.with_context(|| format!("cannot upload the attestation to {at}"))?;
    let digest = attestation.subject.digest;
    print(&match listed {
        Listed::ByApi => format!("attested {image} ({digest}) in {at}\n"),
        Listed::ByTag(tag) => {
            format!("attested {image} ({digest}) in {at}, listed by the tag {tag}\n")
        }
    })?;
    note(image, attestation);
    Ok(())
}

fn note(image: &ImageRef, attestation: &Attestation) {
    if let Some(missing) = attestation.missing {
        say(&format!("{image}: inputAttestations does not list {missing}"));
    }
}

/// Writes a line to standard error.
fn say(line: &str) {
    telemetry::tell(&format!("countersign: {}", escaped(line)));
}
