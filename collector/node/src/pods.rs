//! The table of pods' and containers' control groups, kept current.

use std::collections::{BTreeMap, HashSet};

use crate::cgroup::Cgroups;
use crate::error::Error;
use crate::file::Buffer;
use crate::folder::{Change, Watcher, subdirectories};
use crate::group::{Cgroup, Swap};
use crate::names::{Qos, Runtime, parse_container_name};
use crate::roots::{Found, Kind, known_roots, roots_of_strays, search_roots};

/// Every so many refreshes all directories are listed, in case a change went unnoticed, and new roots are looked for.
const COMPLETE: u64 = 15;

/// Groups of pods and containers in the table at most; no kubelet runs a hundredth of it.
const LIMIT: usize = 16_384;

/// The control group of a pod, or of a task of ECS.
///
/// A pod may have several: where a runtime cannot place containers in their pods' groups, each container's own group, which
/// then is a pod's with one container, counts beside the one that the kubelet made. Their figures add up to the pod's.
#[derive(Debug)]
pub struct PodCgroup {
    /// The pod's uid, with dashes, or the task's identifier. A static pod's is the hash that the API server's copy of
    /// the pod has in its annotation `kubernetes.io/config.hash`, not that copy's uid.
    pub uid: Box<str>,
    /// The pod's quality of service; none for a task.
    pub qos: Option<Qos>,
    /// The group's path, such as `/kubepods.slice/kubepods-pod….slice`.
    pub path: Box<str>,
    /// The group's figures, which are those of all its containers, the sandbox and those that have ended included.
    pub group: Cgroup,
    /// Its containers now, ordered by path. The sandbox, which holds the network and runs nothing, is one of them:
    /// the one of which the kubelet does not know.
    pub containers: Vec<ContainerCgroup>,
    /// It is a container's own: what is below it is nobody else's.
    is_stray: bool,
    state: State,
}

/// The control group of a container.
#[derive(Debug)]
pub struct ContainerCgroup {
    /// The runtime's identifier, 64 digits: what the kubelet reports after `containerd://`.
    pub id: Box<str>,
    /// What made it, as far as the name tells.
    pub runtime: Runtime,
    /// The group's path.
    pub path: Box<str>,
    /// The group's figures. Nothing is opened before it is read.
    pub group: Cgroup,
}

/// All pods and tasks of this machine.
///
/// [`PodTable::refresh`] costs one system call while nothing changes: a watch on each directory tells which to list
/// again. Modification times would not tell, as kernfs keeps none, and link counts miss a container replaced by another.
/// A directory that cannot be watched is listed each time, for four system calls.
#[derive(Debug)]
pub struct PodTable {
    cgroups: Cgroups,
    watcher: Option<Watcher>,
    /// `kubepods`, its quality-of-service groups, and their like, by path.
    folders: BTreeMap<Box<str>, Folder>,
    /// By path.
    pods: BTreeMap<Box<str>, PodCgroup>,
    refreshes: u64,
    limit: usize,
    full: bool,
}

/// What a refresh found.
#[derive(Debug, Default)]
pub struct Refresh {
    /// Pods or containers have come or gone.
    pub changed: bool,
    /// Directories that cannot be listed, and [`Error::TooManyCgroups`]; each reported once until it recovers. Their
    /// content is as it was.
    pub errors: Vec<Error>,
}

#[derive(Debug)]
struct Folder {
    kind: Kind,
    group: Cgroup,
    state: State,
}

/// How much is known of a directory's content.
#[derive(Debug, Default)]
struct State {
    listed: bool,
    watched: bool,
    failed: bool,
}

impl PodTable {
    /// An empty table of the pods below `cgroups`; nothing is read yet.
    #[must_use]
    pub fn new(cgroups: Cgroups) -> Self {
        Self {
            cgroups,
            watcher: Watcher::new(),
            folders: BTreeMap::new(),
            pods: BTreeMap::new(),
            refreshes: 0,
            limit: LIMIT,
            full: false,
        }
    }

    /// The hierarchies the groups are in.
    #[must_use]
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// The pods, ordered by path.
    pub fn iter(&self) -> impl Iterator<Item = &PodCgroup> {
        self.pods.values()
    }

