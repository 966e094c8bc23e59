//! The mirror: filters, orders and pages, against a model that does it all in memory.

use super::{MirrorPosts, NOW, oid, populated, post, user, workspace};
use crate::{store::actor, support::databases::both_engines};
use gatehouse::{
    audit::Writer,
    clock::Clock,
    domain::posts::{PlatformPost, Post, PostStatus},
    store::{
        Db,
        operations::Effect,
        posts::{PostFilter, PostSort, Slice, StatusFilter},
    },
};

both_engines!(
    round_trip,
    sweep_and_pauses,
    filters,
    pages,
    model,
    figures,
    hostile_text,
    search_beyond_ascii,
    owners
);

fn platform(name: &str) -> PlatformPost {
    PlatformPost { id: format!("{name}-1"), platform: name.into(), status: "scheduled".into() }
}

async fn ids(db: &Db, workspace: &str, filter: &PostFilter) -> Vec<String> {
    let found = db.posts(workspace, filter, PostSort::ScheduledAsc, None, false, 1_000).await.unwrap();
    let count = found.len() as i64;
    assert_eq!(db.count_posts(workspace, filter).await.unwrap(), count);
    for most in [1, 2, 1_000] {
        assert_eq!(db.count_posts_to(workspace, filter, most).await.unwrap(), count.min(most));
    }
    found.into_iter().map(|p| p.post.id).collect()
}

async fn pause(db: &Db, workspace: &str, post: &Post) {
    let paused = Effect::Paused {
        workspace_id: workspace.to_owned(),
        tenant_id: post.tenant_id.clone(),
        post_id: post.id.clone(),
        op_id: "op".into(),
        scheduled_at: post.scheduled_at,
        at: NOW,
    };
    Writer::start(db.clone(), Clock::default(), Default::default())
        .record(vec![], vec![paused])
        .await
        .unwrap();
}

async fn round_trip(db: Db) {
    let acme = populated(&db, 2).await;
    assert_eq!(db.count_mirrored(&acme, &oid(1)).await.unwrap(), 0);
    let posts =
        [post(1, 1, PostStatus::Scheduled), Post { scheduled_at: None, ..post(1, 2, PostStatus::Draft) }];
    db.mirror_posts(&acme, &oid(1), &posts, NOW, false, None, NOW).await.unwrap();
    // Another tenant may have a post of the same id.
    db.mirror_posts(&acme, &oid(2), &[post(2, 1, PostStatus::Failed)], NOW, false, None, NOW).await.unwrap();
    let stored = db.post(&acme, &oid(1), &oid(1)).await.unwrap().unwrap();
    assert_eq!((&stored.post, stored.pause, stored.seen_at), (&posts[0], None, NOW));
    assert!(db.post(&acme, &oid(2), &oid(2)).await.unwrap().is_none());
    assert!(db.post("other", &oid(1), &oid(1)).await.unwrap().is_none());
    assert_eq!(db.count_mirrored(&acme, &oid(1)).await.unwrap(), 2);
    assert_eq!(db.count_mirrored("other", &oid(1)).await.unwrap(), 0);

    let changed =
        Post { content: "New".into(), media: vec![], status: PostStatus::Published, ..posts[0].clone() };
    db.mirror_posts(&acme, &oid(1), std::slice::from_ref(&changed), NOW + 1, false, None, NOW + 1)
        .await
        .unwrap();
    assert_eq!(db.post(&acme, &oid(1), &oid(1)).await.unwrap().unwrap().post, changed);
    assert_eq!(db.post(&acme, &oid(2), &oid(1)).await.unwrap().unwrap().post.status, PostStatus::Failed);

    // A listing that began before we last saw the post does not undo that, unless upstream changed it since.
    let stale = Post { content: "Stale".into(), ..changed.clone() };
    db.mirror_posts(&acme, &oid(1), &[stale], NOW, false, None, NOW + 2).await.unwrap();
    assert_eq!(db.post(&acme, &oid(1), &oid(1)).await.unwrap().unwrap().post, changed);
    let changed = Post { updated_at: changed.updated_at + 1, ..changed };
    db.mirror_posts(&acme, &oid(1), std::slice::from_ref(&changed), NOW, false, None, NOW + 2).await.unwrap();
    assert_eq!(db.post(&acme, &oid(1), &oid(1)).await.unwrap().unwrap().post, changed);

    let wanted = [(oid(1), oid(1)), (oid(2), oid(1)), (oid(2), oid(2))];
    let mut found = db.posts_by_id(&acme, &wanted).await.unwrap();
    found.sort_by(|a, b| a.post.tenant_id.cmp(&b.post.tenant_id));
    assert_eq!(found.iter().map(|p| p.post.tenant_id.clone()).collect::<Vec<_>>(), [oid(1), oid(2)]);
    let many: Vec<_> = (0..450).map(|n| (oid(1), oid(n))).collect();
    assert_eq!(db.posts_by_id(&acme, &many).await.unwrap().len(), 2);
}

