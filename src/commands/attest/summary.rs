//! The predicate of the attestation (SLSA, "Verification Summary Attestation", version 1).

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::gate::{Admitted, Gate};
use crate::oci::{Digest, ImageRef};
use crate::trust::{Scheme, TrustFile};

/// The type of the predicate.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/verification_summary/v1";

/// The version of SLSA whose fields the predicate has.
const SLSA_VERSION: &str = "1.0";

/// What was verified, by whom, when, and with which rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    verifier_id: String,
    at: Timestamp,
    resource: String,
    rule: String,
    /// The digest of the active rules and of the anchors that they use.
    policy: Digest,
    inputs: Vec<TrustFile>,
    /// The schemes whose signatures were verified.
    schemes: Vec<Scheme>,
}

impl Summary {
    pub(super) fn of(
        gate: &Gate,
        image: &ImageRef,
        admitted: &Admitted,
        verifier_id: &str,
        now: Timestamp,
    ) -> Self {
        let (mut inputs, mut schemes) = (Vec::new(), Vec::new());
        for endorsement in admitted.endorsements() {
            let says = endorsement.says();
            inputs.extend(says.based_on.iter().map(|file| match says.scheme {
                // The name of a role; the names of signatures over content begin with their registry.
                Scheme::NotaryV1 => {
                    let name = format!("{}/{}", says.repository, file.name);
                    TrustFile { name, digest: file.digest }
                }
                Scheme::Cosign | Scheme::Notation => file.clone(),
            }));
            if !schemes.contains(&says.scheme) {
                schemes.push(says.scheme);
            }
        }
        Self {
            verifier_id: verifier_id.to_owned(),
            at: now,
            resource: format!("oci://{image}"),
            rule: admitted.rule().to_owned(),
            policy: policy(gate, now),
            inputs,
            schemes,
        }
    }

    /// The predicate.
    pub fn to_json(&self) -> Value {
        let digest = |digest: &Digest| json!({ digest.algorithm().name(): digest.hex() });
        let inputs = self.inputs.iter();
        let inputs = inputs.map(|file| json!({ "uri": file.name, "digest": digest(&file.digest) }));
        let rule = utf8_percent_encode(&self.rule, NON_ALPHANUMERIC);
        let levels = self.schemes.iter().map(|scheme| match scheme {
            Scheme::NotaryV1 => "COUNTERSIGN_NOTARYV1",
            Scheme::Cosign => "COUNTERSIGN_COSIGN",
            Scheme::Notation => "COUNTERSIGN_NOTATION",
        });
        json!({
            "verifier": {
                "id": self.verifier_id,
                "version": { "countersign": env!("CARGO_PKG_VERSION") },
            },
            "timeVerified": format!("{:#}", self.at),
            "resourceUri": self.resource,
            "policy": {
                "uri": format!("{}#rule={rule}", self.verifier_id),
                "digest": digest(&self.policy),
            },
            "inputAttestations": inputs.collect::<Vec<_>>(),
            "verificationResult": "PASSED",
            "verifiedLevels": levels.collect::<Vec<_>>(),
            "slsaVersion": SLSA_VERSION,
        })
    }
}

/// The digest of the rules in force at `now` and of the anchors that they use, in canonical JSON.
fn policy(gate: &Gate, now: Timestamp) -> Digest {
    let (policy, trust) = (gate.policy(), gate.trust());
    let anchors = policy.anchors_in_force(now).into_iter().filter_map(|name| {
        let anchor = trust.anchor(name)?;
        let scheme = anchor.scheme().as_str();
        let fingerprint = anchor.fingerprint().to_string();
        Some(json!({ "name": name, "scheme": scheme, "fingerprint": fingerprint }))
    });
    let anchors: Vec<Value> = anchors.collect();
    let canonical = json!({ "anchors": anchors, "rules": policy.canonical(now) });
    Digest::of(canonical.to_string().as_bytes())
}