    /// The pods, ordered by path, for reading their figures.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut PodCgroup> {
        self.pods.values_mut()
    }

    /// How many pods there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// Whether pods have anything in swap space, which the groups above all of them tell: a system call for each, of which
    /// there is one as a rule. `machine` is what [`Host::swap`](crate::Host::swap) says.
    pub fn swap(&mut self, machine: Swap, buffer: &mut Buffer) -> Swap {
        if machine == Swap::Absent {
            return Swap::Absent;
        }
        let mut topmost: Option<&str> = None;
        for (path, folder) in &mut self.folders {
            // A folder sorts before those in it, with nothing but its kind between.
            if topmost.is_some_and(|above| is_inside(path, above)) {
                continue;
            }
            topmost = Some(path);
            if folder.group.swap(buffer) == Swap::Present {
                return Swap::Present;
            }
        }
        if topmost.is_some() { Swap::Absent } else { Swap::Present }
    }

    /// Brings the table up to date. Groups that stay keep their readers, and so their descriptors.
    pub fn refresh(&mut self, buffer: &mut Buffer) -> Refresh {
        let mut refresh = Refresh::default();
        self.note_changes(buffer);
        let complete = self.refreshes.is_multiple_of(COMPLETE);
        self.refreshes = self.refreshes.wrapping_add(1);
        if complete {
            self.forget_listings();
        }
        if complete || !self.has_roots() {
            self.find_roots(complete, buffer);
        }
        // A folder's listing may bring further folders, which sort after it.
        while let Some(path) = self.unlisted_folder() {
            self.list_folder(&path, buffer, &mut refresh);
        }
        for folder in self.folders.values_mut() {
            folder.state.begin();
        }
        self.list_pods(buffer, &mut refresh);
        refresh
    }

    fn note_changes(&mut self, buffer: &mut Buffer) {
        let changes = self.watcher.as_mut().map(|watcher| watcher.changes(buffer)).unwrap_or_default();
        for change in changes {
            let (path, gone) = match &change {
                Change::Content(path) => (path, false),
                Change::Gone(path) => (path, true),
                Change::Unknown => return self.forget_listings(),
            };
            let folder = self.folders.get_mut(path).map(|folder| &mut folder.state);
            if let Some(state) = folder.or_else(|| self.pods.get_mut(path).map(|pod| &mut pod.state)) {
                state.listed = false;
                state.watched &= !gone;
            }
        }
    }

    fn forget_listings(&mut self) {
        let pods = self.pods.values_mut().map(|pod| &mut pod.state);
        self.folders
            .values_mut()
            .map(|folder| &mut folder.state)
            .chain(pods)
            .for_each(|state| state.listed = false);
    }

    fn find_roots(&mut self, everywhere: bool, buffer: &mut Buffer) {
        let hierarchy = self.cgroups.walked();
        let mut roots = known_roots(&hierarchy, buffer);
        if everywhere && roots.is_empty() && !self.has_roots() {
            roots = search_roots(&hierarchy, buffer);
        }
        for root in roots {
            let kind = if root.starts_with("ecs") { Kind::Tasks } else { Kind::Pods(Qos::Guaranteed) };
            self.add_root(&root, kind);
        }
        if everywhere {
            roots_of_strays(&hierarchy, buffer)
                .into_iter()
                .for_each(|root| self.add_root(root, Kind::Runtime));
        }
    }

    fn add_root(&mut self, root: &str, kind: Kind) {
        let path = format!("/{root}");
        let group = self.cgroups.cgroup(&path);
        self.folders.entry(path.into()).or_insert_with(|| Folder::new(kind, group));
    }

    /// Whether it is known where pods are.
    fn has_roots(&self) -> bool {
        self.folders.values().any(|folder| folder.kind != Kind::Runtime)
    }

    fn unlisted_folder(&self) -> Option<Box<str>> {
        self.folders.iter().find(|(_, folder)| !folder.state.listed).map(|(path, _)| path.clone())
    }

    fn list_folder(&mut self, path: &str, buffer: &mut Buffer, refresh: &mut Refresh) {
        let Some(folder) = self.folders.get_mut(path) else { return };
        let kind = folder.kind;
        let names = match folder.state.list(path, &self.cgroups, self.watcher.as_mut(), buffer) {
            Ok(names) => names,
            Err(error) if error.is_absent() => return self.remove_folder(path, refresh),
            Err(error) => return refresh.errors.extend(folder.state.fail(error)),
        };
        let paths: HashSet<String> = names.iter().map(|name| format!("{path}/{name}")).collect();
        let is_gone = |child: &str| {
            child.rsplit_once('/').is_some_and(|(parent, _)| parent == path) && !paths.contains(child)
        };
        let gone: Vec<Box<str>> = self.folders.keys().filter(|child| is_gone(child)).cloned().collect();
        gone.iter().for_each(|child| self.remove_folder(child, refresh));
        let before = self.pods.len();
        self.pods.retain(|child, _| !is_gone(child));
        refresh.changed |= self.pods.len() != before;
        for name in names {
            self.add(kind, &name, format!("{path}/{name}").into(), refresh);
        }
    }

    /// Puts a newly found group into the table, if it is of a kind that belongs there.
    fn add(&mut self, parent: Kind, name: &str, path: Box<str>, refresh: &mut Refresh) {
        let (uid, qos, is_stray) = match parent.understand(name) {
            Some(Found::Folder(kind)) => {
                let group = self.cgroups.cgroup(&path);
                self.folders.entry(path).or_insert_with(|| Folder::new(kind, group));
                return;
            }
            Some(Found::Pod(uid, qos)) => (uid, qos, false),
            Some(Found::Stray(uid, qos)) => (uid, qos, true),
            None => return,
        };
        if self.pods.contains_key(&path) || self.is_full(refresh) {
            return;
        }
        refresh.changed = true;
        let group = self.cgroups.cgroup(&path);
        let itself = parse_container_name(name).filter(|_| is_stray);
        let containers = itself.map(|(runtime, id)| ContainerCgroup {
            id: id.into(),
            runtime,
            path: path.clone(),
            group: self.cgroups.cgroup(&path),
        });
        let pod = PodCgroup {
            uid,
            qos,
            path: path.clone(),
            group,
            containers: containers.into_iter().collect(),
            is_stray,
            state: State::default(),
        };
        self.pods.insert(path, pod);
    }

    fn list_pods(&mut self, buffer: &mut Buffer, refresh: &mut Refresh) {
        let mut room = self.limit.saturating_sub(self.count());
        let Self { cgroups, watcher, pods, .. } = self;
        let mut lost = false;
        pods.retain(|path, pod| {
            if pod.is_stray || pod.state.listed && pod.state.watched {
                return true;
            }
            match pod.state.list(path, cgroups, watcher.as_mut(), buffer) {
                Ok(names) => {
                    let (before, changed) =
                        (pod.containers.len(), pod.update(names, cgroups, room, &mut lost));
                    room = (room + before).saturating_sub(pod.containers.len());
                    refresh.changed |= changed;
                    true
                }
                Err(error) if error.is_absent() => {
                    refresh.changed = true;
                    false
                }
                Err(error) => {
                    refresh.errors.extend(pod.state.fail(error));
                    true
                }
            }
        });
        if lost {
            self.report_full(refresh);
        }
    }

    fn remove_folder(&mut self, path: &str, refresh: &mut Refresh) {
        self.folders.retain(|child, _| !is_inside(child, path));
        let before = self.pods.len();
        self.pods.retain(|child, _| !is_inside(child, path));
        refresh.changed |= self.pods.len() != before;
    }

    fn count(&self) -> usize {
        self.pods.values().map(|pod| 1 + pod.containers.len()).sum()
    }

    fn is_full(&mut self, refresh: &mut Refresh) -> bool {
        // Counting is only worth it when there are many pods.
        let full = self.pods.len() >= self.limit / 4 && self.count() >= self.limit;
        if full {
            self.report_full(refresh);
        }
        full
    }

    fn report_full(&mut self, refresh: &mut Refresh) {
        if !std::mem::replace(&mut self.full, true) {
            refresh.errors.push(Error::TooManyCgroups { limit: self.limit });
        }
    }
}

