//! `GET /list-posts`: filters, order, pages.
//!
//! Reads one state of the database: count, page and what hangs on it come from one transaction. Offset paging
//! shifts while posts come and go, as upstream's does.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, FromRow, SqliteConnection};

use super::routes::Request;
use super::times;
use super::wire::{Answer, Call, Failure, refused};
use super::{App, media};

const STATUSES: [&str; 5] = ["draft", "scheduled", "published", "failed", "partially_published"];

/// The fields one may sort by, and their columns.
const SORTS: [(&str, &str); 3] =
    [("createdAt", "created_at"), ("updatedAt", "updated_at"), ("scheduledTime", "scheduled_time")];

const WHERE: &str = "WHERE user_id = $1 AND ($2 IS NULL OR status = $2)
    AND ($3 IS NULL OR scheduled_time >= $3) AND ($4 IS NULL OR scheduled_time <= $4)
    AND ($5 IS NULL OR EXISTS (SELECT 1 FROM platform_posts x WHERE x.group_id = posts.id AND x.platform = $5))";

struct Query {
    page: i64,
    limit: i64,
    status: Option<String>,
    platform: Option<String>,
    column: &'static str,
    order: &'static str,
    from: Option<i64>,
    to: Option<i64>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    content: String,
    status: String,
    scheduled_time: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

/// Answers a page of the acting user's posts.
pub(super) async fn list(request: &Request) -> Result<Answer, Failure> {
    let query = parse(&request.call)?;
    let mut tx = request.app.store.reader().begin().await?;
    // Both texts are made of constants of this file only.
    let total: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM posts {WHERE}")))
        .bind(&request.who.acting)
        .bind(&query.status)
        .bind(query.from)
        .bind(query.to)
        .bind(&query.platform)
        .fetch_one(&mut *tx)
        .await?;
    // The id as second key: rows of one moment keep their order from page to page.
    let text = format!(
        "SELECT id, content, status, scheduled_time, created_at, updated_at FROM posts {WHERE}
         ORDER BY {column} {order}, id {order} LIMIT $6 OFFSET $7",
        column = query.column,
        order = query.order,
    );
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(text))
        .bind(&request.who.acting)
        .bind(&query.status)
        .bind(query.from)
        .bind(query.to)
        .bind(&query.platform)
        .bind(query.limit)
        .bind((query.page - 1).saturating_mul(query.limit))
        .fetch_all(&mut *tx)
        .await?;
    let ids = Value::from(rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>()).to_string();
    let mut platforms = platforms_of(&mut tx, &ids).await?;
    let mut urls = media_of(&mut tx, &request.app, &ids).await?;

    let posts: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            let mut post = json!({
                "postGroupId": row.id, "content": row.content, "status": row.status,
                "createdAt": times::text(row.created_at), "updatedAt": times::text(row.updated_at),
                "platforms": platforms.remove(&row.id).unwrap_or_default(),
                "mediaUrls": urls.remove(&row.id).unwrap_or_default(),
            });
            if let Some(at) = row.scheduled_time {
                post["scheduledTime"] = json!(times::text(at));
            }
            post
        })
        .collect();
    let pages = (total + query.limit - 1) / query.limit;
    let pagination = json!({
        "page": query.page, "limit": query.limit, "totalItems": total, "totalPages": pages,
        "hasNextPage": query.page < pages, "hasPrevPage": query.page > 1,
    });
    Ok(Answer::json(200, &json!({ "success": true, "posts": posts, "pagination": pagination })))
}

async fn platforms_of(
    tx: &mut SqliteConnection,
    ids: &str,
) -> Result<HashMap<String, Vec<Value>>, sqlx::Error> {
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT group_id, platform, platform_id, status FROM platform_posts
         WHERE group_id IN (SELECT value FROM json_each($1)) ORDER BY group_id, position",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut by_group: HashMap<String, Vec<Value>> = HashMap::new();
    for (group, platform, raw, status) in rows {
        let line =
            json!({ "platformId": format!("{platform}-{raw}"), "platform": platform, "status": status });
        by_group.entry(group).or_default().push(line);
    }
    Ok(by_group)
}

async fn media_of(
    tx: &mut SqliteConnection,
    app: &App,
    ids: &str,
) -> Result<HashMap<String, Vec<String>>, sqlx::Error> {
    let rows: Vec<(String, String, String, Option<String>)> = sqlx::query_as(
        "SELECT group_id, id, file_name, external_url FROM media
         WHERE group_id IN (SELECT value FROM json_each($1)) ORDER BY group_id, created_at, id",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut by_group: HashMap<String, Vec<String>> = HashMap::new();
    for (group, id, name, external) in rows {
        let url = external.unwrap_or_else(|| media::file_url(app, &id, &name));
        by_group.entry(group).or_default().push(url);
    }
    Ok(by_group)
}

fn parse(call: &Call) -> Result<Query, Failure> {
    let text = |name| call.query(name).filter(|text| !text.is_empty());
    let status = text("status");
    if status.as_deref().is_some_and(|status| !STATUSES.contains(&status)) {
        let valid = STATUSES.join(", ");
        return Err(refused(400, &format!("Invalid status. Must be one of: {valid}")));
    }
    let sort = text("sortBy").unwrap_or_else(|| "createdAt".to_owned());
    let Some((_, column)) = SORTS.into_iter().find(|(name, _)| *name == sort) else {
        return Err(refused(400, "Invalid sortBy. Must be one of: createdAt, updatedAt, scheduledTime"));
    };
    let bound = |name| match text(name) {
        None => Ok(None),
        Some(value) => match times::parse_bound(&value) {
            Some(at) => Ok(Some(at)),
            None => Err(refused(400, &format!("Invalid {name} format"))),
        },
    };
    let limit = match text("limit").as_deref().and_then(leading_integer) {
        None | Some(0) => 20,
        Some(limit) => limit.clamp(1, 100),
    };
    Ok(Query {
        page: text("page").as_deref().and_then(leading_integer).unwrap_or(1).max(1),
        limit,
        status,
        platform: text("platform").map(|platform| platform.to_lowercase()),
        column,
        order: if text("sortOrder").as_deref() == Some("asc") { "ASC" } else { "DESC" },
        from: bound("fromDate")?,
        to: bound("toDate")?,
    })
}

/// JavaScript's `parseInt`: the digits at the start, whatever follows.
fn leading_integer(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return None;
    }
    let number = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some(if negative { -number } else { number })
}
