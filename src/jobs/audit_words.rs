//! Keeps the index that audit searches use close behind the log. Any process may do it; one that comes second changes
//! nothing. Searches are complete without it, only slower.

use crate::{app::App, store};
use std::{sync::Arc, time::Duration};

/// Entries of one transaction: short enough that a change that waits for it does not notice.
const BATCH: i64 = 500;
/// Between two of them, so that changes get through; also from one look to the next.
const BREATH: Duration = Duration::from_millis(20);
pub const EVERY: Duration = Duration::from_secs(1);

pub async fn round(app: Arc<App>) -> store::Result<()> {
    while !*app.stopping.borrow() && app.db.index_audit(BATCH).await? > 0 {
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}
