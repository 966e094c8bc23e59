//! Posts by their text among so many that the way to them matters: through the index of the texts, along an order, or all of them.
//! What is found is what plain code finds.

use super::{MirrorPosts, NOW, oid, populated, post};
use crate::support::databases::{both_engines, execute};
use gatehouse::{
    domain::posts::{Post, PostStatus},
    store::{
        Db,
        posts::{PostFilter, PostSort, Slice},
    },
};

both_engines!(texts_among_many, gone_texts);

/// Posts of the second tenant that the search has to pass over.
const MANY: usize = 34_000;
/// Those among them, the oldest, that have a text in common.
const EARLY: usize = 11_000;

/// The `i`th of the many; the greater, the younger.
fn one_of_many(i: usize) -> Post {
    let early = if i < EARLY { " early bird" } else { "" };
    Post {
        content: format!("Text {i} of many{early}"),
        scheduled_at: Some(NOW + i as i64),
        created_at: NOW + i as i64,
        updated_at: NOW + i as i64,
        ..post(2, 100_000_000 + i, PostStatus::Published)
    }
}

/// Stored by one statement: the ids are decimal digits, as `oid` would not write them.
async fn store_many(db: &Db, acme: &str) -> Vec<Post> {
    let many = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 33999)
        INSERT INTO posts (workspace_id, tenant_id, id, content, status, scheduled_at, created_at, updated_at, platforms,
          platform_names, media, seen_at, place_at, with_media)
        SELECT $1, $2, '000000' || CAST(100000000000000000 + i AS TEXT),
          'Text ' || i || ' of many' || CASE WHEN i < 11000 THEN ' early bird' ELSE '' END, 'published',
          1773568800000 + i, 1773568800000 + i, 1773568800000 + i, '[]', ',', '[]', 1773568800000, 1773568800000 + i, 1 = 0 FROM n";
    execute(db, many, &[acme, &oid(2)]).await.unwrap();
    let posts = (0..MANY).map(|i| Post {
        id: format!("000000{}", 100_000_000_000_000_000 + i),
        platforms: vec![],
        media: vec![],
        ..one_of_many(i)
    });
    posts.collect()
}

/// As both engines compare texts of these letters.
fn has(post: &Post, text: &str) -> bool {
    post.content.to_ascii_lowercase().contains(&text.to_ascii_lowercase()) || post.id == text
}

