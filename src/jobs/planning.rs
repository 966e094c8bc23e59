//! Making plans: a selection becomes an exact list of posts with what would happen to each. Reads the mirror; the job
//! looks again before it acts.

mod backups;

use crate::{
    app::App,
    clock::Millis,
    domain::{
        audit::Actor,
        ids,
        plans::{
            BulkAction, Circumstances, Difference, PLAN_LIFE, PLAN_MAX, Plan, PlanItem, PlanOptions,
            SkipReason, Source, Summary, Turn, decide,
        },
        workspaces::{DeletePolicy, Workspace},
    },
    store::{
        self,
        plans::Show,
        posts::{MirroredPost, PostFilter, PostSort},
    },
};
use std::collections::{HashMap, HashSet};

/// Which posts are meant.
pub enum Selection {
    /// Exactly these: (tenant, post).
    Ticked(Vec<(String, String)>),
    /// All that match, but for these.
    Matching { filter: Box<PostFilter>, except: HashSet<(String, String)> },
    /// These, some with a time of their own.
    Listed { posts: Vec<Listed>, source: Source },
    /// What a job has deleted, from its backups: all, or those of these numbers.
    Deleted { job_id: String, only: Option<HashSet<i64>> },
}

/// A post that was named, with the time it is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub tenant_id: String,
    pub post_id: String,
    pub wanted_at: Option<Millis>,
}

/// A post that a plan is to decide about.
struct Chosen {
    mirrored: MirroredPost,
    wanted_at: Option<Millis>,
    backup: Option<OfBackup>,
}

