//! What people leave out of "all that match" while they go through the pages of the posts list. Kept for a day.

use super::{Db, Json, Result};
use crate::{
    clock::Millis,
    domain::selections::{LEFT_OUT_MAX, PostKey, Selection},
};
use std::collections::BTreeSet;

type Row = (String, Json<BTreeSet<PostKey>>);

impl Db {
    pub async fn create_selection(
        &self,
        workspace_id: &str,
        admin_id: &str,
        selection: &Selection,
        now: Millis,
    ) -> Result<()> {
        self.write(
            "INSERT INTO selections (id, workspace_id, admin_id, filter, left_out, touched_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&selection.id)
        .bind(workspace_id)
        .bind(admin_id)
        .bind(&selection.filter)
        .bind(Json(&selection.left_out))
        .bind(now)
        .run()
        .await
        .map(drop)
    }

    /// A selection, for the person who made it.
    pub async fn selection(&self, workspace_id: &str, admin_id: &str, id: &str) -> Result<Option<Selection>> {
        let row: Option<Row> = self
            .read(
                "SELECT filter, left_out FROM selections WHERE workspace_id = $1 AND admin_id = $2 AND id = $3",
            )
            .bind(workspace_id)
            .bind(admin_id)
            .bind(id)
            .opt()
            .await?;
        Ok(row.map(|(filter, left_out)| Selection { id: id.to_owned(), filter, left_out: left_out.0 }))
    }

    /// Takes one page of the list over into a selection ([`Selection::take_page`]) and returns it. One that would leave out
    /// more than [`LEFT_OUT_MAX`] is returned and not stored. `None` if it is not there (any more).
    pub async fn change_selection(
        &self,
        workspace_id: &str,
        admin_id: &str,
        id: &str,
        (shown, ticked): (&[PostKey], &[PostKey]),
        now: Millis,
    ) -> Result<Option<Selection>> {
        let mut tx = self.begin().await?;
        // Locks the row: two windows of one selection take their pages over one after the other.
        let row: Option<Row> = tx
            .sql(
                "UPDATE selections SET touched_at = $4 WHERE workspace_id = $1 AND admin_id = $2 AND id = $3
                 RETURNING filter, left_out",
            )
            .bind(workspace_id)
            .bind(admin_id)
            .bind(id)
            .bind(now)
            .opt()
            .await?;
        let Some((filter, left_out)) = row else { return Ok(None) };
        let mut selection = Selection { id: id.to_owned(), filter, left_out: left_out.0 };
        selection.take_page(shown, ticked);
        if selection.left_out.len() <= LEFT_OUT_MAX {
            tx.sql("UPDATE selections SET left_out = $2 WHERE id = $1")
                .bind(id)
                .bind(Json(&selection.left_out))
                .run()
                .await?;
            tx.commit().await?;
        }
        Ok(Some(selection))
    }

    /// Removes selections that nobody has gone on with since.
    pub async fn sweep_selections(&self, touched_before: Millis) -> Result<()> {
        self.write("DELETE FROM selections WHERE touched_at < $1").bind(touched_before).run().await.map(drop)
    }
}
