//! What ECS says of this machine: which container instance it is, its tasks, and what they reserve.

mod reserved;
mod source;

pub(crate) use reserved::Reserved;
pub(crate) use source::{Address, EcsSource};
