//! The bulk runner: leased jobs, items in turn between tenants, each checked for drift just before its call. A killed
//! process loses nothing and repeats nothing: an item leaves `pending` in the same transaction as its intent.

mod hand;
mod item;
mod recreate;

use crate::{
    access::Account,
    app::App,
    clock::Millis,
    domain::{
        admins::Right,
        audit::{Actor, ActorType},
        jobs::{ItemState, Job, JobState, Wanted},
        keys::KeyKind,
        plans::SkipReason,
    },
    store::{self, leases::Fence, operations::ItemResult},
};
use hand::{Hand, TRIES, Taken, wait};
use item::{ItemEnd, PutOff, passes_freeze, run_item};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinError, JoinHandle, JoinSet},
    time::Instant,
};

/// Calls under way at once, per job, where pacing is lifted.
const IN_FLIGHT: usize = 64;
/// Items beside those with a call under way: something of theirs is being written down, or they wait for a place.
const BESIDE: usize = 48;
/// And at a pace: so many keep it up with slow answers, and a pause need not wait for many.
const IN_FLIGHT_PACED: usize = 8;
/// Items fetched at a time.
const FETCH: usize = 256;
/// What the operator asks for is seen within this time.
const LOOK: Duration = Duration::from_millis(200);
/// Whether the operator may still do this is asked so often.
const RIGHTS: Duration = Duration::from_secs(1);
/// A pause when upstream cannot be reached: items stay as they are.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(3);

/// The worker: one job of a workspace at a time, the workspaces side by side.
pub async fn run(app: Arc<App>) {
    let mut stopping = app.stopping.clone();
    let mut active: HashMap<String, JoinHandle<()>> = HashMap::new();
    while !*stopping.borrow() {
        active.retain(|_, task| !task.is_finished());
        match app.db.due_jobs(app.clock.now()).await {
            Ok(jobs) => {
                for job in jobs {
                    // The oldest of a workspace comes first; the others wait for it.
                    active
                        .entry(job.workspace_id.clone())
                        .or_insert_with(|| tokio::spawn(work(app.clone(), job)));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "bulk jobs could not be looked up; the next round tries again");
            }
        }
        tokio::select! {
            () = app.jobs.0.notified() => {}
            () = tokio::time::sleep(app.config.tuning.tick) => {}
            _ = stopping.changed() => {}
        }
    }
    for task in active.into_values() {
        let _ = task.await;
    }
}

/// Advances one job as far as it goes, and rings for the next if it has ended. A job that another process has is left to
/// it.
async fn work(app: Arc<App>, job: Job) {
    let lease = format!("job:{}", job.id);
    let fence = match app.leases.take(&lease).await {
        Ok(Some(fence)) => fence,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(job = job.id, %error, "a bulk job's lease could not be taken");
            return;
        }
    };
    let id = job.id.clone();
    let ended = match advance(&app, &job, &fence).await {
        Ok(ended) => ended,
        Err(store::Error::Fenced) => {
            app.leases.note_lost(&fence, "job");
            false
        }
        Err(error) => {
            tracing::warn!(job = id, %error, "a bulk job stopped short; the next round goes on");
            false
        }
    };
    if let Err(error) = app.leases.release(&fence).await {
        tracing::warn!(job = id, %error, "a bulk job's lease could not be given back; it will run out");
    }
    if ended {
        app.jobs.ring();
    }
}

