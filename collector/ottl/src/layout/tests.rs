use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;

/// 2026-02-10T12:00:00Z
const NOW: i64 = 1_770_724_800;

fn read_in(format: &str, text: &str, home: &TimeZone) -> Result<String, String> {
    let now = Timestamp::from_second(NOW).unwrap();
    let nanos = Layout::parse(format)?.read(text, home, now)?;
    Ok(Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string())
}

#[test]
fn texts_are_read() {
    let check = |format: &str, text: &str, expected: &str| {
        assert_eq!(read_in(format, text, &TimeZone::UTC).as_deref(), Ok(expected), "{format} {text}");
    };
    check("%Y-%m-%d %H:%M:%S", "2023-05-06 07:08:09", "2023-05-06T07:08:09Z");
    check("%FT%T.%L%z", "2023-05-06T07:08:09.25+0200", "2023-05-06T05:08:09.25Z");
    check("%FT%T,%f%z", "2023-05-06T07:08:09,123456Z", "2023-05-06T07:08:09.123456Z");
    check("%FT%T.%s", "2023-05-06T07:08:09.1234567891", "2023-05-06T07:08:09.123456789Z");
    // A fraction may be missing, and may be there where the format has none.
    check("%T.%L %F", "07:08:09 2023-05-06", "2023-05-06T07:08:09Z");
    check("%F %T", "2023-05-06 07:08:09.5", "2023-05-06T07:08:09.5Z");
    check("%A, %d-%b-%y %H:%M", "saturday, 06-MAY-23 7:08", "2023-05-06T07:08:00Z");
    check("%B %e %Y %I:%M %p", "May  6 2023 12:30 AM", "2023-05-06T00:30:00Z");
    check("%q/%g/%Y %l:%M %P", "5/6/2023 7:30 pm", "2023-05-06T19:30:00Z");
    check("%c", "Sat May 06 07:08:09 2023", "2023-05-06T07:08:09Z");
    check("%D %r", "05/06/2023 07:08:09 am", "2023-05-06T07:08:09Z");
    check("%F %R%j", "2023-05-06 07:08-01:30", "2023-05-06T08:38:00Z");
    check("%F %R %i", "2023-05-06 07:08 -01", "2023-05-06T08:08:00Z");
    check("%F %R %k", "2023-05-06 07:08 +01:00:01", "2023-05-06T06:07:59Z");
    check("%F %R %w", "2023-05-06 07:08 +010001", "2023-05-06T06:07:59Z");
    check("%F %R %Z", "2023-05-06 07:08 UTC", "2023-05-06T07:08:00Z");
    check("%F %R %Z", "2023-05-06 07:08 GMT+2", "2023-05-06T05:08:00Z");
    // A zone that nobody knows is none.
    check("%F %R %Z", "2023-05-06 07:08 XYZT", "2023-05-06T07:08:00Z");
    check("%y", "69", "1969-01-01T00:00:00Z");
    check("%y", "68", "2068-01-01T00:00:00Z");
    check("[%F]%tx%%", "[2023-05-06]\tx%", "2023-05-06T00:00:00Z");
}

#[test]
fn times_without_a_year_are_near() {
    let check = |text: &str, expected: &str| {
        assert_eq!(read_in("%b %d %T", text, &TimeZone::UTC).as_deref(), Ok(expected), "{text}");
    };
    check("Feb 10 12:00:00", "2026-02-10T12:00:00Z");
    check("Feb 17 12:00:00", "2026-02-17T12:00:00Z");
    check("Feb 17 12:00:01", "2025-02-17T12:00:01Z");
    check("Dec 31 23:59:59", "2025-12-31T23:59:59Z");
    check("Feb 29 00:00:00", "2025-03-01T00:00:00Z");
}

