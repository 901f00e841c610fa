//! A registry with an image and candidate signatures, and a client that searches for them.

use std::time::Duration;

use countersign::clock::{Clock, Timestamp};
use countersign::oci::{Digest, MediaType, Repository};
use countersign::pull_through::{self, PullThrough};
use countersign::store::{self, Store};
use countersign::trust::discovery::{Located, Places, RequestBudget, SignatureKind};
use countersign::trust::{Candidate, SignatureContent, Subject};
use serde_json::{Value, json};

use crate::fake_registry::{Asked, FakeRegistry, Fault, hosted, respond};
use crate::folder::Folder;

pub(super) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(super) const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(super) const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(super) const COSIGN_SIG: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
pub(super) const NOTATION: &str = "application/vnd.cncf.notary.signature";
pub(super) const JOSE: &str = "application/jose+json";
pub(super) const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
pub(super) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

pub(super) fn app() -> Repository {
    "library/app".parse().unwrap()
}

pub(super) fn apart() -> Repository {
    "signatures".parse().unwrap()
}

/// A registry with an image, and a search for its signatures.
pub(super) struct Site {
    pub(super) fake: FakeRegistry,
    pub(super) clock: Clock,
    pub(super) places: Places,
    pub(super) subject: Subject,
    pull_through: PullThrough,
    _folder: Option<Folder>,
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::made(None).await
    }

    /// A site with a store.
    pub(super) async fn with_store() -> Self {
        Self::made(Some(Folder::new("places"))).await
    }

    async fn made(folder: Option<Folder>) -> Self {
        let fake = FakeRegistry::start().await;
        let digest = fake.registry().put_image(&app(), "layer");
        let clock = Clock::manual(Timestamp::from_unix(0));
        let mut pull_through = PullThrough::new([fake.upstream()], PullThrough::CACHE);
        if let Some(folder) = &folder {
            let (path, scrub_every) = (folder.path().to_owned(), Duration::from_secs(3600));
            let config = store::Config { path, max_size: 64 << 20, scrub_every };
            let store = Store::open(&config, clock.clone(), &store::Metrics::default()).unwrap();
            pull_through = pull_through.keeping(store, pull_through::Metrics::default());
        }
        let places = Places::new(pull_through.clone(), clock.clone());
        let repository = hosted(app());
        let subject = Subject { repository, digest, media_type: MediaType::OciImage, size: 7 };
        Self { fake, clock, places, subject, pull_through, _folder: folder }
    }

    /// Waits until that content is stored.
    pub(super) async fn stored(&self, content: &[u8]) {
        let (repository, digest) = (hosted(app()), Digest::of(content));
        for _ in 0..1000 {
            let kept = self.pull_through.kept_blob(&repository, &digest, content.len());
            if kept.await.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the content was not stored");
    }

    pub(super) async fn without_api() -> Self {
        let site = Self::new().await;
        site.fake.hook(no_api);
        site
    }

    /// Stores a blob, and returns its descriptor.
    pub(super) fn blob(&self, repository: &Repository, media_type: &str, content: &str) -> Value {
        let digest = self.fake.registry().put_blob(repository, content.to_owned());
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()})
    }

    pub(super) fn layer(&self, media_type: &str, content: &str) -> Value {
        self.blob(&app(), media_type, content)
    }

    pub(super) fn put(&self, repository: &Repository, manifest: &Value) -> Digest {
        let media_type = manifest["mediaType"].as_str().unwrap_or(OCI).to_owned();
        self.fake.registry().put_manifest(repository, &media_type, manifest.to_string())
    }

    pub(super) fn tag(&self, repository: &Repository, suffix: &str, manifest: &Value) {
        let digest = self.put(repository, manifest);
        self.fake.registry().put_tag(repository, self.name(suffix).parse().unwrap(), digest);
    }

    pub(super) fn name(&self, suffix: &str) -> String {
        format!("sha256-{}{suffix}", self.subject.digest.hex())
    }

    /// Stores a `.sig` tag in `repository` with those payloads.
    pub(super) fn sig(&self, repository: &Repository, payloads: &[&str]) {
        let layers: Vec<Value> = payloads
            .iter()
            .map(|payload| {
                let mut layer = self.blob(repository, SIMPLE, payload);
                layer["annotations"] = json!({"dev.cosignproject.cosign/signature": "AAAA"});
                layer
            })
            .collect();
        self.tag(repository, ".sig", &tagged(&layers));
    }

    /// A manifest whose subject is the image.
    pub(super) fn about(&self, artifact_type: &str, layers: &[Value]) -> Value {
        json!({"schemaVersion": 2, "mediaType": OCI, "artifactType": artifact_type,
               "config": {"mediaType": EMPTY, "digest": Digest::of(b"{}").to_string(), "size": 2},
               "layers": layers, "subject": {"mediaType": OCI,
               "digest": self.subject.digest.to_string(), "size": self.subject.size}})
    }

    pub(super) fn bundle(&self, content: &str) -> Value {
        self.about(BUNDLE, &[self.layer(BUNDLE, content)])
    }

    /// Stores the index of the referrers tag schema, with these manifests.
    pub(super) fn schema(&self, manifests: &[Value]) {
        let entries: Vec<Value> = manifests.iter().map(|manifest| self.entry(manifest)).collect();
        self.tag(
            &app(),
            "",
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}),
        );
    }

    /// Stores a manifest, and returns its entry for a list.
    pub(super) fn entry(&self, manifest: &Value) -> Value {
        let digest = self.put(&app(), manifest).to_string();
        json!({"mediaType": OCI, "digest": digest, "size": manifest.to_string().len(),
               "artifactType": manifest["artifactType"], "annotations": manifest["annotations"]})
    }

    pub(super) async fn locate(&self, kind: SignatureKind) -> Located {
        self.places.locate(kind, &self.subject, None, &RequestBudget::new()).await
    }

    pub(super) async fn locate_apart(&self, kind: SignatureKind) -> Located {
        let apart = hosted(apart());
        self.places.locate(kind, &self.subject, Some(&apart), &RequestBudget::new()).await
    }

    /// The requests since the last call, in short form.
    pub(super) fn asked(&self, since: &mut usize) -> Vec<String> {
        let asked: Vec<String> =
            self.fake.asked()[*since..].iter().map(|a| self.short(a)).collect();
        *since += asked.len();
        asked
    }

    pub(super) fn short(&self, asked: &Asked) -> String {
        assert_eq!(asked.method, http::Method::GET);
        let path = asked.path.strip_prefix("/v2/").unwrap();
        let path = path.replace("library/app/", "").replace(&self.name(""), "TAG");
        let path = path.replace(&self.subject.digest.to_string(), "SUBJECT");
        path.split("sha256:").next().unwrap().trim_end_matches('/').to_owned()
    }
}

