//! Time zones of the machine's database.

use std::io::Read as _;
use std::path::{Component, Path};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Where databases are, as Go looks for them.
const DATABASES: [&str; 4] =
    ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"];
/// The longest file that is read, in bytes: the longest of a database has a few thousand.
const LONGEST_FILE: u64 = 1 << 20;
/// From summer to winter.
const HALF_A_YEAR: SignedDuration = SignedDuration::from_hours(24 * 182);

/// A zone by its name: `Europe/Berlin`. The empty name is that of UTC, and so is `Local`, where collectors run.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "" | "UTC" | "Local") {
        return Ok(TimeZone::UTC);
    }
    let path = Path::new(name);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("failed to load location {name}: invalid location name"));
    }
    let found = DATABASES.iter().find_map(|database| read(&Path::new(database).join(path)));
    let bytes = found.ok_or_else(|| {
        format!("failed to load location {name}: it is not in the time zone database ({})", DATABASES[0])
    })?;
    TimeZone::tzif(name, &bytes).map_err(|error| format!("failed to load location {name}: {error}"))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(LONGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// When a zone with this abbreviation, `CET` or `EST`, shows a time: of the reader's zone, else of the zone that has this name,
/// else of UTC.
pub(super) fn at_abbreviation(at: DateTime, name: &str, home: &TimeZone) -> Result<Timestamp, jiff::Error> {
    if let Some(hours) = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i64>().ok()) {
        return TimeZone::UTC.to_timestamp(at)?.checked_sub(SignedDuration::from_hours(hours));
    }
    let there = home.to_timestamp(at)?;
    if home.to_offset_info(there).abbreviation() == name {
        return Ok(there);
    }
    // The other half of a year has the other time of a zone.
    for other in [there.checked_add(HALF_A_YEAR), there.checked_sub(HALF_A_YEAR)] {
        let info = home.to_offset_info(other?);
        if info.abbreviation() == name {
            return info.offset().to_timestamp(at);
        }
    }
    match time_zone(name) {
        Ok(zone) => zone.to_timestamp(at),
        Err(_) => TimeZone::UTC.to_timestamp(at),
    }
}
