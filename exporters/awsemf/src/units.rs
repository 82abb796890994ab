//! CloudWatch units.

/// The units that CloudWatch knows (Amazon CloudWatch API reference, `MetricDatum`).
const CLOUDWATCH_UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

/// Whether a descriptor may name this unit.
pub(crate) fn is_known(unit: &str) -> bool {
    CLOUDWATCH_UNITS.contains(&unit)
}

/// The CloudWatch unit of an OTLP unit. What has no counterpart passes unchanged.
pub(crate) fn from_otlp(unit: &str) -> &str {
    match unit {
        // CloudWatch has no nanoseconds, and values are not rescaled.
        "1" | "ns" => "",
        "ms" => "Milliseconds",
        "s" => "Seconds",
        "us" => "Microseconds",
        "By" => "Bytes",
        "bit" => "Bits",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let check = |unit: &str, expected: &str| assert_eq!(from_otlp(unit), expected);
        check("", "");
        check("1", "");
        check("ns", "");
        check("ms", "Milliseconds");
        check("By", "Bytes");
        check("{request}", "{request}");
        check("Percent", "Percent");
        assert!(is_known("Count/Second"));
        assert!(!is_known("Parsecs"));
        assert!(!is_known(""));
    }
}
