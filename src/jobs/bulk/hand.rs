//! The items of a job that the runner has in hand: which is next, which wait for another try, and which tenants are left
//! alone for a while. Keeps order and counts; knows no database and no upstream.

use crate::domain::jobs::JobItem;
use std::collections::{HashMap, HashSet, VecDeque};
use tokio::time::{Duration, Instant};

/// Items of one tenant under way at once: so many more fail at the most when its limit is reached.
const PER_TENANT: usize = 8;
/// With fewer items ready than this, more are fetched.
const LOW: usize = 128;
/// With more items waiting for another try than this, no new ones are fetched: memory stays flat.
const WAITING_MAX: usize = 1_000;
/// An item, or a tenant, that PostPost says nothing about is tried so many times.
pub(super) const TRIES: u32 = 8;
/// The longest wait between two tries, in first waits.
const LONGEST: u32 = 20;

/// An item in hand.
pub(super) struct Taken {
    pub item: JobItem,
    /// How often it was put off.
    pub tries: u32,
    /// Whether it was begun before.
    pub again: bool,
}

struct Unread {
    tries: u32,
    /// Until when the tenant is left alone; `None` while it is tried again.
    until: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Hand {
    ready: VecDeque<Taken>,
    waiting: Vec<(Instant, Taken)>,
    /// The numbers of all items in hand, those under way included.
    numbers: HashSet<i64>,
    /// How many items of a tenant are under way.
    busy: HashMap<String, usize>,
    unread: HashMap<String, Unread>,
    /// Nothing is pending but what is in hand, or of tenants left alone.
    drained: bool,
}

impl Hand {
    pub fn wants_more(&self) -> bool {
        !self.drained && self.ready.len() < LOW && self.waiting.len() < WAITING_MAX
    }

    /// How many items are in hand: those are fetched again and must be passed over.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Tenants whose items are not to be fetched now.
    pub fn left_alone(&self) -> Vec<&str> {
        self.unread.iter().filter(|(_, unread)| unread.until.is_some()).map(|(id, _)| id.as_str()).collect()
    }

    fn is_left_alone(&self, tenant_id: &str) -> bool {
        self.unread.get(tenant_id).is_some_and(|unread| unread.until.is_some())
    }

    /// Looks for more again: what was begun elsewhere may have been given back.
    pub fn look_again(&mut self) {
        self.drained = false;
    }

    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// Takes what was fetched, of which `all` says that there is no more.
    pub fn fill(&mut self, items: Vec<JobItem>, all: bool) {
        self.drained = all;
        for item in items {
            if !self.is_left_alone(&item.tenant_id) && self.numbers.insert(item.n) {
                self.ready.push_back(Taken { item, tries: 0, again: false });
            }
        }
    }

    /// The next item that may begin; it is under way from now on.
    pub fn next(&mut self, now: Instant) -> Option<Taken> {
        let due = self.waiting.iter().position(|(at, taken)| *at <= now && self.is_free(&taken.item));
        let taken = match due {
            Some(at) => self.waiting.swap_remove(at).1,
            None => {
                let at = self.ready.iter().position(|taken| self.is_free(&taken.item))?;
                self.ready.remove(at)?
            }
        };
        *self.busy.entry(taken.item.tenant_id.clone()).or_default() += 1;
        Some(taken)
    }

    fn is_free(&self, item: &JobItem) -> bool {
        self.busy.get(&item.tenant_id).is_none_or(|busy| *busy < PER_TENANT)
    }

    /// An item is no longer under way, nor in hand.
    pub fn put_down(&mut self, item: &JobItem) {
        self.numbers.remove(&item.n);
        if let Some(busy) = self.busy.get_mut(&item.tenant_id) {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(&item.tenant_id);
            }
        }
    }

    /// An item that was put down waits for another try.
    pub fn keep_for_later(&mut self, taken: Taken, at: Instant) {
        if !self.is_left_alone(&taken.item.tenant_id) {
            self.numbers.insert(taken.item.n);
            self.waiting.push((at, Taken { again: true, ..taken }));
        }
    }

    /// Drops what is in hand of a tenant and not under way.
    pub fn leave(&mut self, tenant_id: &str) {
        let numbers = &mut self.numbers;
        let mut stays = |taken: &Taken| {
            let stays = taken.item.tenant_id != tenant_id;
            if !stays {
                numbers.remove(&taken.item.n);
            }
            stays
        };
        self.ready.retain(&mut stays);
        self.waiting.retain(|(_, taken)| stays(taken));
    }

