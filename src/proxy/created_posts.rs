//! Making a post. Nothing names it before upstream has: what became of a create in doubt is told by its content, of which
//! only a keyed digest is kept.

use super::{
    Caller, Changed, Refusal, Road,
    change::{Change, Settled},
};
use crate::{
    clock::{HOUR, MINUTE, Millis},
    domain::{
        audit::Action,
        created_posts::{NewPost, platform_set},
        operations::{Asked, Snapshot, Verb},
        times,
    },
    store::operations::Effect,
    upstream::{Method, types::read_created},
};

/// Of posts made so long before a create, those with the same content are on record with its intent: they are not its
/// effect. More than any difference between clocks; longer where upstream does not tell its own.
const BEFORE: Millis = MINUTE;
pub(crate) const BEFORE_UNTOLD: Millis = HOUR;

impl Road {
    /// Makes a post. Refused if upstream would publish at once, unless `publish_now`.
    pub async fn create_post(
        &self,
        caller: &Caller,
        post: &NewPost,
        publish_now: bool,
        reason: Option<&str>,
    ) -> Result<Changed, Refusal> {
        self.standing(caller, None)?;
        self.turns(caller, 1).await;
        if !publish_now && post.publishes_at_once(self.clock.now()) {
            self.deny(caller, Action::PostCreate, "past_time", None).await?;
            return Err(Refusal::PastTime);
        }
        let workspace_id = &caller.account.workspace.id;
        let content = self.keyring.content_digest(workspace_id, caller.tenant.as_deref(), &post.content);
        let known = self.made_before(caller, &content).await?;
        let platforms = platform_set(post.platforms.iter().map(String::as_str));
        let call = self.call(caller, Method::Post, &["create-post"]).json(&post.body);
        let mut shown = vec![("platforms", platforms.clone().into())];
        if let Some(at) = post.scheduled_at {
            shown.push(("scheduledTime", times::to_iso(at).into()));
        }
        if publish_now {
            shown.push(("publishNow", true.into()));
        }
        let change = Change {
            verb: Verb::PostCreate,
            target: String::new(),
            asked: Asked {
                scheduled_at: post.scheduled_at,
                content: Some(content),
                platforms,
                ..Asked::default()
            },
            snapshot: (!known.is_empty()).then(|| Snapshot { known, ..Snapshot::default() }),
            call,
            shown,
            was: Vec::new(),
            reason: reason.map(str::to_owned),
            backup: None,
        };
        self.change(caller, change, |reply, op_id, _| {
            let made = read_created(reply);
            let item = caller.item.clone();
            let created = |post_id| Effect::Created { op_id: op_id.to_owned(), item, post_id };
            Settled {
                usable: made.is_some(),
                effects: made.map(created).into_iter().collect(),
                granted_at: None,
                made: None,
            }
        })
        .await
    }

    /// The posts with this content that the mirror knows from just before.
    async fn made_before(&self, caller: &Caller, content: &str) -> Result<Vec<String>, Refusal> {
        let workspace_id = &caller.account.workspace.id;
        let Some(tenant) = &caller.tenant else { return Ok(Vec::new()) };
        let since = match self.upstream.clock_ahead(workspace_id) {
            Some(ahead) => self.clock.now() + ahead - BEFORE,
            None => self.clock.now() - BEFORE_UNTOLD,
        };
        let mut posts = self.db.posts_created_since(workspace_id, tenant, since).await?;
        posts.retain(|(_, text)| self.keyring.content_digest(workspace_id, Some(tenant), text) == content);
        Ok(posts.into_iter().map(|(id, _)| id).collect())
    }
}
