//! The posts of a workspace, from the mirror; and one post, with what PostPost says about it right now.

use super::{
    super::{Answer, Error},
    form::Form,
    freshness, notices,
    post_filter::{self, PostQuery, platform_label, status_label},
    present::{self, Clocks},
    saved_views, selections,
    views::{
        Badge, Choice, CopyId, Link, Pager, PlatformPost, PostFilter, PostListPage, PostPage, PostRow,
        SortLink,
    },
    visit::Visit,
};
use crate::{
    clock::{DAY, HOUR, Millis},
    domain::{
        admins::{ROWS_PER_PAGE, Right},
        ids,
        posts::{PLATFORMS, PostStatus},
        times,
    },
    proxy::Read,
    store::{
        audit::AuditFilter,
        posts::{MirroredPost, Position, PostSort, Slice, StatusFilter},
        tenants::TenantFilter,
    },
    upstream::types::FoundPost,
};
use std::{collections::HashMap, time::Duration};

/// Tenants offered as boxes of the filter; more are found by the search of the tenants list.
const TENANT_CHOICES: i64 = 200;
/// How long the detail page waits for PostPost before it shows the mirror alone.
const LIVE_DEADLINE: Duration = Duration::from_secs(3);

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let workspace_id = visit.workspace()?.id.clone();
    let base = format!("/w/{workspace_id}/posts");
    let synced = visit.app.db.sync_summary(&workspace_id).await?;
    let mut page = PostListPage {
        shell: visit.shell("Posts"),
        ws: workspace_id.clone(),
        clear_url: base.clone(),
        sync_notice: freshness::notice(&visit, &workspace_id, synced),
        ..PostListPage::default()
    };
    let query = match post_filter::read(&visit.form) {
        Ok(query) => query,
        Err(error) => {
            page.filter_error = Some(error);
            page.notices = notices::of_list(&visit, None).await?;
            let none = post_filter::read(&Form::default()).map_err(|e| Error::bad("invalid_filter", e))?;
            page.filter = filter_view(&visit, &none, &base).await?;
            return Ok(present::page_with_status(400, &page));
        }
    };
    if visit.form.get("select") == selections::ALL && visit.may(Right::Operate) {
        return selections::begin(&visit, &query, &base).await;
    }
    let app = &visit.app;
    let clocks = visit.clocks();
    let now = clocks.now;
    let total = app.db.count_posts_to(&workspace_id, &query.filter, present::COUNTED + 1).await?;
    let (rows, before, after) = rows(&visit, &query, total).await?;
    // What stood here has gone; the list has not.
    if rows.is_empty() && total > 0 && (visit.form.some("after").or(visit.form.some("before"))).is_some() {
        let selection: Vec<_> = visit.form.some("select").map(|id| ("select", id)).into_iter().collect();
        return Ok(Answer::see_other(&query.url(&base, &selection)));
    }
    let tenant_ids: Vec<&str> = rows
        .iter()
        .map(|r| r.post.tenant_id.as_str())
        .chain(query.filter.tenants.iter().map(String::as_str))
        .collect();
    let names = app.db.tenant_names(&workspace_id, &tenant_ids).await?;
    page.filter = filter_view(&visit, &query, &base).await?;
    page.notices = notices::of_list(&visit, Some(&query)).await?;
    page.query = query.text();
    page.views = saved_views::of_list(&visit, &base, &page.query).await?;
    page.chips = query.chips(&base, &names, &clocks);
    page.result_line = result_line(&query, rows.len(), total, before.is_none(), synced.3, now);
    freshness::note_looked_at(&visit, &workspace_id, &tenant_ids).await?;
    page.total = present::counted(total);
    page.empty = if !page.chips.is_empty() {
        "no_match"
    } else if page.sync_notice.is_some() {
        "sync_failed"
    } else {
        "none"
    };
    page.sort_scheduled = sort_link(&query, &base, PostSort::ScheduledAsc, PostSort::ScheduledDesc);
    page.sort_updated = sort_link(&query, &base, PostSort::UpdatedDesc, PostSort::UpdatedDesc);
    page.rows = rows.iter().map(|r| row(r, &names, &clocks)).collect();
    page.selection = match selections::view(&visit, &query, &base, &names, &mut page.rows).await? {
        Some(selection) => selection,
        None => return Ok(selections::gone(&query, &base)),
    };
    let link = |name: &str, at: &Option<String>| Some(query.url(&base, &[(name, at.as_deref()?)]));
    page.pager = Pager::pages(link("before", &before), link("after", &after));
    (page.before, page.after) = (before, after);
    Ok(present::page(&page))
}

