//! The pace of background work: per workspace, jobs and mirror together, so many calls a second and no burst. Where both
//! want more than there is, each has half; where one wants less, the other has the rest. Slows down when upstream says so,
//! and comes back slowly. The tenant door is never paced.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The slowest pace a workspace is held back to.
const SLOWEST: Duration = Duration::from_secs(5);

/// Who asks for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Bulk jobs, and what settles calls in doubt.
    Jobs,
    Mirror,
}

/// Paces of all workspaces.
pub struct Pacing {
    /// The time between two calls at full speed; zero lifts pacing.
    interval: Duration,
    roads: Mutex<HashMap<String, Road>>,
}

struct Road {
    next: Instant,
    interval: Duration,
    /// The interval at full speed.
    full: Duration,
    /// Whoever waits in a lane stands in its queue, and only the first of it asks for a turn. So two lanes with work
    /// alternate, however many wait in each.
    queues: [Arc<tokio::sync::Mutex<()>>; 2],
}

impl Pacing {
    /// `interval`: the time between two calls of a workspace.
    pub fn new(interval: Duration) -> Self {
        Self { interval, roads: Mutex::default() }
    }

    /// The time between two calls at full speed.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Gives a workspace a full speed of its own: the time between two of its calls; zero lifts its pacing.
    pub fn set_pace(&self, workspace_id: &str, interval: Duration) {
        self.with_road(workspace_id, |road| {
            if road.full != interval {
                (road.full, road.interval) = (interval, interval);
            }
        });
    }

    /// Waits for so many turns of one of the workspace's lanes that follow each other, and returns with the last. Taken
    /// one by one, many callers would all wait for their first turns, and then make all their calls in half the time.
    pub async fn turns(&self, workspace_id: &str, lane: Lane, n: u32) {
        let (full, queue) =
            self.with_road(workspace_id, |road| (road.full, road.queues[lane as usize].clone()));
        if full.is_zero() {
            return;
        }
        let _first = queue.lock().await;
        let at = self.with_road(workspace_id, |road| {
            road.next = road.next.max(Instant::now()) + road.interval * n;
            road.next - road.interval
        });
        tokio::time::sleep_until(at.into()).await;
    }

    /// Tells how a call went: `pushed_back` is a 429 (with what upstream asked us to wait) or a slow answer.
    pub fn note(&self, workspace_id: &str, pushed_back: Option<Duration>) {
        self.with_road(workspace_id, |road| match pushed_back {
            Some(wait) => {
                road.interval = (road.interval * 2).min(SLOWEST.max(road.full));
                road.next = road.next.max(Instant::now() + wait);
            }
            // The rate grows by a twentieth of the full one, so that twenty good calls bring it back from anywhere. A fixed
            // cut of the interval would take a thousand from the slowest pace.
            None if road.interval > road.full => {
                let rate = road.interval.as_secs_f64().recip() + (road.full * 20).as_secs_f64().recip();
                road.interval = Duration::try_from_secs_f64(rate.recip()).unwrap_or(road.full).max(road.full);
            }
            None => {}
        });
    }

    fn with_road<T>(&self, workspace_id: &str, f: impl FnOnce(&mut Road) -> T) -> T {
        let mut roads = self.roads.lock().unwrap_or_else(PoisonError::into_inner);
        let road = roads.entry(workspace_id.to_owned()).or_insert_with(|| Road {
            next: Instant::now(),
            interval: self.interval,
            full: self.interval,
            queues: Default::default(),
        });
        f(road)
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
            pacing.turns("w", Lane::Jobs, 1).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(80));
        pacing.note("w", Some(Duration::from_millis(100)));
        let begun = Instant::now();
        pacing.turns("w", Lane::Jobs, 1).await;
        assert!(begun.elapsed() >= Duration::from_millis(90));
    }

    #[test]
    fn twenty_good_calls_bring_the_full_speed_back() {
        let pacing = Pacing::new(Duration::from_millis(100));
        let interval = || pacing.with_road("w", |road| road.interval);
        for _ in 0..10 {
            pacing.note("w", Some(Duration::ZERO));
        }
        assert_eq!(interval(), SLOWEST);
        let mut last = interval();
        for _ in 0..20 {
            pacing.note("w", None);
            assert!(interval() < last, "it comes back step by step");
            last = interval();
        }
        pacing.note("w", None);
        assert_eq!(interval(), Duration::from_millis(100));
        let lifted = Pacing::new(Duration::ZERO);
        lifted.note("w", Some(Duration::ZERO));
        lifted.note("w", None);
        assert_eq!(lifted.with_road("w", |road| road.interval), Duration::ZERO);
    }

    /// Ten callers who need two turns each are spread over all twenty.
    #[tokio::test]
    async fn turns_that_belong_together_follow_each_other() {
        let pacing = Arc::new(Pacing::new(Duration::from_millis(10)));
        let begun = Instant::now();
        let callers: Vec<_> = (0..10)
            .map(|_| {
                let pacing = pacing.clone();
                tokio::spawn(async move {
                    pacing.turns("w", Lane::Jobs, 2).await;
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
            pacing.turns("w", Lane::Jobs, 1).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(80));
        pacing.set_pace("w", Duration::ZERO);
        let begun = Instant::now();
        for _ in 0..100 {
            pacing.turns("w", Lane::Jobs, 1).await;
        }
        assert!(begun.elapsed() < Duration::from_millis(80), "{:?}", begun.elapsed());
    }

    /// How many of so many turns each lane has, if so many callers of each want as many as they can have.
    async fn shares(turns: usize, jobs: usize, mirrors: usize) -> [usize; 2] {
        let pacing = Arc::new(Pacing::new(Duration::from_millis(2)));
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut callers = tokio::task::JoinSet::new();
        for lane in [vec![Lane::Jobs; jobs], vec![Lane::Mirror; mirrors]].concat() {
            let (pacing, told) = (pacing.clone(), told.clone());
            callers.spawn(async move {
                loop {
                    pacing.turns("w", lane, 1).await;
                    let _ = told.send(lane);
                }
            });
        }
        let mut counts = [0; 2];
        for _ in 0..turns {
            counts[heard.recv().await.unwrap() as usize] += 1;
        }
        counts
    }

    #[tokio::test]
    async fn jobs_and_mirror_have_half_each_and_one_alone_has_all() {
        for (jobs, mirrors) in [(8, 1), (1, 8), (8, 4)] {
            let [of_jobs, of_mirror] = shares(60, jobs, mirrors).await;
            assert!(of_jobs.abs_diff(of_mirror) <= 16, "{jobs}:{mirrors} waiting gave {of_jobs}:{of_mirror}");
        }
        assert_eq!(shares(20, 0, 3).await, [0, 20]);
        assert_eq!(shares(20, 3, 0).await, [20, 0]);
    }
}
