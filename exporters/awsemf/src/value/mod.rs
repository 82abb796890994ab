//! The values of data points in events.

mod exponential;

use crate::json::{write_float, write_uint};
use crate::text::Span;

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// A number.
    Number(f64),
    /// A place among the statistics.
    Stats(u32),
    /// A place among the parts of exponential histograms.
    Part(u32),
}

/// What is known of a distribution without its shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stats {
    pub(crate) max: f64,
    pub(crate) min: f64,
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

/// A part of an exponential histogram: at most 100 values and how often each occurred.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    pub(crate) stats: Stats,
    /// Where its values and counts are.
    pub(crate) buckets: Span,
}

/// The values of a batch that are no plain numbers.
#[derive(Debug, Default)]
pub(crate) struct Values {
    stats: Vec<Stats>,
    parts: Vec<Part>,
    /// Values with their counts, of all parts.
    buckets: Vec<(f64, f64)>,
    counts: Vec<u64>,
}

/// Values of buckets that are held before the events made of them have to be written.
const MAX_BUCKETS: usize = 256 << 10;

impl Values {
    /// Returns true if as many values are held as should be.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.buckets.len() > MAX_BUCKETS
    }

    /// Forgets all values and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.stats.clear();
        self.parts.clear();
        self.buckets.clear();
    }

    /// Keeps statistics.
    pub(crate) fn stats(&mut self, stats: Stats) -> Value {
        self.stats.push(stats);
        Value::Stats(self.stats.len() as u32 - 1)
    }

    /// Appends a value as JSON, escaped once more if so wanted. Returns how many bytes of it are not in the plain text.
    #[inline]
    pub(crate) fn write<const ESCAPED: bool>(&self, out: &mut String, value: Value) -> usize {
        match value {
            Value::Number(number) => {
                write_float(out, number);
                0
            }
            Value::Stats(at) => self.stats.get(at as usize).map_or(0, |stats| {
                out.push('{');
                stats.write::<ESCAPED>(out)
            }),
            Value::Part(at) => {
                self.parts.get(at as usize).map_or(0, |part| self.write_part::<ESCAPED>(out, part))
            }
        }
    }

    fn write_part<const ESCAPED: bool>(&self, out: &mut String, part: &Part) -> usize {
        let buckets = part.buckets.of(&self.buckets);
        out.push('{');
        let added = member::<ESCAPED>(out, "Values");
        write_list(out, buckets.iter().map(|bucket| bucket.0));
        out.push(',');
        let added = added + member::<ESCAPED>(out, "Counts");
        write_list(out, buckets.iter().map(|bucket| bucket.1));
        out.push(',');
        added + part.stats.write::<ESCAPED>(out)
    }
}

impl Stats {
    fn write<const ESCAPED: bool>(&self, out: &mut String) -> usize {
        let mut added = member::<ESCAPED>(out, "Max");
        write_float(out, self.max);
        out.push(',');
        added += member::<ESCAPED>(out, "Min");
        write_float(out, self.min);
        out.push(',');
        added += member::<ESCAPED>(out, "Count");
        write_uint(out, self.count);
        out.push(',');
        added += member::<ESCAPED>(out, "Sum");
        write_float(out, self.sum);
        out.push('}');
        added
    }
}

/// Appends the name of an object's member. Returns how many bytes it has for being escaped.
#[inline]
fn member<const ESCAPED: bool>(out: &mut String, name: &str) -> usize {
    let quote = if ESCAPED { "\\\"" } else { "\"" };
    out.push_str(quote);
    out.push_str(name);
    out.push_str(quote);
    out.push(':');
    2 * (quote.len() - 1)
}

fn write_list(out: &mut String, numbers: impl Iterator<Item = f64>) {
    out.push('[');
    for (index, number) in numbers.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_float(out, number);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_json() {
        let mut values = Values::default();
        let stats = values.stats(Stats { max: 0.0, min: -1.5, count: u64::MAX, sum: 6.0 });
        values.buckets.extend([(6.0, 3.0), (1.5, 2.0)]);
        let part = Part {
            stats: Stats { max: 7.0, min: 1.0, count: 5, sum: 21.0 },
            buckets: Span { start: 0, end: 2 },
        };
        values.parts.push(part);
        let check = |value: Value, expected: &str| {
            let mut out = String::new();
            assert_eq!(values.write::<false>(&mut out, value), 0);
            assert_eq!(out, expected);
            let mut escaped = String::new();
            let added = values.write::<true>(&mut escaped, value);
            assert_eq!(escaped, expected.replace('"', "\\\""));
            assert_eq!(escaped.len() - added, expected.len());
        };
        check(Value::Number(2.5), "2.5");
        check(stats, r#"{"Max":0,"Min":-1.5,"Count":18446744073709551615,"Sum":6}"#);
        check(Value::Part(0), r#"{"Values":[6,1.5],"Counts":[3,2],"Max":7,"Min":1,"Count":5,"Sum":21}"#);
    }
}
