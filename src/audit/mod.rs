//! The audit log itself: the bytes of an entry, the tree over them, and the group-commit writer. Appending within a
//! transaction of our own data is `Tx::append` in `store::audit`; the bytes and the tree know nothing of the store.

mod denials;
pub mod entry;
pub mod tree;
pub mod writer;

pub use writer::{Unavailable, Writer};
