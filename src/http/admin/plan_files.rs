//! A plan as a file: every post of it with what would happen to it, for reading beside the page.

use super::{
    super::{
        Answer, Body, Error,
        export::{channel, download},
    },
    plans::plan_of,
    visit::Visit,
};
use crate::{
    app::App,
    csv,
    domain::{
        plans::{BulkAction, Plan, PlanItem},
        times,
    },
    store::{self, plans::Show},
};
use bytes::Bytes;
use std::{collections::HashMap, io, sync::Arc};

const COLUMNS: [&str; 12] = [
    "n",
    "tenant",
    "tenant_name",
    "postGroupId",
    "content",
    "platforms",
    "status",
    "scheduledTime",
    "updatedAt",
    "action",
    "newTime",
    "skipped",
];

pub async fn csv(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    let name = format!("gatehouse-plan-{}.csv", plan.id);
    let app = visit.app.clone();
    let place = app.gate.download()?;
    let (chunks, body): (_, Body) = channel();
    visit.app.runtime.spawn(async move {
        let _place = place;
        if chunks.send(csv::record(COLUMNS).map(Bytes::from)).await.is_err() {
            return;
        }
        let mut from = 0;
        loop {
            let chunk = match page(&app, &plan, &mut from).await {
                Ok(None) => return,
                Ok(Some(chunk)) => chunk,
                Err(error) => Err(io::Error::other(error.to_string())),
            };
            let failed = chunk.is_err();
            if chunks.send(chunk.map(Bytes::from)).await.is_err() || failed {
                return;
            }
        }
    });
    Ok(download(&name, "text/csv; charset=utf-8; header=present", body))
}

/// The next lines; `None` at the end.
async fn page(app: &Arc<App>, plan: &Plan, from: &mut i64) -> store::Result<Option<io::Result<Vec<u8>>>> {
    let items = app.db.plan_items(&plan.id, Show::All, *from, 500).await?;
    let Some(last) = items.last() else { return Ok(None) };
    *from = last.n + 1;
    let ids: Vec<&str> = items.iter().map(|i| i.tenant_id.as_str()).collect();
    let names = app.db.tenant_names(&plan.workspace_id, &ids).await?;
    Ok(Some(items.iter().try_fold(Vec::new(), |mut chunk, item| {
        let fields = fields(plan, item, &names);
        chunk.extend(csv::record(fields.iter().map(String::as_str))?);
        Ok(chunk)
    })))
}

fn fields(plan: &Plan, item: &PlanItem, names: &HashMap<String, String>) -> [String; 12] {
    let moves = matches!(plan.action, BulkAction::Resume | BulkAction::Reschedule) && item.skip.is_none();
    let new_time = match item.target_at.filter(|_| moves) {
        Some(at) => times::to_iso(at),
        None if moves => "at once".into(),
        None => String::new(),
    };
    [
        (item.n + 1).to_string(),
        item.tenant_id.clone(),
        names.get(&item.tenant_id).cloned().unwrap_or_default(),
        item.post_id.clone(),
        item.content.clone(),
        item.platforms.clone(),
        item.status.to_string(),
        item.scheduled_at.map(times::to_iso).unwrap_or_default(),
        times::to_iso(item.updated_at),
        plan.action.to_string(),
        new_time,
        item.skip.map(|reason| reason.to_string()).unwrap_or_default(),
    ]
}
