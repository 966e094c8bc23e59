//! `DELETE /delete-post/:postGroupId`: group, platform posts and media records in one transaction, files after.
//!
//! No status is protected here, as upstream's endpoint page has it. A file that cannot be removed is logged
//! and not answered: the record is gone, and the caller could do nothing about it.

use serde_json::json;
use sqlx::SqliteConnection;

use super::journal::{self, Effect, Origin, State};
use super::routes::Request;
use super::wire::{Answer, Failure, refused};
use super::{media, posts};

/// Deletes a post group of the acting user.
pub(super) async fn delete(request: &Request, id: &str) -> Result<Answer, Failure> {
    let id = posts::group_id(id)?;
    let mut tx = request.app.store.begin().await?;
    let Some(before) = posts::state_of(&mut tx, &id, &request.who.acting).await? else {
        return Err(refused(404, "Post group not found"));
    };
    let files = remove_children(&mut tx, &id, &request.who.acting, request.origin()).await?;
    // In the middle: the children are gone, the group is not. Leaving here drops the transaction.
    request.effects.break_transaction()?;
    remove_group(&mut tx, &id, &request.who.acting, &before, request.origin()).await?;
    tx.commit().await?;

    media::remove_files(&request.app, &files, request.effects.fail_storage).await;
    Ok(Answer::json(200, &json!({ "success": true })))
}

/// Removes platform posts and media records; answers the keys of the files to remove after the commit.
pub(super) async fn remove_children(
    tx: &mut SqliteConnection,
    id: &str,
    user: &str,
    origin: Origin<'_>,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query("DELETE FROM platform_posts WHERE group_id = $1").bind(id).execute(&mut *tx).await?;
    let keys: Vec<Option<String>> =
        sqlx::query_scalar("DELETE FROM media WHERE group_id = $1 RETURNING storage_key")
            .bind(id)
            .fetch_all(&mut *tx)
            .await?;
    for _ in &keys {
        let effect = Effect { user, action: "media.delete", group: Some(id), before: None, after: None };
        journal::record(&mut *tx, origin, effect).await?;
    }
    Ok(keys.into_iter().flatten().collect())
}

/// Removes the group itself. Its post logs stay, unreachable, as upstream keeps them.
pub(super) async fn remove_group(
    tx: &mut SqliteConnection,
    id: &str,
    user: &str,
    before: &State,
    origin: Origin<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM posts WHERE id = $1").bind(id).execute(&mut *tx).await?;
    let effect = Effect { user, action: "post.delete", group: Some(id), before: Some(before), after: None };
    journal::record(tx, origin, effect).await
}
