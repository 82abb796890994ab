//! Benches, load generator and the runner of the recorded numbers.
