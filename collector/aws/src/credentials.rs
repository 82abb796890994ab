//! Credentials: where they come from, and how long they are kept.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

/// Credentials are fetched anew this long before they expire, but not in the first half of their life.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// How long a failure to fetch new ones is waited out while the old ones hold.
const PAUSE: Duration = Duration::from_secs(60);

/// Credentials that are kept until shortly before they expire. One caller at a time fetches new ones; as long as the old
/// ones hold, nobody waits for that.
pub(crate) struct CredentialsCache {
    provider: SharedCredentialsProvider,
    clock: fn() -> SystemTime,
    held: Mutex<Option<Held>>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Held {
    credentials: Credentials,
    /// When new ones are fetched; never for those without an expiry.
    renewal: Option<SystemTime>,
}

impl CredentialsCache {
    pub(crate) fn new(provider: SharedCredentialsProvider) -> Arc<Self> {
        Self::with_clock(provider, SystemTime::now)
    }

    fn with_clock(provider: SharedCredentialsProvider, clock: fn() -> SystemTime) -> Arc<Self> {
        Arc::new(Self { provider, clock, held: Mutex::default(), fetching: tokio::sync::Mutex::default() })
    }

    /// Credentials that hold.
    ///
    /// # Errors
    /// There are none, or new ones cannot be fetched and the old ones have expired.
    pub(crate) async fn get(&self) -> Result<Credentials, CredentialsError> {
        if let Some(fresh) = self.held().filter(|held| !held.is_due((self.clock)())) {
            return Ok(fresh.credentials);
        }
        let old = self.held().filter(|held| held.holds((self.clock)()));
        let fetching = match (self.fetching.try_lock(), old) {
            (Ok(fetching), _) => fetching,
            (Err(_), Some(old)) => return Ok(old.credentials),
            (Err(_), None) => self.fetching.lock().await,
        };
        // Whoever had the lock may have fetched them in the meantime.
        if let Some(fresh) = self.held().filter(|held| !held.is_due((self.clock)())) {
            return Ok(fresh.credentials);
        }
        let result = self.fetch().await;
        drop(fetching);
        result
    }

    /// Forgets the credentials that a service no longer takes, unless they were replaced already.
    pub(crate) fn forget(&self, refused: &Credentials) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|held| held.credentials == *refused) {
            *held = None;
        }
    }

    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        // The SDK logs answers that it does not understand, whatever they hold. Its errors are told here, in words alone.
        let fetched = self.provider.provide_credentials().with_subscriber(Dispatch::none()).await;
        let now = (self.clock)();
        match fetched {
            Ok(credentials) => {
                let renewal = credentials.expiry().map(|expiry| renewal(now, expiry));
                self.hold(Held { credentials: credentials.clone(), renewal });
                Ok(credentials)
            }
            Err(error) => match self.held().filter(|held| held.holds(now)) {
                Some(old) => {
                    tracing::warn!(
                        error = component::causes(&error),
                        "fetching new AWS credentials failed, the old ones are still good"
                    );
                    self.hold(Held { renewal: Some(now + PAUSE), ..old.clone() });
                    Ok(old.credentials)
                }
                None => Err(error),
            },
        }
    }

    fn held(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, new: Held) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
    }
}

impl fmt::Debug for CredentialsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsCache")
    }
}

impl Held {
    fn is_due(&self, now: SystemTime) -> bool {
        self.renewal.is_some_and(|renewal| renewal <= now)
    }

    fn holds(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|expiry| expiry > now)
    }
}

/// When credentials that were fetched `now` are fetched anew.
fn renewal(now: SystemTime, expiry: SystemTime) -> SystemTime {
    let life = expiry.duration_since(now).unwrap_or_default();
    now + (life / 2).max(life.saturating_sub(AHEAD))
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
