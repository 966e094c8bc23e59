//! Where signed checkpoints go beyond the database: a line of the program's own log, a file, a webhook (`jobs::deliveries`).
//! Whoever keeps one can tell a log that was rewritten. An anchor that fails is counted, tried again with the newest
//! checkpoint, and holds nothing up.

use super::{guard::blocking, log::Signed};
use crate::metrics::Metrics;
use std::{
    fs::OpenOptions,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::{Mutex, watch};

pub struct Anchors {
    file: Option<PathBuf>,
    /// The note that the file has for certain.
    filed: Mutex<String>,
    newest: watch::Sender<Option<Arc<Signed>>>,
    metrics: Arc<Metrics>,
}

impl Anchors {
    pub fn new(file: Option<PathBuf>, metrics: Arc<Metrics>) -> Self {
        Self { file, filed: Mutex::default(), newest: watch::Sender::new(None), metrics }
    }

    /// The newest checkpoint that this process has signed, or found when it started.
    pub fn newest(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.newest.subscribe()
    }

    /// Tells of a checkpoint that was signed a moment ago.
    pub async fn publish(&self, signed: &Arc<Signed>) {
        tracing::info!(
            origin = signed.checkpoint.origin,
            size = signed.checkpoint.size,
            note = signed.note,
            "audit checkpoint signed"
        );
        self.renew(signed).await;
    }

    /// Tries again what has failed.
    pub async fn retry(&self) {
        let newest = self.newest.borrow().clone();
        if let Some(signed) = newest {
            self.renew(&signed).await;
        }
    }

    /// Makes sure that the anchors have it.
    pub async fn renew(&self, signed: &Arc<Signed>) {
        self.newest.send_replace(Some(signed.clone()));
        let Some(path) = &self.file else { return };
        let mut filed = self.filed.lock().await;
        if *filed == signed.note {
            return;
        }
        let (to, note) = (path.clone(), signed.note.clone());
        match blocking(move || append(&to, &note)).await {
            Ok(()) => {
                self.metrics.audit_anchor("file", "delivered");
                filed.clone_from(&signed.note);
            }
            Err(error) => {
                self.metrics.audit_anchor("file", "failed");
                tracing::warn!(path = %path.display(), %error, "a checkpoint could not be written to the anchor file");
            }
        }
    }
}

/// Appends a note and an empty line, whole or not at all, unless it is the last one there already.
fn append(path: &Path, note: &str) -> io::Result<()> {
    let text = format!("{note}\n");
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    if let Some(at) = length.checked_sub(text.len() as u64) {
        file.seek(SeekFrom::Start(at))?;
        let mut last = Vec::with_capacity(text.len());
        file.read_to_end(&mut last)?;
        if last == text.as_bytes() {
            return Ok(());
        }
    }
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        file.set_len(length)?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_follow_each_other_and_none_stands_twice_in_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        for note in ["a\n\n— k s\n", "a\n\n— k s\n", "b\n\n— k s\n"] {
            append(&path, note).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "a\n\n— k s\n\nb\n\n— k s\n\n");
        assert!(append(folder.path(), "a").is_err());
    }
}
