//! The timestamp of an envelope: a valid RFC 3161 token of an authority whose certificates meet the specification. Pure;
//! does not check the revocation of certificates.

use std::time::Duration;

use crate::trust::signature::Flaw;
use crate::trust::timestamp::{self, Authority, TstInfo};
use crate::trust::x509::Certificate;

use super::chain::{Chain, Purpose};
use super::flaw;

/// A token that a trusted authority made over a signature.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    pub(super) info: TstInfo,
    /// The certificates from the authority to a root of the tsa store. All were valid at that time.
    pub(super) chain: Chain,
}

/// Verifies `token` as the timestamp over `signature` by an authority below one of `roots`.
pub(super) fn verify(
    token: &[u8],
    signature: &[u8],
    roots: &[Certificate],
) -> Result<Stamped, Flaw> {
    let authority = Authority { signer: None, intermediates: &[], roots, names_signer: true };
    let timestamp::Stamped { info, path } = timestamp::verify(token, signature, &authority)?;
    let chain = Chain::new(path, Purpose::TimeStamping)
        .map_err(|inner| flaw("timestamp", inner.found, inner.wanted))?;
    if let Some(one) = chain.invalid_around(info.time, Duration::ZERO) {
        let found = format!("{:?} was not valid at {}", one.name(), info.time);
        return Err(flaw("timestamp", found, "an authority that was valid at that time"));
    }
    Ok(Stamped { info, chain })
}
