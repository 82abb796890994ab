//! Times in text, in the directives that upstream knows, such as `%Y-%m-%dT%H:%M:%S.%L%z`.
//!
//! | | |
//! |---|---|
//! | year, month | `%Y` `%y`, `%m` `%o` (padded with a blank) `%q` (not padded) `%b` `%h` `%B` |
//! | day | `%d` `%e` (padded with a blank) `%g` (not padded), `%a` `%A` |
//! | time | `%H`, `%I` `%l` (not padded) with `%p` `%P`, `%M`, `%S`, behind `.` or `,` a fraction: `%L` `%f` `%s` |
//! | zone | `%Z` its name, `%z` `Z` or `+0100`, `%i` `+01`, `%j` `+01:00`, `%k` `+01:00:00`, `%w` `+010000` |
//! | several | `%D` `%x` `%F` `%T` `%X` `%R` `%r` `%c` |
//! | signs | `%n` `%t` `%%` |
//!
//! What a directive takes and gives is what Go's `time` package takes and gives for the like element of its layouts.

mod read;
#[cfg(test)]
mod tests;
mod write;
mod zone;

pub(crate) use zone::time_zone;

/// The names of months; three letters are their abbreviations.
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The names of the days of a week from Sunday; three letters are their abbreviations.
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The form of a time in text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    parts: Vec<Part>,
}

/// A part of a layout.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    Year,
    /// From 1969 to 2068.
    ShortYear,
    Month(Pad),
    MonthName(Length),
    Day(Pad),
    DayName(Length),
    Hour,
    /// From 1 to 12.
    HalfHour(Pad),
    /// Whether in capitals.
    HalfOfDay(bool),
    Minute,
    Second,
    /// The separator in front and how many digits there are at most.
    Fraction(char, usize),
    ZoneName,
    Offset(OffsetForm),
}

/// What stands in front of a number of one digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pad {
    Zero,
    Blank,
    None,
}

/// How much of a name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Short,
    Full,
}

/// How an offset from UTC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OffsetForm {
    /// `Z`, or `+0100`.
    Iso,
    /// `+01`
    Hours,
    /// `+01:00`
    Minutes,
    /// `+01:00:00`
    Seconds,
    /// `+010000`
    PlainSeconds,
}

impl Layout {
    /// The layout of a format. The reason why it is none is for the user.
    pub(crate) fn parse(format: &str) -> Result<Self, String> {
        if format.is_empty() {
            return Err("format cannot be nil".to_owned());
        }
        if format.contains(|c: char| c.is_ascii_digit()) {
            return Err("format string should not contain decimals".to_owned());
        }
        let mut layout = Self { parts: Vec::new() };
        layout.add(format)?;
        Ok(layout)
    }

    fn add(&mut self, format: &str) -> Result<(), String> {
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                self.literal(c);
                continue;
            }
            match chars.next() {
                Some(directive) => self.directive(directive)?,
                None => self.literal('%'),
            }
        }
        Ok(())
    }

    fn literal(&mut self, c: char) {
        match self.parts.last_mut() {
            Some(Part::Literal(text)) => text.push(c),
            _ => self.parts.push(Part::Literal(c.to_string())),
        }
    }

    fn directive(&mut self, directive: char) -> Result<(), String> {
        self.parts.push(match directive {
            'Y' => Part::Year,
            'y' => Part::ShortYear,
            'm' => Part::Month(Pad::Zero),
            'o' => Part::Month(Pad::Blank),
            'q' => Part::Month(Pad::None),
            'b' | 'h' => Part::MonthName(Length::Short),
            'B' => Part::MonthName(Length::Full),
            'd' => Part::Day(Pad::Zero),
            'e' => Part::Day(Pad::Blank),
            'g' => Part::Day(Pad::None),
            'a' => Part::DayName(Length::Short),
            'A' => Part::DayName(Length::Full),
            'H' => Part::Hour,
            'I' => Part::HalfHour(Pad::Zero),
            'l' => Part::HalfHour(Pad::None),
            'p' => Part::HalfOfDay(true),
            'P' => Part::HalfOfDay(false),
            'M' => Part::Minute,
            'S' => Part::Second,
            'L' => return self.fraction(directive, 3),
            'f' => return self.fraction(directive, 6),
            's' => return self.fraction(directive, 9),
            'Z' => Part::ZoneName,
            'z' => Part::Offset(OffsetForm::Iso),
            'w' => Part::Offset(OffsetForm::PlainSeconds),
            'i' => Part::Offset(OffsetForm::Hours),
            'j' => Part::Offset(OffsetForm::Minutes),
            'k' => Part::Offset(OffsetForm::Seconds),
            'D' | 'x' => return self.add("%m/%d/%Y"),
            'F' => return self.add("%Y-%m-%d"),
            'T' | 'X' => return self.add("%H:%M:%S"),
            'R' => return self.add("%H:%M"),
            'r' => return self.add("%I:%M:%S %P"),
            'c' => return self.add("%a %b %d %H:%M:%S %Y"),
            'n' => return self.sign('\n'),
            't' => return self.sign('\t'),
            '%' => return self.sign('%'),
            other => return Err(format!("invalid time directive `%{other}`")),
        });
        Ok(())
    }

    fn sign(&mut self, sign: char) -> Result<(), String> {
        self.literal(sign);
        Ok(())
    }

    /// A fraction takes the separator in front of it: both are left out together.
    fn fraction(&mut self, directive: char, digits: usize) -> Result<(), String> {
        let separator = match self.parts.last_mut() {
            Some(Part::Literal(text)) => text.pop().filter(|c| matches!(c, '.' | ',')),
            _ => None,
        };
        let separator = separator.ok_or_else(|| {
            format!(
                "invalid fractional seconds directive `%{directive}`: `.` or `,` must stand in front of it"
            )
        })?;
        self.parts.push(Part::Fraction(separator, digits));
        Ok(())
    }
}

/// Whether the names of months and days are known in a language.
pub(crate) fn check_locale(locale: &str) -> Result<(), String> {
    match locale.split(['-', '_']).next() {
        Some("en") => Ok(()),
        _ => Err(format!(
            "unsupported locale {locale:?}: the names of months and days are known in English alone"
        )),
    }
}
