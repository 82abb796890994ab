//! AWS sessions, instance metadata and the CloudWatch Logs pusher.
//!
//! The AWS SDK stays behind this crate: components see sessions, an instance's identity, and a [`logs::Pusher`].

pub mod imds;
pub mod logs;
mod session;

pub use session::{Session, SessionConfig, SessionError};
