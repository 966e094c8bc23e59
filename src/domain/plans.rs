//! Plans: a frozen selection with what would happen to each post. What a job later does is decided here and only here.

use crate::{
    clock::{DAY, HOUR, MINUTE, Millis},
    domain::{Invalid, posts::Post, posts::PostStatus, words},
};
use serde::{Deserialize, Serialize};

words! {
    /// What bulk work does to posts.
    BulkAction { Delete = "delete", Pause = "pause", Resume = "resume", Reschedule = "reschedule" }
}

impl BulkAction {
    /// As the first word of a sentence.
    pub fn label(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Reschedule => "Reschedule",
        }
    }
}

words! {
    /// Why a planned post is left alone (ui.md §2.2).
    SkipReason {
        Published = "published",
        Processing = "processing",
        DueSoon = "due_soon",
        NotUpdatable = "not_updatable",
        AlreadyDone = "already_done",
        NotPausedByUs = "not_paused_by_us",
        PastTime = "past_time",
        NoTime = "no_time",
        TenantFrozen = "tenant_frozen",
        TenantDetached = "tenant_detached",
        Locked = "locked",
        Changed = "changed",
        LimitReached = "limit_reached",
    }
}

impl SkipReason {
    /// For the skip table.
    pub fn text(self) -> &'static str {
        match self {
            Self::Published => "Published: live on a platform, deleting would not take it down",
            Self::Processing => "Publishing right now",
            Self::DueSoon => "Due within 2 minutes: may start publishing before our call",
            Self::NotUpdatable => "Neither draft nor scheduled",
            Self::AlreadyDone => "Already in the state asked for",
            Self::NotPausedByUs => "A draft that was not paused here: only what was paused here is resumed",
            Self::PastTime => "Its time would be in the past: PostPost would publish it at once",
            Self::NoTime => "Has no time: PostPost would publish it at once",
            Self::TenantFrozen => "The tenant is frozen",
            Self::TenantDetached => "The tenant is detached",
            Self::Locked => "In another running job",
            Self::Changed => "Changed since the preview",
            Self::LimitReached => "The tenant's plan limit was reached",
        }
    }
}

words! {
    /// What to do with posts whose time is past when they are resumed.
    PastDue { Skip = "skip", PublishNow = "publish_now" }
}

/// How posts are moved in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Move {
    /// By this many milliseconds, later or earlier.
    Shift { by: Millis },
    /// All to one time.
    Set { at: Millis },
}

/// What the operator chose on the plan page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOptions {
    pub moved: Move,
    pub publish_past_due: bool,
}

impl Default for PlanOptions {
    /// One day later; past-due posts stay where they are.
    fn default() -> Self {
        Self { moved: Move::Shift { by: DAY }, publish_past_due: false }
    }
}

/// How long a plan may be confirmed (ui.md §2.2).
pub const PLAN_LIFE: Millis = 15 * MINUTE;
/// Most posts of one plan.
pub const PLAN_MAX: usize = 50_000;
/// A scheduled post this close to its time is left alone: upstream may pick it up before our call arrives.
const DUE_SOON: Millis = 2 * MINUTE;

/// A stored plan.
#[derive(Debug, Clone)]
pub struct Plan {
    pub id: String,
    pub workspace_id: String,
    pub action: BulkAction,
    pub options: PlanOptions,
    /// The posts list's query the selection was made from.
    pub filter: String,
    /// Whether all matching posts were meant, rather than ticked ones.
    pub matching: bool,
    pub created_by: String,
    pub created_at: Millis,
    pub expires_at: Millis,
    /// Age of the oldest mirror the plan was made from.
    pub mirrored_at: Option<Millis>,
    pub digest: String,
    pub job_id: Option<String>,
}

/// One post of a plan, with the state it had.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanItem {
    pub n: i64,
    pub tenant_id: String,
    pub post_id: String,
    pub content: String,
    pub status: PostStatus,
    pub platforms: String,
    pub scheduled_at: Option<Millis>,
    pub updated_at: Millis,
    /// Where a reschedule would move it; for a resume, the time it goes out.
    pub target_at: Option<Millis>,
    pub skip: Option<SkipReason>,
}

