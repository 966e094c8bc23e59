//! The one error of the doors and its one table: status, stable code, text that may be shown. Two renderers: JSON here, a
//! page in `admin`. What must not be shown is logged once, with the request id.

use super::{Answer, call::header};
use crate::{
    access,
    audit::Unavailable,
    domain::Invalid,
    jobs::planning,
    proxy::{Doubt, Refusal},
    store, upstream,
};
use serde_json::{Value, json};

#[derive(Debug)]
pub enum Error {
    /// 400 with upstream's own wording or ours.
    Bad {
        code: &'static str,
        text: String,
    },
    /// 401; the code and the text, which are PostPost's on the tenant door.
    Unauthorized {
        code: &'static str,
        text: &'static str,
    },
    /// No session: the browser is sent to the log-in page.
    LoginNeeded,
    Forbidden {
        code: &'static str,
        text: String,
    },
    NotFound,
    /// The same in PostPost's words for what is not there.
    NotThere(&'static str),
    /// With the methods there are.
    MethodNotAllowed(String),
    /// A form's second submission while the first is under way.
    Conflict(&'static str),
    /// A reader of the log knows a later entry than there is.
    CursorAhead(String),
    /// A form that was sent before with other content.
    FormMismatch,
    /// A form whose first submission was cut short by a crash, so that nobody can tell how far it came.
    Interrupted,
    /// The key's first call is under way; with the seconds after which to ask again.
    IdempotencyInFlight(u64),
    /// The key came with another request before.
    IdempotencyMismatch,
    TooLarge(usize),
    TooLong,
    UnsupportedMediaType,
    SlowBody,
    /// 422: a field of a form.
    Invalid(Invalid),
    /// 422: what was asked for is understood, and there is no post to do it to.
    NothingToDo(&'static str),
    /// With the seconds to wait.
    TooMany(u64),
    Overloaded,
    Refused(Refusal),
    /// An answer of upstream's to pass on in a page.
    Upstream {
        status: u16,
        text: String,
    },
    Store(store::Error),
    /// The process ended before the work did; what became of it is not known.
    CutOff,
    Internal(String),
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub status: u16,
    pub code: &'static str,
    pub text: String,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// To ask for what became of it.
    pub operation_id: Option<String>,
}

impl Error {
    pub fn bad(code: &'static str, text: impl Into<String>) -> Self {
        Self::Bad { code, text: text.into() }
    }

    pub fn describe(&self) -> Described {
        let (status, code, text): (u16, &'static str, String) = match self {
            Self::Bad { code, text } => (400, code, text.clone()),
            Self::Unauthorized { code, text } => (401, code, (*text).into()),
            Self::LoginNeeded => (401, "login_needed", "Log in to see this page".into()),
            Self::Forbidden { code, text } => (403, code, text.clone()),
            Self::NotFound => (404, "not_found", "Not found".into()),
            Self::NotThere(text) => (404, "not_found", (*text).into()),
            Self::MethodNotAllowed(_) => (405, "method_not_allowed", "Method not allowed".into()),
            Self::Conflict(text) => (409, "conflict", (*text).into()),
            Self::CursorAhead(text) => (409, "cursor_ahead", text.clone()),
            Self::FormMismatch => (
                422,
                "form_mismatch",
                "This form was sent already with other values. Reload the page and send it again".into(),
            ),
            Self::Interrupted => (
                409,
                "interrupted",
                "The gateway was interrupted while it worked on this form. Look at what was done before you send it again"
                    .into(),
            ),
            Self::IdempotencyInFlight(_) => (
                409,
                "idempotency_in_flight",
                "A call with this Idempotency-Key is under way. Ask again for its answer".into(),
            ),
            Self::IdempotencyMismatch => (
                422,
                "idempotency_mismatch",
                "This Idempotency-Key was used for another request. Use a new key for each change".into(),
            ),
            Self::TooLarge(max) => (413, "body_too_large", format!("The body is larger than {max} bytes")),
            Self::TooLong => (414, "uri_too_long", "The address is longer than 8,192 bytes".into()),
            Self::UnsupportedMediaType => {
                (415, "unsupported_media_type", "The body must be application/json".into())
            }
            Self::SlowBody => (408, "body_too_slow", "The body did not arrive in time".into()),
            Self::Invalid(invalid) => (422, "invalid", invalid.reason.clone()),
            Self::NothingToDo(text) => (422, "nothing_to_do", (*text).into()),
            Self::TooMany(_) => (429, "rate_limited", "Too many requests. Wait and try again".into()),
            Self::Overloaded => (503, "overloaded", "Too many requests at once. Try again".into()),
            Self::Refused(refusal) => return describe_refusal(refusal),
            Self::Upstream { status, text } => (*status, "upstream_refused", text.clone()),
            Self::Store(store::Error::NoSpace(_)) => {
                (507, "no_space", "The gateway's disk is full or read-only: nothing was changed".into())
            }
            Self::Store(store::Error::AuditFork(_)) => (503, "audit_fork", FORKED.into()),
            Self::Store(error) if is_away(error) => (503, "database_unavailable", DATABASE_AWAY.into()),
            Self::CutOff => (
                500,
                "cut_off",
                "The gateway was stopped before this was finished: it may have happened".into(),
            ),
            Self::Store(_) | Self::Internal(_) => (500, "internal", "Internal server error".into()),
        };
        let retry_after = match self {
            Self::TooMany(seconds) | Self::IdempotencyInFlight(seconds) => Some(*seconds),
            Self::Overloaded => Some(1),
            Self::Store(store::Error::AuditFork(_)) => Some(5),
            Self::Store(error) if is_away(error) => Some(2),
            _ => None,
        };
        Described { status, code, text, retry_after, operation_id: None }
    }

    /// What a person who runs the gateway should read, if there is more than what is shown.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Store(error) => Some(error.to_string()),
            Self::Internal(detail) => Some(detail.clone()),
            Self::Refused(Refusal::Store(error)) => Some(error.to_string()),
            Self::Refused(Refusal::Audit(error)) => Some(error.to_string()),
            Self::Refused(Refusal::Upstream(error)) => Some(error.to_string()),
            Self::Refused(Refusal::Unknown { error, .. }) => Some(error.clone()),
            _ => None,
        }
    }

    /// Writes down what its caller is not told, if it is a fault. A refusal in a flood is counted: a line for each would be
    /// a flood in the log.
    pub fn log(&self, request_id: &str) {
        let Described { status, code, .. } = self.describe();
        if status >= 500 && !matches!(self, Self::Overloaded) {
            let detail = self.detail().unwrap_or_default();
            tracing::error!(request_id, status, code, detail, "request failed");
        }
    }

    /// Of a task that did not come to its end.
    pub fn of_ended_task(ended: tokio::task::JoinError) -> Self {
        match ended.is_panic() {
            true => Self::Internal(format!("the handler ended: {ended}")),
            false => Self::CutOff,
        }
    }

    pub fn to_json(&self, request_id: &str) -> Answer {
        let described = self.describe();
        let mut body = json!({ "error": described.text, "code": described.code, "requestId": request_id });
        if let Some(id) = &described.operation_id {
            body["operationId"] = Value::from(id.as_str());
        }
        let mut answer = Answer::json(described.status, &body);
        self.add_headers(&described, &mut answer);
        answer
    }

    /// The headers the error's kind brings with it.
    pub fn add_headers(&self, described: &Described, answer: &mut Answer) {
        if let Some(seconds) = described.retry_after {
            answer.headers.push(header("retry-after", seconds.to_string()));
        }
        match self {
            Self::MethodNotAllowed(methods) => answer.headers.push(header("allow", methods.as_str())),
            Self::Unauthorized { .. } => answer.headers.push(header("www-authenticate", "Bearer")),
            _ => {}
        }
    }
}

const FORKED: &str = "The gateway's audit log contradicts what was signed of it: nothing is changed until an operator has \
                      looked (gatehouse audit accept-restore)";
const DATABASE_AWAY: &str = "The gateway's database does not answer";

/// Whether it is the database that is not there: it may be back in a moment.
fn is_away(error: &store::Error) -> bool {
    matches!(error, store::Error::NoAnswer | store::Error::Unavailable(_))
}

fn doubt_says(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::NoAnswer => {
            "PostPost did not answer: the change may have happened. Ask for the operation's outcome"
        }
        Doubt::Unclear => {
            "PostPost's answer does not say whether the change happened: it may have. Ask for the operation's outcome"
        }
        Doubt::NotStored => {
            "The gateway could not write down the outcome: the change may have happened. Ask for the operation's outcome"
        }
        Doubt::ForGood => {
            "It cannot be found out whether the change happened. It is not sent again under this Idempotency-Key"
        }
    }
}

