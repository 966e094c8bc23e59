//! Times and paces that have one right value in use, and others in tests and the demo.

use super::Error;
use std::time::Duration;

/// Times and paces that only tests and the demo change.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Total time of a reading and of a changing call upstream (security.md §6).
    pub upstream_timeouts: (Duration, Duration),
    /// Between two parts of an answer from upstream that has begun.
    pub upstream_idle: Duration,
    /// Whether breaker and retry budget are in force.
    pub upstream_guarded: bool,
    /// Between two background calls of a workspace (design §7: 10 a second).
    pub pace: Duration,
    /// How old a mirror gets before it is refreshed, and before it is swept completely.
    pub mirror_age: Duration,
    pub sweep_age: Duration,
    /// A call that has no answer counts as not applied only after this long: it may still be under way upstream.
    pub settle_after: Duration,
    /// How often the workers look for work when nobody wakes them.
    pub tick: Duration,
    /// How long the largest deletes can be cancelled before they begin.
    pub start_delay: Duration,
    /// How long a process may be silent before others take its work over.
    pub lease: Duration,
    /// Between two checkpoints of an audit log that grows (docs/audit-format.md §3).
    pub checkpoint: Duration,
    pub clients: ClientTimes,
}

/// How slow a client may be (security.md §6).
#[derive(Debug, Clone, Copy)]
pub struct ClientTimes {
    /// From a request head's first byte to its last.
    pub head: Duration,
    /// From the end of the head to the end of the body.
    pub body: Duration,
    /// An answer of which the client takes less than 16 KiB in this time is given up.
    pub stall: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            upstream_timeouts: (Duration::from_secs(15), Duration::from_secs(30)),
            upstream_idle: Duration::from_secs(10),
            upstream_guarded: true,
            pace: Duration::from_millis(100),
            mirror_age: Duration::from_secs(120),
            sweep_age: Duration::from_secs(6 * 3600),
            settle_after: Duration::from_secs(60),
            tick: Duration::from_secs(1),
            start_delay: Duration::from_millis(crate::domain::plans::START_DELAY.unsigned_abs()),
            lease: Duration::from_secs(60),
            checkpoint: Duration::from_secs(60),
            clients: ClientTimes {
                head: Duration::from_secs(5),
                body: Duration::from_secs(10),
                stall: Duration::from_secs(20),
            },
        }
    }
}

impl Tuning {
    /// The defaults, and what a text such as `pace=0,tick=50` changes of them.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut tuning = Self::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let millis =
                value.parse().map_err(|_| Error("tuning", format!("{part} is not NAME=MILLISECONDS")))?;
            let field = match name {
                "read-timeout" => &mut tuning.upstream_timeouts.0,
                "change-timeout" => &mut tuning.upstream_timeouts.1,
                "pace" => &mut tuning.pace,
                "mirror-age" => &mut tuning.mirror_age,
                "sweep-age" => &mut tuning.sweep_age,
                "settle-after" => &mut tuning.settle_after,
                "tick" => &mut tuning.tick,
                "checkpoint" => &mut tuning.checkpoint,
                "start-delay" => &mut tuning.start_delay,
                _ => return Err(Error("tuning", format!("there is no {name}"))),
            };
            *field = Duration::from_millis(millis);
        }
        Ok(tuning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuning_changes_what_it_names() {
        let tuning = Tuning::parse("pace=0,settle-after=1500").unwrap();
        assert_eq!((tuning.pace, tuning.settle_after), (Duration::ZERO, Duration::from_millis(1_500)));
        assert_eq!(tuning.tick, Tuning::default().tick);
        assert!(Tuning::parse("pace").is_err() && Tuning::parse("speed=1").is_err());
    }
}