/// Which backup a deleted post is seen from.
struct OfBackup {
    job_id: String,
    n: i64,
    /// Something was made of it already.
    recreated: bool,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum Error {
    /// Nothing was selected.
    Empty,
    /// Nothing matches the filter, or all that does was left out.
    NoMatch,
    /// Nothing of a job can be tried again or taken back.
    NothingLeft,
    TooMany(usize),
    /// Posts that are not in the mirror: deleted meanwhile, or never this workspace's.
    Unknown(Vec<(String, String)>),
    Store(store::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// What a new plan is made for.
pub struct Request<'a> {
    pub workspace: &'a Workspace,
    pub action: BulkAction,
    pub options: PlanOptions,
    /// The list's query, to come back to.
    pub filter_text: String,
    /// Who it is made for, and may confirm it.
    pub actor: &'a Actor,
}

/// Makes and stores a plan.
pub async fn make(app: &App, request: Request<'_>, selection: Selection) -> Result<Plan, Error> {
    let workspace = request.workspace;
    let (source, excluded) = match &selection {
        Selection::Ticked(_) => (Source::Ticked, Vec::new()),
        Selection::Matching { except, .. } => (Source::Matching, except.iter().cloned().collect()),
        Selection::Listed { source, .. } => (*source, Vec::new()),
        Selection::Deleted { .. } => (Source::Job, Vec::new()),
    };
    let posts = collect(app, &workspace.id, selection).await?;
    let mut plan = Plan {
        id: ids::new_id(),
        workspace_id: workspace.id.clone(),
        action: request.action,
        options: request.options,
        filter: request.filter_text,
        source,
        excluded,
        created_by: request.actor.id.clone(),
        created_at: 0,
        expires_at: 0,
        mirrored_at: None,
        digest: String::new(),
        summary: Summary::default(),
        difference: None,
        job_id: None,
    };
    let items = fill(app, workspace, &mut plan, posts).await?;
    app.db.put_plan(request.actor, &plan, &items).await?;
    Ok(plan)
}

/// Decides again about the same posts, with other options. `None` if the plan has been confirmed meanwhile.
pub async fn remake(
    app: &App,
    actor: &Actor,
    workspace: &Workspace,
    old: &Plan,
    options: PlanOptions,
) -> Result<Option<Plan>, Error> {
    let items = app.db.plan_items(&old.id, Show::All, 0, PLAN_MAX as i64).await?;
    let posts = still(app, workspace, old, &items).await?;
    let mut plan = Plan { options, ..old.clone() };
    let items = fill(app, workspace, &mut plan, posts).await?;
    Ok(app.db.put_plan(actor, &plan, &items).await?.then_some(plan))
}

/// Previews a plan again, which may have expired: a filter is evaluated anew, named posts are looked up anew, and what is
/// different from the preview before is counted. `None` if the plan has been confirmed meanwhile.
pub async fn again(
    app: &App,
    actor: &Actor,
    workspace: &Workspace,
    old: &Plan,
    filter: PostFilter,
) -> Result<Option<Plan>, Error> {
    let before = app.db.plan_items(&old.id, Show::All, 0, PLAN_MAX as i64).await?;
    let posts = match old.source {
        Source::Matching => {
            let except = old.excluded.iter().cloned().collect();
            collect(app, &workspace.id, Selection::Matching { filter: Box::new(filter), except }).await?
        }
        Source::Ticked | Source::Listed | Source::Job => still(app, workspace, old, &before).await?,
    };
    let mut plan = old.clone();
    let items = fill(app, workspace, &mut plan, posts).await?;
    plan.difference = Some(Difference::between(&before, &items));
    Ok(app.db.put_plan(actor, &plan, &items).await?.then_some(plan))
}

/// Decides about the posts as of now, and writes into the plan what follows from that.
async fn fill(
    app: &App,
    workspace: &Workspace,
    plan: &mut Plan,
    mut posts: Vec<Chosen>,
) -> Result<Vec<PlanItem>, Error> {
    if posts.is_empty() {
        return Err(match plan.source {
            Source::Matching => Error::NoMatch,
            Source::Job => Error::NothingLeft,
            Source::Ticked | Source::Listed => Error::Empty,
        });
    }
    // In the order of their times, because a spread goes by it; the ids make it the same every time.
    posts.sort_by_cached_key(|p| {
        let at = PostSort::ScheduledAsc.position(&p.mirrored.post);
        (at.value, at.post_id, at.tenant_id)
    });
    plan.created_at = app.clock.now();
    plan.expires_at = plan.created_at + PLAN_LIFE;
    let deleted = plan.action == BulkAction::Recreate;
    plan.mirrored_at = if deleted { None } else { mirrored_at(app, &workspace.id, &posts).await? };
    let items = decide_all(app, workspace, plan, &posts).await?;
    plan.summary = Summary::of(&items, plan.created_at);
    if deleted {
        // The times they had are over.
        (plan.summary.soon, plan.summary.window) = (0, None);
        let lost =
            |(item, post): &(&PlanItem, &Chosen)| item.skip.is_none() && !post.mirrored.post.media.is_empty();
        plan.summary.media = items.iter().zip(&posts).filter(lost).count() as i64;
    }
    plan.digest = digest(plan, &items);
    Ok(items)
}

/// The posts of a plan as they are now; deleted ones from their backups.
async fn still(
    app: &App,
    workspace: &Workspace,
    plan: &Plan,
    items: &[PlanItem],
) -> store::Result<Vec<Chosen>> {
    match items.iter().find_map(|item| item.backup.as_ref()) {
        Some((job_id, _)) if plan.action == BulkAction::Recreate => {
            let only = items.iter().filter_map(|item| Some(item.backup.as_ref()?.1)).collect();
            backups::deleted_posts(app, &workspace.id, job_id, Some(&only)).await
        }
        _ => known(app, &workspace.id, named(items)).await,
    }
}

fn named(items: &[PlanItem]) -> Vec<Listed> {
    let listed = |i: &PlanItem| Listed {
        tenant_id: i.tenant_id.clone(),
        post_id: i.post_id.clone(),
        wanted_at: i.wanted_at,
    };
    items.iter().map(listed).collect()
}

async fn collect(app: &App, workspace_id: &str, selection: Selection) -> Result<Vec<Chosen>, Error> {
    let listed = match selection {
        Selection::Matching { filter, except } => {
            let posts = matching_posts(app, workspace_id, &filter, &except).await?;
            let chosen = |mirrored| Chosen { mirrored, wanted_at: None, backup: None };
            return Ok(posts.into_iter().map(chosen).collect());
        }
        Selection::Ticked(ids) => ids
            .into_iter()
            .map(|(tenant_id, post_id)| Listed { tenant_id, post_id, wanted_at: None })
            .collect(),
        Selection::Listed { posts, .. } => posts,
        Selection::Deleted { job_id, only } => {
            return Ok(backups::deleted_posts(app, workspace_id, &job_id, only.as_ref()).await?);
        }
    };
    let mut seen = HashSet::new();
    let listed: Vec<_> =
        listed.into_iter().filter(|l| seen.insert((l.tenant_id.clone(), l.post_id.clone()))).collect();
    if listed.len() > PLAN_MAX {
        return Err(Error::TooMany(listed.len()));
    }
    let posts = known(app, workspace_id, listed.clone()).await?;
    if posts.len() != listed.len() {
        let found: HashSet<(&str, &str)> =
            posts.iter().map(|p| (p.mirrored.post.tenant_id.as_str(), p.mirrored.post.id.as_str())).collect();
        let missing = listed
            .iter()
            .filter(|l| !found.contains(&(l.tenant_id.as_str(), l.post_id.as_str())))
            .map(|l| (l.tenant_id.clone(), l.post_id.clone()))
            .collect();
        return Err(Error::Unknown(missing));
    }
    Ok(posts)
}

/// Those of the named posts that are in the mirror.
async fn known(app: &App, workspace_id: &str, listed: Vec<Listed>) -> store::Result<Vec<Chosen>> {
    let ids: Vec<_> = listed.iter().map(|l| (l.tenant_id.clone(), l.post_id.clone())).collect();
    let wanted: HashMap<(String, String), Option<Millis>> =
        listed.into_iter().map(|l| ((l.tenant_id, l.post_id), l.wanted_at)).collect();
    let posts = app.db.posts_by_id(workspace_id, &ids).await?;
    let chosen = |mirrored: MirroredPost| {
        let id = (mirrored.post.tenant_id.clone(), mirrored.post.id.clone());
        Chosen { mirrored, wanted_at: wanted.get(&id).copied().flatten(), backup: None }
    };
    Ok(posts.into_iter().map(chosen).collect())
}

/// How fresh the copy is that a plan is made from: as its stalest tenant.
async fn mirrored_at(app: &App, workspace_id: &str, posts: &[Chosen]) -> store::Result<Option<Millis>> {
    let tenants: HashSet<&str> = posts.iter().map(|p| p.mirrored.post.tenant_id.as_str()).collect();
    app.db.oldest_sync(workspace_id, &tenants.into_iter().collect::<Vec<_>>()).await
}

/// All posts that match, page by page: one list from start to end, so that nothing shifts.
async fn matching_posts(
    app: &App,
    workspace_id: &str,
    filter: &PostFilter,
    except: &HashSet<(String, String)>,
) -> Result<Vec<MirroredPost>, Error> {
    let count = app.db.count_posts(workspace_id, filter).await? as usize;
    if count > PLAN_MAX + except.len() {
        return Err(Error::TooMany(count));
    }
    let sort = PostSort::ScheduledAsc;
    let mut posts: Vec<MirroredPost> = Vec::new();
    // A post that is moved in time between two pages is met twice.
    let mut seen = HashSet::new();
    let mut at = None;
    loop {
        let page = app.db.posts(workspace_id, filter, sort, at.as_ref(), false, 500).await?;
        let Some(last) = page.last() else { break };
        at = Some(sort.position(&last.post));
        for post in page {
            let id = (post.post.tenant_id.clone(), post.post.id.clone());
            if !except.contains(&id) && seen.insert(id) {
                posts.push(post);
            }
        }
    }
    Ok(posts)
}

async fn decide_all(
    app: &App,
    workspace: &Workspace,
    plan: &Plan,
    posts: &[Chosen],
) -> Result<Vec<PlanItem>, Error> {
    let locked: HashSet<(String, String)> = app.db.locked_posts(&workspace.id).await?.into_iter().collect();
    let mut turn = Turn::default();
    Ok(posts
        .iter()
        .enumerate()
        .map(|(n, Chosen { mirrored, wanted_at, backup })| {
            let post = &mirrored.post;
            let standing = app.access.tenant(&workspace.id, &post.tenant_id);
            let around = Circumstances {
                pause: mirrored.pause.as_ref(),
                wanted_at: *wanted_at,
                tenant_frozen: standing.as_ref().is_some_and(|s| s.frozen.is_some()),
                tenant_detached: standing.is_none_or(|s| s.detached),
                locked: locked.contains(&(post.tenant_id.clone(), post.id.clone())),
                recreated: backup.as_ref().is_some_and(|b| b.recreated),
                delete_any: workspace.delete_policy == DeletePolicy::Any,
            };
            let decided = decide(plan.action, &plan.options, post, around, plan.created_at, &mut turn);
            let (target_at, skip) = match decided {
                Ok(target) => (target, None),
                Err(reason) => (None, Some(reason)),
            };
            PlanItem {
                n: n as Millis,
                tenant_id: post.tenant_id.clone(),
                post_id: post.id.clone(),
                content: post.content.chars().take(160).collect(),
                status: post.status,
                platforms: platform_names(mirrored),
                scheduled_at: post.scheduled_at,
                updated_at: post.updated_at,
                wanted_at: *wanted_at,
                target_at,
                backup: backup.as_ref().map(|b| (b.job_id.clone(), b.n)),
                skip,
            }
        })
        .collect())
}

fn platform_names(post: &MirroredPost) -> String {
    let mut names: Vec<&str> = post.post.platforms.iter().map(|p| p.platform.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// What the operator confirms: where, what and how, when it was looked at, and every post with its state and fate.
fn digest(plan: &Plan, items: &[PlanItem]) -> String {
    let mut text = format!(
        "{} {} {:?} {} {:?} {}\n",
        plan.workspace_id, plan.action, plan.options, plan.source, plan.filter, plan.created_at
    );
    for item in items {
        let skip = item.skip.map_or("", SkipReason::as_str);
        text.push_str(&format!(
            "{} {} {} {:?} {} {:?} {skip}\n",
            item.tenant_id, item.post_id, item.status, item.scheduled_at, item.updated_at, item.target_at
        ));
    }
    hex::encode(crate::audit::tree::digest(&[text.as_bytes()]))
}
