//! The group-commit writer: everything that waits goes into one transaction, one fsync. A record is acknowledged only
//! after its commit. The queue is bounded; when it is full or the database fails, the caller is told and must not act:
//! no audit, no call (design §5).

use super::denials::Denials;
use crate::{
    clock::Clock,
    domain::audit::Draft,
    metrics::Metrics,
    store::{self, Db, operations::Effect},
};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Records that may wait. More than this and the disk is not keeping up: refuse early rather than queue up.
const QUEUE: usize = 1_024;
/// Most records of one transaction, so that one commit stays short.
const BATCH: usize = 256;

/// The record could not be stored; nothing may be sent upstream on its strength.
#[derive(Debug)]
pub enum Unavailable {
    /// Too many records wait already.
    Full,
    /// The writer has stopped.
    Stopped,
    Store(store::Error),
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the audit log's queue is full"),
            Self::Stopped => f.write_str("the audit log's writer has stopped"),
            Self::Store(error) => write!(f, "the audit log cannot be written: {error}"),
        }
    }
}

/// Entries and the changes that must be durable together with them.
struct Record {
    drafts: Vec<Draft>,
    effects: Vec<Effect>,
    done: oneshot::Sender<Result<(), Unavailable>>,
}

/// A handle to the writer. Clones share it; it stops when the last one is gone.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Record>,
    metrics: Arc<Metrics>,
    clock: Clock,
    denials: Arc<Denials>,
}

impl Writer {
    /// Starts the writer on the current runtime.
    pub fn start(db: Db, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(db, clock.clone(), metrics.clone(), waiting));
        Self { queue, metrics, clock, denials: Arc::default() }
    }

    /// Stores entries and effects in one transaction and answers after its commit.
    pub async fn record(&self, drafts: Vec<Draft>, effects: Vec<Effect>) -> Result<(), Unavailable> {
        let result = self.store(drafts, effects).await;
        self.metrics.audit_record(match &result {
            Ok(()) => "stored",
            Err(Unavailable::Full) => "full",
            Err(Unavailable::Stopped) => "stopped",
            Err(Unavailable::Store(store::Error::Taken | store::Error::Fenced)) => "taken",
            Err(Unavailable::Store(_)) => "failed",
        });
        result
    }

    /// Stores a refusal of somebody we know, or counts it where one caller has too many: [`Self::note_denials`] writes the
    /// count down.
    pub async fn deny(&self, draft: Draft) -> Result<(), Unavailable> {
        if !self.denials.is_entry(&draft, self.clock.now()) {
            return Ok(());
        }
        self.record(vec![draft], Vec::new()).await
    }

    /// Writes down the refusals that were counted; `all` also those of the last minute. A count that could not be stored is
    /// lost.
    pub async fn note_denials(&self, all: bool) -> Result<(), Unavailable> {
        let drafts = self.denials.summaries(self.clock.now(), all);
        if drafts.is_empty() {
            return Ok(());
        }
        let callers: Vec<String> = drafts.iter().map(|d| d.actor.id.clone()).collect();
        let stored = self.record(drafts, Vec::new()).await;
        if let Err(error) = &stored {
            tracing::error!(?callers, %error, "how often these were refused could not be written down");
        }
        stored
    }

    /// Whether records are stored: an empty one takes the way of all.
    pub async fn check(&self) -> Result<(), Unavailable> {
        self.store(Vec::new(), Vec::new()).await
    }

    /// Records that wait at this moment.
    pub fn waiting(&self) -> usize {
        QUEUE - self.queue.capacity()
    }

    async fn store(&self, drafts: Vec<Draft>, effects: Vec<Effect>) -> Result<(), Unavailable> {
        let (done, answer) = oneshot::channel();
        self.queue.try_send(Record { drafts, effects, done }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Full,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopped,
        })?;
        answer.await.unwrap_or(Err(Unavailable::Stopped))
    }
}

/// Natural batching: while one transaction syncs, the next batch gathers. Waiting on purpose makes it slower
/// (performance.md D).
async fn write_all(db: Db, clock: Clock, metrics: Arc<Metrics>, mut waiting: mpsc::Receiver<Record>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        match write(&db, &clock, &batch).await {
            Ok(()) => {
                metrics.audit_commit();
                for record in batch.drain(..) {
                    let _ = record.done.send(Ok(()));
                }
            }
            // One record can spoil a batch (an item taken by somebody else, a lease lost, a deadlock): each gets a
            // transaction of its own.
            Err(store::Error::Taken | store::Error::Fenced | store::Error::Deadlock) => {
                for record in batch.drain(..) {
                    let result = match write(&db, &clock, std::slice::from_ref(&record)).await {
                        Err(store::Error::Deadlock) => {
                            write(&db, &clock, std::slice::from_ref(&record)).await
                        }
                        result => result,
                    };
                    let _ = record.done.send(result.map_err(Unavailable::Store));
                }
            }
            // Anything else would fail again for each of them, one time-out after the other.
            Err(error) => {
                if matches!(error, store::Error::NoAnswer) {
                    // Those behind have waited as long.
                    while let Ok(record) = waiting.try_recv() {
                        batch.push(record);
                    }
                }
                for record in batch.drain(..) {
                    let _ = record.done.send(Err(Unavailable::Store(error.echo())));
                }
            }
        }
    }
}

async fn write(db: &Db, clock: &Clock, batch: &[Record]) -> store::Result<()> {
    let mut tx = db.begin().await?;
    let further = tx.apply(batch.iter().flat_map(|r| &r.effects)).await?;
    // Last, so that an entry never stands for a change that failed.
    let drafts: Vec<&Draft> = batch.iter().flat_map(|r| &r.drafts).chain(&further).collect();
    tx.append(clock.now(), &drafts).await?;
    tx.commit().await
}
