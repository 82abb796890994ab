//! The batch processor: joins small requests into large ones.
