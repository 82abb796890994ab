//! Time and memory of translations to log events.
