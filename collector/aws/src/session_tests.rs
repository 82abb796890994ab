//! Where region and credentials come from. The environment belongs to a process, so what depends on it runs in a process
//! of its own: this test program again, with one test.

use std::process::Command;

use serde_json::{Value, json};

use super::*;
use crate::testing::{Answer, Asked, Fake};

/// In a process of its own: the configuration.
const CONFIG: &str = "TEST_SESSION_CONFIG";
/// Comes before what that process found.
const FOUND: &str = "FOUND ";

fn with(config: impl FnOnce(&mut SessionConfig)) -> SessionConfig {
    let mut session = SessionConfig::default();
    config(&mut session);
    session
}

#[test]
fn what_cannot_work_is_refused() {
    let check = |session: SessionConfig, expected: &str| {
        let mut problems = Problems::default();
        session.validate(&mut problems);
        assert_eq!(problems.to_string(), expected);
    };
    check(SessionConfig::default(), "");
    check(with(|session| session.no_verify_ssl = true), "");
    check(
        with(|session| session.proxy_address = Secret::new("http://user:pass word@h")),
        "proxy_address: is not a valid URL",
    );
    check(with(|session| session.num_workers = -1), "num_workers: must not be negative");
}

#[tokio::test]
async fn secrets_are_not_shown() {
    let config = with(|session| {
        session.proxy_address = Secret::new("http://user:pa55@h");
        session.region = "r".into();
    });
    assert!(!format!("{config:?}").contains("pa55"));
    assert_eq!(format!("{:?}", config.load().await.unwrap()), r#"Session { region: "r", .. }"#);
}

fn keys(access_key: &str, secret_key: &str, token: &str) -> StaticKeys {
    StaticKeys {
        access_key: Secret::new(access_key),
        secret_key: Secret::new(secret_key),
        token: Secret::new(token),
    }
}

#[test]
fn keys_of_a_configuration_belong_together() {
    let check = |keys: StaticKeys, expected: &[&str]| {
        let mut problems = Problems::default();
        keys.validate(&mut problems);
        let text = problems.to_string();
        assert_eq!(
            text.lines().filter(|line| line.contains("must be set")).count(),
            expected.len(),
            "{text}"
        );
        assert!(expected.iter().all(|expected| text.contains(expected)), "{text}");
        assert!(!text.contains("HUSH"), "{text}");
    };
    check(keys("", "", ""), &[]);
    check(keys("HUSH1", "HUSH2", ""), &[]);
    check(keys("HUSH1", "HUSH2", "HUSH3"), &[]);
    check(keys("HUSH1", "", ""), &["secret_key: must be set together with access_key"]);
    check(keys("", "HUSH2", ""), &["access_key: must be set together with secret_key"]);
    check(
        keys("", "", "HUSH3"),
        &["access_key: must be set together with token", "secret_key: must be set together with token"],
    );
    check(keys("HUSH1", "", "HUSH3"), &["secret_key: must be set together with token"]);
}

#[tokio::test]
async fn keys_of_a_configuration_are_used_and_not_shown() {
    let logs = testkit::LogCapture::begin();
    // A token in the answer, as services repeat what was signed.
    let fake = Fake::start(|asked: &Asked| -> Answer {
        let token = asked.header("x-amz-security-token").unwrap_or_default();
        let message = format!("should have been HUSH-id-of-somebody {token} HUSH-key-of-somebody");
        let error = format!("<Error><Code>SignatureDoesNotMatch</Code><Message>{message}</Message></Error>");
        (403, "content-type: text/xml\r\n", format!("<Response><Errors>{error}</Errors></Response>"))
    });
    let config = with(|session| {
        session.keys = keys("HUSH-id-of-somebody", "HUSH-key-of-somebody", "HUSH-token-of-somebody");
        session.region = "r".into();
        session.endpoint = fake.url();
    });
    let session = config.load().await.unwrap();
    let error = crate::ec2::Ec2::new(&session).unwrap().tags("i-1").await.unwrap_err();
    let asked = fake.asked();
    assert_eq!(asked[0].header("x-amz-security-token"), Some("HUSH-token-of-somebody"));
    assert!(
        asked[0].header("authorization").unwrap().contains("Credential=HUSH-id-of-somebody/"),
        "{asked:?}"
    );
    let shown = format!("{config:?} {session:?} {} {error:?}", component::causes(&error));
    assert!(shown.contains("SignatureDoesNotMatch: should have been [REDACTED]"), "{shown}");
    assert!(!shown.contains("HUSH"), "{shown}");
    // The finest that the collector logs is debug.
    for line in logs.lines().into_iter().filter(|line| line.level <= tracing::Level::DEBUG) {
        assert!(!format!("{line:?}").contains("HUSH"), "{line:?}");
    }
}

#[tokio::test]
async fn a_session_of_this_process() {
    let Ok(config) = std::env::var(CONFIG) else {
        let session = with(|session| session.region = "eu-north-1".into()).load().await.unwrap();
        assert_eq!(session.region, "eu-north-1");
        return;
    };
    let logs = testkit::LogCapture::begin();
    let config: SessionConfig = confmap::from_yaml(&config).unwrap();
    let loaded = config.load().await;
    let found = match loaded.and_then(|session| Ok((session.logs_url.clone()?, session))) {
        Err(error) => json!({"error": error.to_string()}),
        Ok((logs_url, session)) => {
            let mut keys = Vec::new();
            for _ in 0..2 {
                keys.push(match session.credentials.get().await {
                    Ok(found) => {
                        assert!(found.secret_access_key().starts_with("HUSH"));
                        format!("{} {}", found.access_key_id(), found.session_token().unwrap_or("-"))
                    }
                    Err(error) => component::causes(&error),
                });
            }
            json!({"region": session.region, "url": logs_url.to_string(), "keys": keys})
        }
    };
    for line in logs.lines().into_iter().filter(|line| line.level <= tracing::Level::DEBUG) {
        assert!(!format!("{line:?}").contains("HUSH"), "a secret is logged: {line:?}");
    }
    println!("\n{FOUND}{found}");
}

/// What a process with this configuration and environment finds. There is no instance unless the environment has one.
fn found(config: &str, env: &[(&str, &str)]) -> Value {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "session::tests::a_session_of_this_process", "--nocapture"])
        .env_clear()
        .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent"), (CONFIG, config)])
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(FOUND));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))))
        .unwrap()
}

