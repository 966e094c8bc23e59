//! The fate of one post: the time it gets, or why it is left alone. The only way a post goes out at once is
//! [`PastDue::PublishNow`].

use super::{BulkAction, Move, NoTarget, PastDue, PlanOptions, SkipReason};
use crate::{
    clock::{MINUTE, Millis},
    domain::posts::{Pause, Post, PostStatus},
};

/// A scheduled post this close to its time is left alone: upstream may pick it up before our call arrives. A post is not
/// given a time this close either: it could pass before the call arrives, and upstream would publish at once.
pub const DUE_SOON: Millis = 2 * MINUTE;

/// What stands around a post when it is planned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances<'a> {
    /// Our record of its pause. Without one it is no business of a bulk resume.
    pub pause: Option<&'a Pause>,
    /// The time it was listed with.
    pub wanted_at: Option<Millis>,
    pub tenant_frozen: bool,
    pub tenant_detached: bool,
    pub locked: bool,
    /// Of a deleted post: something was made of its backup already.
    pub recreated: bool,
    /// The workspace lets published posts be deleted.
    pub delete_any: bool,
}

/// How many posts have got a place in a spread so far. Posts are to be decided about in the order of their old times.
#[derive(Debug, Default)]
pub struct Turn(i64);

impl Turn {
    fn next(&mut self, from: Millis, every: Millis) -> Millis {
        let at = from.saturating_add(every.saturating_mul(self.0));
        self.0 += 1;
        at
    }
}

/// What the action would do to this post: the time it gets, or the reason it is skipped.
pub fn decide(
    action: BulkAction,
    options: &PlanOptions,
    post: &Post,
    around: Circumstances<'_>,
    now: Millis,
    turn: &mut Turn,
) -> Result<Option<Millis>, SkipReason> {
    use SkipReason::*;
    if around.tenant_detached {
        return Err(TenantDetached);
    }
    // A pause is what a freeze calls for: its scheduled posts go out all the same.
    if around.tenant_frozen && action != BulkAction::Pause {
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
        // What it was then holds nothing up: it comes back as a draft without a time, which nothing publishes.
        BulkAction::Recreate if around.recreated => Err(AlreadyRecreated),
        BulkAction::Recreate if post.content.trim().is_empty() || post.platforms.is_empty() => {
            Err(IncompleteCopy)
        }
        BulkAction::Recreate => Ok(None),
        _ if !post.status.may_update() => Err(NotUpdatable),
        BulkAction::Pause => match post.status {
            PostStatus::Draft => Err(AlreadyDone),
            _ if due_soon => Err(DueSoon),
            _ => Ok(post.scheduled_at),
        },
        BulkAction::Resume if post.status == PostStatus::Scheduled => Err(AlreadyDone),
        BulkAction::Resume => match around.pause {
            None => Err(NotPausedByUs),
            Some(pause) => resume(options, post, pause, around.wanted_at, now, turn),
        },
        BulkAction::Reschedule if due_soon => Err(DueSoon),
        BulkAction::Reschedule => {
            let target = match options.moved {
                Move::Listed => around.wanted_at.ok_or(NoTime)?,
                Move::Spread { from, every } => turn.next(from, every),
                moved => moved.target(post.scheduled_at, &options.zone, options.fold).map_err(reason)?,
            };
            match target {
                at if at <= now + DUE_SOON => Err(PastTime),
                at if Some(at) == post.scheduled_at => Err(AlreadyDone),
                at => Ok(Some(at)),
            }
        }
    }
}

fn resume(
    options: &PlanOptions,
    post: &Post,
    pause: &Pause,
    wanted_at: Option<Millis>,
    now: Millis,
    turn: &mut Turn,
) -> Result<Option<Millis>, SkipReason> {
    let ahead = |at: Millis| match at > now + DUE_SOON {
        true => Ok(Some(at)),
        false => Err(SkipReason::PastTime),
    };
    // A time that somebody wrote beside the post is what is meant, late or not.
    if let Some(at) = wanted_at {
        return ahead(at);
    }
    match (options.past_due, post.scheduled_at) {
        (PastDue::Shift, Some(at)) => {
            let paused_for = (now - pause.paused_at).max(0);
            ahead(at.saturating_add((paused_for + MINUTE - 1) / MINUTE * MINUTE))
        }
        (_, Some(at)) if at > now + DUE_SOON => Ok(Some(at)),
        (PastDue::Spread { from, every }, _) => ahead(turn.next(from, every)),
        (PastDue::PublishNow, _) => Ok(None),
        (PastDue::Leave | PastDue::Shift, None) => Err(SkipReason::NoTime),
        (PastDue::Leave, Some(_)) => Err(SkipReason::PastTime),
    }
}

