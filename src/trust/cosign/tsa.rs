//! The timestamp authorities of a trusted root. Pure.

use sigstore_trust_root::trusted_root::TimestampAuthority;
use sigstore_types::TimeRange;

use crate::clock::Timestamp;
use crate::trust::signature::Flaw;
use crate::trust::timestamp;
use crate::trust::x509::Certificate;

use super::flaw::{TIME, flaw};
use super::log::{checked, covers};

const WANTED: &str = "a timestamp by an authority of the trusted root";

/// A timestamp authority.
#[derive(Debug)]
pub(super) struct Tsa {
    /// The only certificate that signs its timestamps. `None`: the root names only CAs, and any signer below them counts.
    signer: Option<Certificate>,
    intermediates: Vec<Certificate>,
    root: Certificate,
    window: Option<TimeRange>,
}

impl Tsa {
    /// # Errors
    /// A certificate cannot be used to verify timestamps, or the time ends before it begins.
    pub(super) fn new(authority: &TimestampAuthority) -> Result<Self, String> {
        let name = authority.uri.as_deref().or(authority.subject.common_name.as_deref());
        let name = name.unwrap_or("without a name");
        let unfit = |why: String| format!("cannot be used: the timestamp authority {name:?} {why}");
        let window = checked(authority.valid_for).map_err(&unfit)?;
        let chain = authority.cert_chain.certificates.iter();
        let parsed: Result<Vec<_>, _> =
            chain.map(|one| Certificate::parse(one.raw_bytes.as_bytes())).collect();
        let mut chain = parsed.map_err(|why| unfit(format!("cannot verify timestamps: {why}")))?;
        let root = chain.pop().ok_or_else(|| unfit("has no certificate".to_owned()))?;
        // As in sigstore-go: the first certificate signs the timestamps, unless it is a CA.
        let signer = match chain.first().unwrap_or(&root) {
            first if first.is_ca() => None,
            first => Some(first.clone()),
        };
        if signer.is_some() && !chain.is_empty() {
            chain.remove(0);
        }
        if let Some(signer) = &signer
            && !signer.extended_key_usage.is_some_and(|purposes| purposes.time_stamping)
        {
            let why = format!("signs with {:?}, which is not for timestamps", signer.name());
            return Err(unfit(why));
        }
        Ok(Self { signer, intermediates: chain, root, window })
    }

    /// The time of `token` over `content`.
    fn time(&self, token: &[u8], content: &[u8]) -> Result<Timestamp, Flaw> {
        let authority = timestamp::Authority {
            signer: self.signer.as_ref(),
            intermediates: &self.intermediates,
            roots: std::slice::from_ref(&self.root),
            names_signer: false,
        };
        let stamped = timestamp::verify(token, content, &authority)
            .map_err(|inner| flaw(TIME, inner.found, WANTED))?;
        let at = stamped.info.time;
        match covers(self.window, at) {
            true => Ok(at),
            false => {
                Err(flaw(TIME, format!("the timestamp authority was not in use at {at}"), WANTED))
            }
        }
    }
}

/// The time that `response`, a TimeStampResp or a TimeStampToken, proves for `content`: by one of `authorities`, and not
/// after `now`.
pub(super) fn stamped(
    response: &[u8],
    content: &[u8],
    authorities: &[Tsa],
    now: Timestamp,
) -> Result<Timestamp, Flaw> {
    let token = timestamp::granted(response)
        .ok_or_else(|| flaw(TIME, "a response without a timestamp", WANTED))?;
    let mut why = flaw(TIME, "the trusted root names no timestamp authority", WANTED);
    for authority in authorities {
        match authority.time(token, content) {
            Ok(at) if at > now => {
                return Err(flaw(
                    TIME,
                    format!("a timestamp of {at}, in the future"),
                    "a past time",
                ));
            }
            Ok(at) => return Ok(at),
            Err(flaw) => why = flaw,
        }
    }
    Err(why)
}
