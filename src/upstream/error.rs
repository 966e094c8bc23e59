//! Why a call upstream has no usable answer, and what that says about whether it happened.

use std::fmt;

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// No complete answer in time.
    Timeout,
    /// The connection broke after something was sent.
    Broken(String),
    /// A redirect, which is never followed.
    Redirect(u16),
    /// The answer is larger than we read, or than there is room for.
    TooLarge,
    /// The answer is not what the contract says.
    BadReply(String),
    /// Not sent: most calls of this workspace fail at the moment. Seconds until the next try.
    BreakerOpen { retry_after: u64 },
    /// Not sent: PostPost has refused the workspace's key.
    KeyRefused,
    /// Not sent: too much time had passed since the intent.
    NotSent,
}

impl Error {
    /// Whether the call may have had its effect. A redirect that keeps the method says "ask there instead"; any other may
    /// be the page after a change that was made.
    pub fn may_have_happened(&self) -> bool {
        !self.was_not_sent() && !matches!(self, Self::Redirect(307 | 308))
    }

    /// Whether upstream knows nothing of the call.
    pub fn was_not_sent(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::BreakerOpen { .. } | Self::KeyRefused | Self::NotSent)
    }

    /// Stable word for entries and item codes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "upstream_unreachable",
            Self::Timeout => "upstream_timeout",
            Self::Broken(_) => "upstream_reset",
            Self::Redirect(_) => "upstream_redirect",
            Self::TooLarge | Self::BadReply(_) => "upstream_bad_reply",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::KeyRefused => "workspace_suspended",
            Self::NotSent => "overloaded",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(detail) => write!(f, "PostPost cannot be reached: {detail}"),
            Self::Timeout => f.write_str("PostPost did not answer in time"),
            Self::Broken(detail) => write!(f, "the connection to PostPost broke: {detail}"),
            Self::Redirect(status) => write!(f, "PostPost answered with a redirect ({status})"),
            Self::TooLarge => f.write_str("PostPost's answer is too large"),
            Self::BadReply(detail) => write!(f, "PostPost's answer cannot be used: {detail}"),
            Self::BreakerOpen { .. } => {
                f.write_str("PostPost is not asked for a moment, because most calls fail")
            }
            Self::KeyRefused => f.write_str("PostPost refused the workspace's key, so it is not asked"),
            Self::NotSent => f.write_str("not sent: too much time had passed since the intent"),
        }
    }
}

impl std::error::Error for Error {}

pub(super) fn sort(error: reqwest::Error) -> Error {
    // The URL is ours and holds nothing secret, but a message is shorter without it.
    let error = error.without_url();
    if error.is_connect() || error.is_builder() {
        Error::Unreachable(root(&error))
    } else if error.is_timeout() {
        Error::Timeout
    } else {
        Error::Broken(root(&error))
    }
}

/// The innermost cause, which is the one that says something.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