/// `contract.md`, "Errors the gateway adds on `/api/v1`".
fn describe_refusal(refusal: &Refusal) -> Described {
    let code = refusal.code();
    let (status, text): (u16, String) = match refusal {
        Refusal::InvalidId => (400, "Invalid post group ID".into()),
        Refusal::ScopeMissing(scope) => (403, format!("This key lacks the scope {scope}")),
        Refusal::Frozen(reason) => (423, format!("Frozen: {reason}")),
        Refusal::Suspended => (503, "Calls of this workspace are suspended: PostPost refused its key".into()),
        Refusal::NotManaged => (403, "User is not managed by key".into()),
        Refusal::DeleteBlocked(status) => {
            (400, format!("Cannot delete post: post is currently in {status} status"))
        }
        Refusal::PastTime => (400, "Scheduled time cannot be in the past".into()),
        Refusal::Audit(Unavailable::Store(store::Error::NoSpace(_))) => {
            (503, "The gateway's disk is full: nothing was sent".into())
        }
        Refusal::Audit(Unavailable::Store(store::Error::AuditFork(_))) => {
            (503, format!("{FORKED}. Nothing was sent"))
        }
        Refusal::Audit(_) => (503, "The audit log cannot be written: nothing was sent".into()),
        Refusal::Taken => (409, "This is being done already".into()),
        Refusal::Unsettled { .. } => {
            (409, "An earlier change of this post is not settled yet: nothing was sent. Try again".into())
        }
        Refusal::Upstream(upstream::Error::Unreachable(_)) => {
            (502, "PostPost cannot be reached: nothing happened".into())
        }
        Refusal::Upstream(upstream::Error::BreakerOpen { .. }) => {
            (503, "PostPost is not asked for a moment, because most calls fail: nothing was sent".into())
        }
        Refusal::Upstream(upstream::Error::NotSent) => {
            (503, "The gateway could not send it in time: nothing happened. Try again".into())
        }
        Refusal::Upstream(upstream::Error::Timeout) => (504, "PostPost did not answer in time".into()),
        Refusal::Upstream(upstream::Error::Redirect(_)) => {
            (502, "PostPost answered with a redirect, which is not followed".into())
        }
        Refusal::Upstream(_) => (502, "PostPost's answer could not be used".into()),
        Refusal::Unknown { doubt, .. } => (504, doubt_says(*doubt).into()),
        Refusal::BadReply { .. } => {
            (502, "PostPost's answer could not be used: the change may have happened".into())
        }
        Refusal::Store(store::Error::NoSpace(_)) => (507, "The gateway's disk is full or read-only".into()),
        Refusal::Store(store::Error::AuditFork(_)) => (503, FORKED.into()),
        Refusal::Store(error) if is_away(error) => (503, DATABASE_AWAY.into()),
        Refusal::Store(_) => (500, "Internal server error".into()),
    };
    let retry_after = match refusal {
        Refusal::Upstream(upstream::Error::BreakerOpen { retry_after }) => Some(*retry_after),
        Refusal::Audit(_)
        | Refusal::Store(store::Error::AuditFork(_))
        | Refusal::Suspended
        | Refusal::Unsettled { .. } => Some(5),
        Refusal::Taken | Refusal::Upstream(upstream::Error::NotSent) => Some(1),
        Refusal::Store(error) if is_away(error) => Some(2),
        _ => None,
    };
    let operation_id = match refusal {
        Refusal::Unknown { op_id, .. } | Refusal::BadReply { op_id } | Refusal::Unsettled { op_id } => {
            Some(op_id.clone())
        }
        _ => None,
    };
    Described { status, code, text, retry_after, operation_id }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Unavailable> for Error {
    fn from(error: Unavailable) -> Self {
        Self::Refused(Refusal::Audit(error))
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<planning::Error> for Error {
    fn from(error: planning::Error) -> Self {
        let invalid = |text: String| Self::Invalid(Invalid::new("post", text));
        match error {
            planning::Error::Empty => Self::NothingToDo("Select at least one post"),
            planning::Error::NoMatch => Self::NothingToDo(
                "No post matches these filters, so there is nothing to do. Nothing was planned",
            ),
            planning::Error::NothingLeft => {
                Self::NothingToDo("None of the job's posts can be tried again or changed back any more")
            }
            planning::Error::TooMany(count) => invalid(format!(
                "{count} posts are too many for one job; the most is 50,000. Narrow the filters"
            )),
            planning::Error::Unknown(missing) => {
                let listed: Vec<&str> = missing.iter().take(10).map(|(_, post)| post.as_str()).collect();
                let (count, listed) = (missing.len(), listed.join(", "));
                invalid(format!("{count} of the selected posts are not there: {listed}. Select again"))
            }
            planning::Error::Store(error) => Self::Store(error),
        }
    }
}

impl From<access::Error> for Error {
    fn from(error: access::Error) -> Self {
        match error {
            access::Error::Store(error) => Self::Store(error),
            access::Error::Secret(error) => Self::Internal(error.to_string()),
        }
    }
}
