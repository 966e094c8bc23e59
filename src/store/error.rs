//! What can go wrong with the database, sorted by what the caller can do about it.

use sqlx::migrate::MigrateError;
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
    /// The audit log contradicts what was signed of it: nothing is changed until an operator has looked. Says how.
    AuditFork(String),
    /// A stored row does not read as what it should be.
    Corrupt(String),
    /// This SQLite has a known corruption bug.
    OldSqlite(String),
    /// The disk is full or read-only.
    NoSpace(String),
    /// The database said nothing in time. A commit may still have happened.
    NoAnswer,
    /// There is no connection, or it broke. A commit may still have happened.
    Unavailable(String),
    /// The tables were made by a program newer than this one; the first migration it does not know.
    NewerSchema(i64),
    Database(sqlx::Error),
    Migration(MigrateError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let Some(database) = error.as_database_error() {
            if database.is_unique_violation() {
                return Self::Taken;
            }
            // SQLITE_READONLY (8), SQLITE_IOERR (10) and SQLITE_FULL (13), also extended; PostgreSQL's disk_full and
            // read_only_sql_transaction.
            let code = database.code().unwrap_or_default();
            // SQLITE_BUSY (5): another program holds the file. PostgreSQL: it is stopping, starting or full, ended the session,
            // or gave a statement up.
            let cut = matches!(&*code, "53300" | "57014" | "57P01" | "57P02" | "57P03" | "25P03" | "55P03");
            if cut || code.len() == 5 && code.starts_with("08") {
                return Self::Unavailable(database.message().to_owned());
            }
            // PostgreSQL: deadlock_detected, serialization_failure.
            if matches!(&*code, "40P01" | "40001") {
                return Self::Deadlock;
            }
            let primary = code.parse::<u32>().map(|code| code & 0xff);
            if matches!(primary, Ok(8 | 10 | 13)) && code.len() < 5 || matches!(&*code, "53100" | "25006") {
                return Self::NoSpace(database.message().to_owned());
            }
            if matches!(primary, Ok(5 | 6)) && code.len() < 5 {
                return Self::Unavailable(database.message().to_owned());
            }
        }
        match error {
            sqlx::Error::PoolTimedOut => Self::NoAnswer,
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Self::NoAnswer,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            error => Self::Database(error),
        }
    }
}

impl Error {
    /// The same for somebody else who waited for it. Drivers' errors cannot be cloned; their text can.
    pub fn echo(&self) -> Self {
        match self {
            Self::NoSpace(detail) => Self::NoSpace(detail.clone()),
            Self::AuditFork(reason) => Self::AuditFork(reason.clone()),
            Self::Unavailable(detail) => Self::Unavailable(detail.clone()),
            Self::NoAnswer => Self::NoAnswer,
            other => Self::Corrupt(other.to_string()),
        }
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::NewerSchema(version),
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => Self::Migration(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("a value that must be unique is taken"),
            Self::Deadlock => f.write_str("the database gave the transaction up for another"),
            Self::Fenced => f.write_str("another process has taken this work over"),
            Self::AuditFork(reason) => write!(f, "the audit log contradicts what was signed of it: {reason}"),
            Self::Corrupt(what) => write!(f, "a stored row cannot be read: {what}"),
            Self::OldSqlite(version) => {
                write!(f, "SQLite {version} can corrupt the database; 3.51.3 or newer is needed")
            }
            Self::NoSpace(detail) => write!(f, "the database cannot be written: {detail}"),
            Self::NoAnswer => f.write_str("the database does not answer"),
            Self::Unavailable(detail) => write!(f, "the database cannot be used: {detail}"),
            Self::NewerSchema(version) => write!(
                f,
                "a newer Gatehouse has made this database (its migration {version} is unknown here); start that version, \
                 or restore the backup made before it"
            ),
            Self::Database(error) => write!(f, "database: {error}"),
            Self::Migration(error) => write!(f, "migration: {error}"),
        }
    }
}

impl std::error::Error for Error {}
