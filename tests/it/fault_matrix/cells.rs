//! The faults of the matrix: the sandbox's switches one by one and in the pairs that make sense, and what each must lead
//! to. `settle_after` and the time limit are those of the matrix.

use super::Verb;
use serde_json::Value;

/// Whether upstream's answer says what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The answer is true, or there is none.
    Told,
    /// Documented exception: an answer that denies an effect there was. A 4xx and the documented texts of a 500 are
    /// believed (design §13); upstream itself is at fault.
    Lie,
    /// Documented exception: an effect that comes later than the reconciler waits for it (`settle_after`).
    Late,
}

pub struct Fault {
    pub name: &'static str,
    /// JSON, without `match`.
    rules: &'static str,
    /// Final states, of which a slow machine may reach the second.
    ends: &'static [&'static str],
    /// Of the verbs on managed users, where it differs: their 500 has no documented text.
    user_ends: Option<&'static [&'static str]>,
    /// Status of the tenant door's answer, where it is always the same.
    pub answer: Option<u16>,
    pub truth: Truth,
    /// Whether the fault ends by itself in a job, and is this item's alone.
    pub in_jobs: bool,
}

impl Fault {
    pub fn rules(&self) -> Vec<Value> {
        serde_json::from_str(self.rules).unwrap()
    }

    pub fn ends(&self, verb: Verb) -> &'static [&'static str] {
        // What is to be made cannot be gone.
        if matches!(verb, Verb::Write | Verb::Create) && self.ends == GONE {
            return REFUSED;
        }
        self.user_ends.filter(|_| !verb.of_post()).unwrap_or(self.ends)
    }
}

const fn fault(name: &'static str, rules: &'static str, ends: &'static [&'static str], answer: u16) -> Fault {
    let answer = if answer == 0 { None } else { Some(answer) };
    Fault { name, rules, ends, user_ends: None, answer, truth: Truth::Told, in_jobs: true }
}

/// One that a job would try again for ever, or that concerns its other items.
const fn door_only(fault: Fault) -> Fault {
    Fault { in_jobs: false, ..fault }
}

const fn lie(fault: Fault) -> Fault {
    Fault { truth: Truth::Lie, ..fault }
}

const DONE: &[&str] = &["succeeded", "applied"];
const APPLIED: &[&str] = &["applied"];
const NOT: &[&str] = &["not_applied"];
const REFUSED: &[&str] = &["refused"];
const FAILED: &[&str] = &["failed"];
const GONE: &[&str] = &["gone"];

