//! Figures read from trees of files laid out as kernels do.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use node::{
    Buffer, Cgroups, CpuUsage, DeviceNumber, Error, Host, HostPaths, IoCounts, Machine, MemoryStats,
    MountView, Source, Sources, Swap, Version,
};
use tempfile::TempDir;

const MEMORY_STAT_V1: &str = "cache 1\nrss 2\nmapped_file 3\nswap 4\npgfault 5\npgmajfault 6\ntotal_cache 100\n\
    total_rss 200\ntotal_mapped_file 300\ntotal_swap 400\ntotal_pgfault 50\ntotal_pgmajfault 60\n\
    total_inactive_file 500\n";
const MEMORY_STAT_V2: &str =
    "anon 200\nfile 100\nkernel 50\nfile_mapped 30\ninactive_file 40\npgfault 5\npgmajfault 6\n";
const MEMINFO: &str = "MemTotal: 1000 kB\nBuffers: 10 kB\nCached: 20 kB\nSwapCached: 0 kB\nAnonPages: 30 kB\n\
    Mapped: 5 kB\nInactive(file): 7 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n";

struct Tree(TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (path, content) in files {
            tree.write(path, content);
        }
        tree
    }

    /// A machine with a procfs and disks and no control groups.
    fn machine() -> Self {
        Self::new(&[
            ("proc/cpuinfo", "processor\t: 0\n\nprocessor\t: 1\n\n"),
            ("proc/meminfo", MEMINFO),
            ("proc/vmstat", "pgfault 70\npgmajfault 8\n"),
            ("proc/stat", "cpu  10 1 5 89023 576 2 3 348 0 0\n"),
            (
                "proc/diskstats",
                "7 0 loop0 1 0 1 0 1 0 1 0\n259 0 nvme0n1 3 0 20 0 4 0 40 0\n259 1 nvme0n1p1 3 0 20 0 4 0 40 0\n\
                 259 2 nvme1n1 0 0 0 0 0 0 0 0\n253 0 dm-0 1 0 8 0 2 0 16 0\n",
            ),
            (
                "proc/1/net/dev",
                "h\nh\n lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\neth0: 9 8 7 6 0 0 0 0 5 4 3 2 0 0 0 0\n",
            ),
            (
                "proc/1/mountinfo",
                "1 0 259:1 / / rw - xfs /dev/nvme0n1p1 rw\n2 1 253:0 / /data rw - xfs /dev/mapper/vg-data rw\n",
            ),
            ("proc/self/mountinfo", "1 0 0:50 / / rw - overlay overlay rw\n"),
            ("sys/block/loop0/dev", "7:0\n"),
            ("sys/block/nvme0n1/dev", "259:0\n"),
            ("sys/block/nvme1n1/dev", "259:2\n"),
            ("sys/block/dm-0/dev", "253:0\n"),
        ])
    }

    fn write(&self, path: &str, content: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn cgroups(&self) -> Cgroups {
        Cgroups::detect(&self.path().join("sys/fs/cgroup")).unwrap()
    }

    fn host(&self) -> Host {
        let paths = HostPaths {
            proc: self.path().join("proc"),
            sys: self.path().join("sys"),
            cgroup: self.path().join("sys/fs/cgroup"),
            root: self.path().join("rootfs"),
        };
        Host::new(paths, MountView::Host)
    }
}

fn devices(host: &mut Host) -> Vec<(String, [Option<u64>; 4])> {
    let devices = host.disk_io().unwrap();
    devices
        .into_iter()
        .map(|disk| {
            let (bytes, ops) = (disk.io.bytes, disk.io.ops);
            (disk.device.to_string(), [bytes.read, bytes.write, ops.read, ops.write])
        })
        .collect()
}

fn all(source: Source) -> Sources {
    Sources { cpu: Some(source), memory: Some(source), disk: Some(source) }
}

