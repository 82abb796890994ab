//! The records of the machine itself: Node, NodeFS, NodeDiskIO and NodeNet, or with ECS their Instance counterparts.

mod filesystems;
mod records;
mod source;

pub(crate) use source::HostSource;
