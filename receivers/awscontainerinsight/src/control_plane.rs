//! The API server's own metrics, which the leader scrapes and passes on.

mod families;
mod scrape;

#[cfg(test)]
mod tests;

pub(crate) use families::Exposed;
pub(crate) use scrape::{ControlPlane, Latest};
