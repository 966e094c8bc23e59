//! The accounts a user has connected, how their tokens stand, and a test of one.
//!
//! Connections are made over `/_sandbox/connections` (`control`): there is no platform here to log in to.

use serde_json::{Value, json};
use sqlx::FromRow;

use super::routes::Request;
use super::times;
use super::wire::{Answer, Failure, decoded, refused};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Below this much time left a token is `expiring_soon`.
pub(super) const SOON: i64 = 7 * DAY;

#[derive(FromRow)]
struct Row {
    platform_id: String,
    username: String,
    display_name: String,
    profile_image_url: Option<String>,
    profile_url: Option<String>,
    token_expires_at: Option<i64>,
    last_successful_post: Option<i64>,
    last_error: Option<String>,
}

/// Answers the acting user's connections.
pub(super) async fn list(request: &Request) -> Result<Answer, Failure> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT platform_id, username, display_name, profile_image_url, profile_url, token_expires_at,
                last_successful_post, last_error
         FROM connections WHERE user_id = $1 ORDER BY platform_id",
    )
    .bind(&request.who.acting)
    .fetch_all(request.app.store.reader())
    .await?;
    let now = times::now();
    let connections: Vec<Value> = rows.iter().map(|row| connection(row, now)).collect();
    Ok(Answer::json(200, &json!({ "success": true, "connections": connections })))
}

/// `POST /test-connection/:platformId`: whether the token is good. The platform itself is not asked, as there is none;
/// what it would allow is the same for all accounts of a platform.
pub(super) async fn test(request: &Request, platform_id: &str) -> Result<Answer, Failure> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT platform_id, username, display_name, profile_image_url, profile_url, token_expires_at,
                last_successful_post, last_error
         FROM connections WHERE user_id = $1 AND platform_id = $2",
    )
    .bind(&request.who.acting)
    .bind(decoded(platform_id))
    .fetch_optional(request.app.store.reader())
    .await?;
    let row = row.ok_or_else(not_found)?;
    let shown = connection(&row, times::now());
    let platform = row.platform_id.split('-').next().unwrap_or_default();
    let (status, message, permissions) = match shown["tokenStatus"].as_str() {
        Some("expired") => ("error", "The token has expired. Please reconnect the account.", [].as_slice()),
        _ => ("ok", "Connection is working", permissions(platform)),
    };
    let body = json!({
        "platform": platform, "platformId": row.platform_id, "username": row.username,
        "status": status, "message": message, "permissions": permissions,
        "tokenExpiresIn": shown["tokenExpiresIn"], "lastSuccessfulPost": shown["lastSuccessfulPost"],
        "lastError": shown["lastError"],
    });
    Ok(Answer::json(200, &body))
}

fn permissions(platform: &str) -> &'static [&'static str] {
    match platform {
        "twitter" => &["tweet.read", "tweet.write", "users.read", "bookmark.read", "bookmark.write"],
        "linkedin" => &["openid", "profile", "w_member_social", "r_basicprofile"],
        "instagram" => &["instagram_business_basic", "instagram_business_content_publish"],
        "threads" => &["threads_basic", "threads_content_publish"],
        "facebook" => &["pages_manage_posts", "pages_read_engagement"],
        "youtube" => &["youtube.upload", "youtube.readonly"],
        "tiktok" => &["user.info.basic", "video.publish", "video.upload"],
        "pinterest" => &["boards:read", "pins:read", "pins:write"],
        _ => &["post"],
    }
}

/// A connection as other endpoints need it.
#[derive(FromRow)]
pub(super) struct Account {
    #[sqlx(rename = "platform_id")]
    pub(super) id: String,
    pub(super) username: String,
    pub(super) display_name: String,
    pub(super) profile_image_url: Option<String>,
    pub(super) profile_url: Option<String>,
}

/// The acting user's connection of that id, if it is of that platform.
pub(super) async fn account_of(request: &Request, id: &str, platform: &str) -> Result<Account, Failure> {
    let account: Option<Account> = sqlx::query_as(
        "SELECT platform_id, username, display_name, profile_image_url, profile_url
         FROM connections WHERE user_id = $1 AND platform_id = $2",
    )
    .bind(&request.who.acting)
    .bind(id)
    .fetch_optional(request.app.store.reader())
    .await?;
    let of_platform = |account: &Account| account.id.split('-').next() == Some(platform);
    account.filter(of_platform).ok_or_else(not_found)
}

fn not_found() -> Failure {
    refused(404, "Connection not found")
}

fn connection(row: &Row, now: i64) -> Value {
    let (status, left) = token(row.token_expires_at, now);
    let last_error: Option<Value> =
        row.last_error.as_deref().and_then(|text| serde_json::from_str(text).ok());
    json!({
        "platformId": row.platform_id, "username": row.username, "displayName": row.display_name,
        "profileImageUrl": row.profile_image_url, "profileUrl": row.profile_url,
        "accessTokenExpiresAt": row.token_expires_at.map(times::text),
        "tokenStatus": status, "tokenExpiresIn": left,
        "lastSuccessfulPost": row.last_successful_post.map(times::text), "lastError": last_error,
    })
}

/// `tokenStatus` and `tokenExpiresIn`.
fn token(expires: Option<i64>, now: i64) -> (&'static str, Option<String>) {
    let Some(expires) = expires else { return ("unknown", None) };
    let left = expires.saturating_sub(now);
    let text = match left {
        ..=0 => return ("expired", Some("expired".to_owned())),
        1..HOUR => "< 1h".to_owned(),
        HOUR..DAY => format!("{}h", left / HOUR),
        _ => format!("{}d {}h", left / DAY, left % DAY / HOUR),
    };
    (if left < SOON { "expiring_soon" } else { "valid" }, Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_status_and_time_left() {
        for (expires, status, left) in [
            (None, "unknown", None),
            (Some(-1), "expired", Some("expired")),
            (Some(0), "expired", Some("expired")),
            (Some(HOUR - 1), "expiring_soon", Some("< 1h")),
            (Some(5 * HOUR + 1), "expiring_soon", Some("5h")),
            (Some(7 * DAY - 1), "expiring_soon", Some("6d 23h")),
            (Some(7 * DAY), "valid", Some("7d 0h")),
            (Some(82 * DAY + 4 * HOUR), "valid", Some("82d 4h")),
        ] {
            assert_eq!(token(expires, 0), (status, left.map(str::to_owned)), "{expires:?}");
        }
    }
}
