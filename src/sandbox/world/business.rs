//! What a business of the demo world is made of: its accounts, and the words its posts are composed from.

/// A tenant to be.
pub(super) struct Business {
    /// The display name; also what its dice are seeded with.
    pub(super) name: &'static str,
    /// The user name; unique in the sandbox.
    pub(super) email: &'static str,
    /// The host of its web site, for links and pictures.
    pub(super) site: &'static str,
    /// How many posts are composed for it, beside the `specials`.
    pub(super) posts: i64,
    /// How long its connection link lives in days; almost nothing for one that has run out.
    pub(super) link_days: Option<f64>,
    /// Never empty.
    pub(super) accounts: &'static [Account],
    /// Empty for a business without posts, as all that follows.
    pub(super) words: Words,
}

/// A connected account.
pub(super) struct Account {
    /// The compound id.
    pub(super) id: &'static str,
    /// The handle.
    pub(super) handle: &'static str,
    /// The profile's address.
    pub(super) profile: &'static str,
    /// How its token stands.
    pub(super) token: Token,
}

/// How long a token lives yet, or since when it does not.
#[derive(Clone, Copy)]
pub(super) enum Token {
    /// The platform has no expiry.
    Endless,
    /// Expires in so many hours.
    Left(i64),
    /// Expired so many hours ago.
    Gone(i64),
}

/// The words posts are composed from.
pub(super) struct Words {
    /// Sentences with `{what}`, `{What}`, `{extra}` and `{Extra}` in them.
    pub(super) lines: &'static [&'static str],
    /// What the post is about.
    pub(super) what: &'static [&'static str],
    /// What is said of it.
    pub(super) extra: &'static [&'static str],
    /// How the post ends; may be empty, may hold `{site}`.
    pub(super) ends: &'static [&'static str],
    /// Added to the text on Instagram.
    pub(super) tags: &'static str,
    /// Names of pictures.
    pub(super) pictures: &'static [&'static str],
}

impl Account {
    /// The platform's name.
    pub(super) fn platform(&self) -> &'static str {
        self.id.split('-').next().unwrap_or_default()
    }

    /// When its token expires, if ever.
    pub(super) fn expires(&self, now: i64) -> Option<i64> {
        const HOUR: i64 = 3_600_000;
        match self.token {
            Token::Endless => None,
            // Not on the hour: nobody connects then.
            Token::Left(hours) => Some(now + hours * HOUR + 1_460_000),
            Token::Gone(hours) => Some(now - hours * HOUR - 1_460_000),
        }
    }
}
