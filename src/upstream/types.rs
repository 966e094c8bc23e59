//! PostPost's wire shapes, as `contract.md` names them, and how they become ours. Lenient where the contract is: unknown
//! fields are ignored, unknown words kept.

use super::{Call, Endpoint, Error, Patience, Reply, Upstream};
use crate::domain::{
    ids,
    posts::{PlatformPost, Post, PostStatus},
    tenants::ManagedUser,
    times,
};
use serde::Deserialize;

/// The largest page `list-posts` gives.
pub const PAGE: i64 = 100;

#[derive(Deserialize)]
struct Users {
    users: Vec<User>,
}

#[derive(Deserialize)]
struct OneUser {
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    #[serde(rename = "_id")]
    id: String,
    username: String,
    display_name: Option<String>,
    connections_page_token_expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    posts: Vec<ListedPost>,
    pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    total_items: i64,
    has_next_page: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedPost {
    post_group_id: String,
    #[serde(default)]
    content: String,
    status: String,
    scheduled_time: Option<String>,
    created_at: String,
    updated_at: String,
    #[serde(default)]
    platforms: Vec<ListedPlatform>,
    #[serde(default)]
    media_urls: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedPlatform {
    platform_id: String,
    platform: String,
    status: String,
}

/// One page of a tenant's posts.
pub struct PostPage {
    pub posts: Vec<Post>,
    pub total: i64,
    pub has_next: bool,
}

/// What `get-post` tells: platform posts, not the group.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundPost {
    pub posts: Vec<FoundPlatform>,
    /// `pending`, `processing` or `finished`: where the group is in the scheduler's hands.
    pub processing_status: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundPlatform {
    pub platform: String,
    pub platform_id: String,
    #[serde(default)]
    pub content: String,
    pub status: String,
    pub posted_id: Option<String>,
    pub error: Option<serde_json::Value>,
}

/// One connected account, as `platform-connections` tells it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    pub platform_id: String,
    pub username: Option<String>,
    pub display_name: Option<String>,
    pub access_token_expires_at: Option<String>,
    pub token_status: Option<String>,
    pub token_expires_in: Option<String>,
    pub last_successful_post: Option<String>,
    pub last_error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Connections {
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Webhooks {
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
struct Webhook {
    #[serde(rename = "_id")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    url: String,
    token_expires_at: Option<String>,
}

/// The post group of an update's answer.
#[derive(Debug, Clone, Default)]
pub struct Granted {
    pub status: Option<PostStatus>,
    pub scheduled_at: Option<i64>,
}

/// Why a typed call has no result.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Upstream said no.
    Refused(Reply),
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(reply) => {
                write!(f, "PostPost answered {}: {}", reply.status, reply.error_text().unwrap_or_default())
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Upstream {
    /// The managed users of a workspace. Also the way a key is verified.
    pub async fn list_users(
        &self,
        to: &Endpoint,
        request_id: &str,
        patience: Patience,
    ) -> Result<Vec<ManagedUser>, Failure> {
        let reply = self.send(to, &Call::get(&["workspace", "users"], None, request_id), patience).await?;
        let users: Users = parse(&reply)?;
        users.users.into_iter().map(User::into_managed).collect::<Result<_, _>>().map_err(Failure::Failed)
    }

    /// One page of a user's posts; without a user, of the owner's own account.
    pub async fn list_posts(
        &self,
        to: &Endpoint,
        user: Option<&str>,
        page: i64,
        sort: (&str, &str),
        request_id: &str,
        patience: Patience,
    ) -> Result<PostPage, Failure> {
        let call = Call::get(&["list-posts"], user, request_id)
            .query("page", page)
            .query("limit", PAGE)
            .query("sortBy", sort.0)
            .query("sortOrder", sort.1);
        let listed: Page = parse(&self.send(to, &call, patience).await?)?;
        let posts = listed
            .posts
            .into_iter()
            .map(|p| p.into_post(user.unwrap_or_default()))
            .collect::<Result<_, _>>()?;
        Ok(PostPage {
            posts,
            total: listed.pagination.total_items,
            has_next: listed.pagination.has_next_page,
        })
    }

    /// The platform posts of a group; `None` if upstream does not know it.
    pub async fn get_post(
        &self,
        to: &Endpoint,
        user: Option<&str>,
        id: &str,
        request_id: &str,
        patience: Patience,
    ) -> Result<Option<FoundPost>, Failure> {
        let reply = self.send(to, &Call::get(&["get-post", id], user, request_id), patience).await?;
        if reply.status == 404 {
            return Ok(None);
        }
        parse(&reply).map(Some)
    }

    pub async fn connections(
        &self,
        to: &Endpoint,
        user: &str,
        request_id: &str,
    ) -> Result<Vec<Connection>, Failure> {
        let call = Call::get(&["platform-connections"], Some(user), request_id);
        Ok(parse::<Connections>(&self.send(to, &call, Patience::DOOR).await?)?.connections)
    }

    /// The ids of a user's webhooks; without a user, of the owner's own account.
    pub async fn webhooks(
        &self,
        to: &Endpoint,
        user: Option<&str>,
        request_id: &str,
        patience: Patience,
    ) -> Result<Vec<String>, Failure> {
        let call = Call::get(&["webhooks"], user, request_id);
        let listed: Webhooks = parse(&self.send(to, &call, patience).await?)?;
        Ok(listed.webhooks.into_iter().map(|webhook| webhook.id).collect())
    }
}

/// URL (a bearer secret) and end of a connection link.
pub fn read_link(reply: &Reply) -> Option<(String, Option<i64>)> {
    let link: Link = serde_json::from_slice(&reply.body).ok()?;
    Some((link.url, link.token_expires_at.as_deref().and_then(times::from_iso)))
}

/// The managed user in the answer to creating one.
pub fn read_user(reply: &Reply) -> Option<ManagedUser> {
    let user: OneUser = serde_json::from_slice(&reply.body).ok()?;
    user.user.into_managed().ok()
}

/// The id in the answer to a create.
pub fn read_created(reply: &Reply) -> Option<String> {
    let body = reply.json().filter(|body| body.get("success") == Some(&serde_json::Value::Bool(true)))?;
    let id = body.get("postGroupId")?.as_str().filter(|id| ids::is_object_id(id))?;
    Some(id.to_owned())
}

/// What an update granted.
pub fn read_granted(reply: &Reply) -> Granted {
    let group = reply.json().and_then(|mut json| json.get_mut("postGroup").map(serde_json::Value::take));
    let word = |name: &str| group.as_ref()?.get(name)?.as_str().map(str::to_owned);
    Granted {
        status: word("status").as_deref().and_then(PostStatus::parse),
        scheduled_at: word("scheduledTime").as_deref().and_then(times::from_iso),
    }
}

fn parse<T: for<'d> Deserialize<'d>>(reply: &Reply) -> Result<T, Failure> {
    if !reply.is_success() {
        return Err(Failure::Refused(reply.clone()));
    }
    serde_json::from_slice(&reply.body).map_err(|e| Failure::Failed(Error::BadReply(e.to_string())))
}

impl User {
    fn into_managed(self) -> Result<ManagedUser, Error> {
        if !ids::is_object_id(&self.id) {
            return Err(Error::BadReply("a managed user's id is not an ObjectId".into()));
        }
        Ok(ManagedUser {
            display_name: self
                .display_name
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| self.username.clone()),
            link_expires_at: self.connections_page_token_expires_at.as_deref().and_then(times::from_iso),
            id: self.id,
            username: self.username,
        })
    }
}

impl ListedPost {
    fn into_post(self, tenant_id: &str) -> Result<Post, Error> {
        let time = |text: &str| times::from_iso(text).ok_or_else(|| Error::BadReply("a post's time".into()));
        if !ids::is_object_id(&self.post_group_id) {
            return Err(Error::BadReply("a post's id is not an ObjectId".into()));
        }
        Ok(Post {
            tenant_id: tenant_id.to_owned(),
            // A word we do not know must not hide the tenant's other posts.
            status: PostStatus::parse(&self.status).unwrap_or(PostStatus::Unknown),
            scheduled_at: self.scheduled_time.as_deref().map(time).transpose()?,
            created_at: time(&self.created_at)?,
            updated_at: time(&self.updated_at)?,
            id: self.post_group_id,
            content: self.content,
            platforms: self
                .platforms
                .into_iter()
                .map(|p| PlatformPost { id: p.platform_id, platform: p.platform, status: p.status })
                .collect(),
            media: self.media_urls,
        })
    }
}
