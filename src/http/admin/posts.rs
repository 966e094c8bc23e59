//! Stub.
use super::{
    super::{Answer, Error},
    visit::Visit,
};
pub async fn list(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn show(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
