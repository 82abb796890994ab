//! Events as lines of a file that is put aside when it is full.
//!
//! Files are named and kept as upstream's file exporter does: `events-2026-11-23T17-05-00.000.json` beside `events.json`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use helper::files::{open_owned, sync_parent};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::OutputFileConfig;

/// The time in the name of a file that was put aside, as read and as written.
const READ_TIME: &str = "%Y-%m-%dT%H-%M-%S%.f";
const WRITTEN_TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// How much of a file is read at once when the end of its last line is looked for, in bytes.
const CHUNK: u64 = 64 << 10;

/// Why the output file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Files are made, directories are not.
    #[error("the directory {} of output_file::path does not exist: make it, or correct the path", .0.display())]
    NoDirectory(PathBuf),
    /// The system refused.
    #[error("opening the output file {}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A file that events are appended to.
#[derive(Debug)]
pub(crate) struct FileOutput {
    path: PathBuf,
    directory: PathBuf,
    /// Of the file's name, what stands before and behind the time of a file that was put aside.
    stem: String,
    extension: String,
    file: File,
    /// Bytes in the file: all of whole lines.
    size: u64,
    /// Whether a failed write may have left a part of a line behind `size`.
    torn: bool,
    max_bytes: u64,
    max_backups: usize,
    max_days: u64,
    zone: TimeZone,
}

impl FileOutput {
    /// Opens the file, or makes it. What a process that died left of a line is cut off.
    ///
    /// # Errors
    /// The directory does not exist, or the file cannot be opened.
    pub(crate) fn open(config: &OutputFileConfig) -> Result<Self, FileError> {
        let path = PathBuf::from(&config.path);
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        if !directory.is_dir() {
            return Err(FileError::NoDirectory(directory));
        }
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let extension = match text(path.extension()) {
            extension if extension.is_empty() => extension,
            extension => format!(".{extension}"),
        };
        let (file, size) =
            open_at_last_line(&path).map_err(|source| FileError::Open { path: path.clone(), source })?;
        Ok(Self {
            stem: text(path.file_stem()),
            extension,
            path,
            directory,
            file,
            size,
            torn: false,
            max_bytes: config.max_bytes(),
            max_backups: config.max_backups,
            max_days: config.max_days,
            zone: if config.localtime { TimeZone::system() } else { TimeZone::UTC },
        })
    }

    /// Appends whole lines; the last one ends with a line feed as well. The file is put aside before it would grow beyond
    /// its limit; a longer line gets a file of its own.
    ///
    /// # Errors
    /// What the system says. Nothing of the lines stays in the file then, but for those that went to a file that they
    /// filled.
    pub(crate) fn write(&mut self, lines: &str) -> io::Result<()> {
        // Where the lines begin in the present file.
        let mut start = self.size;
        let written = self.write_and_rotate(lines, &mut start);
        if written.is_err() {
            // The disk may be full now and not later: the lines will come again.
            self.size = start;
            self.torn = self.file.set_len(start).is_err();
        }
        written
    }

