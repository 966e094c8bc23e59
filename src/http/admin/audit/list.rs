//! The list of entries: a search, its terms as chips, pages, and the export of what it finds.

use super::{NOT_FILTERS, TENANTS, actions, base, folds, rows};
use crate::{
    domain::{
        admins::Right,
        audit::Outcome,
        audit_search::{CREATED, Field, Search, What},
    },
    http::{
        Answer, Error,
        admin::{
            form::{Form, query_string},
            present,
            views::{self, AuditListPage, Badge, Chip, Choice, ExportForm, Link, Pager, Qualifier},
            visit::Visit,
        },
        export,
    },
    store::{audit::AuditFilter, audit_search::Matches, tenants::TenantFilter},
};

/// Fields of the form that narrow a search, and what they ask for.
const FIELDS: [(&str, Field); 7] = [
    ("actor", Field::Actor),
    ("action", Field::Action),
    ("tenant", Field::Tenant),
    ("outcome", Field::Outcome),
    ("target", Field::Target),
    ("job", Field::Job),
    ("operation", Field::Operation),
];

/// What the address asks for: the search, and what stands beside it.
struct Asked {
    search: Search,
    before: Option<i64>,
    after: Option<i64>,
    /// Every entry of a job on a line of its own.
    unfolded: bool,
}

fn read(form: &Form) -> Result<Asked, Error> {
    export::audit_filter(form.pairs(), &NOT_FILTERS)?;
    let bad = |why: String| Error::bad("invalid_filter", why);
    let mut search = Search::parse(form.get("q")).map_err(bad)?;
    for (name, field) in FIELDS {
        if let Some(value) = form.some(name) {
            // "post." has long meant all actions of a noun.
            let value = if field == Field::Action { value.trim_end_matches('.') } else { value };
            search = search.with(field, value).map_err(bad)?;
        }
    }
    if let Some(from) = form.some("from") {
        search = search.and(&format!("{CREATED}:>={from}")).map_err(bad)?;
    }
    if let Some(to) = form.some("to") {
        // A day is meant as a whole.
        let less = if to.contains('T') { "<" } else { "<=" };
        search = search.and(&format!("{CREATED}:{less}{to}")).map_err(bad)?;
    }
    let place = |name| match form.some(name) {
        None => Ok(None),
        Some(text) => {
            text.parse::<i64>().map(Some).map_err(|_| bad(format!("{name}: not the number of an entry")))
        }
    };
    let unfolded = match form.get("fold") {
        "" => false,
        "no" => true,
        _ => return Err(bad("fold: there is only no".into())),
    };
    Ok(Asked { search, before: place("before")?, after: place("after")?, unfolded })
}

/// The list's address with a search and more.
fn address(base: &str, search: &Search, more: &[(&str, &str)]) -> String {
    let text = search.to_string();
    let q = (!text.is_empty()).then_some(("q", text.as_str()));
    let query = query_string(q.into_iter().chain(more.iter().copied()));
    if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }
}

pub async fn render(visit: &Visit, workspace_id: Option<&str>) -> Result<Answer, Error> {
    let db = &visit.app.db;
    let base = base(workspace_id);
    let title = if workspace_id.is_some() { "Audit log" } else { "Instance log" };
    let mut page = AuditListPage {
        base: base.clone(),
        whole: workspace_id.is_none(),
        clear_url: base.clone(),
        qualifiers: qualifiers(workspace_id.is_none()),
        ..AuditListPage::default()
    };
    let asked = match read(&visit.form) {
        Ok(asked) => asked,
        Err(error) => {
            page.shell = visit.error_shell(title);
            page.q = visit.form.get("q").to_owned();
            page.filter = choices(visit, workspace_id, &Search::default()).await?;
            page.filter_error = Some(format!("{}.", error.describe().text));
            return Ok(present::page_with_status(422, &page));
        }
    };
    let Asked { search, before, after, unfolded } = asked;
    let filter = AuditFilter {
        workspace_id: workspace_id.map(str::to_owned),
        search: search.clone(),
        ..AuditFilter::default()
    };
    // Whoever asks for a job's entries, or for one change's, wants to see them.
    let folds_here = !search.asks_for(Field::Job) && !search.asks_for(Field::Operation);
    let fold = folds_here && !unfolded;
    let beside: &[(&str, &str)] = if unfolded { &[("fold", "no")] } else { &[] };
    let size = visit.admin.preferences.rows_per_page;
    let mut lines = folds::page(db, &filter, fold, before, after, size + 1).await?;
    let more = lines.len() as i64 > size;
    lines.truncate(size as usize);
    if after.is_some() {
        lines.reverse();
    }
    let url = |name: &str, seq: i64| {
        let seq = seq.to_string();
        address(&base, &search, &[beside, &[(name, seq.as_str())]].concat())
    };
    let (newer, older) = if after.is_some() { (more, true) } else { (before.is_some(), more) };
    page.pager = Pager::times(
        lines.first().filter(|_| newer).map(|line| url("after", line.entry.seq)),
        lines.last().filter(|_| older).map(|line| url("before", line.entry.seq)),
    );
    let entries: Vec<_> = lines.iter().map(|line| line.entry.clone()).collect();
    page.rows = rows(visit, &entries, &base).await?;
    for (row, line) in page.rows.iter_mut().zip(&lines) {
        if let Some(fold) = &line.fold {
            let narrowed =
                search.with(Field::Job, &fold.job).map_err(|why| Error::bad("invalid_filter", why))?;
            row.fold = Some(folds::shown(fold, address(&base, &narrowed, &[])));
        }
    }
    let matches = db.audit_count_in_time(&filter).await?;
    page.shell = visit.shell(title);
    page.q = search.to_string();
    page.filter = choices(visit, workspace_id, &search).await?;
    page.chips = chips(&search, &base, beside, &page.filter);
    page.status = status(visit);
    page.result_line = result_line(matches, lines.len());
    page.folding = match (page.rows.iter().any(|row| row.fold.is_some()), folds_here && unfolded) {
        (true, _) => {
            Some(Link::new("Show every entry of bulk jobs", address(&base, &search, &[("fold", "no")])))
        }
        (_, true) => Some(Link::new("Fold the entries of bulk jobs", address(&base, &search, &[]))),
        _ => None,
    };
    let may_export = workspace_id.is_none() || visit.may(Right::Export);
    page.export = may_export.then(|| ExportForm {
        rows: matches_text(matches),
        hidden: if page.q.is_empty() { Vec::new() } else { vec![("q".to_owned(), page.q.clone())] },
        note: String::new(),
    });
    Ok(present::page(&page))
}