/// Whether the job has ended or paused, so that another one's turn has come. Else it waits for something, and is looked
/// at again in the next round.
async fn advance(app: &Arc<App>, job: &Job, fence: &Fence) -> store::Result<bool> {
    // Read again: the operator may have asked for something else.
    let Some(job) = app.db.job(&job.workspace_id, &job.id).await? else { return Ok(true) };
    if *app.stopping.borrow() || job.state.is_final() {
        return Ok(job.state.is_final());
    }
    let verdict = match job.wanted {
        Wanted::Cancel => Verdict::Cancel,
        Wanted::Pause => Verdict::Pause,
        Wanted::Run => {
            let waits = [JobState::Queued, JobState::Paused];
            if waits.contains(&job.state) {
                app.db.set_job_state(fence, &job.id, &waits, JobState::Running, app.clock.now()).await?;
            }
            // Not in the picture yet or any more: the next round looks again.
            let Some(account) = app.access.account(&job.workspace_id) else { return Ok(false) };
            let (halt, halted) = watch::channel(false);
            let pace = match job.options.rate {
                Some(rate) => Duration::from_secs(1) / rate.max(1),
                None => app.config.tuning.pace,
            };
            let run = Run {
                app: app.clone(),
                account,
                job: Arc::new(job.clone()),
                fence: fence.clone(),
                halt: halted,
                seats: Arc::new(Semaphore::new(seats(pace))),
            };
            let mut work = Work::new(run, pace);
            let verdict = work.go_on().await;
            halt.send_replace(true);
            // Whatever happens: an item dropped half-way would have to be settled by the reconciler.
            let drained = work.drain().await;
            app.pacing.set_pace(&job.workspace_id, app.config.tuning.pace);
            let verdict = verdict?;
            drained?;
            verdict
        }
    };
    let now: Millis = app.clock.now();
    let verdict = match verdict {
        // What was asked for came too late to hold anything up.
        Verdict::Pause | Verdict::Cancel if !is_unfinished(app, &job).await? => Verdict::Complete,
        verdict => verdict,
    };
    match verdict {
        Verdict::Leave => return Ok(false),
        Verdict::Pause => {
            let runs = [JobState::Queued, JobState::Running];
            app.db.set_job_state(fence, &job.id, &runs, JobState::Paused, now).await?;
        }
        Verdict::Cancel => app.db.finish_job(fence, &job, JobState::Cancelled, None, now).await?,
        Verdict::Stop(why) => app.db.finish_job(fence, &job, JobState::Stopped, Some(&why), now).await?,
        Verdict::Complete => app.db.finish_job(fence, &job, JobState::Completed, None, now).await?,
    }
    Ok(true)
}

/// How work on a job ends for now.
enum Verdict {
    Pause,
    Cancel,
    /// Too much has failed, with the reason.
    Stop(String),
    Complete,
    /// Nothing more can be done at the moment; the next round looks again.
    Leave,
}

/// A job being worked on by the holder of its lease.
#[derive(Clone)]
struct Run {
    app: Arc<App>,
    account: Arc<Account>,
    job: Arc<Job>,
    fence: Fence,
    /// Turns true when nothing further is to be sent.
    halt: watch::Receiver<bool>,
    /// As many as there may be calls under way.
    seats: Arc<Semaphore>,
}

/// Work on one job, from the start of the runner to its verdict.
struct Work {
    run: Run,
    hand: Hand,
    under_way: JoinSet<(Taken, store::Result<ItemEnd>)>,
    /// Items begun and not ended.
    at_once: usize,
    stop_after: i64,
    /// The wait before a first new try.
    pause: Duration,
    /// Nothing begins before.
    hold: Instant,
    looked: Option<Instant>,
    rights_looked: Option<Instant>,
    /// Failures seen since the last success.
    failures: i64,
    /// Something was left in doubt, and may be found to have failed.
    doubts: bool,
}

impl Work {
    fn new(run: Run, pace: Duration) -> Self {
        let tuning = run.app.config.tuning;
        run.app.pacing.set_pace(&run.job.workspace_id, pace);
        let stop_after = i64::from(run.job.options.stop_after.max(1));
        Self {
            run,
            hand: Hand::default(),
            under_way: JoinSet::new(),
            at_once: if pace.is_zero() { IN_FLIGHT + BESIDE } else { seats(pace) },
            stop_after,
            pause: UNREACHABLE_PAUSE.min(tuning.tick * 3),
            hold: Instant::now(),
            looked: None,
            rights_looked: None,
            failures: 0,
            // Of before a restart.
            doubts: true,
        }
    }

