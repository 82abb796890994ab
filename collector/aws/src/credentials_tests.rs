use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use aws_credential_types::provider::future;
use tokio::sync::Semaphore;

use super::*;

/// Gives numbered credentials, or the failure that is asked for, to whoever has a permit.
#[derive(Debug)]
struct Scripted {
    life: Option<Duration>,
    clock: fn() -> SystemTime,
    calls: AtomicU64,
    permits: Semaphore,
    fails: AtomicU64,
}

impl Scripted {
    fn new(life: Option<u64>, clock: fn() -> SystemTime) -> Arc<Self> {
        let life = life.map(Duration::from_secs);
        let permits = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self { life, clock, calls: AtomicU64::new(0), permits, fails: AtomicU64::new(0) })
    }

    async fn answer(&self) -> Result<Credentials, CredentialsError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let _permit = self.permits.acquire().await.unwrap();
        if self.fails.load(Ordering::SeqCst) > 0 {
            return Err(CredentialsError::provider_error("down"));
        }
        let expiry = self.life.map(|life| (self.clock)() + life);
        Ok(Credentials::new(format!("key{number}"), "secret-text", None, expiry, "test"))
    }
}

#[derive(Debug)]
struct Provider(Arc<Scripted>);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.0.answer())
    }
}

/// A cache with a clock of its own, which stands still until it is set.
macro_rules! cache {
    ($life:expr) => {{
        static NOW: AtomicU64 = AtomicU64::new(1_000_000);
        fn clock() -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::SeqCst))
        }
        let script = Scripted::new($life, clock);
        let provider = SharedCredentialsProvider::new(Provider(script.clone()));
        let pass = |seconds: u64| {
            NOW.fetch_add(seconds, Ordering::SeqCst);
        };
        (CredentialsCache::with_clock(provider, clock), script, pass)
    }};
}

async fn key(cache: &CredentialsCache) -> String {
    cache.get().await.map_or_else(|error| error.to_string(), |found| found.access_key_id().to_owned())
}

#[test]
fn when_credentials_are_renewed() {
    let check = |life: u64, expected: u64| {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(renewal(at(1000), at(1000 + life)), at(1000 + expected), "{life}");
    };
    check(3600, 3300);
    check(900, 600);
    check(600, 300);
    check(400, 200);
    check(0, 0);
    assert_eq!(renewal(UNIX_EPOCH + AHEAD, UNIX_EPOCH), UNIX_EPOCH + AHEAD, "expired already");
}

#[tokio::test]
async fn fetched_once_and_again_before_the_end() {
    let (cache, script, pass) = cache!(Some(900));
    assert_eq!(key(&cache).await, "key1");
    pass(599);
    assert_eq!(key(&cache).await, "key1");
    pass(1);
    assert_eq!(key(&cache).await, "key2");
    assert_eq!(key(&cache).await, "key2");
    assert_eq!(script.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn static_ones_are_kept_until_refused() {
    let (cache, script, pass) = cache!(None);
    let first = cache.get().await.unwrap();
    pass(1_000_000_000);
    assert_eq!(key(&cache).await, "key1");
    cache.forget(&first);
    assert_eq!(key(&cache).await, "key2");
    // The report of another request comes late: what replaced them stays.
    cache.forget(&first);
    assert_eq!(key(&cache).await, "key2");
    assert_eq!(script.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_failure_matters_only_when_the_old_ones_have_expired() {
    let (cache, script, pass) = cache!(Some(900));
    assert_eq!(key(&cache).await, "key1");
    script.fails.store(1, Ordering::SeqCst);
    pass(700);
    assert_eq!(key(&cache).await, "key1");
    assert_eq!(key(&cache).await, "key1");
    assert_eq!(script.calls.load(Ordering::SeqCst), 2, "no attempt with every request");
    pass(60);
    assert_eq!(key(&cache).await, "key1");
    assert_eq!(script.calls.load(Ordering::SeqCst), 3);
    pass(200);
    assert!(key(&cache).await.contains("error"));
    script.fails.store(0, Ordering::SeqCst);
    assert_eq!(key(&cache).await, "key5");
}

#[tokio::test]
async fn one_fetches_and_the_others_wait_only_if_they_must() {
    let (cache, script, pass) = cache!(Some(900));
    let all = script.permits.forget_permits(Semaphore::MAX_PERMITS);
    let (first, second) = {
        let fetches = async { tokio::join!(key(&cache), key(&cache)) };
        let release = async {
            while script.calls.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            script.permits.add_permits(all);
        };
        tokio::join!(fetches, release).0
    };
    assert_eq!((first.as_str(), second.as_str()), ("key1", "key1"));
    pass(700);
    let all = script.permits.forget_permits(Semaphore::MAX_PERMITS);
    let fetching = key(&cache);
    let other = async {
        while script.calls.load(Ordering::SeqCst) == 1 {
            tokio::task::yield_now().await;
        }
        let old = key(&cache).await;
        script.permits.add_permits(all);
        old
    };
    let (new, old) = tokio::join!(fetching, other);
    assert_eq!((new.as_str(), old.as_str()), ("key2", "key1"));
    assert_eq!(script.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn secrets_are_not_shown() {
    let (cache, ..) = cache!(None);
    cache.get().await.unwrap();
    assert_eq!(format!("{cache:?}"), "CredentialsCache");
}
