//! AWS sessions, metadata of instances and tasks, questions to EC2, and the CloudWatch Logs pusher.
//!
//! The AWS SDK stays behind this crate: components see sessions, who an instance or a task is, and a [`logs::Pusher`].

mod codes;
mod credentials;
pub mod ec2;
pub mod ecs;
mod endpoint;
mod http;
pub mod imds;
pub mod logs;
mod session;
mod sign;
#[cfg(test)]
mod testing;

pub use endpoint::EndpointError;
pub use session::{Session, SessionConfig, SessionError, StaticKeys};