#[test]
fn versions() {
    fn check(files: &[(&str, &str)], expected: Option<Version>) {
        let tree = Tree::new(files);
        let found = Cgroups::detect(&tree.path().join("cgroup")).map(|cgroups| cgroups.version());
        assert_eq!(found, expected, "{files:?}");
    }
    check(&[("cgroup/cgroup.controllers", "cpu memory\n")], Some(Version::V2));
    check(&[("cgroup/memory/memory.stat", "")], Some(Version::V1));
    check(&[("cgroup/cpu,cpuacct/cpuacct.usage", "")], Some(Version::V1));
    let hybrid = [("cgroup/unified/cgroup.controllers", ""), ("cgroup/memory/memory.stat", "")];
    check(&hybrid, Some(Version::V1));
    check(&[("cgroup/README", "")], None);
    check(&[], None);
}

#[test]
fn a_v1_group() {
    let tree = Tree::new(&[
        ("sys/fs/cgroup/cpu,cpuacct/kubepods/pod1/cpuacct.usage", "123456789\n"),
        ("sys/fs/cgroup/cpu,cpuacct/kubepods/pod1/cpuacct.stat", "user 7\nsystem 3\n"),
        ("sys/fs/cgroup/memory/kubepods/pod1/memory.usage_in_bytes", "900\n"),
        ("sys/fs/cgroup/memory/kubepods/pod1/memory.max_usage_in_bytes", "1900\n"),
        ("sys/fs/cgroup/memory/kubepods/pod1/memory.failcnt", "11\n"),
        ("sys/fs/cgroup/memory/kubepods/pod1/memory.use_hierarchy", "1\n"),
        ("sys/fs/cgroup/memory/kubepods/pod1/memory.stat", MEMORY_STAT_V1),
    ]);
    let mut buffer = Buffer::new();
    let mut group = tree.cgroups().cgroup("/kubepods/pod1");
    let cpu = CpuUsage { total: Some(123_456_789), user: Some(70_000_000), system: Some(30_000_000) };
    assert_eq!(group.cpu(&mut buffer).unwrap(), cpu);
    let memory = MemoryStats {
        usage: Some(900),
        max_usage: Some(1900),
        failcnt: Some(11),
        cache: Some(100),
        rss: Some(200),
        mapped_file: Some(300),
        swap: Some(400),
        inactive_file: Some(500),
        pgfault: Some(5),
        pgmajfault: Some(6),
        total_pgfault: Some(50),
        total_pgmajfault: Some(60),
    };
    assert_eq!(group.memory(&mut buffer).unwrap(), memory);
    assert_eq!(memory.working_set(), Some(400));

    // A group accounted on its own.
    tree.write("sys/fs/cgroup/memory/kubepods/pod1/memory.use_hierarchy", "0\n");
    let own = MemoryStats { cache: Some(1), rss: Some(2), mapped_file: Some(3), swap: Some(4), ..memory };
    assert_eq!(tree.cgroups().cgroup("kubepods/pod1/").memory(&mut buffer).unwrap(), own);

    // Lesser files may be missing or nonsense, the main one may not.
    tree.remove("sys/fs/cgroup/memory/kubepods/pod1/memory.failcnt");
    tree.write("sys/fs/cgroup/memory/kubepods/pod1/memory.max_usage_in_bytes", "18446744073709551616\n");
    tree.write("sys/fs/cgroup/memory/kubepods/pod1/memory.stat", "total_cache 1");
    let mut group = tree.cgroups().cgroup("/kubepods/pod1");
    let bare = MemoryStats { usage: Some(900), ..MemoryStats::default() };
    assert_eq!(group.memory(&mut buffer).unwrap(), bare);
    tree.write("sys/fs/cgroup/memory/kubepods/pod1/memory.usage_in_bytes", "many\n");
    let error = group.memory(&mut buffer).unwrap_err();
    let path = tree.path().join("sys/fs/cgroup/memory/kubepods/pod1/memory.usage_in_bytes");
    assert_eq!(error.to_string(), format!("cannot understand {}", path.display()));
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "memory.usage_in_bytes is not a number: \"many\"");
    assert!(tree.cgroups().cgroup("/gone").cpu(&mut buffer).unwrap_err().is_absent());
}