async fn sweep_and_pauses(db: Db) {
    let acme = populated(&db, 2).await;
    let drafts: Vec<Post> = (1..=3).map(|n| post(1, n, PostStatus::Draft)).collect();
    db.mirror_posts(&acme, &oid(1), &drafts, NOW, false, None, NOW).await.unwrap();
    db.mirror_posts(&acme, &oid(2), &[post(2, 9, PostStatus::Draft)], NOW, false, None, NOW).await.unwrap();
    for draft in &drafts {
        pause(&db, &acme, draft).await;
    }
    pause(&db, &acme, &post(2, 9, PostStatus::Draft)).await;
    let stored = db.post(&acme, &oid(1), &oid(1)).await.unwrap().unwrap();
    let paused = stored.pause.unwrap();
    assert_eq!((paused.paused_at, paused.scheduled_at), (NOW, drafts[0].scheduled_at));

    // A sweep without the third removes it, with its pause; the second was scheduled again elsewhere.
    let again = [drafts[0].clone(), post(1, 2, PostStatus::Scheduled)];
    db.mirror_posts(&acme, &oid(1), &again, NOW + 1, true, None, NOW + 2).await.unwrap();
    assert!(db.post(&acme, &oid(1), &oid(1)).await.unwrap().unwrap().pause.is_some());
    assert!(db.post(&acme, &oid(1), &oid(2)).await.unwrap().unwrap().pause.is_none());
    assert!(db.post(&acme, &oid(1), &oid(3)).await.unwrap().is_none());
    assert!(db.post(&acme, &oid(2), &oid(9)).await.unwrap().unwrap().pause.is_some());
    let sync = db.tenant(&acme, &oid(1)).await.unwrap().unwrap().sync;
    assert_eq!((sync.synced_at, sync.swept_at), (Some(NOW + 1), Some(NOW + 1)));
    db.mirror_posts(&acme, &oid(1), &drafts[1..], NOW + 3, false, None, NOW + 3).await.unwrap();
    assert!(
        db.post(&acme, &oid(1), &oid(2)).await.unwrap().unwrap().pause.is_none(),
        "a pause does not come back"
    );
    assert_eq!(db.tenant(&acme, &oid(1)).await.unwrap().unwrap().sync.swept_at, Some(NOW + 1));
    // Gone from one tenant alone, with its pause.
    db.forget_posts(&acme, &oid(1), &[oid(1), oid(9)].into()).await.unwrap();
    assert_eq!(db.count_mirrored(&acme, &oid(1)).await.unwrap(), 2);
    assert!(db.post(&acme, &oid(2), &oid(9)).await.unwrap().unwrap().pause.is_some());
    db.forget_posts(&acme, &oid(2), &[oid(9)].into()).await.unwrap();
    assert!(db.post(&acme, &oid(2), &oid(9)).await.unwrap().is_none());
    db.mirror_posts(&acme, &oid(2), &[post(2, 9, PostStatus::Draft)], NOW, false, None, NOW).await.unwrap();
    assert!(db.post(&acme, &oid(2), &oid(9)).await.unwrap().unwrap().pause.is_none());
}

