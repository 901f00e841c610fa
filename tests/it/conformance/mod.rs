//! One suite for all schemes: clients see the same behavior, whatever the scheme. Each case is written once, and runs
//! for each scheme and each location of its signatures.

mod artifacts;
mod cases;
mod outage;
mod site;

use site::Scheme;

/// The cases, as tests of each scheme.
macro_rules! conformance {
    ($($file:ident: $($case:ident)*;)*) => {
        mod notaryv1 { $($( #[tokio::test] async fn $case() { super::$file::$case(super::Scheme::NotaryV1).await; } )*)* }
        mod cosign_key { $($( #[tokio::test] async fn $case() { super::$file::$case(super::Scheme::CosignKey).await; } )*)* }
        mod cosign_bundle { $($( #[tokio::test] async fn $case() { super::$file::$case(super::Scheme::CosignBundle).await; } )*)* }
        mod cosign_keyless { $($( #[tokio::test] async fn $case() { super::$file::$case(super::Scheme::CosignKeyless).await; } )*)* }
        mod notation { $($( #[tokio::test] async fn $case() { super::$file::$case(super::Scheme::Notation).await; } )*)* }
    };
}

conformance! {
    cases:
        a_signed_image_is_served_by_its_tag_and_by_its_digest
        an_unsigned_image_is_absent
        an_image_signed_by_somebody_else_is_refused
        an_image_whose_signature_has_expired_is_refused
        head_and_get_agree
        a_child_is_served_through_its_index_before_any_sibling
        a_child_is_served_through_its_index_after_a_restart
        a_child_of_an_index_that_nobody_has_asked_for
        a_child_of_an_unsigned_index_is_absent
        hostile_sizes_admit_nothing;
    outage:
        what_was_verified_is_served_for_max_stale_while_nothing_answers
        what_was_not_verified_is_undecided_while_nothing_answers
        a_gate_that_never_saw_anything_is_undecided_while_nothing_answers
        that_too_many_requests_came_is_passed_on;
    artifacts:
        what_is_about_a_signed_image_passes
        what_is_about_an_unsigned_image_does_not_pass
        an_image_dressed_as_a_signature_is_refused
        an_index_dressed_as_a_signature_is_refused
        a_list_of_referrers_admits_nothing_that_it_lists;
}