#[test]
fn what_a_v1_group_at_rest_cannot_have_changed_is_not_read_again() {
    let group_file =
        |controller: &str, name: &str| format!("sys/fs/cgroup/{controller}/kubepods/pod1/{name}");
    let tree = Tree::new(&[]);
    let write = |controller: &str, name: &str, text: &str| tree.write(&group_file(controller, name), text);
    write("cpuacct", "cpuacct.usage", "1000\n");
    write("cpuacct", "cpuacct.stat", "user 7\nsystem 3\n");
    write("memory", "memory.usage_in_bytes", "900\n");
    write("memory", "memory.max_usage_in_bytes", "1900\n");
    write("memory", "memory.failcnt", "11\n");
    write("memory", "memory.stat", MEMORY_STAT_V1);
    let mut buffer = Buffer::new();
    let mut group = tree.cgroups().cgroup("/kubepods/pod1");
    let mut collect = || {
        let before = buffer.system_calls();
        let user = group.cpu(&mut buffer).unwrap().user;
        let memory = group.memory(&mut buffer).unwrap();
        (user, memory.usage, memory.max_usage, memory.failcnt, buffer.system_calls() - before)
    };
    collect();
    assert_eq!(collect(), (Some(70_000_000), Some(900), Some(1900), Some(11), 3));

    // It sleeps, and loses some memory.
    write("memory", "memory.usage_in_bytes", "800\n");
    assert_eq!(collect(), (Some(70_000_000), Some(800), Some(1900), Some(11), 3));

    // It runs.
    write("cpuacct", "cpuacct.usage", "1001\n");
    write("cpuacct", "cpuacct.stat", "user 8\nsystem 3\n");
    write("memory", "memory.max_usage_in_bytes", "2900\n");
    assert_eq!(collect(), (Some(80_000_000), Some(800), Some(2900), Some(11), 6));
    assert_eq!(collect().4, 3);

    // It sleeps, and somebody else charges it.
    write("memory", "memory.usage_in_bytes", "850\n");
    write("memory", "memory.max_usage_in_bytes", "2950\n");
    assert_eq!(collect().2, Some(2950));

    // So unnoticed: known some collections later.
    write("memory", "memory.max_usage_in_bytes", "3900\n");
    assert_eq!((0..10).map(|_| collect().2).last(), Some(Some(3900)));

    // Whoever asks for memory alone gets what is.
    write("memory", "memory.failcnt", "12\n");
    let mut memory = || group.memory(&mut buffer).unwrap().failcnt;
    assert_eq!((memory(), memory()), (Some(12), Some(12)));
}

#[test]
fn v1_disk_io_comes_from_the_first_files_with_figures() {
    let tree = Tree::new(&[
        ("sys/fs/cgroup/blkio/blkio.bfq.io_service_bytes_recursive", "Total 0\n"),
        ("sys/fs/cgroup/blkio/blkio.bfq.io_serviced_recursive", "Total 0\n"),
        (
            "sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Async 4\n8:0 Discard 0\n8:0 Total 5\nTotal 5\n",
        ),
        ("sys/fs/cgroup/blkio/blkio.throttle.io_serviced_recursive", "8:0 Read 6\n8:0 Total 7\nTotal 7\n"),
        ("sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes", "9:9 Read 1\n"),
    ]);
    let mut buffer = Buffer::new();
    let mut root = tree.cgroups().cgroup("/");
    let read = root.disk_io(&mut buffer).unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].number, DeviceNumber { major: 8, minor: 0 });
    let bytes = IoCounts { read: Some(1), write: Some(2), sync: Some(3), async_: Some(4), total: Some(5) };
    assert_eq!(read[0].bytes, bytes);
    assert_eq!(read[0].ops, IoCounts { read: Some(6), total: Some(7), ..IoCounts::default() });

    // Once found, only these two files are read.
    let before = buffer.system_calls();
    assert_eq!(root.disk_io(&mut buffer).unwrap(), read);
    assert_eq!(buffer.system_calls() - before, 2);

    // The scheduler was changed.
    tree.write("sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes_recursive", "Total 0\n");
    tree.write("sys/fs/cgroup/blkio/blkio.bfq.io_service_bytes_recursive", "8:0 Read 50\nTotal 50\n");
    let read = root.disk_io(&mut buffer).unwrap();
    assert_eq!((read[0].bytes.read, read[0].ops.is_empty()), (Some(50), true));

    let without = Tree::new(&[("sys/fs/cgroup/memory/memory.stat", "")]);
    assert!(without.cgroups().cgroup("/").disk_io(&mut buffer).unwrap_err().is_absent());
}

