//! Notation: what an envelope proves, and each way in which it proves nothing. In process: the judge
//! asks nobody.

mod attributes;
mod chains;
mod envelopes;
mod frozen;
mod ocsp;
mod responder;
mod restrictions;
mod revocation;
mod settings;
mod site;
mod timestamps;
