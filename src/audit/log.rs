//! The log as a whole: it signs checkpoints, hands out proofs, and says whether all still agrees. Before it signs it reads
//! the new entries anew; what contradicts an earlier checkpoint is never signed (C2SP tlog-checkpoint), and until an
//! operator has looked nothing is appended (`store::Error::AuditFork`).

use super::{
    anchors::Anchors,
    guard::Guard,
    look::{Believed, Found, Obstacle, Reach, believe, look},
    note::{self, Chain, PublicKey, SigningKey},
    proofs::Proofs,
    tiles::Builder,
    tree::Hash,
};
use crate::{
    clock::{Clock, DAY, HOUR, Millis},
    domain::audit::{Action, Actor, Draft},
    keyring::Keyring,
    metrics::Metrics,
    store::{self, Db, audit::Fork, checkpoints::StoredCheckpoint},
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A log in which nothing is appended for this long gets an entry that says so.
const SILENCE: Millis = HOUR;
/// Checkpoints younger than this are all kept.
const KEEP_ALL: Millis = DAY;

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub checkpoint: note::Checkpoint,
    pub epoch: u64,
    /// When it was signed.
    pub at: Millis,
    /// The note, as it is handed out.
    pub note: String,
}

/// How the log stands, for pages and probes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The newest checkpoint: the log is verified up to its size.
    pub signed: Option<Arc<Signed>>,
    /// How the log contradicts what was signed, if it does: then nothing is changed any more.
    pub fork: Option<Fork>,
    /// Why the last round could not sign, if that is another reason.
    pub failing: Option<String>,
}

/// An entry's proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    pub signed: Arc<Signed>,
    pub proof: Vec<Hash>,
}

/// Where it keeps what is outside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub guard: PathBuf,
    pub anchor_file: Option<PathBuf>,
}

pub struct Log {
    pub(super) db: Db,
    pub(super) clock: Clock,
    metrics: Arc<Metrics>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) guard: Guard,
    anchors: Anchors,
    /// Held while a checkpoint is made. The newest stored note, and the tree at its size.
    known: tokio::sync::Mutex<Option<(String, Builder)>>,
    status: Mutex<Status>,
}

impl Log {
    /// Looks whether the log agrees with what was signed of it. One that does not is opened all the same, and can be read.
    ///
    /// # Errors
    /// When database or guard file cannot be read.
    pub async fn open(
        db: Db,
        clock: Clock,
        metrics: Arc<Metrics>,
        keyring: Arc<Keyring>,
        places: Places,
    ) -> store::Result<Self> {
        let log = Self {
            db,
            clock,
            anchors: Anchors::new(places.anchor_file, metrics.clone()),
            metrics,
            keyring,
            guard: Guard::at(places.guard),
            known: tokio::sync::Mutex::default(),
            status: Mutex::default(),
        };
        match log.look_twice(&mut None, Reach::Signed).await {
            Ok(found) => {
                if found.guard.is_none() && found.last.is_some() {
                    let path = log.guard.path().display();
                    tracing::warn!(%path, "there is no guard file: until now nothing but the database says how long the log was");
                }
                if let Some((last, stored)) = found.last {
                    let signed = Arc::new(signed(last, &stored));
                    log.set_signed(signed.clone());
                    log.anchors.renew(&signed).await;
                }
            }
            Err(obstacle) => match log.failure(obstacle) {
                store::Error::AuditFork(_) => {}
                error => return Err(error),
            },
        }
        Ok(log)
    }

    /// The key to pin.
    pub fn public(&self) -> &PublicKey {
        self.key().public()
    }

    pub(super) fn key(&self) -> &SigningKey {
        self.keyring.audit_key()
    }

    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// Where signed checkpoints are told of.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// A checkpoint of at least this many entries, signed now if there is none. For exports: append their entry first.
    ///
    /// # Errors
    /// [`store::Error::AuditFork`] if the log contradicts what was signed; [`store::Error::NoSpace`] if the guard file cannot be
    /// written.
    pub async fn checkpoint_now(&self, at_least: i64) -> store::Result<Arc<Signed>> {
        let status = self.status();
        if let Some(fork) = status.fork {
            return Err(store::Error::AuditFork(fork.reason));
        }
        if let Some(signed) = status.signed.filter(|signed| signed.checkpoint.size as i64 >= at_least) {
            return Ok(signed);
        }
        self.sign().await
    }

    /// What is due: an entry if there was none for an hour, a checkpoint if the log has grown and none was signed for half of
    /// `every`, by any process. Otherwise only sees to it that guard file and anchors have the newest.
    pub async fn round(&self, every: Duration) -> store::Result<()> {
        let now = self.clock.now();
        let head = self.db.audit_head().await?;
        if head.fork.is_none() && head.size > 0 && head.at <= now - SILENCE {
            let beat = Draft::done(&Actor::system("audit"), Action::AuditHeartbeat);
            self.db.append_if_silent(now - SILENCE, now, &beat).await?;
        }
        let last = self.db.last_checkpoint().await?;
        let fresh = last.filter(|last| last.at > now - every.as_millis() as Millis / 2);
        match fresh {
            // Another process was first; what it has signed is looked at when this one is to sign.
            Some(last) if head.fork.is_none() && self.guard_has(&last.note).await => {
                if let Ok(believed) = believe(self.public(), &last.note) {
                    self.set_signed(Arc::new(signed(believed, &last)));
                }
            }
            _ => drop(self.sign().await?),
        }
        self.anchors.retry().await;
        Ok(())
    }

    async fn guard_has(&self, note: &str) -> bool {
        matches!(self.guard.read().await, Ok(Some(found)) if found == note)
    }