pub(super) fn no_api(asked: &Asked) -> Option<Fault> {
    asked.path.contains("/referrers/").then(|| Fault::Respond(respond(404, "404 page not found")))
}

pub(super) fn tagged(layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI,
           "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                      "digest": Digest::of(b"{}").to_string(), "size": 2}, "layers": layers})
}

/// The bytes of the candidates.
pub(super) fn contents(candidates: &[Candidate]) -> Vec<&str> {
    let bytes = |candidate: &Candidate| match &candidate.content {
        SignatureContent::Layer { payload, .. } => payload.clone(),
        SignatureContent::Bundle { json } => json.clone(),
        SignatureContent::Envelope { bytes, .. } => bytes.clone(),
    };
    candidates
        .iter()
        .map(|candidate| std::str::from_utf8(Vec::leak(bytes(candidate).to_vec())).unwrap())
        .collect()
}

/// The searched locations, as text.
pub(super) fn looked(located: &Located) -> String {
    located.looked.iter().map(|looked| format!("{looked}\n")).collect()
}

pub(super) fn unread(located: &Located) -> String {
    located.unread.iter().map(|unread| format!("{unread}\n")).collect()
}

#[track_caller]
pub(super) fn finds(located: &Located, wanted: &[&str]) {
    assert_eq!(contents(&located.candidates), wanted, "{}{}", looked(located), unread(located));
}

#[track_caller]
pub(super) fn is_none(located: &Located) {
    finds(located, &[]);
    assert!(located.unread.is_empty(), "{}", unread(located));
    assert!(!located.looked.is_empty());
}

#[track_caller]
pub(super) fn is_unread(located: &Located, why: &str) {
    finds(located, &[]);
    assert!(unread(located).contains(why), "{}", unread(located));
}
