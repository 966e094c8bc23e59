//! The posts of a workspace, from the mirror; and one post, with what PostPost says about it right now.

use super::{
    super::{Answer, Error},
    form::Form,
    post_filter::{self, PER_PAGE, PostQuery, platform_label, status_label},
    present,
    views::{
        Badge, Banner, Choice, CopyId, Link, Pager, PlatformPost, PostFilter, PostListPage, PostPage,
        PostRow, Selection, SortLink,
    },
    visit::Visit,
};
use crate::{
    clock::{DAY, HOUR, Millis, SECOND},
    domain::{
        ids,
        posts::{PLATFORMS, PostStatus},
        times,
    },
    proxy::Read,
    store::{
        audit::AuditFilter,
        posts::{MirroredPost, Position, PostSort, StatusFilter},
        tenants::TenantFilter,
    },
    upstream::types::FoundPost,
};
use std::{collections::HashMap, time::Duration};

/// Tenants offered as boxes of the filter; more are found by the search of the tenants list.
const TENANT_CHOICES: i64 = 200;
/// How long the detail page waits for PostPost before it shows the mirror alone.
const LIVE_DEADLINE: Duration = Duration::from_secs(3);

/// A copy older than this is read again when somebody looks at it.
const LOOKED_AT_AGE: Millis = 30 * SECOND;
/// Rounds the mirror may be behind before the list says why.
const SLOW_ROUNDS: i64 = 3;

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let workspace_id = visit.workspace()?.id.clone();
    let base = format!("/w/{workspace_id}/posts");
    let synced = visit.app.db.sync_summary(&workspace_id).await?;
    let mut page = PostListPage {
        shell: visit.shell("Posts"),
        ws: workspace_id.clone(),
        clear_url: base.clone(),
        sync_notice: sync_notice(&visit, &workspace_id, synced),
        ..PostListPage::default()
    };
    let query = match post_filter::read(&visit.form) {
        Ok(query) => query,
        Err(error) => {
            page.filter_error = Some(error);
            let none = post_filter::read(&Form::default()).map_err(|e| Error::bad("invalid_filter", e))?;
            page.filter = filter_view(&visit, &none, &base).await?;
            return Ok(present::page_with_status(400, &page));
        }
    };
    let app = &visit.app;
    let now = app.clock.now();
    let total = app.db.count_posts(&workspace_id, &query.filter).await?;
    let (rows, pager, first) = rows(&visit, &query, &base).await?;
    let tenant_ids: Vec<&str> = rows
        .iter()
        .map(|r| r.post.tenant_id.as_str())
        .chain(query.filter.tenants.iter().map(String::as_str))
        .collect();
    let names = app.db.tenant_names(&workspace_id, &tenant_ids).await?;
    page.filter = filter_view(&visit, &query, &base).await?;
    page.chips = query.chips(&base, &names);
    page.result_line = result_line(&query, rows.len(), total, first, synced.3, now);
    note_looked_at(&visit, &workspace_id, &tenant_ids).await?;
    page.total = present::count(total);
    page.empty = if !page.chips.is_empty() {
        "no_match"
    } else if page.sync_notice.is_some() {
        "sync_failed"
    } else {
        "none"
    };
    page.selection = Selection {
        matching: visit.form.get("select") == "matching",
        filter: query.filter_text(),
        words: query.words(&names),
        select_url: query.url(&base, &[("select", "matching")]),
        clear_url: query.url(&base, &[]),
    };
    page.sort_scheduled = sort_link(&query, &base, PostSort::ScheduledAsc, PostSort::ScheduledDesc);
    page.sort_updated = sort_link(&query, &base, PostSort::UpdatedDesc, PostSort::UpdatedDesc);
    page.rows = rows.iter().map(|r| row(r, &names, now)).collect();
    page.pager = pager;
    Ok(present::page(&page))
}

