//! Times on the wire and on the page. PostPost's forms are in `contract.md`; ours are ISO 8601 UTC with milliseconds.

use crate::clock::Millis;
use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};

/// `2026-03-15T14:00:00.000Z`. A time outside the years 0 to 9999 prints as the nearest bound.
pub fn to_iso(at: Millis) -> String {
    let at = at.clamp(-62_167_219_200_000, 253_402_207_200_000);
    let stamp = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

/// Reads a time as PostPost accepts it: date, `T`, time, and a zone (`Z` or a numeric offset). No zone, no `T`,
/// a date alone or any other notation is refused.
pub fn from_iso(text: &str) -> Option<Millis> {
    let (date, rest) = text.split_once('T')?;
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mut parts = date.split('-');
    let date_ok = matches!((parts.next(), parts.next(), parts.next(), parts.next()),
        (Some(y), Some(m), Some(d), None) if y.len() == 4 && m.len() == 2 && d.len() == 2 && digits(y) && digits(m) && digits(d));
    let zone_ok = rest.ends_with('Z')
        || (rest.len() > 6 && {
            let zone = &rest.as_bytes()[rest.len() - 6..];
            matches!(zone[0], b'+' | b'-') && zone[3] == b':'
        });
    // Hours, minutes and seconds, then at most a fraction; no leap second, which upstream refuses.
    let clock = rest.as_bytes();
    let clock_ok = clock.len() > 8
        && [0, 1, 3, 4, 6, 7].iter().all(|i| clock[*i].is_ascii_digit())
        && clock[2] == b':'
        && clock[5] == b':'
        && clock[6] < b'6'
        && matches!(clock[8], b'Z' | b'.' | b'+' | b'-');
    if !date_ok || !zone_ok || !clock_ok || !rest.is_ascii() {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// Reads what a `datetime-local` field sends (`2026-03-15T14:00`, seconds allowed), as UTC.
pub fn from_local_utc(text: &str) -> Option<Millis> {
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    jiff::tz::Offset::UTC.to_timestamp(civil).ok().map(Timestamp::as_millisecond)
}

/// Reads what a `datetime-local` field sends, as a time of the zone. One that comes twice is the first, one that clocks pass
/// over lies as far behind the jump: good enough for the edge of a list, not for the time of a post.
pub fn from_local(text: &str, zone: &str) -> Option<Millis> {
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let zone = TimeZone::get(zone).ok()?;
    zone.to_ambiguous_timestamp(civil).compatible().ok().map(Timestamp::as_millisecond)
}

/// What a `datetime-local` field shows for a UTC time: `2026-03-15T14:00`.
pub fn to_local_utc(at: Millis) -> String {
    to_iso(at)[..16].to_owned()
}

/// What a `datetime-local` field shows for a time in a zone; in UTC if there is no such zone.
pub fn to_local(at: Millis, zone: &str) -> String {
    let (stamp, zone) = in_zone(at, zone);
    zone.to_datetime(stamp).strftime("%Y-%m-%dT%H:%M").to_string()
}

/// A time as a zone's clocks show it, with the zone: `30 Mar 2026, 09:00 CEST`.
pub fn labelled(at: Millis, zone: &TimeZone) -> String {
    let stamp = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let shown = stamp.to_zoned_datetime(zone.clone());
    let name = shown.strftime("%Z").to_string();
    // Not every zone has letters for its times.
    let sign = if name.starts_with(['+', '-']) { "UTC" } else { "" };
    format!("{} {sign}{name}", shown.strftime("%-d %b %Y, %H:%M"))
}

/// When the day of a moment began in a zone, and when the next one begins.
pub fn day_of(at: Millis, zone: &TimeZone) -> (Millis, Millis) {
    let stamp = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = zone.to_datetime(stamp).date();
    let start = |date: Date| {
        let midnight = zone.to_ambiguous_timestamp(date.to_datetime(Time::midnight()));
        midnight.compatible().map_or(at, Timestamp::as_millisecond)
    };
    (start(date), date.tomorrow().map_or(at, start))
}

/// The names of all zones there are, in order.
pub fn zones() -> Vec<String> {
    let mut names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    names.sort_unstable();
    names
}

/// A time as the zone's clocks show it: `Mon 30 Mar 2026, 09:00 CEST`.
pub fn shown_in(at: Millis, zone: &str) -> String {
    let (stamp, zone) = in_zone(at, zone);
    stamp.to_zoned_datetime(zone).strftime("%a %-d %b %Y, %H:%M %Z").to_string()
}

fn in_zone(at: Millis, zone: &str) -> (Timestamp, TimeZone) {
    let stamp = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    (stamp, TimeZone::get(zone).unwrap_or(TimeZone::UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_and_refused_forms() {
        let ten = 1_773_568_800_000;
        for good in [
            "2026-03-15T10:00:00.000Z",
            "2026-03-15T10:00:00Z",
            "2026-03-15T10:00:00+00:00",
            "2026-03-15T12:00:00+02:00",
        ] {
            assert_eq!(from_iso(good), Some(ten), "{good}");
        }
        for bad in [
            "2026-03-15",
            "2026-03-15 10:00:00Z",
            "2026-03-15T10:00:00",
            "15/03/2026T10:00:00Z",
            "March 15",
            "",
            "2026-13-15T10:00:00Z",
            "20260315T100000Z",
            "2026-03-15T10:00Z",
            "2026-03-15T10:00:60Z",
            "2026-03-15T10:00:00,5Z",
        ] {
            assert_eq!(from_iso(bad), None, "{bad}");
        }
        assert_eq!(to_iso(ten), "2026-03-15T10:00:00.000Z");
        assert_eq!(from_local_utc("2026-03-15T10:00"), Some(ten));
        assert_eq!(to_local_utc(ten), "2026-03-15T10:00");
        assert!(to_iso(i64::MAX).starts_with("9999"));
    }

    #[test]
    fn in_zones() {
        let at = 1_773_568_800_000;
        assert_eq!(to_local(at, "Asia/Kathmandu"), "2026-03-15T15:45");
        assert_eq!(shown_in(at, "Europe/Berlin"), "Sun 15 Mar 2026, 11:00 CET");
        assert_eq!(shown_in(at, "Nowhere"), "Sun 15 Mar 2026, 10:00 UTC");
        let there = |zone: &str| labelled(at, &TimeZone::get(zone).unwrap());
        assert_eq!(there("Europe/Berlin"), "15 Mar 2026, 11:00 CET");
        assert_eq!(
            (there("UTC"), there("Asia/Kathmandu")),
            ("15 Mar 2026, 10:00 UTC".into(), "15 Mar 2026, 15:45 UTC+0545".into())
        );
        assert_eq!(from_local("2026-03-15T11:00", "Europe/Berlin"), Some(at));
        assert_eq!(from_local("2026-03-15T11:00", "Nowhere"), None);
        // The day on which clocks go forward has 23 hours.
        let (start, end) = day_of(1_774_771_200_000, &TimeZone::get("Europe/Berlin").unwrap());
        assert_eq!((to_iso(start).as_str(), end - start), ("2026-03-28T23:00:00.000Z", 23 * 3_600_000));
        assert!(zones().len() > 400 && zones().contains(&"Europe/Berlin".to_owned()));
    }
}
