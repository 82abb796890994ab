//! A collector between OTLP and a CloudWatch Logs that fails as it is told to, with an account of every item.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use testkit::cwlogs::CloudWatchLogs;
use testkit::ledger::{Balance, Issue, Ledger};
use tokio::runtime::Runtime;

use crate::{Collector, free_address, request_within};

/// How long anything takes at most.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);
/// Between two attempts of a client whose request was refused.
const CLIENT_PAUSE: Duration = Duration::from_millis(100);

/// An exporter under test, in one way of working.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// For the names of tests.
    pub name: &'static str,
    /// The type of the exporter.
    pub exporter: &'static str,
    /// The signal, as in paths and pipelines.
    pub signal: &'static str,
    /// Keys of the exporter, a line each.
    pub keys: &'static str,
}

/// awsemf without a queue: whoever sends waits.
pub const METRICS: Variant = Variant {
    name: "metrics",
    exporter: "awsemf",
    signal: "metrics",
    keys: "resource_to_telemetry_conversion: {enabled: true}\ndimension_rollup_option: NoDimensionRollup\n",
};
/// awsemf with a queue.
pub const QUEUED_METRICS: Variant = Variant {
    name: "queued_metrics",
    keys: "resource_to_telemetry_conversion: {enabled: true}\ndimension_rollup_option: NoDimensionRollup\n\
           sending_queue: {}\n",
    ..METRICS
};
/// awscloudwatchlogs, whose queue is on by default.
pub const LOGS: Variant = Variant {
    name: "logs",
    exporter: "awscloudwatchlogs",
    signal: "logs",
    keys: "retry_on_failure: {initial_interval: 200ms, max_interval: 2s, max_elapsed_time: 0}\n",
};

/// The service, the account and the addresses; collectors come and go.
pub struct Scene {
    /// Where the collector sends.
    pub service: CloudWatchLogs,
    variant: Variant,
    ledger: Mutex<Ledger>,
    otlp: SocketAddr,
    metrics: SocketAddr,
    /// Serves `service`.
    _runtime: Runtime,
}

/// The collector's own metrics at one moment.
#[derive(Debug)]
pub struct Counters(String);

impl Variant {
    /// A payload of `items` items for a stream, with texts of `bytes` bytes each.
    fn issue(&self, ledger: &mut Ledger, stream: &str, items: u64, bytes: usize) -> Issue {
        match self.signal {
            "metrics" => ledger.long_metrics(stream, items, bytes),
            _ => ledger.logs(stream, items, bytes),
        }
    }

    /// The collector's counters of items that reached the destination.
    fn sent_items(&self) -> &'static str {
        if self.signal == "metrics" { "sent_metric_points" } else { "sent_log_records" }
    }
}

