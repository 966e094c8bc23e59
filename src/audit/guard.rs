//! The rollback guard: the last signed checkpoint in a file outside the database, by which a database that is an older copy
//! of itself is told. It is replaced whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

#[derive(Debug, Clone)]
pub struct Guard(PathBuf);

impl Guard {
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What stands in it; `None` if it is not there. What is not text reads as a note that is none.
    pub async fn read(&self) -> io::Result<Option<String>> {
        match tokio::fs::read(&self.0).await {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a note in its place, durable when this returns.
    pub async fn write(&self, note: &str) -> io::Result<()> {
        let (path, note) = (self.0.clone(), note.to_owned());
        blocking(move || replace(&path, note.as_bytes())).await
    }
}

/// File work that may take a moment, off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Of its own process: replicas may share the place.
    let beside = path.with_extension(format!("head.{}", std::process::id()));
    let written = (|| {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
