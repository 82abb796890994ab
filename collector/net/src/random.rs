//! Numbers for spreading things in time; nothing that needs to be unpredictable.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number in [0, 1).
pub(crate) fn unit() -> f64 {
    // Every `RandomState` has keys of its own.
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
