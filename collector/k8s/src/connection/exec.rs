//! Credentials that a command gives, as `aws eks get-token` does: client-go's credential plugins.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use confmap::Secret;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::credentials::Certificate;

/// The versions of the plugins' protocol that are spoken.
pub(super) const VERSIONS: [&str; 2] =
    ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// What the command is told about its task.
const EXEC_INFO: &str = "KUBERNETES_EXEC_INFO";

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read, and the longest complaint, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;
const LONGEST_COMPLAINT: u64 = 64 << 10;

/// How much of a complaint is shown, in characters.
const SHOWN: usize = 300;

/// How long before its end a token is replaced, and how soon a command is run again at the earliest.
const MARGIN: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(30);

/// A command that says who asks.
#[derive(Debug, Clone)]
pub struct ExecConfig {
    /// `client.authentication.k8s.io/v1` or `client.authentication.k8s.io/v1beta1`.
    pub api_version: String,
    /// The command: a path, or a name that is looked for in `PATH`.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables of its environment beside those of the collector.
    pub env: Vec<(String, Secret)>,
    /// What to do if there is no such command, for whoever reads the error.
    pub install_hint: String,
    /// The cluster it is told about, if it wants to know.
    pub cluster: Option<ExecCluster>,
}

/// A cluster as plugins are told about it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExecCluster {
    /// The server's URL.
    pub server: String,
    /// The name that the server's certificate must have.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tls_server_name: String,
    /// Whether the server's certificate is not looked at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_tls_verify: bool,
    /// The certificate authorities, PEM in base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificate_authority_data: String,
}

/// What a command answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) token: Option<Secret>,
    pub(super) certificate: Option<Certificate>,
    /// How long it may be used; absent if as long as the server accepts it.
    pub(super) valid: Option<Duration>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    kind: &'static str,
    api_version: &'a str,
    spec: RequestSpec<'a>,
}

#[derive(Serialize)]
struct RequestSpec<'a> {
    interactive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a ExecCluster>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Credential {
    api_version: String,
    kind: String,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<Secret>,
    client_certificate_data: Option<Secret>,
    client_key_data: Option<Secret>,
}

/// Runs the command and understands its answer. No error repeats what the command wrote to its standard output.
pub(super) async fn run(config: &ExecConfig) -> Result<Answer, String> {
    let out = match tokio::time::timeout(TIMEOUT, output(config)).await {
        Ok(out) => out?,
        Err(_) => return Err(format!("no answer within {TIMEOUT:?}")),
    };
    understand(&config.api_version, &out, Timestamp::now())
}

async fn output(config: &ExecConfig) -> Result<Vec<u8>, String> {
    let spec = RequestSpec { interactive: false, cluster: config.cluster.as_ref() };
    let request = Request { kind: "ExecCredential", api_version: &config.api_version, spec };
    let request = serde_json::to_string(&request).map_err(|error| error.to_string())?;
    let mut command = Command::new(&config.command);
    command
        .args(&config.args)
        .envs(config.env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value.expose()))))
        .env(EXEC_INFO, request)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match config.install_hint.trim() {
        "" => format!("cannot be run: {error}"),
        hint => format!("cannot be run: {error}: {hint}"),
    })?;
    let (out, complaint) = (child.stdout.take(), child.stderr.take());
    let (out, complaint) = tokio::join!(read(out, LONGEST_ANSWER), read(complaint, LONGEST_COMPLAINT));
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() {
        return out.map_err(|error| error.to_string());
    }
    let complaint = String::from_utf8_lossy(&complaint.unwrap_or_default()).trim().to_owned();
    let last = complaint.lines().last().unwrap_or_default();
    Err(format!("{status}: {}", last.chars().take(SHOWN).collect::<String>()))
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit).read_to_end(&mut text).await?;
    }
    Ok(text)
}

fn understand(version: &str, out: &[u8], now: Timestamp) -> Result<Answer, String> {
    // The error of the parser may repeat a part of the text.
    let credential: Credential = serde_json::from_slice(out)
        .map_err(|error| format!("answers with no ExecCredential (line {} of its output)", error.line()))?;
    if credential.kind != "ExecCredential" {
        return Err(format!("answers with kind {:?}, not ExecCredential", credential.kind));
    }
    if credential.api_version != version {
        return Err(format!(
            "is configured to use API version {version}, but answers in version {}",
            credential.api_version
        ));
    }
    let Some(status) = credential.status else { return Err("didn't return a status field".to_owned()) };
    let valid = status.expiration_timestamp.map(|text| left(&text, now)).transpose()?;
    let some = |secret: Option<Secret>| secret.filter(|secret| !secret.is_empty());
    let certificate = match (some(status.client_certificate_data), some(status.client_key_data)) {
        (Some(chain), Some(key)) => Some(Certificate { chain, key }),
        (None, None) => None,
        _ => return Err("returned only one of clientCertificateData and clientKeyData".to_owned()),
    };
    let token = some(status.token);
    if token.is_none() && certificate.is_none() {
        return Err("didn't return a token or cert/key pair".to_owned());
    }
    Ok(Answer { token, certificate, valid })
}

