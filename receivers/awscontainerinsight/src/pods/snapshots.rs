//! What containers' own files and logs take, measured on a thread that may block for as long as a disk does.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use node::{Buffer, Cgroups, ContainerCgroup, DeviceNumber, Processes, Progress, WalkBounds, Walker};

use super::figures::Files;

/// Files looked at in one go, and the pause after it: at most 20,000 files a second.
const STEP: u64 = 2000;
const PAUSE: Duration = Duration::from_millis(100);

/// Containers whose directory is looked for in one collection, each at the cost of reading a process's mount table; the
/// others have their turn in the next.
const LOOK_UPS: usize = 64;

/// How often a container is looked for.
const ATTEMPTS: u32 = 3;

/// The measurements, and the thread that makes them, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Snapshots {
    root: PathBuf,
    shared: Arc<Shared>,
    started: bool,
    /// Where each container's files are.
    directories: HashMap<Box<str>, Directory>,
    look_ups: usize,
    changed: bool,
}

/// Failures in a row, without any success, that are no accident: a container may always have just ended.
const FAILURES: u32 = 3;

/// What is known of a container's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Directory {
    /// It was looked for so often in vain, as none of the container's processes was seen.
    Sought(u32),
    /// It has none of its own, or none that can be found.
    None,
    At(Places),
}

/// Where a container writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    files: PathBuf,
    logs: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What to measure from now on, if that has changed.
    wanted: Option<Vec<(Box<str>, Places)>>,
    measured: HashMap<Box<str>, Files>,
    /// Why the last attempt failed, as long as none succeeds.
    trouble: Option<Arc<node::Error>>,
    /// How many attempts have failed since.
    failures: u32,
    stop: bool,
}

