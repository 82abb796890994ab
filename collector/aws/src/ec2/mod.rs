//! Questions to EC2 (Query API, version 2016-11-15): tags and volumes of an instance, and the instance itself.

pub mod answer;
#[cfg(test)]
mod tests;
mod xml;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use component::causes;
use http::{Request, Uri, header};
use net::{HttpOnce, PiecesBody};

use self::answer::{AnswerError, Page};
pub use self::xml::XmlError;
use crate::codes::{DENIED, PASSING, THROTTLING, UNAUTHORIZED, cut, hushed};
use crate::credentials::CredentialsCache;
use crate::sign::{sha256, sign};
use crate::{Session, SessionError};

/// The name of the service in signatures.
const SERVICE: &str = "ec2";
/// The version of the API.
const VERSION: &str = "2016-11-15";
/// The longest answer that is read: a page is far smaller.
const MAX_ANSWER: usize = 4 << 20;
/// How many pages of a list are read. An instance has at most 50 tags and a few dozen volumes.
const MAX_PAGES: usize = 20;
/// The longest that an attempt takes where the session sets no limit.
const TIMEOUT: Duration = Duration::from_secs(30);
/// From an attempt to the next, the first time; then it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// A tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tag {
    /// `aws:autoscaling:groupName`
    pub key: String,
    /// May be empty.
    pub value: String,
}

/// An EBS volume where it is attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// `vol-0123456789abcdef0`
    pub id: String,
    /// The name that it was attached under, such as `/dev/sdf`; the kernel may have another.
    pub device: String,
    /// `us-west-2a`
    pub availability_zone: String,
}

/// An instance. What EC2 does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// `i-0123456789abcdef0`
    pub id: String,
    /// `m5.large`
    pub instance_type: String,
    /// `ami-0123456789abcdef0`
    pub image_id: String,
    /// `us-west-2a`
    pub availability_zone: String,
    /// The primary IPv4 address.
    pub private_ip: String,
    /// `ip-10-0-1-2.us-west-2.compute.internal`
    pub private_dns_name: String,
    /// All of them.
    pub tags: Vec<Tag>,
}

/// Why EC2 did not say it.
#[derive(Debug, thiserror::Error)]
pub enum Ec2Error {
    /// There are none, or EC2 does not know them.
    #[error("no AWS credentials that EC2 takes: {0}")]
    Credentials(String),
    /// The credentials do not allow it.
    #[error("not allowed to ask EC2: allow the role {action} ({message})")]
    Denied {
        /// The IAM action that is missing: `ec2:DescribeTags`.
        action: &'static str,
        /// What EC2 says.
        message: String,
    },
    /// The account asks too often.
    #[error("{action}: EC2 is asked too often by this account")]
    Throttled {
        /// `ec2:DescribeTags`
        action: &'static str,
    },
    /// EC2 refuses for another reason, or does not work.
    #[error("{action}: EC2 answers with status {status}{}", said(code, message))]
    Status {
        /// `ec2:DescribeTags`
        action: &'static str,
        /// The HTTP status.
        status: u16,
        /// EC2's code; may be empty.
        code: String,
        /// What EC2 says; may be empty.
        message: String,
    },
    /// There is no answer.
    #[error("{action}: no answer of EC2")]
    Unreachable {
        /// `ec2:DescribeTags`
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that is not understood.
    #[error("{action}: the answer of EC2 is malformed")]
    Malformed {
        /// `ec2:DescribeTags`
        action: &'static str,
        /// Why.
        #[source]
        source: AnswerError,
    },
    /// A list that does not end.
    #[error("{action}: the list of EC2 has more than {MAX_PAGES} pages")]
    TooLong {
        /// `ec2:DescribeTags`
        action: &'static str,
    },
    /// The request cannot be made.
    #[error("{action}: the request to EC2 cannot be made")]
    Request {
        /// `ec2:DescribeTags`
        action: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// EC2 in a session's region. Clones share credentials. There are no idle connections: questions are rare.
#[derive(Clone)]
pub struct Ec2(Arc<Inner>);

struct Inner {
    http: HttpOnce,
    url: Uri,
    region: String,
    credentials: Arc<CredentialsCache>,
    attempts: u32,
    timeout: Duration,
}

/// A question: its action, with and without the service's name, and its filters.
struct Question<'a> {
    action: &'static str,
    filters: &'a [(&'a str, &'a str)],
}

/// What an attempt came to.
enum Attempt {
    /// An answer that is a success.
    Answer(Bytes),
    /// Another attempt may do.
    Passing(Ec2Error),
    /// The credentials are not good any more; new ones are fetched with the next attempt.
    Refused(Ec2Error),
    /// The same would come of another one.
    Final(Ec2Error),
}

impl fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ec2")
            .field("url", &self.0.url)
            .field("region", &self.0.region)
            .finish_non_exhaustive()
    }
}

