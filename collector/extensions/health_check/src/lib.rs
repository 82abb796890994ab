//! The health_check extension: answers whether the collector is ready.