/// Why no container's files can be measured.
#[derive(Debug, thiserror::Error)]
#[error(
    "no container's files can be measured: HOST_ROOT has to name where the host's root directory is mounted"
)]
pub(super) struct FilesError(#[source] Arc<node::Error>);

impl Snapshots {
    /// Of the containers of the machine whose `/` is at `root`; nothing is measured yet.
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            shared: Arc::default(),
            started: false,
            directories: HashMap::new(),
            look_ups: 0,
            changed: false,
        }
    }

    /// Begins a collection.
    pub(super) fn begin(&mut self) {
        self.look_ups = 0;
    }

    /// What a container's files take, if that is known by now. Otherwise it will be measured. Its logs are in the directory
    /// that `logs` names.
    pub(super) fn of(
        &mut self,
        container: &ContainerCgroup,
        logs: impl FnOnce() -> PathBuf,
        cgroups: &Cgroups,
        processes: &mut Processes,
        buffer: &mut Buffer,
    ) -> Option<Files> {
        let sought = match self.directories.get(&container.id) {
            Some(Directory::At(_)) => return self.shared.lock().measured.get(&container.id).copied(),
            Some(Directory::None) => return None,
            Some(Directory::Sought(times)) => *times,
            None => 0,
        };
        if self.look_ups < LOOK_UPS {
            self.look_ups += 1;
            let process = processes.of(cgroups, container, buffer);
            // A process may end while it is asked.
            let directory = process.and_then(|process| node::upper_directory(&process, buffer).ok());
            let directory = match directory {
                Some(Some(files)) => Directory::At(Places { files, logs: logs() }),
                Some(None) => Directory::None,
                None if sought + 1 >= ATTEMPTS => Directory::None,
                None => Directory::Sought(sought + 1),
            };
            self.changed |= matches!(directory, Directory::At(_));
            self.directories.insert(container.id.clone(), directory);
        }
        None
    }

    /// Ends a collection that saw these containers: the others are forgotten.
    pub(super) fn end(&mut self, containers: &HashSet<&str>) {
        let before = self.directories.len();
        self.directories.retain(|id, _| containers.contains(&**id));
        self.changed |= self.directories.len() != before;
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let wanted: Vec<_> = self
            .directories
            .iter()
            .filter_map(|(id, directory)| match directory {
                Directory::At(places) => Some((id.clone(), places.clone())),
                Directory::Sought(_) | Directory::None => None,
            })
            .collect();
        let mut state = self.shared.lock();
        state.measured.retain(|id, _| self.directories.contains_key(id));
        if wanted.is_empty() {
            (state.trouble, state.failures) = (None, 0);
        }
        state.wanted = Some(wanted);
        drop(state);
        self.shared.news.notify_one();
        self.start();
    }

    /// The failure, if nothing at all can be measured.
    pub(super) fn trouble(&self) -> Result<(), FilesError> {
        let state = self.shared.lock();
        match &state.trouble {
            Some(error) if state.measured.is_empty() && state.failures >= FAILURES => {
                Err(FilesError(Arc::clone(error)))
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self) {
        if self.started {
            return;
        }
        let (root, shared) = (self.root.clone(), Arc::clone(&self.shared));
        let thread = std::thread::Builder::new().name("container-files".to_owned());
        match thread.spawn(move || measure(&root, &shared)) {
            Ok(_) => self.started = true,
            Err(error) => tracing::debug!(%error, "cannot make a thread to measure containers' files from"),
        }
    }
}

impl Drop for Snapshots {
    /// The thread is not waited for: a disk may hold it.
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.news.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is wanted, or for a time. False: stop.
    fn wait(&self, pause: Option<Duration>) -> bool {
        let is_idle = |state: &mut State| !state.stop && state.wanted.is_none();
        let state = self.lock();
        let state = match pause {
            Some(pause) => {
                let waited = self.news.wait_timeout_while(state, pause, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.news.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner),
        };
        !state.stop
    }
}

/// The thread.
fn measure(root: &Path, shared: &Shared) {
    let mut walker = Walker::new(root.to_owned(), WalkBounds::default());
    let mut places: HashMap<Box<str>, Places> = HashMap::new();
    let mut go_on = true;
    while go_on {
        if let Some(wanted) = shared.lock().wanted.take() {
            walker.set(wanted.iter().map(|(id, places)| (id.clone(), places.files.clone())));
            places = wanted.into_iter().collect();
        }
        let pause = match walker.step(Instant::now(), STEP) {
            Progress::Working => Some(PAUSE),
            Progress::Idle(until) => until.map(|until| until.saturating_duration_since(Instant::now())),
            Progress::Measured { id, usage } => {
                let places = places.get(&id);
                let device = places.and_then(|places| device_of(root, &places.files));
                let logs = places.map_or(0, |places| node::log_bytes(root, &places.logs));
                note(shared, id, usage, logs, device);
                Some(Duration::ZERO)
            }
        };
        go_on = shared.wait(pause);
    }
}

fn note(
    shared: &Shared,
    id: Box<str>,
    usage: Result<node::SnapshotUsage, node::Error>,
    logs: u64,
    device: Option<DeviceNumber>,
) {
    let mut state = shared.lock();
    match usage {
        Ok(mut usage) => {
            (state.trouble, state.failures) = (None, 0);
            usage.used_bytes = usage.used_bytes.saturating_add(logs);
            state.measured.insert(id, Files { usage, device });
        }
        Err(error) => {
            tracing::debug!(container = %id, error = component::causes(&error), "cannot measure its files");
            state.measured.remove(&id);
            state.trouble = Some(Arc::new(error));
            state.failures = state.failures.saturating_add(1);
        }
    }
}

/// The device of the filesystem a directory is on.
fn device_of(root: &Path, path: &Path) -> Option<DeviceNumber> {
    let path = root.join(path.strip_prefix("/").unwrap_or(path));
    let device = std::fs::metadata(path).ok()?.dev();
    // How glibc and the kernel put both numbers into one (gnu_dev_makedev in sysdeps/unix/sysv/linux/makedev.c).
    let major = (device >> 8 & 0xfff) | (device >> 32 & 0xffff_f000);
    let minor = (device & 0xff) | (device >> 12 & 0xffff_ff00);
    Some(DeviceNumber { major: u32::try_from(major).ok()?, minor: u32::try_from(minor).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_measured_until_nobody_wants_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("upper")).unwrap();
        std::fs::write(root.path().join("upper/file"), vec![1; 100_000]).unwrap();
        let mut snapshots = Snapshots::new(root.path().to_owned());
        std::fs::create_dir(root.path().join("logs")).unwrap();
        std::fs::write(root.path().join("logs/0.log"), vec![1; 100_000]).unwrap();
        let places = Places { files: "/upper".into(), logs: "/logs".into() };
        snapshots.directories.insert("1".into(), Directory::At(places));
        snapshots.directories.insert("2".into(), Directory::None);
        snapshots.changed = true;
        snapshots.end(&HashSet::from(["1", "2"]));
        let shared = Arc::clone(&snapshots.shared);
        let end = Instant::now() + Duration::from_secs(30);
        let files = loop {
            if let Some(files) = shared.lock().measured.get("1") {
                break *files;
            }
            assert!(Instant::now() < end, "not measured in time");
            std::thread::yield_now();
        };
        assert!((200_000..300_000).contains(&files.usage.used_bytes), "{files:?}");
        assert_eq!(files.device, device_of(root.path(), Path::new("/")));
        assert!(files.device.is_some());

        snapshots.end(&HashSet::from(["2"]));
        assert!(shared.lock().measured.is_empty());
        drop(snapshots);
        while Arc::strong_count(&shared) > 1 {
            assert!(Instant::now() < end, "the thread goes on");
            std::thread::yield_now();
        }
    }
}
