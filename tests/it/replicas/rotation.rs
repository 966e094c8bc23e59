//! A key is replaced while clients call two replicas: no client that switches in time is refused, also in the seconds in
//! which one replica has not heard of what happened on the other.

use crate::{
    support::{chance::Chance, databases::Engine},
    testapp::{TestApp, client},
};
use gatehouse::{
    clock::HOUR,
    domain::keys::{Key, KeyKind, OVERLAPS, Scope},
    http::admin::rotate_key,
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

const WHOAMI: &str = "/api/v1/whoami";
const CLIENTS: usize = 24;
/// How long a whole overlap takes here: the clock is moved.
const OVERLAP: Duration = Duration::from_secs(4);
const STEPS: u32 = 80;

async fn key(app: &TestApp) -> (Key, String) {
    let secret = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    let id = app.app().access.key(&secret).unwrap().id.clone();
    (app.app().db.key(&app.ws, &id).await.unwrap().unwrap(), secret)
}

async fn call(http: &reqwest::Client, url: impl std::fmt::Display, key: &str) -> u16 {
    http.get(format!("{url}{WHOAMI}")).header("x-api-key", key).send().await.unwrap().status().as_u16()
}

/// Clients call both replicas in turn by chance. The key is rotated; each switches at a moment of its own, the first at
/// once and perhaps on the replica that has not heard of the new key, the last shortly before the old one's end.
pub async fn a_fleet_that_switches_at_random_is_never_refused(engine: Engine) {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let mut app = TestApp::spawn(engine).await;
    let other = app.replica().await;
    let urls = [app.url().to_owned(), other.url.clone()];
    for overlap in OVERLAPS.into_iter().filter(|overlap| *overlap > 0) {
        let (old, old_secret) = key(&app).await;
        app.until("both know the old key", || async { call(&client(), &urls[1], &old_secret).await == 200 })
            .await;
        let stop = tokio::sync::watch::channel(false);
        let new_secret = tokio::sync::watch::channel(String::new());
        // When the first call under the new key was answered, as the clients' time zero.
        let begun = Arc::new(OnceLock::<Instant>::new());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (mut chance, urls, old) = (chance.fork(), urls.clone(), old_secret.clone());
                let (stop, new, begun) = (stop.1.clone(), new_secret.1.clone(), begun.clone());
                // The first few begin the overlap; the others come within nine tenths of it.
                let after = if n < 3 {
                    Duration::ZERO
                } else {
                    chance.millis(0, OVERLAP.as_millis() as u64 * 9 / 10)
                };
                tokio::spawn(async move {
                    let http = client();
                    let (mut calls, mut refused, mut switched) = (0, Vec::new(), false);
                    while !*stop.borrow() {
                        let new = new.borrow().clone();
                        let due = n < 3 || begun.get().is_some_and(|begun| begun.elapsed() >= after);
                        switched |= !new.is_empty() && due;
                        let key = if switched { &new } else { &old };
                        let status = call(&http, chance.one(&urls), key).await;
                        if status != 200 {
                            refused.push((status, switched));
                        }
                        if switched {
                            let _ = begun.set(Instant::now());
                        }
                        calls += 1;
                        tokio::time::sleep(chance.millis(0, 30)).await;
                    }
                    (calls, refused, switched)
                })
            })
            .collect();
        tokio::time::sleep(chance.millis(100, 600)).await;
        let made = rotate_key(app.app(), &app.owner, "Owner", &old, overlap, None).await.unwrap();
        let (new, secret) = made.unwrap();
        new_secret.0.send(secret.clone()).unwrap();
        app.until("the new key is used", || async { begun.get().is_some() }).await;
        let moved = AtomicI64::new(0);
        for _ in 0..STEPS {
            tokio::time::sleep(OVERLAP / STEPS).await;
            // All but a hundredth of the overlap passes.
            let step = overlap / 100 * 99 / i64::from(STEPS);
            app.clock.advance(step);
            moved.fetch_add(step, Ordering::Relaxed);
        }
        stop.0.send(true).unwrap();
        let (mut calls, mut refused) = (0, Vec::new());
        for one in clients {
            let (made, not, switched) = one.await.unwrap();
            assert!(switched, "every client has switched");
            calls += made;
            refused.extend(not);
        }
        println!(
            "figure: rotation, a fleet on two replicas | calls = {calls}, violations = {}, clients = {CLIENTS}, \
             overlap = {} h, seed = {seed}",
            refused.len(),
            overlap / HOUR,
        );
        assert!(refused.is_empty(), "{refused:?}");
        // Then the old one ends on both.
        app.clock.advance(overlap - moved.load(Ordering::Relaxed));
        for url in &urls {
            assert_eq!(
                (call(&client(), url, &old_secret).await, call(&client(), url, &secret).await),
                (401, 200)
            );
        }
        let new = app.app().db.key(&app.ws, &new.id).await.unwrap().unwrap();
        assert!(!new.is_pending());
    }
    other.stop().await;
    app.running.take().unwrap().stop().await;
}

/// One client that switches once and never goes back is not refused; from then on the old key is, where the new one was
/// used at once, on the other replica within 5 s.
pub async fn without_an_overlap_one_client_is_never_refused(engine: Engine) {
    let mut chance = Chance::new(Chance::seed());
    let app = TestApp::spawn(engine).await;
    let other = app.replica().await;
    let urls = [app.url().to_owned(), other.url.clone()];
    let http = client();
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let (old, old_secret) = key(&app).await;
        for _ in 0..20 {
            // The replica that has not heard of a key yet asks; nobody waits for the next look.
            assert_eq!(call(&http, chance.one(&urls), &old_secret).await, 200);
        }
        let made = rotate_key(app.app(), &app.owner, "Owner", &old, 0, None).await.unwrap();
        let (_, secret) = made.unwrap();
        for _ in 0..20 {
            assert_eq!(call(&http, chance.one(&urls), &old_secret).await, 200);
        }
        let first = usize::from(chance.percent(50));
        assert_eq!(call(&http, &urls[first], &secret).await, 200);
        let switched = Instant::now();
        assert_eq!(call(&http, &urls[first], &old_secret).await, 401, "at once");
        for _ in 0..20 {
            assert_eq!(call(&http, chance.one(&urls), &secret).await, 200);
        }
        while call(&http, &urls[1 - first], &old_secret).await != 401 {
            assert!(switched.elapsed() < Duration::from_secs(10), "it is still let in");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(switched.elapsed());
    }
    println!(
        "figure: rotation without overlap | rotations = 5, violations = 0, old key refused on B after = {slowest:?}"
    );
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    other.stop().await;
}