#[test]
fn a_v2_group() {
    let group = "sys/fs/cgroup/kubepods.slice/kubepods-pod1.slice";
    let file = |name: &str| format!("{group}/{name}");
    let tree = Tree::new(&[
        ("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n"),
        (&file("cpu.stat"), "usage_usec 12\nuser_usec 7\nsystem_usec 5\n"),
        (&file("memory.current"), "900\n"),
        (&file("memory.peak"), "1900\n"),
        (&file("memory.swap.current"), "77\n"),
        (&file("memory.stat"), MEMORY_STAT_V2),
        (&file("io.stat"), "259:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"),
    ]);
    let mut buffer = Buffer::new();
    let mut group = tree.cgroups().cgroup("/kubepods.slice/kubepods-pod1.slice");
    let cpu = CpuUsage { total: Some(12_000), user: Some(7000), system: Some(5000) };
    assert_eq!(group.cpu(&mut buffer).unwrap(), cpu);
    let memory = MemoryStats {
        usage: Some(900),
        max_usage: Some(1900),
        failcnt: Some(0),
        cache: Some(100),
        rss: Some(200),
        mapped_file: Some(30),
        swap: Some(77),
        inactive_file: Some(40),
        pgfault: Some(5),
        pgmajfault: Some(6),
        total_pgfault: Some(5),
        total_pgmajfault: Some(6),
    };
    assert_eq!(group.memory(&mut buffer).unwrap(), memory);
    let io = group.disk_io(&mut buffer).unwrap();
    assert_eq!((io[0].bytes.read, io[0].bytes.write), (Some(1), Some(2)));
    assert_eq!((io[0].ops.read, io[0].ops.write, io[0].ops.total), (Some(3), Some(4), None));

    // One call per file once all are open, and one less on a machine without swap.
    let before = buffer.system_calls();
    group.cpu(&mut buffer).unwrap();
    group.memory(&mut buffer).unwrap();
    assert_eq!(buffer.system_calls() - before, 5);
    let before = buffer.system_calls();
    let without_swap = MemoryStats { swap: Some(0), ..memory };
    assert_eq!(group.memory_with(Swap::Absent, &mut buffer).unwrap(), without_swap);
    assert_eq!(buffer.system_calls() - before, 3);

    // An older kernel, without `memory.peak`, which is then looked for only once.
    tree.remove(&file("memory.peak"));
    tree.write(&file("memory.swap.current"), "max\n");
    let mut group = tree.cgroups().cgroup("/kubepods.slice/kubepods-pod1.slice");
    let older = MemoryStats { max_usage: Some(0), swap: None, ..memory };
    assert_eq!(group.memory(&mut buffer).unwrap(), older);
    let before = buffer.system_calls();
    assert_eq!(group.memory(&mut buffer).unwrap(), older);
    assert_eq!(buffer.system_calls() - before, 3);

    // Without the memory controller.
    tree.remove(&file("memory.current"));
    let mut group = tree.cgroups().cgroup("/kubepods.slice/kubepods-pod1.slice");
    assert!(group.memory(&mut buffer).unwrap_err().is_absent());
    assert_eq!(group.cpu(&mut buffer).unwrap(), cpu);
}

