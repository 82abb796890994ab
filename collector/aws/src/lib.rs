//! AWS sessions, instance metadata and the CloudWatch Logs pusher.
//!
//! The AWS SDK stays behind this crate: components see sessions, an instance's identity, and a [`logs::Pusher`].

mod credentials;
mod endpoint;
mod http;
pub mod imds;
pub mod logs;
mod session;
mod sign;
#[cfg(test)]
mod testing;

pub use session::{Session, SessionConfig, SessionError};