impl Scene {
    /// A service without faults.
    pub fn new(variant: Variant) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let service = runtime.block_on(CloudWatchLogs::start())?;
        service.trust("test", "test");
        let (otlp, metrics) = (free_address()?, free_address()?);
        Ok(Self { service, variant, ledger: Mutex::default(), otlp, metrics, _runtime: runtime })
    }

    /// Starts a collector. `keys` are added to those of the variant, a line each.
    pub fn collector(&self, keys: &str) -> Result<Collector> {
        Collector::with_yaml(&self.yaml(keys, None))
    }

    /// The same with variables: set, or removed.
    pub fn collector_with(&self, keys: &str, environment: &[(&str, Option<&str>)]) -> Result<Collector> {
        let config = format!("yaml:{}", self.yaml(keys, None));
        let collector = Collector::start_with(&["--config", &config], environment)?;
        collector.wait_for_log("Everything is ready")?;
        Ok(collector)
    }

    /// The same with the queue in files below `directory`.
    pub fn collector_on_disk(&self, directory: &Path, keys: &str) -> Result<Collector> {
        Collector::with_yaml(&self.yaml(keys, Some(directory)))
    }

    fn yaml(&self, keys: &str, directory: Option<&Path>) -> String {
        let Variant { exporter, signal, keys: own, .. } = self.variant;
        let mut yaml = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{}'}}}}}}}}\n\
             exporters:\n  {exporter}:\n    region: us-west-2\n    endpoint: {}\n    log_group_name: bad-times\n    \
             log_stream_name: '{{NodeName}}'\n",
            self.otlp,
            self.service.endpoint()
        );
        let queue = directory.map_or("", |_| "sending_queue: {storage: file_storage}\n");
        // The queue on disk takes the place of the one in memory.
        let own = own.lines().filter(|line| queue.is_empty() || !line.starts_with("sending_queue"));
        for line in own.chain(keys.lines()).chain(queue.lines()) {
            // Writing to a String cannot fail.
            let _ = writeln!(yaml, "    {line}");
        }
        let mut extensions = "";
        if let Some(directory) = directory {
            extensions = "extensions: [file_storage], ";
            let _ = writeln!(yaml, "extensions: {{file_storage: {{directory: '{}'}}}}", directory.display());
        }
        let (host, port) = (self.metrics.ip(), self.metrics.port());
        let _ = writeln!(
            yaml,
            "service: {{{extensions}telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: {host}, \
             port: {port}}}}}}}}}]}}}}, pipelines: {{{signal}: {{receivers: [otlp], exporters: [{exporter}]}}}}}}"
        );
        yaml
    }

    /// Sends items once; whether the collector took them.
    pub fn offer(&self, stream: &str, items: u64, bytes: usize, patience: Duration) -> bool {
        let issue = self.variant.issue(&mut self.account(), stream, items, bytes);
        self.post(&issue, patience).is_ok_and(|status| status == 200)
    }

    /// Sends items as a client does: the same again until they are taken.
    pub fn send(&self, stream: &str, items: u64, bytes: usize) -> Result<()> {
        let issue = self.variant.issue(&mut self.account(), stream, items, bytes);
        let until = Instant::now() + PATIENCE;
        loop {
            match self.post(&issue, PATIENCE)? {
                200 => return Ok(()),
                429 | 502..=504 if Instant::now() < until => std::thread::sleep(CLIENT_PAUSE),
                status => bail!("answered with {status}"),
            }
        }
    }

    /// Sends items once; the status.
    pub fn send_once(&self, stream: &str, items: u64) -> Result<u16> {
        let issue = self.variant.issue(&mut self.account(), stream, items, 10);
        self.post(&issue, PATIENCE)
    }

    /// Sends from several clients at once, each to a stream of its own: `s0`, `s1`, …
    pub fn send_from(&self, clients: usize, requests: usize, items: u64) -> Result<()> {
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..clients)
                .map(|client| {
                    scope.spawn(move || {
                        (0..requests).try_for_each(|_| self.send(&format!("s{client}"), items, 10))
                    })
                })
                .collect();
            senders
                .into_iter()
                .try_for_each(|sender| sender.join().map_err(|_| anyhow::anyhow!("a sender failed"))?)
        })
    }

    fn post(&self, issue: &Issue, patience: Duration) -> Result<u16> {
        let path = format!("/v1/{}", self.variant.signal);
        let headers = [("content-type", "application/json")];
        let answer = request_within(patience, self.otlp, "POST", &path, &headers, &issue.json)?;
        if answer.status == 200 {
            self.account().accepted(issue);
        }
        Ok(answer.status)
    }

    fn account(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items the collector has taken.
    pub fn accepted(&self) -> usize {
        self.account().items()
    }

    /// Waits for a condition.
    pub fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !condition(self)? {
            ensure!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The collector's own metrics.
    pub fn counters(&self) -> Result<Counters> {
        let answer = request_within(PATIENCE, self.metrics, "GET", "/metrics", &[], b"")?;
        Ok(Counters(String::from_utf8(answer.body)?))
    }

    /// A counter of the exporter: `sent_events`.
    pub fn counter(&self, name: &str) -> Result<f64> {
        Ok(self.counters()?.sum(&format!("otelcol_exporter_{}_{name}", self.variant.exporter), ""))
    }

    /// What became of the items so far.
    pub fn balance(&self) -> Balance {
        let account = self.account();
        self.service.inspect(|recorded| account.balance(recorded))
    }

    /// Whether everything that was accepted has arrived.
    pub fn is_complete(&self) -> bool {
        let account = self.account();
        self.service.inspect(|recorded| account.is_complete(recorded))
    }

    /// Waits until everything that was accepted has arrived and the exporter is at rest; then nothing may have come
    /// twice without reason, no request may have been wrong, and the counters have to add up.
    pub fn settle(&self, collector: &Collector) -> Result<Balance> {
        self.settled().with_context(|| {
            let counters = self.counters().map_or_else(|error| error.to_string(), |counters| counters.0);
            let own: Vec<&str> =
                counters.lines().filter(|line| line.starts_with("otelcol_exporter_")).collect();
            format!("{}\n{}", own.join("\n"), collector.log())
        })
    }

    fn settled(&self) -> Result<Balance> {
        self.until("everything that was accepted has arrived", |scene| Ok(scene.is_complete()))?;
        self.until("the counters add up and nothing is queued", |scene| {
            let counters = scene.counters()?;
            let of =
                |name: &str| counters.sum(&format!("otelcol_exporter_{}_{name}", self.variant.exporter), "");
            let received = of("received_events");
            Ok(of("queued_events") == 0.0
                && received > 0.0
                && received == of("sent_events") + of("dropped_events"))
        })?;
        let balance = self.balance();
        balance.check().map_err(anyhow::Error::msg)?;
        let violations = self.service.inspect(|recorded| recorded.violations.clone());
        ensure!(violations.is_empty(), "{violations:?}");
        Ok(balance)
    }

    /// After [`settle`](Self::settle): every item was counted as sent, once.
    pub fn all_sent(&self, items: usize) -> Result<()> {
        let counters = self.counters()?;
        let name = format!("otelcol_exporter_{}", self.variant.sent_items());
        ensure!(
            counters.sum(&name, "") == items as f64,
            "{items} items, {name}: {}",
            counters.sum(&name, "")
        );
        let sent = self.counter("sent_events")?;
        ensure!(sent == items as f64, "{items} items, {sent} events sent");
        Ok(())
    }
}

impl Counters {
    /// The sum of the series of a metric whose labels contain a text: `reason="too_old"`.
    pub fn sum(&self, name: &str, labels: &str) -> f64 {
        let value = |line: &str| -> Option<f64> {
            let (series, value) = line.rsplit_once(' ')?;
            let (own, own_labels) = series.split_once('{').unwrap_or((series, ""));
            (own == name && own_labels.contains(labels)).then(|| value.parse().ok())?
        };
        self.0.lines().filter_map(value).sum()
    }
}
