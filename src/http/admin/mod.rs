//! The HTML door of the operators. Must not be imported by the other doors.
pub mod views;
