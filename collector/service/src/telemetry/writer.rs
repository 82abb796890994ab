//! The thread that writes the log: an output that nobody reads holds up no pipeline.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of lines that wait to be written; further lines are dropped and counted.
const MAX_WAITING: usize = 1 << 20;

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Number of lines of this process that were dropped.
pub(super) fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Destinations of lines.
pub(super) type Outputs = Vec<Box<dyn Write + Send>>;

/// Hands lines to the thread that writes them.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Notified of new items.
    filled: Condvar,
    /// Notified when everything is written.
    written: Condvar,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Bytes of the lines.
    bytes: usize,
    /// Lines that were dropped since the last one that was taken.
    dropped: u64,
    /// The thread is writing what it took.
    is_writing: bool,
}

enum Item {
    Line(String),
    /// Later lines go there.
    Outputs(Outputs),
}

impl LogWriter {
    /// Starts the thread; it ends with the process.
    pub(super) fn start(outputs: Outputs) -> Self {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new(), written: Condvar::new() });
        let thread = shared.clone();
        let started = std::thread::Builder::new().name("log".into()).spawn(move || thread.run(outputs));
        if let Err(error) = started {
            // The process has no threads to give: there is no log then, as there would be no runtime.
            DROPPED.fetch_add(1, Ordering::Relaxed);
            drop(error);
        }
        Self(shared)
    }

    /// Adds a line with its line feed. Returns at once.
    pub(super) fn write(&self, line: String) {
        let mut queue = self.0.lock();
        if queue.bytes + line.len() > MAX_WAITING && !queue.items.is_empty() {
            queue.dropped += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.items.push_back(Item::Line(line));
        drop(queue);
        self.0.filled.notify_one();
    }

    /// Sends later lines elsewhere.
    pub(super) fn redirect(&self, outputs: Outputs) {
        self.0.lock().items.push_back(Item::Outputs(outputs));
        self.0.filled.notify_one();
    }

    /// Waits until everything is written, or `timeout` has passed: somebody may not read.
    pub(super) fn flush(&self, timeout: Duration) {
        let queue = self.0.lock();
        let is_busy = |queue: &mut Queue| queue.is_writing || !queue.items.is_empty();
        drop(self.0.written.wait_timeout_while(queue, timeout, is_busy));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut outputs: Outputs) {
        loop {
            let (items, dropped) = self.take();
            for item in items {
                match item {
                    Item::Line(line) => write(&mut outputs, &line),
                    Item::Outputs(others) => outputs = others,
                }
            }
            if dropped > 0 {
                write(&mut outputs, &format!("{dropped} log lines were dropped: the log was not read\n"));
            }
        }
    }

    /// Waits for items and takes all of them.
    fn take(&self) -> (VecDeque<Item>, u64) {
        let mut queue = self.lock();
        queue.is_writing = false;
        if queue.items.is_empty() {
            self.written.notify_all();
        }
        let mut queue = self
            .filled
            .wait_while(queue, |queue| queue.items.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        queue.is_writing = true;
        queue.bytes = 0;
        (std::mem::take(&mut queue.items), std::mem::take(&mut queue.dropped))
    }
}

fn write(outputs: &mut Outputs, line: &str) {
    for output in outputs {
        // There is nowhere left to report that the log itself cannot be written.
        let _ = output.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that waits for a permission before every line.
    struct Slow {
        permissions: Receiver<()>,
        lines: Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let permitted = self.permissions.recv();
            permitted.map_err(std::io::Error::other)?;
            self.lines.send(String::from_utf8_lossy(bytes).into_owned()).map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_is_not_read_drops_lines_and_counts_them() {
        let ((permit, permissions), (sender, lines)) = (channel(), channel());
        let writer = LogWriter::start(vec![Box::new(Slow { permissions, lines: sender })]);
        let line = format!("{}\n", "x".repeat(99_999));
        writer.write("first\n".into());
        (0..30).for_each(|_| writer.write(line.clone()));
        writer.flush(Duration::from_millis(1));
        (0..40).for_each(|_| permit.send(()).unwrap());
        writer.flush(Duration::from_secs(10));
        let lines: Vec<String> = lines.try_iter().collect();
        assert_eq!(lines[0], "first\n");
        let kept = lines.iter().filter(|got| **got == line).count();
        assert!((10..=11).contains(&kept), "{kept}");
        let note = format!("{} log lines were dropped: the log was not read\n", 30 - kept);
        assert!(lines.contains(&note), "{:?}", lines.last());
    }
}
