//! otelcol-insights
fn main() {}