/// Concerns the whole workspace, so it has a test of its own.
pub const UNAUTHORIZED: Fault = fault("401", r#"[{"status":401}]"#, REFUSED, 503);

pub const FAULTS: &[Fault] = &[
    fault("nothing", r#"[{"delayMs":1}]"#, DONE, 0),
    fault("a slow answer", r#"[{"delayMs":100,"delayAfterMs":100}]"#, DONE, 0),
    fault("400", r#"[{"status":400}]"#, REFUSED, 400),
    fault("403", r#"[{"status":403}]"#, REFUSED, 403),
    fault("404", r#"[{"status":404}]"#, GONE, 404),
    fault("409", r#"[{"status":409}]"#, REFUSED, 409),
    fault("422", r#"[{"status":422}]"#, REFUSED, 422),
    fault("404 that is a page", r#"[{"status":404,"body":"<html>"}]"#, REFUSED, 502),
    fault("413 that is a page", r#"[{"status":413,"body":"<html>"}]"#, REFUSED, 502),
    door_only(fault(
        "a limit",
        r#"[{"status":403,"body":{"error":"x","code":"POST_LIMIT_REACHED"}}]"#,
        REFUSED,
        403,
    )),
    door_only(fault("429", r#"[{"status":429}]"#, REFUSED, 429)),
    door_only(fault("429 for long", r#"[{"retryAfter":600}]"#, REFUSED, 429)),
    fault("429 once", r#"[{"times":1,"retryAfter":1},{"delayMs":1}]"#, DONE, 0),
    fault("429 once, then reset after", r#"[{"times":1,"status":429},{"resetAfter":true}]"#, APPLIED, 504),
    fault("429 once, then reset before", r#"[{"times":1,"status":429},{"resetBefore":true}]"#, NOT, 504),
    fault("500 of anybody", r#"[{"status":500}]"#, NOT, 504),
    fault("500 in other words", r#"[{"status":500,"body":{"error":"boom"}}]"#, NOT, 504),
    fault("500 that is text", r#"[{"status":500,"body":"boom"}]"#, NOT, 504),
    fault("502", r#"[{"status":502}]"#, NOT, 504),
    fault("503", r#"[{"status":503}]"#, NOT, 504),
    fault("503 with Retry-After", r#"[{"status":503,"retryAfter":1}]"#, NOT, 504),
    fault("504", r#"[{"status":504}]"#, NOT, 504),
    fault("307", r#"[{"redirect":"http://127.0.0.1:1/"}]"#, FAILED, 502),
    fault("308", r#"[{"status":308,"redirect":"http://127.0.0.1:1/"}]"#, FAILED, 502),
    fault("302", r#"[{"status":302,"redirect":"http://127.0.0.1:1/"}]"#, NOT, 504),
    fault("garbage", r#"[{"garbage":true}]"#, NOT, 502),
    fault("200 that is no success", r#"[{"status":200,"body":{"success":false}}]"#, NOT, 502),
    fault("200 that is empty", r#"[{"status":200,"body":""}]"#, NOT, 502),
    fault("reset before", r#"[{"resetBefore":true}]"#, NOT, 504),
    fault("slow, then reset before", r#"[{"delayMs":300,"resetBefore":true}]"#, NOT, 504),
    fault("500 after, of anybody", r#"[{"statusAfter":500}]"#, APPLIED, 504),
    fault("502 after", r#"[{"statusAfter":502}]"#, APPLIED, 504),
    fault("503 after", r#"[{"statusAfter":503}]"#, APPLIED, 504),
    fault("504 after", r#"[{"statusAfter":504}]"#, APPLIED, 504),
    fault("302 after", r#"[{"statusAfter":302}]"#, APPLIED, 504),
    fault("garbage after", r#"[{"garbageAfter":true}]"#, APPLIED, 502),
    fault("another success after", r#"[{"statusAfter":200,"body":{"ok":true}}]"#, APPLIED, 502),
    fault("reset after", r#"[{"resetAfter":true}]"#, APPLIED, 504),
    fault("slow, then reset after", r#"[{"delayMs":300,"resetAfter":true}]"#, APPLIED, 504),
    fault("an effect after the time-out", r#"[{"delayMs":3200}]"#, APPLIED, 504),
    fault("an answer after the time-out", r#"[{"delayAfterMs":3200}]"#, APPLIED, 504),
    fault("nothing after the time-out", r#"[{"delayMs":3200,"resetBefore":true}]"#, NOT, 504),
    Fault {
        truth: Truth::Late,
        ..fault("an effect much later", r#"[{"delayMs":9000}]"#, &["not_applied", "applied"], 504)
    },
    fault("moved", r#"[{"moveTimesByMs":420000}]"#, DONE, 0),
    fault("moved, then reset", r#"[{"moveTimesByMs":420000},{"resetAfter":true}]"#, APPLIED, 504),
    fault("moved, then 503", r#"[{"moveTimesByMs":420000},{"statusAfter":503}]"#, APPLIED, 504),
    Fault {
        user_ends: Some(NOT),
        answer: Some(500),
        ..fault("rolled back", r#"[{"failTransaction":true}]"#, FAILED, 500)
    },
    fault("rolled back, then reset", r#"[{"failTransaction":true},{"resetAfter":true}]"#, NOT, 504),
    fault("rolled back, then garbage", r#"[{"failTransaction":true},{"garbageAfter":true}]"#, NOT, 502),
    fault("rolled back, then late", r#"[{"failTransaction":true,"delayAfterMs":3200}]"#, NOT, 504),
    fault("files left behind", r#"[{"failStorage":true}]"#, DONE, 0),
    fault("files left behind, then reset", r#"[{"failStorage":true},{"resetAfter":true}]"#, APPLIED, 504),
    lie(fault("400 after", r#"[{"statusAfter":400}]"#, REFUSED, 400)),
    lie(fault("403 after", r#"[{"statusAfter":403}]"#, REFUSED, 403)),
    lie(fault("404 after", r#"[{"statusAfter":404}]"#, GONE, 404)),
    lie(fault("409 after", r#"[{"statusAfter":409}]"#, REFUSED, 409)),
    lie(fault(
        "a documented 500 after",
        r#"[{"statusAfter":500,"body":{"error":"Failed to update post"}}]"#,
        FAILED,
        500,
    )),
];
