//! The nop exporter: accepts everything and does nothing.
