//! How a list of posts is asked for: conditions, orders and the ways through half a million posts, on both engines.

use super::{
    Sql, like_anywhere,
    posts::{Position, PostFilter, PostSort, Slice, StatusFilter},
};
use crate::{
    clock::Millis,
    domain::{
        ids,
        posts::{Post, PostStatus},
    },
};

/// Posts without a time are placed here (`place_at`). The migrations name the same number.
const NO_TIME: Millis = 9_007_199_254_740_991;

/// How a page is looked for. Statistics that would tell an engine which is better are not always there, and a wrong choice
/// among half a million posts takes seconds.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// Along the order, passing over what does not match: few are passed where many match.
    Walk,
    /// All that match, then put in order.
    Gather,
}

/// Through what the posts are found that are to be looked at.
pub(super) enum Through {
    /// The table and its indexes.
    Posts,
    /// The whole table from end to end: for most of its posts that is quicker than through an index.
    Scan,
    /// SQLite's index of the texts, by what it is asked for.
    Texts(String),
}

/// Fewer matches than this are gathered.
pub(super) const FEW: i64 = 10_000;
/// A walk that reads the posts it passes gives up after so many.
pub(super) const WALKED: i64 = 20_000;

/// What is selected from; the conditions follow. A filter alone needs nothing but the posts; whether we paused one is asked of
/// those drafts only that are left.
pub(super) fn found<'c>(sql: Sql<'c>, workspace_id: &str, filter: &PostFilter, through: &Through) -> Sql<'c> {
    let id = filter.text.as_deref().filter(|text| ids::is_object_id(text));
    // With the joins crossed, SQLite takes the tables in the order they are named.
    let sql = match (through, id) {
        (Through::Posts, _) => sql.push(" FROM posts p WHERE p.workspace_id = "),
        (Through::Scan, _) => sql.push(" FROM posts p WHERE +p.workspace_id = "),
        (Through::Texts(asked), None) => sql
            .push(" FROM posts_by_text t CROSS JOIN posts p ON p.n = t.rowid WHERE t.posts_by_text MATCH ")
            .arg(asked)
            .push(" AND +p.workspace_id = "),
        (Through::Texts(asked), Some(id)) => sql
            .push(" FROM (SELECT rowid AS n FROM posts_by_text WHERE posts_by_text MATCH ")
            .arg(asked)
            .push(" UNION SELECT n FROM posts WHERE workspace_id = ")
            .arg(workspace_id)
            .push(" AND id = ")
            .arg(id)
            .push(") t CROSS JOIN posts p ON p.n = t.n WHERE +p.workspace_id = "),
    };
    sql.arg(workspace_id)
}

const PAUSED: &str = "EXISTS (SELECT 1 FROM pauses x WHERE x.workspace_id = p.workspace_id AND x.tenant_id = p.tenant_id \
    AND x.post_id = p.id)";

impl PostSort {
    /// The SQL expression and whether it descends.
    pub(super) fn column(self) -> (&'static str, bool) {
        match self {
            Self::ScheduledAsc => ("p.place_at", false),
            Self::ScheduledDesc => ("p.place_at", true),
            Self::UpdatedDesc => ("p.updated_at", true),
            Self::CreatedDesc => ("p.created_at", true),
        }
    }

    pub(super) fn is_scheduled(self) -> bool {
        matches!(self, Self::ScheduledAsc | Self::ScheduledDesc)
    }

    /// Where a post stands in this order.
    pub fn position(self, post: &Post) -> Position {
        let value = match self {
            Self::ScheduledAsc | Self::ScheduledDesc => post.scheduled_at.unwrap_or(NO_TIME),
            Self::UpdatedDesc => post.updated_at,
            Self::CreatedDesc => post.created_at,
        };
        Position { value, post_id: post.id.clone(), tenant_id: post.tenant_id.clone() }
    }
}

/// The places of a page: sort value, post, tenant; none beyond `until`.
#[expect(clippy::too_many_arguments, reason = "the parts of one statement")]
pub(super) fn places<'c>(
    sql: Sql<'c>,
    workspace_id: &str,
    filter: &PostFilter,
    statuses: &[StatusFilter],
    slice: &Slice<'_>,
    way: Way,
    through: &Through,
    until: Option<&Position>,
) -> Sql<'c> {
    let (column, descending) = slice.sort.column();
    let descending = descending != slice.backwards;
    let order = if way == Way::Walk { "" } else { "+" };
    let sql = sql.push("SELECT ").push(column).push(" AS value, p.id AS at_id, p.tenant_id AS at_tenant");
    let mut sql =
        narrow(found(sql, workspace_id, filter, through), filter, statuses, Some((slice.sort, way)));
    let bounds = [
        (slice.at, if descending { " < (" } else { " > (" }),
        (until, if descending { " >= (" } else { " <= (" }),
    ];
    for (place, test) in bounds {
        let Some(at) = place else { continue };
        sql =
            sql.push(" AND (").push(order).push(column).push(", p.id, p.tenant_id)").push(test).arg(at.value);
        sql = sql.push(", ").arg(at.post_id.as_str()).push(", ").arg(at.tenant_id.as_str()).push(")");
    }
    sql = sql.push(" ORDER BY ").push(order).push(column);
    sql = sql.push(if descending { " DESC, p.id DESC, p.tenant_id DESC" } else { ", p.id, p.tenant_id" });
    sql.push(" LIMIT ").arg(slice.limit)
}

