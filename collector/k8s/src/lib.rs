//! Kubernetes: who this node is, asked of the API server.
//!
//! The Node object knows what instance metadata would tell (`spec.providerID` and well-known labels), so that a pod
//! needs neither a hop limit of 2 nor an IAM permission. Only the few fields used are decoded.

mod client;
mod environment;
mod error;
mod node;

pub use client::ApiServer;
pub use environment::is_in_cluster;
pub use error::Error;
pub use node::NodeIdentity;

/// How the API server is reached; [`ApiServer::in_cluster`] finds it out itself.
pub use kube::Config as ApiServerConfig;