/// What stands around a post when it is planned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances {
    pub paused_by_us: bool,
    pub tenant_frozen: bool,
    pub tenant_detached: bool,
    pub locked: bool,
    /// The workspace lets published posts be deleted.
    pub delete_any: bool,
}

/// What the action would do to this post: the time it gets, or the reason it is skipped.
pub fn decide(
    action: BulkAction,
    options: &PlanOptions,
    post: &Post,
    around: Circumstances,
    now: Millis,
) -> Result<Option<Millis>, SkipReason> {
    use SkipReason::*;
    if around.tenant_detached {
        return Err(TenantDetached);
    }
    if around.tenant_frozen {
        return Err(TenantFrozen);
    }
    if around.locked {
        return Err(Locked);
    }
    let in_hand = post.platforms.iter().any(|p| matches!(p.status.as_str(), "pending" | "processing"));
    if in_hand && !(around.delete_any && action == BulkAction::Delete) {
        return Err(Processing);
    }
    let due_soon =
        post.status == PostStatus::Scheduled && post.scheduled_at.is_some_and(|at| at <= now + DUE_SOON);
    match action {
        BulkAction::Delete => match post.status {
            _ if around.delete_any => Ok(None),
            PostStatus::Published | PostStatus::PartiallyPublished => Err(Published),
            PostStatus::Unknown => Err(NotUpdatable),
            _ if post.platforms.iter().any(|p| p.status == "published") => Err(Published),
            _ if due_soon => Err(DueSoon),
            _ => Ok(None),
        },
        _ if !post.status.may_update() => Err(NotUpdatable),
        BulkAction::Pause => match post.status {
            PostStatus::Draft => Err(AlreadyDone),
            _ if due_soon => Err(DueSoon),
            _ => Ok(post.scheduled_at),
        },
        BulkAction::Resume => match (post.status, post.scheduled_at) {
            (PostStatus::Scheduled, _) => Err(AlreadyDone),
            _ if !around.paused_by_us => Err(NotPausedByUs),
            (_, Some(at)) if at > now + DUE_SOON => Ok(Some(at)),
            _ if options.publish_past_due => Ok(None),
            (_, None) => Err(NoTime),
            (_, Some(_)) => Err(PastTime),
        },
        BulkAction::Reschedule => {
            if due_soon {
                return Err(DueSoon);
            }
            let target = match (options.moved, post.scheduled_at) {
                (Move::Set { at }, _) => at,
                (Move::Shift { by }, Some(at)) => at.saturating_add(by),
                (Move::Shift { .. }, None) => return Err(NoTime),
            };
            match target {
                at if at <= now + DUE_SOON => Err(PastTime),
                at if Some(at) == post.scheduled_at => Err(AlreadyDone),
                at => Ok(Some(at)),
            }
        }
    }
}

/// The shift an operator typed: a whole number of minutes, hours or days, at most ten years either way.
pub fn shift(amount: &str, unit: &str) -> Result<Move, Invalid> {
    let unit = match unit {
        "minutes" => MINUTE,
        "hours" => HOUR,
        "days" => DAY,
        _ => return Err(Invalid::new("unit", "Choose minutes, hours or days")),
    };
    let amount: i64 =
        amount.trim().parse().map_err(|_| Invalid::new("amount", "Enter a whole number, such as 2 or -1"))?;
    match amount.checked_mul(unit) {
        Some(by) if by != 0 && by.abs() <= 3660 * DAY => Ok(Move::Shift { by }),
        _ => Err(Invalid::new("amount", "Enter a number other than 0, within ten years")),
    }
}

/// What has to be typed before this many posts are touched, if anything (ui.md §2.3): verb and exact count.
pub fn typed_confirmation(
    action: BulkAction,
    count: usize,
    tenants: usize,
    matching: bool,
) -> Option<String> {
    let large = count > 1_000 || matching;
    let needed = match action {
        BulkAction::Delete => count > 10 || tenants > 1 || matching,
        BulkAction::Resume | BulkAction::Reschedule => large,
        BulkAction::Pause => false,
    };
    (needed && count > 0).then(|| format!("{action} {count}"))
}

