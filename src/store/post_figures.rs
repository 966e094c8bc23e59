//! Numbers of posts: over time, by tenant and by platform.

use super::{Db, Result};
use crate::{clock::Millis, domain::posts::PostStatus};

impl Db {
    /// Posts per status with a scheduled time in the span: (status, scheduled day or hour number, count), where there are any.
    pub async fn count_by_span(
        &self,
        workspace_id: &str,
        from: Millis,
        to: Millis,
        span: Millis,
    ) -> Result<Vec<(String, i64, i64)>> {
        let spans = (0..).zip((from..to).step_by(span.max(1) as usize));
        let stretches: Vec<(PostStatus, i64, Millis)> = spans
            .flat_map(|(n, start)| PostStatus::ALL.iter().map(move |status| (*status, n, start)))
            .collect();
        if stretches.is_empty() {
            return Ok(Vec::new());
        }
        // Each is a stretch of an index; to group the posts would be to sort them.
        let counts: Vec<(String, i64, i64)> = self
            .read("SELECT v.column1, v.column2, (SELECT COUNT(*) FROM posts p WHERE p.workspace_id = ")
            .arg(workspace_id)
            .push(" AND p.status = v.column1 AND p.place_at >= v.column3 AND p.place_at < v.column4) FROM ")
            .table(&stretches, |(status, n, start)| {
                [status.as_str().into(), (*n).into(), (*start).into(), (start + span).min(to).into()]
            })
            .push(" ORDER BY 2, 1")
            .all()
            .await?;
        Ok(counts.into_iter().filter(|(.., count)| *count > 0).collect())
    }

    /// Per tenant: scheduled posts, failed posts whose time was in the span, and the last published post's time.
    pub async fn tenant_post_counts(
        &self,
        workspace_id: &str,
        tenants: &[String],
        failed: std::ops::Range<Millis>,
    ) -> Result<Vec<(String, i64, i64, Option<i64>)>> {
        self.read("SELECT tenant_id, CAST(SUM(CASE WHEN status = 'scheduled' THEN 1 ELSE 0 END) AS BIGINT),
               CAST(SUM(CASE WHEN status = 'failed' AND scheduled_at >= ")
            .arg(failed.start)
            .push(" AND scheduled_at < ")
            .arg(failed.end)
            .push(" THEN 1 ELSE 0 END) AS BIGINT), MAX(CASE WHEN status IN ('published', 'partially_published') THEN scheduled_at END)
             FROM posts WHERE workspace_id = ")
            .arg(workspace_id)
            .push(" AND tenant_id IN ")
            .list(tenants.iter().map(String::as_str))
            .push(" GROUP BY tenant_id")
            .all()
            .await
    }

    /// Failed and all platform posts per platform since a time, from posts that went out: (platform names, status, count).
    pub async fn outcomes_by_platforms(
        &self,
        workspace_id: &str,
        since: Millis,
        until: Millis,
    ) -> Result<Vec<(String, String, i64)>> {
        self.read(
            "SELECT platform_names, status, COUNT(*) FROM posts
             WHERE workspace_id = $1 AND place_at >= $2
               AND place_at < $3
               AND status IN ('published', 'partially_published', 'failed') GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .bind(workspace_id)
        .bind(since)
        .bind(until)
        .all()
        .await
    }
}
