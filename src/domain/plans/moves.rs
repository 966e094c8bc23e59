//! New times for posts, by the clock on the wall: days, weeks and weekdays are counted in the operator's zone, where a
//! local time can be missing (clocks go forward) or come twice (clocks go back). Neither is ever guessed.

use crate::{
    clock::{DAY, HOUR, MINUTE, Millis},
    domain::{Invalid, words},
};
use jiff::{
    Timestamp,
    civil::{DateTime, Time},
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Serialize};

words! {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    /// A day of the week.
    Weekday {
        Monday = "monday",
        Tuesday = "tuesday",
        Wednesday = "wednesday",
        Thursday = "thursday",
        Friday = "friday",
        Saturday = "saturday",
        Sunday = "sunday",
    }
}

words! {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    /// Which of two equal local times.
    Fold { Earlier = "earlier", Later = "later" }
}

/// How posts are moved in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Move {
    /// By exactly this long, later or earlier: minutes and hours.
    Shift { by: Millis },
    /// By whole days of the zone's calendar; the time on the wall clock stays.
    Days { days: i32 },
    /// All to one time.
    Set { at: Millis },
    /// The first to `from`, each further one `every` later, in the order of their old times.
    Spread { from: Millis, every: Millis },
    /// To the first such weekday that is not before the post's own day in the zone, at this minute of that day. A post that
    /// is on that weekday keeps its day.
    Weekday { day: Weekday, minute: i16 },
    /// Each to the time it was listed with.
    Listed,
}

/// Why a post gets no new time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTarget {
    /// There is no old time to go by.
    NoTime,
    /// The zone has no such local time.
    Missing,
    /// The zone has it twice, and nobody said which is meant.
    Twice,
}

impl Move {
    /// Where a post goes that stands at `at`. Spread and listed times are not a matter of the post alone: they are
    /// [`NoTarget::NoTime`] here.
    pub fn target(self, at: Option<Millis>, zone: &str, fold: Option<Fold>) -> Result<Millis, NoTarget> {
        match self {
            Self::Set { at } => Ok(at),
            Self::Shift { by } => Ok(at.ok_or(NoTarget::NoTime)?.saturating_add(by)),
            Self::Days { days } => on_the_wall(at, zone, fold, |local| {
                local.checked_add(jiff::Span::new().try_days(days).ok()?).ok()
            }),
            Self::Weekday { day, minute } => on_the_wall(at, zone, fold, |local| {
                let time = Time::new(i8::try_from(minute / 60).ok()?, (minute % 60) as i8, 0, 0).ok()?;
                let own = local.date().weekday().to_monday_zero_offset();
                let ahead = (day as i8 - own).rem_euclid(7);
                Some(local.date().checked_add(jiff::Span::new().days(ahead)).ok()?.to_datetime(time))
            }),
            Self::Spread { .. } | Self::Listed => Err(NoTarget::NoTime),
        }
    }
}

fn on_the_wall(
    at: Option<Millis>,
    zone: &str,
    fold: Option<Fold>,
    change: impl Fn(DateTime) -> Option<DateTime>,
) -> Result<Millis, NoTarget> {
    let at = at.ok_or(NoTarget::NoTime)?;
    let zone = TimeZone::get(zone).map_err(|_| NoTarget::Missing)?;
    let stamp = Timestamp::from_millisecond(at).map_err(|_| NoTarget::Missing)?;
    let local = change(zone.to_datetime(stamp)).ok_or(NoTarget::Missing)?;
    resolve(&zone, local, fold)
}

/// The instant of a local time.
fn resolve(zone: &TimeZone, local: DateTime, fold: Option<Fold>) -> Result<Millis, NoTarget> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let found = match (ambiguous.offset(), fold) {
        (AmbiguousOffset::Unambiguous { .. }, _) => ambiguous.compatible(),
        (AmbiguousOffset::Gap { .. }, _) => return Err(NoTarget::Missing),
        (AmbiguousOffset::Fold { .. }, None) => return Err(NoTarget::Twice),
        (AmbiguousOffset::Fold { .. }, Some(Fold::Earlier)) => ambiguous.earlier(),
        (AmbiguousOffset::Fold { .. }, Some(Fold::Later)) => ambiguous.later(),
    };
    found.map(Timestamp::as_millisecond).map_err(|_| NoTarget::Missing)
}

