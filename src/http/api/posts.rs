//! A tenant's posts, in PostPost's own words.

use super::{
    super::{Answer, Error},
    Request, pass,
};
use crate::{
    domain::{created_posts::NewPost, updates::Update},
    proxy::Read,
};

pub async fn list(request: Request) -> Result<Answer, Error> {
    Ok(pass(request.app.road.read(&request.caller, Read::ListPosts(request.query)).await?))
}

pub async fn show(request: Request) -> Result<Answer, Error> {
    let id = request.call.param("postGroupId").to_owned();
    Ok(pass(request.app.road.read(&request.caller, Read::GetPost(id)).await?))
}

pub async fn create(request: Request) -> Result<Answer, Error> {
    let now = publish_now(&request);
    let post = NewPost::parse(request.body).map_err(|e| Error::bad("invalid_body", e.text()))?;
    let created = request.app.road.create_post(&request.caller, &post, now, None).await?;
    Ok(pass(created.reply))
}

pub async fn update(request: Request) -> Result<Answer, Error> {
    let now = publish_now(&request);
    let id = request.call.param("postGroupId");
    let update = Update::parse(request.body).map_err(|e| Error::bad("invalid_body", e.text()))?;
    let changed = request.app.road.update_post(&request.caller, id, &update, now, None).await?;
    Ok(pass(changed.reply))
}

pub async fn delete(request: Request) -> Result<Answer, Error> {
    let changed =
        request.app.road.delete_post(&request.caller, request.call.param("postGroupId"), None).await?;
    Ok(pass(changed.reply))
}

/// Whether the caller says that a post may go out at once.
fn publish_now(request: &Request) -> bool {
    request.call.header("x-gatehouse-publish-now") == Some("1")
}
