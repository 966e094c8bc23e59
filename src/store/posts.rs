//! The mirror: our copy of the posts, for lists and selection across tenants, and the record of what we paused.

use super::{
    Db, Error, Json, Result, Tx,
    leases::Fence,
    post_filter::{FEW, Through, WALKED, Way, found, narrow, places},
};
use crate::{
    clock::Millis,
    domain::{
        posts::{Pause, PlatformPost, Post, PostStatus},
        selections::PostKey,
        words,
    },
};
use std::collections::{BTreeMap, BTreeSet};

words! {
    /// What a list of posts is ordered by.
    PostSort {
        ScheduledAsc = "scheduled",
        ScheduledDesc = "-scheduled",
        UpdatedDesc = "-updated",
        CreatedDesc = "-created",
    }
}

words! {
    /// The statuses an operator can filter by: upstream's five, and those only we know.
    StatusFilter {
        Draft = "draft",
        Paused = "paused",
        Scheduled = "scheduled",
        Published = "published",
        PartiallyPublished = "partially_published",
        AnyPublished = "any_published",
        Failed = "failed",
    }
}

/// What a list of posts asks for. Times are inclusive from, exclusive to, on the scheduled time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PostFilter {
    pub tenants: Vec<String>,
    pub statuses: Vec<StatusFilter>,
    pub platforms: Vec<String>,
    pub from: Option<Millis>,
    pub to: Option<Millis>,
    /// Only posts without a time.
    pub no_time: bool,
    /// Inclusive from, exclusive to, on the time of creation.
    pub created_from: Option<Millis>,
    pub created_to: Option<Millis>,
    /// Only posts with media, or only those without.
    pub media: Option<bool>,
    /// Part of the content, or a whole id.
    pub text: Option<String>,
}

/// A post with what only we know of it.
#[derive(Debug, Clone)]
pub struct MirroredPost {
    pub post: Post,
    pub pause: Option<Pause>,
    pub seen_at: Millis,
}

/// What a listing of a tenant's posts told.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    pub posts: &'a [Post],
    /// When it began.
    pub started: Millis,
    /// It holds every post there is.
    pub complete: bool,
    /// Changes up to this `updatedAt` are known once it is stored.
    pub read_to: Option<Millis>,
    /// When the tenant should be read again.
    pub due_at: Millis,
}

/// A place in an ordered list: the sort value, the post's id and the tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub value: i64,
    pub post_id: String,
    pub tenant_id: String,
}

/// Which part of an ordered list is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    pub sort: PostSort,
    /// Strictly after this place, or with `backwards` strictly before it (the rows are in list order either way).
    pub at: Option<&'a Position>,
    pub backwards: bool,
    pub limit: i64,
    /// How many posts the filter matches in all, if that is known.
    pub matching: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct PostRow {
    tenant_id: String,
    id: String,
    content: String,
    status: String,
    scheduled_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    platforms: Json<Vec<PlatformPost>>,
    media: Json<Vec<String>>,
    seen_at: i64,
    paused_at: Option<i64>,
    paused_scheduled_at: Option<i64>,
}

const SELECT: &str = "SELECT p.tenant_id, p.id, p.content, p.status, p.scheduled_at, p.created_at, p.updated_at, \
    p.platforms, p.media, p.seen_at, u.paused_at, u.scheduled_at AS paused_scheduled_at";
const FROM: &str = " FROM posts p LEFT JOIN pauses u ON u.workspace_id = p.workspace_id AND u.tenant_id = p.tenant_id \
    AND u.post_id = p.id WHERE p.workspace_id = ";
impl Db {
    /// One page in the given order, strictly after `at`, or with `backwards` strictly before it (the page's rows are
    /// in list order either way).
    pub async fn posts(
        &self,
        workspace_id: &str,
        filter: &PostFilter,
        sort: PostSort,
        at: Option<&Position>,
        backwards: bool,
        limit: i64,
    ) -> Result<Vec<MirroredPost>> {
        let slice = Slice { sort, at, backwards, limit, matching: None };
        self.slice_of_posts(workspace_id, filter, &slice).await
    }

