//! Stub.
use super::{
    super::{Answer, Error},
    visit::Visit,
};
pub async fn list(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn new(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn create(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn show(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn revoke_form(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn revoke(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