/// The conditions of a filter. A `+` before a column keeps an engine from using its index: where the tenants are named, only
/// theirs is any use, and whoever walks along one index must not be led to another.
pub(super) fn narrow<'c>(
    mut sql: Sql<'c>,
    filter: &PostFilter,
    statuses: &[StatusFilter],
    page: Option<(PostSort, Way)>,
) -> Sql<'c> {
    let of_tenants = !filter.tenants.is_empty();
    let walks_else = |by: bool| page.is_some_and(|(_, way)| way == Way::Walk) && !by;
    if of_tenants {
        sql = sql.push(" AND p.tenant_id IN ").list(filter.tenants.iter().map(String::as_str));
    }
    if !statuses.is_empty() {
        let (mut words, mut draft, mut paused) = (Vec::new(), false, false);
        for status in statuses {
            match status {
                StatusFilter::Draft => draft = true,
                StatusFilter::Paused => paused = true,
                StatusFilter::AnyPublished => {
                    words.extend([PostStatus::Published, PostStatus::PartiallyPublished]);
                }
                StatusFilter::Scheduled => words.push(PostStatus::Scheduled),
                StatusFilter::Published => words.push(PostStatus::Published),
                StatusFilter::PartiallyPublished => words.push(PostStatus::PartiallyPublished),
                StatusFilter::Failed => words.push(PostStatus::Failed),
            }
        }
        if draft || paused {
            words.push(PostStatus::Draft);
        }
        sql = sql.push(if of_tenants { " AND (p.status || '') IN " } else { " AND p.status IN " });
        sql = sql.list(words.iter().map(|status| status.as_str()));
        sql = match (draft, paused) {
            (true, false) => sql.push(" AND (p.status <> 'draft' OR NOT ").push(PAUSED).push(")"),
            (false, true) => sql.push(" AND (p.status <> 'draft' OR ").push(PAUSED).push(")"),
            _ => sql,
        };
    }
    if !filter.platforms.is_empty() {
        sql = sql.push(" AND (1 = 0");
        for platform in &filter.platforms {
            sql = sql.push(" OR p.platform_names LIKE ").arg(like_anywhere(&format!(",{platform},")));
            sql = sql.push(r" ESCAPE '\'");
        }
        sql = sql.push(")");
    }
    if let Some(text) = &filter.text {
        // Asked for only where it can be one: an OR keeps PostgreSQL from its index of the content.
        sql = match ids::is_object_id(text) {
            true => sql.push(" AND (p.id = ").arg(text.as_str()).push(" OR LOWER(p.content) LIKE LOWER("),
            false => sql.push(" AND (LOWER(p.content) LIKE LOWER("),
        };
        sql = sql.arg(like_anywhere(text)).push(r") ESCAPE '\')");
    }
    sql = sql.and("p.with_media =", filter.media);
    let by_scheduled = page.is_some_and(|(sort, _)| sort.is_scheduled());
    let plain = of_tenants || walks_else(by_scheduled);
    let time = |sql: Sql<'c>, test: &'static str| {
        let sql = sql.push(if plain { " AND +" } else { " AND " });
        sql.push("p.place_at").push(test)
    };
    if filter.no_time {
        sql = time(sql, " = ").arg(NO_TIME);
    }
    // Without an end, the span would take in the posts without a time.
    if filter.from.is_some() || filter.to.is_some() {
        sql = time(sql, " < ").arg(filter.to.unwrap_or(NO_TIME).min(NO_TIME));
    }
    if let Some(from) = filter.from {
        sql = time(sql, " >= ").arg(from);
    }
    let by_created = page.is_some_and(|(sort, _)| sort == PostSort::CreatedDesc);
    let plain = of_tenants || walks_else(by_created);
    sql.and(if plain { "+p.created_at >=" } else { "p.created_at >=" }, filter.created_from)
        .and(if plain { "+p.created_at <" } else { "p.created_at <" }, filter.created_to)
}
