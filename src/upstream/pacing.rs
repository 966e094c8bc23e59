//! The pace of background work: per workspace, jobs and mirror together, so many calls a second and no burst. Slows down
//! when upstream says so, and comes back slowly. The tenant door is never paced.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The slowest pace a workspace is held back to.
const SLOWEST: Duration = Duration::from_secs(5);

/// Paces of all workspaces.
pub struct Pacing {
    /// The time between two calls at full speed; zero lifts pacing.
    interval: Duration,
    lanes: Mutex<HashMap<String, Lane>>,
}

struct Lane {
    next: Instant,
    interval: Duration,
    /// The interval at full speed.
    full: Duration,
}

impl Pacing {
    /// `interval`: the time between two calls of a workspace.
    pub fn new(interval: Duration) -> Self {
        Self { interval, lanes: Mutex::default() }
    }

    /// Gives a workspace a full speed of its own: the time between two of its calls; zero lifts its pacing.
    pub fn set_pace(&self, workspace_id: &str, interval: Duration) {
        self.with_lane(workspace_id, |lane| {
            if lane.full != interval {
                (lane.full, lane.interval) = (interval, interval);
            }
        });
    }

    /// Waits for the workspace's next turn.
    pub async fn turn(&self, workspace_id: &str) {
        self.turns(workspace_id, 1).await;
    }

    /// Waits for so many turns that follow each other, and returns with the last. Taken one by one, many callers would
    /// all wait for their first turns, and then make all their calls in half the time.
    pub async fn turns(&self, workspace_id: &str, n: u32) {
        let at = self.with_lane(workspace_id, |lane| {
            if lane.full.is_zero() {
                return None;
            }
            let first = lane.next.max(Instant::now());
            lane.next = first + lane.interval * n;
            Some(lane.next - lane.interval)
        });
        if let Some(at) = at {
            tokio::time::sleep_until(at.into()).await;
        }
    }

    /// Tells how a call went: `pushed_back` is a 429 (with what upstream asked us to wait) or a slow answer.
    pub fn note(&self, workspace_id: &str, pushed_back: Option<Duration>) {
        self.with_lane(workspace_id, |lane| match pushed_back {
            Some(wait) => {
                lane.interval = (lane.interval * 2).min(SLOWEST.max(lane.full));
                lane.next = lane.next.max(Instant::now() + wait);
            }
            // Additive increase of the rate is, near the full rate, a small fixed cut of the interval.
            None => lane.interval = lane.interval.saturating_sub(lane.full / 20).max(lane.full),
        });
    }

    fn with_lane<T>(&self, workspace_id: &str, f: impl FnOnce(&mut Lane) -> T) -> T {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(workspace_id.to_owned()).or_insert_with(|| Lane {
            next: Instant::now(),
            interval: self.interval,
            full: self.interval,
        });
        f(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_spaced_and_pushed_back() {
        let pacing = Pacing::new(Duration::from_millis(20));
        let begun = Instant::now();
        for _ in 0..5 {
            pacing.turn("w").await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(80));
        pacing.note("w", Some(Duration::from_millis(100)));
        let begun = Instant::now();
        pacing.turn("w").await;
        assert!(begun.elapsed() >= Duration::from_millis(90));
    }

    /// Ten callers who need two turns each are spread over all twenty.
    #[tokio::test]
    async fn turns_that_belong_together_follow_each_other() {
        let pacing = std::sync::Arc::new(Pacing::new(Duration::from_millis(10)));
        let begun = Instant::now();
        let callers: Vec<_> = (0..10)
            .map(|_| {
                let pacing = pacing.clone();
                tokio::spawn(async move {
                    pacing.turns("w", 2).await;
                    begun.elapsed().as_millis()
                })
            })
            .collect();
        let mut at = Vec::new();
        for caller in callers {
            at.push(caller.await.unwrap());
        }
        at.sort_unstable();
        for (n, at) in at.iter().enumerate() {
            assert!(*at >= n as u128 * 20 + 10, "the caller {n} after {at} ms");
        }
        assert!(at[0] < 110, "the first does not wait for the others: {at:?}");
    }

    #[tokio::test]
    async fn a_workspace_can_have_a_pace_of_its_own() {
        let pacing = Pacing::new(Duration::ZERO);
        pacing.set_pace("w", Duration::from_millis(20));
        let begun = Instant::now();
        for _ in 0..5 {
            pacing.turn("w").await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(80));
        pacing.set_pace("w", Duration::ZERO);
        let begun = Instant::now();
        for _ in 0..100 {
            pacing.turn("w").await;
        }
        assert!(begun.elapsed() < Duration::from_millis(80), "{:?}", begun.elapsed());
    }
}
