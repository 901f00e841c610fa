//! Notation: valid envelopes, and each way in which an envelope is invalid. In process, without network requests.

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