/// How long what ends at a time may be used.
fn left(end: &str, now: Timestamp) -> Result<Duration, String> {
    let end: Timestamp =
        end.parse().map_err(|_| "its expirationTimestamp is no time of RFC 3339".to_owned())?;
    let seconds = u64::try_from(end.as_second().saturating_sub(now.as_second())).unwrap_or(0);
    Ok(Duration::from_secs(seconds).saturating_sub(MARGIN).max(SHORTEST))
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = VERSIONS[0];

    fn now() -> Timestamp {
        "2026-11-23T18:00:00Z".parse().unwrap()
    }

    #[test]
    fn answers() {
        fn check(status: &str, expected: Result<(Option<&str>, bool, Option<u64>), &str>) {
            let text = format!(r#"{{"apiVersion":"{V1}","kind":"ExecCredential"{status}}}"#);
            let answer = understand(V1, text.as_bytes(), now());
            let found = match &answer {
                Ok(answer) => Ok((
                    answer.token.as_ref().map(Secret::expose),
                    answer.certificate.is_some(),
                    answer.valid.map(|valid| valid.as_secs()),
                )),
                Err(reason) => Err(reason.as_str()),
            };
            assert_eq!(found, expected, "{status}");
        }
        check(r#","status":{"token":"t"}"#, Ok((Some("t"), false, None)));
        check(
            r#","spec":{},"status":{"token":"t","expirationTimestamp":"2026-11-23T18:14:00Z"}"#,
            Ok((Some("t"), false, Some(13 * 60))),
        );
        check(
            r#","status":{"token":"t","expirationTimestamp":"2026-11-23T17:00:00Z"}"#,
            Ok((Some("t"), false, Some(30))),
        );
        check(r#","status":{"clientCertificateData":"c","clientKeyData":"k"}"#, Ok((None, true, None)));
        check(
            r#","status":{"clientCertificateData":"c"}"#,
            Err("returned only one of clientCertificateData and clientKeyData"),
        );
        check(r#","status":{"token":""}"#, Err("didn't return a token or cert/key pair"));
        check("", Err("didn't return a status field"));
        check(
            r#","status":{"token":"t","expirationTimestamp":"soon"}"#,
            Err("its expirationTimestamp is no time of RFC 3339"),
        );
    }

    #[test]
    fn other_answers_are_not_repeated() {
        let refused = |text: &str| understand(V1, text.as_bytes(), now()).unwrap_err();
        assert_eq!(refused("hidden"), "answers with no ExecCredential (line 1 of its output)");
        assert_eq!(refused(r#"{"kind":"List"}"#), "answers with kind \"List\", not ExecCredential");
        let other = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1"}"#;
        assert_eq!(
            refused(other),
            "is configured to use API version client.authentication.k8s.io/v1, but answers in version \
             client.authentication.k8s.io/v1beta1"
        );
    }

    fn shell(script: &str) -> ExecConfig {
        ExecConfig {
            api_version: V1.to_owned(),
            command: "sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: vec![("TOKEN".to_owned(), Secret::new("from the environment"))],
            install_hint: String::new(),
            cluster: Some(ExecCluster { server: "https://a".to_owned(), ..ExecCluster::default() }),
        }
    }

    #[tokio::test]
    async fn a_command_is_told_its_task_and_answers() {
        let script = r#"test "$KUBERNETES_EXEC_INFO" = '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false,"cluster":{"server":"https://a"}}}' || exit 9
            echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"'"$TOKEN"'"}}'"#;
        let answer = run(&shell(script)).await.unwrap();
        assert_eq!(answer.token.unwrap().expose(), "from the environment");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_quoted_and_one_that_is_missing_comes_with_its_hint() {
        let failed =
            run(&shell("echo hidden; echo one >&2; echo Unable to locate credentials >&2; exit 3")).await;
        assert_eq!(failed.unwrap_err(), "exit status: 3: Unable to locate credentials");
        let missing = ExecConfig {
            command: "/does/not/exist".into(),
            install_hint: "install it".to_owned(),
            ..shell("")
        };
        let reason = run(&missing).await.unwrap_err();
        assert!(reason.starts_with("cannot be run: ") && reason.ends_with(": install it"), "{reason}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_does_not_end_is_killed() {
        // The clock is paused: it runs ahead while the command sleeps.
        let reason = run(&shell("exec sleep 1000")).await.unwrap_err();
        assert_eq!(reason, "no answer within 60s");
    }
}
