//! Changes on the Notary server take effect within `refresh`, without a restart of the gate.

use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::notary::Keys;
use crate::registry::digest_of;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        a_tag_signed_again_serves_the_new_image,
        signatures_of_a_removed_signer_no_longer_count,
        rotated_targets_and_snapshot_keys_are_accepted,
        a_rotated_root_is_accepted_if_pinned_and_refused_otherwise,
        expired_metadata_is_refused,
    ]
}

fn a_tag_signed_again_serves_the_new_image() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let first = signer.push(&site.image("library/app:1"), "first");
    let gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/app", "1", Ok(&first));
    gate.comes_to("library/app", "2", Err("tag_not_signed"));

    let second = signer.push(&site.image("library/app:1"), "second");
    let new = signer.push(&site.image("library/app:2"), "new");
    assert_ne!(first, second);
    gate.comes_to("library/app", "1", Ok(&second));
    gate.comes_to("library/app", "2", Ok(&new));
    // No tag refers to it any more.
    gate.comes_to("library/app", &first, Err("digest_not_signed"));
}

fn signatures_of_a_removed_signer_no_longer_count() {
    let site = Site::new(Keys::InSigner);
    let signer = site.signer();
    let repository = site.image("library/app");
    signer.add("alice", &repository);
    signer.add("bob", &repository);
    let digest = signer.push(&site.image("library/app:1"), "signed by both");
    let of_both = site.gate(&signer, "refresh = \"1s\"\nsigners = [\"alice\", \"bob\"]");
    let of_any = site.gate(&signer, PROMPT);
    of_both.comes_to("library/app", "1", Ok(&digest));
    of_any.comes_to("library/app", "1", Ok(&digest));

    signer.remove("bob", &repository);
    of_both.comes_to("library/app", "1", Err("signer_missing"));
    of_any.comes_to("library/app", "1", Ok(&digest));

    // The releases are still there, but no key may sign for them any more.
    signer.remove("alice", &repository);
    of_any.comes_to("library/app", "1", Err("tag_not_signed"));
}

fn rotated_targets_and_snapshot_keys_are_accepted() {
    let site = Site::new(Keys::InSigner);
    let signer = site.signer();
    let repository = site.image("library/app");
    let digest = signer.push(&site.image("library/app:1"), "signed with the first keys");
    let gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/app", "1", Ok(&digest));

    let rotations: [&[&str]; 4] =
        [&["targets"], &["snapshot"], &["snapshot", "-r"], &["timestamp", "-r"]];
    for (number, rotation) in rotations.into_iter().enumerate() {
        signer.rotate(&repository, rotation);
        // Signed with the new keys: the gate serves it only if it accepted them.
        let tag = format!("after-{number}");
        let manifest = site.registry.manifest("library/app", &digest);
        signer.sign_digest(&repository, &tag, &manifest);
        gate.comes_to("library/app", &tag, Ok(&digest));
        gate.comes_to("library/app", "1", Ok(&digest));
    }
}

fn a_rotated_root_is_accepted_if_pinned_and_refused_otherwise() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let repository = site.image("library/app");
    let digest = signer.push(&site.image("library/app:1"), "signed under the first root");
    let (first, second) = (signer.root_key_id(), signer.new_root_key());
    let start = |pins: &[&str]| Gate::start(0, "", &site.config(pins, PROMPT), Clock::Machine);
    let gate = start(&[&first, &second]);
    let unprepared = start(&[&first]);
    gate.comes_to("library/app", "1", Ok(&digest));
    unprepared.comes_to("library/app", "1", Ok(&digest));

    signer.rotate_root_to(&repository, &second);
    let manifest = site.registry.manifest("library/app", &digest);
    signer.sign_digest(&repository, "2", &manifest);
    gate.comes_to("library/app", "2", Ok(&digest));
    unprepared.comes_to("library/app", "1", Err("root_not_pinned"));

    // To an unknown root.
    signer.rotate(&repository, &["root"]);
    gate.comes_to("library/app", "2", Err("root_not_pinned"));
}

/// Notary 0.7 has no setting for the validity of metadata, so the test advances the gate's clock instead. The server's
/// clock does not change, and it continues to send a timestamp that has expired for the gate.
fn expired_metadata_is_refused() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "signed for two weeks");
    let folder = Folder::new("clock");
    let clock = Clock::File(folder.write("offset", "+0\n"));
    let gate = Gate::start(0, "", &site.config(&[&signer.root_key_id()], PROMPT), clock);
    gate.comes_to("library/app", "1", Ok(&digest));

    folder.write("offset", "+13d\n");
    gate.comes_to("library/app", "1", Ok(&digest));
    let answer = gate.manifest("library/app", "1");
    assert_eq!(digest_of(&answer.body), digest);
    folder.write("offset", "+15d\n");
    gate.comes_to("library/app", "1", Err("expired"));
}
