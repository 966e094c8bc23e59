//! What the process counts about itself, for `/metrics`. One value made in `app` and handed to whoever counts; no global
//! registry. Labels are words of ours and workspace ids, never names, addresses or anything a caller sends. The list with
//! what each tells an operator is in `docs/operations.md`; a test compares the two.

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry},
};
use std::time::Duration;

/// One label and its value.
type One = [(&'static str, String); 1];
/// Two labels and their values.
type Two = [(&'static str, String); 2];
type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// Upper bounds of the buckets of times, in seconds: from a page out of memory to the longest call upstream.
const SECONDS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

pub struct Metrics {
    registry: Registry,
    requests: Family<Two, Counter>,
    request_seconds: Seconds<One>,
    shed: Family<One, Counter>,
    rate_limited: Family<One, Counter>,
    upstream_calls: Family<Two, Counter>,
    upstream_seconds: Seconds<One>,
    upstream_retries: Family<One, Counter>,
    upstream_retries_refused: Family<One, Counter>,
    breaker_opened: Family<One, Counter>,
    breaker_open: Family<One, Gauge>,
    audit_records: Family<One, Counter>,
    audit_commits: Counter,
    audit_checkpoints: Family<One, Counter>,
    audit_checkpoint_age: Gauge,
    audit_fork: Gauge,
    audit_anchors: Family<Two, Counter>,
    operations: Family<One, Counter>,
    operations_open: Gauge,
    stale_writes: Family<One, Counter>,
    leases_taken_over: Family<One, Counter>,
    idempotency: Family<One, Counter>,
    audit_waiting: Gauge,
    ready: Gauge,
    workspaces: Family<One, Gauge>,
    jobs: Family<One, Gauge>,
    mirror_age: Family<One, Gauge>,
    mirror_failing: Family<One, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gatehouse");
        let r = &mut registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION").to_owned())]);
        r.register("build", "The version that runs", version);
        Self {
            requests: add(r, "requests", "Requests answered, by door and status"),
            request_seconds: times(r, "request_seconds", "Time to answer a request, by door"),
            shed: add(r, "shed", "Requests answered 503 at once, by reason"),
            rate_limited: add(r, "rate_limited", "Requests answered 429, by whose limit it was"),
            upstream_calls: add(
                r,
                "upstream_calls",
                "Calls to PostPost, attempts counted one by one, by workspace and result",
            ),
            upstream_seconds: times(r, "upstream_seconds", "Time of one attempt at PostPost, by workspace"),
            upstream_retries: add(r, "upstream_retries", "Attempts after the first, by workspace"),
            upstream_retries_refused: add(
                r,
                "upstream_retries_refused",
                "Repeats not made because the retry budget was spent, by workspace",
            ),
            breaker_opened: add(r, "breaker_opened", "How often the circuit breaker opened, by workspace"),
            breaker_open: add(r, "breaker_open", "Whether the circuit breaker is open, by workspace"),
            audit_records: add(r, "audit_records", "Records handed to the audit writer, by result"),
            audit_commits: add(r, "audit_commits", "Transactions of the audit writer"),
            audit_checkpoints: add(r, "audit_checkpoints", "Attempts to sign a checkpoint, by result"),
            audit_checkpoint_age: add(
                r,
                "audit_checkpoint_age_seconds",
                "Age of the newest signed checkpoint, looked at every 15 s",
            ),
            audit_fork: add(r, "audit_fork", "1 if the audit log contradicts what was signed of it, else 0"),
            audit_anchors: add(
                r,
                "audit_anchors",
                "Attempts to bring a checkpoint to an anchor, by anchor and result",
            ),
            operations: add(r, "operations", "Changing calls that reached a final state or doubt, by state"),
            operations_open: add(
                r,
                "operations_open",
                "Changing calls without a final state, counted every 15 s",
            ),
            stale_writes: add(
                r,
                "stale_writes",
                "Late writes refused because the writer had lost its lease or its claim, by what they were",
            ),
            leases_taken_over: add(
                r,
                "leases_taken_over",
                "Work taken over from a process whose lease ran out, by kind",
            ),
            idempotency: add(r, "idempotency", "Calls with an Idempotency-Key, by how they were answered"),
            audit_waiting: add(r, "audit_waiting", "Records waiting for the audit writer at this moment"),
            ready: add(r, "ready", "1 if database and audit writer worked when last looked at, else 0"),
            workspaces: add(r, "workspaces", "Workspaces at this moment, by the state of their calls"),
            jobs: add(r, "jobs", "Unfinished bulk jobs, by state, counted every 15 s"),
            mirror_age: add(
                r,
                "mirror_age_seconds",
                "Age of the oldest copy of a tenant's posts, by workspace, looked at every 15 s",
            ),
            mirror_failing: add(
                r,
                "mirror_failing_tenants",
                "Tenants whose posts could not be read last time, by workspace, counted every 15 s",
            ),
            registry,
        }
    }
}

impl Metrics {
    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }

    pub fn request(&self, door: &str, status: u16, took: Duration) {
        let labels = [("door", door.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&one("door", door)).observe(took.as_secs_f64());
    }

    /// A request was turned away without being worked on.
    pub fn shed(&self, reason: &str) {
        self.shed.get_or_create(&one("reason", reason)).inc();
    }

    pub fn rate_limited(&self, limit: &str) {
        self.rate_limited.get_or_create(&one("limit", limit)).inc();
    }

    /// One attempt; `result` is a status or an error's code.
    pub fn upstream_call(&self, workspace: &str, result: &str, took: Duration) {
        let labels = [("workspace", workspace.to_owned()), ("result", result.to_owned())];
        self.upstream_calls.get_or_create(&labels).inc();
        self.upstream_seconds.get_or_create(&one("workspace", workspace)).observe(took.as_secs_f64());
    }

    pub fn upstream_retry(&self, workspace: &str) {
        self.upstream_retries.get_or_create(&one("workspace", workspace)).inc();
    }

    pub fn upstream_retry_refused(&self, workspace: &str) {
        self.upstream_retries_refused.get_or_create(&one("workspace", workspace)).inc();
    }

    pub fn breaker_opened(&self, workspace: &str) {
        self.breaker_opened.get_or_create(&one("workspace", workspace)).inc();
    }

    pub fn breaker_open(&self, workspace: &str, open: bool) {
        self.breaker_open.get_or_create(&one("workspace", workspace)).set(open.into());
    }

    /// `result`: `stored`, or why not.
    pub fn audit_record(&self, result: &str) {
        self.audit_records.get_or_create(&one("result", result)).inc();
    }

    pub fn audit_commit(&self) {
        self.audit_commits.inc();
    }

    /// `result`: `signed`, `unchanged`, `forked` or `failed`.
    pub fn audit_checkpoint(&self, result: &str) {
        self.audit_checkpoints.get_or_create(&one("result", result)).inc();
    }

    /// `anchor`: `file` or `webhook`; `result`: `delivered` or `failed`.
    pub fn audit_anchor(&self, anchor: &str, result: &str) {
        let labels = [("anchor", anchor.to_owned()), ("result", result.to_owned())];
        self.audit_anchors.get_or_create(&labels).inc();
    }

    pub fn operation(&self, state: &str) {
        self.operations.get_or_create(&one("state", state)).inc();
    }

    pub fn operations_open(&self, count: i64) {
        self.operations_open.set(count);
    }

    pub fn stale_write(&self, what: &str) {
        self.stale_writes.get_or_create(&one("what", what)).inc();
    }

    pub fn lease_taken_over(&self, kind: &str) {
        self.leases_taken_over.get_or_create(&one("kind", kind)).inc();
    }

    /// `result`: `first`, `replayed`, `in_flight`, `mismatch` or `recovered`.
    pub fn idempotency(&self, result: &str) {
        self.idempotency.get_or_create(&one("result", result)).inc();
    }
}

/// What is measured when it is asked for, or from time to time. Each call replaces what was there.
impl Metrics {
    pub fn audit_waiting(&self, records: usize) {
        self.audit_waiting.set(records as i64);
    }

    pub fn audit_fork(&self, forked: bool) {
        self.audit_fork.set(i64::from(forked));
    }

    pub fn audit_checkpoint_age(&self, age: Duration) {
        self.audit_checkpoint_age.set(age.as_secs() as i64);
    }

    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// `state`: `ok`, `frozen`, `suspended` or `unreachable`.
    pub fn workspaces(&self, state: &str, count: usize) {
        self.workspaces.get_or_create(&one("state", state)).set(count as i64);
    }

    pub fn jobs(&self, state: &str, count: i64) {
        self.jobs.get_or_create(&one("state", state)).set(count);
    }

    pub fn mirror(&self, workspace: &str, age: Duration, failing: i64) {
        self.mirror_age.get_or_create(&one("workspace", workspace)).set(age.as_secs() as i64);
        self.mirror_failing.get_or_create(&one("workspace", workspace)).set(failing);
    }
}

fn one(name: &'static str, value: &str) -> One {
    [(name, value.to_owned())]
}

/// A new figure, known to the registry.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let figure = M::default();
    registry.register(name, help, figure.clone());
    figure
}

/// The same for times.
fn times<L>(registry: &mut Registry, name: &str, help: &str) -> Seconds<L>
where
    L: Clone + std::hash::Hash + Eq,
    Seconds<L>: Metric,
{
    let figure = Seconds::new_with_constructor(|| Histogram::new(SECONDS));
    registry.register(name, help, figure.clone());
    figure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.request("api", 200, Duration::from_millis(3));
        metrics.stale_write("item");
        let text = metrics.encode();
        assert!(text.contains("gatehouse_requests_total{door=\"api\",status=\"200\"} 1"), "{text}");
        assert!(text.contains("gatehouse_stale_writes_total{what=\"item\"} 1"), "{text}");
    }
}
