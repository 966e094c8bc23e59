//! How fast a caller may call: a token bucket per key and one per tenant, and one per address for those whose key nobody
//! has. Memory only, for this process alone: with several replicas each has buckets of its own. What is refused here is
//! counted, not audited: an entry per refused call would be the very load that is being refused.

use super::call::{Header, header};
use crate::domain::keys::RATE_MAX;
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::{StateInformationMiddleware, StateSnapshot},
};
use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{PoisonError, RwLock},
};

/// A bucket holds this many seconds of its rate: a client may fetch a page of posts and act on it at once, then goes on
/// at the rate. Also the window `w` that is stated to clients: `q` calls in `w` seconds.
pub const WINDOW: u32 = 5;
/// Refused keys of one address a second. Guessing a key is hopeless at any rate; this bounds what the guesses cost.
const STRANGER_RATE: u32 = 20;

/// Whose call it is, as far as counting goes. Names no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    pub key_id: String,
    /// The key's own rate, if it has one.
    pub rate: Option<u32>,
    pub workspace_id: String,
    /// `None`: the workspace's owner, who has no bucket of a tenant; such calls count on the key alone.
    pub tenant_id: Option<String>,
}

/// All buckets.
pub struct Limits {
    /// Of keys without a rate of their own.
    key_rate: u32,
    /// By rate. A key whose rate is changed begins with a full bucket.
    keys: RwLock<HashMap<u32, Buckets<String>>>,
    tenants: Option<Buckets<(String, String)>>,
    strangers: Option<Buckets<IpAddr>>,
}

/// How the caller stands with each limit that was looked at, after this call.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Standing(Vec<Level>);

#[derive(Debug, PartialEq, Eq)]
struct Level {
    limit: &'static str,
    rate: u32,
    remaining: u32,
}

/// The call must not be worked on.
#[derive(Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose limit it was.
    pub limit: &'static str,
    /// Seconds until a call can succeed, at least 1.
    pub retry_after: u64,
    pub standing: Standing,
}

impl Limits {
    /// Calls a second of one key that has no rate of its own, and of one tenant; 0 is no limit.
    pub fn new(key_rate: u32, tenant_rate: u32) -> Self {
        Self {
            key_rate,
            keys: RwLock::default(),
            tenants: Buckets::new("tenant", tenant_rate),
            strangers: Buckets::new("address", STRANGER_RATE),
        }
    }

    /// Takes a token of the key's and of the tenant's bucket. The key's first: what is refused to a key that calls too
    /// fast must cost the tenant's other keys nothing.
    pub fn take(&self, who: &Who) -> Result<Standing, Exceeded> {
        let mut standing = Standing::default();
        self.take_key(who, &mut standing)?;
        if let (Some(buckets), Some(tenant)) = (&self.tenants, &who.tenant_id) {
            buckets.take(&(who.workspace_id.clone(), tenant.clone()), &mut standing)?;
        }
        Ok(standing)
    }

    fn take_key(&self, who: &Who, standing: &mut Standing) -> Result<(), Exceeded> {
        let rate = self.rate_of(who.rate);
        if let Some(buckets) = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&rate) {
            return buckets.take(&who.key_id, standing);
        }
        let Some(new) = Buckets::new("key", rate) else { return Ok(()) };
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.entry(rate).or_insert(new).take(&who.key_id, standing)
    }

    /// Calls a second of a key with this rate of its own; 0 is no limit.
    pub fn rate_of(&self, own: Option<u32>) -> u32 {
        own.unwrap_or(self.key_rate).min(RATE_MAX)
    }

    /// Takes a token of an address that presented no key, or one nobody has.
    pub fn take_stranger(&self, from: IpAddr) -> Result<(), Exceeded> {
        let Some(buckets) = &self.strangers else { return Ok(()) };
        buckets.take(&network(from), &mut Standing::default())
    }

    /// Forgets the buckets that are full again.
    pub fn sweep(&self) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|_, buckets| {
            buckets.sweep();
            buckets.len() > 0
        });
        self.tenants.iter().for_each(Buckets::sweep);
        self.strangers.iter().for_each(Buckets::sweep);
    }

    /// Buckets in memory.
    pub fn len(&self) -> usize {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let keys = keys.values().map(Buckets::len).sum::<usize>();
        let tenants = self.tenants.as_ref().map_or(0, Buckets::len);
        keys + tenants + self.strangers.as_ref().map_or(0, Buckets::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Standing {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). `t` is when the bucket is full again.
    pub fn headers(&self) -> Vec<Header> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let list = |of: &dyn Fn(&Level) -> String| self.0.iter().map(of).collect::<Vec<_>>().join(", ");
        let policy = list(&|l| format!("\"{}\";q={};w={WINDOW}", l.limit, l.rate * WINDOW));
        let now = list(&|l| {
            let missing = (l.rate * WINDOW).saturating_sub(l.remaining);
            format!("\"{}\";r={};t={}", l.limit, l.remaining, missing.div_ceil(l.rate))
        });
        vec![header("ratelimit-policy", policy), header("ratelimit", now)]
    }
}

