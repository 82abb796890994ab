//! The collector as a child process, and what the kernel says of it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Ticks per second of the CPU times in `/proc/<pid>/stat`.
const USER_HZ: f64 = 100.0;

/// The variable that names another binary to measure.
const BINARY: &str = "INSIGHTS_BINARY";

/// A running collector; killed when dropped.
pub struct Collector {
    child: Child,
    /// Its configuration; removed with it.
    _config: Option<tempfile::NamedTempFile>,
}

/// Brings the release binary up to date, unless another binary is to be measured.
pub fn build() -> Result<()> {
    if std::env::var_os(BINARY).is_some() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "otelcol-insights"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("cargo build")?;
    if status.success() { Ok(()) } else { bail!("the release binary does not build") }
}

/// The release binary beside this program, or the one that the environment names.
pub fn binary() -> Result<PathBuf> {
    match std::env::var_os(BINARY) {
        Some(path) => Ok(path.into()),
        None => Ok(std::env::current_exe()?.with_file_name("otelcol-insights")),
    }
}

impl Collector {
    /// Starts with a configuration, or with the built-in one. Its log goes to `/dev/null`.
    pub fn start(config: Option<&str>) -> Result<Self> {
        Self::start_with(config, &[])
    }

    /// The same with variables of the environment.
    pub fn start_with(config: Option<&str>, variables: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        let file = config.map(write_config).transpose()?;
        if let Some(file) = &file {
            command.arg("--config").arg(file.path());
        }
        let child = command
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the collector")?;
        Ok(Self { child, _config: file })
    }

    /// Waits until all `addresses` take connections; the time it took.
    pub fn wait_for(&mut self, addresses: &[SocketAddr]) -> Result<Duration> {
        let started = Instant::now();
        let mut closed = addresses.to_vec();
        while !closed.is_empty() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the collector ended: {status}");
            }
            if started.elapsed() > Duration::from_secs(10) {
                bail!("{closed:?} did not open within 10 s");
            }
            closed.retain(|address| std::net::TcpStream::connect(address).is_err());
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(started.elapsed())
    }

    /// CPU time so far, in seconds, to the nanosecond: the sum of what the scheduler has counted for each thread. Threads that
    /// have ended no longer count.
    pub fn scheduled_seconds(&self) -> Result<f64> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds +=
                text.split_ascii_whitespace().next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// CPU time so far, user and system, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = self.proc("stat")?;
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        let ticks: Vec<f64> =
            fields.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Ok(ticks.iter().sum::<f64>() / USER_HZ)
    }

    /// A field of `/proc/<pid>/status` in KiB, as `VmRSS` or `VmHWM`.
    pub fn status_kib(&self, field: &str) -> Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).context("status")
    }

    /// How often it has called the system to read from files, so far.
    pub fn reads(&self) -> Result<u64> {
        let io = self.proc("io")?;
        let line = io.lines().find_map(|line| line.strip_prefix("syscr:")).context("syscr")?;
        Ok(line.trim().parse()?)
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = Path::new("/proc").join(self.child.id().to_string()).join(file);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(text: &str) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    std::fs::write(file.path(), text)?;
    Ok(file)
}

/// An address that nobody listens on at this moment.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
