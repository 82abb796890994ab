//! Parsers on bytes no kernel wrote: no panic, and nothing invented.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

/// Runs every parser.
fn parse_all(bytes: &[u8]) {
    let _ = node::parse_cpuacct_stat(bytes);
    let _ = node::parse_cpu_stat(bytes);
    let _ = node::parse_proc_stat(bytes);
    let _ = node::parse_cpuinfo(bytes);
    let _ = node::parse_memory_stat_v1(bytes, true).working_set();
    let _ = node::parse_memory_stat_v1(bytes, false);
    let _ = node::parse_memory_stat_v2(bytes);
    let _ = node::parse_meminfo(bytes).as_memory_stats();
    let _ = node::parse_vmstat(bytes);
    let _ = node::join_blkio(node::parse_blkio(bytes), node::parse_blkio(bytes));
    let _ = node::parse_io_stat(bytes);
    let _ = node::parse_diskstats(bytes).count();
    let _ = node::parse_net_dev(bytes, node::IGNORED_INTERFACE_PREFIXES);
    let _ = node::select(node::parse_mountinfo(bytes), Path::new("/rootfs"));
    let _ = node::unescape(bytes);
    let _ = node::volume_id_of_serial(bytes);
    let _ = node::DeviceNumber::parse(bytes);
    let _ = node::parse_throttling(bytes);
    let _ = (node::parse_memory_events(bytes), node::parse_oom_control(bytes));
    let _ = node::parse_cpu_max(bytes).map(|quota| quota.millicores());
    let _ = node::parse_proc_cgroup(bytes);
    let _ = (node::parse_procs(bytes).count(), node::parse_pid_namespaces(bytes));
    let _ = std::str::from_utf8(bytes).map(node::parse_container_name);
    if let Some(path) = node::parse_upper_directory(bytes) {
        assert!(path.is_absolute() && !path.components().any(|part| part.as_os_str() == ".."), "{path:?}");
    }
}

/// Words and separators of the real files, so that random sequences of them come near the real shapes.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        "cpu",
        "user",
        "system",
        "usage_usec",
        "processor",
        "total_cache",
        "file",
        "anon",
        "pgfault",
        "MemTotal:",
        "kB",
        "8:0",
        "259:1",
        "Read",
        "Total",
        "rbytes=1",
        "wios=",
        "nvme0n1",
        "eth0:",
        "veth1:",
        "/",
        "/dev/sda1",
        "\\040",
        "\\4",
        "ext4",
        "overlay",
        "upperdir=/",
        "900 800 0:90 / / rw - overlay overlay rw,",
        "..",
        ",",
        "0::/",
        "crio-",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ".scope",
        "oom_kill",
        "throttled_usec",
        "NSpid:",
        "max",
        "tmpfs",
        "-",
        "vol0abc",
        "0",
        "1",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        " ",
        " ",
        " ",
        "\t",
        "\n",
        "\n",
        ":",
        "=",
        "\u{0}",
        "ü",
    ]);
    vec(fragment, 0..200).prop_map(|fragments| fragments.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_parser_panics_on_bytes(bytes in vec(any::<u8>(), 0..2000)) {
        parse_all(&bytes);
    }

    #[test]
    fn no_parser_panics_on_near_misses(bytes in fragments()) {
        parse_all(&bytes);
    }

    #[test]
    fn unescape_undoes_the_kernels_escaping(bytes in vec(any::<u8>(), 0..200)) {
        let mut escaped = Vec::new();
        for &byte in &bytes {
            if b" \t\n\\#".contains(&byte) {
                escaped.extend(format!("\\{byte:03o}").bytes());
            } else {
                escaped.push(byte);
            }
        }
        prop_assert_eq!(node::unescape(&escaped).into_owned(), bytes);
    }

    #[test]
    fn a_cut_file_gives_a_part_of_the_whole(
        counts in vec((0_u32..20, any::<u64>(), any::<u64>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let text: String = counts.iter().map(|(minor, read, write)| {
            format!("8:{minor} rbytes={read} wbytes={write}\n")
        }).collect();
        let mut written = counts.iter().rev();
        for device in node::parse_io_stat(text.as_bytes()) {
            // Of a device named twice the last line counts.
            let line = written.clone().find(|(minor, ..)| *minor == device.number.minor);
            prop_assert_eq!(line.map(|line| (Some(line.1), Some(line.2))), Some((device.bytes.read, device.bytes.write)));
        }
        prop_assert!(written.next().is_some());
        let end = cut.index(text.len());
        for device in node::parse_io_stat(&text.as_bytes()[..end]) {
            let known = counts.iter().any(|(minor, read, write)| {
                *minor == device.number.minor
                    && device.bytes.read == Some(*read)
                    && device.bytes.write == Some(*write)
            });
            prop_assert!(known, "{:?}", device);
        }
    }

    #[test]
    fn interfaces_come_back_as_written(
        names in vec("[a-z][a-z0-9.@_-]{0,14}", 0..20),
        columns in prop::array::uniform16(any::<u64>()),
    ) {
        let numbers = columns.map(|column| column.to_string()).join(" ");
        let body: String = names.iter().map(|name| format!("{name}: {numbers}\n")).collect();
        let read = node::parse_net_dev(format!("h\nh\n{body}").as_bytes(), &[]).unwrap();
        prop_assert_eq!(read.len(), names.len());
        for (interface, name) in read.iter().zip(&names) {
            prop_assert_eq!(&*interface.name, name.as_str());
            let rx = interface.rx;
            let tx = interface.tx;
            prop_assert_eq!([rx.bytes, rx.packets, rx.errors, rx.dropped], &columns[..4]);
            prop_assert_eq!([tx.bytes, tx.packets, tx.errors, tx.dropped], &columns[8..12]);
        }
    }
}
