//! From times to text.

use std::fmt::{self, Write};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{DAYS, Layout, Length, MONTHS, OffsetForm, Pad, Part};

impl Layout {
    /// A time of UTC, given as Unix time in nanoseconds.
    pub(crate) fn write(&self, nanos: i64) -> Result<String, String> {
        let time = Timestamp::from_nanosecond(i128::from(nanos)).map_err(|error| error.to_string())?;
        let at = TimeZone::UTC.to_datetime(time);
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.parts.iter().try_for_each(|part| part.write(&mut out, at));
        Ok(out)
    }
}

impl Part {
    fn write(&self, out: &mut String, at: DateTime) -> fmt::Result {
        match self {
            Self::Literal(text) => out.write_str(text),
            Self::Year => write!(out, "{:04}", at.year()),
            Self::ShortYear => write!(out, "{:02}", at.year().rem_euclid(100)),
            Self::Month(pad) => pad.write(out, at.month()),
            Self::MonthName(length) => out.write_str(length.of(&MONTHS, i16::from(at.month()) - 1)),
            Self::Day(pad) => pad.write(out, at.day()),
            Self::DayName(length) => {
                out.write_str(length.of(&DAYS, i16::from(at.weekday().to_sunday_zero_offset())))
            }
            Self::Hour => write!(out, "{:02}", at.hour()),
            Self::HalfHour(pad) => pad.write(out, (at.hour() + 11) % 12 + 1),
            Self::HalfOfDay(capitals) => out.write_str(match (at.hour() < 12, capitals) {
                (true, true) => "AM",
                (true, false) => "am",
                (false, true) => "PM",
                (false, false) => "pm",
            }),
            Self::Minute => write!(out, "{:02}", at.minute()),
            Self::Second => write!(out, "{:02}", at.second()),
            Self::Fraction(separator, digits) => {
                let text = format!("{:09}", at.subsec_nanosecond());
                match text.get(..*digits).unwrap_or(&text).trim_end_matches('0') {
                    "" => Ok(()),
                    digits => write!(out, "{separator}{digits}"),
                }
            }
            Self::ZoneName => out.write_str("UTC"),
            Self::Offset(form) => out.write_str(match form {
                OffsetForm::Iso => "Z",
                OffsetForm::Hours => "+00",
                OffsetForm::Minutes => "+00:00",
                OffsetForm::Seconds => "+00:00:00",
                OffsetForm::PlainSeconds => "+000000",
            }),
        }
    }
}

impl Pad {
    fn write(self, out: &mut String, number: i8) -> fmt::Result {
        match self {
            Self::Zero => write!(out, "{number:02}"),
            Self::Blank => write!(out, "{number:2}"),
            Self::None => write!(out, "{number}"),
        }
    }
}

impl Length {
    /// A name of a list.
    pub(super) fn of<const N: usize>(self, names: &[&'static str; N], index: i16) -> &'static str {
        let name =
            usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default();
        self.cut(name)
    }

    /// As much of a name as is written.
    pub(super) fn cut(self, name: &'static str) -> &'static str {
        match self {
            Self::Full => name,
            Self::Short => name.get(..3).unwrap_or(name),
        }
    }
}
