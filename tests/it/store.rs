//! The store on both engines: every public function of `src/store` is called and its result looked at.
//!
//! Here what the tests by noun below share, and that both engines have the same tables.

mod admins;
mod audit;
mod audit_batches;
mod checkpoints;
mod coverage;
mod created_posts;
mod disk;
mod erasures;
mod facts;
mod follow_ups;
mod idempotency;
mod jobs;
mod key_rotations;
mod keys;
mod migrations;
mod notices;
mod operations;
mod plans;
mod post_texts;
mod posts;
mod saved_views;
mod selections;
mod sessions;
mod tenants;
mod workspaces;
mod writer;

use crate::support::databases::execute;
use gatehouse::{
    clock::Millis,
    domain::{
        admins::{Admin, Preferences},
        audit::{Actor, ActorType, Context, Entry},
        ids::new_id,
        plans::{BulkAction, Plan, PlanItem, PlanOptions, Source, Summary},
        posts::{PlatformPost, Post, PostStatus},
        tenants::ManagedUser,
        workspaces::{DeletePolicy, Environment, Workspace},
    },
    envelope::token_hash,
    store::{Db, audit::AuditFilter, leases::Fence, posts::Listing, workspaces::SealedKey},
};

/// 2026-03-15T10:00:00Z.
const NOW: Millis = 1_773_568_800_000;

/// The admin most tests act as, with everything a request tells.
fn actor() -> Actor {
    let mut actor = Actor::new(ActorType::Admin, "admin-1", "Ann Example");
    actor.context = Context {
        ip: Some("203.0.113.7".into()),
        user_agent: Some("Browser".into()),
        request_id: Some("r-1".into()),
        ..Context::default()
    };
    actor
}

/// The lease that the job runner of a test holds.
async fn held(db: &Db) -> Fence {
    let taken = db.take_lease("job:test", "node-1", NOW, NOW + 60_000).await.expect("a lease").expect("free");
    Fence { name: "job:test".into(), token: taken.token }
}

/// The id of the `n`th tenant or post: 24 hex digits that sort as their numbers.
fn oid(n: usize) -> String {
    format!("{n:024x}")
}

/// A stored workspace of that name.
async fn workspace(db: &Db, name: &str) -> Workspace {
    let workspace = Workspace {
        id: new_id(),
        name: name.to_owned(),
        environment: Environment::Staging,
        base_url: "https://api.example.com".into(),
        key_prefix: "sk_up_1234".into(),
        key_added_at: NOW,
        key_added_by: "Ann Example".into(),
        delete_policy: DeletePolicy::Protect,
        frozen: None,
        suspended_at: None,
        suspended_reason: None,
        imported_at: None,
        import_error: None,
        created_at: NOW,
    };
    let key = SealedKey { sealed: vec![0, 255, 7], prefix: workspace.key_prefix.clone() };
    db.create_workspace(&actor(), &workspace, &key).await.expect("a workspace");
    workspace
}

/// The `n`th user upstream; names sort as their numbers.
fn user(n: usize) -> ManagedUser {
    ManagedUser {
        id: oid(n),
        username: format!("user{n:02}@example.com"),
        display_name: format!("Tenant {n:02}"),
        link_expires_at: None,
    }
}

/// A workspace's id, with tenants 1 to `tenants`.
async fn populated(db: &Db, tenants: usize) -> String {
    let workspace = workspace(db, "Acme").await;
    let users: Vec<_> = (1..=tenants).map(user).collect();
    db.import_tenants(&actor(), &workspace.id, &users, NOW).await.expect("tenants");
    workspace.id
}

/// Stores posts of a tenant as a listing told them.
trait MirrorPosts {
    #[expect(
        clippy::too_many_arguments,
        reason = "a listing as it was read, then who writes it down and when"
    )]
    async fn mirror_posts(
        &self,
        workspace_id: &str,
        tenant_id: &str,
        posts: &[Post],
        started: Millis,
        complete: bool,
        fence: Option<&Fence>,
        now: Millis,
    ) -> gatehouse::store::Result<()>;
}

impl MirrorPosts for Db {
    async fn mirror_posts(
        &self,
        workspace_id: &str,
        tenant_id: &str,
        posts: &[Post],
        started: Millis,
        complete: bool,
        fence: Option<&Fence>,
        now: Millis,
    ) -> gatehouse::store::Result<()> {
        let read_to = posts.iter().map(|p| p.updated_at).max();
        let listing = Listing { posts, started, complete, read_to, due_at: started + 120_000 };
        self.mirror_listing(workspace_id, tenant_id, &listing, fence, now).await
    }
}

/// An admin with the password hash `hash-1`, made through a set-up link.
async fn first_admin(db: &Db) -> Admin {
    let admin = Admin {
        id: new_id(),
        email: "ann@example.com".into(),
        name: "Ann".into(),
        instance_owner: true,
        created_at: NOW,
        disabled_at: None,
        preferences: Preferences::default(),
    };
    let link = token_hash("link");
    db.put_setup_link(&actor(), &link, NOW + 1, NOW).await.expect("a link");
    assert!(db.create_first_admin(&link, &admin, "hash-1").await.expect("an admin"));
    admin
}

/// The `n`th post of a tenant, scheduled `n` minutes from now on one platform.
fn post(tenant: usize, n: usize, status: PostStatus) -> Post {
    Post {
        tenant_id: oid(tenant),
        id: oid(n),
        content: format!("Post number {n}"),
        status,
        scheduled_at: Some(NOW + n as i64 * 60_000),
        created_at: NOW - n as i64,
        updated_at: NOW - 1_000 + n as i64,
        platforms: vec![PlatformPost {
            id: "twitter-1".into(),
            platform: "twitter".into(),
            status: "scheduled".into(),
        }],
        media: vec!["https://example.com/a.png".into()],
    }
}

/// A stored plan over the posts, and its items.
async fn plan(db: &Db, workspace_id: &str, posts: &[Post]) -> (Plan, Vec<PlanItem>) {
    let plan = Plan {
        id: new_id(),
        workspace_id: workspace_id.to_owned(),
        action: BulkAction::Pause,
        options: PlanOptions::default(),
        filter: "status=scheduled".into(),
        source: Source::Matching,
        excluded: vec![(oid(9), oid(8))],
        created_by: "admin-1".into(),
        created_at: NOW,
        expires_at: NOW + 1_000,
        mirrored_at: Some(NOW - 5),
        digest: new_id(),
        summary: Summary::default(),
        difference: None,
        job_id: None,
    };
    let items: Vec<PlanItem> = posts
        .iter()
        .enumerate()
        .map(|(n, post)| PlanItem {
            n: n as i64,
            tenant_id: post.tenant_id.clone(),
            post_id: post.id.clone(),
            content: post.content.clone(),
            status: post.status,
            platforms: "twitter".into(),
            scheduled_at: post.scheduled_at,
            updated_at: post.updated_at,
            wanted_at: None,
            target_at: None,
            backup: None,
            skip: None,
        })
        .collect();
    assert!(db.put_plan(&actor(), &plan, &items).await.expect("a plan"));
    (plan, items)
}

/// The newest entry of the log.
async fn last_entry(db: &Db) -> Entry {
    let page = db.audit_page(&AuditFilter::default(), None, None, 1).await.expect("the log");
    page.into_iter().next().expect("an entry")
}

/// Runs `text` as it is, past the store: for tests about the database itself.
async fn raw(db: &Db, text: &'static str) -> Result<(), sqlx::Error> {
    execute(db, text, &[]).await
}
