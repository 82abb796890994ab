//! Signals, reloads, panics and the log.