    /// The same. To know how many posts match makes it quicker.
    pub async fn slice_of_posts(
        &self,
        workspace_id: &str,
        filter: &PostFilter,
        slice: &Slice<'_>,
    ) -> Result<Vec<MirroredPost>> {
        let through = self.through(workspace_id, filter).await?;
        let few = match slice.matching {
            _ if !filter.tenants.is_empty() => true,
            _ if *filter == PostFilter::default() => false,
            Some(matching) => matching < FEW,
            None => self.count_through(workspace_id, filter, &through, Some(FEW)).await? < FEW,
        };
        if few {
            return self.page_of_posts(workspace_id, filter, slice, Way::Gather, &through, None).await;
        }
        // Texts are not in the orders: each post that is passed is read.
        let until = match filter.text {
            Some(_) => self.place_after(workspace_id, slice, WALKED).await?,
            None => None,
        };
        let walked = self
            .page_of_posts(workspace_id, filter, slice, Way::Walk, &Through::Posts, until.as_ref())
            .await?;
        if until.is_none() || walked.len() as i64 >= slice.limit {
            return Ok(walked);
        }
        self.page_of_posts(workspace_id, filter, slice, Way::Gather, &through, None).await
    }

    async fn page_of_posts(
        &self,
        workspace_id: &str,
        filter: &PostFilter,
        slice: &Slice<'_>,
        way: Way,
        through: &Through,
        until: Option<&Position>,
    ) -> Result<Vec<MirroredPost>> {
        let descending = slice.sort.column().1 != slice.backwards;
        // The places first, from the indexes alone, and only then the posts that stand there.
        let mut sql = self.read(SELECT).push(" FROM (");
        if way == Way::Walk && slice.sort.is_scheduled() && !filter.statuses.is_empty() {
            // Each status is an order of its own; the beginnings of all hold the beginning of the whole.
            for (n, status) in filter.statuses.iter().enumerate() {
                sql = sql.push(if n == 0 { "SELECT * FROM (" } else { " UNION SELECT * FROM (" });
                let status = std::slice::from_ref(status);
                sql = places(sql, workspace_id, filter, status, slice, way, through, until);
                sql = sql.push(if n == 0 { ") s" } else { ") t" });
            }
            sql = sql.push(if descending { " ORDER BY 1 DESC, 2 DESC, 3 DESC" } else { " ORDER BY 1, 2, 3" });
            sql = sql.push(" LIMIT ").arg(slice.limit);
        } else {
            sql = places(sql, workspace_id, filter, &filter.statuses, slice, way, through, until);
        }
        let rows: Vec<PostRow> = sql
            .push(
                ") k JOIN posts p ON p.tenant_id = k.at_tenant AND p.id = k.at_id LEFT JOIN pauses u
                   ON u.workspace_id = p.workspace_id AND u.tenant_id = p.tenant_id AND u.post_id = p.id
                 WHERE p.workspace_id = ",
            )
            .arg(workspace_id)
            .push(" ORDER BY k.value")
            .push(if descending { " DESC, k.at_id DESC, k.at_tenant DESC" } else { ", k.at_id, k.at_tenant" })
            .planned_anew()
            .all()
            .await?;
        let mut posts = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<MirroredPost>>>()?;
        if slice.backwards {
            posts.reverse();
        }
        Ok(posts)
    }

    /// Where one comes after so many posts of the workspace, from where the slice begins; `None` if there are not so many.
    async fn place_after(
        &self,
        workspace_id: &str,
        slice: &Slice<'_>,
        steps: i64,
    ) -> Result<Option<Position>> {
        let (all, one) = (PostFilter::default(), Slice { limit: 1, ..*slice });
        let sql = places(self.read(""), workspace_id, &all, &[], &one, Way::Walk, &Through::Posts, None);
        let place: Option<(i64, String, String)> = sql.push(" OFFSET ").arg(steps).opt().await?;
        Ok(place.map(|(value, post_id, tenant_id)| Position { value, post_id, tenant_id }))
    }

    /// How many posts the filter matches.
    pub async fn count_posts(&self, workspace_id: &str, filter: &PostFilter) -> Result<i64> {
        let through = self.through(workspace_id, filter).await?;
        self.count_through(workspace_id, filter, &through, None).await
    }

    /// The same, but no further than to `most`: whoever only shows the number need not wait for all of it.
    pub async fn count_posts_to(&self, workspace_id: &str, filter: &PostFilter, most: i64) -> Result<i64> {
        let through = self.through(workspace_id, filter).await?;
        self.count_through(workspace_id, filter, &through, Some(most)).await
    }