    fn write_and_rotate(&mut self, lines: &str, start: &mut u64) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            let room = self.max_bytes.saturating_sub(self.size);
            let (fitting, behind) = split_lines(rest, usize::try_from(room).unwrap_or(usize::MAX));
            if fitting.is_empty() && self.size > 0 {
                self.rotate(Timestamp::now())?;
                *start = 0;
                continue;
            }
            // An empty file takes one line whatever its length.
            let (taken, behind) = if fitting.is_empty() { first_line(rest) } else { (fitting, behind) };
            self.append(taken)?;
            rest = behind;
        }
        Ok(())
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        self.mend()?;
        self.file.write_all(lines.as_bytes())?;
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.size)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Puts the file aside and begins a new one.
    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        self.mend()?;
        let mut time = now;
        let mut aside = self.aside(time);
        while aside.exists() {
            time += SignedDuration::from_millis(1);
            aside = self.aside(time);
        }
        // The new file is opened under the old name, so a failure in between leaves no file: the next write tries again.
        std::fs::rename(&self.path, &aside)?;
        match open_owned(OpenOptions::new().append(true).create(true), &self.path) {
            Ok(file) => {
                self.file = file;
                self.size = 0;
            }
            Err(error) => {
                let _ = std::fs::rename(&aside, &self.path);
                return Err(error);
            }
        }
        self.prune(now);
        sync_parent(&self.path)
    }

    fn aside(&self, time: Timestamp) -> PathBuf {
        let time = time.to_zoned(self.zone.clone()).strftime(WRITTEN_TIME).to_string();
        self.directory.join(format!("{}-{time}{}", self.stem, self.extension))
    }

    /// Removes files put aside that are too many or too old.
    fn prune(&self, now: Timestamp) {
        let mut kept = self.put_aside();
        kept.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let days = i64::try_from(self.max_days).unwrap_or(i64::MAX);
        let oldest = SignedDuration::try_from_hours(days.saturating_mul(24))
            .filter(|_| self.max_days > 0)
            .and_then(|age| now.checked_sub(age).ok());
        for (place, (time, path)) in kept.iter().enumerate() {
            let too_many = self.max_backups > 0 && place >= self.max_backups;
            let too_old = oldest.is_some_and(|oldest| *time < oldest);
            if (too_many || too_old)
                && let Err(error) = std::fs::remove_file(path)
            {
                tracing::warn!(file = %path.display(), %error, "a full output file could not be removed");
            }
        }
    }

    /// The files that were put aside, with their times.
    fn put_aside(&self) -> Vec<(Timestamp, PathBuf)> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return Vec::new() };
        let time = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            let text = name.strip_prefix(&self.stem)?.strip_prefix('-')?.strip_suffix(&self.extension)?;
            let time = DateTime::strptime(READ_TIME, text).ok()?;
            Some(time.to_zoned(self.zone.clone()).ok()?.timestamp())
        };
        entries.flatten().map(|entry| entry.path()).filter_map(|path| Some((time(&path)?, path))).collect()
    }
}

/// As many whole lines as fit into `room` bytes, and the rest.
fn split_lines(lines: &str, room: usize) -> (&str, &str) {
    if lines.len() <= room {
        return (lines, "");
    }
    let fitting = lines.get(..lines.floor_char_boundary(room)).unwrap_or_default();
    let end = fitting.rfind('\n').map_or(0, |at| at + 1);
    lines.split_at_checked(end).unwrap_or(("", lines))
}

fn first_line(lines: &str) -> (&str, &str) {
    let end = lines.find('\n').map_or(lines.len(), |at| at + 1);
    lines.split_at_checked(end).unwrap_or((lines, ""))
}

/// Opens a file to append, without the part of a line that it may end with. Also returns its size.
fn open_at_last_line(path: &Path) -> io::Result<(File, u64)> {
    let mut file = open_owned(OpenOptions::new().read(true).append(true).create(true), path)?;
    let size = file.metadata()?.len();
    let mut end = size;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        (&mut file).take(end - start).read_to_end(&mut chunk)?;
        match chunk.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => {
                end = start + at as u64 + 1;
                break;
            }
            None => end = start,
        }
    }
    if end < size {
        check_begins_like_events(&mut file)?;
        tracing::warn!(file = %path.display(), bytes = size - end, "cutting off the line that was not finished");
        file.set_len(end)?;
    }
    Ok((file, end))
}