#[test]
fn texts_that_are_no_times() {
    let check = |format: &str, text: &str, expected: &str| {
        let error = read_in(format, text, &TimeZone::UTC).unwrap_err();
        assert!(error.contains(expected), "{format} {text}: {error}");
    };
    check("%F", "2023-13-01", r#"parsing time "2023-13-01": expected a month but found "13-01""#);
    check("%F", "2023-02-30", r#"parsing time "2023-02-30": "#);
    check("%F", "23-02-03", "expected a year of four digits");
    check("%F", "2023-02-03x", r#"extra text: "x""#);
    check("%F", "2023-2-3", "expected a month");
    check("%F %T", "2023-02-03", r#"expected an hour but found """#);
    check("%F %T", "2023-02-03x", "expected a blank");
    check("%T", "24:00:00", "expected an hour");
    check("%b", "Mär", "expected the name of a month");
    check("%I %p", "07 pm", "expected AM or PM");
    check("%z", "+25", "expected an offset");
    check("%j", "+0100", "expected an offset");
    check("%Z", "utc", "expected the abbreviation");
    check("%Y", "9999", "out of range");
    check("%Y", "é999", "expected a year");
}

#[test]
fn zones() {
    let Ok(berlin) = time_zone("Europe/Berlin") else {
        // A machine without a database: then every zone is unknown.
        assert!(time_zone("America/New_York").unwrap_err().contains("is not in the time zone database"));
        return;
    };
    let check = |format: &str, text: &str, expected: &str| {
        assert_eq!(read_in(format, text, &berlin).as_deref(), Ok(expected), "{format} {text}");
    };
    check("%F %T", "2023-05-06 07:08:09", "2023-05-06T05:08:09Z");
    check("%F %T", "2023-01-06 07:08:09", "2023-01-06T06:08:09Z");
    check("%F %T %Z", "2023-05-06 07:08:09 CEST", "2023-05-06T05:08:09Z");
    check("%F %T %Z", "2023-05-06 07:08:09 CET", "2023-05-06T06:08:09Z");
    check("%F %T %Z", "2023-05-06 07:08:09 EST", "2023-05-06T12:08:09Z");
    check("%F %T %z", "2023-05-06 07:08:09 Z", "2023-05-06T07:08:09Z");
}

#[test]
fn names_of_zones() {
    assert_eq!(time_zone(""), Ok(TimeZone::UTC));
    assert_eq!(time_zone("UTC"), Ok(TimeZone::UTC));
    for name in ["/etc/passwd", "../../etc/passwd", "Europe/../../x", "Nosuch/Place", "."] {
        assert!(time_zone(name).unwrap_err().starts_with("failed to load location"), "{name}");
    }
}

#[test]
fn times_are_written() {
    let check = |format: &str, nanos: i64, expected: &str| {
        assert_eq!(Layout::parse(format).unwrap().write(nanos).as_deref(), Ok(expected), "{format}");
    };
    // 2023-05-06T07:08:09.05Z, a Saturday.
    let time = 1_683_356_889_050_000_000;
    check("%Y-%m-%dT%H:%M:%S.%L%z", time, "2023-05-06T07:08:09.05Z");
    check("%F %T.%L", time - 50_000_000, "2023-05-06 07:08:09");
    check("%y %o %q %b %h %B", time, "23  5 5 May May May");
    check("%d|%e|%g %a %A", time, "06| 6|6 Sat Saturday");
    check("%I %l %p %P %M", time, "07 7 AM am 08");
    check("%r", time + 43_200_000_000_000, "07:08:09 pm");
    check("%I", time - 7 * 3_600_000_000_000, "12");
    check("%T,%s%%%t%Z%i%j%k%w", time, "07:08:09,05%\tUTC+00+00:00+00:00:00+000000");
}

#[test]
fn formats_that_are_none() {
    let check = |format: &str, expected: &str| {
        assert_eq!(Layout::parse(format).unwrap_err(), expected, "{format}");
    };
    check("", "format cannot be nil");
    check("%Y-01", "format string should not contain decimals");
    check("%Q", "invalid time directive `%Q`");
    check("%S%L", "invalid fractional seconds directive `%L`: `.` or `,` must stand in front of it");
    check("%f", "invalid fractional seconds directive `%f`: `.` or `,` must stand in front of it");
    assert!(check_locale("en-US").is_ok() && check_locale("en").is_ok());
    assert!(check_locale("de").unwrap_err().contains("in English alone"));
}