impl Ec2 {
    /// EC2 by way of a session. Nothing is sent yet.
    ///
    /// # Errors
    /// The session's endpoint or proxy cannot be used.
    pub fn new(session: &Session) -> Result<Self, SessionError> {
        let timeout = Some(*session.http.timeout).filter(|timeout| !timeout.is_zero());
        Ok(Self(Arc::new(Inner {
            http: HttpOnce::new(session.http.clone(), &[])?,
            url: session.ec2_url.clone()?,
            region: session.region.clone(),
            credentials: session.credentials.clone(),
            attempts: session.attempts,
            timeout: timeout.unwrap_or(TIMEOUT),
        })))
    }

    /// The tags of an instance. Needs the permission `ec2:DescribeTags`.
    ///
    /// # Errors
    /// See [`Ec2Error`].
    pub async fn tags(&self, instance_id: &str) -> Result<Vec<Tag>, Ec2Error> {
        let filters = [("resource-type", "instance"), ("resource-id", instance_id)];
        self.0.list(Question { action: "ec2:DescribeTags", filters: &filters }, answer::tags).await
    }

    /// The EBS volumes that are attached to an instance. Needs the permission `ec2:DescribeVolumes`.
    ///
    /// # Errors
    /// See [`Ec2Error`].
    pub async fn volumes(&self, instance_id: &str) -> Result<Vec<Volume>, Ec2Error> {
        let filters = [("attachment.instance-id", instance_id)];
        let question = Question { action: "ec2:DescribeVolumes", filters: &filters };
        self.0.list(question, |body| answer::volumes(body, instance_id)).await
    }

    /// An instance; none if there is no such instance in the region. Needs the permission `ec2:DescribeInstances`.
    ///
    /// # Errors
    /// See [`Ec2Error`].
    pub async fn instance(&self, instance_id: &str) -> Result<Option<Instance>, Ec2Error> {
        let filters = [("instance-id", instance_id)];
        let question = Question { action: "ec2:DescribeInstances", filters: &filters };
        let found = self.0.list(question, answer::instances).await?;
        Ok(found.into_iter().find(|instance| instance.id == instance_id))
    }
}

impl Inner {
    /// All pages of a list. A page that fails fails the list: a part of it would look like all.
    async fn list<T>(
        &self,
        question: Question<'_>,
        read: impl Fn(&[u8]) -> Result<Page<T>, AnswerError>,
    ) -> Result<Vec<T>, Ec2Error> {
        let action = question.action;
        let (mut found, mut token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let body = self.ask(action, question.body(token.as_deref())).await?;
            let page = read(&body).map_err(|source| Ec2Error::Malformed { action, source })?;
            found.extend(page.items);
            token = page.next_token;
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Ec2Error::TooLong { action })
    }

