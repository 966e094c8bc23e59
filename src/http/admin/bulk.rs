//! Stub.
use super::{
    super::{Answer, Error},
    visit::Visit,
};
pub async fn progress(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn events(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn results_csv(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
pub async fn results_ndjson(_: Visit) -> Result<Answer, Error> {
    Err(Error::NotFound)
}