/// Reads what a `datetime-local` field sends, as a time of the zone.
pub fn local_time(
    field: &'static str,
    text: &str,
    zone: &str,
    fold: Option<Fold>,
) -> Result<Millis, Invalid> {
    let local: DateTime = text.trim().parse().map_err(|_| Invalid::new(field, "Enter a date and time"))?;
    let there = TimeZone::get(zone).map_err(|_| Invalid::new("zone", NO_ZONE))?;
    resolve(&there, local, fold).map_err(|none| {
        let shown = local.strftime("%H:%M on %-d %B %Y");
        match none {
            NoTarget::Twice => Invalid::new(
                field,
                format!(
                    "{shown} comes twice in {zone}, because clocks go back. Choose the first or the second"
                ),
            ),
            NoTarget::Missing | NoTarget::NoTime => Invalid::new(
                field,
                format!("{shown} does not exist in {zone}: clocks go forward over it. Choose another time"),
            ),
        }
    })
}

const NO_ZONE: &str = "Enter a time zone such as Europe/Berlin or UTC";

/// The zone of that name in its usual spelling. The zones are part of the program, not of the machine.
pub fn zone(text: &str) -> Result<String, Invalid> {
    let found = TimeZone::get(text.trim()).map_err(|_| Invalid::new("zone", NO_ZONE))?;
    found.iana_name().map(str::to_owned).ok_or_else(|| Invalid::new("zone", NO_ZONE))
}

