//! Saved views of the posts list: filters, order and page size under a name, each person's own.

use super::{
    super::{Answer, Error},
    form::Form,
    post_filter::{self, PostQuery},
    views::SavedView as SavedViewLink,
    visit::Visit,
};
use crate::domain::{
    Invalid, ids,
    saved_views::{SavedView, check_name},
};

/// The links of the list's menu. A view whose filter is none any more, after an update, leads to the list's own words about it.
pub async fn of_list(visit: &Visit, base: &str, query: &str) -> Result<Vec<SavedViewLink>, Error> {
    let views = visit.app.db.saved_views(&visit.workspace()?.id, &visit.admin.id).await?;
    let link = |view: SavedView| SavedViewLink {
        url: if view.filter.is_empty() { base.to_owned() } else { format!("{base}?{}", view.filter) },
        current: view.filter == query,
        id: view.id,
        name: view.name,
    };
    Ok(views.into_iter().map(link).collect())
}

/// `POST …/views`: keeps the list's filters under a name; the name's old ones are replaced.
pub async fn save(visit: Visit) -> Result<Answer, Error> {
    let query = query_of(&visit)?;
    let name = check_name(visit.form.get("name"))?;
    let view = SavedView { id: ids::new_id(), name, filter: query.text() };
    let (app, ws) = (&visit.app, &visit.workspace()?.id);
    if !app.db.save_view(ws, &visit.admin.id, &view, app.clock.now()).await? {
        return Err(Invalid::new("name", "You have 20 saved views here. Remove one first").into());
    }
    Ok(back(ws, &query, "view_saved"))
}

/// `POST …/views/{id}/delete`
pub async fn remove(visit: Visit) -> Result<Answer, Error> {
    let query = query_of(&visit)?;
    let (ws, id) = (&visit.workspace()?.id, visit.own_id("id")?);
    if !visit.app.db.remove_view(ws, &visit.admin.id, id).await? {
        return Err(Error::NotFound);
    }
    Ok(back(ws, &query, "view_removed"))
}

fn query_of(visit: &Visit) -> Result<PostQuery, Error> {
    post_filter::read(&Form::from_text(visit.form.get("filter"))).map_err(|e| Error::bad("invalid_filter", e))
}

/// To the list as it was.
fn back(ws: &str, query: &PostQuery, done: &str) -> Answer {
    Answer::see_other(&query.url(&format!("/w/{ws}/posts"), &[("done", done)]))
}
