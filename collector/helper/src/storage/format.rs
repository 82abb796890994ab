//! The bytes of segments and acknowledgements.
//!
//! | file | content |
//! |---|---|
//! | `<base>.log` | header: `INSJRN`, version `u16`, base `u64`, CRC-32 of these; then records: length `u32`, checksum `u32`, payload |
//! | `<base>.ack` | per acknowledged record: index in the segment `u32`, CRC-32 of base and index |
//!
//! `<base>` is the id of the segment's first record, 16 hexadecimal digits; the others count on from it. Numbers are
//! little-endian. The checksum of a record is the CRC-32 of id, length and payload, so that a record that stands in the
//! wrong place is not taken for another; it is never 0, so that zeros, which some file systems leave after a loss of
//! power, are not a record.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

/// The length of a segment's header.
pub(super) const HEADER: u64 = 20;
/// The length of what stands before a record's payload.
pub(super) const RECORD_HEADER: u64 = 8;
/// The length of an acknowledgement.
pub(super) const ACK: u64 = 8;

const MAGIC: &[u8; 6] = b"INSJRN";
const VERSION: u16 = 1;

/// Parts of one system call: the kernel's `IOV_MAX`.
const MOST_PARTS: usize = 1024;

/// Where a record stands in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Of its header.
    pub(super) offset: u64,
    /// Of its payload.
    pub(super) len: u32,
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A segment of this base, in the format of this program.
    Ours,
    /// A segment in another format.
    Version(u16),
    /// Nothing that can be trusted. Records have checksums of their own.
    Damaged,
}

/// What was found in a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// How many records there are, with the damaged ones that could be passed over.
    pub(super) count: u32,
    /// Where the last record that can be trusted ends.
    pub(super) end: u64,
    /// Damaged records that were passed over.
    pub(super) skipped: Vec<(u32, u64)>,
    /// Whether something stands after `end`.
    pub(super) cut: bool,
}

impl Extent {
    /// With its header, in bytes.
    pub(super) fn size(self) -> u64 {
        RECORD_HEADER + u64::from(self.len)
    }

    /// Where the next record begins.
    pub(super) fn end(self) -> u64 {
        self.offset.saturating_add(self.size())
    }
}

/// The header of a segment.
pub(super) fn header(base: u64) -> [u8; HEADER as usize] {
    let mut bytes = [0; HEADER as usize];
    let fields = MAGIC.iter().copied().chain(VERSION.to_le_bytes()).chain(base.to_le_bytes());
    bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    let (fields, sum) = bytes.split_at_mut(16);
    sum.copy_from_slice(&crc32fast::hash(fields).to_le_bytes());
    bytes
}

/// Checks the beginning of a segment.
pub(super) fn check_header(bytes: &[u8], base: u64) -> Header {
    let Some((fields, sum)) = bytes.get(..HEADER as usize).and_then(|bytes| bytes.split_at_checked(16))
    else {
        return Header::Damaged;
    };
    if sum != crc32fast::hash(fields).to_le_bytes() || !fields.starts_with(MAGIC) {
        return Header::Damaged;
    }
    match fields.get(6..8).and_then(|version| version.try_into().ok()).map(u16::from_le_bytes) {
        Some(VERSION) if fields.ends_with(&base.to_le_bytes()) => Header::Ours,
        Some(VERSION) | None => Header::Damaged,
        Some(other) => Header::Version(other),
    }
}

