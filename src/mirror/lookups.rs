//! Look-ups of single posts, gathered as the audit writer gathers records: while one statement runs, those that come
//! meanwhile wait, and the next one answers them all. A job looks each of its posts up twice.

use crate::store::{self, Db, posts::MirroredPost};
use std::collections::{BTreeMap, HashMap};
use tokio::sync::{mpsc, oneshot};

/// Look-ups that may wait; whoever comes after them waits to be let in.
const QUEUE: usize = 256;
/// Most posts of one statement. For more, PostgreSQL would read a small table as a whole.
const BATCH: usize = 16;

type Found = store::Result<Option<MirroredPost>>;

struct Asked {
    workspace_id: String,
    post: (String, String),
    answer: oneshot::Sender<Found>,
}

pub(super) struct Lookups {
    queue: mpsc::Sender<Asked>,
}

impl Lookups {
    /// Starts on the current runtime; ends when this is dropped.
    pub fn start(db: Db) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(answer_all(db, waiting));
        Self { queue }
    }

    pub async fn post(&self, workspace_id: &str, tenant_id: &str, post_id: &str) -> Found {
        let (answer, found) = oneshot::channel();
        let post = (tenant_id.to_owned(), post_id.to_owned());
        let asked = Asked { workspace_id: workspace_id.to_owned(), post, answer };
        let stopped = || store::Error::Unavailable("the mirror's look-ups have stopped".into());
        self.queue.send(asked).await.map_err(|_| stopped())?;
        found.await.unwrap_or_else(|_| Err(stopped()))
    }
}

async fn answer_all(db: Db, mut waiting: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let mut by_workspace: BTreeMap<String, Vec<Asked>> = BTreeMap::new();
        for asked in batch.drain(..) {
            by_workspace.entry(asked.workspace_id.clone()).or_default().push(asked);
        }
        for (workspace_id, asked) in by_workspace {
            answer(&db, &workspace_id, asked).await;
        }
    }
}

/// Answers look-ups of one workspace.
async fn answer(db: &Db, workspace_id: &str, asked: Vec<Asked>) {
    let posts: Vec<_> = asked.iter().map(|asked| asked.post.clone()).collect();
    match db.posts_by_id(workspace_id, &posts).await {
        Ok(found) => {
            let found: HashMap<(String, String), MirroredPost> =
                found.into_iter().map(|m| ((m.post.tenant_id.clone(), m.post.id.clone()), m)).collect();
            for Asked { post, answer, .. } in asked {
                let _ = answer.send(Ok(found.get(&post).cloned()));
            }
        }
        Err(error) => {
            for Asked { answer, .. } in asked {
                let _ = answer.send(Err(error.echo()));
            }
        }
    }
}
