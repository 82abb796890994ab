//! How much the files take that containers have written, measured in the background.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::walk::{TreeWalk, WalkBounds};

/// The time from one walk of a tree to the next, as upstream's.
const PERIOD: Duration = Duration::from_secs(60);

/// Doubled after each failure up to this, as upstream does.
const LONGEST_PERIOD: Duration = Duration::from_secs(20 * 60);

/// A walk that took long is not repeated before this many times as long has passed.
const REST: u32 = 10;

/// What a container's own files take, and the filesystem they are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotUsage {
    /// Bytes: `st_blocks × 512` of every inode, of one with several names once.
    pub used_bytes: u64,
    /// Inodes.
    pub inodes_used: u64,
    /// The filesystem's size in bytes: `f_blocks × f_frsize`.
    pub capacity: u64,
    /// Bytes an ordinary user can still write to it: `f_bavail × f_frsize`.
    pub available: u64,
    /// A bound of the walk was reached, or a directory was not readable: it takes more than this.
    pub partial: bool,
    /// When the walk ended.
    pub measured_at: Instant,
}

/// What came out of a step.
#[derive(Debug)]
pub enum Progress {
    /// Nothing to do before this moment; none: before there are other containers.
    Idle(Option<Instant>),
    /// There is more to do.
    Working,
    /// A container was measured, or could not be. There may be more to do.
    Measured {
        /// Its identifier.
        id: Box<str>,
        /// The result. An absent directory ([`Error::is_absent`]) usually means that the container has ended.
        usage: Result<SnapshotUsage, Error>,
    },
}

/// Walks the upper directories of containers, one after the other, each about once a minute.
///
/// Nothing happens but in [`Walker::step`], which the caller calls on a thread that may block, with as many entries as a
/// step may look at and as often as it likes: that bounds entries per second. Results are handed over once, to be kept
/// where a collection finds them without waiting.
///
/// ```no_run
/// # use std::time::{Duration, Instant};
/// let mut walker = node::Walker::new("/rootfs".into(), node::WalkBounds::default());
/// walker.set([("0123…".into(), "/var/lib/containerd/…/snapshots/42/fs".into())]);
/// loop {
///     match walker.step(Instant::now(), 2000) {
///         node::Progress::Measured { id, usage } => { /* keep it */ }
///         node::Progress::Working => std::thread::sleep(Duration::from_millis(100)),
///         node::Progress::Idle(until) => { /* wait until then, or for other containers */ }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Walker {
    root: PathBuf,
    bounds: WalkBounds,
    /// By container.
    trees: BTreeMap<Box<str>, Tree>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Tree {
    path: PathBuf,
    /// None: at once.
    due: Option<Instant>,
    failures: u32,
}

#[derive(Debug)]
struct Current {
    id: Box<str>,
    walk: TreeWalk,
    started: Instant,
    capacity: u64,
    available: u64,
}

impl Walker {
    /// A walker on the host whose `/` is at `root`.
    #[must_use]
    pub fn new(root: PathBuf, bounds: WalkBounds) -> Self {
        Self { root, bounds, trees: BTreeMap::new(), current: None }
    }

    /// The containers there are now, by identifier, and the directory of each, as [`crate::upper_directory`] gives it.
    /// Others are forgotten.
    pub fn set(&mut self, containers: impl IntoIterator<Item = (Box<str>, PathBuf)>) {
        let mut former = std::mem::take(&mut self.trees);
        for (id, path) in containers {
            let tree = former.remove(&id).filter(|tree| tree.path == path);
            self.trees.insert(id, tree.unwrap_or(Tree { path, due: None, failures: 0 }));
        }
        self.current = self.current.take().filter(|current| self.trees.contains_key(&current.id));
    }

    /// Looks at `budget` more files of whatever is due.
    pub fn step(&mut self, now: Instant, budget: u64) -> Progress {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => match self.begin(now) {
                Ok(current) => current,
                Err(progress) => return progress,
            },
        };
        let Some(usage) = current.walk.step(budget) else {
            self.current = Some(current);
            return Progress::Working;
        };
        let took = now.saturating_duration_since(current.started);
        self.reschedule(&current.id, now + PERIOD.max(took * REST), true);
        let usage = SnapshotUsage {
            used_bytes: usage.bytes,
            inodes_used: usage.inodes,
            capacity: current.capacity,
            available: current.available,
            partial: usage.partial,
            measured_at: now,
        };
        Progress::Measured { id: current.id, usage: Ok(usage) }
    }

    /// The walk that is due first, or what to answer instead.
    fn begin(&mut self, now: Instant) -> Result<Current, Progress> {
        let next = self.trees.iter().min_by_key(|(_, tree)| tree.due);
        let Some((id, tree)) = next else { return Err(Progress::Idle(None)) };
        if let Some(due) = tree.due.filter(|due| *due > now) {
            return Err(Progress::Idle(Some(due)));
        }
        let id = id.clone();
        match begin(&self.root, &tree.path, self.bounds) {
            Ok((walk, capacity, available)) => Ok(Current { id, walk, started: now, capacity, available }),
            Err(error) => {
                let doubled = PERIOD.saturating_mul(2_u32.saturating_pow(tree.failures.saturating_add(1)));
                self.reschedule(&id, now + doubled.min(LONGEST_PERIOD), false);
                Err(Progress::Measured { id, usage: Err(error) })
            }
        }
    }

    fn reschedule(&mut self, id: &str, due: Instant, success: bool) {
        if let Some(tree) = self.trees.get_mut(id) {
            tree.due = Some(due);
            tree.failures = if success { 0 } else { tree.failures.saturating_add(1) };
        }
    }
}