/// Buckets of one size, one for each `K`.
struct Buckets<K: Hash + Eq + Clone> {
    limit: &'static str,
    rate: u32,
    state: DefaultKeyedRateLimiter<K, StateInformationMiddleware>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(limit: &'static str, rate: u32) -> Option<Self> {
        let rate = rate.min(RATE_MAX);
        let quota = Quota::per_second(NonZeroU32::new(rate)?).allow_burst(NonZeroU32::new(rate * WINDOW)?);
        let state = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
        Some(Self { limit, rate, state })
    }

    fn take(&self, key: &K, standing: &mut Standing) -> Result<(), Exceeded> {
        let level = |remaining| Level { limit: self.limit, rate: self.rate, remaining };
        match self.state.check_key(key).map(|s: StateSnapshot| s.remaining_burst_capacity()) {
            Ok(remaining) => {
                standing.0.push(level(remaining));
                Ok(())
            }
            Err(until) => {
                standing.0.push(level(0));
                let wait = until.wait_time_from(DefaultClock::default().now());
                let retry_after = wait.as_secs_f64().ceil().max(1.0) as u64;
                Err(Exceeded { limit: self.limit, retry_after, standing: std::mem::take(standing) })
            }
        }
    }

    fn sweep(&self) {
        self.state.retain_recent();
        self.state.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.state.len()
    }
}

/// Who has an IPv6 address has 2^64 of them: the network is counted.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(key: &str, tenant: Option<&str>) -> Who {
        Who { key_id: key.into(), rate: None, workspace_id: "w".into(), tenant_id: tenant.map(Into::into) }
    }

    #[test]
    fn a_key_and_a_tenant_have_buckets_of_their_own() {
        let limits = Limits::new(1, 2);
        for left in (0..5).rev() {
            let standing = limits.take(&who("a", Some("t"))).unwrap();
            let headers = standing.headers();
            assert_eq!(headers[0].1, r#""key";q=5;w=5, "tenant";q=10;w=5"#);
            assert!(headers[1].1.contains(&format!(r#""key";r={left};t={}"#, 5 - left)), "{headers:?}");
        }
        for _ in 0..100 {
            let refused = limits.take(&who("a", Some("t"))).unwrap_err();
            assert_eq!((refused.limit, refused.retry_after), ("key", 1));
        }
        // What the first key was refused has cost the tenant nothing: another has five, and then a third none.
        let answers = |key, calls| -> Vec<_> {
            (0..calls).map(|_| limits.take(&who(key, Some("t"))).err().map(|e| e.limit)).collect()
        };
        assert_eq!(answers("b", 6), [None, None, None, None, None, Some("key")]);
        assert_eq!(answers("e", 1), [Some("tenant")]);
        // The same tenant id in another workspace is another tenant; a key that acts for the owner has only its own.
        assert!(limits.take(&Who { workspace_id: "v".into(), ..who("c", Some("t")) }).is_ok());
        assert_eq!(limits.take(&who("d", None)).unwrap().headers()[1].1, r#""key";r=4;t=1"#);
    }

    #[test]
    fn a_keys_own_rate_counts_instead_of_the_gateways() {
        for key_rate in [0, 1, 50] {
            let limits = Limits::new(key_rate, 0);
            let own = Who { rate: Some(2), ..who("a", None) };
            for left in (0..10).rev() {
                let headers = limits.take(&own).unwrap().headers();
                assert_eq!(headers[0].1, r#""key";q=10;w=5"#);
                assert!(headers[1].1.starts_with(&format!(r#""key";r={left};"#)), "{headers:?}");
            }
            assert_eq!(limits.take(&own).unwrap_err().limit, "key");
            // Another rate is another bucket, and another key has its own.
            assert!(limits.take(&Who { rate: Some(3), ..own.clone() }).is_ok());
            assert!(limits.take(&Who { key_id: "b".into(), ..own }).is_ok());
        }
    }

    #[test]
    fn no_rate_is_no_limit_and_says_nothing() {
        let limits = Limits::new(0, 0);
        for _ in 0..1_000 {
            assert!(limits.take(&who("a", Some("t"))).unwrap().headers().is_empty());
        }
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let limits = Limits::new(RATE_MAX, RATE_MAX);
        for n in 0..10_000 {
            limits.take(&who(&n.to_string(), Some(&n.to_string()))).unwrap();
        }
        assert_eq!(limits.len(), 20_000);
        // At 100,000 a second each was full again 10 microseconds after its call.
        std::iter::repeat_with(|| limits.sweep()).take(1_000).find(|()| limits.is_empty()).unwrap();
    }

    #[test]
    fn strangers_count_by_network() {
        let limits = Limits::new(0, 0);
        for n in 0..100 {
            limits.take_stranger(format!("2001:db8::{n:x}").parse().unwrap()).unwrap();
        }
        let refused = limits.take_stranger("2001:db8::ffff".parse().unwrap()).unwrap_err();
        assert_eq!(refused.limit, "address");
        assert!(limits.take_stranger("2001:db8:0:1::1".parse().unwrap()).is_ok());
        assert!(limits.take_stranger("::ffff:192.0.2.1".parse().unwrap()).is_ok());
    }
}
