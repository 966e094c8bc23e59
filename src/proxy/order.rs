//! Updates of one post go upstream one after the other (security.md §6): what became of an update is told from what the
//! post looks like, so the next must not be sent before that is known. Deletes are not held up: after one, nothing of
//! an earlier update is left that could matter.

use super::{Caller, Refusal, Road};
use crate::upstream::Patience;
use std::time::Duration;

/// How often it is looked whether the earlier update has ended.
const LOOK: Duration = Duration::from_millis(100);

impl Road {
    /// Waits for an earlier update of the post to have an end, as long as the caller waits for repeats. A job does not:
    /// it has other items.
    pub(super) async fn after_earlier_update(&self, caller: &Caller, post_id: &str) -> Result<(), Refusal> {
        let looks = match caller.patience {
            Patience::BACKGROUND => 0,
            patience => patience.0.as_millis() / LOOK.as_millis(),
        };
        for look in 0.. {
            let earlier = self.db.unsettled_update(&caller.account.workspace.id, post_id).await?;
            let Some(op_id) = earlier else { return Ok(()) };
            if look >= looks {
                return Err(Refusal::Unsettled { op_id });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
