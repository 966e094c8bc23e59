//! Times on the wire and in the database: ISO 8601 UTC with milliseconds outside, milliseconds inside.
//!
//! The database keeps integers so that comparing and sorting need no parsing. Nothing else here reads the
//! clock than `now`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, de};

/// The present, in milliseconds UTC.
#[expect(clippy::disallowed_methods, reason = "a program of its own: its one place that asks the system")]
pub(super) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// `2026-03-15T14:00:00.000Z`.
pub(super) fn text(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
        .unwrap_or_else(|_| "1970-01-01T00:00:00.000Z".to_owned())
}

/// The accepted forms of the contract: date, `T`, time with seconds, optional fraction, `Z` or a numeric
/// offset. Everything else that a lenient parser would take (spaces, lower case, no zone) is refused.
pub(super) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    if bytes.len() <= shape.len() || !fits(&bytes[..shape.len()], shape) {
        return None;
    }
    let mut rest = &bytes[shape.len()..];
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 9 {
            return None;
        }
        rest = &fraction[digits..];
    }
    let zone = rest == b"Z" || fits(rest, b"+dd:dd") || fits(rest, b"-dd:dd");
    // A leap second would be moved by the parser without saying so.
    if !zone || &bytes[17..19] == b"60" {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// A bound of a date range: a full time as above, or a date alone (midnight UTC), as upstream's parser reads it.
pub(super) fn parse_bound(text: &str) -> Option<i64> {
    if fits(text.as_bytes(), b"dddd-dd-dd") { parse(&format!("{text}T00:00:00Z")) } else { parse(text) }
}

/// The calendar month (UTC) a moment is in: its first moment, and that of the next.
pub(super) fn month(at: i64) -> (i64, i64) {
    let first = |date: Date| {
        date.to_zoned_datetime(TimeZone::UTC).map_or(at, |start| start.timestamp().as_millisecond())
    };
    let day = Timestamp::from_millisecond(at).unwrap_or_default().to_zoned_datetime(TimeZone::UTC).date();
    // Past the end of time there is no next month; all its last one holds is before the end.
    let next = day.last_of_month().tomorrow().map_or(i64::MAX, first);
    (first(day.first_of_month()), next)
}

fn fits(bytes: &[u8], shape: &[u8]) -> bool {
    bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(b, s)| if *s == b'd' { b.is_ascii_digit() } else { b == s })
}

/// A time in the body of a control call.
#[derive(Clone, Copy)]
pub(super) struct Stamp(pub(super) i64);

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).map(Stamp).ok_or_else(|| de::Error::custom(format!("not an ISO 8601 time: {text}")))
    }
}

/// Tells `null` (`Some(None)`) from absent (`None`, by `#[serde(default)]`) in a control body.
pub(super) fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end() {
        for (at, start, end) in [
            ("2028-02-29T23:59:59.999Z", "2028-02-01T00:00:00.000Z", "2028-03-01T00:00:00.000Z"),
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
        ] {
            let (first, next) = month(parse(at).expect("a time"));
            assert_eq!((text(first), text(next)), (start.to_owned(), end.to_owned()), "{at}");
        }
        let last = parse("9999-12-30T00:00:00Z").expect("a time");
        assert!(month(last).0 < last && month(last).1 > last);
    }

    #[test]
    fn accepted_and_refused_forms() {
        let at = parse("2026-03-15T10:00:00.000Z");
        assert_eq!(at.map(text).as_deref(), Some("2026-03-15T10:00:00.000Z"));
        for same in ["2026-03-15T10:00:00Z", "2026-03-15T10:00:00+00:00", "2026-03-15T12:30:00.0+02:30"] {
            assert_eq!(parse(same), at, "{same}");
        }
        for bad in [
            "",
            "2026-03-15",
            "2026-03-15T10:00Z",
            "2026-03-15 10:00:00Z",
            "2026-03-15T10:00:00",
            "2026-03-15t10:00:00z",
            "2026-02-30T10:00:00Z",
            "2026-03-15T10:00:60Z",
            "2026-03-15T10:00:00.Z",
            "2026-03-15T10:00:00+0000",
            "15.03.2026",
            "tomorrow",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse_bound("2026-03-15").map(text).as_deref(), Some("2026-03-15T00:00:00.000Z"));
    }
}
