//! LinkedIn: figures of posts and accounts, followers, reactions and comments.
//!
//! As upstream is not documented beyond the paths, bodies and answers are of the sandbox's own design. Every body
//! names `platformId`, a LinkedIn connection of the acting user (404 if it is not), and where a post is meant
//! `postedId`, its name on LinkedIn. Figures are made of these names: the same question has the same answer. Reactions and
//! comments are kept, one reaction for each account and post.

use serde_json::{Map, Value, json};
use sqlx::SqliteConnection;

use super::figures::figure;
use super::journal::{self, Effect};
use super::routes::Request;
use super::store::object_id;
use super::wire::{Answer, Failure, refused};
use super::{connections, times};

const REACTIONS: [&str; 6] = ["LIKE", "PRAISE", "EMPATHY", "INTEREST", "APPRECIATION", "ENTERTAINMENT"];

/// The longest comment, in characters.
const LONGEST: usize = 1250;

/// `POST /linkedin-post-statistics` with `{platformId, postedId}`.
pub(super) async fn post_statistics(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let account = account(request, &fields).await?;
    let post = required(&fields, "postedId")?;
    let of = |name: &str, range| figure(&[&account.id, post, name], range);
    let impressions = of("impressions", 200..20_000);
    let reached = impressions * of("reached", 55..90) / 100;
    let reactions = impressions * of("reactions", 5..60) / 1000;
    let body = json!({
        "success": true, "platformId": account.id, "postedId": post,
        "statistics": {
            "impressions": impressions, "membersReached": reached, "reactions": reactions,
            "comments": reactions / of("comments", 4..12), "reshares": reactions / of("reshares", 6..20),
            "clicks": impressions * of("clicks", 10..50) / 1000,
        },
    });
    Ok(Answer::json(200, &body))
}

/// `POST /linkedin-account-statistics` with `{platformId}`: the last 30 days.
pub(super) async fn account_statistics(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let account = account(request, &fields).await?;
    let of = |name: &str, range| figure(&[&account.id, name], range);
    let impressions = of("impressions", 2_000..90_000);
    let body = json!({
        "success": true, "platformId": account.id, "days": 30,
        "statistics": {
            "impressions": impressions, "membersReached": impressions * of("reached", 40..80) / 100,
            "reactions": impressions / of("reactions", 20..80), "comments": impressions / of("comments", 150..600),
            "reshares": impressions / of("reshares", 300..900),
        },
    });
    Ok(Answer::json(200, &body))
}

/// `POST /linkedin-profile-summary` with `{platformId}`.
pub(super) async fn profile_summary(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let account = account(request, &fields).await?;
    let body = json!({
        "success": true, "platformId": account.id,
        "profile": {
            "username": account.username, "displayName": account.display_name,
            "profileUrl": account.profile_url, "profileImageUrl": account.profile_image_url,
            "followers": followers_of(&account.id),
            "connections": figure(&[&account.id, "connections"], 30..500),
        },
    });
    Ok(Answer::json(200, &body))
}

/// `POST /linkedin-followers` with `{platformId}`.
pub(super) async fn followers(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let account = account(request, &fields).await?;
    let gained = figure(&[&account.id, "gained"], 0..60);
    let body = json!({
        "success": true, "platformId": account.id,
        "followers": { "total": followers_of(&account.id), "gainedLast30Days": gained },
    });
    Ok(Answer::json(200, &body))
}

fn followers_of(account: &str) -> i64 {
    figure(&[account, "followers"], 120..9_000)
}

/// `POST /linkedin-reactions` with `{platformId, postedId, reactionType}`; another type takes the earlier one's place.
pub(super) async fn react(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let account = account(request, &fields).await?;
    let post = required(&fields, "postedId")?;
    let kind = fields
        .get("reactionType")
        .and_then(Value::as_str)
        .and_then(|kind| REACTIONS.into_iter().find(|known| known.eq_ignore_ascii_case(kind)));
    let kind = kind.ok_or_else(|| {
        refused(400, &format!("Invalid reactionType. Must be one of: {}", REACTIONS.join(", ")))
    })?;
    let mut tx = request.app.store.begin().await?;
    sqlx::query(
        "INSERT INTO linkedin_reactions (user_id, platform_id, posted_id, kind, created_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id, platform_id, posted_id) DO UPDATE SET kind = $4",
    )
    .bind(&request.who.acting)
    .bind(&account.id)
    .bind(post)
    .bind(kind)
    .bind(times::now())
    .execute(&mut *tx)
    .await?;
    record(&mut tx, request, "reaction.create").await?;
    tx.commit().await?;
    let reaction = json!({ "platformId": account.id, "postedId": post, "reactionType": kind });
    Ok(Answer::json(200, &json!({ "success": true, "reaction": reaction })))
}

