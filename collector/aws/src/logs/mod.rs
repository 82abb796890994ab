//! CloudWatch Logs.

mod limits;

pub use limits::{GroupConfigError, check_retention, check_tags};
