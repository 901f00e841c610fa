//! The warnings of `check` about valid anchors that do less than their keys suggest. Pure.

use super::{Config, cosign, notaryv1};

impl Config {
    /// Unexpected effects of this anchor's configuration, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = match self {
            Self::NotaryV1(config) => of_notary(config),
            Self::Cosign(config) => of_cosign(config),
            Self::Notation(config) => config.warnings(),
        };
        warnings.into_iter().map(|warning| format!("{}: {warning}", self.name())).collect()
    }
}

fn of_notary(config: &notaryv1::Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.max_timestamp_life < notaryv1::TIMESTAMP_LIFE {
        warnings.push(
            "`max_timestamp_life` is below 14d: Notary servers issue timestamps for 14 days by \
             default, and timestamps that are valid for longer than this key allows count as expired"
                .to_owned(),
        );
    }
    if config.pins.are_all_revoked(&config.revoked) {
        warnings.push(
            "`revoked` lists every key of `root_keys`, so all trust data is refused; pin the key that replaces \
             the lost one"
                .to_owned(),
        );
    }
    warnings
}

fn of_cosign(config: &cosign::Config) -> Vec<String> {
    let may_be_logged_again = match &config.signers {
        cosign::Signers::Keys(_) | cosign::Signers::Pki { .. } => true,
        cosign::Signers::Keyless { .. } => false,
    };
    let mut warnings = Vec::new();
    if may_be_logged_again && config.restrictions.max_age.is_some() {
        warnings.push(
            "`max_age` accepts only signatures that state a time, because anybody can log or timestamp an old \
             signature again; sign with `cosign sign -a timestamp=$(date +%s)`"
                .to_owned(),
        );
    }
    warnings
}