/// An STS that knows who may assume what.
fn sts() -> Fake {
    Fake::start(|asked: &Asked| -> Answer {
        let action = asked.body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap();
        let number = if action == "AssumeRole" { 2 } else { 1 };
        let body = format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
             <AccessKeyId>STS{number}</AccessKeyId><SecretAccessKey>HUSH-key</SecretAccessKey>\
             <SessionToken>HUSH{number}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
             </{action}Result></{action}Response>"
        );
        (200, "content-type: text/xml\r\n", body)
    })
}

/// The credentials endpoint of ECS and of EKS Pod Identity, for those who know `HUSH-text`.
fn container(life: &'static str) -> Fake {
    let number = std::sync::atomic::AtomicU32::new(0);
    Fake::start(move |asked: &Asked| -> Answer {
        if asked.header("authorization") != Some("HUSH-text") {
            return (403, "", r#"{"code":"AccessDenied","message":"no"}"#.into());
        }
        let number = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let body = json!({"AccessKeyId": format!("CONTAINER{number}"), "SecretAccessKey": "HUSH-key",
            "Token": "HUSH", "Expiration": life});
        (200, "content-type: application/json\r\n", body.to_string())
    })
}

fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_web_identity() {
    let (sts, files) = (sts(), tempfile::tempdir().unwrap());
    let token = file(&files, "token", "HUSH-web");
    let env = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_SESSION_NAME", "my-session"),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
    ];
    let found = found("{}", &env);
    assert_eq!(found["keys"], json!(["STS1 HUSH1", "STS1 HUSH1"]));
    assert_eq!(found["url"], "https://logs.eu-west-1.amazonaws.com/");
    let [asked] = &sts.asked()[..] else { panic!("asked once: {:?}", sts.asked()) };
    for part in [
        "Action=AssumeRoleWithWebIdentity",
        "RoleSessionName=my-session",
        "WebIdentityToken=HUSH-web",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fpod",
    ] {
        assert!(asked.body.contains(part), "{part}: {}", asked.body);
    }
}