/// The page's rows, and the places before which and after which there are more.
async fn rows(
    visit: &Visit,
    query: &PostQuery,
    total: i64,
) -> Result<(Vec<MirroredPost>, Option<String>, Option<String>), Error> {
    let db = &visit.app.db;
    let workspace_id = &visit.workspace()?.id;
    let (after, before) = (position(visit.form.get("after"))?, position(visit.form.get("before"))?);
    let backwards = before.is_some();
    let per = query.per.unwrap_or(visit.admin.preferences.rows_per_page);
    let at = before.as_ref().or(after.as_ref());
    // One more than shown tells whether there is a further page.
    let slice = Slice { sort: query.sort, at, backwards, limit: per + 1, matching: Some(total) };
    let mut rows = db.slice_of_posts(workspace_id, &query.filter, &slice).await?;
    let more = rows.len() as i64 > per;
    if more {
        let extra = if backwards { 0 } else { rows.len() - 1 };
        rows.remove(extra);
    }
    let place = |post: &MirroredPost| {
        let at = query.sort.position(&post.post);
        format!("{}.{}.{}", at.value, at.post_id, at.tenant_id)
    };
    let has_before = if backwards { more } else { after.is_some() };
    let has_after = backwards || more;
    let before = rows.first().filter(|_| has_before).map(place);
    let after = rows.last().filter(|_| has_after).map(place);
    Ok((rows, before, after))
}

/// A place in the list as it stands in a link: sort value, post, tenant.
fn position(text: &str) -> Result<Option<Position>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = || Error::bad("invalid_filter", "This page link cannot be used. Start from the first page");
    let mut parts = text.split('.');
    match (parts.next().and_then(|v| v.parse().ok()), parts.next(), parts.next(), parts.next()) {
        (Some(value), Some(post), Some(tenant), None)
            if ids::is_object_id(post) && ids::is_object_id(tenant) =>
        {
            Ok(Some(Position { value, post_id: post.into(), tenant_id: tenant.into() }))
        }
        _ => Err(bad()),
    }
}

fn result_line(
    query: &PostQuery,
    shown: usize,
    total: i64,
    first: bool,
    oldest: Option<Millis>,
    now: Millis,
) -> String {
    let order = match query.sort {
        PostSort::ScheduledAsc => "scheduled time, earliest first",
        PostSort::ScheduledDesc => "scheduled time, latest first",
        PostSort::UpdatedDesc => "last change, newest first",
        PostSort::CreatedDesc => "creation, newest first",
    };
    let synced = match oldest {
        Some(at) => format!("synced {} ago", present::age(at, now)),
        None => "not synced yet".into(),
    };
    let total = present::counted(total);
    let range = match first {
        true if shown as u64 == total.n.0 => total.of("post", "posts"),
        true => format!("1 to {shown} of {total}"),
        false => format!("{shown} of {total}"),
    };
    format!("{range} · sorted by {order} · {synced}")
}

async fn filter_view(visit: &Visit, query: &PostQuery, base: &str) -> Result<PostFilter, Error> {
    let app = &visit.app;
    let clocks = visit.clocks();
    let now = clocks.now;
    let f = &query.filter;
    let ws = &visit.workspace()?.id;
    let mut tenants: Vec<(String, String)> = app
        .db
        .tenants(ws, &TenantFilter::default(), None, TENANT_CHOICES)
        .await?
        .into_iter()
        .map(|t| (t.id, t.display_name))
        .collect();
    // A tenant that is filtered by has its box, or the next use of the form would lose it.
    let missing: Vec<&str> = f
        .tenants
        .iter()
        .filter(|id| !tenants.iter().any(|(known, _)| known == *id))
        .map(String::as_str)
        .collect();
    let missing = app.db.tenant_names(ws, &missing).await?;
    tenants.extend(missing);
    let local = |at: Option<Millis>| at.map(|at| clocks.local(at)).unwrap_or_default();
    let (morning, midnight) = clocks.today();
    let per = query.per.unwrap_or(visit.admin.preferences.rows_per_page);
    let media = match f.media {
        None => "",
        Some(true) => "with",
        Some(false) => "without",
    };
    let preset = |text: &str, pairs: &[(&str, String)]| {
        let pairs = pairs.iter().map(|(n, v)| (*n, v.as_str()));
        Link::new(text, format!("{base}?{}", super::form::query_string(pairs)))
    };
    let between = |text: &str, from: Millis, to: Millis| {
        preset(text, &[("from", times::to_local_utc(from)), ("to", times::to_local_utc(to))])
    };
    let overdue = [
        ("status", "scheduled".to_owned()),
        ("status", "paused".to_owned()),
        ("to", times::to_local_utc(now)),
    ];
    Ok(PostFilter {
        tenants: tenants
            .into_iter()
            .map(|(id, name)| Choice::new(id.as_str(), name, f.tenants.contains(&id)))
            .collect(),
        statuses: StatusFilter::ALL
            .iter()
            .map(|s| Choice::new(s.as_str(), status_label(s.as_str()), f.statuses.contains(s)))
            .collect(),
        platforms: PLATFORMS
            .iter()
            .map(|p| Choice::new(*p, platform_label(p), f.platforms.iter().any(|x| x == p)))
            .collect(),
        from: local(f.from),
        to: local(f.to),
        no_time: f.no_time,
        zone: clocks.zone().to_owned(),
        created_from: local(f.created_from),
        created_to: local(f.created_to),
        media: [("", "With or without media"), ("with", "With media"), ("without", "Without media")]
            .into_iter()
            .map(|(word, label)| Choice::new(word, label, word == media))
            .collect(),
        q: f.text.clone().unwrap_or_default(),
        sorts: PostSort::ALL
            .iter()
            .map(|s| Choice::new(s.as_str(), sort_label(*s), *s == query.sort))
            .collect(),
        pers: ROWS_PER_PAGE
            .iter()
            .map(|n| Choice::new(n.to_string(), format!("{n} per page"), *n == per))
            .collect(),
        presets: vec![
            between("Today", morning, midnight),
            between("Next 24 h", now, now + 24 * HOUR),
            between("Next 7 days", now, now + 7 * DAY),
            preset("Overdue", &overdue),
            preset("No time", &[("when", "none".to_owned())]),
        ],
    })
}

