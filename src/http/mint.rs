//! A new gateway key, before it is stored: for the pages and the tenant door alike. The secret is here and in the answer that
//! shows it once, and nowhere else.

use super::Error;
use crate::{
    app::App,
    domain::{
        ids,
        keys::{Key, NewKey, Rotation},
        secrets,
    },
};

/// A key that is not stored yet.
pub struct Minted {
    pub key: Key,
    pub secret: String,
    pub mac: [u8; 32],
}

/// Makes a key in the name of `by`.
///
/// # Errors
/// [`Error::Invalid`] if its parts do not fit.
pub fn mint(app: &App, by: &str, workspace_id: &str, new: NewKey) -> Result<Minted, Error> {
    let now = app.clock.now();
    new.check(now)?;
    let (secret, mac) = app.keyring.mint(new.kind);
    let key = Key {
        id: ids::new_id(),
        workspace_id: workspace_id.to_owned(),
        kind: new.kind,
        tenant_id: new.tenant_id,
        name: new.name.trim().to_owned(),
        scopes: new.scopes,
        rules: new.rules,
        prefix: secrets::visible_prefix(&secret),
        last_four: secrets::last_four(&secret),
        created_at: now,
        created_by: by.to_owned(),
        expires_at: new.expires_at,
        last_used_at: None,
        last_used_from: None,
        last_used_agent: None,
        revoked_at: None,
        rotation: Rotation::default(),
    };
    Ok(Minted { key, secret, mac })
}