    /// A tenant's posts could not be read: it is left alone for a while. `false` if that was tried often enough.
    pub fn note_unread(&mut self, tenant_id: &str, now: Instant, first: Duration) -> bool {
        let unread = self.unread.entry(tenant_id.to_owned()).or_insert(Unread { tries: 0, until: None });
        // Of several items that found it so at the same time, one counts.
        if unread.until.is_some() {
            return true;
        }
        unread.tries += 1;
        unread.until = Some(now + wait(first, unread.tries));
        let goes_on = unread.tries < TRIES;
        if !goes_on {
            self.unread.remove(tenant_id);
        }
        self.leave(tenant_id);
        goes_on
    }

    /// A tenant's posts could be read.
    pub fn note_read(&mut self, tenant_id: &str) {
        self.unread.remove(tenant_id);
    }

    /// Lets the items of tenants whose time has come be fetched again.
    pub fn wake(&mut self, now: Instant) {
        for unread in self.unread.values_mut().filter(|unread| unread.until.is_some_and(|at| at <= now)) {
            unread.until = None;
            self.drained = false;
        }
    }

    /// When something that waits is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).chain(self.unread.values().filter_map(|u| u.until)).min()
    }

    /// Whether nothing is in hand and no tenant is waited for.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.unread.values().all(|unread| unread.until.is_none())
    }
}

/// The wait before a try: twice as long each time.
pub(super) fn wait(first: Duration, tries: u32) -> Duration {
    first * (1 << tries.saturating_sub(1).min(8)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{jobs::ItemState, posts::PostStatus};

    const FIRST: Duration = Duration::from_secs(3);

    fn item(n: i64, tenant: &str) -> JobItem {
        JobItem {
            n,
            tenant_id: tenant.into(),
            post_id: format!("p{n}"),
            expected_status: PostStatus::Draft,
            expected_at: None,
            expected_updated_at: 0,
            target_at: None,
            state: ItemState::Pending,
            code: None,
            message: None,
            granted_at: None,
            op_id: None,
            backup: None,
            created_id: None,
            attempts: 0,
            ended_at: None,
        }
    }

    fn numbers(hand: &mut Hand, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| hand.next(now)).map(|taken| taken.item.n).collect()
    }

    #[test]
    fn a_tenant_has_so_many_under_way() {
        let (mut hand, now) = (Hand::default(), Instant::now());
        hand.fill((0..20).map(|n| item(n, "a")).chain([item(20, "b")]).collect(), true);
        // What is in hand is fetched again, and passed over.
        hand.fill(vec![item(3, "a")], true);
        assert_eq!(numbers(&mut hand, now), [0, 1, 2, 3, 4, 5, 6, 7, 20]);
        hand.put_down(&item(0, "a"));
        assert_eq!(numbers(&mut hand, now), [8]);
        assert_eq!(hand.len(), 20);
    }

    #[test]
    fn what_is_put_off_comes_back_when_it_is_due() {
        let (mut hand, now) = (Hand::default(), Instant::now());
        hand.fill(vec![item(0, "a"), item(1, "a")], true);
        let first = hand.next(now).unwrap();
        hand.put_down(&first.item);
        hand.keep_for_later(first, now + FIRST);
        assert_eq!(numbers(&mut hand, now), [1]);
        assert_eq!(hand.next_due(), Some(now + FIRST));
        let again = hand.next(now + FIRST).unwrap();
        assert!(again.again && again.item.n == 0);
        for n in [0, 1] {
            hand.put_down(&item(n, "a"));
        }
        assert!(hand.is_empty());
    }

    #[test]
    fn a_tenant_that_cannot_be_read_is_given_up_after_some_tries() {
        let (mut hand, mut now) = (Hand::default(), Instant::now());
        let mut waited = Duration::ZERO;
        for tries in 1..TRIES {
            hand.fill(vec![item(0, "a"), item(1, "a"), item(2, "b")], true);
            let taken = hand.next(now).unwrap();
            hand.put_down(&taken.item);
            assert!(hand.note_unread("a", now, FIRST), "after {tries} tries");
            // A second item that found the same at the same time does not count.
            assert!(hand.note_unread("a", now, FIRST));
            hand.keep_for_later(taken, now);
            assert_eq!((numbers(&mut hand, now), hand.left_alone()), (vec![2], vec!["a"]));
            hand.put_down(&item(2, "b"));
            assert!(!hand.is_empty() && hand.next_due().is_some());
            waited += wait(FIRST, tries);
            now += wait(FIRST, tries);
            hand.wake(now);
            assert!(hand.left_alone().is_empty() && hand.wants_more());
        }
        assert!(!hand.note_unread("a", now, FIRST));
        assert!(waited < Duration::from_secs(300), "{waited:?}");
    }
}
