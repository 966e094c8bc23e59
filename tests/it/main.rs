//! The integration tests: one crate, so that they link once. A module per part, named as in `src/`.

mod sandbox;
mod store;
mod structure;
mod support;