async fn filters(db: Db) {
    let acme = populated(&db, 2).await;
    let mut posts = vec![
        post(1, 1, PostStatus::Draft),
        post(1, 2, PostStatus::Draft),
        post(1, 3, PostStatus::Scheduled),
        post(1, 4, PostStatus::Published),
        post(1, 5, PostStatus::PartiallyPublished),
        post(1, 6, PostStatus::Failed),
        Post { scheduled_at: None, ..post(1, 7, PostStatus::Draft) },
    ];
    posts[2].content = "100% Sale_Now".into();
    posts[3].platforms = vec![platform("linkedin"), platform("threads")];
    posts[4].platforms = vec![];
    db.mirror_posts(&acme, &oid(1), &posts, NOW, false, None, NOW).await.unwrap();
    db.mirror_posts(&acme, &oid(2), &[post(2, 8, PostStatus::Scheduled)], NOW, false, None, NOW)
        .await
        .unwrap();
    pause(&db, &acme, &posts[1]).await;
    let any = PostFilter::default;
    let of = async |filter: PostFilter| {
        ids(&db, &acme, &filter)
            .await
            .iter()
            .map(|id| usize::from_str_radix(id, 16).unwrap())
            .collect::<Vec<_>>()
    };
    let status = |s: &[StatusFilter]| PostFilter { statuses: s.to_vec(), ..any() };
    assert_eq!(of(any()).await, [1, 2, 3, 4, 5, 6, 8, 7]);
    assert_eq!(of(PostFilter { tenants: vec![oid(2), oid(9)], ..any() }).await, [8]);
    assert_eq!(of(status(&[StatusFilter::Draft])).await, [1, 7]);
    assert_eq!(of(status(&[StatusFilter::Paused])).await, [2]);
    assert_eq!(of(status(&[StatusFilter::Scheduled])).await, [3, 8]);
    assert_eq!(of(status(&[StatusFilter::Published])).await, [4]);
    assert_eq!(of(status(&[StatusFilter::PartiallyPublished])).await, [5]);
    assert_eq!(of(status(&[StatusFilter::AnyPublished])).await, [4, 5]);
    assert_eq!(of(status(&[StatusFilter::Failed])).await, [6]);
    assert_eq!(of(status(&[StatusFilter::Failed, StatusFilter::Paused])).await, [2, 6]);
    let platforms =
        |p: &[&str]| PostFilter { platforms: p.iter().map(|p| (*p).to_owned()).collect(), ..any() };
    assert_eq!(of(platforms(&["threads"])).await, [4]);
    assert_eq!(of(platforms(&["linkedin", "twitter"])).await, [1, 2, 3, 4, 6, 8, 7]);
    assert_eq!(of(platforms(&["thread"])).await, [0; 0]);
    assert_eq!(of(platforms(&["%"])).await, [0; 0]);
    let time = |n: usize| Some(NOW + n as i64 * 60_000);
    assert_eq!(of(PostFilter { from: time(3), to: time(5), ..any() }).await, [3, 4]);
    assert_eq!(of(PostFilter { to: time(2), ..any() }).await, [1]);
    assert_eq!(
        of(PostFilter { from: time(6), ..any() }).await,
        [6, 8],
        "a post without a time is in no span"
    );
    assert_eq!(of(PostFilter { no_time: true, ..any() }).await, [7]);
    let text = |t: &str| PostFilter { text: Some(t.into()), ..any() };
    assert_eq!(of(text("NUMBER 4")).await, [4]);
    assert_eq!(of(text("0% sale_n")).await, [3]);
    assert_eq!(of(text(&oid(6))).await, [6]);
    assert_eq!(of(text("_")).await, [3]);
    assert_eq!(of(text("a\0b")).await, [0; 0]);
    assert_eq!(ids(&db, "other", &any()).await, [""; 0]);
}

/// Pages forwards and backwards join to the whole list, in every order, with many equal values.
async fn pages(db: Db) {
    let acme = populated(&db, 2).await;
    for tenant in [1, 2] {
        let posts: Vec<Post> = (1..=20)
            .map(|n| {
                let mut post = post(tenant, n, PostStatus::Scheduled);
                post.scheduled_at = (n % 4 != 0).then_some(NOW + (n % 3) as i64);
                (post.created_at, post.updated_at) = ((n % 5) as i64, (n % 2) as i64);
                post
            })
            .collect();
        db.mirror_posts(&acme, &oid(tenant), &posts, NOW, false, None, NOW).await.unwrap();
    }
    let filter = PostFilter::default();
    for sort in PostSort::ALL {
        let all = db.posts(&acme, &filter, *sort, None, false, 1_000).await.unwrap();
        let all: Vec<Post> = all.into_iter().map(|p| p.post).collect();
        assert_eq!(all.len(), 40);
        for backwards in [false, true] {
            let mut joined: Vec<Post> = Vec::new();
            loop {
                let edge = if backwards { joined.first() } else { joined.last() };
                let at = edge.map(|post| sort.position(post));
                let page = db.posts(&acme, &filter, *sort, at.as_ref(), backwards, 7).await.unwrap();
                if page.is_empty() {
                    break;
                }
                let page = page.into_iter().map(|p| p.post);
                if backwards {
                    joined.splice(0..0, page)
                } else {
                    joined.splice(joined.len().., page)
                };
            }
            assert_eq!(joined, all, "{sort} {backwards}");
        }
    }
}

