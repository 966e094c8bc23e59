//! The key files of the data folder, and what is derived from them. Refuses to start on a wrong or missing file rather
//! than encrypt anew.

use crate::{
    audit::note::{PublicKey, SigningKey},
    clock::Clock,
    domain::{ids, keys::KeyKind, secrets},
    envelope::{self, CannotOpen, DataKey, MasterKey},
    store::{self, Db},
};
use secrecy::SecretString;
use std::{
    fmt,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};
use zeroize::Zeroizing;

/// The opened keys. Nothing of it is ever printed.
pub struct Keyring {
    data: DataKey,
    pepper: Zeroizing<[u8; 32]>,
    pepper_id: String,
    csrf: Zeroizing<[u8; 32]>,
    tokens: Zeroizing<[u8; 32]>,
    contents: Zeroizing<[u8; 32]>,
    audit: SigningKey,
}

#[derive(Debug)]
pub enum Error {
    File(std::path::PathBuf, std::io::Error),
    /// A key file does not hold 64 hex digits.
    Malformed(std::path::PathBuf),
    /// The database was made with another file of this name, or the file is missing.
    Wrong(&'static str),
    Store(store::Error),
}

impl Keyring {
    /// Opens the key files, making them on the very first start.
    pub async fn open(folder: &Path, db: &Db, clock: &Clock) -> Result<Self, Error> {
        let stored = db.data_key().await.map_err(Error::Store)?;
        let fresh = stored.is_none();
        let master = MasterKey::new(key_file(&folder.join("master.key"), fresh, "master.key")?);
        let pepper = Zeroizing::new(key_file(&folder.join("pepper.key"), fresh, "pepper.key")?);
        let pepper_id = hex::encode(&crate::audit::tree::digest(&[b"pepper id", pepper.as_slice()])[..4]);
        if db.fact_or("pepper_id", &pepper_id).await.map_err(Error::Store)? != pepper_id {
            return Err(Error::Wrong("pepper.key"));
        }
        let wrong = |_: CannotOpen| Error::Wrong("master.key");
        let data = match stored {
            Some((id, wrapped)) => master.unwrap_data_key(id, &wrapped).map_err(wrong)?,
            None => {
                let (key, wrapped) = master.make_data_key(ids::new_id()).map_err(wrong)?;
                db.add_data_key(key.id(), &wrapped, clock.now()).await.map_err(Error::Store)?;
                key
            }
        };
        let audit = audit_key(folder, db).await?;
        let csrf = Zeroizing::new(envelope::mac(&pepper, b"csrf tokens"));
        let tokens = Zeroizing::new(envelope::mac(&pepper, b"signed links"));
        let contents = Zeroizing::new(envelope::mac(&pepper, b"contents of posts"));
        Ok(Self { data, pepper, pepper_id, csrf, tokens, contents, audit })
    }

    /// Makes a gateway key: the secret to show once, and the MAC to store.
    pub fn mint(&self, kind: KeyKind) -> (String, [u8; 32]) {
        let secret = secrets::mint(kind, &envelope::random());
        let mac = self.mac(&secret);
        (secret, mac)
    }

    /// What a presented key is looked up by.
    pub fn mac(&self, secret: &str) -> [u8; 32] {
        envelope::mac(&self.pepper, secret.as_bytes())
    }

    pub fn pepper_id(&self) -> &str {
        &self.pepper_id
    }

    pub fn seal(&self, place: [&str; 3], secret: &str) -> Result<Vec<u8>, CannotOpen> {
        self.data.seal(place, secret)
    }

    pub fn open_secret(&self, place: [&str; 3], sealed: &[u8]) -> Result<SecretString, CannotOpen> {
        self.data.open(place, sealed)
    }

    /// What a post's content is known by again where the content is not ours to keep. Of no use in another tenant, and blind
    /// to what a database or upstream does to text: space around it, and NUL.
    pub fn content_digest(&self, workspace_id: &str, tenant_id: Option<&str>, content: &str) -> String {
        let (tenant, content) = (tenant_id.unwrap_or_default(), content.replace('\0', ""));
        let message = format!("{workspace_id}:{tenant}:{}", content.trim());
        hex::encode(envelope::mac(&self.contents, message.as_bytes()))
    }

    /// The key that signs the audit log.
    pub fn audit_key(&self) -> &SigningKey {
        &self.audit
    }

    /// The key that signs what travels outside a session.
    pub fn token_key(&self) -> &[u8; 32] {
        &self.tokens
    }

    /// A form token bound to a session (security.md, CSRF).
    pub fn csrf_token(&self, session: &str) -> String {
        let random = hex::encode(&envelope::random()[..16]);
        format!("{}.{random}", self.csrf_mac(session, &random))
    }

    pub fn csrf_holds(&self, session: &str, token: &str) -> bool {
        let Some((mac, random)) = token.split_once('.') else { return false };
        envelope::equal(self.csrf_mac(session, random).as_bytes(), mac.as_bytes())
    }

    fn csrf_mac(&self, session: &str, random: &str) -> String {
        let message = format!("{}:{session}:{}:{random}", session.len(), random.len());
        hex::encode(envelope::mac(&self.csrf, message.as_bytes()))
    }
}

/// Opens the key that signs the log, making it and the log's id at the first start of a version that signs.
async fn audit_key(folder: &Path, db: &Db) -> Result<SigningKey, Error> {
    let corrupt = |error| Error::Store(store::Error::Corrupt(format!("the audit log's key: {error}")));
    let stored = db.fact("audit_key").await.map_err(Error::Store)?;
    let seed = Zeroizing::new(key_file(&folder.join("audit.key"), stored.is_none(), "audit.key")?);
    let stored = match stored {
        Some(stored) => stored,
        None => {
            let log_id = hex::encode(&envelope::random()[..16]);
            let made = SigningKey::from_seed(&log_id, &seed).map_err(corrupt)?;
            tracing::info!(key = %made.public(), "the audit log's key was made; let those who check the log pin it");
            db.fact_or("audit_key", &made.public().to_string()).await.map_err(Error::Store)?
        }
    };
    let public = PublicKey::parse(&stored).map_err(corrupt)?;
    let key = SigningKey::from_seed(public.log_id(), &seed).map_err(corrupt)?;
    if *key.public() != public {
        return Err(Error::Wrong("audit.key"));
    }
    Ok(key)
}

/// Reads a key file, or makes it when this is the first start.
fn key_file(path: &Path, may_create: bool, name: &'static str) -> Result<[u8; 32], Error> {
    let file = |e| Error::File(path.to_owned(), e);
    match fs::read_to_string(path) {
        Ok(text) => {
            let mut key = [0; 32];
            hex::decode_to_slice(text.trim(), &mut key).map_err(|_| Error::Malformed(path.to_owned()))?;
            let mode = fs::metadata(path).map_err(file)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let path = path.display();
                tracing::warn!(
                    "{path} can be read by others (mode {mode:o}): chmod 600 it, and consider {name} known"
                );
            }
            Ok(key)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && may_create => {
            let key = envelope::random();
            let mut made =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file)?;
            made.write_all(hex::encode(key).as_bytes()).map_err(file)?;
            made.sync_all().map_err(file)?;
            Ok(key)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::Wrong(name)),
        Err(e) => Err(file(e)),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Malformed(path) => write!(f, "{}: not a key file (64 hex digits)", path.display()),
            Self::Wrong(name) => write!(
                f,
                "{name} is missing or not the one this database was made with; restore the right file from its backup"
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
