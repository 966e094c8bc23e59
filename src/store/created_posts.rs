//! Which creates have made which posts. A post is made by one create at most.

use super::{
    Db, Result, Tx,
    operations::{COLUMNS, OperationRow},
};
use crate::{clock::Millis, domain::operations::Operation};

impl Tx {
    /// The post that a create has made.
    ///
    /// # Errors
    /// [`super::Error::Taken`] if another create has made it.
    pub(super) async fn note_created(
        &mut self,
        op_id: &str,
        item: Option<&(String, i64)>,
        post_id: &str,
    ) -> Result<()> {
        self.sql("UPDATE operations SET target = $2 WHERE id = $1 AND state IN ('open', 'in_doubt')")
            .bind(op_id)
            .bind(post_id)
            .run()
            .await?;
        let Some((job_id, n)) = item else { return Ok(()) };
        for text in [
            "UPDATE job_items SET created_id = $3 WHERE job_id = $1 AND n = $2",
            // With the item's end, which is in the same transaction, so that nobody makes another of the same backup.
            "UPDATE post_backups SET recreated_as = $3
             WHERE job_id = (SELECT backup_job FROM job_items WHERE job_id = $1 AND n = $2)
               AND n = (SELECT backup_n FROM job_items WHERE job_id = $1 AND n = $2)",
        ] {
            self.sql(text).bind(job_id).bind(*n).bind(post_id).run().await?;
        }
        Ok(())
    }
}

impl Db {
    /// The creates of a workspace that have no end yet.
    pub async fn unsettled_creates(&self, workspace_id: &str) -> Result<Vec<Operation>> {
        let rows: Vec<OperationRow> = self
            .read(COLUMNS)
            .push("state IN ('open', 'in_doubt') AND action = 'post.create' AND workspace_id = ")
            .arg(workspace_id)
            .push(" ORDER BY started_at, id")
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Those of the posts that a create is known to have made.
    pub async fn created_by_others(&self, workspace_id: &str, posts: &[String]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for chunk in posts.chunks(500) {
            let rows: Vec<(String,)> = self
                .read("SELECT target FROM operations WHERE action = 'post.create' AND workspace_id = ")
                .arg(workspace_id)
                .push(" AND target IN ")
                .list(chunk.iter().map(String::as_str))
                .all()
                .await?;
            found.extend(rows.into_iter().map(|row| row.0));
        }
        Ok(found)
    }

    /// A tenant's mirrored posts that were made since a time by upstream's clock: (id, content).
    pub async fn posts_created_since(
        &self,
        workspace_id: &str,
        tenant_id: &str,
        since: Millis,
    ) -> Result<Vec<(String, String)>> {
        self.read(
            "SELECT id, content FROM posts WHERE workspace_id = $1 AND created_at >= $2 AND tenant_id = $3 ORDER BY id",
        )
        .bind(workspace_id)
        .bind(since)
        .bind(tenant_id)
        .all()
        .await
    }
}
