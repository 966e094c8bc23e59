//! Who is calling, and for whom: the contract's authentication table.
//!
//! Every endpoint under `/api/v1` goes through `authenticate`, and handlers know only the `Caller` it made.

use aws_lc_rs::digest::{SHA256, digest};
use sqlx::FromRow;

use super::App;
use super::store::object_id;
use super::times;
use super::wire::{Call, Failure, refused};

/// A caller that may call.
pub(super) struct Caller {
    /// The account the key belongs to.
    pub(super) owner: String,
    /// The account acted for; the owner where no other is named.
    pub(super) acting: String,
}

#[derive(FromRow)]
struct Key {
    user_id: String,
    workspace: bool,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

/// Checks the key, then the user named beside it. `workspace_only` for `/workspace/*`.
pub(super) async fn authenticate(app: &App, call: &Call, workspace_only: bool) -> Result<Caller, Failure> {
    let Some(presented) = presented_key(call) else { return Err(refused(401, "API key is required")) };
    let key: Option<Key> =
        sqlx::query_as("SELECT user_id, workspace, expires_at, revoked_at FROM keys WHERE digest = $1")
            .bind(digest_of(presented))
            .fetch_optional(app.store.reader())
            .await?;
    let now = times::now();
    let key = key
        .filter(|key| key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now))
        .ok_or_else(|| refused(401, "Invalid API key"))?;

    let owner: Option<(bool, bool)> =
        // A managed user's key opens what his owner's plan does.
        sqlx::query_as(
            "SELECT u.api_enabled AND COALESCE(o.api_enabled, 1), u.mcp_enabled
             FROM users u LEFT JOIN users o ON o.id = u.owner_id WHERE u.id = $1",
        )
        .bind(&key.user_id)
        .fetch_optional(app.store.reader())
        .await?;
    let Some((api_enabled, mcp_enabled)) = owner else { return Err(refused(401, "Invalid API key owner")) };
    if !api_enabled {
        return Err(refused(403, "API access is not enabled for this account"));
    }
    let client = call.either("x-postpost-client", "x-publora-client").unwrap_or("api");
    if client.eq_ignore_ascii_case("mcp") && !mcp_enabled {
        return Err(refused(403, "MCP access is not enabled for this account"));
    }

    let named = match call.user_header() {
        None => None,
        Some(text) => Some(object_id(text).ok_or_else(|| refused(400, "Invalid x-postpost-user-id"))?),
    };
    // Naming the key's own owner changes nothing, and so skips the check below, as upstream does.
    let other = named.filter(|id| *id != key.user_id);
    if !key.workspace && (workspace_only || other.is_some()) {
        return Err(refused(403, "Workspace access is not enabled for this key"));
    }
    let Some(other) = other else {
        return Ok(Caller { acting: key.user_id.clone(), owner: key.user_id });
    };
    let managed: Option<i64> = sqlx::query_scalar("SELECT 1 FROM users WHERE id = $1 AND owner_id = $2")
        .bind(&other)
        .bind(&key.user_id)
        .fetch_optional(app.store.reader())
        .await?;
    if managed.is_none() {
        return Err(refused(403, "User is not managed by key"));
    }
    Ok(Caller { owner: key.user_id, acting: other })
}

/// What the database knows a key by.
pub(super) fn digest_of(key: &str) -> String {
    hex::encode(digest(&SHA256, key.as_bytes()))
}

fn presented_key(call: &Call) -> Option<&str> {
    call.either("x-api-key", "x-publora-key").or_else(|| {
        let (scheme, key) = call.header("authorization")?.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && key.trim().starts_with("sk_")).then(|| key.trim())
    })
}
