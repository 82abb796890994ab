//! The collector as a child process whose output can be read while it runs.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// No step of a test takes longer on a machine that works, however busy it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running collector; killed when dropped.
pub struct Collector {
    child: Child,
    stdout: Receiver<String>,
    stderr: Arc<Collected>,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended; `None` for a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Lines as they come, for several readers.
#[derive(Default)]
struct Collected {
    text: Mutex<String>,
    grown: Condvar,
}

/// `INSIGHTS_BINARY`, else the binary beside the folder of the test programs. `cargo test --workspace` has just built it; built here where it is
/// missing, as when only these tests are run in a fresh checkout.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.clone().map_err(anyhow::Error::msg)
}

fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("INSIGHTS_BINARY") {
        return Ok(named.into());
    }
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).context("target folder")?;
    let binary = folder.join("otelcol-insights");
    if binary.exists() {
        return Ok(binary);
    }
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "otelcol-insights"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    if !build.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("cargo build")?.success() {
        bail!("the binary does not build");
    }
    Ok(binary)
}

fn command(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .args(arguments)
        .env_remove("AWS_REGION")
        .env_remove("AWS_DEFAULT_REGION")
        .env_remove("AWS_PROFILE")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Runs to the end.
pub fn run(arguments: &[&str]) -> Result<Finished> {
    let output = command(arguments)?.output()?;
    Ok(Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

impl Collector {
    /// Starts with command-line arguments.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        Self::start_with(arguments, &[])
    }

    /// Starts with command-line arguments and variables: set, or removed.
    pub fn start_with(arguments: &[&str], environment: &[(&str, Option<&str>)]) -> Result<Self> {
        let mut command = command(arguments)?;
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.spawn().context("start the collector")?;
        let (sender, stdout) = channel();
        let out = BufReader::new(child.stdout.take().context("stdout")?);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = Arc::new(Collected::default());
        let (mut err, collected) = (child.stderr.take().context("stderr")?, stderr.clone());
        std::thread::spawn(move || collected.read(&mut err));
        Ok(Self { child, stdout, stderr })
    }

    /// Starts with a YAML text and waits until it is ready.
    pub fn with_yaml(yaml: &str) -> Result<Self> {
        let collector = Self::start(&["--config", &format!("yaml:{yaml}")])?;
        collector.wait_for_log("Everything is ready")?;
        Ok(collector)
    }

    /// The next line of standard output.
    pub fn next_line(&self) -> Result<String> {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("no line within {PATIENCE:?}; log:\n{}", self.log()),
            Err(RecvTimeoutError::Disconnected) => bail!("standard output is closed; log:\n{}", self.log()),
        }
    }

    /// The log and report so far.
    pub fn log(&self) -> String {
        self.stderr.text.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Waits until the log holds `text`; the log up to then.
    pub fn wait_for_log(&self, text: &str) -> Result<String> {
        let log = self.stderr.text.lock().map_err(|_| anyhow::anyhow!("the reader failed"))?;
        let waited = self.stderr.grown.wait_timeout_while(log, PATIENCE, |log| !log.contains(text));
        let (log, timeout) = waited.map_err(|_| anyhow::anyhow!("the reader failed"))?;
        if timeout.timed_out() {
            bail!("{text:?} is not in the log:\n{log}");
        }
        Ok(log.clone())
    }

    /// Sends a signal by name: `TERM`, `HUP`, `INT`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = match name {
            "TERM" => Signal::TERM,
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "KILL" => Signal::KILL,
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            other => bail!("no signal {other}"),
        };
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// The most memory that it had resident so far, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The memory that it has resident, in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).context("the status of a process")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// The CPU time that it has taken, in seconds, as exact as the kernel's ticks of 10 ms.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, after_name) = stat.rsplit_once(')').context("the name of a process")?;
        let ticks: Result<Vec<u64>, _> =
            after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>).collect();
        Ok(ticks?.iter().sum::<u64>() as f64 / 100.0)
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Result<ExitStatus> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("still running; log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to stop and waits; its exit code.
    pub fn stop(self) -> Result<Option<i32>> {
        self.signal("TERM")?;
        Ok(self.wait()?.code())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Collected {
    fn read(&self, source: &mut impl Read) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            let Some(bytes) = buffer.get(..count) else { return };
            let Ok(mut text) = self.text.lock() else { return };
            text.push_str(&String::from_utf8_lossy(bytes));
            drop(text);
            self.grown.notify_all();
        }
    }
}

/// Below the ports that the kernel hands out by itself: no connection takes one before the collector listens on it.
const PORTS: std::ops::Range<u32> = 10_000..30_000;

/// An address that nobody listens on at this moment, and that no other test of this program is given.
pub fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Programs that run at the same time begin far from each other.
    let begin = std::process::id().wrapping_mul(997);
    for _ in PORTS {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start))?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no free port in {PORTS:?}")
}

/// Waits until somebody listens.
pub fn wait_for_port(address: SocketAddr) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until {
            bail!("nobody listens on {address}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