    async fn go_on(&mut self) -> store::Result<Verdict> {
        let mut stopping = self.run.app.stopping.clone();
        loop {
            if let Some(verdict) = self.look().await? {
                return Ok(verdict);
            }
            let now = Instant::now();
            self.hand.wake(now);
            if self.may_begin(now) {
                self.fetch().await?;
                while self.under_way.len() < self.at_once
                    && let Some(taken) = self.hand.next(now)
                {
                    self.begin(taken);
                }
            }
            if self.hand.is_empty() && self.hand.is_drained() {
                match self.end().await? {
                    Some(verdict) => return Ok(verdict),
                    None => continue,
                }
            }
            // What is due but may not begin is looked at again, not waited for.
            let wake = self.hand.next_due().filter(|due| *due > now).unwrap_or(now + LOOK).min(now + LOOK);
            tokio::select! {
                Some(ended) = self.under_way.join_next(), if !self.under_way.is_empty() => {
                    self.take(ended).await?;
                    while let Some(ended) = self.under_way.try_join_next() {
                        self.take(ended).await?;
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
                _ = stopping.changed() => {}
            }
            if self.failures >= self.stop_after
                && let Some(verdict) = self.too_many_failures().await?
            {
                return Ok(verdict);
            }
        }
    }

    /// Waits for what is under way.
    async fn drain(&mut self) -> store::Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.under_way.join_next().await {
            result = result.and(self.take(ended).await);
        }
        result
    }

    /// What the operator asks for, and whether this process may go on at all.
    async fn look(&mut self) -> store::Result<Option<Verdict>> {
        let Run { app, job, fence, .. } = &self.run;
        if *app.stopping.borrow() {
            return Ok(Some(Verdict::Leave));
        }
        let due = |at: Option<Instant>, every| at.is_none_or(|at| at.elapsed() >= every);
        if !due(self.looked, LOOK) {
            return Ok(None);
        }
        self.looked = Some(Instant::now());
        // The heartbeat keeps the lease; another holder's is seen here at the latest.
        if app.leases.take(&fence.name).await?.as_ref() != Some(fence) {
            return Ok(Some(Verdict::Leave));
        }
        match app.db.job_wanted(&job.id).await? {
            Wanted::Run => {}
            Wanted::Pause => return Ok(Some(Verdict::Pause)),
            Wanted::Cancel => return Ok(Some(Verdict::Cancel)),
        }
        let Some(account) = app.access.account(&job.workspace_id) else { return Ok(Some(Verdict::Leave)) };
        if due(self.rights_looked, RIGHTS) {
            if !still_allowed(app, job).await? {
                app.db.ask_job(&Actor::system("bulk"), job, Wanted::Cancel, app.clock.now()).await?;
                return Ok(Some(Verdict::Cancel));
            }
            self.rights_looked = Some(Instant::now());
        }
        self.run.account = account;
        if self.doubts || self.failures > 0 {
            return self.too_many_failures().await;
        }
        Ok(None)
    }

    /// The items wait, for the key, the breaker or an unfreeze.
    fn may_begin(&self, now: Instant) -> bool {
        let Run { app, account, job, .. } = &self.run;
        now >= self.hold
            && (account.workspace.frozen.is_none() || passes_freeze(job))
            && app.upstream.ready(&account.endpoint).is_ok()
    }

    async fn fetch(&mut self) -> store::Result<()> {
        if self.hand.wants_more() {
            let limit = self.hand.len() + FETCH;
            let Run { app, job, .. } = &self.run;
            let items = app.db.next_items(&job.id, &self.hand.left_alone(), limit as i64).await?;
            let all = items.len() < limit;
            self.hand.fill(items, all);
        }
        Ok(())
    }

    fn begin(&mut self, taken: Taken) {
        let run = self.run.clone();
        self.under_way.spawn(async move {
            let end = run_item(&run, &taken.item, taken.again).await;
            (taken, end)
        });
    }

    /// Nothing is in hand. What another process left running is the reconciler's; the job ends when that is settled.
    async fn end(&mut self) -> store::Result<Option<Verdict>> {
        self.hand.look_again();
        self.fetch().await?;
        if !self.hand.is_empty() {
            return Ok(None);
        }
        let Run { app, job, .. } = &self.run;
        let left = is_unfinished(app, job).await?;
        Ok(Some(if left { Verdict::Leave } else { Verdict::Complete }))
    }

    /// Whether the failures are too many: counted from what is stored, which also knows of before a restart.
    async fn too_many_failures(&mut self) -> store::Result<Option<Verdict>> {
        let Run { app, job, .. } = &self.run;
        self.failures = app.db.failures_in_a_row(&job.id, self.stop_after).await?;
        let stop = || Verdict::Stop(format!("{} failures in a row", self.stop_after));
        Ok((self.failures >= self.stop_after).then(stop))
    }

    /// What came of an item, and what follows for the others.
    async fn take(&mut self, ended: Result<(Taken, store::Result<ItemEnd>), JoinError>) -> store::Result<()> {
        let (mut taken, end) = ended.map_err(|error| {
            tracing::error!(job = self.run.job.id, %error, "work on an item ended half-way");
            store::Error::Corrupt("an item's work ended half-way".into())
        })?;
        let Run { app, job, fence, .. } = &self.run;
        let now = Instant::now();
        self.hand.put_down(&taken.item);
        match end? {
            ItemEnd::Ended(state) => {
                match state {
                    ItemState::Succeeded | ItemState::Gone => self.failures = 0,
                    ItemState::Failed => self.failures += 1,
                    ItemState::Unknown => self.doubts = true,
                    _ => {}
                }
                self.hand.note_read(&taken.item.tenant_id);
            }
            ItemEnd::Wait => {
                self.hold = self.hold.max(now + self.pause);
                self.hand.keep_for_later(taken, now + self.pause);
            }
            ItemEnd::AfterAnother => self.hand.keep_for_later(taken, now + self.pause),
            ItemEnd::PutOff(PutOff { code, message, hold, tried }) => {
                self.hold = self.hold.max(now + hold.unwrap_or_default());
                taken.tries += 1;
                if taken.tries < TRIES {
                    app.db.put_item_off(fence, &job.id, taken.item.n, code, &message, tried).await?;
                    let at = now + wait(self.pause, taken.tries);
                    self.hand.keep_for_later(taken, at);
                } else {
                    let message = format!("{message}; given up after {TRIES} tries");
                    let end = failed(code, message);
                    app.db.end_item(fence, &job.id, taken.item.n, &end, app.clock.now()).await?;
                    self.failures += 1;
                }
            }
            ItemEnd::TenantUnread(said) => {
                if !self.hand.note_unread(&taken.item.tenant_id, now, self.pause) {
                    let message = format!("The tenant's posts could not be read, {TRIES} times: {said}");
                    let end = failed("tenant_unreadable", message);
                    let (tenant, now) = (&taken.item.tenant_id, app.clock.now());
                    app.db.end_tenants_items(fence, &job.id, tenant, &end, now).await?;
                }
            }
            ItemEnd::Limited => {
                self.failures += 1;
                let code = Some(SkipReason::LimitReached.as_str().to_owned());
                let end = ItemResult { state: ItemState::Skipped, code, message: None, granted_at: None };
                let (tenant, now) = (&taken.item.tenant_id, app.clock.now());
                app.db.end_tenants_items(fence, &job.id, tenant, &end, now).await?;
                self.hand.leave(tenant);
            }
        }
        Ok(())
    }
}

/// How many calls may be under way.
fn seats(pace: Duration) -> usize {
    match pace.as_millis() {
        0 => IN_FLIGHT,
        pace => ((Duration::from_secs(1).as_millis() / pace) as usize).clamp(IN_FLIGHT_PACED, IN_FLIGHT),
    }
}

/// Whether a post of the job is still to be done, or under way.
async fn is_unfinished(app: &App, job: &Job) -> store::Result<bool> {
    let job = app.db.job(&job.workspace_id, &job.id).await?;
    Ok(job.is_some_and(|job| job.counts.pending + job.counts.running > 0))
}

fn failed(code: &str, message: String) -> ItemResult {
    let message = Some(message.chars().take(300).collect());
    ItemResult { state: ItemState::Failed, code: Some(code.to_owned()), message, granted_at: None }
}

/// A job is done before its key has been replaced so often.
const SUCCESSORS: usize = 10;

/// Rights are looked up at the time of the work, not only when it was asked for (security.md item 30).
async fn still_allowed(app: &App, job: &Job) -> store::Result<bool> {
    if job.actor.kind() == ActorType::Key {
        return key_allows(app, job).await;
    }
    let Some((admin, _)) = app.db.admin(&job.actor.id).await? else { return Ok(false) };
    if admin.disabled_at.is_some() {
        return Ok(false);
    }
    let roles = app.db.roles(&admin.id).await?;
    Ok(admin.instance_owner
        || roles.iter().any(|(w, role)| *w == job.workspace_id && role.may(Right::Operate)))
}

/// A key that was replaced passes its right on: its program has the new one. One that was revoked does not.
async fn key_allows(app: &App, job: &Job) -> store::Result<bool> {
    let mut id = job.actor.id.clone();
    for _ in 0..SUCCESSORS {
        let Some(key) = app.db.key(&job.workspace_id, &id).await? else { return Ok(false) };
        let now = app.clock.now();
        if key.is_live(now) && !key.is_pending() {
            return Ok(key.kind == KeyKind::Workspace && key.scopes.has(job.action.scope()));
        }
        match key.rotation.replaced_by {
            Some(next) if key.revoked_at.is_none() => id = next,
            _ => return Ok(false),
        }
    }
    Ok(false)
}