/// `DELETE /linkedin-reactions` with `{platformId, postedId}`.
pub(super) async fn take_reaction_back(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let account = account(request, &fields).await?;
    let post = required(&fields, "postedId")?;
    let mut tx = request.app.store.begin().await?;
    let gone = sqlx::query(
        "DELETE FROM linkedin_reactions WHERE user_id = $1 AND platform_id = $2 AND posted_id = $3",
    )
    .bind(&request.who.acting)
    .bind(&account.id)
    .bind(post)
    .execute(&mut *tx)
    .await?;
    if gone.rows_affected() == 0 {
        return Err(refused(404, "Reaction not found"));
    }
    record(&mut tx, request, "reaction.delete").await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true })))
}

/// `POST /linkedin-comments` with `{platformId, postedId, message, parentComment?}`.
pub(super) async fn comment(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let account = account(request, &fields).await?;
    let (post, message) = (required(&fields, "postedId")?, required(&fields, "message")?);
    if message.chars().count() > LONGEST {
        return Err(refused(400, &format!("message must be at most {LONGEST} characters")));
    }
    let now = times::now();
    let id = request.app.store.new_id(now);
    let mut tx = request.app.store.begin().await?;
    let parent = match fields.get("parentComment").filter(|value| !value.is_null()) {
        None => None,
        Some(value) => {
            let parent = value.as_str().and_then(object_id);
            let known: Option<i64> =
                sqlx::query_scalar("SELECT 1 FROM linkedin_comments WHERE id = $1 AND posted_id = $2")
                    .bind(&parent)
                    .bind(post)
                    .fetch_optional(&mut *tx)
                    .await?;
            known.ok_or_else(|| refused(404, "Comment not found"))?;
            parent
        }
    };
    sqlx::query(
        "INSERT INTO linkedin_comments (id, user_id, platform_id, posted_id, parent_id, message, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&id)
    .bind(&request.who.acting)
    .bind(&account.id)
    .bind(post)
    .bind(&parent)
    .bind(message)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    record(&mut tx, request, "comment.create").await?;
    tx.commit().await?;
    let mut comment = json!({
        "commentId": id, "platformId": account.id, "postedId": post, "message": message,
        "createdAt": times::text(now),
    });
    if let Some(parent) = parent {
        comment["parentComment"] = json!(parent);
    }
    Ok(Answer::json(200, &json!({ "success": true, "comment": comment })))
}

/// `DELETE /linkedin-comments` with `{platformId, postedId, commentId}`. Answers to it stay.
pub(super) async fn delete_comment(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let account = account(request, &fields).await?;
    let (post, id) = (required(&fields, "postedId")?, required(&fields, "commentId")?);
    let mut tx = request.app.store.begin().await?;
    let gone = sqlx::query(
        "DELETE FROM linkedin_comments
         WHERE id = $1 AND user_id = $2 AND platform_id = $3 AND posted_id = $4",
    )
    .bind(id.to_ascii_lowercase())
    .bind(&request.who.acting)
    .bind(&account.id)
    .bind(post)
    .execute(&mut *tx)
    .await?;
    if gone.rows_affected() == 0 {
        return Err(refused(404, "Comment not found"));
    }
    record(&mut tx, request, "comment.delete").await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true })))
}

/// The LinkedIn connection that the body names.
async fn account(request: &Request, fields: &Map<String, Value>) -> Result<connections::Account, Failure> {
    connections::account_of(request, required(fields, "platformId")?, "linkedin").await
}

fn required<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Failure> {
    let text = fields.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    text.ok_or_else(|| refused(400, &format!("{name} is required")))
}

/// Ends a change: breaks it if so switched, writes the journal otherwise.
async fn record(tx: &mut SqliteConnection, request: &Request, action: &str) -> Result<(), Failure> {
    request.effects.break_transaction()?;
    let effect = Effect { user: &request.who.acting, action, group: None, before: None, after: None };
    Ok(journal::record(tx, request.origin(), effect).await?)
}
