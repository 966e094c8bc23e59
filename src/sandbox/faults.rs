//! The failure switches: rules that say which calls go wrong and how.
//!
//! Decides only; carrying out is done by `routes` (delays, answers, drops) and by the handlers (`Effects`).
//! In memory: a restarted sandbox is a healthy one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::store::random_fraction;
use super::wire::{Answer, Call, Failure, Reply, refused};

/// A failure rule, as put over HTTP. All that `match` names must fit.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rule {
    #[serde(rename = "match")]
    matching: Match,
    /// How often it applies; unlimited if absent.
    times: Option<u64>,
    /// 0 to 1; always if absent.
    probability: Option<f64>,

    // Answered in place of the effect.
    status: Option<u16>,
    body: Option<Value>,
    retry_after: Option<u64>,
    redirect: Option<String>,
    garbage: bool,
    reset_before: bool,

    // After the effect.
    status_after: Option<u16>,
    garbage_after: bool,
    reset_after: bool,

    // Shaping: later rules are still tried.
    delay_ms: u64,
    delay_after_ms: u64,
    move_times_by_ms: i64,
    fail_transaction: bool,
    fail_storage: bool,

    /// How often it has applied; ignored on the way in.
    fired: u64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Match {
    method: Option<String>,
    /// A prefix, such as `/api/v1/delete-post`.
    path: Option<String>,
    user_id: Option<String>,
    post_group_id: Option<String>,
    /// A text that stands in the body, for calls whose path names nothing.
    body_has: Option<String>,
}

/// What the rules decided for one call.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    /// Goes back instead of the effect.
    pub(super) instead: Option<Reply>,
    pub(super) effects: Effects,
    pub(super) delay_after: Duration,
    /// Goes back after the effect, in place of its answer.
    pub(super) afterwards: Option<Reply>,
}

/// What handlers must do wrong.
#[derive(Default, Clone, Copy)]
pub(super) struct Effects {
    pub(super) move_times_by_ms: i64,
    pub(super) fail_transaction: bool,
    pub(super) fail_storage: bool,
}

impl Effects {
    /// Breaks the transaction it is called in, if so decided: the caller's `?` drops it.
    pub(super) fn break_transaction(self) -> Result<(), Failure> {
        if self.fail_transaction { Err(Failure::Broken("switched to fail".to_owned())) } else { Ok(()) }
    }
}

/// The rules in force.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// `PUT /_sandbox/faults`: replaces all rules.
    pub(super) fn put(&self, call: &Call) -> Result<Answer, Failure> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Body {
            Bare(Vec<Value>),
            Named { rules: Vec<Value> },
        }
        let body: Body = serde_json::from_slice(&call.body)
            .map_err(|_| refused(400, "the body must be {\"rules\": [...]} or an array of rules"))?;
        let (Body::Bare(list) | Body::Named { rules: list }) = body;
        let mut rules = Vec::with_capacity(list.len());
        for value in list {
            // One by one: an untagged enum would hide which field is wrong.
            let mut rule: Rule =
                serde_json::from_value(value).map_err(|error| refused(400, &error.to_string()))?;
            for status in [rule.status, rule.status_after].into_iter().flatten() {
                if !(200..600).contains(&status) {
                    return Err(refused(400, "status must be 200 to 599"));
                }
            }
            rule.fired = 0;
            rules.push(rule);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(self.show())
    }

    /// `GET /_sandbox/faults`.
    pub(super) fn show(&self) -> Answer {
        Answer::json(200, &json!({ "rules": *self.0.lock().unwrap_or_else(PoisonError::into_inner) }))
    }

    /// `DELETE /_sandbox/faults`.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Tries the rules in order. One that only shapes (delays, moved times, failing parts) lets the next be
    /// tried too; the first that answers or drops ends the search.
    pub(super) fn judge(&self, call: &Call) -> Verdict {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut verdict = Verdict::default();
        for rule in rules.iter_mut() {
            let spent = rule.times.is_some_and(|times| rule.fired >= times);
            if spent || !rule.matching.fits(call) || rule.probability.is_some_and(|p| random_fraction() >= p)
            {
                continue;
            }
            rule.fired += 1;
            verdict.delay += Duration::from_millis(rule.delay_ms);
            verdict.delay_after += Duration::from_millis(rule.delay_after_ms);
            verdict.effects.move_times_by_ms =
                verdict.effects.move_times_by_ms.saturating_add(rule.move_times_by_ms);
            verdict.effects.fail_transaction |= rule.fail_transaction;
            verdict.effects.fail_storage |= rule.fail_storage;
            verdict.instead = rule.instead();
            verdict.afterwards = rule.afterwards();
            if verdict.instead.is_some() || verdict.afterwards.is_some() {
                break;
            }
        }
        verdict
    }
}

impl Match {
    fn fits(&self, call: &Call) -> bool {
        let same = |wanted: &Option<String>, given: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(given))
        };
        same(&self.method, &call.method)
            && self.path.as_deref().is_none_or(|prefix| call.path.starts_with(prefix))
            && same(&self.user_id, call.user_header().unwrap_or_default())
            && (self.post_group_id.is_none()
                || call.segments().iter().any(|segment| same(&self.post_group_id, segment)))
            && self.body_has.as_deref().is_none_or(|text| String::from_utf8_lossy(&call.body).contains(text))
    }
}

impl Rule {
    fn instead(&self) -> Option<Reply> {
        let answer = if self.reset_before {
            return Some(Reply::Dropped);
        } else if let Some(seconds) = self.retry_after {
            let mut answer = self.plain(self.status.unwrap_or(429));
            answer.headers.push(("retry-after", seconds.to_string()));
            answer
        } else if let Some(target) = &self.redirect {
            let mut answer = self.plain(self.status.unwrap_or(307));
            answer.headers.push(("location", target.clone()));
            answer
        } else if let Some(status) = self.status {
            self.plain(status)
        } else if self.garbage {
            garbage()
        } else {
            return None;
        };
        Some(Reply::Answer(answer))
    }

    fn afterwards(&self) -> Option<Reply> {
        if self.reset_after {
            Some(Reply::Dropped)
        } else if let Some(status) = self.status_after {
            Some(Reply::Answer(self.plain(status)))
        } else {
            self.garbage_after.then(|| Reply::Answer(garbage()))
        }
    }

    fn plain(&self, status: u16) -> Answer {
        match &self.body {
            Some(Value::String(text)) => Answer::text(status, text),
            Some(body) => Answer::json(status, body),
            None => Answer::error(
                status,
                match status {
                    429 => "Too many requests",
                    500 => "Internal server error",
                    502 => "Bad gateway",
                    503 => "Service unavailable",
                    504 => "Gateway timeout",
                    _ => "Injected failure",
                },
            ),
        }
    }
}

/// A page where JSON should be, with the type of JSON.
fn garbage() -> Answer {
    let mut answer = Answer::text(200, "<html><body>It works!</body></html>");
    answer.headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
    answer
}
