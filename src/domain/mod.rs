//! Plain types and the rules about them. No I/O, no crate that does I/O, nothing of ours but the clock's unit.

pub mod addresses;
pub mod admins;
pub mod audit;
pub mod audit_actions;
pub mod audit_search;
pub mod audit_words;
pub mod created_posts;
pub mod erasures;
pub mod ids;
pub mod jobs;
pub mod keys;
pub mod operations;
pub mod plans;
pub mod posts;
pub mod saved_views;
pub mod secrets;
pub mod selections;
pub mod tenants;
pub mod times;
pub mod updates;
pub mod workspaces;

/// A value that was refused: which field, and why, in words fit for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    pub field: &'static str,
    pub reason: String,
}

impl Invalid {
    pub fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

/// Declares an enum whose every case has one stored and printed word.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $case:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $case),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$case),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$case => $word),+ }
            }

            /// `None` for a word that is not one of [`Self::ALL`].
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$case),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;
