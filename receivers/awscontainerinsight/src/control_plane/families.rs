//! What is kept of a scrape, and how it is written: metrics of many points, as a Prometheus receiver makes them.

use std::ops::Range;

use helper::exposition::{Kind, Labels, Line, Reader, Sample};
use pdata::{HistogramPoint, PointTimes, ResourceMetricsBuilder};

/// Families that are kept; the others, nine tenths of what an API server exposes, are not looked at. Sorted.
const KEPT: [&str; 19] = [
    "apiserver_admission_controller_admission_duration_seconds",
    "apiserver_admission_step_admission_duration_seconds",
    "apiserver_admission_webhook_admission_duration_seconds",
    "apiserver_current_inflight_requests",
    "apiserver_current_inqueue_requests",
    "apiserver_flowcontrol_rejected_requests_total",
    "apiserver_flowcontrol_request_concurrency_limit",
    "apiserver_longrunning_requests",
    "apiserver_request_duration_seconds",
    "apiserver_request_total",
    "apiserver_requested_deprecated_apis",
    "apiserver_storage_db_total_size_in_bytes",
    "apiserver_storage_list_duration_seconds",
    "apiserver_storage_objects",
    "apiserver_storage_size_bytes",
    "etcd_db_total_size_in_bytes",
    "etcd_request_duration_seconds",
    "rest_client_request_duration_seconds",
    "rest_client_requests_total",
];

/// When the server that answers was started: tells one server of several from another, and is not passed on.
const SERVER_START: &str = "process_start_time_seconds";

/// The ends of the names of a histogram's samples.
const PARTS: [(&str, Part); 3] = [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)];

/// A label of the API server's and what upstream renames it to.
const RENAMED: (&str, &str) = ("type", "kubernetes_type");

/// The label that says up to which value a bucket counts.
const BOUND: &str = "le";

/// Points that are kept of a scrape, and bytes of their labels: several times what a server of a large cluster has.
const MOST_POINTS: usize = 100_000;
const MOST_TEXT: usize = 32 * 1024 * 1024;

/// Between the names and values of labels. A value that has it is not text that anybody means.
const SEPARATOR: char = '\0';

/// What one scrape found.
#[derive(Debug, Default)]
pub(crate) struct Exposed {
    families: Vec<Family>,
    /// Labels of all points.
    text: String,
    bounds: Vec<f64>,
    counts: Vec<u64>,
    points: usize,
    /// Points that do not fit or make no sense.
    left_out: u64,
    server_start: f64,
    open: Option<Open>,
    key: String,
}

#[derive(Debug)]
struct Family {
    /// Where in [`KEPT`] its name is.
    name: usize,
    help: String,
    kind: Kind,
    points: Vec<Point>,
}

#[derive(Debug)]
struct Point {
    labels: Range<usize>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Number(f64),
    Histogram {
        count: u64,
        sum: f64,
        /// In `bounds`; those in `counts` are one more for each histogram before, and one more.
        bounds: Range<usize>,
        counts: Range<usize>,
    },
}

/// A histogram whose samples are being read; they come one after the other.
#[derive(Debug)]
struct Open {
    family: usize,
    labels: Range<usize>,
    /// Up to each bound, how many values there are.
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

/// Which sample of a histogram it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Bucket,
    Sum,
    Count,
}

/// Whether a name is that of a sample or family that is kept.
pub(super) fn is_wanted(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| kept(name).is_some() || name == SERVER_START)
}

/// The family of a sample or comment, and which part of it if the family is a histogram.
fn kept(name: &str) -> Option<(usize, Option<Part>)> {
    let begins = ["apiserver_", "etcd_", "rest_client_"].iter().any(|prefix| name.starts_with(prefix));
    if !begins {
        return None;
    }
    if let Ok(index) = KEPT.binary_search(&name) {
        return Some((index, None));
    }
    PARTS.iter().find_map(|(end, part)| {
        let family = name.strip_suffix(end).filter(|family| family.ends_with("_seconds"))?;
        Some((KEPT.binary_search(&family).ok()?, Some(*part)))
    })
}

