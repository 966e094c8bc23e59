//! What can go wrong with the database, sorted by what the caller can do about it.

use std::fmt;

/// An error of the store.
#[derive(Debug)]
pub enum Error {
    /// A value that has to be unique is taken.
    Taken,
    /// The database gave this transaction up for another; nothing of it was done, and it may be tried again.
    Deadlock,
    /// The lease that the write depends on has changed hands; nothing was written.
    Fenced,
    /// A stored row does not read as what it should be.
    Corrupt(String),
    /// This SQLite has a known corruption bug.
    OldSqlite(String),
    /// The disk is full or read-only.
    NoSpace(String),
    Database(sqlx::Error),
    Migration(sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let Some(database) = error.as_database_error() {
            if database.is_unique_violation() {
                return Self::Taken;
            }
            // SQLITE_READONLY (8), SQLITE_IOERR (10) and SQLITE_FULL (13), also extended; 53100 is PostgreSQL's disk_full.
            let code = database.code().unwrap_or_default();
            // PostgreSQL: deadlock_detected, serialization_failure.
            if matches!(&*code, "40P01" | "40001") {
                return Self::Deadlock;
            }
            let primary = code.parse::<u32>().map(|code| code & 0xff);
            if matches!(primary, Ok(8 | 10 | 13)) && code.len() < 5 || code == "53100" {
                return Self::NoSpace(database.message().to_owned());
            }
        }
        Self::Database(error)
    }
}

impl Error {
    /// The same for somebody else who waited for it. Drivers' errors cannot be cloned; their text can.
    pub fn echo(&self) -> Self {
        match self {
            Self::NoSpace(detail) => Self::NoSpace(detail.clone()),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("a value that must be unique is taken"),
            Self::Deadlock => f.write_str("the database gave the transaction up for another"),
            Self::Fenced => f.write_str("another process has taken this work over"),
            Self::Corrupt(what) => write!(f, "a stored row cannot be read: {what}"),
            Self::OldSqlite(version) => {
                write!(f, "SQLite {version} can corrupt the database; 3.51.3 or newer is needed")
            }
            Self::NoSpace(detail) => write!(f, "the database cannot be written: {detail}"),
            Self::Database(error) => write!(f, "database: {error}"),
            Self::Migration(error) => write!(f, "migration: {error}"),
        }
    }
}

impl std::error::Error for Error {}
