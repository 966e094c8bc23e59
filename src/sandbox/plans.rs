//! Plans: what an account may do by what it pays for, and the structured 403 for what it may not.
//!
//! An account without a plan has no limits; that is how all begin, so that plans get in nobody's way. A managed user's
//! limits are those of the workspace's owner. As upstream is not documented there, this is how it is counted:
//! each account's own use is held against the limits. A post counts in the calendar month (UTC) it goes out in, once for
//! each connection; drafts do not count, and what is deleted does not either. Nothing is checked until a post is
//! to go out, except for its platforms.

use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::App;
use super::control::{body, checked_id, origin};
use super::journal::{self, Effect};
use super::times::{self, nullable};
use super::wire::{Answer, Call, Failure, refused};

const DAY: i64 = 86_400_000;

/// The platforms of the plan without Twitter.
const NO_TWITTER: &[&str] = &["twitter"];

/// The limits of one account; `None` is no limit.
#[derive(FromRow, Clone, Default)]
struct Limits {
    name: String,
    /// Posts a month, over all connections together.
    posts: Option<i64>,
    /// Posts a month on each connection.
    connection_posts: Option<i64>,
    /// Posts that wait to go out.
    scheduled: Option<i64>,
    /// How many days ahead a post may be.
    horizon: Option<i64>,
    /// How many accounts may be connected. No plan's number is documented, so only a switch sets it.
    connections: Option<i64>,
    /// The platforms it has not, as a JSON array.
    barred: String,
}

impl Limits {
    /// The documented plans, and whether they may use the API.
    fn of_plan(plan: &str) -> Option<(Limits, bool)> {
        let paid = |name: &str, posts, scheduled| Limits {
            name: name.to_owned(),
            connection_posts: Some(posts),
            scheduled: Some(scheduled),
            barred: json!([]).to_string(),
            ..Limits::default()
        };
        Some(match plan {
            "starter" => {
                let starter = Limits {
                    name: "Starter".to_owned(),
                    posts: Some(15),
                    scheduled: Some(3),
                    horizon: Some(7),
                    barred: json!(NO_TWITTER).to_string(),
                    ..Limits::default()
                };
                (starter, false)
            }
            "pro" => (paid("Pro", 100, 100), true),
            "premium" => (paid("Premium", 500, 500), true),
            _ => return None,
        })
    }
}

/// A post that is to be made or changed.
pub(super) struct Wish<'a> {
    pub(super) user: &'a str,
    /// The post's own id, so that it is not counted against itself.
    pub(super) group: &'a str,
    /// When it would go out; `None` for a draft.
    pub(super) at: Option<i64>,
    /// Platform and raw id of each account it goes to.
    pub(super) platforms: &'a [(String, String)],
}

/// A limit that was hit, as the body tells it.
struct Hit {
    code: &'static str,
    metric: &'static str,
    limit: i64,
    used: i64,
    requested: i64,
    period: Option<(i64, i64)>,
    error: &'static str,
    message: String,
    context: Value,
}

/// Refuses what the account's plan does not allow; call it in the transaction of the change.
pub(super) async fn check(tx: &mut SqliteConnection, wish: &Wish<'_>, now: i64) -> Result<(), Failure> {
    let limits: Option<Limits> = sqlx::query_as(
        "SELECT p.* FROM users u JOIN plans p ON p.user_id = COALESCE(u.owner_id, u.id) WHERE u.id = $1",
    )
    .bind(wish.user)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(limits) = limits else { return Ok(()) };
    let hit = match platform_hit(&limits, wish) {
        None => match connections_hit(&mut *tx, &limits, wish).await? {
            None => time_hit(tx, &limits, wish, now).await?,
            hit => hit,
        },
        hit => hit,
    };
    hit.map_or(Ok(()), |hit| Err(Failure::Refused(answer(&limits, &hit))))
}

fn platform_hit(limits: &Limits, wish: &Wish<'_>) -> Option<Hit> {
    let barred: Vec<String> = serde_json::from_str(&limits.barred).unwrap_or_default();
    let (platform, raw) = wish.platforms.iter().find(|(platform, _)| barred.contains(platform))?;
    Some(Hit {
        code: "PLATFORM_NOT_AVAILABLE",
        metric: "platforms",
        limit: 0,
        used: 0,
        requested: 1,
        period: None,
        error: "Platform not available",
        message: format!("{platform} is not part of the {} plan", limits.name),
        context: json!({ "platform": platform, "platformId": format!("{platform}-{raw}") }),
    })
}