impl Exposed {
    /// Takes the next part of the server's answer.
    pub(super) fn feed(&mut self, reader: &mut Reader, chunk: &[u8]) {
        reader.feed(chunk, is_wanted, |line| self.take(&line));
    }

    /// The answer has ended.
    pub(super) fn finish(&mut self, reader: &mut Reader) {
        reader.finish(is_wanted, |line| self.take(&line));
        self.close();
        self.left_out += reader.malformed();
    }

    /// How many points there are.
    pub(crate) fn len(&self) -> usize {
        self.points
    }

    /// How many lines and points were left out.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// When the server that answered was started: Unix time in seconds; 0 if it does not say.
    pub(super) fn server_start(&self) -> f64 {
        self.server_start
    }

    fn take(&mut self, line: &Line<'_>) {
        match line {
            Line::Help { name, text } => {
                if let Some(family) = self.family_of(name) {
                    family.help = text.clone().into_owned();
                }
            }
            Line::Type { name, kind } => {
                if let Some(family) = self.family_of(name) {
                    family.kind = *kind;
                }
            }
            Line::Sample(sample) if sample.name == SERVER_START => self.server_start = sample.value,
            Line::Sample(sample) => self.sample(sample),
        }
    }

    /// The family that a comment is about.
    fn family_of(&mut self, name: &str) -> Option<&mut Family> {
        let (index, part) = kept(name)?;
        let at = part.is_none().then(|| self.family(index))?;
        self.families.get_mut(at)
    }

    /// Where the family with a name is; a new one comes last, as a text has each in one piece.
    fn family(&mut self, name: usize) -> usize {
        if let Some(at) = self.families.iter().rposition(|family| family.name == name) {
            return at;
        }
        self.families.push(Family { name, help: String::new(), kind: Kind::Untyped, points: Vec::new() });
        self.families.len() - 1
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        let Some((name, part)) = kept(sample.name) else { return };
        let family = self.family(name);
        let is_histogram = self.families.get(family).is_some_and(|family| family.kind == Kind::Histogram);
        match part {
            Some(part) if is_histogram => self.part(family, part, sample),
            None if !is_histogram => {
                self.close();
                self.write_key(sample.labels, "");
                let Some(labels) = self.keep_key() else { return };
                self.push(family, Point { labels, value: Value::Number(sample.value) });
            }
            // A summary, or a sample that does not fit its family's type.
            _ => self.left_out += 1,
        }
    }

    fn part(&mut self, family: usize, part: Part, sample: &Sample<'_>) {
        self.write_key(sample.labels, BOUND);
        let is_same = self.open.as_ref().is_some_and(|open| {
            open.family == family && self.text.get(open.labels.clone()) == Some(self.key.as_str())
        });
        if !is_same {
            self.close();
            let Some(labels) = self.keep_key() else { return };
            self.open = Some(Open { family, labels, buckets: Vec::new(), sum: None, count: None });
        }
        let Some(open) = &mut self.open else { return };
        match part {
            Part::Bucket => {
                // What is no number makes the histogram senseless, which shows when it is closed.
                let bound = sample.labels.get(BOUND).and_then(|bound| bound.parse().ok()).unwrap_or(f64::NAN);
                open.buckets.push((bound, sample.value));
            }
            Part::Sum => open.sum = Some(sample.value),
            Part::Count => open.count = Some(sample.value),
        }
    }

