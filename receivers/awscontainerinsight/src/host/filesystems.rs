//! How full filesystems are, asked without waiting for one that does not answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use node::{Filesystem, FilesystemUsage};
use tokio::sync::mpsc;

use crate::health::Health;

/// How long a filesystem may take to answer.
const GUARD: Duration = Duration::from_secs(2);

type Ask = fn(&Filesystem) -> Result<FilesystemUsage, node::Error>;
type Answer = Result<FilesystemUsage, node::Error>;

/// Why a filesystem's size is not known.
#[derive(Debug, thiserror::Error)]
enum SizeError {
    #[error(transparent)]
    Read(#[from] node::Error),
    #[error("no answer within {GUARD:?}: the device hangs")]
    Hangs,
    #[error("cannot make a thread to ask from")]
    Thread(#[source] std::io::Error),
    #[error("the thread that asks ended early")]
    Ended,
}

/// Asks filesystems from threads of its own. The kernel can hold a thread for as long as a device hangs, so it is not
/// one of the runtime's, whose end would wait for it; and a filesystem that holds one is not asked again meanwhile.
#[derive(Debug)]
pub(super) struct FilesystemSizes {
    pub(super) ask: Ask,
    hanging: HashMap<Arc<str>, JoinHandle<()>>,
}

/// A thread that asks one filesystem after the other.
struct Asking {
    thread: JoinHandle<()>,
    answers: mpsc::UnboundedReceiver<Answer>,
}

impl Default for FilesystemSizes {
    fn default() -> Self {
        Self { ask: Filesystem::usage, hanging: HashMap::new() }
    }
}

impl FilesystemSizes {
    /// Adds the sizes of all filesystems that answer to `found`, in order.
    pub(super) async fn read(
        &mut self,
        filesystems: &Arc<[Filesystem]>,
        health: &mut Health,
        found: &mut Vec<(Arc<str>, FilesystemUsage)>,
    ) {
        self.hanging.retain(|_, thread| !thread.is_finished());
        let mut asking = None;
        for (index, Filesystem { device, .. }) in filesystems.iter().enumerate() {
            let answer = self.answer(filesystems, index, device, &mut asking).await;
            if let Some(usage) = health.check(device, answer) {
                found.push((Arc::clone(device), usage));
            }
        }
    }

    async fn answer(
        &mut self,
        filesystems: &Arc<[Filesystem]>,
        index: usize,
        device: &Arc<str>,
        asking: &mut Option<Asking>,
    ) -> Result<FilesystemUsage, SizeError> {
        if self.hanging.contains_key(device) {
            // A thread under way would ask it too.
            *asking = None;
            return Err(SizeError::Hangs);
        }
        let mut current = match asking.take() {
            Some(current) => current,
            None => self.begin(Arc::clone(filesystems), index)?,
        };
        match tokio::time::timeout(GUARD, current.answers.recv()).await {
            Ok(Some(answer)) => {
                *asking = Some(current);
                Ok(answer?)
            }
            Ok(None) => Err(SizeError::Ended),
            Err(_) => {
                self.hanging.insert(Arc::clone(device), current.thread);
                Err(SizeError::Hangs)
            }
        }
    }

    /// A thread for the filesystems from `first` up to the next one that hangs. It ends when nobody listens any more.
    fn begin(&self, filesystems: Arc<[Filesystem]>, first: usize) -> Result<Asking, SizeError> {
        let (sender, answers) = mpsc::unbounded_channel();
        let ask = self.ask;
        let end = filesystems
            .iter()
            .skip(first)
            .position(|filesystem| self.hanging.contains_key(&filesystem.device))
            .map_or(filesystems.len(), |count| first + count);
        let thread = std::thread::Builder::new()
            .name("statvfs".to_owned())
            .spawn(move || {
                for filesystem in filesystems.iter().take(end).skip(first) {
                    if sender.send(ask(filesystem)).is_err() {
                        return;
                    }
                }
            })
            .map_err(SizeError::Thread)?;
        Ok(Asking { thread, answers })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Held by the test while `/dev/hangs` shall not answer.
    static GATE: Mutex<()> = Mutex::new(());

    fn filesystem(device: &str) -> Filesystem {
        Filesystem {
            device: device.into(),
            mount_point: "/".into(),
            fs_type: "ext4".into(),
            number: node::DeviceNumber { major: 8, minor: 0 },
        }
    }

    fn ask(filesystem: &Filesystem) -> Answer {
        if &*filesystem.device == "/dev/hangs" {
            drop(GATE.lock());
        }
        if &*filesystem.device == "/dev/broken" {
            let (device, path) = (filesystem.device.to_string(), filesystem.mount_point.clone());
            return Err(node::Error::Hidden { device, path });
        }
        Ok(FilesystemUsage { capacity: 1, ..FilesystemUsage::default() })
    }

    #[tokio::test]
    #[allow(
        clippy::await_holding_lock,
        reason = "the lock is what the thread waits for, and no task takes it"
    )]
    async fn a_filesystem_that_hangs_holds_up_nobody_else() {
        let filesystems: Arc<[Filesystem]> =
            ["/dev/a", "/dev/hangs", "/dev/broken", "/dev/b"].map(filesystem).into();
        let mut sizes = FilesystemSizes { ask, hanging: HashMap::new() };
        let mut health = Health::default();
        let gate = GATE.lock().unwrap();
        for _ in 0..2 {
            let mut found = Vec::new();
            sizes.read(&filesystems, &mut health, &mut found).await;
            let devices: Vec<_> = found.iter().map(|(device, _)| &**device).collect();
            assert_eq!(devices, ["/dev/a", "/dev/b"]);
            assert_eq!(health.take_failures(), 2);
            assert_eq!(sizes.hanging.len(), 1);
        }
        drop(gate);
        let thread = sizes.hanging.remove("/dev/hangs").unwrap();
        tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
        let mut found = Vec::new();
        sizes.read(&filesystems, &mut health, &mut found).await;
        assert_eq!(found.len(), 3);
    }
}