    /// Proofs in a checkpoint's tree.
    pub fn proofs(&self, signed: &Signed) -> Proofs {
        Proofs::new(self.db.clone(), signed)
    }

    /// The proof of an entry in the newest checkpoint; `None` if it is not in one yet.
    pub async fn inclusion(&self, seq: i64) -> store::Result<Option<Inclusion>> {
        let Some(signed) =
            self.status().signed.filter(|s| u64::try_from(seq).is_ok_and(|n| n < s.checkpoint.size))
        else {
            return Ok(None);
        };
        let proof = self.proofs(&signed).inclusion(&[seq]).await?.pop().unwrap_or_default();
        Ok(Some(Inclusion { signed, proof }))
    }

    /// The signed head of a workspace's or tenant's entries in a checkpoint's tree (docs/audit-format.md §4).
    pub async fn head_note(&self, signed: &Signed, chain: Chain) -> store::Result<String> {
        let size = signed.checkpoint.size;
        let (count, last) = self.db.chain_at(&chain.workspace, chain.tenant.as_deref(), size as i64).await?;
        let origin = signed.checkpoint.origin.clone();
        let head = note::Head { origin, size, chain, count: count as u64, last };
        Ok(self.key().sign(&head.to_string()))
    }

    async fn sign(&self) -> store::Result<Arc<Signed>> {
        let mut known = self.known.lock().await;
        let signed = self.try_sign(&mut known).await;
        self.metrics.audit_checkpoint(match &signed {
            Ok((_, true)) => "signed",
            Ok((_, false)) => "unchanged",
            Err(Obstacle::Fork(..) | Obstacle::Noted(_)) => "forked",
            Err(_) => "failed",
        });
        match signed {
            Ok((signed, is_new)) => {
                self.set_signed(signed.clone());
                if is_new {
                    self.anchors.publish(&signed).await;
                }
                Ok(signed)
            }
            Err(obstacle) => {
                *known = None;
                Err(self.failure(obstacle))
            }
        }
    }

    async fn try_sign(&self, known: &mut Option<(String, Builder)>) -> Result<(Arc<Signed>, bool), Obstacle> {
        let Found { epoch, last, guard, mut tree } = self.look_twice(known, Reach::End).await?;
        if let Some((last, stored)) = last.filter(|(last, _)| last.checkpoint.size == tree.size()) {
            if guard.is_none_or(|guard| guard.note != last.note) {
                self.guard.write(&last.note).await.map_err(Obstacle::Guard)?;
            }
            *known = Some((last.note.clone(), tree));
            return Ok((Arc::new(signed(last, &stored)), false));
        }
        let (size, root) = (tree.size(), tree.range().root());
        let checkpoint = note::Checkpoint { origin: self.public().origin(epoch), size, root };
        let note = self.key().sign(&checkpoint.to_string());
        let at = self.clock.now();
        // Before anybody sees it. Its entries are stored; should the next step fail, it is a true guard all the same.
        self.guard.write(&note).await.map_err(Obstacle::Guard)?;
        let stored = StoredCheckpoint { epoch: epoch as i64, size: size as i64, at, note: note.clone() };
        if !self.db.put_checkpoint(&stored, &tree.take_tiles()).await? {
            return Err(Obstacle::Moved);
        }
        *known = Some((note.clone(), tree));
        self.db.thin_checkpoints(at - KEEP_ALL).await?;
        Ok((Arc::new(Signed { checkpoint, epoch, at, note }), true))
    }

    /// A contradiction is looked at again, from nothing, before it counts: another process may have accepted a restored
    /// database between two of the reads.
    pub(super) async fn look_twice(
        &self,
        known: &mut Option<(String, Builder)>,
        reach: Reach,
    ) -> Result<Found, Obstacle> {
        let key = self.public();
        match look(&self.db, key, &self.guard, known.take(), reach).await {
            Err(Obstacle::Fork(..)) => {}
            found => return found,
        }
        let found = look(&self.db, key, &self.guard, None, reach).await;
        if let Err(Obstacle::Fork(fork, epoch)) = &found {
            self.set_fork(fork.clone());
            self.db.note_fork(fork, *epoch as i64).await?;
        }
        found
    }

    /// Notes what went wrong for pages and probes.
    pub(super) fn failure(&self, obstacle: Obstacle) -> store::Error {
        let error = match obstacle {
            Obstacle::Fork(fork, _) | Obstacle::Noted(fork) => {
                self.set_fork(fork.clone());
                return store::Error::AuditFork(fork.reason);
            }
            Obstacle::Moved => {
                store::Error::Unavailable("the audit log was signed by another process".into())
            }
            Obstacle::Guard(error) => {
                store::Error::NoSpace(format!("{}: {error}", self.guard.path().display()))
            }
            Obstacle::Store(error) => error,
        };
        self.lock().failing = Some(error.to_string());
        error
    }

    fn set_fork(&self, fork: Fork) {
        let mut status = self.lock();
        if status.fork.is_none() {
            tracing::error!(
                reason = fork.reason,
                "the audit log contradicts what was signed of it: nothing is signed and nothing is changed until an operator \
                 has looked (gatehouse audit accept-restore)"
            );
        }
        status.fork = Some(fork);
        self.metrics.audit_fork(true);
    }

    fn set_signed(&self, signed: Arc<Signed>) {
        self.metrics.audit_fork(false);
        *self.lock() = Status { signed: Some(signed), fork: None, failing: None };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn signed(believed: Believed, stored: &StoredCheckpoint) -> Signed {
    let Believed { checkpoint, epoch, note } = believed;
    Signed { checkpoint, epoch, at: stored.at, note }
}