async fn connections_hit(
    tx: &mut SqliteConnection,
    limits: &Limits,
    wish: &Wish<'_>,
) -> Result<Option<Hit>, Failure> {
    let Some(limit) = limits.connections else { return Ok(None) };
    let used: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM connections WHERE user_id = $1")
        .bind(wish.user)
        .fetch_one(tx)
        .await?;
    Ok((used > limit).then(|| Hit {
        code: "CONNECTIONS_OVER_LIMIT",
        metric: "connections",
        limit,
        used,
        requested: 0,
        period: None,
        error: "Too many connections",
        message: format!(
            "The {} plan allows {limit} connections and there are {used}: disconnect some to post again",
            limits.name
        ),
        context: json!({}),
    }))
}

/// The limits on what goes out: how far ahead, how many wait, how many in a month.
async fn time_hit(
    tx: &mut SqliteConnection,
    limits: &Limits,
    wish: &Wish<'_>,
    now: i64,
) -> Result<Option<Hit>, Failure> {
    let Some(at) = wish.at else { return Ok(None) };
    if let Some(days) = limits.horizon
        && at > now + days * DAY
    {
        return Ok(Some(Hit {
            code: "SCHEDULE_HORIZON_REACHED",
            metric: "scheduleHorizonDays",
            limit: days,
            used: 0,
            requested: (at - now + DAY - 1) / DAY,
            period: None,
            error: "Scheduled too far ahead",
            message: format!("The {} plan schedules at most {days} days ahead", limits.name),
            context: json!({
                "scheduledTime": times::text(at), "latestScheduledTime": times::text(now + days * DAY),
            }),
        }));
    }
    if let Some(limit) = limits.scheduled {
        let used: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM posts WHERE user_id = $1 AND status = 'scheduled' AND id <> $2",
        )
        .bind(wish.user)
        .bind(wish.group)
        .fetch_one(&mut *tx)
        .await?;
        if used + 1 > limit {
            return Ok(Some(Hit {
                code: "SCHEDULED_POST_LIMIT_REACHED",
                metric: "scheduledPosts",
                limit,
                used,
                requested: 1,
                period: None,
                error: "Scheduled post limit reached",
                message: format!("The {} plan allows {limit} scheduled posts at a time", limits.name),
                context: json!({}),
            }));
        }
    }
    month_hit(tx, limits, wish, at).await
}

async fn month_hit(
    tx: &mut SqliteConnection,
    limits: &Limits,
    wish: &Wish<'_>,
    at: i64,
) -> Result<Option<Hit>, Failure> {
    if limits.posts.is_none() && limits.connection_posts.is_none() {
        return Ok(None);
    }
    let month = times::month(at);
    let used: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT x.platform, x.platform_id, COUNT(*) FROM posts p JOIN platform_posts x ON x.group_id = p.id
         WHERE p.user_id = $1 AND p.status <> 'draft' AND p.scheduled_time >= $2 AND p.scheduled_time < $3
           AND p.id <> $4
         GROUP BY x.platform, x.platform_id",
    )
    .bind(wish.user)
    .bind(month.0)
    .bind(month.1)
    .bind(wish.group)
    .fetch_all(tx)
    .await?;
    let hit = |limit, used, requested, message, context| Hit {
        code: "POST_LIMIT_REACHED",
        metric: "postsPerMonth",
        limit,
        used,
        requested,
        period: Some(month),
        error: "Post limit reached",
        message,
        context,
    };
    if let Some(limit) = limits.posts {
        let (used, wanted) = (used.iter().map(|(.., count)| count).sum(), wish.platforms.len() as i64);
        if used + wanted > limit {
            let message = format!("The {} plan allows {limit} posts a month", limits.name);
            return Ok(Some(hit(limit, used, wanted, message, json!({}))));
        }
    }
    let Some(limit) = limits.connection_posts else { return Ok(None) };
    for account in wish.platforms {
        let same = |a: &str, b: &str| a == account.0 && b == account.1;
        let used = used.iter().find(|(a, b, _)| same(a, b)).map_or(0, |(.., count)| *count);
        let wanted = wish.platforms.iter().filter(|(a, b)| same(a, b)).count() as i64;
        if used + wanted > limit {
            let message = format!("The {} plan allows {limit} posts a month on each connection", limits.name);
            let context = json!({
                "platform": account.0, "platformId": format!("{}-{}", account.0, account.1),
            });
            return Ok(Some(hit(limit, used, wanted, message, context)));
        }
    }
    Ok(None)
}

