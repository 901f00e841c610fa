//! X.509 certificates and their algorithms, for cosign, notation and timestamps. Decides nothing about trust.

pub(in crate::trust) mod asn1;

mod algorithm;
mod certificate;

pub(in crate::trust) use algorithm::{Hash, SignatureAlgorithm};
pub(in crate::trust) use certificate::{Certificate, certificates, shortened};
