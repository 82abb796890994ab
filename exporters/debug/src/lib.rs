//! The debug exporter: telemetry for a person's eyes.
