//! The audit log itself: the bytes of an entry, the tree over them, what is signed and proven about it, and the group-commit
//! writer. Appending within a transaction of our own data is `Tx::append` in `store::audit`; the bytes, the tree, notes and
//! proofs know nothing of the store.

pub mod bundle;
mod denials;
pub mod entry;
pub mod note;
pub mod proof;
pub mod tree;
pub mod writer;

pub use writer::{Unavailable, Writer};
