//! The integration tests: one crate, so that they link once. A module per part, named as in `src/`.

mod bulk;
mod isolation;
mod pages;
mod process;
mod sandbox;
mod tenant_door;
mod testapp;
