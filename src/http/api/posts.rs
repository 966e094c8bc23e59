//! A tenant's posts, in PostPost's own words.

use super::{
    super::{Answer, Error},
    Request, pass,
};
use crate::{domain::updates::Update, proxy::Read};

pub async fn list(request: Request) -> Result<Answer, Error> {
    Ok(pass(request.app.road.read(&request.caller, Read::ListPosts(request.query)).await?))
}

pub async fn show(request: Request) -> Result<Answer, Error> {
    let id = request.call.param("postGroupId").to_owned();
    Ok(pass(request.app.road.read(&request.caller, Read::GetPost(id)).await?))
}

pub async fn update(request: Request) -> Result<Answer, Error> {
    let id = request.call.param("postGroupId");
    let update = Update::parse(request.body).map_err(|e| Error::bad("invalid_body", e.text()))?;
    let publish_now = request.call.header("x-gatehouse-publish-now") == Some("1");
    let changed = request.app.road.update_post(&request.caller, id, &update, publish_now, None).await?;
    Ok(pass(changed.reply))
}

pub async fn delete(request: Request) -> Result<Answer, Error> {
    let changed =
        request.app.road.delete_post(&request.caller, request.call.param("postGroupId"), None).await?;
    Ok(pass(changed.reply))
}
