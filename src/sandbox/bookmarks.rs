//! Bookmarks on X: `/x-bookmarks/*`.
//!
//! As upstream is not documented beyond the prefix, paths and answers are of the sandbox's own design:
//! `GET /x-bookmarks/:platformId` lists what an account of the acting user has marked, newest first (`limit` up to 100,
//! `cursor` from `nextCursor`), `POST` with `{"postId"}` marks, `DELETE /x-bookmarks/:platformId/:postId` takes the mark away. Author and
//! text are made of the post's id, since there is no X here to ask.

use serde_json::{Value, json};
use sqlx::FromRow;

use super::connections::{self, Account};
use super::figures::figure;
use super::journal::{self, Effect};
use super::routes::Request;
use super::times;
use super::wire::{Answer, Failure, decoded, refused};

const AUTHORS: [&str; 5] = ["harbour_news", "ana.draws", "slowcoffee", "field_notes", "the_night_bus"];
const TEXTS: [&str; 5] = [
    "Three things we learnt from a year of early mornings",
    "The map is finished, and it only took four winters",
    "A short thread on why your bread does not rise",
    "We are hiring again: part-time, kind people, good tea",
    "This bridge was meant to stand for ten years. It is ninety.",
];

#[derive(FromRow)]
struct Bookmark {
    seq: i64,
    posted_id: String,
    created_at: i64,
}

impl Bookmark {
    fn json(&self) -> Value {
        let one = |list: &[&'static str; 5], salt: &str| {
            list[figure(&[&self.posted_id, salt], 0..list.len() as i64) as usize]
        };
        let author = one(&AUTHORS, "author");
        json!({
            "postId": self.posted_id, "author": author, "text": one(&TEXTS, "text"),
            "url": format!("https://x.com/{author}/status/{}", self.posted_id),
            "bookmarkedAt": times::text(self.created_at),
        })
    }
}

/// `GET /x-bookmarks/:platformId`.
pub(super) async fn list(request: &Request, account: &str) -> Result<Answer, Failure> {
    let account = account_of(request, account).await?;
    let number = |name: &str| request.call.query(name).and_then(|text| text.parse::<i64>().ok());
    let limit = number("limit").filter(|limit| *limit != 0).map_or(20, |limit| limit.clamp(1, 100));
    let mut rows: Vec<Bookmark> = sqlx::query_as(
        "SELECT seq, posted_id, created_at FROM bookmarks
         WHERE user_id = $1 AND platform_id = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4",
    )
    .bind(&request.who.acting)
    .bind(&account.id)
    .bind(number("cursor").unwrap_or(i64::MAX))
    .bind(limit + 1)
    .fetch_all(request.app.store.reader())
    .await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    let bookmarks: Vec<Value> = rows.iter().map(Bookmark::json).collect();
    Ok(Answer::json(200, &json!({ "success": true, "bookmarks": bookmarks, "nextCursor": next })))
}

/// `POST /x-bookmarks/:platformId`. Marking again changes nothing.
pub(super) async fn add(request: &Request, account: &str) -> Result<Answer, Failure> {
    let account = account_of(request, account).await?;
    let fields = request.call.fields()?;
    let post =
        fields.get("postId").and_then(Value::as_str).ok_or_else(|| refused(400, "postId is required"))?;
    let post = posted_id(post)?;
    let user = &request.who.acting;
    let mut tx = request.app.store.begin().await?;
    let added = sqlx::query(
        "INSERT INTO bookmarks (user_id, platform_id, posted_id, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(user)
    .bind(&account.id)
    .bind(post)
    .bind(times::now())
    .execute(&mut *tx)
    .await?;
    let bookmark: Bookmark = sqlx::query_as(
        "SELECT seq, posted_id, created_at FROM bookmarks
         WHERE user_id = $1 AND platform_id = $2 AND posted_id = $3",
    )
    .bind(user)
    .bind(&account.id)
    .bind(post)
    .fetch_one(&mut *tx)
    .await?;
    request.effects.break_transaction()?;
    if added.rows_affected() > 0 {
        let effect = Effect { user, action: "bookmark.create", group: None, before: None, after: None };
        journal::record(&mut tx, request.origin(), effect).await?;
    }
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true, "bookmark": bookmark.json() })))
}

/// `DELETE /x-bookmarks/:platformId/:postId`.
pub(super) async fn remove(request: &Request, account: &str, post: &str) -> Result<Answer, Failure> {
    let account = account_of(request, account).await?;
    let user = &request.who.acting;
    let mut tx = request.app.store.begin().await?;
    let gone =
        sqlx::query("DELETE FROM bookmarks WHERE user_id = $1 AND platform_id = $2 AND posted_id = $3")
            .bind(user)
            .bind(&account.id)
            .bind(posted_id(post)?)
            .execute(&mut *tx)
            .await?;
    if gone.rows_affected() == 0 {
        return Err(refused(404, "Bookmark not found"));
    }
    request.effects.break_transaction()?;
    let effect = Effect { user, action: "bookmark.delete", group: None, before: None, after: None };
    journal::record(&mut tx, request.origin(), effect).await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true })))
}

async fn account_of(request: &Request, account: &str) -> Result<Account, Failure> {
    connections::account_of(request, &decoded(account), "twitter").await
}

/// Posts on X are named by digits.
fn posted_id(text: &str) -> Result<&str, Failure> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { Ok(text) } else { Err(refused(400, "Invalid postId")) }
}
