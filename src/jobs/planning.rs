//! Making plans: a selection becomes an exact list of posts with what would happen to each. Reads the mirror; the job
//! looks again before it acts.

use crate::{
    app::App,
    clock::Millis,
    domain::{
        ids,
        plans::{
            BulkAction, Circumstances, PLAN_LIFE, PLAN_MAX, Plan, PlanItem, PlanOptions, SkipReason, decide,
        },
        workspaces::{DeletePolicy, Workspace},
    },
    store::{
        self,
        plans::Show,
        posts::{MirroredPost, PostFilter, PostSort},
    },
};
use std::collections::HashSet;

/// Which posts are meant.
pub enum Selection {
    /// Exactly these: (tenant, post).
    Ticked(Vec<(String, String)>),
    /// All that match, but for these.
    Matching { filter: Box<PostFilter>, except: HashSet<(String, String)> },
}

/// Why there is no plan.
#[derive(Debug)]
pub enum Error {
    /// Nothing was selected, or nothing matches.
    Empty,
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
    pub created_by: &'a str,
}

/// Makes and stores a plan.
pub async fn make(app: &App, request: Request<'_>, selection: Selection) -> Result<Plan, Error> {
    let workspace_id = &request.workspace.id;
    let matching = matches!(selection, Selection::Matching { .. });
    let posts = match selection {
        Selection::Ticked(ids) => ticked(app, workspace_id, ids).await?,
        Selection::Matching { filter, except } => matching_posts(app, workspace_id, &filter, &except).await?,
    };
    if posts.is_empty() {
        return Err(Error::Empty);
    }
    let now = app.clock.now();
    let mut plan = Plan {
        id: ids::new_id(),
        workspace_id: workspace_id.clone(),
        action: request.action,
        options: request.options,
        filter: request.filter_text,
        matching,
        created_by: request.created_by.to_owned(),
        created_at: now,
        expires_at: now + PLAN_LIFE,
        mirrored_at: mirrored_at(app, workspace_id, &posts).await?,
        digest: String::new(),
        job_id: None,
    };
    let items = decide_all(app, request.workspace, &plan, &posts).await?;
    plan.digest = digest(&plan, &items);
    app.db.put_plan(&plan, &items).await?;
    Ok(plan)
}

/// Decides again about the same posts, with other options. `None` if the plan has been confirmed meanwhile.
pub async fn remake(
    app: &App,
    workspace: &Workspace,
    old: &Plan,
    options: PlanOptions,
) -> Result<Option<Plan>, Error> {
    let items = app.db.plan_items(&old.id, Show::All, 0, PLAN_MAX as i64).await?;
    let ids: Vec<_> = items.into_iter().map(|i| (i.tenant_id, i.post_id)).collect();
    let mut posts = app.db.posts_by_id(&workspace.id, &ids).await?;
    let order: std::collections::HashMap<(String, String), usize> =
        ids.into_iter().enumerate().map(|(n, id)| (id, n)).collect();
    posts.sort_by_key(|p| order.get(&(p.post.tenant_id.clone(), p.post.id.clone())).copied());
    if posts.is_empty() {
        return Err(Error::Empty);
    }
    let now = app.clock.now();
    let mut plan = Plan {
        options,
        created_at: now,
        expires_at: now + PLAN_LIFE,
        mirrored_at: mirrored_at(app, &workspace.id, &posts).await?,
        ..old.clone()
    };
    let items = decide_all(app, workspace, &plan, &posts).await?;
    plan.digest = digest(&plan, &items);
    Ok(app.db.put_plan(&plan, &items).await?.then_some(plan))
}

/// How fresh the copy is that a plan is made from: as its stalest tenant.
async fn mirrored_at(app: &App, workspace_id: &str, posts: &[MirroredPost]) -> store::Result<Option<Millis>> {
    let tenants: HashSet<&str> = posts.iter().map(|p| p.post.tenant_id.as_str()).collect();
    app.db.oldest_sync(workspace_id, &tenants.into_iter().collect::<Vec<_>>()).await
}

async fn ticked(
    app: &App,
    workspace_id: &str,
    ids: Vec<(String, String)>,
) -> Result<Vec<MirroredPost>, Error> {
    let mut seen = HashSet::new();
    let ids: Vec<_> = ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
    if ids.len() > PLAN_MAX {
        return Err(Error::TooMany(ids.len()));
    }
    let mut posts = app.db.posts_by_id(workspace_id, &ids).await?;
    if posts.len() != ids.len() {
        let found: HashSet<(&str, &str)> =
            posts.iter().map(|p| (p.post.tenant_id.as_str(), p.post.id.as_str())).collect();
        let missing =
            ids.iter().filter(|(t, p)| !found.contains(&(t.as_str(), p.as_str()))).cloned().collect();
        return Err(Error::Unknown(missing));
    }
    posts.sort_by_key(|p| PostSort::ScheduledAsc.position(&p.post).value);
    Ok(posts)
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
    posts: &[MirroredPost],
) -> Result<Vec<PlanItem>, Error> {
    let locked: HashSet<(String, String)> = app.db.locked_posts(&workspace.id).await?.into_iter().collect();
    Ok(posts
        .iter()
        .enumerate()
        .map(|(n, mirrored)| {
            let post = &mirrored.post;
            let standing = app.access.tenant(&workspace.id, &post.tenant_id);
            let around = Circumstances {
                paused_by_us: mirrored.pause.is_some(),
                tenant_frozen: standing.as_ref().is_some_and(|s| s.frozen.is_some()),
                tenant_detached: standing.is_none_or(|s| s.detached),
                locked: locked.contains(&(post.tenant_id.clone(), post.id.clone())),
                delete_any: workspace.delete_policy == DeletePolicy::Any,
            };
            let (target_at, skip) = match decide(plan.action, &plan.options, post, around, plan.created_at) {
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
                target_at,
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

/// What the operator confirms: action, options and every post with its state and fate.
fn digest(plan: &Plan, items: &[PlanItem]) -> String {
    let mut text = format!("{} {:?}\n", plan.action, plan.options);
    for item in items {
        let skip = item.skip.map_or("", SkipReason::as_str);
        text.push_str(&format!(
            "{} {} {} {:?} {} {:?} {skip}\n",
            item.tenant_id, item.post_id, item.status, item.scheduled_at, item.updated_at, item.target_at
        ));
    }
    hex::encode(crate::audit::tree::digest(&[text.as_bytes()]))
}
