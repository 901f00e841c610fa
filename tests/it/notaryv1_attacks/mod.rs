//! Every row of the Notary v1 attack table in `docs/verification.md`, each with a test named after its row. Each file is a
//! group of the table. Each test breaks a valid repository in exactly one way, and the pure verifier must return the
//! expected reason: no network, no clock.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "code that tests share is outside of test functions"
)]

mod judge;

mod captured;
mod d_delegations;
mod f_expiry;
mod f_recovery;
mod f_rollback;
mod frozen;
mod j_json;
mod k_keys;
mod k_signatures;
mod m_hashes;
mod properties;
mod r_names;
mod r_rotation;

use countersign::oci::Digest;
use countersign::trust::Reason;

use crate::notary_repository::*;
use judge::Judge;

#[test]
fn the_repository_that_all_attacks_break_is_valid() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let updated = judge.admits(&repository.publish());
    assert_eq!(judge::resolved(&updated, "v1"), Digest::of(V1));
    assert_eq!(judge::resolved(&updated, "base"), Digest::of(BASE));
    assert_eq!(judge::unresolved(&updated, "nope"), Reason::TagNotSigned);
    let again = judge.admits_after(&updated, &repository.publish());
    assert_eq!(judge::resolved(&again, "v1"), Digest::of(V1));
}
