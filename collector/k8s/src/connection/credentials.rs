//! Who asks, as requests and handshakes say it: read anew in time.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use confmap::Secret;
use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::Credentials;
use super::exec;
use crate::Error;

/// How old a token from a file may be.
pub(super) const TOKEN_AGE: Duration = Duration::from_secs(60);

/// How soon a file that cannot be read, or a command that failed, is tried again while there is an older token.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// How often a command is run at most because its credentials are refused.
const COMMAND_PAUSE: Duration = Duration::from_secs(30);

/// The longest token that is read, in bytes.
const LONGEST_TOKEN: u64 = 64 << 10;

/// The source of what is issued, and what was issued last.
pub(super) struct Authority {
    source: Credentials,
    issued: Mutex<Option<Issued>>,
}

/// What says who we are.
#[derive(Clone, Default)]
pub(super) struct Issued {
    /// The value of `Authorization`.
    pub(super) header: Option<HeaderValue>,
    /// What handshakes show.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// When it is to be issued anew; absent if never.
    until: Option<Instant>,
    /// When it was issued.
    since: Option<Instant>,
}

/// A certificate with its key, as PEM.
pub(super) struct Certificate {
    pub(super) chain: Secret,
    pub(super) key: Secret,
}

impl Authority {
    pub(super) fn new(source: Credentials) -> Self {
        Self { source, issued: Mutex::new(None) }
    }

    /// What is valid now.
    pub(super) async fn current(&self) -> Result<Issued, Error> {
        let now = Instant::now();
        let mut last = self.issued.lock().await;
        if let Some(issued) = last.as_ref().filter(|issued| issued.until.is_none_or(|until| now < until)) {
            return Ok(issued.clone());
        }
        match (self.issue().await, last.as_mut()) {
            (Ok(issued), _) => Ok(last.insert(issued).clone()),
            // The server decides whether it is still good.
            (Err(error), Some(issued)) => {
                tracing::debug!(%error, "keeping the older credentials");
                issued.until = Some(now + TRY_AGAIN);
                Ok(issued.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Something else than what the server refused, if there is anything.
    pub(super) async fn renew(&self, refused: &Issued) -> Result<Option<Issued>, Error> {
        let mut last = self.issued.lock().await;
        if let Some(issued) = last.as_ref().filter(|issued| !issued.is_same(refused)) {
            return Ok(Some(issued.clone()));
        }
        let pause = match self.source {
            Credentials::None | Credentials::Token(_) | Credentials::Basic { .. } => return Ok(None),
            Credentials::TokenFile(_) => Duration::ZERO,
            Credentials::Exec(_) => COMMAND_PAUSE,
        };
        if refused.since.is_some_and(|since| since.elapsed() < pause) {
            return Ok(None);
        }
        let issued = last.insert(self.issue().await?);
        Ok(Some(&*issued).filter(|issued| !issued.is_same(refused)).cloned())
    }

    async fn issue(&self) -> Result<Issued, Error> {
        let now = Instant::now();
        match &self.source {
            Credentials::None => Ok(Issued::default()),
            Credentials::Token(token) => Issued::bearer(token, None, now),
            Credentials::TokenFile(path) => {
                let token = token(path.clone()).await.map_err(|reason| {
                    Error::Credentials(format!("cannot read the token file {}: {reason}", path.display()))
                })?;
                Issued::bearer(&token, Some(now + TOKEN_AGE), now)
            }
            Credentials::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                Ok(Issued { header: Some(header("Basic", &pair)?), since: Some(now), ..Issued::default() })
            }
            Credentials::Exec(command) => {
                let answer = exec::run(command).await.map_err(|reason| {
                    Error::Credentials(format!("the credential plugin {:?}: {reason}", command.command))
                })?;
                let certificate = answer.certificate.map(Arc::new);
                let until = answer.valid.map(|valid| now + valid);
                let bearer = match &answer.token {
                    Some(token) => Issued::bearer(token, until, now)?,
                    None => Issued { until, since: Some(now), ..Issued::default() },
                };
                Ok(Issued { certificate, ..bearer })
            }
        }
    }
}

impl Issued {
    fn bearer(token: &Secret, until: Option<Instant>, now: Instant) -> Result<Self, Error> {
        Ok(Self {
            header: Some(header("Bearer", token.expose())?),
            until,
            since: Some(now),
            certificate: None,
        })
    }

    /// Whether the same handshake serves both.
    pub(super) fn shows_same_certificate(&self, other: &Self) -> bool {
        match (&self.certificate, &other.certificate) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.header == other.header && self.shows_same_certificate(other)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("until", &self.until).finish_non_exhaustive()
    }
}

fn header(scheme: &str, secret: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(format!("{scheme} {secret}")).map_err(|_| {
        Error::Credentials("the token cannot be sent: it holds control characters".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The token in a file.
async fn token(path: PathBuf) -> Result<Secret, String> {
    let read = move || {
        let mut text = String::new();
        std::fs::File::open(path)?.take(LONGEST_TOKEN).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let text = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?;
    let text = text.map_err(|error| error.to_string())?;
    let token = text.trim();
    if token.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(token)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(issued: &Issued) -> &str {
        issued.header.as_ref().map_or("-", |value| value.to_str().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_file_is_read_every_minute_and_when_it_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| std::fs::write(file.path(), text).unwrap();
        let authority = Authority::new(Credentials::TokenFile(file.path().to_owned()));
        let error = authority.current().await.unwrap_err().to_string();
        assert!(error.ends_with("it is empty"), "{error}");
        write("one\n");
        assert_eq!(shown(&authority.current().await.unwrap()), "Bearer one");
        write("two");
        tokio::time::advance(Duration::from_secs(59)).await;
        let refused = authority.current().await.unwrap();
        assert_eq!(shown(&refused), "Bearer one");
        assert_eq!(shown(&authority.renew(&refused).await.unwrap().unwrap()), "Bearer two");
        let refused = authority.current().await.unwrap();
        assert!(authority.renew(&refused).await.unwrap().is_none(), "nothing else is there");
        write("three");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(shown(&authority.current().await.unwrap()), "Bearer three");
        // While the file is being replaced the older token goes on.
        std::fs::remove_file(file.path()).unwrap();
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(shown(&authority.current().await.unwrap()), "Bearer three");
        write("four");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(shown(&authority.current().await.unwrap()), "Bearer four");
    }

    #[tokio::test]
    async fn what_is_said_of_whom() {
        async fn check(source: Credentials, expected: &str) {
            let authority = Authority::new(source);
            let issued = authority.current().await.unwrap();
            assert_eq!(shown(&issued), expected);
            assert!(issued.header.as_ref().is_none_or(HeaderValue::is_sensitive));
            assert!(authority.renew(&issued).await.unwrap().is_none());
        }
        check(Credentials::None, "-").await;
        check(Credentials::Token(Secret::new("t")), "Bearer t").await;
        let basic = Credentials::Basic { username: "u".into(), password: Secret::new("p") };
        check(basic, "Basic dTpw").await;
        let broken = Authority::new(Credentials::Token(Secret::new("a\nb")));
        let error = broken.current().await.unwrap_err().to_string();
        assert!(error.contains("control characters") && !error.contains("a\nb"), "{error}");
    }
}
