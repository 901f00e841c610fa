//! The record of one tag, and its format in the database.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Noted;
use crate::clock::Timestamp;
use crate::oci::Digest;

/// The history of one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The digest that was last admitted.
    pub digest: Digest,
    /// When it was first admitted.
    pub since: Timestamp,
    /// The newest signing time of the images that were admitted under this tag.
    pub newest: Option<Timestamp>,
}

/// A record as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    digest: String,
    /// Unix seconds.
    since: i64,
    /// Unix seconds, and nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<(i64, u32)>,
}

impl Remembered {
    /// Whether `digest` rolls the tag back from `before` to another image that was signed earlier. An image without a signing
    /// time counts as earlier, because an attacker who controls the registry can remove the proof of the time.
    pub(super) fn compare(
        before: Option<&Self>,
        digest: &Digest,
        signed: Option<Timestamp>,
    ) -> Noted {
        let newest = before.filter(|before| before.digest != *digest);
        match newest.and_then(|before| before.newest) {
            Some(newest) if signed.is_none_or(|signed| signed < newest) => Noted::Older { newest },
            Some(_) | None => Noted::Recorded,
        }
    }

    /// The record after `digest`, signed at `signed`, was admitted at `now`. The newest signing time stays when an older image
    /// follows. It is never after `now`, because then every later image would be a rollback.
    pub(super) fn after(
        before: Option<&Self>,
        digest: &Digest,
        signed: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let signed = signed.map(|signed| signed.min(now));
        let newest = before.and_then(|before| before.newest).max(signed);
        let same = before.filter(|before| before.digest == *digest);
        Self { digest: *digest, since: same.map_or(now, |before| before.since), newest }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let stored = Stored {
            digest: self.digest.to_string(),
            since: self.since.unix(),
            newest: self.newest.map(|newest| (newest.unix(), newest.subsec_nanos())),
        };
        // These types always serialize. If not, the record would be read as damaged.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// `None` if the bytes are not a record.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Stored>(bytes).ok()?.read()
    }
}

impl Stored {
    pub(super) fn read(&self) -> Option<Remembered> {
        let newest = self.newest.map(|(seconds, nanos)| {
            Timestamp::from_unix(seconds).plus(Duration::from_nanos(nanos.into()))
        });
        let since = Timestamp::from_unix(self.since);
        Some(Remembered { digest: self.digest.parse().ok()?, since, newest })
    }
}
