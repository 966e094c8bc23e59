//! What may be sent again, and when (design §13): a reading call where an answer says to, or none came; a changing one
//! only where nothing can have happened. Decides; `client` waits and sends.

use super::{Error, Method, Reply};
use crate::{
    clock::{Millis, SECOND},
    envelope,
};
use std::time::Duration;

/// Attempts of one call, the first included.
pub(super) const ATTEMPTS: u32 = 3;
/// Base and cap of the wait between attempts, before jitter.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));
/// Repeats of a changing call begin within this long of the first attempt. With the call's own time limit of 30 s it ends
/// within 50 s, before the reconciler can take it for orphaned.
pub(super) const CHANGE_PATIENCE: Duration = Duration::from_secs(20);
/// What upstream may ask us to wait, at most; more is not believed (security.md §6).
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Whether the call may be sent again after this.
pub(super) fn may_repeat(method: Method, result: &Result<Reply, Error>) -> bool {
    let reads = method == Method::Get;
    match result {
        Err(Error::Unreachable(_)) => true,
        Err(Error::Broken(_)) => reads,
        Ok(reply) => reply.status == 429 || reads && matches!(reply.status, 408 | 502..=504),
        Err(_) => false,
    }
}

/// Whether the result says that upstream is away, for the breaker. Any other answer, a 429 too, says that it is there.
pub(super) fn is_outage(result: &Result<Reply, Error>) -> bool {
    match result {
        Err(error) => matches!(error, Error::Unreachable(_) | Error::Timeout | Error::Broken(_)),
        Ok(reply) => matches!(reply.status, 502..=504),
    }
}

/// How long to wait before the attempt after this one: what upstream asked for, and on top of it anything from nothing
/// to the exponential bound (full jitter), so that not all who were sent away come back at once.
pub(super) fn wait(attempt: u32, result: &Result<Reply, Error>) -> Duration {
    let asked = result.as_ref().ok().and_then(Reply::asked_to_wait).unwrap_or_default();
    let bound = (BACKOFF.0 * 2u32.pow(attempt - 1)).min(BACKOFF.1);
    let random = envelope::random();
    asked + bound.mul_f64(f64::from(u16::from_le_bytes([random[0], random[1]])) / f64::from(u16::MAX))
}

/// The seconds a `Retry-After` asks for: a number, or a date as HTTP writes it. `None` for anything else.
pub(super) fn read_retry_after(text: &str, now: Millis) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    // IMF-fixdate is what RFC 2822 calls a date; the two older forms are no longer written.
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some((at.as_millisecond() - now).max(0).unsigned_abs().div_ceil(SECOND.unsigned_abs()))
}

impl Reply {
    /// What upstream asked us to wait, as far as it is believed.
    pub fn asked_to_wait(&self) -> Option<Duration> {
        self.retry_after.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, retry_after: Option<u64>) -> Result<Reply, Error> {
        Ok(Reply { status, body: bytes::Bytes::new(), latency_ms: 0, retry_after })
    }

    #[test]
    fn only_what_cannot_have_happened_is_changed_twice() {
        let none = || Err(Error::Unreachable(String::new()));
        let broken = || Err(Error::Broken(String::new()));
        let all = [none(), broken(), Err(Error::Timeout), Err(Error::TooLarge), Err(Error::Redirect(307))];
        let statuses = [200, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504];
        let all: Vec<_> = all.into_iter().chain(statuses.map(|status| reply(status, None))).collect();
        let repeated = |method| all.iter().filter(|r| may_repeat(method, r)).cloned().collect::<Vec<_>>();
        let words = |results: Vec<Result<Reply, Error>>| -> Vec<String> {
            results
                .iter()
                .map(|r| r.as_ref().map_or_else(|e| e.code().into(), |r| r.status.to_string()))
                .collect()
        };
        for method in [Method::Post, Method::Put, Method::Delete] {
            assert_eq!(words(repeated(method)), ["upstream_unreachable", "429"]);
        }
        let read = ["upstream_unreachable", "upstream_reset", "408", "429", "502", "503", "504"];
        assert_eq!(words(repeated(Method::Get)), read);
    }

    #[test]
    fn waits_are_spread_and_bounded() {
        let no_answer = Err(Error::Unreachable(String::new()));
        for (attempt, bound) in [(1, 200), (2, 400), (10, 20_000)] {
            let waits: Vec<Duration> = (0..2_000).map(|_| wait(attempt, &no_answer)).collect();
            let bound = Duration::from_millis(bound);
            assert!(waits.iter().all(|w| *w <= bound));
            let below = |part: f64| waits.iter().filter(|w| **w < bound.mul_f64(part)).count();
            assert!((350..650).contains(&below(0.25)) && (800..1_200).contains(&below(0.5)), "spread evenly");
        }
        let asked = wait(1, &reply(429, Some(2)));
        assert!((2_000..=2_200).contains(&asked.as_millis()), "{asked:?}");
        let asked = wait(1, &reply(503, Some(86_400)));
        assert!((120_000..=120_200).contains(&asked.as_millis()), "more is not believed: {asked:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 784_111_777_000;
        for (text, seconds) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(read_retry_after(text, now), seconds, "{text}");
        }
    }
}
