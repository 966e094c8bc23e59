//! The files of exports that are made in the background: a folder with one file for each, named by its id. What is in it
//! without being wanted is removed, so nothing is left behind by a crash.

use crate::{
    domain::ids,
    store::{Db, Result},
};
use aws_lc_rs::digest::{Context, SHA256};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};
use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt,
};

/// What has to stay free on the disk, in bytes: the database may be on the same one, and without it nothing works.
const RESERVE: u64 = 256 << 20;
/// Bytes between two looks at the free space.
const LOOK: u64 = 8 << 20;

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// Why there is no file.
#[derive(Debug)]
pub enum Failure {
    /// So many bytes are free.
    NoSpace(u64),
    Io(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: &u64| bytes >> 20;
        match self {
            Self::NoSpace(free) => {
                write!(f, "{} MiB are free on the disk, and {} MiB must stay free", mib(free), mib(&RESERVE))
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where an export's file is.
pub fn path(folder: &Path, id: &str) -> PathBuf {
    folder.join(id)
}

/// A file that is being written. It has its name when it is finished; one that is not stays for [`sweep`].
pub struct Writer {
    folder: PathBuf,
    id: String,
    file: File,
    context: Context,
    bytes: u64,
    /// At how many bytes the free space is looked at next.
    look: u64,
}

impl Writer {
    /// Begins the file of an export, from nothing.
    pub async fn begin(folder: &Path, id: &str) -> std::result::Result<Self, Failure> {
        fs::create_dir_all(folder).await?;
        let mut options = OpenOptions::new();
        let options = options.create(true).write(true).truncate(true).mode(0o600);
        let file = options.open(part(folder, id)).await?;
        let (folder, id) = (folder.to_owned(), id.to_owned());
        Ok(Self { folder, id, file, context: Context::new(&SHA256), bytes: 0, look: 0 })
    }

    pub async fn push(&mut self, chunk: &[u8]) -> std::result::Result<(), Failure> {
        if self.bytes >= self.look {
            let free = free(&self.folder)?;
            if free < RESERVE {
                return Err(Failure::NoSpace(free));
            }
            self.look = self.bytes + LOOK;
        }
        self.file.write_all(chunk).await?;
        self.context.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// What is said to be ready must still be there after a power cut.
    pub async fn finish(self) -> std::result::Result<Written, Failure> {
        let mut file = self.file;
        file.flush().await?;
        file.sync_all().await?;
        fs::rename(part(&self.folder, &self.id), path(&self.folder, &self.id)).await?;
        File::open(&self.folder).await?.sync_all().await?;
        Ok(Written { bytes: self.bytes, sha256: hex::encode(self.context.finish()) })
    }
}

/// Where a file is while it is written.
fn part(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.part"))
}

/// Removes the file of an export that could not be made.
pub async fn discard(folder: &Path, id: &str) {
    let _ = fs::remove_file(part(folder, id)).await;
}

/// Removes what nobody wants any more.
pub async fn sweep(folder: &Path, db: &Db) -> Result<()> {
    let mut names = Vec::new();
    let Ok(mut entries) = fs::read_dir(folder).await else { return Ok(()) };
    while let Ok(Some(entry)) = entries.next_entry().await {
        names.extend(entry.file_name().into_string().ok());
    }
    for names in names.chunks(500) {
        let id = |name: &str| name.trim_end_matches(".part").to_owned();
        let ids: Vec<String> = names.iter().map(|name| id(name)).filter(|id| ids::is_own_id(id)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let wanted = db.exports_with_files(&ids).await?;
        for name in
            names.iter().filter(|name| ids.contains(&id(name).as_str()) && !wanted.contains(&id(name)))
        {
            if let Err(error) = fs::remove_file(folder.join(name)).await {
                tracing::warn!(name, %error, "an export's file could not be removed; the next round tries again");
            }
        }
    }
    Ok(())
}

/// Bytes that are free for us where the folder is.
fn free(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
