//! The resource processor: edits resource attributes by splicing.