fn sort_label(sort: PostSort) -> &'static str {
    match sort {
        PostSort::ScheduledAsc => "Scheduled, earliest first",
        PostSort::ScheduledDesc => "Scheduled, latest first",
        PostSort::UpdatedDesc => "Updated, newest first",
        PostSort::CreatedDesc => "Created, newest first",
    }
}

fn sort_link(query: &PostQuery, base: &str, first: PostSort, second: PostSort) -> SortLink {
    let order = match query.sort {
        PostSort::ScheduledAsc if first == query.sort => "ascending",
        current if current == first || current == second => "descending",
        _ => "",
    };
    let next = if query.sort == first { second } else { first };
    let url = PostQuery { sort: next, ..query.clone() }.url(base, &[]);
    SortLink { url, order }
}

fn row(mirrored: &MirroredPost, names: &HashMap<String, String>, clocks: &Clocks) -> PostRow {
    let post = &mirrored.post;
    let paused = mirrored.pause.is_some();
    let mut platforms: Vec<String> = post.platforms.iter().map(|p| platform_label(&p.platform)).collect();
    platforms.dedup();
    PostRow {
        id: CopyId::short("post ID", post.id.as_str()),
        tenant_id: post.tenant_id.clone(),
        tenant: names.get(&post.tenant_id).cloned().unwrap_or_else(|| post.tenant_id.clone()),
        // The page cuts it to two lines; a list of long posts must stay small on the wire.
        content: post.content.chars().take(300).collect(),
        platforms,
        badge: badge(mirrored),
        scheduled: post.scheduled_at.map(|at| clocks.moment(at)),
        scheduled_note: if paused { "Paused, was due".into() } else { String::new() },
        updated: clocks.moment(post.updated_at),
        media: post.media.len() as u64,
        left_out: false,
    }
}

