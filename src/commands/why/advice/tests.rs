//! The advice on each denial is one sentence that says who can do what.

use crate::clock::Clock;
use crate::gate::{Denied, Shortage, Undecided};
use crate::pull_through::PullThrough;
use crate::trust::discovery::Places;
use crate::trust::findings::AnchorVerdicts;
use crate::trust::notaryv1::TrustCache;
use crate::trust::{Metrics, Refusal, Restriction};

use super::*;

const REASONS: [Reason; 16] = [
    Reason::ContentMismatch,
    Reason::DeniedByRule,
    Reason::DigestNotSigned,
    Reason::Expired,
    Reason::Malformed,
    Reason::MixAndMatch,
    Reason::NoRule,
    Reason::NoTrustData,
    Reason::Rollback,
    Reason::RootNotPinned,
    Reason::SignatureInvalid,
    Reason::SignerMissing,
    Reason::SignersDisagree,
    Reason::TagNotSigned,
    Reason::TrustRemoved,
    Reason::WrongRepository,
];

/// No anchors, and nothing known.
fn trust() -> Trust {
    let places = Places::new(PullThrough::new([], 0), Clock::System);
    let metrics = Metrics::registered(&mut prometheus_client::registry::Registry::default());
    let cache = TrustCache::new(Clock::System, metrics.clone());
    Trust::new([], cache, AnchorVerdicts::new(places, Clock::System, metrics))
}

#[test]
fn advice_on_every_denial_names_who_can_act_in_one_sentence() {
    let trust = trust();
    let image: ImageRef = "r.example/a:1".parse().unwrap();
    let case = Case { image: &image, trust: &trust, rule: None };
    let (rule, anchor, scheme) = (None, None, None);
    let refused = REASONS.map(|reason| {
        let refusal = Refusal::new(reason, "why");
        let (rule, anchor) = (rule.clone(), anchor.clone());
        Denial::Refused(Denied { resource: (&image).into(), refusal, rule, anchor, scheme })
    });
    let doubts = [
        Doubt::GateBusy(Shortage::UnknownNames),
        Doubt::TrustUnreachable,
        Doubt::UpstreamRefused,
        Doubt::UpstreamUnreachable,
    ];
    let undecided = doubts.map(|doubt| {
        let (resource, because) = ((&image).into(), "why".to_owned());
        let (rule, anchor) = (rule.clone(), anchor.clone());
        Denial::Undecided(Undecided { resource, doubt, because, rule, anchor, scheme })
    });
    let message = String::new();
    let missing = [ErrorCode::NameUnknown, ErrorCode::ManifestUnknown]
        .map(|code| Denial::Missing { resource: (&image).into(), code, message: message.clone() });
    let throttled = Denial::Throttled { resource: (&image).into(), retry_after: None };
    let all = refused.into_iter().chain(undecided).chain(missing).chain([throttled]);
    for denial in all {
        let advice = case.denied(&denial);
        let who = ["publisher: ", "signers", "operator of ", "owner of ", "client: "]
            .iter()
            .any(|who| advice.contains(who));
        assert!(who && !advice.ends_with('.') && !advice.contains('\n'), "{denial:?}: {advice}");
    }
}

#[test]
fn advice_on_a_restriction_names_the_key_and_both_ways_out() {
    let trust = trust();
    let image: ImageRef = "r.example/a:1".parse().unwrap();
    let case = Case { image: &image, trust: &trust, rule: None };
    for (reason, restriction, key, fix) in [
        (Reason::Expired, Restriction::MaxTimestampLife, "raise `max_timestamp_life`", "shorter"),
        (Reason::SignatureInvalid, Restriction::MaxAge, "raise `max_age`", "sign the image again"),
        (Reason::SignatureInvalid, Restriction::NotAfter, "set `not_after`", "replaces"),
        (Reason::SignatureInvalid, Restriction::Revoked, "from `revoked`", "does not name"),
        (
            Reason::SignatureInvalid,
            Restriction::SignedIdentity,
            "`signed_identity = \"digest\"`",
            "under the name r.example/a",
        ),
    ] {
        let refusal = Refusal::new(reason, "why").by(restriction);
        let (resource, rule, anchor, scheme) = ((&image).into(), None, None, None);
        let denied = Denied { resource, refusal, rule, anchor, scheme };
        let advice = case.denied(&Denial::Refused(denied));
        assert!(advice.contains(key) && advice.contains(fix), "{restriction:?}: {advice}");
        assert!(advice.contains("operator of the gate: "), "{restriction:?}: {advice}");
    }
}
