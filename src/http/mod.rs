//! The doors. Mounts them; must not hold rules of its own.
pub mod admin;