#[test]
fn a_machine_with_v2() {
    let tree = Tree::machine();
    tree.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n")
        .write("sys/fs/cgroup/cpu.stat", "usage_usec 12\nuser_usec 7\nsystem_usec 5\n")
        .write("sys/fs/cgroup/memory.stat", MEMORY_STAT_V2)
        .write(
            "sys/fs/cgroup/io.stat",
            "259:0 rbytes=1 wbytes=2 rios=3 wios=4\n253:0 rbytes=5 wbytes=6 rios=7 wios=8\n7:0 rbytes=9 rios=1\n",
        );
    let mut host = tree.host();
    assert_eq!(host.machine().unwrap(), Machine { cores: Some(2), memory: Some(1_024_000) });
    assert_eq!(host.cpu().unwrap().total, Some(12_000));
    let memory = MemoryStats {
        usage: Some(300),
        max_usage: Some(0),
        failcnt: Some(0),
        cache: Some(100),
        rss: Some(200),
        mapped_file: Some(30),
        swap: Some(60 * 1024),
        inactive_file: Some(40),
        pgfault: Some(5),
        pgmajfault: Some(6),
        total_pgfault: Some(5),
        total_pgmajfault: Some(6),
    };
    assert_eq!(host.memory().unwrap(), memory);
    // A mounted device has the name it is mounted by, a disk its own, anything else its number.
    let expected = [
        ("7:0".to_owned(), [Some(9), None, Some(1), None]),
        ("/dev/mapper/vg-data".to_owned(), [Some(5), Some(6), Some(7), Some(8)]),
        ("/dev/nvme0n1".to_owned(), [Some(1), Some(2), Some(3), Some(4)]),
    ];
    assert_eq!(devices(&mut host), expected);
    assert_eq!(host.sources(), all(Source::Cgroup));
}

#[test]
fn a_machine_with_v1() {
    let tree = Tree::machine();
    tree.write("sys/fs/cgroup/cpuacct/cpuacct.usage", "123456789\n")
        .write("sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n")
        .write("sys/fs/cgroup/memory/memory.stat", MEMORY_STAT_V1)
        .write(
            "sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes",
            "259:0 Read 1\n259:0 Total 3\nTotal 3\n",
        );
    let mut host = tree.host();
    assert_eq!(host.cpu().unwrap(), CpuUsage { total: Some(123_456_789), user: None, system: None });
    let memory = host.memory().unwrap();
    assert_eq!((memory.usage, memory.swap, memory.failcnt), (Some(900), Some(400), None));
    assert_eq!(devices(&mut host), [("/dev/nvme0n1".to_owned(), [Some(1), None, None, None])]);
    assert_eq!(host.sources(), all(Source::Cgroup));
}

fn check_proc_figures(host: &mut Host) {
    let cpu = CpuUsage { total: Some(210_000_000), user: Some(110_000_000), system: Some(100_000_000) };
    assert_eq!(host.cpu().unwrap(), cpu);
    let memory = MemoryStats {
        usage: Some(60 * 1024),
        cache: Some(30 * 1024),
        rss: Some(30 * 1024),
        mapped_file: Some(5 * 1024),
        swap: Some(60 * 1024),
        inactive_file: Some(7 * 1024),
        pgfault: Some(70),
        pgmajfault: Some(8),
        total_pgfault: Some(70),
        total_pgmajfault: Some(8),
        ..MemoryStats::default()
    };
    assert_eq!(host.memory().unwrap(), memory);
    // No loop devices, partitions or idle disks.
    let expected = [
        ("/dev/nvme0n1".to_owned(), [Some(10_240), Some(20_480), Some(3), Some(4)]),
        ("/dev/mapper/vg-data".to_owned(), [Some(4096), Some(8192), Some(1), Some(2)]),
    ];
    assert_eq!(devices(host), expected);
    assert_eq!(host.sources(), all(Source::Proc));
}

#[test]
fn a_machine_without_control_groups() {
    let tree = Tree::machine();
    let mut host = tree.host();
    assert!(host.cgroups().is_none());
    check_proc_figures(&mut host);
}

