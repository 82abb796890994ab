//! Block I/O per device: cgroup v1 `blkio.*`, cgroup v2 `io.stat`, `/proc/diskstats`.

use std::collections::BTreeMap;
use std::fmt;

use crate::text::{lines, number, split_once, words};

/// Bytes per sector in `/proc/diskstats`, whatever the device's own sector size (Documentation/admin-guide/iostats.rst).
const SECTOR: u64 = 512;

/// The number of a block device. Displayed as the kernel writes it: `259:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// The driver's part.
    pub major: u32,
    /// The driver's own numbering.
    pub minor: u32,
}

/// Counters of one kind (bytes or operations) for one device since the machine started. The five values are those the
/// kernel reports, so on cgroup v2 only `read` and `write` are present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoCounts {
    /// Reads.
    pub read: Option<u64>,
    /// Writes.
    pub write: Option<u64>,
    /// Synchronous requests: reads, and writes somebody waits for. cgroup v1 only.
    pub sync: Option<u64>,
    /// Asynchronous requests. cgroup v1 only.
    pub async_: Option<u64>,
    /// All requests. cgroup v1 only.
    pub total: Option<u64>,
}

/// Block I/O of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceIo {
    /// The device.
    pub number: DeviceNumber,
    /// Bytes moved.
    pub bytes: IoCounts,
    /// Operations.
    pub ops: IoCounts,
}

/// One line of `/proc/diskstats`: a whole disk or a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskStats<'a> {
    /// The kernel's name, such as `nvme0n1p1`.
    pub name: &'a [u8],
    /// Its I/O: `read` and `write` only.
    pub io: DeviceIo,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.major, self.minor)
    }
}

impl DeviceNumber {
    /// Reads `259:0`.
    #[must_use]
    pub fn parse(word: &[u8]) -> Option<Self> {
        let (major, minor) = split_once(word, b':')?;
        Some(Self { major: number(major)?.try_into().ok()?, minor: number(minor)?.try_into().ok()? })
    }
}

impl IoCounts {
    /// No counter is present.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `total`, or where the kernel has none, as on cgroup v2, `read` and `write` added up.
    #[must_use]
    pub fn total_or_sum(&self) -> Option<u64> {
        self.total.or_else(|| self.read?.checked_add(self.write?))
    }

    fn read_write(read: Option<u64>, write: Option<u64>) -> Self {
        Self { read, write, ..Self::default() }
    }
}

/// A file of cgroup v1's `blkio` controller, `maj:min Operation count` per line. Operations this crate has no name for
/// (`Discard`, and `Total` of all devices) are left out.
#[must_use]
pub fn parse_blkio(bytes: &[u8]) -> BTreeMap<DeviceNumber, IoCounts> {
    let mut devices = BTreeMap::new();
    for line in lines(bytes) {
        let mut words = words(line);
        let (Some(device), Some(operation), Some(count), None) = (
            words.next().and_then(DeviceNumber::parse),
            words.next(),
            words.next().and_then(number),
            words.next(),
        ) else {
            continue;
        };
        let counts: &mut IoCounts = devices.entry(device).or_default();
        match operation {
            b"Read" => counts.read = Some(count),
            b"Write" => counts.write = Some(count),
            b"Sync" => counts.sync = Some(count),
            b"Async" => counts.async_ = Some(count),
            b"Total" => counts.total = Some(count),
            _ => {}
        }
    }
    devices
}

/// The two `blkio` files that count bytes and operations, joined by device.
#[must_use]
pub fn join_blkio(
    bytes: BTreeMap<DeviceNumber, IoCounts>,
    mut ops: BTreeMap<DeviceNumber, IoCounts>,
) -> Vec<DeviceIo> {
    let mut joined: Vec<DeviceIo> = bytes
        .into_iter()
        .map(|(number, bytes)| DeviceIo { number, bytes, ops: ops.remove(&number).unwrap_or_default() })
        .collect();
    let rest = ops.into_iter().map(|(number, ops)| DeviceIo { number, bytes: IoCounts::default(), ops });
    joined.extend(rest);
    joined.retain(|device| !(device.bytes.is_empty() && device.ops.is_empty()));
    joined
}