#[test]
fn a_role_on_top() {
    let sts = sts();
    let env = [
        ("AWS_ACCESS_KEY_ID", "BASE"),
        ("AWS_SECRET_ACCESS_KEY", "HUSH-key"),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://not.sts"),
    ];
    let config = "{region: ap-south-1, role_arn: 'arn:aws:iam::1:role/r', external_id: proof, no_verify_ssl: true, \
                  endpoint: 'http://neither', proxy_address: 'http://nor-this'}";
    let found = found(config, &env);
    assert_eq!(found["keys"], json!(["STS2 HUSH2", "STS2 HUSH2"]));
    assert_eq!(found["url"], "http://not.sts/");
    let [asked] = &sts.asked()[..] else { panic!("asked once: {:?}", sts.asked()) };
    for part in
        ["Action=AssumeRole&", "ExternalId=proof", "DurationSeconds=900", "RoleSessionName=otelcol-insights-"]
    {
        assert!(asked.body.contains(part), "{part}: {}", asked.body);
    }
    let authorization = asked.header("authorization").unwrap();
    assert!(
        authorization.contains("Credential=BASE/") && authorization.contains("/ap-south-1/sts/"),
        "{authorization}"
    );
}

#[test]
fn an_answer_that_is_not_understood_is_not_repeated() {
    let body =
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><SecretAccessKey>HUSH-key</SecretAccessKey><x>";
    let sts = Fake::start(move |_| (200, "content-type: text/xml\r\n", body.to_owned()));
    let files = tempfile::tempdir().unwrap();
    let token = file(&files, "token", "HUSH-web");
    let env = [
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
    ];
    let web_identity = found("{region: r}", &env);
    assert!(!web_identity.to_string().contains("HUSH"), "{web_identity}");
    let env = [
        ("AWS_ACCESS_KEY_ID", "BASE"),
        ("AWS_SECRET_ACCESS_KEY", "HUSH-key"),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
    ];
    let role = found("{region: r, role_arn: 'arn:aws:iam::1:role/r'}", &env);
    assert!(!role.to_string().contains("HUSH"), "{role}");
}

#[test]
fn a_container() {
    let (agent, files) = (container("2099-01-01T00:00:00Z"), tempfile::tempdir().unwrap());
    let (url, token) = (format!("{}/v1/credentials", agent.url()), file(&files, "token", "HUSH-text"));
    let of_file = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token),
    ];
    assert_eq!(found("{region: r}", &of_file)["keys"], json!(["CONTAINER1 HUSH", "CONTAINER1 HUSH"]));
    let of_variable = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "HUSH-text"),
    ];
    assert_eq!(found("{region: r}", &of_variable)["keys"], json!(["CONTAINER2 HUSH", "CONTAINER2 HUSH"]));
    assert!(
        agent.asked().iter().all(|asked| asked.line == "GET /v1/credentials HTTP/1.1"),
        "{:?}",
        agent.asked()
    );
    let wrong =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "x")];
    let refused = found("{region: r}", &wrong);
    assert!(refused["keys"][0].as_str().unwrap().contains("StatusCode(403)"), "{refused}");
}

#[test]
fn expired_credentials_are_fetched_anew() {
    let agent = container("2020-01-01T00:00:00Z");
    let url = format!("{}/c", agent.url());
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "HUSH-text"),
    ];
    assert_eq!(found("{region: r}", &env)["keys"], json!(["CONTAINER1 HUSH", "CONTAINER2 HUSH"]));
}

#[test]
fn an_instance() {
    let imds = Fake::start(|asked: &Asked| -> Answer {
        let path = asked.line.split(' ').nth(1).unwrap();
        let authorized = asked.header("x-aws-ec2-metadata-token") == Some("HUSH-imds");
        match path {
            "/latest/api/token" => {
                (200, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", "HUSH-imds".into())
            }
            _ if !authorized => (401, "", String::new()),
            "/latest/meta-data/placement/region" => (200, "", "sa-east-1".into()),
            "/latest/meta-data/iam/security-credentials/" => (200, "", "node-role".into()),
            "/latest/meta-data/iam/security-credentials/node-role" => {
                let body = json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "NODE",
                    "SecretAccessKey": "HUSH-key", "Token": "HUSH", "Expiration": "2099-01-01T00:00:00Z",
                    "LastUpdated": "2024-01-01T00:00:00Z"});
                (200, "", body.to_string())
            }
            _ => (404, "", String::new()),
        }
    });
    let url = imds.url();
    let env = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
        // Metadata are never asked of a proxy: nothing listens there.
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ];
    let found_there = found("{}", &env);
    assert_eq!(found_there["region"], "sa-east-1");
    assert_eq!(found_there["keys"], json!(["NODE HUSH", "NODE HUSH"]));
    let local = found("{local_mode: true}", &env);
    assert!(local["error"].as_str().unwrap().starts_with("no AWS region found"), "{local}");
}

