//! Resident memory of this process.

use std::fs::File;
use std::os::unix::fs::FileExt;

use component::memory::MemoryError;

const STATM: &str = "/proc/self/statm";

/// The resident memory of this process, from a file that is kept open.
#[derive(Debug)]
pub(crate) struct Resident {
    statm: File,
    page_size: u64,
}

impl Resident {
    pub(crate) fn open() -> Result<Self, MemoryError> {
        let statm =
            File::open(STATM).map_err(|source| MemoryError::Read { path: STATM.to_owned(), source })?;
        Ok(Self { statm, page_size: rustix::param::page_size() as u64 })
    }

    /// In bytes.
    pub(crate) fn read(&self) -> Result<u64, MemoryError> {
        let mut buffer = [0; 128];
        let length = self
            .statm
            .read_at(&mut buffer, 0)
            .map_err(|source| MemoryError::Read { path: STATM.to_owned(), source })?;
        let pages = buffer.get(..length).and_then(resident_pages);
        let pages = pages.ok_or(MemoryError::Missing { what: "the resident pages", path: STATM })?;
        Ok(pages.saturating_mul(self.page_size))
    }
}

/// The second number of `statm` (`man 5 proc_pid_statm`).
fn resident_pages(statm: &[u8]) -> Option<u64> {
    std::str::from_utf8(statm).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_resident() {
        assert_eq!(resident_pages(b"100 42 7 1 0 9 0\n"), Some(42));
        assert_eq!(resident_pages(b"100"), None);
        assert_eq!(resident_pages(b"100 x"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let bytes = Resident::open().unwrap().read().unwrap();
        assert!((1 << 16..1 << 40).contains(&bytes), "{bytes}");
    }
}
