//! A stream of chunks, compressed. Gzip, because every tool and both verifiers read it; and at its fastest level: most of
//! what is left after it are hashes, which do not get smaller.

use super::Chunks;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, stream};
use std::io::{self, Write};

/// Compresses chunk by chunk.
pub fn gzipped(chunks: Chunks) -> Chunks {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    stream::try_unfold((chunks, Some(encoder)), |(mut chunks, encoder)| async move {
        let Some(mut encoder) = encoder else { return Ok::<_, io::Error>(None) };
        while let Some(chunk) = chunks.next().await {
            encoder.write_all(&chunk?)?;
            let ready = std::mem::take(encoder.get_mut());
            if !ready.is_empty() {
                return Ok(Some((Bytes::from(ready), (chunks, Some(encoder)))));
            }
        }
        Ok(Some((encoder.finish()?.into(), (chunks, None))))
    })
    .boxed()
}
