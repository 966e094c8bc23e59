//! Stub.
use super::{
    super::{Answer, Error},
    visit::Visit,
};
pub async fn create(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn show(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn set_options(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn confirm(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
