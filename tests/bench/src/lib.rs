//! Benches, load generator and the runner of the recorded numbers.
//!
//! `cargo run --release -p bench` measures the release binary as a whole process, by the kernel's own accounting;
//! `cargo bench -p bench` measures single stages.

pub mod collector;
pub mod load;
pub mod node;
pub mod payload;
pub mod report;
pub mod scenarios;
pub mod series;
pub mod sinks;
