//! Trust facts: who vouches for which digest, until when.

pub mod endorsement;
pub mod keys;
pub mod notaryv1;
pub mod refusal;
pub mod scheme;

pub use endorsement::{Endorsed, Endorsement};
pub use refusal::{Reason, Refusal, Unendorsed};
pub use scheme::Scheme;