    /// The answer to a question, attempted several times where that helps.
    async fn ask(&self, action: &'static str, body: Bytes) -> Result<Bytes, Ec2Error> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let last = attempt >= self.attempts;
            match self.attempt(action, body.clone()).await {
                Attempt::Answer(body) => return Ok(body),
                Attempt::Final(error) => return Err(error),
                Attempt::Passing(error) | Attempt::Refused(error) if last => return Err(error),
                Attempt::Refused(_) => {}
                Attempt::Passing(error) => {
                    tracing::debug!(error = causes(&error), attempt, "asking EC2 again");
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Err(Ec2Error::Throttled { action })
    }

    async fn attempt(&self, action: &'static str, body: Bytes) -> Attempt {
        let credentials = match self.credentials.get().await {
            Ok(credentials) => credentials,
            Err(error) => return Attempt::Final(Ec2Error::Credentials(causes(&error))),
        };
        let request = match self.request(body, &credentials) {
            Ok(request) => request,
            Err(source) => return Attempt::Final(Ec2Error::Request { action, source }),
        };
        let sent = tokio::time::timeout(self.timeout, self.http.send(request, MAX_ANSWER)).await;
        let unreachable = |source| Attempt::Passing(Ec2Error::Unreachable { action, source });
        match sent {
            Err(_) => unreachable(format!("it takes longer than {:?}", self.timeout).into()),
            Ok(Err(failure)) => unreachable(failure.into()),
            Ok(Ok(answer)) if answer.status.is_success() => Attempt::Answer(answer.body),
            Ok(Ok(answer)) => {
                let judged = judge(action, answer.status.as_u16(), &answer.body, &credentials);
                if matches!(judged, Attempt::Refused(_)) {
                    self.credentials.forget(&credentials);
                }
                judged
            }
        }
    }

    fn request(
        &self,
        body: Bytes,
        credentials: &Credentials,
    ) -> Result<Request<PiecesBody>, Box<dyn std::error::Error + Send + Sync>> {
        let digest = sha256(std::slice::from_ref(&body));
        let mut request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
            .body(PiecesBody::from(body))?;
        sign(&mut request, digest, SERVICE, &self.region, credentials, SystemTime::now())?;
        Ok(request)
    }
}

impl Question<'_> {
    /// The form that asks.
    fn body(&self, token: Option<&str>) -> Bytes {
        let operation = self.action.rsplit(':').next().unwrap_or_default();
        let mut form = format!("Action={operation}&Version={VERSION}");
        for (number, (name, value)) in (1..).zip(self.filters) {
            let (name, value) = (encoded(name), encoded(value));
            form.push_str(&format!("&Filter.{number}.Name={name}&Filter.{number}.Value.1={value}"));
        }
        if let Some(token) = token {
            form.push_str("&NextToken=");
            form.push_str(&encoded(token));
        }
        form.into()
    }
}

/// What an answer that is no success means.
fn judge(action: &'static str, status: u16, body: &[u8], credentials: &Credentials) -> Attempt {
    let refusal = answer::refusal(String::from_utf8_lossy(body).as_bytes());
    let code = cut(&hushed(&refusal.code, credentials));
    let message = plain(&hushed(&refusal.message, credentials));
    match (refusal.code.as_str(), status) {
        (code, _) if THROTTLING.contains(&code) => Attempt::Passing(Ec2Error::Throttled { action }),
        (code, _) if UNAUTHORIZED.contains(&code) => {
            Attempt::Refused(Ec2Error::Credentials(format!("{code}: {message}")))
        }
        (code, _) if DENIED.contains(&code) => Attempt::Final(Ec2Error::Denied { action, message }),
        ("", 429) => Attempt::Passing(Ec2Error::Throttled { action }),
        (known, _) => {
            let passing = PASSING.contains(&known) || status >= 500;
            let error = Ec2Error::Status { action, status, code, message };
            if passing { Attempt::Passing(error) } else { Attempt::Final(error) }
        }
    }
}

/// Code and message behind a status, as far as there are any.
fn said(code: &str, message: &str) -> String {
    let texts = [code, message].into_iter().filter(|text| !text.is_empty());
    texts.map(|text| format!(": {text}")).collect()
}

/// A message without what only AWS can decode.
fn plain(message: &str) -> String {
    cut(message.split("Encoded authorization failure message").next().unwrap_or_default().trim())
}

/// Between a half and the whole of a pause, so that machines that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

/// A value for a form.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
