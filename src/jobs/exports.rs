//! Makes the files of large exports, one after the other. A file that was begun by a process that is no more is begun again:
//! what it is made of has not changed.

use crate::{
    app::App,
    clock::DAY,
    domain::audit::Export,
    exports::{
        self, Chunks,
        files::{self, Failure, Writer, Written},
    },
    http,
    store::{self, audit_batches::Scope, exports::FileMade, leases::Fence},
};
use futures_util::StreamExt;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a file is kept.
const LIFE: i64 = DAY;
/// How long it is told what became of an export.
const LISTED: i64 = 30 * DAY;
/// Between two notes of how far it is.
const NOTE: Duration = Duration::from_millis(500);

/// One round: everything that waits.
pub async fn round(app: Arc<App>) -> store::Result<()> {
    for export in app.db.exports_under_way().await? {
        if *app.stopping.borrow() {
            break;
        }
        let Some(fence) = app.leases.take(&format!("export:{}", export.id)).await? else { continue };
        let made = make(&app, &export, &fence).await;
        app.leases.release(&fence).await?;
        match made {
            Err(store::Error::Fenced) => app.leases.note_lost(&fence, "export"),
            made => made?,
        }
    }
    Ok(())
}

/// Ends the life of files, and removes those that nobody wants.
pub async fn sweep(app: &App) -> store::Result<()> {
    let now = app.clock.now();
    app.db.expire_exports(now - LISTED, now).await?;
    files::sweep(&app.config.export_folder, &app.db).await
}

async fn make(app: &Arc<App>, export: &Export, fence: &Fence) -> store::Result<()> {
    if !app.db.note_export(fence, &export.id, 0).await? {
        return Ok(());
    }
    let done = Arc::new(AtomicI64::new(0));
    let chunks = match begin(app, export, done.clone()).await {
        Ok(chunks) => chunks,
        // It can be there again in a moment.
        Err(error @ (store::Error::NoAnswer | store::Error::Unavailable(_))) => return Err(error),
        Err(error) => return fail(app, export, fence, &error.to_string()).await,
    };
    match write(app, export, fence, chunks, &done).await {
        Ok(Some(written)) => {
            let now = app.clock.now();
            let ready = FileMade::Ready {
                done: done.load(Ordering::Relaxed),
                bytes: written.bytes as i64,
                sha256: written.sha256,
                expires_at: now + LIFE,
            };
            // One that was withdrawn at the last moment leaves its file to the sweep.
            app.db.end_export(fence, &export.id, &ready, now).await.map(drop)
        }
        // The next process begins it again, or nobody wants it.
        Ok(None) => Ok(()),
        Err(failure) => {
            files::discard(&app.config.export_folder, &export.id).await;
            fail(app, export, fence, &failure.to_string()).await
        }
    }
}

/// The file; `None` if it is given up half-way.
async fn write(
    app: &App,
    export: &Export,
    fence: &Fence,
    mut chunks: Chunks,
    done: &AtomicI64,
) -> Result<Option<Written>, Failure> {
    let mut file = Writer::begin(&app.config.export_folder, &export.id).await?;
    let mut noted = Instant::now();
    while let Some(chunk) = chunks.next().await {
        file.push(&chunk?).await?;
        if *app.stopping.borrow() {
            return Ok(None);
        }
        if noted.elapsed() > NOTE {
            noted = Instant::now();
            let wanted = app.db.note_export(fence, &export.id, done.load(Ordering::Relaxed)).await;
            if !wanted.map_err(io::Error::other)? {
                files::discard(&app.config.export_folder, &export.id).await;
                return Ok(None);
            }
        }
    }
    file.finish().await.map(Some)
}

async fn begin(app: &Arc<App>, export: &Export, done: Arc<AtomicI64>) -> store::Result<Chunks> {
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(export.filter.as_bytes()).into_owned().collect();
    let wanted = http::export_wanted(&pairs, &[], export.format, export.gzip);
    let mut wanted = wanted.map_err(|error| store::Error::Corrupt(error.describe().text))?;
    wanted.filter.workspace_id.clone_from(&export.workspace_id);
    let size = app.db.audit_scope_len(&Scope::Log, i64::MAX).await?;
    let made = exports::make(&app.db, &app.audit_log, wanted, size, app.clock.now(), done).await?;
    Ok(made.0)
}

async fn fail(app: &App, export: &Export, fence: &Fence, why: &str) -> store::Result<()> {
    tracing::error!(export = export.id, why, "an export could not be made");
    app.db.end_export(fence, &export.id, &FileMade::Failed(why.to_owned()), app.clock.now()).await.map(drop)
}
