//! The audit log itself: the bytes of an entry, the tree over them, what is signed and proven about it, and the group-commit
//! writer. Appending within a transaction of our own data is `Tx::append` in `store::audit`; the bytes, the tree, notes and
//! proofs know nothing of the store.

mod anchors;
pub mod bundle;
mod denials;
pub mod entry;
mod guard;
pub mod log;
mod look;
pub mod note;
pub mod proof;
pub mod proofs;
pub mod restore;
pub mod tiles;
pub mod tree;
pub mod verify;
pub mod writer;

pub use log::{Log, Places, Signed};
pub use writer::{Unavailable, Writer};