async fn texts_among_many(db: Db) {
    let acme = populated(&db, 2).await;
    let mut posts = store_many(&db, &acme).await;
    let special = [
        "Two for one: 100% \"quoted\" a*b^c - NOT (this OR that)",
        "Grüße aus Köln, GRÜSSE",
        "日本語のテキスト",
        "zq",
        "\u{2603} snow\u{2603}man {content} : near(x, 2)",
        "it's 50_50 \\ or so",
        "",
    ];
    let special: Vec<Post> = special
        .iter()
        .enumerate()
        .map(|(n, text)| Post {
            content: (*text).into(),
            created_at: NOW + (n * 5_000) as i64,
            ..post(1, n, PostStatus::Draft)
        })
        .collect();
    db.mirror_posts(&acme, &oid(1), &special, NOW, false, None, NOW).await.unwrap();
    posts.extend(special.clone());
    let id = posts[777].id.clone();
    let texts = [
        "100% \"QUOTED\"",
        "a*b^c",
        "not (this",
        "Köln",
        "grüße",
        "日本語",
        "本",
        "zq",
        "z",
        "\u{2603}man",
        "{content} :",
        "near(x, 2)",
        "50_5",
        "\\ or",
        "text 333",
        "text 33333 of many",
        "of MANY",
        "early bird",
        "y bir",
        "nobody wrote this",
        "Text 5 of",
        &id,
        "  ",
        "\"",
        "\"\"\"",
        "e*",
        "AND",
        "or so",
    ];
    for text in texts {
        let filter = PostFilter { text: Some(text.into()), ..PostFilter::default() };
        let mut expected: Vec<&Post> = posts.iter().filter(|p| has(p, text)).collect();
        let count = expected.len() as i64;
        assert_eq!(db.count_posts(&acme, &filter).await.unwrap(), count, "{text:?}");
        assert_eq!(db.count_posts_to(&acme, &filter, 10_001).await.unwrap(), count.min(10_001), "{text:?}");
        for sort in [PostSort::CreatedDesc, PostSort::ScheduledAsc] {
            expected.sort_by_key(|p| {
                let place = sort.position(p);
                (place.value, place.post_id, place.tenant_id)
            });
            if sort == PostSort::CreatedDesc {
                expected.reverse();
            }
            // From the top, from the middle, and backwards from there.
            for (at, backwards) in [(None, false), (Some(count / 2), false), (Some(count / 2), true)] {
                let at = at.and_then(|n| expected.get(n as usize).map(|p| (n as usize, sort.position(p))));
                let rest = match (&at, backwards) {
                    (None, _) => &expected[..],
                    (Some((n, _)), false) => &expected[n + 1..],
                    (Some((n, _)), true) => &expected[..*n],
                };
                let backwards = backwards && at.is_some();
                let place = at.as_ref().map(|(_, place)| place);
                let slice = Slice { sort, at: place, backwards, limit: 4, matching: Some(count) };
                let found = db.slice_of_posts(&acme, &filter, &slice).await.unwrap();
                let shown = match backwards {
                    true => &rest[rest.len().saturating_sub(4)..],
                    false => &rest[..rest.len().min(4)],
                };
                let found: Vec<&Post> = found.iter().map(|p| &p.post).collect();
                assert_eq!(found, shown, "{text:?} {slice:?}");
            }
        }
    }
    // With other conditions; in a workspace with none of it; and as the posts change.
    let drafts = |text: &str| PostFilter {
        statuses: vec![gatehouse::store::posts::StatusFilter::Draft],
        text: Some(text.into()),
        ..PostFilter::default()
    };
    assert_eq!(db.count_posts(&acme, &drafts("of many")).await.unwrap(), 0);
    assert_eq!(db.count_posts(&acme, &drafts("snow")).await.unwrap(), 1);
    let any = |text: &str| PostFilter { text: Some(text.into()), ..PostFilter::default() };
    assert_eq!(db.count_posts("other", &any("of many")).await.unwrap(), 0);
    let changed = Post { content: "Thaw".into(), updated_at: NOW + 1_000_000, ..special[4].clone() };
    db.mirror_posts(&acme, &oid(1), &[changed], NOW + 1, false, None, NOW + 1).await.unwrap();
    db.forget_posts(&acme, &oid(1), &[oid(5)].into()).await.unwrap();
    for (text, count) in [("snow", 0), ("thaw", 1), ("50_50", 0), ("\u{2603}man", 0), ("quoted", 1)] {
        assert_eq!(db.count_posts(&acme, &any(text)).await.unwrap(), count, "{text}");
    }
}

/// What a text was is not found once it has changed or gone, and leaves the file when it is asked to.
async fn gone_texts(db: Db) {
    let acme = populated(&db, 1).await;
    let secret =
        |n: usize| Post { content: format!("\u{2603}\u{2604}{n} here"), ..post(1, n, PostStatus::Draft) };
    db.mirror_posts(
        &acme,
        &oid(1),
        &[secret(1), secret(2), post(1, 3, PostStatus::Draft)],
        NOW,
        false,
        None,
        NOW,
    )
    .await
    .unwrap();
    let pieces = async || match &db {
        Db::Sqlite { reader, .. } => {
            let text =
                "SELECT COUNT(*) FROM posts_by_text_data WHERE instr(block, CAST('\u{2603}' AS BLOB)) > 0";
            sqlx::query_scalar::<_, i64>(text).fetch_one(reader).await.unwrap()
        }
        Db::Postgres(..) => i64::from(db.count_posts(&acme, &snow()).await.unwrap() > 0),
    };
    assert!(pieces().await > 0);
    db.forget_gone_texts().await.unwrap();
    assert!(pieces().await > 0, "what there is stays");
    assert_eq!(db.count_posts(&acme, &snow()).await.unwrap(), 2);
    let changed = Post { content: "Thaw".into(), updated_at: NOW + 1, ..secret(1) };
    db.mirror_posts(&acme, &oid(1), &[changed], NOW + 1, false, None, NOW + 1).await.unwrap();
    db.forget_posts(&acme, &oid(1), &[oid(2)].into()).await.unwrap();
    assert_eq!(db.count_posts(&acme, &snow()).await.unwrap(), 0);
    db.forget_gone_texts().await.unwrap();
    assert_eq!(pieces().await, 0);
    assert_eq!(crate::support::databases::integrity(&db).await, "ok");
}

fn snow() -> PostFilter {
    PostFilter { text: Some("\u{2603}".into()), ..PostFilter::default() }
}
