//! The two charts: posts per day around today, and failures by platform. Bars lead to the posts they stand for.

use super::numbers::{in_span, posts_url, this_minute};
use crate::{
    clock::{DAY, MINUTE, Millis},
    http::{
        Error,
        admin::{
            post_filter::platform_label,
            present,
            views::{Bar, Bars, Count, Day, DayBars},
            visit::Visit,
        },
    },
    store::posts::{PostFilter, StatusFilter},
};
use std::collections::BTreeMap;

/// Days before and after today.
const REACH: i64 = 14;
/// Platforms shown; those with the most failures.
const PLATFORMS: usize = 6;

/// Published, failed and scheduled posts of each day (UTC).
pub(super) async fn days(visit: &Visit, ws: &str, now: Millis) -> Result<DayBars, Error> {
    let today = now - now.rem_euclid(DAY);
    let (from, to) = (today - REACH * DAY, today + (REACH + 1) * DAY);
    let mut days: Vec<Day> = (0..=2 * REACH)
        .map(|n| {
            let start = from + n * DAY;
            let shown = PostFilter {
                statuses: vec![StatusFilter::AnyPublished, StatusFilter::Failed, StatusFilter::Scheduled],
                from: Some(start),
                to: Some(start + DAY),
                ..PostFilter::default()
            };
            let stamp = jiff::Timestamp::from_millisecond(start).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            Day {
                label: stamp.strftime("%-d %b").to_string(),
                today: start == today,
                url: posts_url(ws, &shown),
                ..Day::default()
            }
        })
        .collect();
    let (mut published, mut failed, mut scheduled) = (0, 0, 0);
    for (status, day, count) in visit.app.db.count_by_span(ws, from, to, DAY).await? {
        let Some(day) = usize::try_from(day).ok().and_then(|day| days.get_mut(day)) else { continue };
        let (bar, sum) = match status.as_str() {
            "published" | "partially_published" => (&mut day.published, &mut published),
            "failed" => (&mut day.failed, &mut failed),
            "scheduled" => (&mut day.scheduled, &mut scheduled),
            _ => continue,
        };
        bar.0 += present::count(count).0;
        *sum += count;
    }
    let caption = format!(
        "{} published and {} failed since {REACH} days ago; {} scheduled within {REACH} days.",
        present::count(published),
        present::count(failed),
        present::count(scheduled)
    );
    Ok(DayBars { caption, days })
}

/// How many of each platform's posts of the last 7 days failed. `None` if nothing was attempted.
pub(super) async fn failures(visit: &Visit, ws: &str, now: Millis) -> Result<Option<Bars>, Error> {
    let end = this_minute(now) + MINUTE;
    let start = end - 7 * DAY;
    let mut platforms: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (names, status, count) in visit.app.db.outcomes_by_platforms(ws, start, end).await? {
        let mut names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        // A post to two accounts of one platform is one post in the list.
        names.dedup();
        for name in names {
            let (failed, all) = platforms.entry(name.to_owned()).or_default();
            *all += count;
            if status == "failed" {
                *failed += count;
            }
        }
    }
    let mut platforms: Vec<(String, (i64, i64))> = platforms.into_iter().collect();
    platforms.sort_by_key(|(_, (failed, all))| (-failed, -all));
    platforms.truncate(PLATFORMS);
    let bars: Vec<Bar> = platforms
        .into_iter()
        .map(|(platform, (failed, all))| Bar {
            label: platform_label(&platform),
            n: present::count(failed),
            total: present::count(all),
            url: posts_url(
                ws,
                &PostFilter { platforms: vec![platform], ..in_span(StatusFilter::Failed, start, end) },
            ),
        })
        .collect();
    let caption = match bars.first() {
        None => return Ok(None),
        Some(Bar { n: Count(0), .. }) => "No post failed.".to_owned(),
        Some(worst) => {
            format!("{} has the most failures: {} of {} posts.", worst.label, worst.n, worst.total)
        }
    };
    Ok(Some(Bars { caption, bars }))
}