/// cgroup v2's `io.stat`: `maj:min rbytes=… wbytes=… rios=… wios=… dbytes=… dios=…` per line.
///
/// Some kernels put devices without figures in front of the one that has them, on the same line; figures belong to the
/// last device named before them.
#[must_use]
pub fn parse_io_stat(bytes: &[u8]) -> Vec<DeviceIo> {
    let mut devices: BTreeMap<DeviceNumber, (IoCounts, IoCounts)> = BTreeMap::new();
    for line in lines(bytes) {
        let mut current = None;
        for word in words(line) {
            let Some((key, value)) = split_once(word, b'=') else {
                current = DeviceNumber::parse(word);
                continue;
            };
            let (Some(device), Some(value)) = (current, number(value)) else { continue };
            if !matches!(key, b"rbytes" | b"wbytes" | b"rios" | b"wios") {
                continue;
            }
            let (bytes, ops) = devices.entry(device).or_default();
            match key {
                b"rbytes" => bytes.read = Some(value),
                b"wbytes" => bytes.write = Some(value),
                b"rios" => ops.read = Some(value),
                _ => ops.write = Some(value),
            }
        }
    }
    devices.into_iter().map(|(number, (bytes, ops))| DeviceIo { number, bytes, ops }).collect()
}

/// `/proc/diskstats` (Documentation/admin-guide/iostats.rst): number, name, reads, reads merged, sectors read, ms
/// reading, writes, writes merged, sectors written, … Lines too short for that are left out.
pub fn parse_diskstats(bytes: &[u8]) -> impl Iterator<Item = DiskStats<'_>> {
    lines(bytes).filter_map(|line| {
        let mut words = words(line);
        let device = DeviceNumber {
            major: number(words.next()?)?.try_into().ok()?,
            minor: number(words.next()?)?.try_into().ok()?,
        };
        let name = words.next()?;
        let mut next = || words.next().and_then(number);
        let [reads, _, sectors_read, _, writes, _, sectors_written] =
            [next()?, next()?, next()?, next()?, next()?, next()?, next()?];
        let bytes = |sectors: u64| sectors.checked_mul(SECTOR);
        let io = DeviceIo {
            number: device,
            bytes: IoCounts::read_write(bytes(sectors_read), bytes(sectors_written)),
            ops: IoCounts::read_write(Some(reads), Some(writes)),
        };
        Some(DiskStats { name, io })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(major: u32, minor: u32) -> DeviceNumber {
        DeviceNumber { major, minor }
    }

    fn read_write(major: u32, minor: u32, bytes: [Option<u64>; 2], ops: [Option<u64>; 2]) -> DeviceIo {
        DeviceIo {
            number: device(major, minor),
            bytes: IoCounts::read_write(bytes[0], bytes[1]),
            ops: IoCounts::read_write(ops[0], ops[1]),
        }
    }

    #[test]
    fn device_numbers() {
        fn check(input: &str, expected: Option<DeviceNumber>) {
            assert_eq!(DeviceNumber::parse(input.as_bytes()), expected, "{input:?}");
            if let Some(device) = expected {
                assert_eq!(device.to_string(), input);
            }
        }
        check("259:0", Some(device(259, 0)));
        check("0:4294967295", Some(device(0, u32::MAX)));
        check("0:4294967296", None);
        check("259", None);
        check("259:", None);
        check("259:0:0", None);
        check("Total", None);
    }

    #[test]
    fn v1() {
        fn check(input: &str, expected: &[(DeviceNumber, IoCounts)]) {
            let actual: Vec<_> = parse_blkio(input.as_bytes()).into_iter().collect();
            assert_eq!(actual, expected, "{input:?}");
        }
        let whole = IoCounts {
            read: Some(1_886_630_912),
            write: Some(18_446_744_073_709_551_615),
            sync: Some(3),
            async_: Some(4),
            total: Some(5),
        };
        check(
            "259:0 Read 1886630912\n259:0 Write 18446744073709551615\n259:0 Sync 3\n259:0 Async 4\n259:0 Discard 9\n\
             259:0 Total 5\n8:16 Total 0\nTotal 5\n",
            &[(device(8, 16), IoCounts { total: Some(0), ..IoCounts::default() }), (device(259, 0), whole)],
        );
        check("Total 0\n", &[]);
        check("259:0 Read 18446744073709551616\n259:0 Write\n259:0 Sync 1 1\n259 Read 1\n259:0 Read 12", &[]);
    }

    #[test]
    fn v1_joined() {
        let counts = |read| IoCounts { read, ..IoCounts::default() };
        let bytes = BTreeMap::from([(device(8, 0), counts(Some(1))), (device(8, 16), counts(Some(2)))]);
        let ops = BTreeMap::from([
            (device(8, 16), counts(Some(3))),
            (device(8, 32), counts(Some(4))),
            (device(8, 48), counts(None)),
        ]);
        let joined: Vec<_> = join_blkio(bytes, ops)
            .into_iter()
            .map(|device| (device.number.minor, device.bytes.read, device.ops.read))
            .collect();
        assert_eq!(joined, [(0, Some(1), None), (16, Some(2), Some(3)), (32, None, Some(4))]);
    }

    #[test]
    fn v2() {
        fn check(input: &str, expected: &[DeviceIo]) {
            assert_eq!(parse_io_stat(input.as_bytes()), expected, "{input:?}");
        }
        check(
            "259:0 rbytes=1886630912 wbytes=1408679936 rios=33880 wios=7969 dbytes=165695488 dios=76\n\
             259:4 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
            &[
                read_write(259, 0, [Some(1_886_630_912), Some(1_408_679_936)], [Some(33_880), Some(7969)]),
                read_write(259, 4, [Some(4096), Some(0)], [Some(1), Some(0)]),
            ],
        );
        check("7:7 7:6 253:0 rbytes=1 rios=2\n", &[read_write(253, 0, [Some(1), None], [Some(2), None])]);
        check("7:7 \n253:0 cost.vrate=100.00\nrbytes=1\n253 rbytes=1\n253:0 rbytes=1", &[]);
    }

    #[test]
    fn diskstats() {
        fn check(input: &str, expected: &[(&str, DeviceIo)]) {
            let actual: Vec<_> = parse_diskstats(input.as_bytes())
                .map(|disk| (String::from_utf8_lossy(disk.name), disk.io))
                .collect();
            let expected: Vec<_> = expected.iter().map(|(name, io)| ((*name).into(), *io)).collect();
            assert_eq!(actual, expected, "{input:?}");
        }
        check(
            " 259       0 nvme0n1 33880 8089 3684826 16797 7969 48022 2751328 12825 0 8828 30291 4471 76 323624 654\n \
             259       1 nvme0n1p1 1 2 3 4 5 6 7 8 9 10 11\n",
            &[
                (
                    "nvme0n1",
                    read_write(
                        259,
                        0,
                        [Some(1_886_630_912), Some(1_408_679_936)],
                        [Some(33_880), Some(7969)],
                    ),
                ),
                ("nvme0n1p1", read_write(259, 1, [Some(1536), Some(3584)], [Some(1), Some(5)])),
            ],
        );
        check("259 0 nvme0n1 1 2 3 4 5 6\n259 0\n\nx 0 sda 1 2 3 4 5 6 7\n259 0 nvme0n1 1 2 3 4 5 6 7", &[]);
        check(
            "8 0 sda 1 2 18446744073709551615 4 5 6 7\n",
            &[("sda", read_write(8, 0, [None, Some(3584)], [Some(1), Some(5)]))],
        );
    }

    #[test]
    fn totals() {
        let counts = IoCounts::read_write(Some(1), Some(2));
        assert_eq!(counts.total_or_sum(), Some(3));
        assert_eq!(IoCounts { total: Some(7), ..counts }.total_or_sum(), Some(7));
        assert_eq!(IoCounts::read_write(Some(1), None).total_or_sum(), None);
        assert_eq!(IoCounts::read_write(Some(u64::MAX), Some(1)).total_or_sum(), None);
    }
}