/// What stands before the payload of record `id`.
pub(super) fn record_header(id: u64, len: u32, parts: &[&[u8]]) -> [u8; RECORD_HEADER as usize] {
    let [a, b, c, d] = len.to_le_bytes();
    let [e, f, g, h] = checksum(id, len, parts).to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

fn checksum(id: u64, len: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(&len.to_le_bytes());
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().max(1)
}

/// Length and checksum.
fn split_record_header(bytes: [u8; RECORD_HEADER as usize]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Reads the payload of record `id`; `None` if it is not what was written.
pub(super) fn read_record(file: &File, id: u64, extent: Extent) -> io::Result<Option<Vec<u8>>> {
    let mut payload = Vec::new();
    let intact = read_into(file, id, extent.offset, extent.end(), &mut payload)?;
    Ok(intact.filter(|(found, sound)| *found == extent && *sound).map(|_| payload))
}

/// Reads the record at `offset` of a file of `file_len` bytes; where it stands and whether its checksum is right. `None`
/// if it would end beyond the file or cannot be a record.
fn read_into(
    file: &File,
    id: u64,
    offset: u64,
    file_len: u64,
    payload: &mut Vec<u8>,
) -> io::Result<Option<(Extent, bool)>> {
    let Some((extent, sum)) = read_extent(file, offset, file_len)? else { return Ok(None) };
    payload.resize(usize::try_from(extent.len).unwrap_or(usize::MAX), 0);
    file.read_exact_at(payload, offset + RECORD_HEADER)?;
    Ok(Some((extent, sum == checksum(id, extent.len, &[payload]))))
}

/// Where the record at `offset` stands, and its checksum.
fn read_extent(file: &File, offset: u64, file_len: u64) -> io::Result<Option<(Extent, u32)>> {
    if file_len.saturating_sub(offset) < RECORD_HEADER {
        return Ok(None);
    }
    let mut bytes = [0; RECORD_HEADER as usize];
    file.read_exact_at(&mut bytes, offset)?;
    let (len, sum) = split_record_header(bytes);
    let extent = Extent { offset, len };
    Ok((sum != 0 && extent.end() <= file_len).then_some((extent, sum)))
}

/// Goes through a segment and shows every record that is whole and not acknowledged.
pub(super) fn scan(
    file: &File,
    base: u64,
    acked: &BTreeSet<u32>,
    mut visit: impl FnMut(u32, Extent, &[u8]),
) -> io::Result<Scanned> {
    let file_len = file.metadata()?.len();
    let mut scanned = Scanned { end: HEADER.min(file_len), ..Scanned::default() };
    let mut payload = Vec::new();
    while scanned.end < file_len {
        let index = scanned.count;
        let next = if acked.contains(&index) {
            read_extent(file, scanned.end, file_len)?.map(|(extent, _)| extent)
        } else {
            let id = base.saturating_add(u64::from(index));
            match read_into(file, id, scanned.end, file_len, &mut payload)? {
                Some((extent, true)) => {
                    visit(index, extent, &payload);
                    Some(extent)
                }
                // One damaged payload: the next record stands where the length says.
                Some((extent, false)) if is_whole(file, id, extent.end(), file_len, &mut payload)? => {
                    scanned.skipped.push((index, extent.offset));
                    Some(extent)
                }
                _ => None,
            }
        };
        let Some(extent) = next else {
            scanned.cut = true;
            break;
        };
        scanned.end = extent.end();
        scanned.count = scanned.count.saturating_add(1);
    }
    Ok(scanned)
}

/// Whether the record after `id` stands at `offset` and is whole.
fn is_whole(file: &File, id: u64, offset: u64, file_len: u64, payload: &mut Vec<u8>) -> io::Result<bool> {
    let next = read_into(file, id.saturating_add(1), offset, file_len, payload)?;
    Ok(next.is_some_and(|(_, sound)| sound))
}

/// The acknowledgement of a record.
pub(super) fn ack(base: u64, index: u32) -> [u8; ACK as usize] {
    let [a, b, c, d] = index.to_le_bytes();
    let [e, f, g, h] = ack_sum(base, index).to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

fn ack_sum(base: u64, index: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&base.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    hasher.finalize().max(1)
}

/// The records that are acknowledged; what is damaged is passed over: a record too many is better than one too few.
pub(super) fn parse_acks(base: u64, bytes: &[u8]) -> BTreeSet<u32> {
    let (entries, _) = bytes.as_chunks::<{ ACK as usize }>();
    let fields = entries.iter().map(|entry| split_record_header(*entry));
    fields.filter(|(index, sum)| *sum == ack_sum(base, *index)).map(|(index, _)| index).collect()
}

/// Writes all parts at `offset`, in one system call where the kernel takes them in one.
pub(super) fn write_all_at(file: &File, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let some = parts.get(..parts.len().min(MOST_PARTS)).unwrap_or_default();
        match rustix::io::pwritev(file, some, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let bytes = header(7);
        assert_eq!(check_header(&bytes, 7), Header::Ours);
        assert_eq!(check_header(&bytes, 8), Header::Damaged, "another segment's");
        assert_eq!(check_header(&bytes[..19], 7), Header::Damaged);
        for at in 0..bytes.len() {
            let mut flipped = bytes;
            flipped[at] ^= 4;
            assert_eq!(check_header(&flipped, 7), Header::Damaged, "byte {at}");
        }
        let mut later = bytes;
        later[6] = 2;
        let sum = crc32fast::hash(&later[..16]).to_le_bytes();
        later[16..].copy_from_slice(&sum);
        assert_eq!(check_header(&later, 7), Header::Version(2));
    }

    #[test]
    fn acknowledgements_that_are_damaged_do_not_count() {
        let mut bytes: Vec<u8> = [0, 3, 1000].iter().flat_map(|index| ack(9, *index)).collect();
        bytes.extend([1, 2, 3]);
        assert_eq!(parse_acks(9, &bytes), BTreeSet::from([0, 3, 1000]));
        assert_eq!(parse_acks(8, &bytes), BTreeSet::new(), "another segment's");
        bytes[8] ^= 1;
        assert_eq!(parse_acks(9, &bytes), BTreeSet::from([0, 1000]));
        assert_eq!(parse_acks(9, &[0; 64]), BTreeSet::new());
    }

    #[test]
    fn many_parts_are_written_in_several_calls() {
        let file = tempfile::tempfile().unwrap();
        let parts: Vec<Vec<u8>> =
            (0..3000).map(|i: u32| i.to_le_bytes()[..(i % 5).min(4) as usize].to_vec()).collect();
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        write_all_at(&file, &mut slices, 5).unwrap();
        let mut got = vec![0; parts.concat().len()];
        file.read_exact_at(&mut got, 5).unwrap();
        assert_eq!(got, parts.concat());
        assert_eq!(file.metadata().unwrap().len(), 5 + got.len() as u64);
    }
}