/// The shift an operator typed: a whole number of minutes, hours, days or weeks, at most ten years either way.
pub fn shift(amount: &str, unit: &str) -> Result<Move, Invalid> {
    const MOST: Millis = 3660 * DAY;
    let length = match unit {
        "minutes" => MINUTE,
        "hours" => HOUR,
        "days" => DAY,
        "weeks" => 7 * DAY,
        _ => return Err(Invalid::new("unit", "Choose minutes, hours, days or weeks")),
    };
    let amount: i64 =
        amount.trim().parse().map_err(|_| Invalid::new("amount", "Enter a whole number, such as 2 or -1"))?;
    let by = amount.checked_mul(length).filter(|by| *by != 0 && by.abs() <= MOST);
    let by = by.ok_or_else(|| Invalid::new("amount", "Enter a number other than 0, within ten years"))?;
    Ok(match length % DAY {
        0 => Move::Days { days: (by / DAY) as i32 },
        _ => Move::Shift { by },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::times::from_iso;
    use proptest::prelude::*;

    const BERLIN: &str = "Europe/Berlin";

    fn at(text: &str) -> Millis {
        from_iso(text).unwrap()
    }

    #[test]
    fn a_day_is_a_day_of_the_calendar() {
        // Saturday 09:00 in Berlin, before the night of 29 March 2026 in which an hour is missing.
        let saturday = Some(at("2026-03-28T08:00:00Z"));
        let day = Move::Days { days: 1 }.target(saturday, BERLIN, None);
        assert_eq!(day, Ok(at("2026-03-29T07:00:00Z")), "09:00 again, 23 hours later");
        let hours = Move::Shift { by: 24 * HOUR }.target(saturday, BERLIN, None);
        assert_eq!(hours, Ok(at("2026-03-29T08:00:00Z")), "24 hours are 24 hours");
        assert_eq!(Move::Days { days: 1 }.target(saturday, "UTC", None), hours);
        // Back over the autumn change.
        let monday = Some(at("2026-10-26T08:00:00Z"));
        assert_eq!(Move::Days { days: -7 }.target(monday, BERLIN, None), Ok(at("2026-10-19T07:00:00Z")));
        assert_eq!(Move::Days { days: 1 }.target(None, BERLIN, None), Err(NoTarget::NoTime));
    }

    #[test]
    fn a_missing_time_is_refused_and_a_double_one_asks() {
        let before = Some(at("2026-03-28T01:30:00Z"));
        assert_eq!(Move::Days { days: 1 }.target(before, BERLIN, None), Err(NoTarget::Missing));
        assert_eq!(Move::Days { days: 1 }.target(before, BERLIN, Some(Fold::Later)), Err(NoTarget::Missing));
        let before = Some(at("2026-10-24T00:30:00Z"));
        let day = |fold| Move::Days { days: 1 }.target(before, BERLIN, fold);
        assert_eq!(day(None), Err(NoTarget::Twice));
        assert_eq!(day(Some(Fold::Earlier)), Ok(at("2026-10-25T00:30:00Z")));
        assert_eq!(day(Some(Fold::Later)), Ok(at("2026-10-25T01:30:00Z")));

        let typed = |text, fold| local_time("at", text, BERLIN, fold).map_err(|e| e.reason);
        assert_eq!(typed("2026-03-29T03:30", None), Ok(at("2026-03-29T01:30:00Z")));
        let missing = typed("2026-03-29T02:30", Some(Fold::Earlier)).unwrap_err();
        assert!(missing.starts_with("02:30 on 29 March 2026 does not exist in Europe/Berlin"), "{missing}");
        let twice = typed("2026-10-25T02:30", None).unwrap_err();
        assert!(twice.starts_with("02:30 on 25 October 2026 comes twice in Europe/Berlin"), "{twice}");
        assert_eq!(typed("2026-10-25T02:30", Some(Fold::Later)), Ok(at("2026-10-25T01:30:00Z")));
        assert!(typed("tomorrow", None).is_err());
        assert_eq!(local_time("at", "2026-01-01T00:00", "Nowhere/City", None).unwrap_err().field, "zone");
    }

    #[test]
    fn weekdays() {
        let move_to = |from, day| {
            Move::Weekday { day, minute: 9 * 60 + 30 }.target(Some(at(from)), "America/New_York", None)
        };
        // 23:30 on Sunday in New York is Monday in UTC: the post's own day is the zone's.
        assert_eq!(move_to("2026-06-08T03:30:00Z", Weekday::Sunday), Ok(at("2026-06-07T13:30:00Z")));
        assert_eq!(move_to("2026-06-08T03:30:00Z", Weekday::Monday), Ok(at("2026-06-08T13:30:00Z")));
        assert_eq!(move_to("2026-06-08T03:30:00Z", Weekday::Saturday), Ok(at("2026-06-13T13:30:00Z")));
        // Over the end of summer time on 1 November.
        assert_eq!(move_to("2026-10-31T12:00:00Z", Weekday::Monday), Ok(at("2026-11-02T14:30:00Z")));
    }

    #[test]
    fn typed_shifts_and_zones() {
        assert_eq!(shift("-90", "minutes"), Ok(Move::Shift { by: -90 * MINUTE }));
        assert_eq!(shift("2", "weeks"), Ok(Move::Days { days: 14 }));
        for (amount, unit) in [("0", "days"), ("x", "days"), ("9999999", "days"), ("1", "moons")] {
            assert!(shift(amount, unit).is_err(), "{amount} {unit}");
        }
        assert_eq!(zone(" europe/berlin ").as_deref(), Ok("Europe/Berlin"));
        assert!(zone("").is_err() && zone("Berlin").is_err() && zone("../../etc/passwd").is_err());
    }

    proptest! {
        #[test]
        fn a_move_by_days_keeps_the_wall_clock_or_says_why_not(
            at in 0i64..4_000_000_000_000,
            days in -400i32..400,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                "Africa/Casablanca", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia", "Europe/Dublin"]),
            fold in prop::sample::select(vec![None, Some(Fold::Earlier), Some(Fold::Later)]),
        ) {
            let tz = TimeZone::get(zone).unwrap();
            let local = |at| tz.to_datetime(Timestamp::from_millisecond(at).unwrap());
            let wanted = local(at).checked_add(jiff::Span::new().days(days)).unwrap();
            match (Move::Days { days }).target(Some(at), zone, fold) {
                Ok(target) => {
                    prop_assert_eq!(local(target), wanted);
                    let other = match fold { Some(Fold::Later) => Fold::Earlier, _ => Fold::Later };
                    let twin = resolve(&tz, wanted, Some(other)).unwrap();
                    prop_assert!(twin == target || fold.is_some(), "one of two was chosen unasked");
                    prop_assert!(twin == target || (twin < target) == (fold == Some(Fold::Later)));
                }
                Err(NoTarget::Missing) => {
                    // No instant around it shows that local time.
                    let near = tz.to_ambiguous_timestamp(wanted).compatible().unwrap().as_millisecond();
                    for minutes in -180..=180 {
                        prop_assert_ne!(local(near + minutes * MINUTE), wanted);
                    }
                }
                Err(NoTarget::Twice) => {
                    prop_assert!(fold.is_none());
                    let first = resolve(&tz, wanted, Some(Fold::Earlier)).unwrap();
                    let second = resolve(&tz, wanted, Some(Fold::Later)).unwrap();
                    prop_assert!(first < second);
                    prop_assert_eq!((local(first), local(second)), (wanted, wanted));
                }
                Err(NoTarget::NoTime) => prop_assert!(false, "it has a time"),
            }
        }
    }
}
