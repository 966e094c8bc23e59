//! Small parts that many pages print: badges, times, ids, counts, pagers.
//!
//! Each is a template of its own, so that `{{ row.badge }}` prints it. They are marked safe for HTML because they
//! escape what they hold; they must not hold HTML.

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;

/// A state as text, shape and colour. Never by colour alone.
#[derive(Template, Clone, Debug, Default)]
#[template(path = "partials/badge.html")]
pub struct Badge {
    /// Colour: `ok warn danger info neutral paused`.
    pub kind: &'static str,
    /// Name of a symbol in the sprite.
    pub icon: &'static str,
    pub text: String,
}

impl HtmlSafe for Badge {}

impl Badge {
    pub fn new(kind: &'static str, icon: &'static str, text: impl Into<String>) -> Badge {
        Badge { kind, icon, text: text.into() }
    }

    /// A post, a platform post, or a key word of ours: `paused`, `processing`, `publishing`. Unknown words are
    /// printed as they came.
    pub fn post(status: &str) -> Badge {
        match status {
            "scheduled" => Badge::new("info", "clock", "Scheduled"),
            "draft" => Badge::new("neutral", "draft", "Draft"),
            "paused" => Badge::new("paused", "pause", "Paused"),
            "pending" => Badge::new("info", "half", "Pending"),
            "processing" | "publishing" => Badge::new("info", "half", "Publishing"),
            "published" => Badge::new("ok", "check", "Published"),
            "partially_published" => Badge::new("warn", "partly", "Partly published"),
            "failed" => Badge::new("danger", "cross", "Failed"),
            "unknown" | "" => Badge::new("neutral", "what", "Unknown"),
            other => Badge::new("neutral", "what", other),
        }
    }

    /// The state of a job.
    pub fn job(state: &str) -> Badge {
        match state {
            "queued" => Badge::new("neutral", "clock", "Queued"),
            "starting" => Badge::new("info", "clock", "Starting"),
            "running" => Badge::new("info", "half", "Running"),
            "pausing" => Badge::new("paused", "pause", "Pausing"),
            "paused" => Badge::new("paused", "pause", "Paused"),
            "completed" => Badge::new("ok", "check", "Completed"),
            "completed_with_errors" => Badge::new("warn", "partly", "Completed with errors"),
            "cancelling" => Badge::new("neutral", "cross", "Cancelling"),
            "cancelled" => Badge::new("neutral", "cross", "Cancelled"),
            "stopped" => Badge::new("danger", "warn", "Stopped"),
            "failed" => Badge::new("danger", "cross", "Failed"),
            other => Badge::new("neutral", "what", other),
        }
    }

    /// The state of one item of a job.
    pub fn item(state: &str) -> Badge {
        match state {
            "pending" => Badge::new("neutral", "clock", "Pending"),
            "running" => Badge::new("info", "half", "Running"),
            "succeeded" => Badge::new("ok", "check", "Done"),
            "gone" => Badge::new("neutral", "check", "Already gone"),
            "skipped" => Badge::new("neutral", "skip", "Skipped"),
            "failed" => Badge::new("danger", "cross", "Failed"),
            "unknown" => Badge::new("warn", "what", "Unknown"),
            "cancelled" => Badge::new("neutral", "cross", "Cancelled"),
            other => Badge::new("neutral", "what", other),
        }
    }

    /// A connection's token; `text` such as "Expires in 5 d" or "3 valid".
    pub fn token(status: &str, text: impl Into<String>) -> Badge {
        match status {
            "valid" => Badge::new("ok", "check", text),
            "expiring_soon" => Badge::new("warn", "warn", text),
            "expired" => Badge::new("danger", "cross", text),
            _ => Badge::new("neutral", "draft", text),
        }
    }

    /// A gateway key: `active`, `expiring`, `expired`, `revoked`.
    pub fn key(status: &str) -> Badge {
        match status {
            "active" => Badge::new("ok", "check", "Active"),
            "expiring" => Badge::new("warn", "warn", "Expires soon"),
            "pending" => Badge::new("info", "clock", "Waits for first use"),
            "retiring" => Badge::new("warn", "half", "Being replaced"),
            "retired" => Badge::new("neutral", "cross", "Replaced"),
            "lapsed" => Badge::new("neutral", "cross", "Never used"),
            "expired" => Badge::new("danger", "cross", "Expired"),
            "revoked" => Badge::new("neutral", "cross", "Revoked"),
            other => Badge::new("neutral", "what", other),
        }
    }

    /// A tenant, a workspace or a person: `active`, `frozen`, `detached`, `key_invalid`, `disabled`.
    pub fn state(state: &str) -> Badge {
        match state {
            "active" => Badge::new("ok", "check", "Active"),
            "frozen" => Badge::new("paused", "freeze", "Frozen"),
            "detached" => Badge::new("neutral", "cross", "Detached"),
            "key_invalid" => Badge::new("danger", "cross", "Key refused"),
            "disabled" => Badge::new("neutral", "cross", "Cannot sign in"),
            other => Badge::new("neutral", "what", other),
        }
    }

