//! "All that match" on the posts list: what is left out of it, from page to page. A page is sent as a form, and what it says
//! is kept under the selection's id, so that addresses stay short and going back shows how things stand.

use super::{
    super::{Answer, Error},
    form::Form,
    post_filter::{self, PostQuery},
    present,
    views::{PostRow, Selection as SelectionView},
    visit::Visit,
};
use crate::domain::{
    Invalid,
    admins::Right,
    ids,
    selections::{LEFT_OUT_MAX, PostKey, Selection},
};
use std::collections::{BTreeSet, HashMap};

/// `?select=` of a link that begins a selection.
pub const ALL: &str = "matching";

/// Begins a selection of all that match, and leads to the list with it. It has an id of its own from the start, so that going
/// back never shows one in which nothing was left out yet.
pub async fn begin(visit: &Visit, query: &PostQuery, base: &str) -> Result<Answer, Error> {
    let selection = Selection { id: ids::new_id(), filter: query.filter_text(), left_out: BTreeSet::new() };
    let app = &visit.app;
    app.db.create_selection(&visit.workspace()?.id, &visit.admin.id, &selection, app.clock.now()).await?;
    Ok(Answer::see_other(&query.url(base, &[("select", &selection.id)])))
}

/// `POST …/posts/selection`: takes a page over and leads to the one before or after it.
pub async fn turn_page(visit: Visit) -> Result<Answer, Error> {
    let query = post_filter::read(&Form::from_text(visit.form.get("filter")))
        .map_err(|e| Error::bad("invalid_filter", e))?;
    let ws = &visit.workspace()?.id;
    let base = format!("/w/{ws}/posts");
    let Some(selection) = stored(&visit, &query, visit.form.get("selection")).await? else {
        return Ok(gone(&query, &base));
    };
    let (shown, ticked) = (shown(&visit.form)?, ticked(&visit.form)?);
    let app = &visit.app;
    let page = (shown.as_slice(), ticked.as_slice());
    let changed = app.db.change_selection(ws, &visit.admin.id, &selection.id, page, app.clock.now()).await?;
    let Some(changed) = changed else { return Ok(gone(&query, &base)) };
    check(&changed)?;
    let mut pairs = vec![("select", changed.id.as_str())];
    pairs.extend(["after", "before"].into_iter().find_map(|name| Some((name, visit.form.some(name)?))));
    Ok(Answer::see_other(&query.url(&base, &pairs)))
}

/// What the form of a list leaves out, on its own page and on others.
///
/// # Errors
/// 422 if that is too much, or if what was left out before is not known any more: it must not be taken for nothing.
pub async fn left_out(visit: &Visit, query: &PostQuery) -> Result<BTreeSet<PostKey>, Error> {
    let mut selection = match visit.form.some("selection") {
        None => Selection { id: String::new(), filter: String::new(), left_out: BTreeSet::new() },
        Some(id) => stored(visit, query, id)
            .await?
            .ok_or_else(|| invalid("This selection is no longer kept. Select the posts again"))?,
    };
    selection.take_page(&shown(&visit.form)?, &ticked(&visit.form)?);
    check(&selection)?;
    Ok(selection.left_out)
}

/// A selection of this person's; `None` if it is not there any more, or of other filters.
async fn stored(visit: &Visit, query: &PostQuery, id: &str) -> Result<Option<Selection>, Error> {
    let found = match ids::is_own_id(id) {
        true => visit.app.db.selection(&visit.workspace()?.id, &visit.admin.id, id).await?,
        false => None,
    };
    Ok(found.filter(|selection| selection.filter == query.filter_text()))
}

fn check(selection: &Selection) -> Result<(), Error> {
    match selection.left_out.len() {
        0..=LEFT_OUT_MAX => Ok(()),
        _ => Err(invalid("At most 200 posts can be left out. Narrow the filters instead")),
    }
}

fn invalid(text: &str) -> Error {
    Error::Invalid(Invalid::new("post", text))
}

/// The posts that a list's page showed.
fn shown(form: &Form) -> Result<Vec<PostKey>, Error> {
    form.get("shown").split_whitespace().map(post_key).collect()
}

/// The posts that are ticked.
pub fn ticked(form: &Form) -> Result<Vec<PostKey>, Error> {
    form.all("post").map(post_key).collect()
}

fn post_key(text: &str) -> Result<PostKey, Error> {
    match text.split_once(':') {
        Some((tenant, post)) if ids::is_object_id(tenant) && ids::is_object_id(post) => {
            Ok((tenant.to_owned(), post.to_owned()))
        }
        _ => Err(Error::bad("invalid_form", "A selected post is not an id")),
    }
}

/// To the list, with nothing selected.
pub fn gone(query: &PostQuery, base: &str) -> Answer {
    Answer::see_other(&query.url(base, &[("done", "selection_gone")]))
}

/// How the list's form starts out, and its boxes with it. `None` if the address names a selection that is not there any more.
pub async fn view(
    visit: &Visit,
    query: &PostQuery,
    base: &str,
    names: &HashMap<String, String>,
    rows: &mut [PostRow],
) -> Result<Option<SelectionView>, Error> {
    let id = visit.form.some("select").filter(|_| visit.may(Right::Operate));
    let mut view = SelectionView {
        matching: id.is_some(),
        filter: query.text(),
        words: query.words(names, &visit.clocks()),
        select_url: query.url(base, &[("select", ALL)]),
        clear_url: query.url(base, &[]),
        ..SelectionView::default()
    };
    let Some(id) = id else { return Ok(Some(view)) };
    let Some(Selection { id, left_out, .. }) = stored(visit, query, id).await? else { return Ok(None) };
    let mut here = 0;
    for row in rows.iter_mut() {
        row.left_out = left_out.contains(&(row.tenant_id.clone(), row.id.full.clone()));
        here += i64::from(row.left_out);
    }
    // What does not match any more is not among all that do.
    let left_out: Vec<PostKey> = left_out.into_iter().collect();
    let count = visit.app.db.count_posts_among(&visit.workspace()?.id, &query.filter, &left_out).await?;
    view.left_out = present::count(count);
    view.elsewhere = present::count(count - here);
    view.shown = rows.iter().map(PostRow::key).collect::<Vec<_>>().join(" ");
    view.id = id;
    Ok(Some(view))
}
