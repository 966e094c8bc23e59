//! The finished file of an export, handed out. Who may have it is decided before.

use super::{
    Answer, Error,
    export::{channel, download as file_to_save},
};
use crate::{
    app::App,
    domain::audit::{Action, Actor, Draft, Export, ExportState},
    exports::{self, files},
};
use bytes::BytesMut;
use std::sync::Arc;
use tokio::{fs::File, io::AsyncReadExt, sync::OwnedSemaphorePermit};

/// Bytes read at a time.
const PIECE: usize = 128 << 10;

/// An open file and what it is of.
pub struct OpenFile {
    export: Export,
    file: File,
}

/// Opens the file of an export that is ready.
pub async fn open(app: &App, export: Export) -> Result<OpenFile, Error> {
    let lives = export.expires_at.is_some_and(|at| app.clock.now() < at);
    if export.state != ExportState::Ready || !lives {
        return Err(Error::NotFound);
    }
    match File::open(files::path(&app.config.export_folder, &export.id)).await {
        Ok(file) => Ok(OpenFile { export, file }),
        Err(error) => {
            tracing::error!(export = export.id, %error, "the file of an export cannot be read here");
            Err(Error::NotFound)
        }
    }
}

/// Streams it, after the entry that says so. `place` is held until the last byte is read.
pub async fn download(
    app: &Arc<App>,
    actor: &Actor,
    open: OpenFile,
    place: OwnedSemaphorePermit,
) -> Result<Answer, Error> {
    let OpenFile { export, mut file } = open;
    let mut entry = Draft::done(actor, Action::AuditDownload)
        .target("export", &export.id)
        .set("format", export.format.as_str())
        .set("entries", export.done);
    entry.workspace.clone_from(&export.workspace_id);
    app.db.append(app.clock.now(), &[&entry]).await?;
    let (chunks, body) = channel();
    app.runtime.spawn(async move {
        let _place = place;
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            let read = file.read_buf(&mut piece).await;
            if matches!(read, Ok(0)) {
                return;
            }
            let failed = read.is_err();
            if chunks.send(read.map(|_| piece.freeze())).await.is_err() || failed {
                return;
            }
        }
    });
    let made = crate::domain::times::to_iso(export.created_at);
    let name = exports::file_name(&made[..10], export.format, export.gzip);
    let answer = file_to_save(&name, exports::media(export.format, export.gzip, -1), body)
        .with("x-audit-entries", export.done.to_string())
        .with("x-audit-sha256", export.sha256.unwrap_or_default());
    Ok(if export.gzip { answer.with("content-encoding", "identity") } else { answer })
}
