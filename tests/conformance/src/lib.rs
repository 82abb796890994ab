//! Recorded input against expected output, run through the binary.
//!
//! The cases are not part of this repository. They are looked for in `../shared/vectors` beside it, or where
//! `CONFORMANCE_VECTORS` says. The binary is `otelcol-insights` of the same build, or `OTELCOL_INSIGHTS`; it is built
//! when it is missing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// The longest that a collector may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the collector is looked at while it starts.
const GLANCE: Duration = Duration::from_millis(20);

/// A collector that runs the configuration of a case.
pub struct Collector {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
}

/// How a collector ended that refused its configuration.
#[derive(Debug)]
pub struct Refusal {
    /// What it wrote.
    pub output: String,
}

impl Collector {
    /// Starts a collector. It takes OTLP/HTTP at the port `OTLP_HTTP_PORT` of the configuration, and sends to
    /// `CWSINK_ENDPOINT`.
    ///
    /// # Errors
    /// No binary, no process.
    pub fn spawn(config: &str, endpoint: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        let path = directory.path().join("config.yaml");
        fs::write(&path, config)?;
        // The configuration has to name a port: one that was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = fs::File::create(directory.path().join("log"))?;
        let process = Command::new(binary()?)
            .arg("--config")
            .arg(&path)
            .env("OTLP_HTTP_PORT", address.port().to_string())
            .env("CWSINK_ENDPOINT", endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting the collector")?;
        Ok(Self { process, address, directory })
    }

    /// Waits until the collector takes requests.
    ///
    /// # Errors
    /// It ended, or takes too long.
    pub async fn ready(&mut self) -> Result<()> {
        let give_up = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("the collector ended with {status}:\n{}", self.log());
            }
            ensure!(Instant::now() < give_up, "the collector does not listen:\n{}", self.log());
            sleep(GLANCE).await;
        }
        Ok(())
    }

    /// Sends an OTLP/JSON metrics request. Says whether it was answered with success.
    ///
    /// # Errors
    /// No answer.
    pub async fn send(&self, body: &[u8]) -> Result<bool> {
        let mut connection = TcpStream::connect(self.address).await?;
        let head = format!(
            "POST /v1/metrics HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(body).await?;
        let mut answer = Vec::new();
        timeout(PATIENCE, connection.read_to_end(&mut answer)).await.context("no answer")??;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).context("malformed answer")?;
        Ok(status.starts_with('2'))
    }

    /// Waits for the end of a collector that should refuse its configuration.
    ///
    /// # Errors
    /// It runs, or ended with success.
    pub async fn refusal(mut self) -> Result<Refusal> {
        let status = timeout(PATIENCE, self.process.wait()).await.context("the collector runs")??;
        ensure!(!status.success(), "the collector ended with {status}");
        Ok(Refusal { output: self.log() })
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// Errors of `validate` for a configuration, in an environment with `variables` besides; empty if it is accepted.
///
/// # Errors
/// No binary, no process, or a refusal without an error.
pub fn validation_errors(config: &Path, variables: &[(&str, &str)]) -> Result<Vec<String>> {
    let output = std::process::Command::new(binary()?)
        .args(["validate", "--config"])
        .arg(config)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .context("validating")?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("error: ")).map(str::to_owned).collect();
    ensure!(!errors.is_empty(), "{} was refused without an error:\n{text}", config.display());
    Ok(errors)
}

/// The binary under test.
fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| find_binary().map_err(|error| format!("{error:#}")));
    found.as_deref().map_err(|error| anyhow::anyhow!(error.clone()))
}

fn find_binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("OTELCOL_INSIGHTS") {
        return Ok(path.into());
    }
    // target/debug/deps/awsemf-0123 → target/debug/otelcol-insights
    let test = env::current_exe()?;
    let directory = test.parent().and_then(Path::parent).context("the test is not in a target directory")?;
    let path = directory.join("otelcol-insights");
    if !path.exists() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = std::process::Command::new(cargo)
            .args(["build", "-p", "otelcol-insights"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .status()
            .context("running cargo")?;
        ensure!(status.success() && path.exists(), "building otelcol-insights ended with {status}");
    }
    Ok(path)
}
