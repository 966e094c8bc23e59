//! A plan from a list: ids or a table are pasted, every line that cannot be used is told, and the rest becomes one plan. A
//! plan does one thing, so a table with several actions takes one preview for each.

use super::{
    super::{Answer, Error},
    plans::{first_options, preview},
    present,
    views::{BadLine as BadLineView, Choice, Field, ListedPage},
    visit::Visit,
};
use crate::{
    domain::plans::{BadLine, BulkAction, Line, Move, PlanOptions, Source, read_list, zone},
    jobs::planning::{Listed, Request, Selection},
    store,
};
use std::collections::{BTreeMap, HashMap};

/// Bad lines that are named one by one.
const SHOWN: usize = 100;

/// What the page says about what was sent.
#[derive(Default)]
struct Told {
    whole: Option<String>,
    zone: Option<String>,
    bad: Vec<BadLine>,
    /// How many lines could be used.
    usable: usize,
}

pub async fn form(visit: Visit) -> Result<Answer, Error> {
    Ok(page(&visit, Told::default()))
}

pub async fn create(visit: Visit) -> Result<Answer, Error> {
    let form = &visit.form;
    let zone = match zone(form.some("zone").unwrap_or("UTC")) {
        Ok(zone) => zone,
        Err(invalid) => return Ok(page(&visit, Told { zone: Some(invalid.reason), ..Told::default() })),
    };
    let (lines, mut bad) = read_list(form.get("list"), &zone);
    let lines = resolve(&visit, lines, &mut bad).await?;
    let (action, lines) = match choose(form.get("action"), lines) {
        Ok(chosen) => chosen,
        Err(text) => return Ok(page(&visit, Told { whole: Some(text), bad, ..Told::default() })),
    };
    check_times(action, &lines, &mut bad);
    bad.sort_by_key(|b| b.number);
    let posts: Vec<Listed> = {
        let refused: Vec<usize> = bad.iter().map(|b| b.number).collect();
        let usable = lines.into_iter().filter(|l| refused.binary_search(&l.number).is_err());
        usable
            .filter_map(|l| {
                Some(Listed { tenant_id: l.tenant_id?, post_id: l.post_id, wanted_at: l.wanted_at })
            })
            .collect()
    };
    let usable = posts.len();
    if posts.is_empty() {
        let whole = bad.is_empty().then(|| "Name at least one post".to_owned());
        return Ok(page(&visit, Told { whole, bad, ..Told::default() }));
    }
    if !bad.is_empty() && form.get("skip_bad") != "1" {
        return Ok(page(&visit, Told { bad, usable, ..Told::default() }));
    }
    let mut options = PlanOptions { zone, ..first_options(&visit) };
    if posts.iter().any(|p| p.wanted_at.is_some()) {
        options.moved = Move::Listed;
    }
    let request = Request {
        workspace: visit.workspace()?,
        action,
        options,
        filter_text: String::new(),
        actor: &visit.actor,
    };
    preview(&visit, request, Selection::Listed { posts, source: Source::Listed }).await
}

/// Finds each post's tenant; lines that name no post of this workspace, or none of their tenant, are bad.
async fn resolve(visit: &Visit, lines: Vec<Line>, bad: &mut Vec<BadLine>) -> Result<Vec<Line>, Error> {
    let found = owners(visit, &lines).await?;
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    let mut good = Vec::with_capacity(lines.len());
    for mut line in lines {
        let tenants = found.get(&line.post_id).map(Vec::as_slice).unwrap_or_default();
        let owner = match (&line.tenant_id, tenants) {
            (_, []) => Err("There is no such post in this workspace".to_owned()),
            (None, [one]) => Ok(one.clone()),
            (None, _) => Err("Several tenants have this post: name the tenant as well".to_owned()),
            (Some(tenant), tenants) if tenants.contains(tenant) => Ok(tenant.clone()),
            (Some(_), _) => Err("It is not a post of this tenant".to_owned()),
        };
        match owner {
            Err(text) => bad.push(BadLine::new(line.number, text)),
            Ok(tenant) => match seen.insert((tenant.clone(), line.post_id.clone()), line.number) {
                Some(first) => bad.push(BadLine::new(line.number, format!("Named in line {first} already"))),
                None => {
                    line.tenant_id = Some(tenant);
                    good.push(line);
                }
            },
        }
    }
    Ok(good)
}