/// Publishing shows in the platform posts before it does in the group.
fn badge(mirrored: &MirroredPost) -> Badge {
    let post = &mirrored.post;
    if mirrored.pause.is_some() {
        return Badge::post("paused");
    }
    let in_hand = |status: &str| post.platforms.iter().any(|p| p.status == status);
    match post.status {
        PostStatus::Scheduled if in_hand("processing") => Badge::post("processing"),
        PostStatus::Scheduled if in_hand("pending") => Badge::post("pending"),
        status => Badge::post(status.as_str()),
    }
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let workspace_id = visit.workspace()?.id.clone();
    let (tenant_id, post_id) = (visit.object_id("tenant")?, visit.object_id("post")?);
    let tenant = app.db.tenant(&workspace_id, tenant_id).await?.ok_or(Error::NotFound)?;
    let mirrored = app.db.post(&workspace_id, tenant_id, post_id).await?.ok_or(Error::NotFound)?;
    let clocks = visit.clocks();
    let now = clocks.now;
    let caller = visit.caller(Some(tenant_id))?;
    let live =
        tokio::time::timeout(LIVE_DEADLINE, app.road.read(&caller, Read::GetPost(post_id.to_owned()))).await;
    let live = live.ok().and_then(Result::ok).filter(|reply| reply.is_success());
    let found: Option<FoundPost> = live.as_ref().and_then(|reply| serde_json::from_slice(&reply.body).ok());
    let filter = AuditFilter {
        workspace_id: Some(workspace_id.clone()),
        tenant_id: Some(tenant_id.to_owned()),
        target: Some(post_id.to_owned()),
        ..AuditFilter::default()
    };
    let entries =
        if visit.may(Right::Audit) { app.db.audit_page(&filter, None, None, 20).await? } else { Vec::new() };
    let names = HashMap::from([(tenant_id.to_owned(), tenant.display_name.clone())]);
    freshness::note_looked_at(&visit, &workspace_id, &[tenant_id]).await?;
    let post = &mirrored.post;
    let page = PostPage {
        shell: visit.shell("Post"),
        ws: workspace_id.clone(),
        id: CopyId::short("post ID", post_id),
        tenant_id: tenant_id.to_owned(),
        tenant: tenant.display_name,
        content: post.content.clone(),
        badge: badge(&mirrored),
        scheduled: post.scheduled_at.map(|at| clocks.moment(at)),
        created: Some(clocks.moment(post.created_at)),
        updated: Some(clocks.moment(post.updated_at)),
        source: match found {
            Some(_) => "PostPost, just now".into(),
            None => match tenant.sync.synced_at {
                Some(at) => format!("the gateway's copy, {} old", present::age(at, now)),
                None => "the gateway's copy".into(),
            },
        },
        paused_note: mirrored.pause.as_ref().map(|pause| {
            let when = clocks.moment(pause.paused_at).absolute;
            match pause.scheduled_at {
                Some(at) => {
                    format!("Paused here on {when}. It was due on {}.", clocks.moment(at).absolute)
                }
                None => format!("Paused here on {when}."),
            }
        }),
        platforms: platform_rows(&mirrored, found.as_ref()),
        media: post.media.clone(),
        log: Vec::new(),
        raw: raw(live.as_ref().map(|reply| reply.body.as_ref()), &mirrored),
        audit: present::audit_rows(
            &entries,
            &names,
            &HashMap::new(),
            &format!("/w/{workspace_id}/audit"),
            now,
        ),
        actions: actions(&mirrored),
        back_url: String::new(),
    };
    Ok(present::page(&page))
}

fn actions(mirrored: &MirroredPost) -> Vec<&'static str> {
    match mirrored.post.status {
        PostStatus::Scheduled => vec!["pause", "reschedule", "delete"],
        PostStatus::Draft if mirrored.pause.is_some() => vec!["resume", "reschedule", "delete"],
        PostStatus::Draft => vec!["reschedule", "delete"],
        PostStatus::Published | PostStatus::PartiallyPublished | PostStatus::Failed => vec!["delete"],
        PostStatus::Unknown => Vec::new(),
    }
}

fn platform_rows(mirrored: &MirroredPost, found: Option<&FoundPost>) -> Vec<PlatformPost> {
    let Some(found) = found else {
        return mirrored
            .post
            .platforms
            .iter()
            .map(|p| PlatformPost {
                platform: platform_label(&p.platform),
                account: p.id.clone(),
                badge: Badge::post(&p.status),
                ..PlatformPost::default()
            })
            .collect();
    };
    found
        .posts
        .iter()
        .map(|p| {
            let field = |name: &str| p.error.as_ref().and_then(|e| e.get(name));
            let text = |name: &str| field(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
            let mut detail = Vec::new();
            if let Some(code) = field("platformStatusCode") {
                detail.push(format!("platform answered {code}"));
            }
            match field("retryable").and_then(serde_json::Value::as_bool) {
                Some(true) => detail.push("can be retried".into()),
                Some(false) => detail.push("a retry will not help".into()),
                None => {}
            }
            PlatformPost {
                platform: platform_label(&p.platform),
                account: p.platform_id.clone(),
                badge: Badge::post(&p.status),
                posted_id: p.posted_id.clone(),
                error_code: text("code"),
                error_message: text("message"),
                error_detail: detail.join(" · "),
                content: Some(p.content.clone()).filter(|c| *c != mirrored.post.content && !c.is_empty()),
            }
        })
        .collect()
}

fn raw(live: Option<&[u8]>, mirrored: &MirroredPost) -> String {
    let value = match live.and_then(|body| serde_json::from_slice::<serde_json::Value>(body).ok()) {
        Some(value) => value,
        None => serde_json::json!({
            "postGroupId": mirrored.post.id,
            "status": mirrored.post.status.as_str(),
            "scheduledTime": mirrored.post.scheduled_at.map(times::to_iso),
            "platforms": mirrored.post.platforms,
        }),
    };
    serde_json::to_string_pretty(&value).unwrap_or_default()
}