/// Many filters at once, against plain code.
async fn model(db: Db) {
    let acme = populated(&db, 3).await;
    let mut posts = Vec::new();
    for n in 0..60_usize {
        let status = PostStatus::ALL[n % 5];
        let mut post = post(1 + n % 3, n, status);
        post.scheduled_at = (n % 7 != 0).then_some(NOW + (n * 37 % 23) as i64);
        post.platforms = ["twitter", "bluesky", "threads"][..n % 4 % 3].iter().map(|p| platform(p)).collect();
        post.content = ["Spring", "summer", "SPRING sale", ""][n % 4].into();
        post.media.truncate(n % 3);
        posts.push(post);
    }
    for tenant in 1..=3 {
        let own: Vec<Post> = posts.iter().filter(|p| p.tenant_id == oid(tenant)).cloned().collect();
        db.mirror_posts(&acme, &oid(tenant), &own, NOW, false, None, NOW).await.unwrap();
    }
    for n in 0..200_usize {
        let pick = |bit: usize| ((n * 2_654_435_761) >> (bit + 3)) & 1 == 1;
        let filter = PostFilter {
            tenants: if pick(0) { vec![oid(1 + n % 3)] } else { vec![] },
            statuses: if pick(1) { vec![StatusFilter::Draft, StatusFilter::AnyPublished] } else { vec![] },
            platforms: if pick(2) { vec!["bluesky".into()] } else { vec![] },
            from: pick(3).then_some(NOW + 5),
            to: pick(4).then_some(NOW + 15),
            no_time: pick(5) && pick(6),
            created_from: pick(8).then_some(NOW - 40),
            created_to: pick(9).then_some(NOW - 10),
            media: pick(10).then(|| pick(11)),
            text: pick(7).then(|| "spring".into()),
        };
        let fits = |p: &&Post| {
            (filter.tenants.is_empty() || filter.tenants.contains(&p.tenant_id))
                && (filter.statuses.is_empty()
                    || !matches!(p.status, PostStatus::Scheduled | PostStatus::Failed))
                && (filter.platforms.is_empty() || p.platforms.iter().any(|x| x.platform == "bluesky"))
                && filter.from.is_none_or(|from| p.scheduled_at.is_some_and(|at| at >= from))
                && filter.to.is_none_or(|to| p.scheduled_at.is_some_and(|at| at < to))
                && (!filter.no_time || p.scheduled_at.is_none())
                && filter.created_from.is_none_or(|from| p.created_at >= from)
                && filter.created_to.is_none_or(|to| p.created_at < to)
                && filter.media.is_none_or(|with| with != p.media.is_empty())
                && (filter.text.is_none() || p.content.to_lowercase().contains("spring"))
        };
        let mut expected: Vec<&Post> = posts.iter().filter(fits).collect();
        let sort = PostSort::ALL[n % 4];
        let key = |p: &Post| {
            let place = sort.position(p);
            (place.value, place.post_id, place.tenant_id)
        };
        expected.sort_by_key(|p| key(p));
        if sort != PostSort::ScheduledAsc {
            expected.reverse();
        }
        // Few and many matches are looked for in different ways; the pages are the same, from any place on.
        for matching in [None, Some(10), Some(1_000_000)] {
            for (at, backwards) in [(None, false), (Some(4), false), (Some(4), true)] {
                let place = at.and_then(|n| expected.get::<usize>(n)).map(|p| sort.position(p));
                let rest = match (&place, backwards) {
                    (None, _) => &expected[..],
                    (Some(_), false) => &expected[5..],
                    (Some(_), true) => &expected[..4],
                };
                let backwards = backwards && place.is_some();
                let slice = Slice { sort, at: place.as_ref(), backwards, limit: 3, matching };
                let found = db.slice_of_posts(&acme, &filter, &slice).await.unwrap();
                let shown = match backwards {
                    true => &rest[rest.len().saturating_sub(3)..],
                    false => &rest[..rest.len().min(3)],
                };
                let found: Vec<_> = found.iter().map(|p| &p.post).collect();
                assert_eq!(found, shown, "{filter:?} {slice:?}");
            }
        }
        let found = db.posts(&acme, &filter, sort, None, false, 1_000).await.unwrap();
        assert_eq!(found.iter().map(|p| &p.post).collect::<Vec<_>>(), expected, "{filter:?} {sort}");
        assert_eq!(db.count_posts(&acme, &filter).await.unwrap(), expected.len() as i64);
    }
}

