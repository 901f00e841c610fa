//! A gate with one anchor of one scheme, and a signer for it.

use countersign::oci::MediaType;
use serde_json::json;

use crate::attached::{
    BUNDLE, JOSE, MINE, NOTATION, OTHER, OTHER_ROOT, ROOT, envelope, key_bundle, keyless, layer,
    put_referrer, put_sig,
};
use crate::fake_registry::{Fault, REGISTRY, respond};
use crate::notary_repository::{Key, RELEASES, Signer, in_days};
use crate::sigstore::{HOUR, Leaf, Sigstore, Term};
use crate::whole_gate::{DEFAULTS, Setup, World, app, described};
use crate::{notary_repository, notation_signer, sigstore};

/// A scheme, and the location of its signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    NotaryV1,
    /// A key; signatures in the `.sig` tag.
    CosignKey,
    /// A key; bundles among the referrers.
    CosignBundle,
    /// A certificate and a log; signatures in the `.sig` tag.
    CosignKeyless,
    Notation,
}

pub(super) struct Site {
    pub(super) world: World,
    pub(super) scheme: Scheme,
}

impl Scheme {
    fn anchor(self) -> String {
        let lines = match self {
            Self::NotaryV1 => "scheme = \"notaryv1\"\nurl = \"NOTARY\"\nroot_keys = [\"PIN\"]",
            Self::CosignKey | Self::CosignBundle => "scheme = \"cosign\"\nkeys = [\"mine.pub\"]",
            Self::CosignKeyless => {
                "scheme = \"cosign\"\ntrusted_root = \"root.json\"
                 identity = \"https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*\"
                 issuer = \"https://token.actions.githubusercontent.com\""
            }
            Self::Notation => {
                "scheme = \"notation\"\ntrust_store = [\"ca:root.crt\"]
                 identities = [\"*\"]\nrevocation = \"skip\""
            }
        };
        format!("[[anchor]]\nname = \"signer\"\n{lines}\n{DEFAULTS}\n")
    }

    fn now(self) -> i64 {
        match self {
            Self::NotaryV1 => notary_repository::NOW,
            Self::CosignKey | Self::CosignBundle | Self::CosignKeyless => sigstore::NOW + HOUR,
            Self::Notation => notation_signer::NOW,
        }
    }

    /// The reasons for an unsigned image, by tag and by digest.
    pub(super) fn absences(self) -> [&'static str; 2] {
        if self == Self::NotaryV1 {
            ["tag_not_signed", "digest_not_signed"]
        } else {
            ["no_trust_data"; 2]
        }
    }

    /// The reason for an image with an expired signature; `None` if nothing expires.
    pub(super) fn expiry(self) -> Option<&'static str> {
        match self {
            Self::NotaryV1 => Some("expired"),
            Self::CosignKey | Self::CosignBundle => None,
            Self::CosignKeyless | Self::Notation => Some("signature_invalid"),
        }
    }

    /// The reason if no server answers.
    pub(super) fn silence(self) -> &'static str {
        if self == Self::NotaryV1 { "trust_unreachable" } else { "upstream_unreachable" }
    }
}

impl Site {
    /// A gate for a repository with one signed image, `base`.
    pub(super) async fn new(scheme: Scheme) -> Self {
        let rule = format!("[[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"signer\"]\n");
        let setup = Setup::new(scheme.anchor() + &rule)
            .file("mine.pub", MINE.pem())
            .file("root.json", Sigstore::shared().trusted_root().to_string())
            .file("root.crt", ROOT.pem())
            .at(scheme.now());
        let mut site = Self { world: World::of(setup).await, scheme };
        site.push_signed("base", "base");
        site
    }

    pub(super) fn push_signed(&mut self, tag: &str, text: &str) -> Vec<u8> {
        let manifest = self.world.push(tag, text);
        self.sign(tag, &manifest);
        manifest
    }

    /// Pushes an index of two images under `tag`, and returns all three manifests.
    pub(super) fn push_index(&self, tag: &str) -> (Vec<u8>, [Vec<u8>; 2]) {
        let images = ["amd64", "arm64"].map(|of| self.world.put_image(&format!("{tag} {of}")));
        let index = self.world.put_index(&[&images[0], &images[1]]);
        self.world.put_tag(tag, &index);
        (index, images)
    }

    fn put_bundle(&self, manifest: &[u8], bundle: &str) {
        put_referrer(&self.world.registry, manifest, BUNDLE, BUNDLE, bundle.as_bytes());
    }

    fn put_envelope(&self, manifest: &[u8], envelope: &[u8]) {
        put_referrer(&self.world.registry, manifest, NOTATION, JOSE, envelope);
    }

    fn put_layer(&self, manifest: &[u8], layer: sigstore::Layer) {
        put_sig(&self.world.registry, &app(), manifest, &[layer]);
    }

