//! From text to times.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::{DAYS, Layout, Length, MONTHS, OffsetForm, Pad, Part, zone};

/// How far ahead a time without a year may be before it is one of last year.
const DAYS_AHEAD: i64 = 7;

/// What was read so far; what a text does not say is the first of its kind.
struct Reader<'t> {
    rest: &'t str,
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    /// Whether the hour is one of the afternoon.
    afternoon: Option<bool>,
    minute: i8,
    second: i8,
    nanosecond: i32,
    /// From UTC, in seconds.
    offset: Option<i64>,
    zone: Option<&'t str>,
}

/// What was expected and not found.
type Expected = &'static str;

impl Layout {
    /// A time in text as Unix time in nanoseconds: without a zone in the text, of `home`; without a year, the one whose day is
    /// next to `now`, a week ahead at most.
    pub(crate) fn read(&self, text: &str, home: &TimeZone, now: Timestamp) -> Result<i64, String> {
        let mut reader = Reader {
            rest: text,
            year: 0,
            month: 1,
            day: 1,
            hour: 0,
            afternoon: None,
            minute: 0,
            second: 0,
            nanosecond: 0,
            offset: None,
            zone: None,
        };
        for (index, part) in self.parts.iter().enumerate() {
            let has_fraction =
                || self.parts.iter().skip(index).any(|part| matches!(part, Part::Fraction(..)));
            let before = reader.rest;
            reader.part(part, has_fraction).map_err(|expected| {
                format!("parsing time {text:?}: expected {expected} but found {before:?}")
            })?;
        }
        if !reader.rest.is_empty() {
            return Err(format!("parsing time {text:?}: extra text: {:?}", reader.rest));
        }
        let time = reader.time(home, now).map_err(|error| format!("parsing time {text:?}: {error}"))?;
        i64::try_from(time.as_nanosecond()).map_err(|_| format!("parsing time {text:?}: out of range"))
    }
}

