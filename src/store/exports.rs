//! Exports that are made in the background: what was asked for, how far it is, until when there is a file. The files
//! themselves are not here.

use super::{Db, Error, Result, leases::Fence};
use crate::{
    clock::Millis,
    domain::audit::{Draft, Export, ExportFormat, ExportState},
};

#[derive(sqlx::FromRow)]
struct ExportRow {
    id: String,
    workspace_id: Option<String>,
    admin_id: String,
    format: String,
    gzip: i64,
    filter: String,
    entries: i64,
    state: String,
    done: i64,
    bytes: Option<i64>,
    sha256: Option<String>,
    failure: Option<String>,
    created_at: i64,
    ended_at: Option<i64>,
    expires_at: Option<i64>,
}

const EXPORT: &str = "SELECT id, workspace_id, admin_id, format, gzip, filter, entries, state, done, bytes, sha256, failure, \
                      created_at, ended_at, expires_at FROM exports WHERE ";

/// How making a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileMade {
    Ready {
        done: i64,
        bytes: i64,
        sha256: String,
        expires_at: Millis,
    },
    /// Why not, for whoever asked.
    Failed(String),
}

impl Db {
    /// Stores what was asked for, with the entry that says so.
    pub async fn create_export(&self, export: &Export, entry: &Draft) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql(
            "INSERT INTO exports (id, workspace_id, admin_id, format, gzip, filter, entries, state, done, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9)",
        )
        .bind(&export.id)
        .bind(&export.workspace_id)
        .bind(&export.admin_id)
        .bind(export.format.as_str())
        .bind(i64::from(export.gzip))
        .bind(&export.filter)
        .bind(export.entries)
        .bind(ExportState::Queued.as_str())
        .bind(export.created_at)
        .run()
        .await?;
        tx.append(export.created_at, &[entry]).await?;
        tx.commit().await
    }

    /// An export of a workspace, or of the whole instance.
    pub async fn export(&self, workspace_id: Option<&str>, id: &str) -> Result<Option<Export>> {
        let sql = self.read(EXPORT).push("id = ").arg(id);
        let sql = match workspace_id {
            Some(_) => sql.and("workspace_id =", workspace_id),
            None => sql.push(" AND workspace_id IS NULL"),
        };
        let row: Option<ExportRow> = sql.opt().await?;
        row.map(ExportRow::read).transpose()
    }

    /// The newest exports of a workspace, or of the whole instance.
    pub async fn exports(&self, workspace_id: Option<&str>, limit: i64) -> Result<Vec<Export>> {
        let sql = match workspace_id {
            Some(id) => self.read(EXPORT).push("workspace_id = ").arg(id),
            None => self.read(EXPORT).push("workspace_id IS NULL"),
        };
        let rows: Vec<ExportRow> =
            sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").arg(limit).all().await?;
        rows.into_iter().map(ExportRow::read).collect()
    }

    /// Those that are to be made, oldest first; also those that somebody has begun.
    pub async fn exports_under_way(&self) -> Result<Vec<Export>> {
        let sql = self.read(EXPORT).push("state IN ('queued', 'running') ORDER BY created_at, id");
        let rows: Vec<ExportRow> = sql.all().await?;
        rows.into_iter().map(ExportRow::read).collect()
    }

    /// Notes how far the making of a file is. `false` if it is not wanted any more.
    pub async fn note_export(&self, fence: &Fence, id: &str, done: i64) -> Result<bool> {
        let mut tx = self.begin_fenced(fence).await?;
        let noted = tx
            .sql("UPDATE exports SET state = 'running', done = $2 WHERE id = $1 AND state IN ('queued', 'running')")
            .bind(id)
            .bind(done)
            .run()
            .await?;
        tx.commit().await?;
        Ok(noted == 1)
    }

    /// Notes how it ended. `false` if it is not wanted any more.
    pub async fn end_export(&self, fence: &Fence, id: &str, made: &FileMade, now: Millis) -> Result<bool> {
        let mut tx = self.begin_fenced(fence).await?;
        let sql = match made {
            FileMade::Ready { done, bytes, sha256, expires_at } => tx
                .sql(
                    "UPDATE exports SET state = 'ready', ended_at = $2, done = $3, bytes = $4, sha256 = $5,
                       expires_at = $6 WHERE id = $1 AND state = 'running'",
                )
                .bind(id)
                .bind(now)
                .bind(*done)
                .bind(*bytes)
                .bind(sha256)
                .bind(*expires_at),
            FileMade::Failed(why) => tx
                .sql(
                    "UPDATE exports SET state = 'failed', ended_at = $2, failure = $3
                     WHERE id = $1 AND state IN ('queued', 'running')",
                )
                .bind(id)
                .bind(now)
                .bind(why),
        };
        let ended = sql.run().await?;
        tx.commit().await?;
        Ok(ended == 1)
    }

    /// Ends the life of files whose time has come, and forgets exports that were asked for before `forgotten`.
    pub async fn expire_exports(&self, forgotten: Millis, now: Millis) -> Result<()> {
        self.write("UPDATE exports SET state = 'expired' WHERE state = 'ready' AND expires_at <= $1")
            .bind(now)
            .run()
            .await?;
        self.write("DELETE FROM exports WHERE state IN ('failed', 'expired') AND created_at < $1")
            .bind(forgotten)
            .run()
            .await
            .map(drop)
    }

    /// Takes all files back, and those that are being made: what is in them must not be handed out any more. What was searched
    /// for is forgotten too, it can be a name. Whoever holds the folder removes the files.
    pub async fn withdraw_exports(&self, why: &str, now: Millis) -> Result<()> {
        self.write(
            "UPDATE exports SET filter = '', ended_at = COALESCE(ended_at, $2), failure = $1, state = CASE
               WHEN state = 'ready' THEN 'expired' WHEN state IN ('queued', 'running') THEN 'failed' ELSE state END",
        )
        .bind(why)
        .bind(now)
        .run()
        .await
        .map(drop)
    }

    /// Which of these exports have a file, or will have one.
    pub async fn exports_with_files(&self, ids: &[&str]) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self
            .read("SELECT id FROM exports WHERE state IN ('queued', 'running', 'ready') AND id IN ")
            .list(ids.iter().copied())
            .all()
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Notes that a checkpoint of this size went out with a bundle.
    pub async fn note_bundle(&self, epoch: i64, size: i64, now: Millis) -> Result<()> {
        self.write("INSERT INTO audit_bundles (epoch, size, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(epoch)
            .bind(size)
            .bind(now)
            .run()
            .await
            .map(drop)
    }

    /// The largest sizes of checkpoints of an epoch that went out.
    pub async fn bundle_sizes(&self, epoch: i64, limit: i64) -> Result<Vec<i64>> {
        let sql = self.read("SELECT size FROM audit_bundles WHERE epoch = $1 ORDER BY size DESC LIMIT $2");
        let rows: Vec<(i64,)> = sql.bind(epoch).bind(limit).all().await?;
        Ok(rows.into_iter().map(|(size,)| size).collect())
    }
}

impl ExportRow {
    fn read(self) -> Result<Export> {
        Ok(Export {
            format: ExportFormat::parse(&self.format)
                .ok_or_else(|| Error::Corrupt("export format".into()))?,
            state: ExportState::parse(&self.state).ok_or_else(|| Error::Corrupt("export state".into()))?,
            id: self.id,
            workspace_id: self.workspace_id,
            admin_id: self.admin_id,
            gzip: self.gzip != 0,
            filter: self.filter,
            entries: self.entries,
            done: self.done,
            bytes: self.bytes,
            sha256: self.sha256,
            failure: self.failure,
            created_at: self.created_at,
            ended_at: self.ended_at,
            expires_at: self.expires_at,
        })
    }
}
