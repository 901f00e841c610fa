//! The pushes of an attacker who can push to a repository with one signed image, but has no key. Pure: bytes in, bytes
//! out.

pub(crate) mod artifacts;
pub(crate) mod attack;
pub(crate) mod borrowed;
pub(crate) mod listed;
pub(crate) mod lists;
pub(crate) mod runnable;

use attack::{Attack, Target};

/// All attacks on `target`. Each has its own repository and content.
pub(crate) fn attacks(target: &Target) -> Vec<Attack> {
    [
        lists::attacks(target),
        artifacts::attacks(target),
        borrowed::attacks(target),
        listed::attacks(target),
    ]
    .concat()
}