    pub(super) async fn count_through(
        &self,
        workspace_id: &str,
        filter: &PostFilter,
        through: &Through,
        most: Option<i64>,
    ) -> Result<i64> {
        let sql = found(self.read("SELECT COUNT(*) FROM (SELECT 1"), workspace_id, filter, through);
        let sql = narrow(sql, filter, &filter.statuses, None);
        let sql = match most {
            Some(most) => sql.push(" LIMIT ").arg(most),
            None => sql,
        };
        sql.push(") matching").planned_anew().value().await
    }

    /// How many of these posts, by tenant and id, the filter matches; at most a few hundred can be asked for.
    pub async fn count_posts_among(
        &self,
        workspace_id: &str,
        filter: &PostFilter,
        posts: &[PostKey],
    ) -> Result<i64> {
        if posts.is_empty() {
            return Ok(0);
        }
        let sql = self
            .read("SELECT COUNT(*) FROM ")
            .table(posts, |(tenant, id)| [tenant.into(), id.into()])
            .push(" CROSS JOIN posts p WHERE p.tenant_id = v.column1 AND p.id = v.column2 AND p.workspace_id = ")
            .arg(workspace_id);
        narrow(sql, filter, &filter.statuses, None).value().await
    }

    pub async fn post(&self, workspace_id: &str, tenant_id: &str, id: &str) -> Result<Option<MirroredPost>> {
        let sql = self.read(SELECT).push(FROM).arg(workspace_id);
        let row: Option<PostRow> =
            sql.and("p.tenant_id =", Some(tenant_id)).and("p.id =", Some(id)).opt().await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Many posts by (tenant, id); those not mirrored are missing from the answer.
    pub async fn posts_by_id(
        &self,
        workspace_id: &str,
        ids: &[(String, String)],
    ) -> Result<Vec<MirroredPost>> {
        let ids: Vec<_> = ids.iter().collect::<BTreeSet<_>>().into_iter().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // The workspace in each row: by it alone, PostgreSQL would look at all of its posts.
        let rows: Vec<PostRow> = self
            .read(SELECT)
            .push(" FROM ")
            .table(&ids, |(tenant, id)| [workspace_id.into(), tenant.into(), id.into()])
            .push(
                " JOIN posts p ON p.workspace_id = v.column1 AND p.tenant_id = v.column2 AND p.id = v.column3
                 LEFT JOIN pauses u ON u.workspace_id = p.workspace_id AND u.tenant_id = p.tenant_id AND u.post_id = p.id",
            )
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Which tenants of a workspace have these posts: (post, tenant). For people who name posts by their ids alone; what is
    /// sent upstream goes under the tenant found here.
    pub async fn tenants_of_posts(
        &self,
        workspace_id: &str,
        posts: &[String],
    ) -> Result<Vec<(String, String)>> {
        let mut found = Vec::with_capacity(posts.len());
        for chunk in posts.chunks(500) {
            let rows: Vec<(String, String)> = self
                .read("SELECT id, tenant_id FROM posts WHERE workspace_id = ")
                .arg(workspace_id)
                .push(" AND id IN ")
                .list(chunk.iter().map(String::as_str))
                .push(" ORDER BY id, tenant_id")
                .all()
                .await?;
            found.extend(rows);
        }
        Ok(found)
    }

    /// Stores what a listing of a tenant's posts told. If it was complete, posts it did not hold are gone, and are removed.
    /// What we have changed since the listing began stays as we changed it.
    pub async fn mirror_listing(
        &self,
        workspace_id: &str,
        tenant_id: &str,
        listing: &Listing<'_>,
        fence: Option<&Fence>,
        now: Millis,
    ) -> Result<()> {
        let mut tx = match fence {
            Some(fence) => self.begin_fenced(fence).await?,
            None => self.begin().await?,
        };
        tx.put_posts(workspace_id, listing.posts, listing.started, now).await?;
        if listing.complete {
            tx.sql("DELETE FROM posts WHERE workspace_id = $1 AND tenant_id = $2 AND seen_at < $3")
                .bind(workspace_id)
                .bind(tenant_id)
                .bind(listing.started)
                .run()
                .await?;
        }
        // A pause ends when the post is scheduled again or gone, whoever did it.
        tx.sql(
            "DELETE FROM pauses WHERE workspace_id = $1 AND tenant_id = $2 AND NOT EXISTS (SELECT 1 FROM posts p
               WHERE p.workspace_id = pauses.workspace_id AND p.tenant_id = pauses.tenant_id AND p.id = pauses.post_id
                 AND p.status = 'draft')",
        )
        .bind(workspace_id)
        .bind(tenant_id)
        .run()
        .await?;
        tx.note_synced(workspace_id, tenant_id, listing).await?;
        tx.commit().await
    }

    /// Removes posts that are gone, with their pauses.
    pub async fn forget_posts(
        &self,
        workspace_id: &str,
        tenant_id: &str,
        ids: &BTreeSet<String>,
    ) -> Result<()> {
        let gone: Vec<_> = ids.iter().map(|id| (workspace_id, tenant_id, id.as_str())).collect();
        let mut tx = self.begin().await?;
        tx.forget_posts(&gone).await?;
        tx.end_pauses(&gone).await?;
        tx.commit().await
    }

    /// How many posts of a tenant are mirrored.
    pub async fn count_mirrored(&self, workspace_id: &str, tenant_id: &str) -> Result<i64> {
        self.read("SELECT COUNT(*) FROM posts WHERE workspace_id = $1 AND tenant_id = $2")
            .bind(workspace_id)
            .bind(tenant_id)
            .value()
            .await
    }
}

impl Tx {
    async fn put_posts(
        &mut self,
        workspace_id: &str,
        posts: &[Post],
        started: Millis,
        now: Millis,
    ) -> Result<()> {
        // Pages shift while they are read, and the same post may be on two; a statement takes each once.
        let mut latest: BTreeMap<&str, &Post> = BTreeMap::new();
        for post in posts {
            let known = latest.entry(&post.id).or_insert(post);
            if post.updated_at > known.updated_at {
                *known = post;
            }
        }
        let posts: Vec<&Post> = latest.into_values().collect();
        if posts.is_empty() {
            return Ok(());
        }
        self.sql(
            "INSERT INTO posts (workspace_id, tenant_id, id, content, status, scheduled_at, created_at, updated_at,
               platforms, platform_names, media, seen_at, place_at, with_media)
             SELECT v.*, COALESCE(v.column6, 9007199254740991), v.column11 <> '[]' FROM ",
        )
        .table(&posts, |post| {
            let names: Vec<&str> = post.platforms.iter().map(|p| p.platform.as_str()).collect();
            [
                workspace_id.into(),
                (&post.tenant_id).into(),
                (&post.id).into(),
                (&post.content).into(),
                post.status.as_str().into(),
                post.scheduled_at.into(),
                post.created_at.into(),
                post.updated_at.into(),
                Json(&post.platforms).into(),
                format!(",{},", names.join(",")).into(),
                Json(&post.media).into(),
                now.into(),
            ]
        })
        .push(
            " WHERE true ON CONFLICT (workspace_id, tenant_id, id) DO UPDATE SET content = excluded.content,
               status = excluded.status, scheduled_at = excluded.scheduled_at, created_at = excluded.created_at,
               updated_at = excluded.updated_at, platforms = excluded.platforms,
               platform_names = excluded.platform_names, media = excluded.media, seen_at = excluded.seen_at,
               place_at = excluded.place_at, with_media = excluded.with_media
             WHERE excluded.updated_at > posts.updated_at OR posts.seen_at <= ",
        )
        .arg(started)
        .run()
        .await
        .map(drop)
    }
}

impl TryFrom<PostRow> for MirroredPost {
    type Error = Error;

    fn try_from(row: PostRow) -> Result<Self> {
        let post = Post {
            status: PostStatus::parse(&row.status).ok_or_else(|| Error::Corrupt("post status".into()))?,
            tenant_id: row.tenant_id,
            id: row.id,
            content: row.content,
            scheduled_at: row.scheduled_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            platforms: row.platforms.0,
            media: row.media.0,
        };
        let pause = row.paused_at.map(|paused_at| Pause { paused_at, scheduled_at: row.paused_scheduled_at });
        Ok(Self { post, pause, seen_at: row.seen_at })
    }
}
