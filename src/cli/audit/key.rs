//! `gatehouse audit key`: the public key that bundles and checkpoints of this log are checked with.

use super::super::{Error, ServeArgs, say};
use crate::{app, clock::Clock, config::Config, keyring::Keyring, store::Db};

pub async fn run(args: ServeArgs) -> Result<(), Error> {
    let config = Config::load(args.settings, args.config)?;
    let db = app::open_database(&config).await?;
    let keyring = open_keyring(&config, &db).await?;
    db.close().await;
    say(&keyring.audit_key().public().to_string())
}

/// The keys of a gateway that has been started before: a command must not make them.
pub async fn open_keyring(config: &Config, db: &Db) -> Result<Keyring, Error> {
    if db.fact("audit_key").await?.is_none() {
        return Err(Error::Usage("this gateway has no audit key yet: it is made at the first start".into()));
    }
    Ok(Keyring::open(&config.data, db, &Clock::default()).await.map_err(app::Error::Keyring)?)
}