#[test]
fn a_machine_whose_root_group_has_no_accounting() {
    let tree = Tree::machine();
    tree.write("sys/fs/cgroup/cgroup.controllers", "\n").write("sys/fs/cgroup/cpu.stat", "nr_periods 0\n");
    check_proc_figures(&mut tree.host());
    let tree = Tree::machine();
    tree.write("sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes", "Total 0\n");
    check_proc_figures(&mut tree.host());
}

#[test]
fn a_container_that_sees_only_its_own_group() {
    let tree = Tree::machine();
    tree.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n")
        .write("sys/fs/cgroup/cgroup.type", "domain\n")
        .write("sys/fs/cgroup/cpu.stat", "usage_usec 12\n")
        .write("sys/fs/cgroup/memory.stat", MEMORY_STAT_V2)
        .write("sys/fs/cgroup/io.stat", "259:0 rbytes=1\n");
    let mut host = tree.host();
    assert!(host.cgroups().unwrap().is_namespaced());
    check_proc_figures(&mut host);
}

#[test]
fn sources_are_not_mixed() {
    let tree = Tree::machine();
    tree.write("sys/fs/cgroup/cpuacct/cpuacct.usage", "5\n");
    let mut host = tree.host();
    assert_eq!(host.cpu().unwrap().total, Some(5));
    tree.write("sys/fs/cgroup/cpuacct/cpuacct.usage", "\n");
    assert!(matches!(host.cpu(), Err(Error::Malformed { .. })));
    tree.write("sys/fs/cgroup/cpuacct/cpuacct.usage", "7\n");
    assert_eq!(host.cpu().unwrap().total, Some(7));

    // The other way round: the controller appears later.
    assert_eq!(host.memory().unwrap().usage, Some(60 * 1024));
    tree.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n");
    assert_eq!(host.memory().unwrap().usage, Some(60 * 1024));
}

#[test]
fn interfaces_and_filesystems() {
    let tree = Tree::machine();
    let mut host = tree.host();
    let interfaces = host.network().unwrap();
    assert_eq!(interfaces.len(), 1);
    assert_eq!((&*interfaces[0].name, interfaces[0].rx.bytes, interfaces[0].tx.dropped), ("eth0", 9, 2));

    let mounted = |host: &mut Host| -> Vec<String> {
        host.filesystems().unwrap().iter().map(|filesystem| filesystem.device.to_string()).collect()
    };
    assert_eq!(mounted(&mut host), ["/dev/nvme0n1p1", "/dev/mapper/vg-data"]);
    assert_eq!(host.filesystems().unwrap()[1].mount_point, tree.path().join("rootfs/data"));
    tree.write("proc/1/mountinfo", "1 0 259:1 / / rw - xfs /dev/nvme0n1p1 rw\n");
    assert_eq!(mounted(&mut host), ["/dev/nvme0n1p1"]);

    let mut own = Host::new(host.paths().clone(), MountView::Collector);
    assert_eq!(mounted(&mut own), ["overlay"]);
    assert_eq!(own.filesystems().unwrap()[0].mount_point, Path::new("/"));
}

#[test]
fn one_missing_file_costs_only_its_own_figures() {
    let tree = Tree::machine();
    for file in ["vmstat", "cpuinfo", "stat", "diskstats", "1/net/dev", "1/mountinfo"] {
        tree.remove(&format!("proc/{file}"));
    }
    let mut host = tree.host();
    assert_eq!(host.machine().unwrap(), Machine { cores: None, memory: Some(1_024_000) });
    let memory = host.memory().unwrap();
    assert_eq!((memory.usage, memory.pgfault), (Some(60 * 1024), None));
    assert!(host.cpu().unwrap_err().is_absent());
    assert!(host.disk_io().unwrap_err().is_absent());
    assert!(host.network().unwrap_err().is_absent());
    assert!(host.filesystems().unwrap_err().is_absent());
    tree.remove("proc/meminfo");
    assert!(tree.host().machine().unwrap_err().is_absent());
}