fn reason(none: NoTarget) -> SkipReason {
    match none {
        NoTarget::NoTime => SkipReason::NoTime,
        NoTarget::Missing => SkipReason::NoSuchTime,
        NoTarget::Twice => SkipReason::TimeTwice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{DAY, HOUR},
        domain::posts::PlatformPost,
    };
    use proptest::prelude::*;

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

    fn with(past_due: PastDue) -> PlanOptions {
        PlanOptions { past_due, ..PlanOptions::default() }
    }

    /// Resumes drafts that were paused an hour ago, one after the other.
    fn resume(options: &PlanOptions, times: &[Option<Millis>]) -> Vec<Result<Option<Millis>, SkipReason>> {
        let pause = Pause { paused_at: NOW - HOUR, scheduled_at: None };
        let around = Circumstances { pause: Some(&pause), ..Default::default() };
        let mut turn = Turn::default();
        let draft = |at: &Option<Millis>| post(PostStatus::Draft, *at, "draft");
        times
            .iter()
            .map(|at| decide(BulkAction::Resume, options, &draft(at), around, NOW, &mut turn))
            .collect()
    }

    #[test]
    fn past_due_posts_are_never_resumed_unasked() {
        use SkipReason::{NoTime, PastTime};
        let late = NOW - MINUTE;
        let (soon, ahead) = (NOW + DUE_SOON, NOW + DAY);
        let times = [Some(late), Some(soon), Some(ahead), None];
        let leave = resume(&with(PastDue::Leave), &times);
        assert_eq!(leave, [Err(PastTime), Err(PastTime), Ok(Some(ahead)), Err(NoTime)]);
        let shift = resume(&with(PastDue::Shift), &times);
        let later = |at| Ok(Some(at + HOUR));
        assert_eq!(shift, [later(late), later(soon), later(ahead), Err(NoTime)], "all by the pause's length");
        let longer = resume(&with(PastDue::Shift), &[Some(NOW - HOUR), Some(NOW - 2 * HOUR)]);
        assert_eq!(longer, [Err(PastTime), Err(PastTime)], "late already when it was paused");
        let spread = resume(&with(PastDue::Spread { from: NOW + HOUR, every: 5 * MINUTE }), &times);
        let place = |n: i64| Ok(Some(NOW + HOUR + n * 5 * MINUTE));
        assert_eq!(spread, [place(0), place(1), Ok(Some(ahead)), place(2)]);
        let publish = resume(&with(PastDue::PublishNow), &times);
        assert_eq!(publish, [Ok(None), Ok(None), Ok(Some(ahead)), Ok(None)]);
        let foreign = decide(
            BulkAction::Resume,
            &with(PastDue::PublishNow),
            &post(PostStatus::Draft, Some(late), "draft"),
            Circumstances::default(),
            NOW,
            &mut Turn::default(),
        );
        assert_eq!(foreign, Err(SkipReason::NotPausedByUs));
    }

    proptest! {
        #[test]
        fn only_the_choice_to_publish_publishes(
            offsets in prop::collection::vec(prop::option::of(-3 * DAY..3 * DAY), 1..20),
            wanted in prop::option::of(-DAY..DAY),
            paused_for in 0..4 * DAY,
            from in -DAY..DAY,
            every in 0..2 * HOUR,
            choice in 0..3,
            moved in prop::sample::select(vec![
                Move::Shift { by: -HOUR }, Move::Days { days: -1 }, Move::Set { at: NOW + MINUTE }, Move::Listed,
            ]),
        ) {
            let past_due = match choice {
                0 => PastDue::Leave,
                1 => PastDue::Shift,
                _ => PastDue::Spread { from: NOW + from, every },
            };
            let options = PlanOptions { moved, ..with(past_due) };
            let pause = Pause { paused_at: NOW - paused_for, scheduled_at: None };
            let around = Circumstances {
                pause: Some(&pause), wanted_at: wanted.map(|at| NOW + at), ..Default::default()
            };
            let mut turn = Turn::default();
            for offset in offsets {
                let draft = post(PostStatus::Draft, offset.map(|o| NOW + o), "draft");
                for action in [BulkAction::Resume, BulkAction::Reschedule] {
                    match decide(action, &options, &draft, around, NOW, &mut turn) {
                        Ok(Some(at)) => prop_assert!(at > NOW + DUE_SOON),
                        Ok(None) => prop_assert!(false, "no time means at once"),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    #[test]
    fn deletes_spare_what_is_live_or_about_to_be() {
        let none = Circumstances::default();
        let options = PlanOptions::default();
        let delete =
            |post: &Post| decide(BulkAction::Delete, &options, post, none, NOW, &mut Turn::default());
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
        let mut turn = Turn::default();
        let mut moved = |moved, wanted_at| {
            let options = PlanOptions { moved, ..PlanOptions::default() };
            let around = Circumstances { wanted_at, ..Default::default() };
            decide(BulkAction::Reschedule, &options, &scheduled, around, NOW, &mut turn)
        };
        assert_eq!(moved(Move::Shift { by: HOUR }, None), Ok(Some(NOW + DAY + HOUR)));
        assert_eq!(moved(Move::Days { days: -2 }, None), Err(SkipReason::PastTime));
        assert_eq!(moved(Move::Set { at: NOW + DAY }, None), Err(SkipReason::AlreadyDone));
        assert_eq!(moved(Move::Listed, Some(NOW + 2 * DAY)), Ok(Some(NOW + 2 * DAY)));
        assert_eq!(moved(Move::Listed, None), Err(SkipReason::NoTime));
        let spread = Move::Spread { from: NOW + HOUR, every: HOUR };
        assert_eq!(moved(spread, None), Ok(Some(NOW + HOUR)));
        assert_eq!(moved(spread, None), Ok(Some(NOW + 2 * HOUR)));
    }
}
