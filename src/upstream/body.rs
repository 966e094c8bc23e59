//! Reading an answer within bounds: its size, the pause between two parts, and the memory of all large answers together. An
//! upstream gone wrong must not be able to fill this process.

use super::error::{Error, sort};
use bytes::{Bytes, BytesMut};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Largest answer read, in bytes; what is larger is let go of, and the connection with it. A list of 10,000 managed users
/// is about 4 MiB.
const REPLY_MAX: usize = 16 << 20;
/// An answer that grows beyond this, in bytes, waits until it is one of so many in memory.
const LARGE: usize = 256 << 10;
/// With the largest that is 256 MiB.
const LARGE_MAX: usize = 16;

/// Reads answers. One for the whole process.
pub(super) struct Bodies {
    large: Arc<Semaphore>,
    /// Between two parts.
    idle: Duration,
}

/// A large answer, and its place until the last of it is dropped.
struct Placed {
    body: BytesMut,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Placed {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Bodies {
    pub(super) fn new(idle: Duration) -> Self {
        Self { large: Arc::new(Semaphore::new(LARGE_MAX)), idle }
    }

    /// # Errors
    /// [`Error::TooLarge`], also if there is no place for it in time; [`Error::Timeout`] if nothing comes for too long.
    pub(super) async fn read(&self, mut response: reqwest::Response) -> Result<Bytes, Error> {
        if response.content_length().is_some_and(|length| length > REPLY_MAX as u64) {
            return Err(Error::TooLarge);
        }
        let mut body = BytesMut::new();
        let mut place = None;
        // The client's own read timeout would also bound the wait for an answer to begin, which has the total time.
        while let Some(chunk) =
            timeout(self.idle, response.chunk()).await.map_err(|_| Error::Timeout)?.map_err(sort)?
        {
            let length = body.len() + chunk.len();
            if length > REPLY_MAX {
                return Err(Error::TooLarge);
            }
            if length > LARGE && place.is_none() {
                let permit = timeout(self.idle, self.large.clone().acquire_owned()).await;
                // Not a timeout: that it is our memory which is full says nothing about upstream.
                place = Some(permit.ok().and_then(Result::ok).ok_or(Error::TooLarge)?);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(match place {
            Some(place) => Bytes::from_owner(Placed { body, _place: place }),
            None => body.freeze(),
        })
    }
}
