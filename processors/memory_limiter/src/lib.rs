//! The memory_limiter processor: refuses data before memory runs out.