    /// The outcome of an audit entry.
    pub fn outcome(outcome: &str) -> Badge {
        match outcome {
            "intent" => Badge::new("info", "half", "Started"),
            "succeeded" => Badge::new("ok", "check", "Success"),
            "gone" => Badge::new("neutral", "check", "Already gone"),
            "denied" => Badge::new("warn", "lock", "Denied"),
            "refused" => Badge::new("danger", "cross", "Refused by PostPost"),
            "failed" => Badge::new("danger", "cross", "Failed"),
            "in_doubt" => Badge::new("warn", "what", "In doubt"),
            "applied" => Badge::new("ok", "check", "Did happen"),
            "not_applied" => Badge::new("danger", "cross", "Did not happen"),
            "unknown" => Badge::new("warn", "what", "Not known"),
            other => Badge::new("neutral", "what", other),
        }
    }
}

/// An instant, absolute first.
#[derive(Template, Clone, Debug, Default)]
#[template(path = "partials/moment.html")]
pub struct Moment {
    /// `2026-03-15T14:30:00Z`
    pub iso: String,
    /// "15 Mar 2026, 14:30 UTC"; with seconds in audit and jobs.
    pub absolute: String,
    /// "in 3 h". Empty: not printed.
    pub relative: String,
}

impl HtmlSafe for Moment {}

/// An id, shortened, with a copy button for all of it.
#[derive(Template, Clone, Debug, Default)]
#[template(path = "partials/copy_id.html")]
pub struct CopyId {
    pub full: String,
    pub short: String,
    /// What it is, for the button's name: "post ID".
    pub label: &'static str,
}

impl HtmlSafe for CopyId {}

impl CopyId {
    /// `507f…9011`
    pub fn short(label: &'static str, full: impl Into<String>) -> CopyId {
        let full = full.into();
        let chars: Vec<char> = full.chars().collect();
        let short = match chars.as_slice() {
            [a, b, c, d, .., w, x, y, z] if chars.len() > 12 => format!("{a}{b}{c}{d}…{w}{x}{y}{z}"),
            _ => full.clone(),
        };
        CopyId { full, short, label }
    }

    /// In full, for detail pages.
    pub fn whole(label: &'static str, full: impl Into<String>) -> CopyId {
        let full = full.into();
        CopyId { short: full.clone(), full, label }
    }
}

/// A number with thousands separators: `4,312`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl HtmlSafe for Count {}

impl From<u64> for Count {
    fn from(n: u64) -> Count {
        Count(n)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl Count {
    /// "1 post", "4,312 posts".
    pub fn of(&self, one: &str, many: &str) -> String {
        format!("{self} {}", if self.0 == 1 { one } else { many })
    }
}

/// A number that was counted up to a bound only: `4,312`, or `10,000+` for more than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub n: Count,
    pub more: bool,
}

impl HtmlSafe for Counted {}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.n, if self.more { "+" } else { "" })
    }
}

impl Counted {
    /// "1 post", "4,312 posts", "10,000+ posts".
    pub fn of(&self, one: &str, many: &str) -> String {
        format!("{self} {}", if self.n.0 == 1 { one } else { many })
    }
}

/// A link with its text. `url` must be a path of ours.
#[derive(Clone, Debug, Default)]
pub struct Link {
    pub text: String,
    pub url: String,
}

impl Link {
    pub fn new(text: impl Into<String>, url: impl Into<String>) -> Link {
        Link { text: text.into(), url: url.into() }
    }
}

/// The outcome of the last action, or a standing notice. Stays until the next page.
#[derive(Template, Clone, Debug, Default)]
#[template(path = "partials/banner.html")]
pub struct Banner {
    /// `ok info warn danger`; `danger` is announced as an alert.
    pub kind: &'static str,
    pub text: String,
    pub link: Option<Link>,
}

impl HtmlSafe for Banner {}

impl Banner {
    pub fn new(kind: &'static str, text: impl Into<String>) -> Banner {
        Banner { kind, text: text.into(), link: None }
    }
}

/// One active filter; its link is the list without it.
#[derive(Clone, Debug, Default)]
pub struct Chip {
    pub label: String,
    pub remove_url: String,
}

/// A tab as a link, with a count where there is one.
#[derive(Clone, Debug, Default)]
pub struct Tab {
    pub label: String,
    pub count: Option<Count>,
    pub url: String,
    pub current: bool,
}

/// Both directions of a keyset list; `None` at its end.
#[derive(Template, Clone, Debug, Default)]
#[template(path = "partials/pager.html")]
pub struct Pager {
    pub prev_url: Option<String>,
    pub next_url: Option<String>,
    pub prev_text: &'static str,
    pub next_text: &'static str,
}

impl HtmlSafe for Pager {}

impl Pager {
    /// "Previous page" and "Next page".
    pub fn pages(prev_url: Option<String>, next_url: Option<String>) -> Pager {
        Pager { prev_url, next_url, prev_text: "Previous page", next_text: "Next page" }
    }

    /// "Newer" and "Older".
    pub fn times(newer_url: Option<String>, older_url: Option<String>) -> Pager {
        Pager { prev_url: newer_url, next_url: older_url, prev_text: "Newer", next_text: "Older" }
    }
}