/// Refuses a file that cannot be ours before anything of it is cut off.
fn check_begins_like_events(file: &mut File) -> io::Result<()> {
    let mut first = [0];
    file.rewind()?;
    file.read_exact(&mut first)?;
    if first != *b"{" {
        let reason =
            "it holds something else than events, which begin with `{`; name another file, or remove it";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(directory: &Path) -> OutputFileConfig {
        let path = directory.join("events.json").to_string_lossy().into_owned();
        OutputFileConfig { path, ..OutputFileConfig::default() }
    }

    /// The names and contents of a directory, sorted.
    fn files(directory: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn lines_are_appended_and_an_unfinished_one_is_cut_off() {
        let check = |before: &str, expected: &str| {
            let directory = tempfile::tempdir().unwrap();
            let config = config(directory.path());
            std::fs::write(&config.path, before).unwrap();
            let mut output = FileOutput::open(&config).unwrap();
            output.write("{\"b\":1}\n").unwrap();
            output.write("").unwrap();
            assert_eq!(std::fs::read_to_string(&config.path).unwrap(), expected);
        };
        check("", "{\"b\":1}\n");
        check("{\"a\":1}\n", "{\"a\":1}\n{\"b\":1}\n");
        check("{\"a\":1}\n{\"half", "{\"a\":1}\n{\"b\":1}\n");
        check("{half", "{\"b\":1}\n");
        let long = format!("{{{}\n", "x".repeat(200_000));
        check(&format!("{long}{}", "y".repeat(200_000)), &format!("{long}{{\"b\":1}}\n"));
    }

    #[test]
    fn a_file_of_something_else_is_not_cut() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        std::fs::write(&config.path, "root:x:0:0\nunfinished").unwrap();
        let error = component::causes(&FileOutput::open(&config).unwrap_err());
        assert!(error.contains("it holds something else than events"), "{error}");
        assert_eq!(std::fs::read_to_string(&config.path).unwrap(), "root:x:0:0\nunfinished");
    }

    #[test]
    fn a_full_file_is_put_aside_between_lines() {
        let directory = tempfile::tempdir().unwrap();
        let mut output = FileOutput::open(&config(directory.path())).unwrap();
        output.max_bytes = 8;
        output.write("one\ntwo\nthree\n").unwrap();
        output.write("longer than a file may be\nx\n").unwrap();
        let files = files(directory.path());
        let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["one\ntwo\n", "three\n", "longer than a file may be\n", "x\n"]);
        for (name, _) in files.iter().take(3) {
            let time = name.strip_prefix("events-").unwrap().strip_suffix(".json").unwrap();
            assert!(DateTime::strptime(READ_TIME, time).is_ok(), "{name}");
            assert_eq!(time.len(), "2026-11-23T17-05-00.000".len());
        }
    }

    #[test]
    fn old_files_and_files_beyond_the_number_are_removed() {
        let check = |max_backups: usize, max_days: u64, expected: &[&str]| {
            let directory = tempfile::tempdir().unwrap();
            let config = OutputFileConfig { max_backups, max_days, ..config(directory.path()) };
            for name in [
                "events-other.json",
                "events-2026-01-01T00-00-00.000.json",
                "events-2026-01-09T23-00-00.000.json",
            ] {
                std::fs::write(directory.path().join(name), "").unwrap();
            }
            let mut output = FileOutput::open(&config).unwrap();
            output.rotate("2026-01-10T00:00:00Z".parse().unwrap()).unwrap();
            let names: Vec<_> = files(directory.path()).into_iter().map(|(name, _)| name).collect();
            let all: Vec<String> = expected
                .iter()
                .map(|time| format!("events-{time}.json"))
                .chain(["events-other.json".into(), "events.json".into()])
                .collect();
            assert_eq!(names, all);
        };
        let (first, second, new) =
            ("2026-01-01T00-00-00.000", "2026-01-09T23-00-00.000", "2026-01-10T00-00-00.000");
        check(0, 0, &[first, second, new]);
        check(2, 0, &[second, new]);
        check(1, 0, &[new]);
        check(0, 3, &[second, new]);
        check(1, 3, &[new]);
    }

    #[test]
    fn files_of_the_same_millisecond_keep_their_own_names() {
        let directory = tempfile::tempdir().unwrap();
        let mut output = FileOutput::open(&config(directory.path())).unwrap();
        let now: Timestamp = "2026-01-10T00:00:00.999Z".parse().unwrap();
        for line in ["a\n", "b\n"] {
            output.append(line).unwrap();
            output.rotate(now).unwrap();
        }
        let names: Vec<_> = files(directory.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["events-2026-01-10T00-00-00.999.json", "events-2026-01-10T00-00-01.000.json", "events.json"]
        );
    }

    #[test]
    fn a_failed_write_leaves_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut output = FileOutput::open(&config).unwrap();
        output.write("one\n").unwrap();
        // A descriptor that cannot be written to, and a part of a line behind the known size.
        std::fs::write(&config.path, "one\ntw").unwrap();
        output.file = File::open(&config.path).unwrap();
        assert!(output.write("two\n").is_err());
        assert!(output.torn);
        output.file = OpenOptions::new().append(true).open(&config.path).unwrap();
        output.write("two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&config.path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let path = "/nonexistent-directory/events.json".to_owned();
        let error = FileOutput::open(&OutputFileConfig { path, ..OutputFileConfig::default() }).unwrap_err();
        assert!(error.to_string().contains("/nonexistent-directory "), "{error}");
    }
}