    /// Ends the histogram that was being read.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let (bounds, counts) = (self.bounds.len(), self.counts.len());
        let count = self.keep_buckets(&open);
        let (Some(count), Some(sum)) = (count, open.sum) else {
            self.bounds.truncate(bounds);
            self.counts.truncate(counts);
            self.left_out += 1;
            return;
        };
        let (bounds, counts) = (bounds..self.bounds.len(), counts..self.counts.len());
        let value = Value::Histogram { count, sum, bounds, counts };
        self.push(open.family, Point { labels: open.labels, value });
    }

    /// Keeps what is in each bucket; gives the sum. None if the buckets make no sense.
    fn keep_buckets(&mut self, open: &Open) -> Option<u64> {
        let total = whole(open.count?)?;
        let (mut before, mut last) = (0, f64::NEG_INFINITY);
        for (bound, up_to) in &open.buckets {
            if bound.is_nan() || *bound <= last {
                return None;
            }
            last = *bound;
            if bound.is_finite() {
                let up_to = whole(*up_to)?;
                self.bounds.push(*bound);
                self.counts.push(up_to.checked_sub(before)?);
                before = up_to;
            }
        }
        self.counts.push(total.checked_sub(before)?);
        Some(total)
    }

    /// Writes labels to `key`, without the one named `except` and without empty ones, which are as good as absent.
    fn write_key(&mut self, labels: Labels<'_>, except: &str) {
        self.key.clear();
        for (name, value) in labels.iter() {
            if name == except || value.is_empty() {
                continue;
            }
            self.key.push_str(if name == RENAMED.0 { RENAMED.1 } else { name });
            self.key.push(SEPARATOR);
            self.key.extend(value.chars().filter(|character| *character != SEPARATOR));
            self.key.push(SEPARATOR);
        }
    }

    fn keep_key(&mut self) -> Option<Range<usize>> {
        if self.text.len() + self.key.len() > MOST_TEXT || self.points >= MOST_POINTS {
            self.left_out += 1;
            return None;
        }
        let start = self.text.len();
        self.text.push_str(&self.key);
        Some(start..self.text.len())
    }

    fn push(&mut self, family: usize, point: Point) {
        if let Some(family) = self.families.get_mut(family) {
            family.points.push(point);
            self.points += 1;
        }
    }

    /// Adds the metrics to a resource. All points have the labels of `shared` as well.
    pub(super) fn write(
        &self,
        shared: &[(&str, &str)],
        times: PointTimes,
        resource: &mut ResourceMetricsBuilder<'_>,
    ) {
        for family in self.families.iter().filter(|family| !family.points.is_empty()) {
            let name = KEPT.get(family.name).copied().unwrap_or_default();
            let help = family.help.as_str();
            let points = || {
                family
                    .points
                    .iter()
                    .map(|point| (self.labels(point).chain(shared.iter().copied()), &point.value))
            };
            match family.kind {
                Kind::Histogram => {
                    let mut metric = resource.cumulative_histograms(name, help, "");
                    for (labels, value) in points() {
                        if let Some(value) = self.histogram(value) {
                            metric.point(labels, times, value);
                        }
                    }
                }
                kind => {
                    let mut metric = match kind {
                        Kind::Counter => resource.cumulative_sums(name, help, ""),
                        _ => resource.gauges(name, help, ""),
                    };
                    // What goes up and down has no beginning.
                    let start_unix_nano = if kind == Kind::Counter { times.start_unix_nano } else { 0 };
                    for (labels, value) in points() {
                        if let Value::Number(value) = value {
                            metric.point(labels, PointTimes { start_unix_nano, ..times }, *value);
                        }
                    }
                }
            }
        }
    }

    fn labels(&self, point: &Point) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.text.get(point.labels.clone()).unwrap_or_default().split(SEPARATOR);
        std::iter::from_fn(move || Some((parts.next().filter(|name| !name.is_empty())?, parts.next()?)))
    }

    fn histogram(&self, value: &Value) -> Option<HistogramPoint<'_>> {
        let Value::Histogram { count, sum, bounds, counts } = value else { return None };
        let (bounds, counts) = (self.bounds.get(bounds.clone())?, self.counts.get(counts.clone())?);
        Some(HistogramPoint { count: *count, sum: *sum, bounds, counts })
    }
}

/// A count, which is written as a float.
fn whole(value: f64) -> Option<u64> {
    // Up to here floats are exact; no counter of requests comes near.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (0.0..=EXACT).contains(&value).then_some(value as u64)
}
