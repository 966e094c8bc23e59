//! The body of an update: what of it counts, and which are refused before upstream is asked (`contract.md`).

use crate::{
    clock::Millis,
    domain::{posts::PostStatus, times},
};
use serde_json::{Map, Value};

/// What a caller asked to change. Absent, empty, `null` and `0` are all "not given", as upstream reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub status: Option<PostStatus>,
    pub scheduled_at: Option<Millis>,
    /// The body to send: what the caller sent, with fields we do not know passed through.
    pub body: Map<String, Value>,
}

/// Why an update is refused; [`UpdateError::text`] is upstream's own wording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateError {
    NothingGiven,
    BadStatus,
    BadTime,
}

impl UpdateError {
    pub fn text(self) -> &'static str {
        match self {
            Self::NothingGiven => "Either status or scheduledTime must be provided",
            Self::BadStatus => "Status must be either 'draft' or 'scheduled'",
            Self::BadTime => "Invalid scheduled time format",
        }
    }
}

impl Update {
    /// Whether it does nothing but turn the post into a draft.
    pub fn only_pauses(&self) -> bool {
        self.status == Some(PostStatus::Draft) && self.scheduled_at.is_none()
    }

    /// An update of our own making.
    pub fn new(status: Option<PostStatus>, scheduled_at: Option<Millis>) -> Self {
        let mut body = Map::new();
        if let Some(status) = status {
            body.insert("status".into(), status.as_str().into());
        }
        if let Some(at) = scheduled_at {
            body.insert("scheduledTime".into(), times::to_iso(at).into());
        }
        Self { status, scheduled_at, body }
    }

    pub fn parse(body: Map<String, Value>) -> Result<Self, UpdateError> {
        let given = |name: &str| body.get(name).filter(|value| counts(value));
        let status = match given("status") {
            None => None,
            Some(value) => match value.as_str().and_then(PostStatus::parse) {
                Some(status) if status.may_update() => Some(status),
                _ => return Err(UpdateError::BadStatus),
            },
        };
        let scheduled_at = match given("scheduledTime") {
            None => None,
            Some(value) => Some(value.as_str().and_then(times::from_iso).ok_or(UpdateError::BadTime)?),
        };
        if status.is_none() && scheduled_at.is_none() {
            return Err(UpdateError::NothingGiven);
        }
        Ok(Self { status, scheduled_at, body })
    }

    /// Whether upstream would publish at once (`contract.md` trap 2), given the time it has on record. A draft that is
    /// only moved in time stays a draft, but a past time is refused all the same, as the contract says.
    pub fn publishes_at_once(&self, on_record: Option<Millis>, now: Millis) -> bool {
        match (self.scheduled_at, self.status) {
            (Some(at), _) => at <= now,
            (None, Some(PostStatus::Scheduled)) => on_record.is_none_or(|at| at <= now),
            (None, _) => false,
        }
    }

    /// Whether the answer to [`Self::publishes_at_once`] hangs on the time on record.
    pub fn needs_time_on_record(&self) -> bool {
        self.scheduled_at.is_none() && self.status == Some(PostStatus::Scheduled)
    }
}

/// Whether upstream takes a field's value for given.
pub(super) fn counts(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(given) => *given,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: Value) -> Result<Update, UpdateError> {
        Update::parse(body.as_object().unwrap().clone())
    }

    #[test]
    fn bodies() {
        use UpdateError::*;
        for empty in [json!({}), json!({"status": ""}), json!({"scheduledTime": null}), json!({"status": 0})]
        {
            assert_eq!(parse(empty), Err(NothingGiven));
        }
        for bad in [json!({"status": "published"}), json!({"status": 7}), json!({"status": ["draft"]})] {
            assert_eq!(parse(bad), Err(BadStatus));
        }
        for bad in [json!({"scheduledTime": "2026-03-15"}), json!({"scheduledTime": 12})] {
            assert_eq!(parse(bad), Err(BadTime));
        }
        let both =
            parse(json!({"status": "scheduled", "scheduledTime": "2026-03-15T10:00:00Z", "x": 1})).unwrap();
        assert_eq!((both.status, both.scheduled_at), (Some(PostStatus::Scheduled), Some(1_773_568_800_000)));
        assert_eq!(both.body["x"], 1);
    }

    #[test]
    fn what_would_publish_at_once() {
        let resume = Update::new(Some(PostStatus::Scheduled), None);
        assert!(resume.publishes_at_once(None, 5) && resume.publishes_at_once(Some(5), 5));
        assert!(!resume.publishes_at_once(Some(6), 5) && resume.needs_time_on_record());
        assert!(Update::new(None, Some(5)).publishes_at_once(Some(9), 5));
        assert!(!Update::new(Some(PostStatus::Draft), None).publishes_at_once(None, 5));
    }
}
