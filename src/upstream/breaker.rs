//! The circuit breaker: when most calls of a workspace fail, none is sent for a while, then one, and when that is answered
//! all again. Decides about sending only; what a refused caller is told is the doors' business.

use super::Error;
use crate::{
    clock::{Clock, Millis, SECOND},
    metrics::Metrics,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// Calls that count, in milliseconds back from now.
const WINDOW: Millis = 30 * SECOND;
/// Fewer calls than this say nothing.
const CALLS_MIN: u32 = 20;
/// It opens when this part of the calls has failed, in percent.
const FAILED_PERCENT: u32 = 50;
/// How long nothing is sent.
const OPEN: Millis = 15 * SECOND;
/// A probe that has no answer by then is not waited for: the next call is a probe too. Without this, a silent upstream
/// that comes back would be noticed only when the probe's own time limit ends.
const PROBE: Millis = 5 * SECOND;

/// The breakers of all workspaces.
pub(super) struct Breakers {
    clock: Clock,
    metrics: Arc<Metrics>,
    all: Mutex<HashMap<String, Breaker>>,
}

#[derive(Default)]
struct Breaker {
    /// Counts changes of state, so that a late answer does not speak for a state it knows nothing of.
    generation: u64,
    state: State,
}

enum State {
    Closed(Window),
    /// Since when it has not been closed, and since when nothing is sent.
    Open {
        since: Millis,
        at: Millis,
    },
    /// One call is under way.
    Probing {
        since: Millis,
        at: Millis,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(Window::default())
    }
}

/// Calls and failures of each second.
#[derive(Default)]
struct Window(VecDeque<(i64, u32, u32)>);

/// Leave for one attempt. Dropped without [`Permit::end`], it says nothing about upstream.
pub(super) struct Permit<'a> {
    breakers: &'a Breakers,
    workspace_id: &'a str,
    generation: u64,
    ended: bool,
}

impl Permit<'_> {
    /// The attempt has ended. `failed`: there was no answer, or one that says that upstream is away.
    pub(super) fn end(mut self, failed: bool) {
        self.ended = true;
        self.breakers.note(self.workspace_id, self.generation, Some(failed));
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.breakers.note(self.workspace_id, self.generation, None);
        }
    }
}

impl Breakers {
    pub(super) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics, all: Mutex::default() }
    }

    /// Asks for leave to make an attempt. Where it is time for a probe, the first who asks makes it.
    ///
    /// # Errors
    /// [`Error::BreakerOpen`] while nothing is sent.
    pub(super) fn admit<'a>(&'a self, workspace_id: &'a str) -> Result<Permit<'a>, Error> {
        let now = self.clock.now();
        let generation = self.with(workspace_id, |breaker| {
            breaker.wait(now)?;
            if let State::Open { since, .. } | State::Probing { since, .. } = breaker.state {
                breaker.become_state(State::Probing { since, at: now });
            }
            Ok(breaker.generation)
        })?;
        Ok(Permit { breakers: self, workspace_id, generation, ended: false })
    }

    /// Whether an attempt would be let through now. Takes nothing.
    pub(super) fn ready(&self, workspace_id: &str) -> Result<(), Error> {
        let now = self.clock.now();
        self.with(workspace_id, |breaker| breaker.wait(now))
    }

    /// Since when a workspace's breaker has not been closed, if it is not.
    pub(super) fn open_since(&self, workspace_id: &str) -> Option<Millis> {
        self.with(workspace_id, |breaker| match breaker.state {
            State::Closed(_) => None,
            State::Open { since, .. } | State::Probing { since, .. } => Some(since),
        })
    }

    /// `None`: the attempt was given up half-way, and somebody else may make the probe.
    fn note(&self, workspace_id: &str, generation: u64, failed: Option<bool>) {
        let now = self.clock.now();
        self.with(workspace_id, |breaker| {
            if breaker.generation != generation {
                return;
            }
            match (&mut breaker.state, failed) {
                (State::Closed(window), Some(failed)) => {
                    if window.note(now, failed) {
                        breaker.become_state(State::Open { since: now, at: now });
                        self.metrics.breaker_opened(workspace_id);
                        self.metrics.breaker_open(workspace_id, true);
                        tracing::warn!(workspace = workspace_id, "most calls fail: none is sent for 15 s");
                    }
                }
                (State::Probing { since, .. }, Some(true)) => {
                    let since = *since;
                    breaker.become_state(State::Open { since, at: now });
                }
                (State::Probing { .. }, Some(false)) => {
                    breaker.become_state(State::default());
                    self.metrics.breaker_open(workspace_id, false);
                    tracing::info!(workspace = workspace_id, "a call was answered: all are sent again");
                }
                (State::Probing { since, .. }, None) => {
                    let since = *since;
                    breaker.become_state(State::Open { since, at: now - OPEN });
                }
                (State::Closed(_), None) | (State::Open { .. }, _) => {}
            }
        });
    }

    fn with<T>(&self, workspace_id: &str, f: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(workspace_id) {
            all.insert(workspace_id.to_owned(), Breaker::default());
        }
        f(all.get_mut(workspace_id).expect("just inserted"))
    }
}