/// Up to where the log is proven, of the whole instance's log.
fn status(visit: &Visit) -> String {
    let Some(signed) = visit.app.audit_log.status().signed.filter(|signed| signed.checkpoint.size > 0) else {
        return "No checkpoint has been signed yet.".into();
    };
    let at = present::exact_moment(signed.at, visit.app.clock.now()).absolute;
    format!("Verified to entry {} · checkpoint signed {at}", views::Count(signed.checkpoint.size - 1))
}

/// "4,312 entries", "more than 10,000 entries".
pub(super) fn matches_text(matches: Matches) -> String {
    let count = present::count(matches.count).of("entry", "entries");
    if matches.is_exact { count } else { format!("more than {count}") }
}

fn result_line(matches: Matches, shown: usize) -> String {
    // Where counting gave up, at least what is shown is there.
    let matches =
        Matches { count: matches.count.max(if matches.is_exact { 0 } else { shown as i64 }), ..matches };
    match matches {
        Matches { count: 0, .. } => String::new(),
        matches => {
            let count = matches_text(matches);
            let (first, rest) = count.split_at(1);
            format!("{}{rest} · newest first", first.to_uppercase())
        }
    }
}

fn qualifiers(whole: bool) -> Vec<Qualifier> {
    let fields = Field::ALL.iter().filter(|field| whole || **field != Field::Workspace);
    let mut all: Vec<Qualifier> = fields
        .map(|field| {
            let (finds, example) = field.help();
            Qualifier { finds, example }
        })
        .collect();
    for (finds, example) in [
        ("days or times, UTC; either end may be *", "created:2026-03-01..2026-03-15"),
        ("from or up to a time: >=, >, <=, <", "created:>=2026-03-15T14:00"),
        ("words anywhere in an entry: reasons, changed values, programs, IDs", "holiday coffee"),
        ("what begins so", "sched*"),
        ("what has spaces", "actor:\"Ann Example\""),
        ("not this", "-outcome:succeeded"),
    ] {
        all.push(Qualifier { finds, example });
    }
    all
}

/// What the form offers, with what the search asks for chosen even where it is not on offer.
async fn choices(
    visit: &Visit,
    workspace_id: Option<&str>,
    search: &Search,
) -> Result<views::AuditFilter, Error> {
    let offer = |any: &str, list: Vec<(String, String)>, chosen: Option<&str>| {
        let mut offer = vec![Choice::new("", any, chosen.is_none())];
        if let Some(other) = chosen.filter(|c| !list.iter().any(|(value, _)| value == c)) {
            offer.push(Choice::new(other, other, true));
        }
        offer.extend(list.into_iter().map(|(value, label)| {
            let selected = chosen == Some(value.as_str());
            Choice::new(value, label, selected)
        }));
        offer
    };
    let tenants = match workspace_id {
        None => Vec::new(),
        Some(ws) => visit.app.db.tenants(ws, &TenantFilter::default(), None, TENANTS).await?,
    };
    let outcomes = Outcome::ALL.iter().map(|o| (o.to_string(), Badge::outcome(o.as_str()).text));
    Ok(views::AuditFilter {
        actions: offer("Any action", actions(), search.value(Field::Action)),
        tenants: offer(
            "Any tenant",
            tenants.into_iter().map(|t| (t.id, t.display_name)).collect(),
            search.value(Field::Tenant),
        ),
        outcomes: offer("Any outcome", outcomes.collect(), search.value(Field::Outcome)),
    })
}

/// Each term, to be taken away.
fn chips(search: &Search, base: &str, beside: &[(&str, &str)], filter: &views::AuditFilter) -> Vec<Chip> {
    let name = |what: &What| match what {
        What::Is(Field::Tenant, value) => filter
            .tenants
            .iter()
            .find(|c| c.value == value.text && c.label != c.value)
            .map(|c| c.label.clone()),
        _ => None,
    };
    let terms = search.terms().iter().enumerate();
    terms
        .map(|(n, term)| Chip {
            label: match name(&term.what) {
                Some(name) => format!("{term} ({name})"),
                None => term.to_string(),
            },
            remove_url: address(base, &search.without(n), beside),
        })
        .collect()
}