/// The page's rows, the links around it, and whether it is the first.
async fn rows(
    visit: &Visit,
    query: &PostQuery,
    base: &str,
) -> Result<(Vec<MirroredPost>, Pager, bool), Error> {
    let db = &visit.app.db;
    let workspace_id = &visit.workspace()?.id;
    let (after, before) = (position(visit.form.get("after"))?, position(visit.form.get("before"))?);
    let backwards = before.is_some();
    let at = before.as_ref().or(after.as_ref());
    // One more than shown tells whether there is a further page.
    let mut rows = db.posts(workspace_id, &query.filter, query.sort, at, backwards, query.per + 1).await?;
    let more = rows.len() as i64 > query.per;
    if more {
        let extra = if backwards { 0 } else { rows.len() - 1 };
        rows.remove(extra);
    }
    let selecting = visit.form.get("select") == "matching";
    let link = |name: &str, post: Option<&MirroredPost>| {
        let at = query.sort.position(&post?.post);
        let at = format!("{}.{}.{}", at.value, at.post_id, at.tenant_id);
        let mut extra = vec![(name, at.as_str())];
        if selecting {
            extra.push(("select", "matching"));
        }
        Some(query.url(base, &extra))
    };
    let has_before = if backwards { more } else { after.is_some() };
    let has_after = backwards || more;
    let pager = Pager::pages(
        link("before", rows.first().filter(|_| has_before)),
        link("after", rows.last().filter(|_| has_after)),
    );
    Ok((rows, pager, !has_before))
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
    let total = present::count(total);
    let range = match first {
        true if shown as u64 == total.0 => total.of("post", "posts"),
        true => format!("1 to {shown} of {total}"),
        false => format!("{shown} of {total}"),
    };
    format!("{range} · sorted by {order} · {synced}")
}

/// What whoever reads the list should know about the copy it shows.
fn sync_notice(
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
async fn note_looked_at(visit: &Visit, workspace_id: &str, tenant_ids: &[&str]) -> Result<(), Error> {
    let app = &visit.app;
    let old = app.db.synced_before(workspace_id, tenant_ids, app.clock.now() - LOOKED_AT_AGE).await?;
    if !old.is_empty() {
        app.mirror.note_looked_at(workspace_id, old.iter().map(String::as_str));
    }
    Ok(())
}

async fn filter_view(visit: &Visit, query: &PostQuery, base: &str) -> Result<PostFilter, Error> {
    let app = &visit.app;
    let now = app.clock.now();
    let f = &query.filter;
    let tenants =
        app.db.tenants(&visit.workspace()?.id, &TenantFilter::default(), None, TENANT_CHOICES).await?;
    let local = |at: Option<Millis>| at.map(times::to_local_utc).unwrap_or_default();
    let midnight = now - now.rem_euclid(DAY);
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
            .map(|t| Choice::new(t.id.as_str(), t.display_name.as_str(), f.tenants.contains(&t.id)))
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
        q: f.text.clone().unwrap_or_default(),
        sorts: PostSort::ALL
            .iter()
            .map(|s| Choice::new(s.as_str(), sort_label(*s), *s == query.sort))
            .collect(),
        pers: PER_PAGE
            .iter()
            .map(|n| Choice::new(n.to_string(), format!("{n} per page"), *n == query.per))
            .collect(),
        presets: vec![
            between("Today", midnight, midnight + DAY),
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

fn row(mirrored: &MirroredPost, names: &HashMap<String, String>, now: Millis) -> PostRow {
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
        scheduled: post.scheduled_at.map(|at| present::moment(at, now)),
        scheduled_note: if paused { "Paused, was due".into() } else { String::new() },
        updated: present::moment(post.updated_at, now),
        media: post.media.len() as u64,
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
    let now = app.clock.now();
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
    let entries = if visit.may(crate::domain::admins::Right::Audit) {
        app.db.audit_page(&filter, None, None, 20).await?
    } else {
        Vec::new()
    };
    let names = HashMap::from([(tenant_id.to_owned(), tenant.display_name.clone())]);
    note_looked_at(&visit, &workspace_id, &[tenant_id]).await?;
    let post = &mirrored.post;
    let page = PostPage {
        shell: visit.shell("Post"),
        ws: workspace_id.clone(),
        id: CopyId::short("post ID", post_id),
        tenant_id: tenant_id.to_owned(),
        tenant: tenant.display_name,
        content: post.content.clone(),
        badge: badge(&mirrored),
        scheduled: post.scheduled_at.map(|at| present::moment(at, now)),
        created: Some(present::moment(post.created_at, now)),
        updated: Some(present::moment(post.updated_at, now)),
        source: match found {
            Some(_) => "PostPost, just now".into(),
            None => match tenant.sync.synced_at {
                Some(at) => format!("the gateway's copy, {} old", present::age(at, now)),
                None => "the gateway's copy".into(),
            },
        },
        paused_note: mirrored.pause.as_ref().map(|pause| {
            let when = present::moment(pause.paused_at, now).absolute;
            match pause.scheduled_at {
                Some(at) => {
                    format!("Paused here on {when}. It was due on {}.", present::moment(at, now).absolute)
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