impl<'t> Reader<'t> {
    fn part(&mut self, part: &Part, has_fraction: impl Fn() -> bool) -> Result<(), Expected> {
        match part {
            Part::Literal(text) => self.literal(text)?,
            Part::Year => {
                let year = self.rest.get(..4).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                self.year = year.and_then(|text| text.parse().ok()).ok_or("a year of four digits")?;
                self.skip(4);
            }
            Part::ShortYear => {
                let year = i16::from(self.number(Pad::Zero, 0..=99, "a year of two digits")?);
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            Part::Month(pad) => self.month = self.number(*pad, 1..=12, "a month")?,
            Part::MonthName(length) => self.month = self.name(*length, &MONTHS, "the name of a month")? + 1,
            Part::Day(pad) => self.day = self.number(*pad, 1..=31, "a day")?,
            Part::DayName(length) => drop(self.name(*length, &DAYS, "the name of a day")?),
            Part::Hour => self.hour = self.number(Pad::None, 0..=23, "an hour")?,
            Part::HalfHour(pad) => self.hour = self.number(*pad, 0..=12, "an hour up to 12")?,
            Part::HalfOfDay(capitals) => {
                let (morning, afternoon) = if *capitals { ("AM", "PM") } else { ("am", "pm") };
                self.afternoon = Some(self.rest.starts_with(afternoon));
                let known = self.rest.starts_with(morning) || self.rest.starts_with(afternoon);
                known.then(|| self.skip(2)).ok_or("AM or PM as in the format")?;
            }
            Part::Minute => self.minute = self.number(Pad::Zero, 0..=59, "a minute")?,
            Part::Second => {
                self.second = self.number(Pad::Zero, 0..=59, "a second")?;
                // A fraction that the layout does not have is read all the same.
                if !has_fraction() {
                    self.fraction();
                }
            }
            Part::Fraction(..) => self.fraction(),
            Part::ZoneName => {
                let name = zone_name(self.rest).ok_or("the abbreviation of a time zone")?;
                self.skip(name.len());
                match name {
                    "UTC" => self.offset = Some(0),
                    name => self.zone = Some(name),
                }
            }
            Part::Offset(form) => self.offset = Some(self.offset(*form).ok_or("an offset from UTC")?),
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Blanks stand for any number of blanks, at the end for none.
    fn literal(&mut self, text: &str) -> Result<(), Expected> {
        let mut text = text;
        while let Some(c) = text.chars().next() {
            if c == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return Err("a blank");
                }
                (text, self.rest) = (text.trim_start_matches(' '), self.rest.trim_start_matches(' '));
            } else {
                self.rest = self.rest.strip_prefix(c).ok_or("what the format has there")?;
                text = text.get(c.len_utf8()..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// A number of two digits, or of one where it is not padded with a zero.
    fn number(
        &mut self,
        pad: Pad,
        range: std::ops::RangeInclusive<i8>,
        expected: Expected,
    ) -> Result<i8, Expected> {
        if pad == Pad::Blank {
            self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
        }
        let digits = self.rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if digits == 0 || (digits == 1 && pad == Pad::Zero) {
            return Err(expected);
        }
        let number = self.rest.get(..digits).and_then(|text| text.parse().ok());
        let number = number.filter(|number| range.contains(number)).ok_or(expected)?;
        self.skip(digits);
        Ok(number)
    }

    fn name<const N: usize>(
        &mut self,
        length: Length,
        names: &[&'static str; N],
        expected: Expected,
    ) -> Result<i8, Expected> {
        for (index, name) in (0..).zip(names) {
            let name = length.cut(name);
            if self.rest.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name)) {
                self.skip(name.len());
                return Ok(index);
            }
        }
        Err(expected)
    }

    /// A separator and as many digits as there are, of which nine count; nothing where there is none.
    fn fraction(&mut self) {
        let Some(digits) = self.rest.strip_prefix(['.', ',']) else { return };
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if end == 0 {
            return;
        }
        let text = digits.get(..end.min(9)).unwrap_or_default();
        self.nanosecond = format!("{text:0<9}").parse().unwrap_or_default();
        self.rest = digits.get(end..).unwrap_or_default();
    }

    fn offset(&mut self, form: OffsetForm) -> Option<i64> {
        if form == OffsetForm::Iso && self.rest.starts_with('Z') {
            self.skip(1);
            return Some(0);
        }
        let (sign, mut text) = match self.rest.as_bytes().first()? {
            b'+' => (1, self.rest.get(1..)?),
            b'-' => (-1, self.rest.get(1..)?),
            _ => return None,
        };
        let (fields, colons) = match form {
            OffsetForm::Hours => (1, false),
            OffsetForm::Iso => (2, false),
            OffsetForm::Minutes => (2, true),
            OffsetForm::PlainSeconds => (3, false),
            OffsetForm::Seconds => (3, true),
        };
        let mut seconds = 0;
        for (field, (unit, limit)) in [(3600, 24), (60, 59), (1, 59)].into_iter().take(fields).enumerate() {
            if colons && field > 0 {
                text = text.strip_prefix(':')?;
            }
            let digits = text.get(..2).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
            seconds += unit * digits.parse::<i64>().ok().filter(|number| *number <= limit)?;
            text = text.get(2..)?;
        }
        self.rest = text;
        Some(sign * seconds)
    }

    /// When that is.
    fn time(&self, home: &TimeZone, now: Timestamp) -> Result<Timestamp, jiff::Error> {
        let hour = match (self.afternoon, self.hour) {
            (Some(true), hour @ ..12) => hour + 12,
            (Some(false), 12) => 0,
            (_, hour) => hour,
        };
        let at = DateTime::from_parts(
            Date::new(self.year, self.month, self.day)?,
            Time::new(hour, self.minute, self.second, self.nanosecond)?,
        );
        let at = if self.year == 0 { in_year(at, TimeZone::UTC.to_datetime(now))? } else { at };
        match (self.offset, self.zone) {
            (Some(offset), _) => {
                TimeZone::UTC.to_timestamp(at)?.checked_sub(SignedDuration::from_secs(offset))
            }
            (None, Some(name)) => zone::at_abbreviation(at, name, home),
            (None, None) => home.to_timestamp(at),
        }
    }
}

/// A time without a year in this year, or in the last one if it would be more than a week ahead.
fn in_year(at: DateTime, now: DateTime) -> Result<DateTime, jiff::Error> {
    // The day after 28 February is 1 March where there is no 29 February.
    let within = |year: i16| {
        let first = Date::new(year, at.month(), 1)?;
        let date = first.checked_add((i64::from(at.day()) - 1).days())?;
        Ok::<_, jiff::Error>(DateTime::from_parts(date, at.time()))
    };
    let this = within(now.year())?;
    if this > now.checked_add(DAYS_AHEAD.days())? { within(now.year() - 1) } else { Ok(this) }
}

/// The abbreviation that a text begins with: three to five capitals, or `GMT` with hours.
fn zone_name(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("GMT") {
        let digits =
            rest.strip_prefix(['+', '-']).map(|digits| digits.bytes().take_while(u8::is_ascii_digit).count());
        let hours = digits.filter(|digits| (1..=2).contains(digits)).map_or(0, |digits| digits + 1);
        return text.get(..3 + hours);
    }
    if let Some(name) = text.get(..4).filter(|name| matches!(*name, "ChST" | "MeST")) {
        return Some(name);
    }
    let capitals = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
    let name = text.get(..capitals)?;
    match capitals {
        3 => Some(name),
        4 if name.ends_with('T') || name == "WITA" => Some(name),
        5 if name.ends_with('T') => Some(name),
        _ => None,
    }
}