async fn figures(db: Db) {
    let acme = populated(&db, 3).await;
    let mut posts: Vec<Post> = [
        PostStatus::Scheduled,
        PostStatus::Scheduled,
        PostStatus::Failed,
        PostStatus::Published,
        PostStatus::PartiallyPublished,
    ]
    .into_iter()
    .enumerate()
    .map(|(n, status)| post(1, n, status))
    .collect();
    posts.push(Post { scheduled_at: None, ..post(1, 9, PostStatus::Draft) });
    db.mirror_posts(&acme, &oid(1), &posts, NOW, false, None, NOW).await.unwrap();
    db.mirror_posts(&acme, &oid(2), &[post(2, 1, PostStatus::Scheduled)], NOW, false, None, NOW)
        .await
        .unwrap();

    let spans = db.count_by_span(&acme, NOW, NOW + 240_000, 120_000).await.unwrap();
    let expected: [(String, i64, i64); 3] =
        [("scheduled".into(), 0, 3), ("failed".into(), 1, 1), ("published".into(), 1, 1)];
    assert_eq!(spans, expected);

    let failed_at = NOW + 120_000;
    let counts = async |tenants: &[String], failed| {
        let mut counts = db.tenant_post_counts(&acme, tenants, failed).await.unwrap();
        counts.sort();
        counts
    };
    let last = Some(NOW + 240_000);
    assert_eq!(
        counts(&[1, 2, 3].map(oid), failed_at..failed_at + 1).await,
        [(oid(1), 2, 1, last), (oid(2), 1, 0, None)]
    );
    assert_eq!(counts(&[oid(1)], NOW..failed_at).await, [(oid(1), 2, 0, last)]);
    assert_eq!(counts(&[oid(1)], failed_at + 1..i64::MAX).await, [(oid(1), 2, 0, last)]);
    assert_eq!(counts(&[], NOW..NOW + 1).await, []);

    let outcomes = db.outcomes_by_platforms(&acme, NOW, NOW + 240_000).await.unwrap();
    let expected: [(String, String, i64); 2] =
        [(",twitter,".into(), "failed".into(), 1), (",twitter,".into(), "published".into(), 1)];
    assert_eq!(outcomes, expected);
}

/// What PostgreSQL cannot hold is left out; everything else comes back as it was.
async fn hostile_text(db: Db) {
    let acme = populated(&db, 1).await;
    let mut hostile = post(1, 1, PostStatus::Draft);
    hostile.content = "a\0b'; DROP TABLE posts; -- \u{202e}\u{10ffff} $1 ? {}".into();
    hostile.media = vec!["https://example.com/\0".into()];
    hostile.platforms =
        vec![PlatformPost { id: "x\0-1".into(), platform: "twi\0tter".into(), status: "\0".into() }];
    db.mirror_posts(&acme, &oid(1), &[hostile.clone(), post(1, 2, PostStatus::Draft)], NOW, false, None, NOW)
        .await
        .unwrap();
    let stored = db.post(&acme, &oid(1), &oid(1)).await.unwrap().unwrap().post;
    assert_eq!(stored.content, hostile.content.replace('\0', ""));
    assert_eq!(
        (stored.media[0].as_str(), stored.platforms[0].platform.as_str()),
        ("https://example.com/", "twitter")
    );
}

/// Whatever the engine thinks of capitals beyond ASCII: text finds itself.
async fn search_beyond_ascii(db: Db) {
    let acme = workspace(&db, "Acme").await.id;
    db.import_tenants(&actor(), &acme, &[user(1)], NOW).await.unwrap();
    let umlaut = Post { content: "Übung macht den MEISTER".into(), ..post(1, 1, PostStatus::Draft) };
    db.mirror_posts(&acme, &oid(1), &[umlaut], NOW, false, None, NOW).await.unwrap();
    for text in ["Übung", "meister", "Übung MACHT"] {
        let filter = PostFilter { text: Some(text.into()), ..Default::default() };
        assert_eq!(ids(&db, &acme, &filter).await, [oid(1)], "{text}");
    }
}

/// Posts named by their ids alone: within the workspace, whoever has them.
async fn owners(db: Db) {
    let acme = populated(&db, 2).await;
    let mut posts: Vec<Post> = (0..700).map(|n| post(1, n, PostStatus::Draft)).collect();
    db.mirror_posts(&acme, &oid(1), &posts, NOW, false, None, NOW).await.unwrap();
    for post in &mut posts {
        post.tenant_id = oid(2);
    }
    db.mirror_posts(&acme, &oid(2), &posts[699..], NOW, false, None, NOW).await.unwrap();
    let named: Vec<String> = (0..701).map(oid).collect();
    let found = db.tenants_of_posts(&acme, &named).await.unwrap();
    assert_eq!(found.len(), 701);
    assert_eq!(found[0], (oid(0), oid(1)));
    assert_eq!(found[699..], [(oid(699), oid(1)), (oid(699), oid(2))]);
    assert_eq!(db.tenants_of_posts("other", &named).await.unwrap(), []);
}
