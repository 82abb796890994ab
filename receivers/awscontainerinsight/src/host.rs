//! The records of the machine itself: Node, NodeFS, NodeDiskIO and NodeNet, or with ECS their Instance counterparts.

mod filesystems;
mod records;
mod source;

#[cfg(test)]
pub(crate) mod golden_tests;

pub(crate) use records::Extra;
pub(crate) use source::HostSource;
