//! How old the copy is that a page shows: saying so, and asking for a newer one.

use super::{
    super::Error,
    present,
    views::{Banner, Link},
    visit::Visit,
};
use crate::clock::{Millis, SECOND};

/// A copy older than this is read again when somebody looks at it.
const LOOKED_AT_AGE: Millis = 30 * SECOND;
/// Rounds the mirror may be behind before the list says why.
const SLOW_ROUNDS: i64 = 3;

/// What whoever reads the list should know about the copy it shows.
pub fn notice(
    visit: &Visit,
    workspace_id: &str,
    (tenants, never, failing, oldest): (i64, i64, i64, Option<Millis>),
) -> Option<Banner> {
    let app = &visit.app;
    let old = oldest.is_some_and(|at| app.clock.now() - at > SLOW_ROUNDS * app.mirror.ages().changes);
    let all = present::count(tenants);
    let text = match (failing, never) {
        (0, 0) if !old => return None,
        (0, 0) => {
            let round = app.mirror.round_of(tenants);
            let slowest = present::span(2 * round);
            format!(
                "The oldest copy is {} old. Reading {} once takes {}, or {slowest} while a job runs.",
                present::span(app.clock.now() - oldest.unwrap_or_default()),
                all.of("tenant", "tenants"),
                present::span(round)
            )
        }
        (0, never) => format!(
            "{} of {} not been synced yet; their posts are missing here.",
            present::count(never),
            all.of("tenant has", "tenants have")
        ),
        (failing, _) => format!(
            "{} of {} failed to sync; their posts may be out of date.",
            present::count(failing),
            all.of("tenant", "tenants")
        ),
    };
    let state = if failing > 0 { "?state=failing" } else { "" };
    Some(Banner {
        link: Some(Link::new("Show tenants", format!("/w/{workspace_id}/tenants{state}"))),
        ..Banner::new("warn", text)
    })
}

/// Copies that are being looked at and are not new are read again before others.
pub async fn note_looked_at(visit: &Visit, workspace_id: &str, tenant_ids: &[&str]) -> Result<(), Error> {
    let app = &visit.app;
    let old = app.db.synced_before(workspace_id, tenant_ids, app.clock.now() - LOOKED_AT_AGE).await?;
    if !old.is_empty() {
        app.mirror.note_looked_at(workspace_id, old.iter().map(String::as_str));
    }
    Ok(())
}