/// Opens a tree and asks for the size of its filesystem, which holds a container's files and so is no network's.
fn begin(root: &Path, path: &Path, bounds: WalkBounds) -> Result<(TreeWalk, u64, u64), Error> {
    let walk = TreeWalk::open(root, path, bounds)?;
    let stat = match walk.top().map(rustix::fs::fstatvfs) {
        Some(Ok(stat)) => stat,
        Some(Err(source)) => {
            return Err(Error::Filesystem { path: path.to_path_buf(), source: source.into() });
        }
        None => return Ok((walk, 0, 0)),
    };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok((walk, bytes(stat.f_blocks), bytes(stat.f_bavail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(progress: Progress) -> (Box<str>, Result<SnapshotUsage, Error>) {
        match progress {
            Progress::Measured { id, usage } => (id, usage),
            other => panic!("{other:?}"),
        }
    }

    fn is_idle_until(progress: &Progress, moment: Option<Instant>) -> bool {
        matches!(progress, Progress::Idle(until) if *until == moment)
    }

    #[test]
    fn rounds() {
        let root = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("file"), "content").unwrap();
        }
        let mut walker = Walker::new(root.path().to_path_buf(), WalkBounds::default());
        let start = Instant::now();
        let seconds = Duration::from_secs;
        assert!(is_idle_until(&walker.step(start, 100), None));

        let container = |id: &str, path: &str| (Box::from(id), PathBuf::from(path));
        let all = || [container("1", "/one"), container("2", "/two"), container("3", "/gone")];
        walker.set(all());
        for id in ["1", "2"] {
            let (measured_id, usage) = measured(walker.step(start, 100));
            let usage = usage.unwrap();
            assert_eq!((&*measured_id, usage.inodes_used, usage.partial), (id, 2, false));
            assert_eq!(usage.measured_at, start);
            assert!(usage.used_bytes > 0 && usage.available <= usage.capacity && usage.capacity > 0);
        }
        let (id, usage) = measured(walker.step(start, 100));
        assert!(&*id == "3" && usage.unwrap_err().is_absent());

        // Nothing for a minute; two for what failed, then four, and no more than twenty.
        assert!(is_idle_until(&walker.step(start + seconds(1), 100), Some(start + seconds(60))));
        let minute = start + seconds(60);
        walker.set(all());
        assert_eq!(&*measured(walker.step(minute, 100)).0, "1");
        assert_eq!(&*measured(walker.step(minute, 100)).0, "2");
        assert!(is_idle_until(&walker.step(minute, 100), Some(start + seconds(120))));
        walker.set([container("3", "/gone")]);
        let mut now = start;
        for minutes in [2, 4, 8, 16, 20, 20] {
            let Progress::Idle(Some(until)) = walker.step(now, 100) else { panic!() };
            assert_eq!(until - now, seconds(if minutes == 2 { 120 } else { minutes * 60 }), "{minutes}");
            now = until;
            assert!(measured(walker.step(now, 100)).1.is_err());
        }

        // Another directory is measured at once.
        walker.set([container("3", "/two")]);
        assert!(measured(walker.step(now, 100)).1.is_ok());
    }

    #[test]
    fn steps() {
        let root = tempfile::tempdir().unwrap();
        for index in 0..500 {
            std::fs::write(root.path().join(format!("a-rather-long-file-name-{index}")), "").unwrap();
        }
        let mut walker = Walker::new(root.path().to_path_buf(), WalkBounds::default());
        walker.set([("1".into(), "/".into())]);
        let start = Instant::now();
        let mut steps = 0;
        let usage = loop {
            steps += 1;
            match walker.step(start + Duration::from_secs(steps), 10) {
                Progress::Working => {}
                other => break measured(other).1.unwrap(),
            }
        };
        assert!(steps > 4, "{steps}");
        assert_eq!(usage.inodes_used, 501);
        // A walk that took long is given a longer rest.
        let end = start + Duration::from_secs(steps);
        let Progress::Idle(Some(until)) = walker.step(end, 10) else { panic!() };
        assert_eq!(until - end, Duration::from_secs((steps - 1) * 10).max(PERIOD));

        // A container that goes while it is walked leaves nothing behind.
        walker.set([("2".into(), "/".into())]);
        assert!(matches!(walker.step(end, 10), Progress::Working));
        walker.set([]);
        assert!(is_idle_until(&walker.step(end, 10), None));
    }
}
