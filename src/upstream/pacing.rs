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
}

impl Pacing {
    /// `interval`: the time between two calls of a workspace.
    pub fn new(interval: Duration) -> Self {
        Self { interval, lanes: Mutex::default() }
    }

    /// Waits for the workspace's next turn.
    pub async fn turn(&self, workspace_id: &str) {
        if self.interval.is_zero() {
            return;
        }
        let at = self.with_lane(workspace_id, |lane| {
            let at = lane.next.max(Instant::now());
            lane.next = at + lane.interval;
            at
        });
        tokio::time::sleep_until(at.into()).await;
    }

    /// Tells how a call went: `pushed_back` is a 429 (with what upstream asked us to wait) or a slow answer.
    pub fn note(&self, workspace_id: &str, pushed_back: Option<Duration>) {
        let full = self.interval;
        self.with_lane(workspace_id, |lane| match pushed_back {
            Some(wait) => {
                lane.interval = (lane.interval * 2).min(SLOWEST.max(full));
                lane.next = lane.next.max(Instant::now() + wait);
            }
            // Additive increase of the rate is, near the full rate, a small fixed cut of the interval.
            None => lane.interval = lane.interval.saturating_sub(full / 20).max(full),
        });
    }

    fn with_lane<T>(&self, workspace_id: &str, f: impl FnOnce(&mut Lane) -> T) -> T {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes
            .entry(workspace_id.to_owned())
            .or_insert_with(|| Lane { next: Instant::now(), interval: self.interval });
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
}
