//! What a client should know about an image that it gets: a circumstance under which it soon may not get it any more.
//! Pure; the server formats it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::exemptions::Exemption;
use crate::trust::{Endorsement, Origin};

use super::Permit;

/// How long before its end trust data soon expires.
pub const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A circumstance under which an image is served. `W` is the denial that enforcement of an audit rule would give.
#[derive(Debug)]
pub enum Caveat<'a, W> {
    /// The image is not signed; an operator exempted it.
    Exempted(&'a Exemption),
    /// Only an audit rule serves the image. Enforcement would deny it.
    WouldBeDenied(&'a W),
    /// The trust data of the anchor is an archive that no longer changes. It counts until that instant.
    Frozen { anchor: &'a str, until: Timestamp },
    /// The trust data of the anchor expires soon, at that instant, unless a person signs again.
    Expires { anchor: &'a str, at: Timestamp },
}

impl<W> Permit<W> {
    /// The caveats at `now`. Usually there are none, and this allocates nothing.
    pub fn caveats(&self, now: Timestamp) -> impl Iterator<Item = Caveat<'_, W>> {
        let exempted = self.exemption().map(Caveat::Exempted);
        let would = self.dry_run_denial().map(|denial| Caveat::WouldBeDenied(&**denial));
        let endorsed = self.endorsements().iter().flat_map(move |endorsement| {
            [frozen(endorsement), expires_soon(endorsement, now)].into_iter().flatten()
        });
        exempted.into_iter().chain(would).chain(endorsed)
    }
}

fn frozen<W>(endorsement: &Endorsement) -> Option<Caveat<'_, W>> {
    let says = endorsement.says();
    match says.origin {
        Origin::Published => None,
        Origin::Frozen { until } => Some(Caveat::Frozen { anchor: &says.anchor, until }),
    }
}

fn expires_soon<W>(endorsement: &Endorsement, now: Timestamp) -> Option<Caveat<'_, W>> {
    let says = endorsement.says();
    let at = says.renew_by.filter(|at| *at <= now.plus(SOON))?;
    Some(Caveat::Expires { anchor: &says.anchor, at })
}