    /// Signs `manifest` as the anchor requires; `tag` is its name.
    pub(super) fn sign(&mut self, tag: &str, manifest: &[u8]) {
        match self.scheme {
            Scheme::NotaryV1 => self.world.sign(tag, manifest),
            Scheme::CosignKey => self.put_layer(manifest, layer(manifest, &MINE)),
            Scheme::CosignBundle => {
                self.put_bundle(manifest, &key_bundle(manifest, &MINE).to_string());
            }
            Scheme::CosignKeyless => {
                self.put_layer(manifest, keyless(manifest, &Leaf::new(), sigstore::NOW));
            }
            Scheme::Notation => {
                let signing = envelope(manifest, &ROOT, notation_signer::NOW);
                self.put_envelope(manifest, &signing.jws());
            }
        }
    }

    /// Signs it with a foreign key.
    pub(super) fn sign_as_another(&mut self, tag: &str, manifest: &[u8]) {
        match self.scheme {
            Scheme::NotaryV1 => {
                let mallory = vec![Signer::of(&Key::named("mallory"))];
                self.world.signer.tag(RELEASES, tag, manifest);
                self.world.signer.role_mut(RELEASES).signers = Some(mallory);
                self.world.publish();
            }
            Scheme::CosignKey => self.put_layer(manifest, layer(manifest, &OTHER)),
            Scheme::CosignBundle => {
                self.put_bundle(manifest, &key_bundle(manifest, &OTHER).to_string());
            }
            Scheme::CosignKeyless => {
                let evil = Leaf::new().email("mallory@example.com");
                self.put_layer(manifest, keyless(manifest, &evil, sigstore::NOW));
            }
            Scheme::Notation => {
                let signing = envelope(manifest, &OTHER_ROOT, notation_signer::NOW);
                self.put_envelope(manifest, &signing.jws());
            }
        }
    }

    /// Signs it with an expired certificate or expired metadata.
    pub(super) fn sign_expired(&mut self, tag: &str, manifest: &[u8]) {
        match self.scheme {
            Scheme::NotaryV1 => {
                self.world.signer.tag(RELEASES, tag, manifest);
                self.world.signer.role_mut(RELEASES).expires = in_days(-1);
                self.world.publish();
            }
            Scheme::CosignKey | Scheme::CosignBundle => unreachable!("keys do not expire"),
            Scheme::CosignKeyless => {
                let mut leaf = Leaf::new();
                leaf.term = Term::over();
                self.put_layer(manifest, keyless(manifest, &leaf, sigstore::NOW));
            }
            Scheme::Notation => {
                let (now, day) = (notation_signer::NOW, notation_signer::DAY);
                let signing = envelope(manifest, &ROOT, now - 2 * day).expiring(now - day);
                self.put_envelope(manifest, &signing.jws());
            }
        }
    }

    /// The server with the signatures answers with far more bytes than any signature has.
    pub(super) fn bloat(&mut self, manifest: &[u8]) {
        let huge = " ".repeat(9 << 20);
        match self.scheme {
            Scheme::NotaryV1 => self.world.notary.hook(move |asked| {
                let metadata = asked.path.contains("/_trust/");
                metadata.then(|| Fault::Respond(respond(200, huge.clone())))
            }),
            Scheme::CosignKey => {
                let huge = json!({ "schemaVersion": 2, "padding": huge });
                let suffix = (".sig", MediaType::OciImage);
                let registry = &self.world.registry;
                crate::attached::put_tagged(registry, &app(), manifest, suffix.0, suffix.1, &huge);
            }
            Scheme::CosignBundle => {
                let bundle = key_bundle(manifest, &MINE).to_string();
                self.put_bundle(manifest, &(bundle + &" ".repeat(25 << 20)));
            }
            Scheme::CosignKeyless => {
                let layer = keyless(manifest, &Leaf::new(), sigstore::NOW);
                self.put_layer(manifest, layer.annotated("padding", huge));
            }
            Scheme::Notation => {
                let mut jws = envelope(manifest, &ROOT, notation_signer::NOW).jws();
                jws.extend_from_slice(huge.as_bytes());
                self.put_envelope(manifest, &jws);
            }
        }
    }

    /// From now on, no server behind the gate answers.
    pub(super) fn everything_goes_down(&self) {
        self.world.notary.goes_down();
        self.world.registry.hook(|_| Some(Fault::Drop));
    }

    pub(super) fn everything_comes_back(&self) {
        self.world.notary.comes_back();
        self.world.registry.hook(|_| None);
    }

    /// Stores a manifest with one layer of these bytes where signatures of `subject` are.
    pub(super) fn put_dressed(&self, subject: &[u8], media_type: &str, layer: &[u8]) -> Vec<u8> {
        self.world.registry.registry().put_blob(&app(), layer.to_vec());
        self.world.registry.registry().put_blob(&app(), b"{}".to_vec());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciImage.as_str(),
            "config": described("application/vnd.oci.image.config.v1+json", b"{}"),
            "layers": [described(media_type, layer)],
        });
        let registry = &self.world.registry;
        let of = MediaType::OciImage;
        crate::attached::put_tagged(registry, &app(), subject, ".att", of, &manifest)
    }
}