fn answer(limits: &Limits, hit: &Hit) -> Answer {
    let mut body = json!({
        "error": hit.error, "code": hit.code, "metric": hit.metric, "message": hit.message,
        "limit": hit.limit, "used": hit.used, "requested": hit.requested,
        "remaining": (hit.limit - hit.used).max(0),
        "periodStart": hit.period.map(|(start, _)| times::text(start)),
        "periodEnd": hit.period.map(|(_, end)| times::text(end)),
        "planName": limits.name,
    });
    if let Value::Object(context) = &hit.context {
        for (name, value) in context {
            body[name] = value.clone();
        }
    }
    Answer::json(403, &body)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    owner_id: String,
    plan: Option<String>,
    api_enabled: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    posts_per_month: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    posts_per_connection: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    scheduled_posts: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    horizon_days: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    connections: Option<Option<i64>>,
}

/// `PUT /_sandbox/plans`: puts an owner on `starter`, `pro` or `premium`, or on none. Single limits can be given beside
/// it, and `apiEnabled`, without which Starter's limits could not be met over the API.
pub(super) async fn put(app: &App, call: &Call) -> Result<Answer, Failure> {
    let change: Change = body(call)?;
    let owner = checked_id(&change.owner_id)?;
    let given = [
        change.posts_per_month,
        change.posts_per_connection,
        change.scheduled_posts,
        change.horizon_days,
        change.connections,
    ];
    if given.iter().flatten().flatten().any(|limit| !(0..=1_000_000).contains(limit)) {
        return Err(refused(400, "a limit must be 0 to 1000000, or null for none"));
    }
    let plan = match change.plan.as_deref() {
        Some(name) => Some(
            Limits::of_plan(name)
                .ok_or_else(|| refused(400, "plan must be starter, pro, premium or null"))?,
        ),
        None if given.iter().any(Option::is_some) => {
            return Err(refused(400, "limits need a plan they belong to"));
        }
        None => None,
    };
    let api = change.api_enabled.unwrap_or(plan.as_ref().is_none_or(|(_, api)| *api));
    let mut tx = app.store.begin().await?;
    let known = sqlx::query("UPDATE users SET api_enabled = $2 WHERE id = $1 AND role = 'owner'")
        .bind(&owner)
        .bind(api)
        .execute(&mut *tx)
        .await?;
    if known.rows_affected() == 0 {
        return Err(refused(404, "Not found"));
    }
    sqlx::query("DELETE FROM plans WHERE user_id = $1").bind(&owner).execute(&mut *tx).await?;
    let mut shown = json!({ "ownerId": owner, "plan": change.plan, "apiEnabled": api });
    if let Some((mut limits, _)) = plan {
        let targets = [
            (&mut limits.posts, "postsPerMonth"),
            (&mut limits.connection_posts, "postsPerConnection"),
            (&mut limits.scheduled, "scheduledPosts"),
            (&mut limits.horizon, "horizonDays"),
            (&mut limits.connections, "connections"),
        ];
        for ((limit, name), given) in targets.into_iter().zip(given) {
            *limit = given.unwrap_or(*limit);
            shown[name] = json!(limit);
        }
        sqlx::query(
            "INSERT INTO plans (user_id, name, posts, connection_posts, scheduled, horizon, connections, barred)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&owner)
        .bind(&limits.name)
        .bind(limits.posts)
        .bind(limits.connection_posts)
        .bind(limits.scheduled)
        .bind(limits.horizon)
        .bind(limits.connections)
        .bind(&limits.barred)
        .execute(&mut *tx)
        .await?;
    }
    let effect = Effect { user: &owner, action: "plan.put", group: None, before: None, after: None };
    journal::record(&mut tx, origin(call), effect).await?;
    tx.commit().await?;
    Ok(Answer::json(200, &shown))
}
