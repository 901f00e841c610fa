//! For the end of Docker Content Trust: lists what Notary v1 signs, which of it has another signature, and writes a
//! script that signs the rest. Reports what the gate verifies, and signs nothing.

mod csv;
mod export;
mod inventory;
mod judge;
mod scope;
mod text;

pub use export::{Exported, Format, export};
pub use inventory::{
    Inventory, ListedRepository, ListedTag, OtherSignature, OtherStatus, RepositoryStatus, Signer,
    TagStatus, Totals,
};
pub use judge::take;
pub use scope::Scope;