impl Breaker {
    fn wait(&self, now: Millis) -> Result<(), Error> {
        let (at, lasts) = match self.state {
            State::Closed(_) => return Ok(()),
            State::Open { at, .. } => (at, OPEN),
            State::Probing { at, .. } => (at, PROBE),
        };
        // A time in the future means that the clock was set back: then there is nothing left to wait for.
        if !(at..at + lasts).contains(&now) {
            return Ok(());
        }
        let retry_after = match self.state {
            State::Probing { .. } => 1,
            _ => (at + lasts - now).unsigned_abs().div_ceil(SECOND.unsigned_abs()),
        };
        Err(Error::BreakerOpen { retry_after })
    }

    fn become_state(&mut self, state: State) {
        self.generation += 1;
        self.state = state;
    }
}

impl Window {
    /// Counts a call; true if by now too many have failed.
    fn note(&mut self, now: Millis, failed: bool) -> bool {
        let second = now.div_euclid(SECOND);
        let oldest = second - WINDOW / SECOND;
        self.0.retain(|(at, ..)| *at > oldest && *at <= second);
        match self.0.back_mut() {
            Some((at, calls, failures)) if *at == second => {
                *calls += 1;
                *failures += u32::from(failed);
            }
            _ => self.0.push_back((second, 1, u32::from(failed))),
        }
        let (calls, failures) =
            self.0.iter().fold((0, 0), |(c, f), (_, calls, failures)| (c + calls, f + failures));
        failed && calls >= CALLS_MIN && failures * 100 >= calls * FAILED_PERCENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breakers() -> (Breakers, Clock) {
        let clock = Clock::default();
        (Breakers::new(clock.clone(), Arc::default()), clock)
    }

    fn calls(breakers: &Breakers, count: usize, failed: bool) {
        for _ in 0..count {
            breakers.admit("w").expect("closed").end(failed);
        }
    }

    #[test]
    fn it_takes_twenty_calls_of_which_half_failed() {
        let (breakers, _) = breakers();
        calls(&breakers, 19, true);
        assert!(breakers.ready("w").is_ok());
        calls(&breakers, 1, true);
        assert!(matches!(breakers.ready("w"), Err(Error::BreakerOpen { retry_after: 14..=15 })));
        assert!(breakers.ready("other").is_ok(), "each workspace has its own");

        let (breakers, clock) = self::breakers();
        calls(&breakers, 40, false);
        calls(&breakers, 39, true);
        assert!(breakers.ready("w").is_ok(), "39 of 79");
        clock.advance(31 * SECOND);
        calls(&breakers, 19, true);
        assert!(breakers.ready("w").is_ok(), "what is past is past");
        calls(&breakers, 1, true);
        assert!(breakers.ready("w").is_err());
    }

    #[test]
    fn one_probe_decides() {
        let (breakers, clock) = breakers();
        let late = breakers.admit("w").expect("closed");
        calls(&breakers, 20, true);
        let since = breakers.open_since("w");
        assert!(since.is_some());
        clock.advance(OPEN - SECOND);
        assert!(breakers.admit("w").is_err());
        clock.advance(SECOND);
        let probe = breakers.admit("w").expect("a probe");
        assert!(matches!(breakers.admit("w"), Err(Error::BreakerOpen { retry_after: 1 })));
        late.end(false);
        assert!(breakers.admit("w").is_err(), "an answer to an older call is none to the probe");
        probe.end(true);
        assert!(matches!(breakers.admit("w"), Err(Error::BreakerOpen { retry_after: 14..=15 })));
        clock.advance(OPEN);
        drop(breakers.admit("w").expect("a probe"));
        let hung = breakers.admit("w").expect("given up, so another");
        assert!(breakers.admit("w").is_err());
        clock.advance(PROBE);
        let probe = breakers.admit("w").expect("the first is not waited for");
        assert_eq!(breakers.open_since("w"), since);
        probe.end(false);
        hung.end(true);
        assert!(breakers.ready("w").is_ok() && breakers.open_since("w").is_none());
        calls(&breakers, 19, true);
        assert!(breakers.ready("w").is_ok(), "it begins from nothing");
    }

    #[test]
    fn a_clock_set_back_does_not_keep_it_open() {
        let (breakers, clock) = breakers();
        calls(&breakers, 20, true);
        clock.advance(-3_600 * SECOND);
        assert!(breakers.ready("w").is_ok());
    }
}
