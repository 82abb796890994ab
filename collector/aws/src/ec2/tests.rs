//! EC2 behind a fake: what it is asked, and what its answers come to.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_credential_types::provider::SharedCredentialsProvider;

use super::*;
use crate::SessionConfig;
use crate::testing::{Answer, Asked, Fake, credentials, session};

const XML: &str = "content-type: text/xml;charset=UTF-8\r\n";

async fn ec2(fake: &Fake, config: &SessionConfig) -> Ec2 {
    let provider = SharedCredentialsProvider::new(credentials(Some("a-session"), None));
    Ec2::new(&session(config, &fake.url(), provider).await).unwrap()
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    (status, XML, format!("<Response><Errors>{error}</Errors><RequestID>x</RequestID></Response>"))
}

fn tags(next: &str, keys: &[&str]) -> Answer {
    let items: String =
        keys.iter().map(|key| format!("<item><key>{key}</key><value>v</value></item>")).collect();
    let body = format!(
        "<DescribeTagsResponse><tagSet>{items}</tagSet><nextToken>{next}</nextToken></DescribeTagsResponse>"
    );
    (200, XML, body)
}

fn keys(tags: &[Tag]) -> Vec<&str> {
    tags.iter().map(|tag| tag.key.as_str()).collect()
}

/// Answers by number, the last one for ever.
fn scripted(answers: Vec<Answer>) -> Fake {
    let number = AtomicUsize::new(0);
    Fake::start(move |_: &Asked| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        answers.get(number).or(answers.last()).unwrap().clone()
    })
}

#[tokio::test]
async fn all_pages_of_tags() {
    let fake = scripted(vec![tags("more=/+", &["a", "b"]), tags("", &["c"])]);
    let found = ec2(&fake, &SessionConfig::default()).await.tags("i-1").await.unwrap();
    assert_eq!(keys(&found), ["a", "b", "c"]);
    let asked = fake.asked();
    assert_eq!(
        asked[0].body,
        "Action=DescribeTags&Version=2016-11-15&Filter.1.Name=resource-type&Filter.1.Value.1=instance\
         &Filter.2.Name=resource-id&Filter.2.Value.1=i-1"
    );
    assert_eq!(asked[1].body, format!("{}&NextToken=more%3D%2F%2B", asked[0].body));
    assert_eq!(asked[0].line, "POST / HTTP/1.1");
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded; charset=utf-8"));
    assert_eq!(asked[0].header("x-amz-security-token"), Some("a-session"));
    let authorization = asked[0].header("authorization").unwrap();
    assert!(authorization.contains("/eu-north-1/ec2/aws4_request"), "{authorization}");
}

#[tokio::test]
async fn a_list_without_end() {
    let fake = scripted(vec![tags("more", &["a"])]);
    let error = ec2(&fake, &SessionConfig::default()).await.tags("i-1").await.unwrap_err();
    assert_eq!(error.to_string(), "ec2:DescribeTags: the list of EC2 has more than 20 pages");
    assert_eq!(fake.asked().len(), 20);
}

#[tokio::test]
async fn a_missing_permission_is_named_and_not_asked_for_again() {
    let message = "You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/n/i-1 is not \
                   authorized to perform: ec2:DescribeVolumes. Encoded authorization failure message: AAAA";
    let fake = scripted(vec![refusal(403, "UnauthorizedOperation", message)]);
    let error = ec2(&fake, &SessionConfig::default()).await.volumes("i-1").await.unwrap_err();
    assert!(matches!(&error, Ec2Error::Denied { action: "ec2:DescribeVolumes", .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.starts_with("not allowed to ask EC2: allow the role ec2:DescribeVolumes (You are"),
        "{text}"
    );
    assert!(!text.contains("AAAA"), "{text}");
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let slow_down = refusal(503, "RequestLimitExceeded", "Request limit exceeded.");
    let fake = scripted(vec![slow_down.clone(), tags("", &["a"])]);
    let found = ec2(&fake, &SessionConfig::default()).await.tags("i-1").await.unwrap();
    assert_eq!((keys(&found), fake.asked().len()), (vec!["a"], 2));
    // An answer of something in between.
    let fake = scripted(vec![(502, "", "<html>bad gateway</html>".into()), tags("", &["a"])]);
    let found = ec2(&fake, &SessionConfig::default()).await.tags("i-1").await.unwrap();
    assert_eq!((keys(&found), fake.asked().len()), (vec!["a"], 2));

    let fake = scripted(vec![slow_down]);
    let config = SessionConfig { max_retries: 1, ..SessionConfig::default() };
    let error = ec2(&fake, &config).await.tags("i-1").await.unwrap_err();
    assert!(matches!(error, Ec2Error::Throttled { action: "ec2:DescribeTags" }), "{error}");
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn credentials_that_are_not_good_are_fetched_anew_once() {
    let fake = scripted(vec![refusal(400, "RequestExpired", "Request has expired."), tags("", &["a"])]);
    let found = ec2(&fake, &SessionConfig::default()).await.tags("i-1").await.unwrap();
    assert_eq!((keys(&found), fake.asked().len()), (vec!["a"], 2));
    let fake =
        scripted(vec![refusal(401, "AuthFailure", "Not able to validate the provided access credentials")]);
    let error = ec2(&fake, &SessionConfig::default()).await.tags("i-1").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no AWS credentials that EC2 takes: AuthFailure: Not able to validate the provided access credentials"
    );
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn answers_that_are_none() {
    async fn check(answer: Answer, expected: &str) {
        let config = SessionConfig { max_retries: 1, ..SessionConfig::default() };
        let fake = scripted(vec![answer]);
        let error = ec2(&fake, &config).await.instance("i-1").await.unwrap_err();
        assert_eq!(causes(&error), expected);
    }
    let action = "ec2:DescribeInstances";
    check(
        (200, XML, "<html/>".into()),
        &format!("{action}: the answer of EC2 is malformed: the answer is \"html\", which was not asked for"),
    )
    .await;
    check((404, "", "nothing".into()), &format!("{action}: EC2 answers with status 404")).await;
    check(
        refusal(400, "InvalidParameterValue", "no\nsuch"),
        &format!("{action}: EC2 answers with status 400: InvalidParameterValue: no such"),
    )
    .await;
    let large = format!("<x>{}</x>", "y".repeat(MAX_ANSWER));
    let fake = scripted(vec![(200, XML, large)]);
    let config = SessionConfig { max_retries: 1, ..SessionConfig::default() };
    let error = causes(&ec2(&fake, &config).await.instance("i-1").await.unwrap_err());
    assert!(error.ends_with("the answer is larger than 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn nobody_is_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = SessionConfig { max_retries: 1, ..SessionConfig::default() };
    let provider = SharedCredentialsProvider::new(credentials(None, None));
    let session = session(&config, &format!("http://127.0.0.1:{port}"), provider).await;
    let error = Ec2::new(&session).unwrap().tags("i-1").await.unwrap_err();
    assert!(matches!(error, Ec2Error::Unreachable { .. }), "{error}");
    assert!(!causes(&error).contains("secret-text"));
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_used_is_told_to_who_uses_it() {
    let config = SessionConfig { region: "r".into(), endpoint: "ftp://h".into(), ..SessionConfig::default() };
    let error = Ec2::new(&config.load().await.unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the endpoint \"ftp://h\" of EC2 cannot be used: the scheme must be http or https"
    );
}
