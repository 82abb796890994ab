//! Functions on times and lengths of time.

use std::time::{SystemTime, UNIX_EPOCH};

use confmap::duration::GoDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pdata::Value;

use super::{Converter, Takes, optional, parameter};
use crate::compile::{Arguments, Given};
use crate::value::Val;
use crate::{Env, EvalError};

const TIME: &[super::Parameter] = &[parameter("time", Takes::Any)];
const DURATION: &[super::Parameter] = &[parameter("duration", Takes::Any)];

/// From the first day of the year 1, which Go rounds from, to that of 1970, in nanoseconds.
const YEAR_ONE: i128 = 62_135_596_800 * 1_000_000_000;

/// All of them.
pub(crate) const CONVERTERS: &[Converter] = &[
    Converter {
        name: "Day",
        parameters: TIME,
        run: |arguments, env| part(arguments, env, |at| at.day().into()),
    },
    Converter { name: "Duration", parameters: DURATION, run: to_duration },
    Converter {
        name: "FormatTime",
        parameters: &[parameter("time", Takes::Any), parameter("format", Takes::TimeFormat)],
        run: format_time,
    },
    Converter {
        name: "Hour",
        parameters: TIME,
        run: |arguments, env| part(arguments, env, |at| at.hour().into()),
    },
    Converter { name: "Hours", parameters: DURATION, run: |arguments, env| float(arguments, env, 3600e9) },
    Converter {
        name: "Microseconds",
        parameters: DURATION,
        run: |arguments, env| whole(arguments, env, 1000),
    },
    Converter {
        name: "Milliseconds",
        parameters: DURATION,
        run: |arguments, env| whole(arguments, env, 1_000_000),
    },
    Converter {
        name: "Minute",
        parameters: TIME,
        run: |arguments, env| part(arguments, env, |at| at.minute().into()),
    },
    Converter { name: "Minutes", parameters: DURATION, run: |arguments, env| float(arguments, env, 60e9) },
    Converter {
        name: "Month",
        parameters: TIME,
        run: |arguments, env| part(arguments, env, |at| at.month().into()),
    },
    Converter {
        name: "Nanosecond",
        parameters: TIME,
        run: |arguments, env| part(arguments, env, |at| at.subsec_nanosecond().into()),
    },
    Converter { name: "Nanoseconds", parameters: DURATION, run: |arguments, env| whole(arguments, env, 1) },
    Converter { name: "Now", parameters: &[], run: now },
    Converter {
        name: "Second",
        parameters: TIME,
        run: |arguments, env| part(arguments, env, |at| at.second().into()),
    },
    Converter { name: "Seconds", parameters: DURATION, run: |arguments, env| float(arguments, env, 1e9) },
    Converter {
        name: "Time",
        parameters: &[
            parameter("time", Takes::Any),
            parameter("format", Takes::TimeFormat),
            optional("location", Takes::Location),
            optional("locale", Takes::Locale),
        ],
        run: to_time,
    },
    Converter {
        name: "TruncateTime",
        parameters: &[parameter("time", Takes::Any), parameter("duration", Takes::Any)],
        run: truncate_time,
    },
    Converter {
        name: "Unix",
        parameters: &[parameter("seconds", Takes::Any), optional("nanoseconds", Takes::Any)],
        run: unix,
    },
    Converter { name: "UnixMicro", parameters: TIME, run: |arguments, env| since_1970(arguments, env, 1000) },
    Converter {
        name: "UnixMilli",
        parameters: TIME,
        run: |arguments, env| since_1970(arguments, env, 1_000_000),
    },
    Converter { name: "UnixNano", parameters: TIME, run: |arguments, env| since_1970(arguments, env, 1) },
    Converter {
        name: "UnixSeconds",
        parameters: TIME,
        run: |arguments, env| since_1970(arguments, env, 1_000_000_000),
    },
    Converter {
        name: "Weekday",
        parameters: TIME,
        run: |arguments, env| part(arguments, env, |at| at.weekday().to_sunday_zero_offset().into()),
    },
    Converter {
        name: "Year",
        parameters: TIME,
        run: |arguments, env| part(arguments, env, |at| at.year().into()),
    },
];

type Converted<'v> = Result<Val<'v>, EvalError>;

fn now<'v>(_: &'v Arguments, _: &'v Env<'_, '_>) -> Converted<'v> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Val::Time(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)))
}

/// Without a location, times are of UTC.
fn to_time<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let text = arguments.text(0, env)?;
    if text.is_empty() {
        return Err(arguments.error("time cannot be nil"));
    }
    let home = match arguments.given(2) {
        Given::Location(zone) => zone,
        _ => &TimeZone::UTC,
    };
    let time = arguments.layout(1)?.read(&text, home, jiff::Timestamp::now());
    time.map(Val::Time).map_err(|reason| arguments.error(reason))
}

fn format_time<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let text = arguments.layout(1)?.write(arguments.time(0, env)?);
    text.map(|text| Value::String(text).into()).map_err(|reason| arguments.error(reason))
}

fn to_duration<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let duration: Result<GoDuration, _> = arguments.text(0, env)?.parse();
    duration.map(|duration| Val::Duration(duration.0)).map_err(|error| arguments.error(error.to_string()))
}

fn unix<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let nanos = if arguments.is_given(1) { arguments.int(1, env)? } else { 0 };
    Ok(Val::Time(arguments.int(0, env)?.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// Rounds down, after zeroes of Go's.
fn truncate_time<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let (time, unit) = (arguments.time(0, env)?, i128::from(arguments.duration(1, env)?));
    let past = if unit > 0 { (i128::from(time) + YEAR_ONE).rem_euclid(unit) } else { 0 };
    Ok(Val::Time(i64::try_from(i128::from(time) - past).unwrap_or(time)))
}

/// So many units since 1970, rounded down.
fn since_1970<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>, unit: i64) -> Converted<'v> {
    Ok(Value::Int(arguments.time(0, env)?.div_euclid(unit)).into())
}

/// So many whole units.
fn whole<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>, unit: i64) -> Converted<'v> {
    Ok(Value::Int(arguments.duration(0, env)?.wrapping_div(unit)).into())
}

/// So many units, with parts of one.
fn float<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>, unit: f64) -> Converted<'v> {
    Ok(Value::Double(arguments.duration(0, env)? as f64 / unit).into())
}

/// A part of a time in UTC.
fn part<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>, part: fn(DateTime) -> i64) -> Converted<'v> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(arguments.time(0, env)?))
        .map_err(|error| arguments.error(error.to_string()))?;
    Ok(Value::Int(part(TimeZone::UTC.to_datetime(time))).into())
}