/// Whether a path is that of `folder` or of something in it.
fn is_inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Folder {
    fn new(kind: Kind, group: Cgroup) -> Self {
        Self { kind, group, state: State::default() }
    }
}

impl State {
    /// The names in a directory, which is watched from before it is listed, so that no change is missed.
    fn list(
        &mut self,
        path: &str,
        cgroups: &Cgroups,
        watcher: Option<&mut Watcher>,
        buffer: &mut Buffer,
    ) -> Result<Vec<Box<str>>, Error> {
        let directory = cgroups.walked_directory(path);
        if !self.watched {
            self.watched = watcher.is_some_and(|watcher| watcher.add(&directory, path, buffer));
        }
        self.listed = true;
        let names = subdirectories(&directory, buffer)?;
        self.failed = false;
        Ok(names)
    }

    /// The error, unless it was reported before. The directory is tried again next time.
    fn fail(&mut self, error: Error) -> Option<Error> {
        self.watched = false;
        (!std::mem::replace(&mut self.failed, true)).then_some(error)
    }

    /// What is not watched has to be listed again in the next refresh.
    fn begin(&mut self) {
        self.listed &= self.watched;
    }
}

impl PodCgroup {
    /// Takes over the names of the containers there are now. True when they are others than before.
    fn update(&mut self, names: Vec<Box<str>>, cgroups: &Cgroups, room: usize, lost: &mut bool) -> bool {
        let before = self.containers.len();
        let mut paths: HashSet<String> = names.iter().map(|name| format!("{}/{name}", self.path)).collect();
        self.containers.retain(|container| paths.remove(&*container.path));
        let mut changed = self.containers.len() != before;
        let limit = before.saturating_add(room);
        for path in paths {
            let name = path.rsplit('/').next().unwrap_or_default();
            let Some((runtime, id)) = parse_container_name(name) else { continue };
            if self.containers.len() >= limit {
                *lost = true;
                break;
            }
            changed = true;
            let (id, group) = (id.into(), cgroups.cgroup(&path));
            self.containers.push(ContainerCgroup { id, runtime, path: path.into(), group });
        }
        self.containers.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        changed
    }
}

impl ContainerCgroup {
    /// The last segment of the path, such as `cri-containerd-<id>.scope`: what upstream reports as `ContainerId`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "pods_tests.rs"]
mod tests;
