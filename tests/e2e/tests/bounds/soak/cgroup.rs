//! A control group of one's own, of version 1 or 2.

use std::path::{Path, PathBuf};

/// A group with a limit of memory; removed when dropped.
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    pub(super) fn new(limit: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let is_v2 = root.join("cgroup.controllers").exists();
        let path = if is_v2 { root.to_owned() } else { root.join("memory") };
        let path = path.join(format!("insights-soak-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let group = Self(path);
        if is_v2 {
            group.write("memory.max", limit).unwrap();
            // Absent without swap.
            let _ = group.write("memory.swap.max", 0);
        } else {
            group.write("memory.limit_in_bytes", limit).unwrap();
            let _ = group.write("memory.memsw.limit_in_bytes", limit);
        }
        group
    }

    /// The file that takes processes.
    pub(super) fn procs(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// Processes that the kernel killed for want of memory.
    pub(super) fn kills(&self) -> u64 {
        let read = |file: &str| std::fs::read_to_string(self.0.join(file));
        let text = read("memory.events").or_else(|_| read("memory.oom_control")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().trim().parse().unwrap()
    }

    fn write(&self, file: &str, value: u64) -> std::io::Result<()> {
        std::fs::write(self.0.join(file), value.to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while a process is in it, which has ended by now.
        let _ = std::fs::remove_dir(&self.0);
    }
}