/// Whether what was typed is what was asked for: trimmed, case ignored, thousands separators ignored.
pub fn typed_matches(wanted: &str, typed: &str) -> bool {
    let plain =
        |text: &str| text.replace(',', "").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    plain(wanted) == plain(typed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::posts::PlatformPost;

    const NOW: Millis = 1_000 * DAY;

    fn post(status: PostStatus, at: Option<Millis>, platform: &str) -> Post {
        Post {
            tenant_id: "t".into(),
            id: "p".into(),
            content: String::new(),
            status,
            scheduled_at: at,
            created_at: 0,
            updated_at: 0,
            platforms: vec![PlatformPost {
                id: "twitter-1".into(),
                platform: "twitter".into(),
                status: platform.into(),
            }],
            media: vec![],
        }
    }

    #[test]
    fn past_due_posts_are_never_resumed_unasked() {
        let around = Circumstances { paused_by_us: true, ..Default::default() };
        let past = post(PostStatus::Draft, Some(NOW - 1), "draft");
        let none = post(PostStatus::Draft, None, "draft");
        let skip = PlanOptions::default();
        let publish = PlanOptions { publish_past_due: true, ..skip.clone() };
        let resume =
            |options: &PlanOptions, post: &Post| decide(BulkAction::Resume, options, post, around, NOW);
        assert_eq!(resume(&skip, &past), Err(SkipReason::PastTime));
        assert_eq!(resume(&skip, &none), Err(SkipReason::NoTime));
        assert_eq!(resume(&publish, &past), Ok(None));
        let later = post(PostStatus::Draft, Some(NOW + DAY), "draft");
        assert_eq!(resume(&skip, &later), Ok(Some(NOW + DAY)));
        let foreign = decide(BulkAction::Resume, &skip, &later, Circumstances::default(), NOW);
        assert_eq!(foreign, Err(SkipReason::NotPausedByUs));
    }

    #[test]
    fn deletes_spare_what_is_live_or_about_to_be() {
        let none = Circumstances::default();
        let delete = |post: &Post| decide(BulkAction::Delete, &PlanOptions::default(), post, none, NOW);
        assert_eq!(delete(&post(PostStatus::Published, None, "published")), Err(SkipReason::Published));
        assert_eq!(delete(&post(PostStatus::Failed, None, "published")), Err(SkipReason::Published));
        assert_eq!(
            delete(&post(PostStatus::Scheduled, Some(NOW + DAY), "pending")),
            Err(SkipReason::Processing)
        );
        assert_eq!(
            delete(&post(PostStatus::Scheduled, Some(NOW + MINUTE), "scheduled")),
            Err(SkipReason::DueSoon)
        );
        assert_eq!(delete(&post(PostStatus::Scheduled, Some(NOW + DAY), "scheduled")), Ok(None));
        assert_eq!(delete(&post(PostStatus::Draft, None, "draft")), Ok(None));
    }

    #[test]
    fn moves() {
        let scheduled = post(PostStatus::Scheduled, Some(NOW + DAY), "scheduled");
        let with = |moved| PlanOptions { moved, ..Default::default() };
        let moved = |m| decide(BulkAction::Reschedule, &with(m), &scheduled, Circumstances::default(), NOW);
        assert_eq!(moved(Move::Shift { by: HOUR }), Ok(Some(NOW + DAY + HOUR)));
        assert_eq!(moved(Move::Shift { by: -2 * DAY }), Err(SkipReason::PastTime));
        assert_eq!(moved(Move::Set { at: NOW + DAY }), Err(SkipReason::AlreadyDone));
        assert_eq!(shift("-90", "minutes"), Ok(Move::Shift { by: -90 * MINUTE }));
        assert!(
            shift("0", "days").is_err() && shift("x", "days").is_err() && shift("9999999", "days").is_err()
        );
    }

    #[test]
    fn typed_counts() {
        assert_eq!(typed_confirmation(BulkAction::Delete, 3, 1, false), None);
        assert_eq!(typed_confirmation(BulkAction::Delete, 11, 1, false).as_deref(), Some("delete 11"));
        assert_eq!(typed_confirmation(BulkAction::Delete, 2, 2, false).as_deref(), Some("delete 2"));
        assert!(typed_matches("delete 4180", " Delete  4,180 "));
        assert!(!typed_matches("delete 4180", "delete 418") && !typed_matches("delete 1", "delete"));
    }
}