#[test]
fn a_task() {
    let agent = Fake::start(|asked: &Asked| -> Answer {
        assert_eq!(asked.line, "GET /v4/id/task HTTP/1.1");
        (200, "", json!({"TaskARN": "arn:aws:ecs:ca-west-1:1:task/c/1", "AvailabilityZone": "x"}).to_string())
    });
    let metadata = format!("{}/v4/id", agent.url());
    let env = [("ECS_CONTAINER_METADATA_URI_V4", metadata.as_str())];
    assert_eq!(found("{}", &env)["region"], "ca-west-1");
    assert_eq!(found("{}", &[env[0], ("AWS_DEFAULT_REGION", "us-east-2")])["region"], "us-east-2");
    assert!(found("{}", &[])["error"].as_str().unwrap().contains("set `region`"));
}

#[test]
fn profiles() {
    let (sts, files) = (sts(), tempfile::tempdir().unwrap());
    let config = file(
        &files,
        "config",
        "[default]\nregion = eu-west-3\n[profile chained]\nregion = eu-west-2\nrole_arn = arn:aws:iam::1:role/a\n\
         source_profile = keys\n[profile sourced]\nrole_arn = arn:aws:iam::1:role/a\ncredential_source = Environment\n\
         [profile process]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"PROCESS\",\"SecretAccessKey\":\"HUSH-key\"}'\n",
    );
    let credentials = file(
        &files,
        "credentials",
        "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = HUSH-key\n[keys]\naws_access_key_id = KEYS\naws_secret_access_key = HUSH-key\n",
    );
    let other =
        file(&files, "other", "[default]\naws_access_key_id = OTHER\naws_secret_access_key = HUSH-key\n");
    let url = sts.url();
    let env = [
        ("AWS_CONFIG_FILE", config.as_str()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ("PATH", "/usr/bin:/bin"),
    ];
    let check = |config: &str, more: &[(&str, &str)], region: &str, key: &str| {
        let found = found(config, &[&env, more].concat());
        assert_eq!((&found["region"], &found["keys"][0]), (&json!(region), &json!(key)), "{config} {more:?}");
    };
    let keys = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "HUSH-key")];
    check("{}", &[], "eu-west-3", "DEFAULT -");
    check("{}", &keys, "eu-west-3", "ENV -");
    check("{}", &[("AWS_PROFILE", "chained")], "eu-west-2", "STS2 HUSH2");
    check("{profile: chained}", &keys, "eu-west-2", "STS2 HUSH2");
    check("{profile: sourced, region: r}", &keys, "r", "STS2 HUSH2");
    check("{profile: process, region: r}", &[], "r", "PROCESS -");
    check(&format!("{{shared_credentials_file: ['{other}']}}"), &[], "eu-west-3", "OTHER -");
    let by: Vec<_> = sts
        .asked()
        .iter()
        .map(|asked| asked.header("authorization").unwrap().contains("Credential=KEYS/"))
        .collect();
    assert_eq!(by, [true, true, false], "who assumed the role");
}

#[test]
fn files_that_are_named_must_be_there() {
    let check = |config: &str, env: &[(&str, &str)], expected: &str| {
        assert_eq!(found(config, env)["error"], expected, "{config}");
    };
    check(
        "{region: r, certificate_file_path: /nonexistent/ca.pem}",
        &[],
        "certificate_file_path \"/nonexistent/ca.pem\" cannot be read",
    );
    check(
        "{region: r}",
        &[("AWS_CA_BUNDLE", "/nonexistent/ca.pem")],
        "AWS_CA_BUNDLE \"/nonexistent/ca.pem\" cannot be read",
    );
    check(
        "{region: r, endpoint: 'h h'}",
        &[],
        "the endpoint \"h h\" of CloudWatch Logs cannot be used: invalid uri character",
    );
    check(
        "{region: r/s}",
        &[],
        "\"r/s\" is not the name of an AWS region: only letters, digits and - occur there",
    );
}

#[test]
fn nothing_at_all() {
    let found = found("{region: r}", &[]);
    let text = found["keys"][0].as_str().unwrap();
    assert!(text.contains("no credentials found in chain"), "{text}");
}
