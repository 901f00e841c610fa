//! Bundles of the public Sigstore, verified with the built-in trusted root or with that of the staging instance.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sigstore_trust_root::SIGSTORE_STAGING_TRUSTED_ROOT;

use super::bench::Bench;

const CONDA: &str = "sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f";
const CONDA_TYPE: &str = "https://schemas.conda.org/attestations-publish-1.schema.json";
/// Who vouches for persons in these.
const PERSONS: &str = "https://github.com/login/oauth";
const NPM: &str = "sha512:bbfd372fc9beeb777fe35d05bb10c0c70a9733d366a75fed7dd18866c7391de3\
                   ee7e88ba74dd47abf3e15c845e547fcf0e5c3da80854c751554224d3a6d4e55f";

fn recorded(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sigstore");
    fs::read_to_string(folder.join(name)).unwrap()
}

fn bench(identity: &str, issuer: &str, predicate_type: &str, digest: &str) -> Bench {
    let lines = format!(
        "identity = {identity:?}\nissuer = {issuer:?}\npredicate_type = {predicate_type:?}"
    );
    at(Bench::new(&lines, &[]), digest)
}

fn at(mut bench: Bench, digest: &str) -> Bench {
    bench.subject.digest = digest.parse().unwrap();
    // Two of them are younger than what the other tests make.
    bench.now = countersign::clock::Timestamp::parse_rfc3339("2026-06-01T00:00:00Z").unwrap();
    bench
}

fn workflow() -> Bench {
    bench(
        "https://github.com/prefix-dev/sigstore-example/.github/workflows/*@refs/heads/main",
        "https://token.actions.githubusercontent.com",
        CONDA_TYPE,
        CONDA,
    )
}

fn person() -> Bench {
    let lines = format!(
        "identity = \"jku@goto.fi\"\nissuer = {PERSONS:?}\npredicate_type = {CONDA_TYPE:?}\n\
         trusted_root = \"staging.json\""
    );
    at(Bench::new(&lines, &[("staging.json", SIGSTORE_STAGING_TRUSTED_ROOT)]), CONDA)
}

#[test]
fn a_workflow_that_rekor_v1_logged_is_taken() {
    let vouched = workflow().takes(recorded("rekor-v1.json").as_str());
    assert_eq!(
        vouched.signer,
        "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main \
         (https://token.actions.githubusercontent.com)"
    );
    assert_eq!(vouched.signed.map(|at| at.unix()), Some(1_756_728_839));
}

#[test]
fn a_person_whom_rekor_v2_logged_and_an_authority_timestamped_is_taken() {
    let vouched = person().takes(recorded("rekor-v2.json").as_str());
    assert!(vouched.signed.is_some_and(|at| at.to_string().starts_with("2026-05-26T")));
}

#[test]
fn a_bundle_of_2022_is_taken_with_the_root_of_today() {
    let bench = bench("brian@dehamer.com", PERSONS, "https://slsa.dev/provenance/v0.2", NPM);
    let vouched = bench.takes(recorded("bundle-0.1.json").as_str());
    assert_eq!(vouched.signed.map(|at| at.unix()), Some(1_668_034_836));
}

#[test]
fn without_its_timestamp_an_entry_of_rekor_v2_proves_no_time() {
    let mut bundle: Value = serde_json::from_str(&recorded("rekor-v2.json")).unwrap();
    bundle["verificationMaterial"]["timestampVerificationData"] = Value::Null;
    person().refuses("time", &bundle);
    // An unsigned time does not count.
    bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1779781336".into();
    person().refuses("time", &bundle);
}

#[test]
fn the_evidence_of_one_bundle_proves_nothing_of_another() {
    let one: Value = serde_json::from_str(&recorded("rekor-v1.json")).unwrap();
    let two: Value = serde_json::from_str(&recorded("rekor-v2.json")).unwrap();
    let mut mixed = one.clone();
    mixed["verificationMaterial"]["tlogEntries"] =
        two["verificationMaterial"]["tlogEntries"].clone();
    workflow().refuses("time", &mixed);
    let stamps = &two["verificationMaterial"]["timestampVerificationData"];
    mixed["verificationMaterial"]["timestampVerificationData"] = stamps.clone();
    workflow().refuses("time", &mixed);
}