async fn owners(visit: &Visit, lines: &[Line]) -> Result<HashMap<String, Vec<String>>, Error> {
    let posts: Vec<String> = lines.iter().map(|l| l.post_id.clone()).collect();
    let rows: store::Result<_> = visit.app.db.tenants_of_posts(&visit.workspace()?.id, &posts).await;
    let mut owners: HashMap<String, Vec<String>> = HashMap::new();
    for (post, tenant) in rows? {
        let tenants = owners.entry(post).or_default();
        if !tenants.contains(&tenant) {
            tenants.push(tenant);
        }
    }
    Ok(owners)
}

/// The plan's action and the lines it is for: the action of the form with all lines that name this one or none, or the one
/// that the table names.
fn choose(word: &str, lines: Vec<Line>) -> Result<(BulkAction, Vec<Line>), String> {
    let mut named: BTreeMap<BulkAction, usize> = BTreeMap::new();
    for action in lines.iter().filter_map(|l| l.action) {
        *named.entry(action).or_default() += 1;
    }
    let any = !lines.is_empty();
    let action = match (BulkAction::of_posts(word), named.len()) {
        (Some(action), _) => action,
        (None, 0) if !any => BulkAction::Pause,
        (None, 0) => return Err("Choose an action: the list names none".into()),
        (None, 1) => named.into_keys().next().unwrap_or(BulkAction::Pause),
        (None, _) => {
            let counts: Vec<String> = named.iter().map(|(action, n)| format!("{action} {n}")).collect();
            return Err(format!(
                "The list names several actions ({}). A plan does one thing: choose one, preview it, and send the list \
                 again for the next",
                counts.join(", ")
            ));
        }
    };
    let lines: Vec<Line> =
        lines.into_iter().filter(|l| l.action.is_none_or(|named| named == action)).collect();
    if lines.is_empty() && any {
        return Err(format!("No line of the list is to {action} a post"));
    }
    Ok((action, lines))
}

/// With one post of a list having a time, all must have one; and only what gets a time can have one.
fn check_times(action: BulkAction, lines: &[Line], bad: &mut Vec<BadLine>) {
    let timed = lines.iter().any(|l| l.wanted_at.is_some());
    for line in lines {
        match (action, line.wanted_at) {
            (BulkAction::Delete | BulkAction::Pause, Some(_)) => {
                bad.push(BadLine::new(
                    line.number,
                    "A time can only be given to resume or reschedule a post",
                ));
            }
            (BulkAction::Reschedule, None) if timed => {
                bad.push(BadLine::new(line.number, "The time to reschedule it to is missing"));
            }
            _ => {}
        }
    }
}

fn page(visit: &Visit, told: Told) -> Answer {
    let form = &visit.form;
    let failed = told.whole.is_some() || told.zone.is_some() || !told.bad.is_empty();
    let mut zone =
        Field::filled("zone", form.some("zone").map_or_else(|| first_options(visit).zone, str::to_owned));
    zone.error = told.zone;
    let mut list = Field::filled("list", form.get("list"));
    let count = told.bad.len();
    if count > 0 {
        list.error = Some(format!("{} cannot be used", present::count(count as i64).of("line", "lines")));
    }
    let current = form.get("action");
    let choice = |value: &str, label: &str| Choice::new(value, label, value == current);
    let title = "Posts from a list";
    let page = ListedPage {
        shell: if failed { visit.error_shell(title) } else { visit.shell(title) },
        ws: visit.call.param("ws").to_owned(),
        error: told.whole,
        list,
        zone,
        actions: vec![
            choice("", "As the list says"),
            choice("pause", "Pause"),
            choice("resume", "Resume"),
            choice("reschedule", "Reschedule"),
            choice("delete", "Delete"),
        ],
        more_bad: present::count(count.saturating_sub(SHOWN) as i64),
        bad: told
            .bad
            .into_iter()
            .take(SHOWN)
            .map(|b| BadLineView { number: b.number, text: b.text })
            .collect(),
        usable: present::count(told.usable as i64),
    };
    present::page_with_status(if failed { 422 } else { 200 }, &page)
}
