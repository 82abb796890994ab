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

impl Values {
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

    /// Appends a value as JSON.
    #[inline]
    pub(crate) fn write(&self, out: &mut String, value: Value) {
        match value {
            Value::Number(number) => write_float(out, number),
            Value::Stats(at) => {
                if let Some(stats) = self.stats.get(at as usize) {
                    out.push('{');
                    stats.write(out);
                }
            }
            Value::Part(at) => {
                if let Some(part) = self.parts.get(at as usize) {
                    self.write_part(out, part);
                }
            }
        }
    }

    fn write_part(&self, out: &mut String, part: &Part) {
        let buckets = part.buckets.of(&self.buckets);
        let list = |out: &mut String, name: &str, numbers: &mut dyn Iterator<Item = f64>| {
            out.push_str(name);
            for (index, number) in numbers.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_float(out, number);
            }
            out.push_str("],");
        };
        list(out, "{\"Values\":[", &mut buckets.iter().map(|bucket| bucket.0));
        list(out, "\"Counts\":[", &mut buckets.iter().map(|bucket| bucket.1));
        part.stats.write(out);
    }
}

impl Stats {
    fn write(&self, out: &mut String) {
        out.push_str("\"Max\":");
        write_float(out, self.max);
        out.push_str(",\"Min\":");
        write_float(out, self.min);
        out.push_str(",\"Count\":");
        write_uint(out, self.count);
        out.push_str(",\"Sum\":");
        write_float(out, self.sum);
        out.push('}');
    }
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
            values.write(&mut out, value);
            assert_eq!(out, expected);
        };
        check(Value::Number(2.5), "2.5");
        check(stats, r#"{"Max":0,"Min":-1.5,"Count":18446744073709551615,"Sum":6}"#);
        check(Value::Part(0), r#"{"Values":[6,1.5],"Counts":[3,2],"Max":7,"Min":1,"Count":5,"Sum":21}"#);
    }
}
