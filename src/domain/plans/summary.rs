//! What a plan comes to, counted once when it is made: its page must not have to count 50,000 posts.

use super::{PlanItem, SkipReason};
use crate::{
    clock::{MINUTE, Millis},
    domain::posts::PostStatus,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Tenants that are named in a summary; the page of all tenants counts itself.
pub const TOP_TENANTS: usize = 10;
/// Posts due within this time may go out before a job reaches them.
pub const SOON: Millis = 10 * MINUTE;

/// A plan's posts, counted. Breakdowns are of the posts that would be acted on, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    pub acted: i64,
    pub skipped: i64,
    /// How many tenants have a post that would be acted on.
    pub tenants: usize,
    /// (tenant, posts), the first [`TOP_TENANTS`].
    pub top_tenants: Vec<(String, i64)>,
    /// (platform, posts); a post on two platforms counts for both.
    pub platforms: Vec<(String, i64)>,
    /// (status, posts)
    pub statuses: Vec<(String, i64)>,
    /// (reason, posts)
    pub skips: Vec<(String, i64)>,
    /// First and last scheduled time.
    pub window: Option<(Millis, Millis)>,
    /// Scheduled posts due within ten minutes of the preview.
    pub soon: i64,
    /// Posts without a new time: those a resume publishes at once.
    pub untimed: i64,
    /// Deleted posts that had media, which no backup holds.
    pub media: i64,
}

impl Summary {
    /// Counts a plan's posts as of `now`.
    pub fn of(items: &[PlanItem], now: Millis) -> Self {
        let mut tenants: HashMap<&str, i64> = HashMap::new();
        let (mut platforms, mut statuses, mut skips) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut summary = Self::default();
        for item in items {
            if let Some(reason) = item.skip {
                *skips.entry(reason.as_str()).or_default() += 1;
                summary.skipped += 1;
                continue;
            }
            summary.acted += 1;
            *tenants.entry(&item.tenant_id).or_default() += 1;
            *statuses.entry(item.status.as_str()).or_default() += 1;
            for platform in item.platforms.split(", ").filter(|p| !p.is_empty()) {
                *platforms.entry(platform).or_default() += 1;
            }
            summary.untimed += i64::from(item.target_at.is_none());
            if let Some(at) = item.scheduled_at {
                let scheduled = item.status == PostStatus::Scheduled;
                summary.soon += i64::from(scheduled && at > now && at <= now + SOON);
                let (first, last) = summary.window.unwrap_or((at, at));
                summary.window = Some((first.min(at), last.max(at)));
            }
        }
        summary.tenants = tenants.len();
        summary.top_tenants = largest(tenants);
        summary.top_tenants.truncate(TOP_TENANTS);
        summary.platforms = largest(platforms);
        summary.statuses = largest(statuses);
        summary.skips = largest(skips);
        summary
    }

    /// How many posts are skipped for this reason.
    pub fn skipped_as(&self, reason: SkipReason) -> i64 {
        self.skips.iter().find(|(word, _)| word == reason.as_str()).map_or(0, |(_, n)| *n)
    }

    /// All posts of the plan.
    pub fn total(&self) -> i64 {
        self.acted + self.skipped
    }
}

fn largest<'a>(counts: impl IntoIterator<Item = (&'a str, i64)>) -> Vec<(String, i64)> {
    let mut rows: Vec<(String, i64)> = counts.into_iter().map(|(word, n)| (word.to_owned(), n)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    rows
}

/// What is different from the preview before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Posts that were not in it.
    pub added: usize,
    /// Posts that are not in this one any more.
    pub removed: usize,
    /// Posts in both that have changed meanwhile.
    pub changed: usize,
}

impl Difference {
    pub fn between(before: &[PlanItem], after: &[PlanItem]) -> Self {
        let key = |item: &PlanItem| (item.tenant_id.clone(), item.post_id.clone());
        let old: HashMap<(String, String), &PlanItem> = before.iter().map(|i| (key(i), i)).collect();
        let mut difference = Self::default();
        let mut kept = BTreeSet::new();
        for item in after {
            let key = key(item);
            match old.get(&key) {
                None => difference.added += 1,
                Some(was) => {
                    let state = |i: &PlanItem| (i.status, i.scheduled_at, i.updated_at, i.skip);
                    difference.changed += usize::from(state(was) != state(item));
                    kept.insert(key);
                }
            }
        }
        difference.removed = old.len() - kept.len();
        difference
    }

    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000_000;

    fn item(tenant: &str, post: &str, at: Option<Millis>, skip: Option<SkipReason>) -> PlanItem {
        PlanItem {
            n: 0,
            tenant_id: tenant.into(),
            post_id: post.into(),
            content: String::new(),
            status: PostStatus::Scheduled,
            platforms: "linkedin, twitter".into(),
            scheduled_at: at,
            updated_at: 0,
            wanted_at: None,
            target_at: None,
            backup: None,
            skip,
        }
    }

    #[test]
    fn counts() {
        let items = [
            item("a", "1", Some(NOW + MINUTE), None),
            item("b", "2", Some(NOW + 60 * MINUTE), None),
            item("b", "3", None, None),
            item("c", "4", Some(NOW), Some(SkipReason::Published)),
        ];
        let summary = Summary::of(&items, NOW);
        assert_eq!((summary.acted, summary.skipped, summary.tenants, summary.total()), (3, 1, 2, 4));
        assert_eq!(summary.top_tenants, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        assert_eq!(summary.platforms, [("linkedin".to_owned(), 3), ("twitter".to_owned(), 3)]);
        assert_eq!((summary.soon, summary.untimed), (1, 3));
        assert_eq!(summary.window, Some((NOW + MINUTE, NOW + 60 * MINUTE)));
        assert_eq!(summary.skipped_as(SkipReason::Published), 1);
        assert_eq!(summary.skipped_as(SkipReason::Locked), 0);
    }

    #[test]
    fn differences() {
        let before = [item("a", "1", None, None), item("a", "2", None, None), item("a", "3", None, None)];
        let mut after = vec![before[0].clone(), before[1].clone(), item("b", "3", None, None)];
        after[1].updated_at = 7;
        let difference = Difference::between(&before, &after);
        assert_eq!(difference, Difference { added: 1, removed: 1, changed: 1 });
        assert!(Difference::between(&before, &before).is_none());
    }
}
