//! Hashing and checking passwords: argon2id, at most one per core at a time, on threads that may block.

use super::super::Error;
use crate::app::App;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::sync::{Arc, LazyLock};

/// A hash nobody's password has, so that an unknown account takes as long as a wrong password.
static DUMMY: LazyLock<Option<String>> =
    LazyLock::new(|| Argon2::default().hash_password(&crate::envelope::random()).ok().map(|h| h.to_string()));

/// Hashes a new password (argon2id, 19 MiB, 2 passes: OWASP's floor).
pub async fn hash(app: &Arc<App>, password: &str) -> Result<String, Error> {
    let password = password.to_owned();
    run(app, move || Argon2::default().hash_password(password.as_bytes()).map(|h| h.to_string()))
        .await?
        .map_err(|e| Error::Internal(format!("argon2: {e}")))
}

/// Whether the password is the one behind the hash. Without a hash it takes as long and is wrong.
pub async fn check(app: &Arc<App>, password: &str, hash: Option<String>) -> Result<bool, Error> {
    // An oversized password is never hashed.
    if password.len() > 1024 {
        return Ok(false);
    }
    let password = password.to_owned();
    run(app, move || {
        let known = hash.is_some();
        let Some(text) = hash.or_else(|| DUMMY.clone()) else { return false };
        let Ok(parsed) = PasswordHash::new(&text) else { return false };
        Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok() && known
    })
    .await
}

async fn run<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let _one = app.password_checks.acquire().await.map_err(|_| Error::Overloaded)?;
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(e.to_string()))
}
